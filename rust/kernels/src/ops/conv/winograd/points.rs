//! One-dimensional transforms of Winograd's minimal filtering F(m, r) (Toom-Cook, transposed).
//!
//! An output `y = A' [(G g) * (B' d)]` of `m` values needs `a = m + r - 1` products: the values of
//! two polynomials at `a` points. The points here are 0, pairs `+-p`, and infinity, so that a pair's
//! rows share their even and odd parts. With points near one the sums stay small: for F(4, 3)
//! +-3/4 and +-3/2 have a third of the usual +-1 and +-2's error at the same cost.
//!
//! Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016.

use crate::simd::vector::Vector;

/// F(m, r) with `a` products.
#[derive(Clone, Copy)]
pub(super) struct Scheme<const M: usize, const R: usize, const A: usize>;

/// A transform of one row or column, from `n` vectors to `a`.
pub(super) trait Line<const N: usize, const A: usize> {
    unsafe fn transform<V: Vector<Elem = f32>>(d: [V; N]) -> [V; A];
}

/// `B' d`
pub(super) struct Input<const M: usize, const R: usize>;

impl<const M: usize, const R: usize, const A: usize> Line<A, A> for Input<M, R> {
    #[inline(always)]
    unsafe fn transform<V: Vector<Elem = f32>>(d: [V; A]) -> [V; A] {
        Scheme::<M, R, A>::input(d)
    }
}

/// `A y`
pub(super) struct OutputGrad<const R: usize>;

impl<const M: usize, const R: usize, const A: usize> Line<M, A> for OutputGrad<R> {
    #[inline(always)]
    unsafe fn transform<V: Vector<Elem = f32>>(y: [V; M]) -> [V; A] {
        Scheme::<M, R, A>::values(y, false)
    }
}

/// At most this many pairs of points.
const PAIRS: usize = 2;

struct Table {
    points: [f64; PAIRS],
    /// The product of all `y - p^2`, by rising powers.
    all: [f64; PAIRS + 1],
    /// The same without one of the pairs.
    others: [[f64; PAIRS]; PAIRS],
    /// What each value is divided by: zero's, then the pairs'.
    divisors: [f64; PAIRS + 1],
}

/// Where the polynomials are evaluated, besides zero and infinity.
const fn points(m: usize, r: usize) -> [f64; PAIRS] {
    match (m, r) {
        (2, 3) => [1.0, 0.0],
        (2, 5) => [0.625, 1.25],
        _ => [0.75, 1.5],
    }
}

const fn table(m: usize, r: usize) -> Table {
    let p = points(m, r);
    let (s, t) = (p[0] * p[0], p[1] * p[1]);
    if m + r == 5 {
        let divisors = [-s, 2.0 * s, 1.0];
        return Table { points: p, all: [-s, 1.0, 0.0], others: [[1.0, 0.0]; 2], divisors };
    }
    Table {
        points: p,
        all: [s * t, -(s + t), 1.0],
        others: [[-t, 1.0], [-s, 1.0]],
        divisors: [s * t, 2.0 * s * (s - t), 2.0 * t * (t - s)],
    }
}

const fn power(p: f64, n: usize) -> f64 {
    let (mut value, mut i) = (1.0, 0);
    while i < n {
        value *= p;
        i += 1;
    }
    value
}

/// `sum + factor * v`, without the operations that the factor makes superfluous.
#[inline(always)]
unsafe fn add_times<V: Vector<Elem = f32>>(sum: Option<V>, factor: f64, v: V) -> Option<V> {
    Some(match sum {
        Some(sum) if factor == 1.0 => sum.add(v),
        Some(sum) => v.mul_add(V::splat(factor as f32), sum),
        None if factor == 1.0 => v,
        None => v.mul_add(V::splat(factor as f32), V::splat(0.0)),
    })
}

impl<const M: usize, const R: usize, const A: usize> Scheme<M, R, A> {
    const TABLE: Table = table(M, R);
    const P: usize = A / 2 - 1;

    /// `B' d`
    #[inline(always)]
    pub unsafe fn input<V: Vector<Elem = f32>>(d: [V; A]) -> [V; A] {
        let (t, mut out) = (&Self::TABLE, d);
        let (mut first, mut last) = (None, None);
        for k in (0..=Self::P).rev() {
            first = add_times(first, t.all[k], d[2 * k]);
            last = add_times(last, t.all[k], d[2 * k + 1]);
        }
        out[0] = first.unwrap_unchecked();
        out[A - 1] = last.unwrap_unchecked();
        for j in 0..Self::P {
            let (mut even, mut odd) = (None, None);
            for k in (0..Self::P).rev() {
                even = add_times(even, t.others[j][k], d[2 * k + 2]);
                odd = add_times(odd, t.others[j][k], d[2 * k + 1]);
            }
            for (i, p) in [(1, t.points[j]), (2, -t.points[j])] {
                out[2 * j + i] = add_times(even, p, odd.unwrap_unchecked()).unwrap_unchecked();
            }
        }
        out
    }

    /// The values at the points of the polynomial with coefficients `g`: `A y`, or with the
    /// divisors, `G g`.
    #[inline(always)]
    pub unsafe fn values<V: Vector<Elem = f32>, const N: usize>(g: [V; N], divide: bool) -> [V; A] {
        let t = &Self::TABLE;
        let divisor = |i: usize| if divide { t.divisors[i] } else { 1.0 };
        let mut out = [g[N - 1]; A];
        out[0] = add_times(None, 1.0 / divisor(0), g[0]).unwrap_unchecked();
        for j in 0..Self::P {
            let (mut even, mut odd) = (None, None);
            for k in 0..N {
                let factor = power(t.points[j], k) / divisor(j + 1);
                if k % 2 == 0 {
                    even = add_times(even, factor, g[k]);
                } else {
                    odd = add_times(odd, factor, g[k]);
                }
            }
            for (i, sign) in [(1, 1.0), (2, -1.0)] {
                out[2 * j + i] = add_times(even, sign, odd.unwrap_unchecked()).unwrap_unchecked();
            }
        }
        out
    }

    /// The transpose of [`Scheme::values`]: `A' m`, or with the divisors, `G' u`.
    #[inline(always)]
    pub unsafe fn sums<V: Vector<Elem = f32>, const N: usize>(m: [V; A], divide: bool) -> [V; N] {
        let t = &Self::TABLE;
        let divisor = |i: usize| if divide { t.divisors[i] } else { 1.0 };
        let mut out = [m[0]; N];
        let (mut even, mut odd) = (m, m);
        for j in 0..Self::P {
            let (plus, minus) = (m[2 * j + 1], m[2 * j + 2]);
            even[j] = plus.add(minus);
            odd[j] = minus.mul_add(V::splat(-1.0), plus);
        }
        for k in 0..N {
            let mut sum = if k == 0 { add_times(None, 1.0 / divisor(0), m[0]) } else { None };
            if k == N - 1 {
                sum = Some(m[A - 1]);
            }
            for j in 0..Self::P {
                let factor = power(t.points[j], k) / divisor(j + 1);
                sum = add_times(sum, factor, if k % 2 == 0 { even[j] } else { odd[j] });
            }
            out[k] = sum.unwrap_unchecked();
        }
        out
    }
}
