//! Batch normalisation: one mean and variance a channel (axis 1) over all other axes.

use super::batch_planes::{channel_sums, expand, grad_runs, normalise, over_runs};
use super::batch_rows::{self, Affine, Lines};
use super::rows::Moments;
use super::{channel_vector, expect_vector};
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::ops::reduce::float::Float;
use crate::ops::softmax::same;
use crate::ops::{activation, copy};
use crate::parallel::SendPtr;
use crate::tensor::Tensor;
use std::ops::Range;

/// An input as `n` times `channels` times `inner`.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub n: usize,
    pub channels: usize,
    pub inner: usize,
}

impl Shape {
    fn new(op: &'static str, x: &Tensor) -> Result<Shape> {
        if x.ndim() < 2 {
            return Err(Error::shape(
                op,
                format!("expected at least 2 axes, [batch, channels, ...], got shape {:?}", x.shape()),
            ));
        }
        Ok(Shape { n: x.shape()[0], channels: x.shape()[1], inner: x.shape()[2..].iter().product() })
    }

    pub fn per_channel(&self) -> usize {
        self.n * self.inner
    }

    fn is_empty(&self) -> bool {
        self.n * self.channels * self.inner == 0
    }
}

/// The order of the input's memory, which the output gets too.
enum Order {
    Planes(Shape),
    Rows(Lines),
}

/// The input's memory, as rows of channels where it is held so, and its order.
fn ordered(op: &'static str, s: Shape, x: &Tensor) -> Result<(Tensor, Order)> {
    if s.inner != 1 && x.channels_last().is_none() {
        return Ok((copy::contiguous(op, x)?, Order::Planes(s)));
    }
    Ok((x.to_channels_last(op)?, Order::Rows(Lines::new(s.n * s.inner, s.channels))))
}

impl Order {
    /// Another tensor of the input's shape, in the same order.
    fn of(&self, op: &'static str, t: &Tensor) -> Result<Tensor> {
        match self {
            Order::Planes(_) => copy::contiguous(op, t),
            Order::Rows(_) => t.to_channels_last(op),
        }
    }

    /// A result in this order as a tensor of the input's shape.
    fn result(&self, y: Tensor, shape: &[usize]) -> Tensor {
        match self {
            Order::Planes(_) => y,
            Order::Rows(_) => Tensor::from_channels_last(y, shape),
        }
    }

    /// The first value of every channel; zero where that is none to measure distances from.
    fn pivots<T: Float>(&self, s: Shape, x: &Tensor) -> Vec<T> {
        let step = if let Order::Planes(_) = self { s.inner } else { 1 };
        // SAFETY: the first image is there.
        let first = |c| unsafe { *x.ptr::<T>().add(c * step) };
        (0..s.channels).map(first).map(|v: T| if v.wide().is_finite() { v } else { T::ZERO }).collect()
    }

    /// Sums over each channel of the distances from its pivot, and of their squares.
    fn moments<T: Float>(&self, op: &'static str, x: &Tensor, pivot: &[T]) -> Result<Vec<Moments>> {
        match self {
            Order::Planes(s) => channel_sums::<T>(op, *s, None, x, pivot),
            Order::Rows(lines) => {
                let (x, pivot) = (SendPtr(x.ptr::<T>()), lines.spread(pivot));
                lines.totals(op, |at, width, sums, squares| {
                    // SAFETY: in range, and only read.
                    let x = unsafe { part(x, at) };
                    batch_rows::block_moments(x, width, &pivot, sums, squares);
                })
            }
        }
    }

    /// Sums over each channel of the gradient, and of it times the distance from the mean.
    fn dots<T: Float>(
        &self,
        op: &'static str,
        g: &Tensor,
        x: &Tensor,
        by: &Scale<T>,
    ) -> Result<Vec<Moments>> {
        match self {
            Order::Planes(s) => channel_sums::<T>(op, *s, Some(g), x, &by.mean),
            Order::Rows(lines) => {
                let (g, x) = (SendPtr(g.ptr::<T>()), SendPtr(x.ptr::<T>()));
                let columns = by.spread(|v| lines.spread(v));
                lines.totals(op, |at, width, sums, products| {
                    // SAFETY: as above.
                    let (g, x) = unsafe { (part(g, at.clone()), part(x, at)) };
                    batch_rows::block_dots(g, x, width, &columns.view(), by.relu, sums, products);
                })
            }
        }
    }

    fn normalise<T: Float>(&self, op: &'static str, x: &Tensor, by: &Scale<T>) -> Result<Tensor> {
        let out = Tensor::empty(op, x.shape(), T::DTYPE)?;
        let (from, to) = (SendPtr(x.ptr::<T>()), SendPtr(out.ptr::<T>()));
        match self {
            Order::Planes(s) => {
                let c = by.spread(|v| expand(*s, v));
                over_runs(*s, |units| {
                    normalise(*s, from.get(), to.get(), &c.mean, &c.scale, &c.shift, by.relu, units)
                });
            }
            Order::Rows(lines) => {
                let columns = by.spread(|v| lines.spread(v));
                lines.over(|at| {
                    // SAFETY: in range; ranges are disjoint.
                    let (x, y) = unsafe { (part(from, at.clone()), part_mut(to, at)) };
                    batch_rows::normalise(x, y, &columns.view(), by.relu);
                });
            }
        }
        Ok(out)
    }

    /// `(g - a - (x - mean) * b) * scale`
    fn input_grad<T: Float>(
        &self,
        op: &'static str,
        g: &Tensor,
        x: &Tensor,
        by: &Scale<T>,
        a: &[T],
        b: &[T],
    ) -> Result<Tensor> {
        let out = Tensor::empty(op, x.shape(), T::DTYPE)?;
        let (g, x, to) = (SendPtr(g.ptr::<T>()), SendPtr(x.ptr::<T>()), SendPtr(out.ptr::<T>()));
        match self {
            Order::Planes(s) => {
                let (a, b, c) = (expand(*s, a), expand(*s, b), by.spread(|v| expand(*s, v)));
                over_runs(*s, |units| {
                    grad_runs(*s, g.get(), x.get(), to.get(), &c.mean, &a, &b, &c.scale, units)
                });
            }
            Order::Rows(lines) => {
                let (a, b, c) = (lines.spread(a), lines.spread(b), by.spread(|v| lines.spread(v)));
                lines.over(|at| {
                    // SAFETY: in range; ranges are disjoint.
                    let (g, x, dx) = unsafe { (part(g, at.clone()), part(x, at.clone()), part_mut(to, at)) };
                    batch_rows::input_grad(g, x, dx, &c.view(), &a, &b, by.relu);
                });
            }
        }
        Ok(out)
    }
}

/// # Safety
/// The elements are there and nobody writes to them.
unsafe fn part<'a, T>(p: SendPtr<T>, at: Range<usize>) -> &'a [T] {
    std::slice::from_raw_parts(p.get().add(at.start), at.len())
}

/// # Safety
/// The elements are there and nobody else reaches them.
unsafe fn part_mut<'a, T>(p: SendPtr<T>, at: Range<usize>) -> &'a mut [T] {
    std::slice::from_raw_parts_mut(p.get().add(at.start), at.len())
}

/// What each channel is normalised with: `(x - mean) * scale + shift`, and whether a ReLU follows.
struct Scale<T> {
    mean: Vec<T>,
    scale: Vec<T>,
    shift: Vec<T>,
    relu: bool,
}

impl<T: Float> Scale<T> {
    fn new(
        op: &'static str,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        mean: &[T],
        rstd: &[T],
        relu: bool,
    ) -> Result<Scale<T>> {
        let weight = channel_vector::<T>(op, weight, rstd.len(), T::ONE)?;
        let shift = channel_vector::<T>(op, bias, rstd.len(), T::ZERO)?;
        let scale = weight.iter().zip(rstd).map(|(&w, &r)| w * r).collect();
        Ok(Scale { mean: mean.to_vec(), scale, shift, relu })
    }

    /// The same for columns.
    fn spread(&self, f: impl Fn(&[T]) -> Vec<T>) -> Scale<T> {
        Scale { mean: f(&self.mean), scale: f(&self.scale), shift: f(&self.shift), relu: self.relu }
    }

    fn view(&self) -> Affine<'_, T> {
        Affine { mean: &self.mean, scale: &self.scale, shift: &self.shift }
    }
}

fn check(op: &'static str, s: Shape, x: &Tensor, named: &[(&str, Option<&Tensor>)]) -> Result<()> {
    x.expect_cpu(op)?;
    for (name, t) in named {
        if let Some(t) = t {
            expect_vector(op, name, t, s.channels, "channels", x.dtype())?;
        }
    }
    Ok(())
}

/// Normalises by the batch's own statistics; with `relu` a ReLU follows in the same pass. Returns the
/// output, the means and one over the standard deviations (of the biased variance) of the channels.
pub fn batch_norm(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    relu: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let op = "batch_norm";
    let s = Shape::new(op, x)?;
    check(op, s, x, &[("weight", weight), ("bias", bias)])?;
    if s.per_channel() == 1 {
        return Err(Error::value(
            op,
            format!(
                "Expected more than 1 value per channel when training, got input size {:?}; use a larger batch or .eval()",
                x.shape()
            ),
        ));
    }
    for_float_types!(op, x.dtype(), T => {
        let mean = Tensor::zeros(op, &[s.channels], x.dtype())?;
        let rstd = Tensor::zeros(op, &[s.channels], x.dtype())?;
        if s.is_empty() {
            return Ok((Tensor::empty(op, x.shape(), x.dtype())?, mean, rstd));
        }
        // SAFETY: fresh outputs.
        let (m, r) = unsafe { (mean.as_mut_slice::<T>(), rstd.as_mut_slice::<T>()) };
        let (memory, order) = ordered(op, s, x)?;
        let pivot = order.pivots::<T>(s, &memory);
        for (c, total) in order.moments(op, &memory, &pivot)?.into_iter().enumerate() {
            let (mean, var) = total.mean_var(s.per_channel(), pivot[c].wide());
            (m[c], r[c]) = (T::narrow(mean), T::narrow(1.0 / (var + eps).sqrt()));
        }
        let y = order.normalise(op, &memory, &Scale::new(op, weight, bias, m, r, relu)?)?;
        Ok((order.result(y, x.shape()), mean, rstd))
    })
}

/// Normalises by running statistics; with `relu` a ReLU follows in the same pass.
pub fn batch_norm_inference(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: &Tensor,
    running_var: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<Tensor> {
    let op = "batch_norm";
    let s = Shape::new(op, x)?;
    let named = [
        ("weight", weight),
        ("bias", bias),
        ("running_mean", Some(running_mean)),
        ("running_var", Some(running_var)),
    ];
    check(op, s, x, &named)?;
    for_float_types!(op, x.dtype(), T => {
        if s.is_empty() {
            return Tensor::empty(op, x.shape(), x.dtype());
        }
        let mean = channel_vector::<T>(op, Some(running_mean), s.channels, T::ZERO)?;
        let var = channel_vector::<T>(op, Some(running_var), s.channels, T::ONE)?;
        let rstd: Vec<T> = var.iter().map(|v| T::narrow(1.0 / (v.wide() + eps).sqrt())).collect();
        let (memory, order) = ordered(op, s, x)?;
        let y = order.normalise(op, &memory, &Scale::new(op, weight, bias, &mean, &rstd, relu)?)?;
        Ok(order.result(y, x.shape()))
    })
}

/// Moves running statistics towards those of a batch with `n` values a channel, in place.
pub fn batch_norm_update_running(
    running_mean: &Tensor,
    running_var: &Tensor,
    mean: &Tensor,
    rstd: &Tensor,
    momentum: f64,
    eps: f64,
    n: usize,
) -> Result<()> {
    let op = "batch_norm";
    let dtype = running_mean.dtype();
    let channels = mean.numel();
    for (name, t) in
        [("running_mean", running_mean), ("running_var", running_var), ("mean", mean), ("rstd", rstd)]
    {
        expect_vector(op, name, t, channels, "channels", dtype)?;
    }
    running_mean.expect_writable(op)?;
    running_var.expect_writable(op)?;
    if n == 0 {
        return Ok(());
    }
    for_float_types!(op, dtype, T => {
        let (m, r) = (channel_vector::<T>(op, Some(mean), channels, T::ZERO)?, channel_vector::<T>(op, Some(rstd), channels, T::ONE)?);
        let unbias = n as f64 / (n as f64 - 1.0);
        for c in 0..channels {
            let rstd = r[c].wide();
            let var = 1.0 / (rstd * rstd) - eps;
            // Rounding may bring it below zero; NaN stays.
            let var = if var < 0.0 { 0.0 } else { var } * unbias;
            // SAFETY: vectors of `channels` elements, checked above; writable and not overlapping.
            unsafe {
                let p = running_mean.ptr::<T>().offset(c as isize * running_mean.strides()[0]);
                *p = T::narrow((1.0 - momentum) * (*p).wide() + momentum * m[c].wide());
                let p = running_var.ptr::<T>().offset(c as isize * running_var.strides()[0]);
                *p = T::narrow((1.0 - momentum) * (*p).wide() + momentum * var);
            }
        }
    });
    running_mean.storage().bump_version();
    running_var.storage().bump_version();
    Ok(())
}

/// A value a channel, of its sums and of one over its standard deviation.
fn vector<T: Float>(totals: &[Moments], rstd: &[T], f: impl Fn(Moments, f64) -> f64) -> Vec<T> {
    totals.iter().zip(rstd).map(|(&t, &r)| T::narrow(f(t, r.wide()))).collect()
}

/// Gradients of [`batch_norm`] for its input, weight and bias, as far as needed. `bias` is read with
/// `relu` only: which outputs were above zero is computed anew, with the same bits.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_grad(
    g: &Tensor,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    mean: &Tensor,
    rstd: &Tensor,
    need: [bool; 3],
    relu: bool,
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let op = "batch_norm_grad";
    let s = Shape::new(op, x)?;
    check(op, s, x, &[("weight", weight), ("bias", bias), ("mean", Some(mean)), ("rstd", Some(rstd))])?;
    g.expect_cpu(op)?;
    same(op, "the gradient", g, "the input", x)?;
    for_float_types!(op, x.dtype(), T => {
        let m = channel_vector::<T>(op, Some(mean), s.channels, T::ZERO)?;
        let r = channel_vector::<T>(op, Some(rstd), s.channels, T::ONE)?;
        let by = Scale::new(op, weight, bias, &m, &r, relu)?;
        let (memory, order) = ordered(op, s, x)?;
        let mut g = order.of(op, g)?;
        if relu && matches!(order, Order::Planes(_)) && !s.is_empty() {
            g = activation::relu_grad(&g, &order.normalise(op, &memory, &by)?)?;
        }
        let totals = match s.is_empty() {
            true => vec![Moments::default(); s.channels],
            false => order.dots(op, &g, &memory, &by)?,
        };
        let dw = need[1].then(|| Tensor::from_slice(op, &vector::<T>(&totals, &r, |t, r| t.squares * r), &[s.channels])).transpose()?;
        let db = need[2].then(|| Tensor::from_slice(op, &vector::<T>(&totals, &r, |t, _| t.sum), &[s.channels])).transpose()?;
        let dx = match need[0] {
            false => None,
            true if s.is_empty() => Some(Tensor::empty(op, x.shape(), x.dtype())?),
            true => {
                let n = s.per_channel() as f64;
                let a = vector(&totals, &r, |t, _| t.sum / n);
                let b = vector(&totals, &r, |t, r| t.squares / n * r * r);
                Some(order.result(order.input_grad(op, &g, &memory, &by, &a, &b)?, x.shape()))
            }
        };
        Ok((dx, dw, db))
    })
}
