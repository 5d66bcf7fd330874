//! Batch normalisation: one mean and variance a channel (axis 1) over all other axes.

use super::rows::{GRADIENT, Lanes, Moments, SQUARES, SUM, affine, around_pivot, input_grad, moments};
use super::{channel_vector, expect_vector};
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::ops::softmax::same;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::tensor::Tensor;
use crate::{for_float_types, memory, multiversion};
use std::ops::Range;

/// A contiguous input as `n` times `channels` times `inner`.
#[derive(Clone, Copy)]
struct Shape {
    n: usize,
    channels: usize,
    inner: usize,
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

    fn per_channel(&self) -> usize {
        self.n * self.inner
    }

    fn is_empty(&self) -> bool {
        self.n * self.channels * self.inner == 0
    }

    /// Runs this short are worked on across channels instead of one by one.
    fn short(&self) -> bool {
        self.inner < 32
    }

    /// Ranges of the batch that statistics are cut into where channels are few.
    fn cuts(&self) -> usize {
        if self.channels >= 16 { 1 } else { (self.per_channel() / GRAIN).clamp(1, 16).min(self.n) }
    }

    /// Channels that one task takes.
    fn group(&self) -> usize {
        let wide = if self.short() { (512 / self.inner).max(1) } else { 1 };
        wide.max(GRAIN / self.per_channel().max(1)).min(self.channels)
    }
}

/// Columns that short runs are summed in side by side.
const WIDTH: usize = 512;
/// Below this length of run a channel is read twice, for its mean and for its variance; longer runs are
/// read once, in blocks.
const TWO_PASSES: usize = 512;
/// Rows added up in the element type before they fold into float64.
const STEPS: usize = 64;

/// The two sums of each channel in `c` over the images in `n`: of `(x - p)` and its square, or, with a
/// gradient, of `g` and `g * (x - p)`; `p` is the pivot of the channel.
///
/// # Safety
/// The pointers reach whole tensors of shape `s`; `pivot` reaches all channels.
#[inline(always)]
unsafe fn long_sums<T: Float>(
    s: Shape,
    g: *const T,
    x: *const T,
    pivot: *const T,
    c: Range<usize>,
    n: Range<usize>,
    out: *mut Moments,
) {
    for channel in c {
        let p = *pivot.add(channel);
        let run = |base: *const T, image: usize| {
            std::slice::from_raw_parts(base.add((image * s.channels + channel) * s.inner), s.inner)
        };
        let total = if !g.is_null() {
            let mut lanes = Lanes::new();
            for image in n.clone() {
                lanes.take::<GRADIENT>(run(g, image), run(x, image), p);
            }
            let (sum, squares) = lanes.totals();
            Moments { sum, squares }
        } else if s.inner < TWO_PASSES {
            let (mut sums, mut squares) = (Lanes::new(), Lanes::new());
            for image in n.clone() {
                sums.take::<SUM>(run(x, image), run(x, image), p);
            }
            let (len, sum) = ((n.len() * s.inner) as f64, sums.totals().0);
            let center = T::narrow(sum / len);
            for image in n.clone() {
                squares.take::<SQUARES>(run(x, image), run(x, image), center);
            }
            around_pivot(len, sum, squares.totals().0, center.wide(), p.wide())
        } else {
            let mut total = Moments::default();
            for image in n.clone() {
                total.add(moments(run(x, image), p.wide()));
            }
            total
        };
        out.add(channel).write(total);
    }
}

/// As [`long_sums`] for short runs: columns `channel * inner + position` side by side. Squares are taken
/// in float64, so that a pivot far from the mean cancels nothing.
///
/// # Safety
/// As for [`long_sums`].
#[inline(always)]
unsafe fn short_sums<T: Float>(
    s: Shape,
    g: *const T,
    x: *const T,
    pivot: *const T,
    c: Range<usize>,
    n: Range<usize>,
    out: *mut Moments,
) {
    let block = (WIDTH / s.inner).max(1);
    let mut first = c.start;
    let (mut pivots, mut a, mut b) = ([T::ZERO; WIDTH], [T::ZERO; WIDTH], [0f64; WIDTH]);
    let (mut a_total, mut b_low) = ([0f64; WIDTH], [T::ZERO; WIDTH]);
    while first < c.end {
        let channels = block.min(c.end - first);
        let w = channels * s.inner;
        let (pivots, a, b) = (&mut pivots[..w], &mut a[..w], &mut b[..w]);
        let (a_total, b_low) = (&mut a_total[..w], &mut b_low[..w]);
        for j in 0..w {
            pivots[j] = *pivot.add(first + j / s.inner);
        }
        a.fill(T::ZERO);
        b.fill(0.0);
        a_total.fill(0.0);
        b_low.fill(T::ZERO);
        for (i, image) in n.clone().enumerate() {
            let at = (image * s.channels + first) * s.inner;
            let x = std::slice::from_raw_parts(x.add(at), w);
            if g.is_null() {
                for j in 0..w {
                    let d = x[j] - pivots[j];
                    a[j] += d;
                    b[j] += d.wide() * d.wide();
                }
            } else {
                let g = std::slice::from_raw_parts(g.add(at), w);
                for j in 0..w {
                    a[j] += g[j];
                    b_low[j] += g[j] * (x[j] - pivots[j]);
                }
            }
            if i % STEPS == STEPS - 1 || image + 1 == n.end {
                for j in 0..w {
                    a_total[j] += a[j].wide();
                    b[j] += b_low[j].wide();
                    a[j] = T::ZERO;
                    b_low[j] = T::ZERO;
                }
            }
        }
        for channel in 0..channels {
            let mut total = Moments::default();
            for j in channel * s.inner..(channel + 1) * s.inner {
                total.add(Moments { sum: a_total[j], squares: b[j] });
            }
            out.add(first + channel).write(total);
        }
        first += channels;
    }
}

multiversion! {
    fn sums<T: Float>(s: Shape, g: *const T, x: *const T, pivot: *const T, c: Range<usize>, n: Range<usize>, out: *mut Moments) {
        // SAFETY: the caller's pointers reach whole tensors.
        unsafe {
            if s.short() {
                short_sums(s, g, x, pivot, c, n, out);
            } else {
                long_sums(s, g, x, pivot, c, n, out);
            }
        }
    }
}

/// Both sums of every channel. `s` is not empty.
fn channel_sums<T: Float>(
    op: &'static str,
    s: Shape,
    g: Option<&Tensor>,
    x: &Tensor,
    pivot: &Tensor,
) -> Result<Vec<Moments>> {
    let (cuts, group) = (s.cuts(), s.group());
    let (span, groups) = (s.n.div_ceil(cuts), s.channels.div_ceil(group));
    let cuts = s.n.div_ceil(span);
    let partial = memory::allocate(op, cuts * s.channels * size_of::<Moments>())?;
    let to = SendPtr(partial.as_ptr().cast::<Moments>());
    let (gp, xp, pp) = (
        SendPtr(g.map_or(std::ptr::null_mut(), |g| g.ptr::<T>())),
        SendPtr(x.ptr::<T>()),
        SendPtr(pivot.ptr::<T>()),
    );
    for_each(cuts * groups, |task| {
        let (cut, k) = (task / groups, task % groups);
        let c = k * group..((k + 1) * group).min(s.channels);
        // SAFETY: the workspace holds `cuts` times all channels.
        let out = unsafe { to.get().add(cut * s.channels) };
        sums(s, gp.get(), xp.get(), pp.get(), c, cut * span..((cut + 1) * span).min(s.n), out);
    });
    // SAFETY: every task wrote its channels.
    let partial = unsafe { std::slice::from_raw_parts(to.get(), cuts * s.channels) };
    Ok((0..s.channels)
        .map(|c| {
            let mut total = Moments::default();
            (0..cuts).for_each(|cut| total.add(partial[cut * s.channels + c]));
            total
        })
        .collect())
}

/// Calls a kernel on ranges of runs (image, channel); with short runs on ranges of images.
fn over_runs(s: Shape, f: impl Fn(Range<usize>) + Sync) {
    let (units, cost) = if s.short() { (s.n, s.channels * s.inner) } else { (s.n * s.channels, s.inner) };
    let group = (GRAIN / cost).clamp(1, units);
    for_each(units.div_ceil(group), |k| f(k * group..((k + 1) * group).min(units)));
}

/// Repeats each channel's value for the positions of a run, so that images are plain rows.
fn expand<T: Float>(s: Shape, values: &[T]) -> Vec<T> {
    if !s.short() || s.inner == 1 {
        return values.to_vec();
    }
    values.iter().flat_map(|&v| std::iter::repeat_n(v, s.inner)).collect()
}

multiversion! {
    fn normalise<T: Float>(s: Shape, x: *const T, y: *mut T, mean: &[T], scale: &[T], shift: &[T], units: Range<usize>) {
        // SAFETY: units are in range of both tensors; tasks have different units.
        unsafe {
            if s.short() {
                let w = s.channels * s.inner;
                let (mean, scale, shift) = (&mean[..w], &scale[..w], &shift[..w]);
                for i in units {
                    let x = std::slice::from_raw_parts(x.add(i * w), w);
                    let y = std::slice::from_raw_parts_mut(y.add(i * w), w);
                    for j in 0..w {
                        y[j] = (x[j] - mean[j]) * scale[j] + shift[j];
                    }
                }
                return;
            }
            for i in units {
                let c = i % s.channels;
                let x = std::slice::from_raw_parts(x.add(i * s.inner), s.inner);
                let y = std::slice::from_raw_parts_mut(y.add(i * s.inner), s.inner);
                affine(x, y, mean[c], scale[c], shift[c]);
            }
        }
    }
}

fn apply<T: Float>(
    op: &'static str,
    s: Shape,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    mean: &[T],
    rstd: &[T],
) -> Result<Tensor> {
    let out = Tensor::empty(op, x.shape(), T::DTYPE)?;
    if s.is_empty() {
        return Ok(out);
    }
    let weight = channel_vector::<T>(op, weight, s.channels, T::ONE)?;
    let scale: Vec<T> = weight.iter().zip(rstd).map(|(&w, &r)| w * r).collect();
    let shift = expand(s, &channel_vector::<T>(op, bias, s.channels, T::ZERO)?);
    let (mean, scale) = (expand(s, mean), expand(s, &scale));
    let (from, to) = (SendPtr(x.ptr::<T>()), SendPtr(out.ptr::<T>()));
    over_runs(s, |units| normalise(s, from.get(), to.get(), &mean, &scale, &shift, units));
    Ok(out)
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

/// Normalises by the batch's own statistics. Returns the output, the means and one over the standard
/// deviations (of the biased variance) of the channels.
pub fn batch_norm(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
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
    let x = copy::contiguous(op, x)?;
    for_float_types!(op, x.dtype(), T => {
        let mean = Tensor::zeros(op, &[s.channels], x.dtype())?;
        let rstd = Tensor::zeros(op, &[s.channels], x.dtype())?;
        // SAFETY: fresh outputs.
        let (m, r) = unsafe { (mean.as_mut_slice::<T>(), rstd.as_mut_slice::<T>()) };
        if !s.is_empty() {
            let pivot = Tensor::empty(op, &[s.channels], x.dtype())?;
            // SAFETY: a fresh tensor, and the first element of every channel.
            let p = unsafe { pivot.as_mut_slice::<T>() };
            for (c, p) in p.iter_mut().enumerate() {
                *p = unsafe { *x.ptr::<T>().add(c * s.inner) };
            }
            for (c, total) in channel_sums::<T>(op, s, None, &x, &pivot)?.into_iter().enumerate() {
                let (mean, var) = total.mean_var(s.per_channel(), p[c].wide());
                (m[c], r[c]) = (T::narrow(mean), T::narrow(1.0 / (var + eps).sqrt()));
            }
        }
        let y = apply::<T>(op, s, &x, weight, bias, m, r)?;
        Ok((y, mean, rstd))
    })
}

/// Normalises by running statistics.
pub fn batch_norm_inference(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: &Tensor,
    running_var: &Tensor,
    eps: f64,
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
    let x = copy::contiguous(op, x)?;
    for_float_types!(op, x.dtype(), T => {
        let mean = channel_vector::<T>(op, Some(running_mean), s.channels, T::ZERO)?;
        let var = channel_vector::<T>(op, Some(running_var), s.channels, T::ONE)?;
        let rstd: Vec<T> = var.iter().map(|v| T::narrow(1.0 / (v.wide() + eps).sqrt())).collect();
        apply::<T>(op, s, &x, weight, bias, &mean, &rstd)
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
            let var = (1.0 / (rstd * rstd) - eps).max(0.0) * unbias;
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

multiversion! {
    fn grad_runs<T: Float>(s: Shape, g: *const T, x: *const T, dx: *mut T, mean: &[T], a: &[T], b: &[T], scale: &[T], units: Range<usize>) {
        // SAFETY: units are in range of the tensors; tasks have different units.
        unsafe {
            if s.short() {
                let w = s.channels * s.inner;
                let (mean, a, b, scale) = (&mean[..w], &a[..w], &b[..w], &scale[..w]);
                for i in units {
                    let (g, x) = (std::slice::from_raw_parts(g.add(i * w), w), std::slice::from_raw_parts(x.add(i * w), w));
                    let dx = std::slice::from_raw_parts_mut(dx.add(i * w), w);
                    for j in 0..w {
                        dx[j] = (g[j] - a[j] - (x[j] - mean[j]) * b[j]) * scale[j];
                    }
                }
                return;
            }
            for i in units {
                let (c, at) = (i % s.channels, i * s.inner);
                let (g, x) = (std::slice::from_raw_parts(g.add(at), s.inner), std::slice::from_raw_parts(x.add(at), s.inner));
                let dx = std::slice::from_raw_parts_mut(dx.add(at), s.inner);
                input_grad(g, x, dx, mean[c], a[c], b[c], scale[c]);
            }
        }
    }
}

/// Gradients of [`batch_norm`] for its input, weight and bias, as far as needed.
pub fn batch_norm_grad(
    g: &Tensor,
    x: &Tensor,
    weight: Option<&Tensor>,
    mean: &Tensor,
    rstd: &Tensor,
    need: [bool; 3],
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let op = "batch_norm_grad";
    let s = Shape::new(op, x)?;
    check(op, s, x, &[("weight", weight), ("mean", Some(mean)), ("rstd", Some(rstd))])?;
    g.expect_cpu(op)?;
    same(op, "the gradient", g, "the input", x)?;
    let (g, x, mean) = (copy::contiguous(op, g)?, copy::contiguous(op, x)?, copy::contiguous(op, mean)?);
    for_float_types!(op, x.dtype(), T => {
        let m = channel_vector::<T>(op, Some(&mean), s.channels, T::ZERO)?;
        let r = channel_vector::<T>(op, Some(rstd), s.channels, T::ONE)?;
        let totals = match s.is_empty() {
            true => vec![Moments::default(); s.channels],
            false => channel_sums::<T>(op, s, Some(&g), &x, &mean)?,
        };
        let vector = |f: &dyn Fn(usize) -> f64| -> Vec<T> { (0..s.channels).map(|c| T::narrow(f(c))).collect() };
        let dw = need[1].then(|| Tensor::from_slice(op, &vector(&|c| totals[c].squares * r[c].wide()), &[s.channels])).transpose()?;
        let db = need[2].then(|| Tensor::from_slice(op, &vector(&|c| totals[c].sum), &[s.channels])).transpose()?;
        let dx = match need[0] {
            false => None,
            true => {
                let out = Tensor::empty(op, x.shape(), x.dtype())?;
                if !s.is_empty() {
                    let n = s.per_channel() as f64;
                    let w = channel_vector::<T>(op, weight, s.channels, T::ONE)?;
                    let a = expand(s, &vector(&|c| totals[c].sum / n));
                    let b = expand(s, &vector(&|c| totals[c].squares / n * r[c].wide() * r[c].wide()));
                    let scale = expand(s, &vector(&|c| w[c].wide() * r[c].wide()));
                    let m = expand(s, &m);
                    let (gp, xp, to) = (SendPtr(g.ptr::<T>()), SendPtr(x.ptr::<T>()), SendPtr(out.ptr::<T>()));
                    over_runs(s, |units| grad_runs(s, gp.get(), xp.get(), to.get(), &m, &a, &b, &scale, units));
                }
                Some(out)
            }
        };
        Ok((dx, dw, db))
    })
}
