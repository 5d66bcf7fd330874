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
        let var = self.squares / n as f64 - d * d;
        // Not-a-number stays.
        (pivot + d, if var < 0.0 { 0.0 } else { var })
    }
}

/// What [`Lanes`] sum.
pub(super) const SUM: u8 = 0;
pub(super) const SQUARES: u8 = 1;
pub(super) const GRADIENT: u8 = 2;

/// Sums that go on over many runs: in lanes for a while, then in float64.
pub(super) struct Lanes<T> {
    acc: [[T; LANES]; 2],
    /// Lanes of what is left of runs that are no multiple of [`LANES`].
    tail: [[T; LANES]; 2],
    pending: usize,
    total: [f64; 2],
}

impl<T: Float> Lanes<T> {
    #[inline(always)]
    pub fn new() -> Self {
        Lanes { acc: [[T::ZERO; LANES]; 2], tail: [[T::ZERO; LANES]; 2], pending: 0, total: [0.0; 2] }
    }

    #[inline(always)]
    fn flush(&mut self) {
        for (i, total) in self.total.iter_mut().enumerate() {
            for j in 0..LANES {
                self.acc[i][j] += self.tail[i][j];
            }
            *total += lane_sum(self.acc[i]);
        }
        (self.acc, self.tail, self.pending) = ([[T::ZERO; LANES]; 2], [[T::ZERO; LANES]; 2], 0);
    }

    /// Takes a run: `x`, or `(x - center)^2`, or `g` and `g * (x - center)`. Only the last reads `g`,
    /// which is as long as `x`.
    #[inline(always)]
    pub fn take<const KIND: u8>(&mut self, g: &[T], x: &[T], center: T) {
        for (g, x) in g.chunks(BLOCK).zip(x.chunks(BLOCK)) {
            let (gc, gr) = g.as_chunks::<LANES>();
            let (xc, xr) = x.as_chunks::<LANES>();
            // Local copies stay in registers during the loop.
            let [mut a, mut b] = self.acc;
            for (g, x) in gc.iter().zip(xc) {
                for j in 0..LANES {
                    let d = x[j] - center;
                    match KIND {
                        SUM => a[j] += x[j],
                        SQUARES => a[j] += d * d,
                        _ => {
                            a[j] += g[j];
                            b[j] += g[j] * d;
                        }
                    }
                }
            }
            self.acc = [a, b];
            let [a, b] = &mut self.tail;
            for (((a, b), &g), &x) in a.iter_mut().zip(b).zip(gr).zip(xr) {
                let d = x - center;
                match KIND {
                    SUM => *a += x,
                    SQUARES => *a += d * d,
                    _ => {
                        *a += g;
                        *b += g * d;
                    }
                }
            }
            self.pending += xc.len() + 1;
            if self.pending >= BLOCK / LANES {
                self.flush();
            }
        }
    }

    #[inline(always)]
    pub fn totals(mut self) -> (f64, f64) {
        self.flush();
        (self.total[0], self.total[1])
    }
}

/// The moments around a pivot, from the sum of `len` values and their squared distances from a rounded
/// centre: `sum (x-p)^2 = sum (x-c)^2 + 2 (c-p) sum (x-c) + n (c-p)^2`.
#[inline(always)]
pub(super) fn around_pivot(len: f64, sum: f64, squares: f64, center: f64, pivot: f64) -> Moments {
    let (shift, off) = (center - pivot, sum - len * center);
    Moments { sum: sum - len * pivot, squares: squares + shift * (2.0 * off + len * shift) }
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
        if !rest.is_empty() {
            let mut tail = [T::ZERO; LANES];
            tail[..rest.len()].copy_from_slice(rest);
            for j in 0..LANES {
                acc[j] += tail[j];
            }
        }
        let sum = lane_sum(acc);
        let center = T::narrow(sum / len);
        let mut acc = [T::ZERO; LANES];
        for c in chunks {
            for j in 0..LANES {
                let d = c[j] - center;
                acc[j] += d * d;
            }
        }
        if !rest.is_empty() {
            let mut tail = [center; LANES];
            tail[..rest.len()].copy_from_slice(rest);
            for j in 0..LANES {
                let d = tail[j] - center;
                acc[j] += d * d;
            }
        }
        out.add(around_pivot(len, sum, lane_sum(acc), center.wide(), pivot));
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
        // By index: where zip is not inlined it costs more than a short run.
        let xc = &xc[..gc.len()];
        for i in 0..gc.len() {
            let (g, x) = (&gc[i], &xc[i]);
            for j in 0..LANES {
                acc[j] += g[j];
                acc_x[j] += g[j] * (x[j] - mean);
            }
        }
        if !gr.is_empty() {
            let (g, x) = (padded(gr), padded(xr));
            for j in 0..LANES {
                acc[j] += g[j];
                acc_x[j] += g[j] * (x[j] - mean);
            }
        }
        total += lane_sum(acc);
        total_x += lane_sum(acc_x);
    }
    (total, total_x)
}

/// What is left of a run, and zeros.
#[inline(always)]
fn padded<T: Float>(rest: &[T]) -> [T; LANES] {
    let mut out = [T::ZERO; LANES];
    out[..rest.len()].copy_from_slice(rest);
    out
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
        let (xc, wc) = (&xc[..gc.len()], &wc[..gc.len()]);
        for i in 0..gc.len() {
            let (g, x, w) = (&gc[i], &xc[i], &wc[i]);
            for j in 0..LANES {
                let v = g[j] * w[j];
                acc[j] += v;
                acc_x[j] += v * (x[j] - mean);
            }
        }
        if !gr.is_empty() {
            let (g, x, w) = (padded(gr), padded(xr), padded(wr));
            for j in 0..LANES {
                let v = g[j] * w[j];
                acc[j] += v;
                acc_x[j] += v * (x[j] - mean);
            }
        }
        total += lane_sum(acc);
        total_x += lane_sum(acc_x);
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
