//! Softmax of short rows, in groups: what crosses lanes is done for all rows of a group at once.

use super::LANES;
use crate::multiversion;
use crate::ops::reduce::float::Float;
use crate::ops::reduce::{FloatNumber, short_maxima};
use crate::simd::by_memory;

/// Elements of a row up to which its group, before and after, stays in the nearest cache.
pub(super) const SHORT: usize = 512;
const ROWS: usize = 16;

/// What is summed over a row, some neighbours at a time.
trait Terms<T> {
    /// The terms of `N` elements from `at` on.
    ///
    /// # Safety
    /// They are in the row.
    unsafe fn terms<const N: usize>(&self, at: usize) -> [T; N];
}

/// `exp(x - top)`, which `y` gets where that is wanted.
struct Exponentials<T> {
    x: *const T,
    y: *mut T,
    top: T,
    store: bool,
}

impl<T: Float> Terms<T> for Exponentials<T> {
    #[inline(always)]
    unsafe fn terms<const N: usize>(&self, at: usize) -> [T; N] {
        let x = &*self.x.add(at).cast::<[T; N]>();
        let mut e = [T::ZERO; N];
        for j in 0..N {
            e[j] = (x[j] - self.top).exp();
        }
        if self.store {
            self.y.add(at).cast::<[T; N]>().write_unaligned(e);
        }
        e
    }
}

/// `g * y`, or `g` alone.
struct Products<T> {
    g: *const T,
    y: *const T,
    alone: bool,
}

impl<T: Float> Terms<T> for Products<T> {
    #[inline(always)]
    unsafe fn terms<const N: usize>(&self, at: usize) -> [T; N] {
        let (g, y) = (&*self.g.add(at).cast::<[T; N]>(), &*self.y.add(at).cast::<[T; N]>());
        let mut p = [T::ZERO; N];
        for j in 0..N {
            p[j] = if self.alone { g[j] } else { g[j] * y[j] };
        }
        p
    }
}

/// The sum over a row of `n` in four lanes and a fifth.
///
/// # Safety
/// The row is there.
#[inline(always)]
unsafe fn row_sum<T: Float>(of: &impl Terms<T>, n: usize) -> ([T; 4], T) {
    let mut eight = [T::ZERO; 8];
    let mut at = 0;
    if n >= LANES {
        let mut acc = [T::ZERO; LANES];
        while at + LANES <= n {
            let terms = of.terms::<LANES>(at);
            for j in 0..LANES {
                acc[j] += terms[j];
            }
            at += LANES;
        }
        let acc = by_memory(acc);
        for j in 0..8 {
            eight[j] = (acc[j] + acc[j + 8]) + (acc[j + 16] + acc[j + 24]);
        }
    }
    while at + 8 <= n {
        let terms = of.terms::<8>(at);
        for j in 0..8 {
            eight[j] += terms[j];
        }
        at += 8;
    }
    let eight = by_memory(eight);
    let mut four = [T::ZERO; 4];
    for j in 0..4 {
        four[j] = eight[j] + eight[j + 4];
    }
    if at + 4 <= n {
        let terms = of.terms::<4>(at);
        for j in 0..4 {
            four[j] += terms[j];
        }
        at += 4;
    }
    let mut one = T::ZERO;
    while at < n {
        one += of.terms::<1>(at)[0];
        at += 1;
    }
    (four, one)
}

/// The sums of a group's rows.
#[inline(always)]
fn joined<T: Float>(fours: [[T; 4]; ROWS], ones: [T; ROWS]) -> [T; ROWS] {
    let (fours, ones) = (by_memory(fours), by_memory(ones));
    let mut sums = [T::ZERO; ROWS];
    for i in 0..ROWS {
        sums[i] = (fours[i][0] + fours[i][2]) + (fours[i][1] + fours[i][3]) + ones[i];
    }
    sums
}

/// Calls `$body` on `$N` neighbours from `$at`, for all `$n` of a row, in vectors as far as these go.
macro_rules! along {
    ($n:expr, $at:ident, $N:ident => $body:expr) => {{
        let mut $at = 0;
        along!(LANES, $n, $at, $N => $body);
        along!(8, $n, $at, $N => $body);
        along!(1, $n, $at, $N => $body);
    }};
    ($width:expr, $n:expr, $at:ident, $N:ident => $body:expr) => {{
        const $N: usize = $width;
        while $at + $N <= $n {
            $body;
            $at += $N;
        }
    }};
}

multiversion! {
    /// As [`super::forward_rows`], for rows of up to SHORT elements.
    pub(super) fn forward_short<T: FloatNumber>(x: &[T], y: &mut [T], n: usize, log: bool) {
        let mut tops = [T::ZERO; ROWS];
        for (x, y) in x.chunks(ROWS * n).zip(y.chunks_mut(ROWS * n)) {
            let count = x.len() / n;
            short_maxima(x, n, &mut tops[..count]);
            let (x, y) = (x.as_ptr(), y.as_mut_ptr());
            let (mut fours, mut ones) = ([[T::ZERO; 4]; ROWS], [T::ZERO; ROWS]);
            for i in 0..count {
                // SAFETY: both slices hold `count` rows of `n`.
                unsafe {
                    let of = Exponentials { x: x.add(i * n), y: y.add(i * n), top: tops[i], store: !log };
                    (fours[i], ones[i]) = row_sum(&of, n);
                }
            }
            let mut sums = joined(fours, ones);
            for sum in &mut sums[..count] {
                *sum = if log { sum.ln() } else { T::ONE / *sum };
            }
            for i in 0..count {
                let (top, sum) = (tops[i], sums[i]);
                along!(n, at, N => {
                    // SAFETY: `N` elements of row `i`.
                    unsafe {
                        let (x, y) = (&*x.add(i * n + at).cast::<[T; N]>(), &mut *y.add(i * n + at).cast::<[T; N]>());
                        for j in 0..N {
                            y[j] = if log { (x[j] - top) - sum } else { y[j] * sum };
                        }
                    }
                });
            }
        }
    }
}

multiversion! {
    /// As [`super::backward_rows`], for rows of up to SHORT elements.
    pub(super) fn backward_short<T: Float>(g: &[T], y: &[T], dx: &mut [T], n: usize, log: bool) {
        for ((g, y), dx) in g.chunks(ROWS * n).zip(y.chunks(ROWS * n)).zip(dx.chunks_mut(ROWS * n)) {
            let count = g.len() / n;
            let (g, y, dx) = (g.as_ptr(), y.as_ptr(), dx.as_mut_ptr());
            let (mut fours, mut ones) = ([[T::ZERO; 4]; ROWS], [T::ZERO; ROWS]);
            for i in 0..count {
                // SAFETY: all slices hold `count` rows of `n`.
                unsafe {
                    let of = Products { g: g.add(i * n), y: y.add(i * n), alone: log };
                    (fours[i], ones[i]) = row_sum(&of, n);
                }
            }
            let dots = joined(fours, ones);
            for i in 0..count {
                let dot = dots[i];
                along!(n, at, N => {
                    // SAFETY: `N` elements of row `i`.
                    unsafe {
                        let at = i * n + at;
                        let (g, y) = (&*g.add(at).cast::<[T; N]>(), &*y.add(at).cast::<[T; N]>());
                        let mut d = [T::ZERO; N];
                        for j in 0..N {
                            d[j] = if log { g[j] - y[j].exp() * dot } else { y[j] * (g[j] - dot) };
                        }
                        dx.add(at).cast::<[T; N]>().write_unaligned(d);
                    }
                });
            }
        }
    }
}
