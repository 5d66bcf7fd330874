//! Loops over one run of elements that all normalisations share.

use crate::ops::reduce::float::Float;
use crate::ops::softmax::lane_sum;

const LANES: usize = 32;
/// Short enough to stay in the first-level cache between two passes.
const BLOCK: usize = LANES * 64;

/// Sum of distances from a pivot, and of their squares, in float64.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    pub sum: f64,
    pub squares: f64,
}

impl Moments {
    #[inline(always)]
    pub fn add(&mut self, other: Moments) {
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Mean and biased variance of `n` values.
    #[inline(always)]
    pub fn mean_var(self, n: usize, pivot: f64) -> (f64, f64) {
        let d = self.sum / n as f64;
        (pivot + d, (self.squares / n as f64 - d * d).max(0.0))
    }
}

/// The moments of a run. Each block is squared around its own mean, so that float32 cancels nothing;
/// what lies between blocks is float64.
#[inline(always)]
pub(super) fn moments<T: Float>(x: &[T], pivot: f64) -> Moments {
    let mut out = Moments::default();
    for block in x.chunks(BLOCK) {
        let len = block.len() as f64;
        let (chunks, rest) = block.as_chunks::<LANES>();
        let mut acc = [T::ZERO; LANES];
        for c in chunks {
            for j in 0..LANES {
                acc[j] += c[j];
            }
        }
        let mut sum = lane_sum(acc);
        for v in rest {
            sum += v.wide();
        }
        let center = T::narrow(sum / len);
        let mut acc = [T::ZERO; LANES];
        for c in chunks {
            for j in 0..LANES {
                let d = c[j] - center;
                acc[j] += d * d;
            }
        }
        let mut squares = lane_sum(acc);
        for &v in rest {
            let d = (v - center).wide();
            squares += d * d;
        }
        // Around the rounded centre c: sum (x-p)^2 = sum (x-c)^2 + 2 (c-p) sum (x-c) + n (c-p)^2.
        let (shift, off) = (center.wide() - pivot, sum - len * center.wide());
        out.sum += sum - len * pivot;
        out.squares += squares + shift * (2.0 * off + len * shift);
    }
    out
}

/// Sums of `g` and of `g * (x - mean)` over a run.
#[inline(always)]
pub(super) fn dots<T: Float>(g: &[T], x: &[T], mean: T) -> (f64, f64) {
    let (mut total, mut total_x) = (0.0, 0.0);
    for (g, x) in g.chunks(BLOCK).zip(x.chunks(BLOCK)) {
        let (gc, gr) = g.as_chunks::<LANES>();
        let (xc, xr) = x.as_chunks::<LANES>();
        let (mut acc, mut acc_x) = ([T::ZERO; LANES], [T::ZERO; LANES]);
        for (g, x) in gc.iter().zip(xc) {
            for j in 0..LANES {
                acc[j] += g[j];
                acc_x[j] += g[j] * (x[j] - mean);
            }
        }
        let (mut sum, mut sum_x) = (lane_sum(acc), lane_sum(acc_x));
        for (&g, &x) in gr.iter().zip(xr) {
            sum += g.wide();
            sum_x += (g * (x - mean)).wide();
        }
        total += sum;
        total_x += sum_x;
    }
    (total, total_x)
}

/// As [`dots`] of `g * w`.
#[inline(always)]
pub(super) fn weighted_dots<T: Float>(g: &[T], w: &[T], x: &[T], mean: T) -> (f64, f64) {
    let (mut total, mut total_x) = (0.0, 0.0);
    for ((g, x), w) in g.chunks(BLOCK).zip(x.chunks(BLOCK)).zip(w.chunks(BLOCK)) {
        let (gc, gr) = g.as_chunks::<LANES>();
        let (xc, xr) = x.as_chunks::<LANES>();
        let (wc, wr) = w.as_chunks::<LANES>();
        let (mut acc, mut acc_x) = ([T::ZERO; LANES], [T::ZERO; LANES]);
        for ((g, x), w) in gc.iter().zip(xc).zip(wc) {
            for j in 0..LANES {
                let v = g[j] * w[j];
                acc[j] += v;
                acc_x[j] += v * (x[j] - mean);
            }
        }
        let (mut sum, mut sum_x) = (lane_sum(acc), lane_sum(acc_x));
        for ((&g, &x), &w) in gr.iter().zip(xr).zip(wr) {
            sum += (g * w).wide();
            sum_x += (g * w * (x - mean)).wide();
        }
        total += sum;
        total_x += sum_x;
    }
    (total, total_x)
}

/// `y = (x - mean) * scale + shift` with one set of values for the run.
#[inline(always)]
pub(super) fn affine<T: Float>(x: &[T], y: &mut [T], mean: T, scale: T, shift: T) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = (x - mean) * scale + shift;
    }
}

/// `dx = (g - a - (x - mean) * b) * scale` with one set of values for the run.
#[inline(always)]
pub(super) fn input_grad<T: Float>(g: &[T], x: &[T], dx: &mut [T], mean: T, a: T, b: T, scale: T) {
    for ((dx, &g), &x) in dx.iter_mut().zip(g).zip(x) {
        *dx = (g - a - (x - mean) * b) * scale;
    }
}
