//! Batch normalisation of row-major memory: each channel a run of positions in every image.

use super::batch::Shape;
use super::batch_rows::relu;
use super::rows::{GRADIENT, Lanes, Moments, SQUARES, SUM, affine, around_pivot, input_grad, moments};
use crate::error::Result;
use crate::ops::reduce::float::Float;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::tensor::Tensor;
use crate::{memory, multiversion};
use std::ops::Range;

impl Shape {
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
pub(super) fn channel_sums<T: Float>(
    op: &'static str,
    s: Shape,
    g: Option<&Tensor>,
    x: &Tensor,
    pivot: &[T],
) -> Result<Vec<Moments>> {
    let (cuts, group) = (s.cuts(), s.group());
    let (span, groups) = (s.n.div_ceil(cuts), s.channels.div_ceil(group));
    let cuts = s.n.div_ceil(span);
    let partial = memory::allocate(op, cuts * s.channels * size_of::<Moments>())?;
    let to = SendPtr(partial.as_ptr().cast::<Moments>());
    let (gp, xp, pp) = (
        SendPtr(g.map_or(std::ptr::null_mut(), |g| g.ptr::<T>())),
        SendPtr(x.ptr::<T>()),
        SendPtr(pivot.as_ptr().cast_mut()),
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
pub(super) fn over_runs(s: Shape, f: impl Fn(Range<usize>) + Sync) {
    let (units, cost) = if s.short() { (s.n, s.channels * s.inner) } else { (s.n * s.channels, s.inner) };
    let group = (GRAIN / cost).clamp(1, units);
    for_each(units.div_ceil(group), |k| f(k * group..((k + 1) * group).min(units)));
}

/// Repeats each channel's value for the positions of a run, so that images are plain rows.
pub(super) fn expand<T: Float>(s: Shape, values: &[T]) -> Vec<T> {
    if !s.short() {
        return values.to_vec();
    }
    values.iter().flat_map(|&v| std::iter::repeat_n(v, s.inner)).collect()
}

multiversion! {
    pub(super) fn normalise<T: Float>(s: Shape, x: *const T, y: *mut T, mean: &[T], scale: &[T], shift: &[T], rectify: bool, units: Range<usize>) {
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
                    if rectify {
                        y.iter_mut().for_each(|y| *y = relu(*y));
                    }
                }
                return;
            }
            for i in units {
                let c = i % s.channels;
                let x = std::slice::from_raw_parts(x.add(i * s.inner), s.inner);
                let y = std::slice::from_raw_parts_mut(y.add(i * s.inner), s.inner);
                affine(x, y, mean[c], scale[c], shift[c]);
                if rectify {
                    y.iter_mut().for_each(|y| *y = relu(*y));
                }
            }
        }
    }
}

multiversion! {
    pub(super) fn grad_runs<T: Float>(s: Shape, g: *const T, x: *const T, dx: *mut T, mean: &[T], a: &[T], b: &[T], scale: &[T], units: Range<usize>) {
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
