//! Averages over windows of row-major planes: what a window sums along one axis is done for whole rows, in
//! vectors, and only the rest a window at a time.

use super::channels::Spans;
use super::rows::sum;
use crate::multiversion;
use crate::simd::vector::Float;
use std::ops::Range;

/// Windows along a row: a run of equal ones, equally far apart, and those before and behind it.
pub(super) struct Along {
    windows: Vec<Range<usize>>,
    even: Range<usize>,
    len: usize,
    step: usize,
}

/// Inputs of a window along a row up to which it is summed a tap at a time.
const TAPS: usize = 8;

impl Along {
    pub fn new(windows: &[Range<usize>]) -> Along {
        let len = windows.iter().map(Range::len).max().unwrap_or(0);
        let first = windows.iter().position(|w| w.len() == len).unwrap_or(0);
        let step = windows.get(first..first + 2).map_or(1, |pair| pair[1].start - pair[0].start);
        let fits = |i: &usize| {
            let w = &windows[*i];
            w.len() == len && w.start == windows[first].start + (i - first) * step
        };
        let count = (first..windows.len()).take_while(fits).count();
        let even = if (1..=TAPS).contains(&len) && step > 0 { first..first + count } else { 0..0 };
        Along { windows: windows.to_vec(), even, len, step }
    }

    /// Windows outside the even run.
    fn others(&self) -> impl Iterator<Item = usize> {
        (0..self.even.start).chain(self.even.end..self.windows.len())
    }

    /// Whether all windows are equal and lie side by side from the row's first input on.
    fn side_by_side(&self) -> bool {
        self.step == self.len && self.even.len() == self.windows.len() && self.windows[0].start == 0
    }
}

#[inline(always)]
fn add<T: Float>(to: &mut [T], from: &[T]) {
    for (a, &b) in to.iter_mut().zip(from) {
        *a += b;
    }
}

/// The sums of a row's windows.
#[inline(always)]
fn sums_along<T: Float>(of: &Along, x: &[T], out: &mut [T]) {
    if !of.even.is_empty() {
        let out = &mut out[of.even.clone()];
        let start = of.windows[of.even.start].start;
        let reach = (out.len() - 1) * of.step + 1;
        for tap in 0..of.len {
            let x = &x[start + tap..start + tap + reach];
            constant!(of.step, STEP => {
                for (o, sum) in out.iter_mut().enumerate() {
                    // SAFETY: the slice reaches to the last window's element.
                    let v = unsafe { *x.get_unchecked(o * STEP) };
                    *sum = if tap == 0 { v } else { *sum + v };
                }
            });
        }
    }
    for o in of.others() {
        let x = &x[of.windows[o].clone()];
        out[o] = if x.len() <= 2 * TAPS { x.iter().fold(T::default(), |a, &b| a + b) } else { sum(x) };
    }
}

/// Gives each input the shares of the windows that cover it.
#[inline(always)]
fn spread_along<T: Float>(of: &Along, shares: &[T], dx: &mut [T]) {
    dx.fill(T::default());
    if !of.even.is_empty() {
        let shares = &shares[of.even.clone()];
        let (start, last) = (of.windows[of.even.start].start, shares.len() - 1);
        if of.step == 2 && (of.len == 3 || of.len == 4) {
            // An input has one window or two: written at once, not added to what is there.
            let four = of.len == 4;
            let dx = &mut dx[start..start + 2 * last + of.len];
            for (d, s) in dx[2..].chunks_exact_mut(2).zip(shares.windows(2)) {
                d[0] = s[0] + s[1];
                d[1] = if four { s[0] + s[1] } else { s[1] };
            }
            (dx[0], dx[1]) = (shares[0], shares[0]);
            dx[2 * last + 2..].fill(shares[last]);
        } else {
            for tap in 0..of.len {
                let dx = &mut dx[start + tap..start + tap + last * of.step + 1];
                constant!(of.step, STEP => {
                    for (o, &share) in shares.iter().enumerate() {
                        // SAFETY: as in `sums_along`.
                        unsafe { *dx.get_unchecked_mut(o * STEP) += share };
                    }
                });
            }
        }
    }
    for o in of.others() {
        for d in &mut dx[of.windows[o].clone()] {
            *d += shares[o];
        }
    }
}

multiversion! {
    /// The sums of all windows of a plane. `row` is as wide as the plane.
    pub(super) fn sums<T: Float>(of: &Spans, along: &Along, x: &[T], row: &mut [T], out: &mut [T]) {
        let w = row.len();
        for (rows, out) in of.windows[0].iter().zip(out.chunks_exact_mut(along.windows.len())) {
            if rows.is_empty() {
                out.fill(T::default());
                continue;
            }
            let x = &x[rows.start * w..rows.end * w];
            if rows.len() == 1 {
                sums_along(along, x, out);
                continue;
            }
            for ((sum, &a), &b) in row.iter_mut().zip(&x[..w]).zip(&x[w..2 * w]) {
                *sum = a + b;
            }
            for x in x[2 * w..].chunks_exact(w) {
                add(row, x);
            }
            sums_along(along, row, out);
        }
    }
}

multiversion! {
    /// Gives each input the shares of the windows that cover it: the adjoint of [`sums`]. `row` is as wide as
    /// the output.
    pub(super) fn spread<T: Float>(of: &Spans, along: &Along, shares: &[T], row: &mut [T], dx: &mut [T]) {
        let (w, ow) = (dx.len() / of.covers[0].len(), row.len());
        let side_by_side = along.side_by_side();
        for (y, covers) in of.covers[0].iter().enumerate() {
            let (done, dx) = dx.split_at_mut(y * w);
            let dx = &mut dx[..w];
            if covers.is_empty() || ow == 0 {
                dx.fill(T::default());
                continue;
            }
            if y > 0 && *covers == of.covers[0][y - 1] {
                dx.copy_from_slice(&done[(y - 1) * w..]);
                continue;
            }
            let above = &shares[covers.start * ow..covers.end * ow];
            let row = if covers.len() == 1 { above } else {
                row.copy_from_slice(&above[..ow]);
                for more in above[ow..].chunks_exact(ow) {
                    add(row, more);
                }
                &*row
            };
            if !side_by_side {
                spread_along(along, row, dx);
                continue;
            }
            let (under, beyond) = dx.split_at_mut(along.len * ow);
            constant!(along.len, LEN => {
                for (d, &share) in under.chunks_exact_mut(LEN).zip(row) {
                    d.fill(share);
                }
            });
            beyond.fill(T::default());
        }
    }
}
