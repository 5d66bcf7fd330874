//! Batch normalisation over rows of channels, `[rows, channels]` row-major: channels in the lanes.

use super::rows::{Moments, around_pivot};
use crate::error::Result;
use crate::ops::reduce::float::Float;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::{memory, multiversion};
use std::ops::Range;

/// Elements that are read a second time while the first-level cache still holds them.
const BLOCK: usize = 8192;
/// Columns that are summed side by side in registers.
const LANES: usize = 32;
/// Lines that values a column are loaded for, and their elements: lines of many columns lie pages apart,
/// so few of them are read side by side.
const STEP: usize = 16;
const NEAR: usize = 1024;
/// The most partial sums a channel, and the lines of one at least: adding up the channels of a cut costs as
/// much as several lines.
const CUTS: usize = 64;
const LEAST: usize = 64;

/// The rows as `lines` of `width` columns and one shorter line of `tail` columns. A line joins
/// several rows where channels are few, so that its columns fill the lanes.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    channels: usize,
    width: usize,
    lines: usize,
    tail: usize,
}

impl Lines {
    pub fn new(rows: usize, channels: usize) -> Lines {
        let fills = |join: &usize| channels * join >= 64 && (channels * join).is_multiple_of(16);
        let join = if channels > 256 { 1 } else { (1..=64).find(fills).unwrap_or(1) };
        Lines { channels, width: join * channels, lines: rows / join, tail: rows % join * channels }
    }

    /// A value a column.
    pub fn spread<T: Copy>(&self, values: &[T]) -> Vec<T> {
        values.repeat(self.width / self.channels)
    }

    /// Calls a kernel on ranges of elements, whole lines each, from the middle to both ends: what a pass
    /// before this one read last is still in a cache.
    pub fn over(&self, f: impl Fn(Range<usize>) + Sync) {
        let (len, step) = (self.lines * self.width + self.tail, (GRAIN / self.width).max(1) * self.width);
        let tasks = len.div_ceil(step);
        let half = tasks / 2;
        for_each(tasks, |task| {
            let piece = if task < half { half - 1 - task } else { tasks - 1 - (task - half) };
            let first = piece * step;
            f(first..(first + step).min(len));
        });
    }

    /// Lines whose sums are folded into float64 together.
    fn block(&self) -> usize {
        (BLOCK / self.width).clamp(8, 64)
    }

    /// The two sums of every channel, from `f(elements, width, sums, squares)`, which adds what a block of
    /// lines gives to each column's.
    pub fn totals(
        &self,
        op: &'static str,
        f: impl Fn(Range<usize>, usize, &mut [f64], &mut [f64]) + Sync,
    ) -> Result<Vec<Moments>> {
        let c = self.channels;
        let span = self.lines.div_ceil(CUTS).max(GRAIN / self.width).max(LEAST);
        let cuts = self.lines.div_ceil(span).max(1);
        let partial = memory::allocate(op, cuts * c * size_of::<Moments>())?;
        let to = SendPtr(partial.as_ptr().cast::<Moments>());
        for_each(cuts, |cut| {
            let mut columns = vec![0.0; 2 * self.width];
            let (sums, squares) = columns.split_at_mut(self.width);
            let end = ((cut + 1) * span).min(self.lines);
            for first in (cut * span..end).step_by(self.block()) {
                let last = (first + self.block()).min(end);
                f(first * self.width..last * self.width, self.width, sums, squares);
            }
            if cut + 1 == cuts && self.tail > 0 {
                let first = self.lines * self.width;
                f(first..first + self.tail, self.tail, sums, squares);
            }
            // SAFETY: the workspace holds `cuts` times all channels; one task a cut.
            let totals = unsafe { std::slice::from_raw_parts_mut(to.get().add(cut * c), c) };
            totals.fill(Moments::default());
            for (sums, squares) in sums.chunks_exact(c).zip(squares.chunks_exact(c)) {
                for ((total, &sum), &squares) in totals.iter_mut().zip(sums).zip(squares) {
                    total.add(Moments { sum, squares });
                }
            }
        });
        // SAFETY: every task wrote its cut.
        let partial = unsafe { std::slice::from_raw_parts(to.get(), cuts * c) };
        let mut totals = vec![Moments::default(); c];
        for cut in partial.chunks_exact(c) {
            totals.iter_mut().zip(cut).for_each(|(total, &part)| total.add(part));
        }
        Ok(totals)
    }
}

/// Runs `$body` for columns `0..width`, `N` of them from `at` at a time.
macro_rules! columns {
    ($width:expr, $at:ident, $n:ident => $body:expr) => {
        let mut $at = 0;
        while $at + LANES <= $width {
            const $n: usize = LANES;
            $body;
            $at += $n;
        }
        while $at + 16 <= $width {
            const $n: usize = 16;
            $body;
            $at += $n;
        }
        while $at < $width {
            const $n: usize = 1;
            $body;
            $at += $n;
        }
    };
}

/// `N` neighbours.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn some<T: Copy, const N: usize>(p: *const T, at: usize) -> [T; N] {
    p.add(at).cast::<[T; N]>().read_unaligned()
}

multiversion! {
    /// Adds the moments around the pivots of lines of `width` columns. A column is squared around the
    /// mean of its block, so that float32 cancels nothing; what lies between blocks is float64.
    pub(super) fn block_moments<T: Float>(x: &[T], width: usize, pivot: &[T], sums: &mut [f64], squares: &mut [f64]) {
        let lines = x.len() / width;
        assert!(pivot.len() >= width && sums.len() >= width && squares.len() >= width);
        let (len, part) = (lines as f64, T::narrow(1.0 / lines as f64));
        columns!(width, at, N => {
            // SAFETY: `N` columns from `at` are within each line.
            unsafe {
                let mut sum = [T::ZERO; N];
                for line in 0..lines {
                    let v: [T; N] = some(x.as_ptr(), line * width + at);
                    for j in 0..N {
                        sum[j] += v[j];
                    }
                }
                let mut center = [T::ZERO; N];
                for j in 0..N {
                    center[j] = sum[j] * part;
                }
                let mut square = [T::ZERO; N];
                for line in 0..lines {
                    let v: [T; N] = some(x.as_ptr(), line * width + at);
                    for j in 0..N {
                        let d = v[j] - center[j];
                        square[j] += d * d;
                    }
                }
                let pivot: [T; N] = some(pivot.as_ptr(), at);
                for j in 0..N {
                    let m = around_pivot(len, sum[j].wide(), square[j].wide(), center[j].wide(), pivot[j].wide());
                    *sums.get_unchecked_mut(at + j) += m.sum;
                    *squares.get_unchecked_mut(at + j) += m.squares;
                }
            }
        });
    }
}

/// What a column is normalised with: `(x - mean) * scale + shift`, a value a column each.
pub(super) struct Affine<'a, T> {
    pub mean: &'a [T],
    pub scale: &'a [T],
    pub shift: &'a [T],
}

/// A ReLU as PyTorch's: not-a-number stays.
#[inline(always)]
pub(super) fn relu<T: Float>(v: T) -> T {
    if v <= T::ZERO { T::ZERO } else { v }
}

/// The gradient before a ReLU whose input was `v`.
#[inline(always)]
pub(super) fn masked<T: Float>(g: T, v: T) -> T {
    if v <= T::ZERO { T::ZERO } else { g }
}

/// Adds the sums of `g` and of `g * (x - mean)` of a block of lines; with `RELU` of the `g` that a ReLU
/// behind the normalisation lets through.
#[inline(always)]
fn dots<T: Float, const RELU: bool>(
    g: &[T],
    x: &[T],
    width: usize,
    a: &Affine<T>,
    sums: &mut [f64],
    products: &mut [f64],
) {
    let lines = x.len() / width;
    assert!(g.len() == x.len() && a.mean.len() >= width && a.scale.len() >= width && a.shift.len() >= width);
    assert!(sums.len() >= width && products.len() >= width);
    columns!(width, at, N => {
        // SAFETY: `N` columns from `at` are within each line.
        unsafe {
            let mean: [T; N] = some(a.mean.as_ptr(), at);
            let (scale, shift): ([T; N], [T; N]) = (some(a.scale.as_ptr(), at), some(a.shift.as_ptr(), at));
            let (mut sum, mut product) = ([T::ZERO; N], [T::ZERO; N]);
            for line in 0..lines {
                let v: [T; N] = some(x.as_ptr(), line * width + at);
                let g: [T; N] = some(g.as_ptr(), line * width + at);
                for j in 0..N {
                    let d = v[j] - mean[j];
                    let g = if RELU { masked(g[j], d * scale[j] + shift[j]) } else { g[j] };
                    sum[j] += g;
                    product[j] += g * d;
                }
            }
            for j in 0..N {
                *sums.get_unchecked_mut(at + j) += sum[j].wide();
                *products.get_unchecked_mut(at + j) += product[j].wide();
            }
        }
    });
}

multiversion! {
    pub(super) fn block_dots<T: Float>(g: &[T], x: &[T], width: usize, a: &Affine<T>, relu: bool, sums: &mut [f64], products: &mut [f64]) {
        if relu {
            dots::<T, true>(g, x, width, a, sums, products);
        } else {
            dots::<T, false>(g, x, width, a, sums, products);
        }
    }
}

/// Calls `$body` for blocks of `lines` of `width` columns from element `start` on, and for the line of `len`
/// elements that is left.
macro_rules! blocks {
    ($len:expr, $full:expr, $start:ident, $width:ident, $lines:ident => $body:expr) => {
        let mut $start = 0;
        while $start < $len {
            let $width = $full.min($len - $start);
            let $lines = (($len - $start) / $width).min((NEAR / $width).clamp(1, STEP));
            $body;
            $start += $lines * $width;
        }
    };
}

#[inline(always)]
fn affine<T: Float, const RELU: bool>(x: &[T], y: &mut [T], a: &Affine<T>) {
    assert!(x.len() == y.len() && a.scale.len() == a.mean.len() && a.shift.len() == a.mean.len());
    blocks!(x.len(), a.mean.len(), start, width, lines => {
        columns!(width, at, N => {
            // SAFETY: `N` columns from `at` are within each line, and the lines within the slices.
            unsafe {
                let (mean, scale): ([T; N], [T; N]) = (some(a.mean.as_ptr(), at), some(a.scale.as_ptr(), at));
                let shift: [T; N] = some(a.shift.as_ptr(), at);
                for line in 0..lines {
                    let mut v: [T; N] = some(x.as_ptr(), start + line * width + at);
                    for j in 0..N {
                        v[j] = (v[j] - mean[j]) * scale[j] + shift[j];
                        v[j] = if RELU { relu(v[j]) } else { v[j] };
                    }
                    y.as_mut_ptr().add(start + line * width + at).cast::<[T; N]>().write_unaligned(v);
                }
            }
        });
    });
}

multiversion! {
    pub(super) fn normalise<T: Float>(x: &[T], y: &mut [T], a: &Affine<T>, relu: bool) {
        if relu {
            affine::<T, true>(x, y, a);
        } else {
            affine::<T, false>(x, y, a);
        }
    }
}

#[inline(always)]
fn gradient<T: Float, const RELU: bool>(g: &[T], x: &[T], dx: &mut [T], n: &Affine<T>, a: &[T], b: &[T]) {
    let full = n.mean.len();
    assert!(x.len() == dx.len() && x.len() == g.len() && a.len() == full && b.len() == full);
    assert!(n.scale.len() == full && n.shift.len() == full);
    blocks!(x.len(), full, start, width, lines => {
        columns!(width, at, N => {
            // SAFETY: as in `affine`.
            unsafe {
                let (mean, scale): ([T; N], [T; N]) = (some(n.mean.as_ptr(), at), some(n.scale.as_ptr(), at));
                let shift: [T; N] = some(n.shift.as_ptr(), at);
                let (a, b): ([T; N], [T; N]) = (some(a.as_ptr(), at), some(b.as_ptr(), at));
                for line in 0..lines {
                    let place = start + line * width + at;
                    let (mut v, g): ([T; N], [T; N]) = (some(x.as_ptr(), place), some(g.as_ptr(), place));
                    for j in 0..N {
                        let d = v[j] - mean[j];
                        let g = if RELU { masked(g[j], d * scale[j] + shift[j]) } else { g[j] };
                        v[j] = (g - a[j] - d * b[j]) * scale[j];
                    }
                    dx.as_mut_ptr().add(place).cast::<[T; N]>().write_unaligned(v);
                }
            }
        });
    });
}

multiversion! {
    /// `dx = (g - a - (x - mean) * b) * scale`, of the `g` that a ReLU lets through, if there is one.
    pub(super) fn input_grad<T: Float>(g: &[T], x: &[T], dx: &mut [T], n: &Affine<T>, a: &[T], b: &[T], relu: bool) {
        if relu {
            gradient::<T, true>(g, x, dx, n, a, b);
        } else {
            gradient::<T, false>(g, x, dx, n, a, b);
        }
    }
}
