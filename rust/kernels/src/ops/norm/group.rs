//! Group normalisation: one mean and variance for each image and group of channels.

use super::rows::{Moments, affine, dots, moments};
use super::{channel_vector, expect_dtype, expect_vector};
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::ops::softmax::same;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::tensor::Tensor;
use crate::{for_float_types, memory, multiversion};
use std::ops::Range;

#[derive(Clone, Copy)]
struct Shape {
    n: usize,
    channels: usize,
    groups: usize,
    inner: usize,
}

impl Shape {
    fn new(op: &'static str, x: &Tensor, groups: usize, named: &[(&str, Option<&Tensor>)]) -> Result<Shape> {
        x.expect_cpu(op)?;
        if x.ndim() < 2 {
            return Err(Error::shape(
                op,
                format!("expected at least 2 axes, [batch, channels, ...], got shape {:?}", x.shape()),
            ));
        }
        let channels = x.shape()[1];
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(Error::value(
                op,
                format!(
                    "{channels} channels do not divide into {groups} groups; num_groups must divide the channels"
                ),
            ));
        }
        for (name, t) in named {
            if let Some(t) = t {
                expect_vector(op, name, t, channels, "channels", x.dtype())?;
            }
        }
        Ok(Shape { n: x.shape()[0], channels, groups, inner: x.shape()[2..].iter().product() })
    }

    fn each(&self) -> usize {
        self.channels / self.groups
    }

    fn is_empty(&self) -> bool {
        self.n * self.channels * self.inner == 0
    }

    /// Calls `f` on ranges of (image, group), in parallel.
    fn over(&self, f: impl Fn(Range<usize>) + Sync) {
        let units = self.n * self.groups;
        let group = (GRAIN / 2 / (self.each() * self.inner)).clamp(1, units);
        for_each(units.div_ceil(group), |k| f(k * group..((k + 1) * group).min(units)));
    }
}

multiversion! {
    fn forward<T: Float>(s: Shape, x: *const T, y: *mut T, w: &[T], b: &[T], eps: f64, mean: *mut T, rstd: *mut T, units: Range<usize>) {
        let d = s.each() * s.inner;
        for unit in units {
            // SAFETY: units are in range of the tensors; tasks have different units.
            unsafe {
                let group = std::slice::from_raw_parts(x.add(unit * d), d);
                let out = std::slice::from_raw_parts_mut(y.add(unit * d), d);
                let pivot = group[0].wide();
                let (m, var) = moments(group, pivot).mean_var(d, pivot);
                let (m, r) = (T::narrow(m), T::narrow(1.0 / (var + eps).sqrt()));
                mean.add(unit).write(m);
                rstd.add(unit).write(r);
                let first = unit % s.groups * s.each();
                if s.inner == 1 {
                    let (w, b) = (&w[first..][..d], &b[first..][..d]);
                    for j in 0..d {
                        out[j] = (group[j] - m) * (r * w[j]) + b[j];
                    }
                    continue;
                }
                for (c, (x, y)) in group.chunks_exact(s.inner).zip(out.chunks_exact_mut(s.inner)).enumerate() {
                    affine(x, y, m, r * w[first + c], b[first + c]);
                }
            }
        }
    }
}

/// Normalises each of `groups` groups of channels. Returns the output, and the means and one over the
/// standard deviations, of shape `[batch, groups]`.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let op = "group_norm";
    let s = Shape::new(op, x, groups, &[("weight", weight), ("bias", bias)])?;
    let x = copy::contiguous(op, x)?;
    for_float_types!(op, x.dtype(), T => {
        let y = Tensor::empty(op, x.shape(), x.dtype())?;
        let (mean, rstd) = (Tensor::zeros(op, &[s.n, groups], x.dtype())?, Tensor::zeros(op, &[s.n, groups], x.dtype())?);
        if !s.is_empty() {
            let w = channel_vector::<T>(op, weight, s.channels, T::ONE)?;
            let b = channel_vector::<T>(op, bias, s.channels, T::ZERO)?;
            let (xp, yp) = (SendPtr(x.ptr::<T>()), SendPtr(y.ptr::<T>()));
            let (mp, rp) = (SendPtr(mean.ptr::<T>()), SendPtr(rstd.ptr::<T>()));
            s.over(|units| forward(s, xp.get(), yp.get(), &w, &b, eps, mp.get(), rp.get(), units));
        }
        Ok((y, mean, rstd))
    })
}

multiversion! {
    fn backward<T: Float>(s: Shape, g: *const T, x: *const T, dx: *mut T, w: &[T], mean: &[T], rstd: &[T], sums: *mut Moments, units: Range<usize>) {
        let (each, scale) = (s.each(), 1.0 / (s.each() * s.inner) as f64);
        for unit in units {
            let (m, r, first) = (mean[unit], rstd[unit], unit % s.groups * each);
            let (mut a, mut b) = (0.0, 0.0);
            // SAFETY: units are in range of the tensors; tasks have different units.
            unsafe {
                for c in 0..each {
                    let at = (unit * each + c) * s.inner;
                    let g = std::slice::from_raw_parts(g.add(at), s.inner);
                    let (sum, squares) = dots(g, std::slice::from_raw_parts(x.add(at), s.inner), m);
                    sums.add(unit * each + c).write(Moments { sum, squares });
                    a += sum * w[first + c].wide();
                    b += squares * w[first + c].wide();
                }
                if dx.is_null() {
                    continue;
                }
                let (a, b) = (T::narrow(a * scale), T::narrow(b * scale * r.wide() * r.wide()));
                for c in 0..each {
                    let at = (unit * each + c) * s.inner;
                    let (g, x) = (std::slice::from_raw_parts(g.add(at), s.inner), std::slice::from_raw_parts(x.add(at), s.inner));
                    let dx = std::slice::from_raw_parts_mut(dx.add(at), s.inner);
                    let w = w[first + c];
                    for j in 0..dx.len() {
                        dx[j] = (g[j] * w - a - (x[j] - m) * b) * r;
                    }
                }
            }
        }
    }
}

/// Gradients of [`group_norm`] for its input, weight and bias, as far as needed.
pub fn group_norm_grad(
    g: &Tensor,
    x: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    mean: &Tensor,
    rstd: &Tensor,
    need: [bool; 3],
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let op = "group_norm_grad";
    let s = Shape::new(op, x, groups, &[("weight", weight)])?;
    g.expect_cpu(op)?;
    same(op, "the gradient", g, "the input", x)?;
    for (name, t) in [("mean", mean), ("rstd", rstd)] {
        t.expect_cpu(op)?;
        expect_dtype(op, name, t, x.dtype())?;
        if t.shape() != [s.n, groups] {
            return Err(Error::shape(
                op,
                format!("{name} has shape {:?}, expected [{}, {groups}]", t.shape(), s.n),
            ));
        }
    }
    let (g, x) = (copy::contiguous(op, g)?, copy::contiguous(op, x)?);
    for_float_types!(op, x.dtype(), T => {
        let w = channel_vector::<T>(op, weight, s.channels, T::ONE)?;
        let m = channel_vector::<T>(op, Some(mean), s.n * groups, T::ZERO)?;
        let r = channel_vector::<T>(op, Some(rstd), s.n * groups, T::ONE)?;
        let dx = need[0].then(|| Tensor::empty(op, x.shape(), x.dtype())).transpose()?;
        let block = memory::allocate(op, s.n * s.channels * size_of::<Moments>())?;
        let sums = SendPtr(block.as_ptr().cast::<Moments>());
        let (gp, xp) = (SendPtr(g.ptr::<T>()), SendPtr(x.ptr::<T>()));
        let dp = SendPtr(dx.as_ref().map_or(std::ptr::null_mut(), |t| t.ptr::<T>()));
        if !s.is_empty() {
            s.over(|units| backward(s, gp.get(), xp.get(), dp.get(), &w, &m, &r, sums.get(), units));
        }
        let images = if s.is_empty() { 0 } else { s.n };
        // SAFETY: every task wrote its sums.
        let sums = unsafe { std::slice::from_raw_parts(sums.get(), images * s.channels) };
        let vector = |f: &dyn Fn(usize, usize) -> f64| {
            let values: Vec<T> = (0..s.channels).map(|c| T::narrow((0..images).map(|i| f(i, c)).sum())).collect();
            Tensor::from_slice(op, &values, &[s.channels])
        };
        let dw = match need[1] {
            true => Some(vector(&|i, c| sums[i * s.channels + c].squares * r[i * groups + c / s.each()].wide())?),
            false => None,
        };
        let db = if need[2] { Some(vector(&|i, c| sums[i * s.channels + c].sum)?) } else { None };
        Ok((dx, dw, db))
    })
}
