//! The reductions that the engine runs.

use super::engine::Op;
use super::float::Float;
use crate::dtype::{Bool, Element};
use crate::simd::by_memory;
use std::marker::PhantomData;

/// What sums and extremes need of an element.
pub(crate) trait Number: Element {
    /// Lane type of a sum.
    type Lane: Copy + Send + Sync + Default + std::ops::Add<Output = Self::Lane>;
    /// Wide enough to hold a sum of lanes with little or no rounding.
    type Wide: Copy + Send + Sync + Default;
    type Sum: Element;
    const LOWEST: Self;
    const HIGHEST: Self;
    fn lane(self) -> Self::Lane;
    fn plus(a: Self::Lane, b: Self::Lane) -> Self::Lane;
    fn times(a: Self::Wide, x: Self) -> Self::Wide;
    fn wide_times(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn wide_plus(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn widen(a: Self::Lane) -> Self::Wide;
    fn one() -> Self::Wide;
    fn scaled(a: Self::Wide, scale: f64) -> Self::Sum;
    fn nan(self) -> bool;
    /// Whether there is a NaN at all.
    const FLOAT: bool;
    /// Not a number where one of both is not.
    fn mixed(a: Self, x: Self) -> Self;
    /// The largest or the smallest of a block that holds no NaN; None for those that may, and for short ones.
    #[inline(always)]
    fn extreme<const LARGEST: bool>(_block: &[Self]) -> Option<Self> {
        None
    }
}

/// An element by its bits, for tests that a float comparison cannot make: kernels flush denormals.
pub(crate) trait Bits: Element {
    /// Whether any bit is set besides the `skip` highest.
    fn nonzero(self, skip: u32) -> bool;
}

macro_rules! bits {
    ($($t:ty),*) => {$(
        impl Bits for $t {
            #[inline(always)]
            fn nonzero(self, skip: u32) -> bool { self.wrapping_shl(skip) != 0 }
        }
    )*};
}
bits!(u8, i32, i64);

macro_rules! int_number {
    ($($t:ty),*) => {$(
        impl Number for $t {
            type Lane = i64;
            type Wide = i64;
            type Sum = i64;
            const LOWEST: Self = <$t>::MIN;
            const HIGHEST: Self = <$t>::MAX;
            #[inline(always)]
            fn lane(self) -> i64 { self as i64 }
            #[inline(always)]
            fn plus(a: i64, b: i64) -> i64 { a.wrapping_add(b) }
            #[inline(always)]
            fn times(a: i64, x: Self) -> i64 { a.wrapping_mul(x as i64) }
            #[inline(always)]
            fn wide_times(a: i64, b: i64) -> i64 { a.wrapping_mul(b) }
            #[inline(always)]
            fn wide_plus(a: i64, b: i64) -> i64 { a.wrapping_add(b) }
            #[inline(always)]
            fn widen(a: i64) -> i64 { a }
            fn one() -> i64 { 1 }
            #[inline(always)]
            fn scaled(a: i64, _: f64) -> i64 { a }
            #[inline(always)]
            fn nan(self) -> bool { false }
            const FLOAT: bool = false;
            #[inline(always)]
            fn mixed(a: Self, _: Self) -> Self { a }
        }
    )*};
}
int_number!(u8, i32, i64);

macro_rules! float_number {
    ($($t:ty),*) => {$(
        impl Number for $t {
            type Lane = $t;
            type Wide = f64;
            type Sum = $t;
            const LOWEST: Self = <$t>::NEG_INFINITY;
            const HIGHEST: Self = <$t>::INFINITY;
            #[inline(always)]
            fn lane(self) -> $t { self }
            #[inline(always)]
            fn plus(a: $t, b: $t) -> $t { a + b }
            #[inline(always)]
            fn times(a: f64, x: Self) -> f64 { a * x as f64 }
            #[inline(always)]
            fn wide_times(a: f64, b: f64) -> f64 { a * b }
            #[inline(always)]
            fn wide_plus(a: f64, b: f64) -> f64 { a + b }
            #[inline(always)]
            fn widen(a: $t) -> f64 { a as f64 }
            fn one() -> f64 { 1.0 }
            #[inline(always)]
            fn scaled(a: f64, scale: f64) -> $t { (a * scale) as $t }
            #[inline(always)]
            fn nan(self) -> bool { self.is_nan() }
            const FLOAT: bool = true;
            #[inline(always)]
            fn mixed(a: Self, x: Self) -> Self { a + x }
            /// A NaN makes the sum NaN, so that no element needs a test of its own.
            #[inline(always)]
            fn extreme<const LARGEST: bool>(block: &[$t]) -> Option<$t> {
                const LANES: usize = 32;
                let (chunks, rest) = block.as_chunks::<LANES>();
                if chunks.is_empty() {
                    return None;
                }
                let start = if LARGEST { <$t>::LOWEST } else { <$t>::HIGHEST };
                let (mut best, mut sums) = ([start; LANES], [0.0; LANES]);
                for c in chunks {
                    for j in 0..LANES {
                        best[j] = further::<$t, LARGEST>(best[j], c[j]);
                        sums[j] += c[j];
                    }
                }
                let (best, sums) = by_memory((best, sums));
                let (mut eight, mut sum) = ([start; 8], [0.0; 8]);
                for k in 0..LANES / 8 {
                    for j in 0..8 {
                        eight[j] = further::<$t, LARGEST>(eight[j], best[8 * k + j]);
                        sum[j] += sums[8 * k + j];
                    }
                }
                let (small, last) = rest.as_chunks::<8>();
                for c in small {
                    for j in 0..8 {
                        eight[j] = further::<$t, LARGEST>(eight[j], c[j]);
                        sum[j] += c[j];
                    }
                }
                let (mut found, mut all) = (start, 0.0);
                for &v in last {
                    found = further::<$t, LARGEST>(found, v);
                    all += v;
                }
                for j in 0..8 {
                    found = further::<$t, LARGEST>(found, eight[j]);
                    all += sum[j];
                }
                (!all.is_nan()).then_some(found)
            }
        }
    )*};
}
float_number!(f32, f64);

macro_rules! kind {
    ($(#[$meta:meta])* $name:ident $(, $field:ident : $ft:ty)?) => {
        $(#[$meta])*
        pub(crate) struct $name<T> { $(pub $field: $ft,)? pub of: PhantomData<fn() -> T> }
        impl<T> Clone for $name<T> {
            #[inline(always)]
            fn clone(&self) -> Self { *self }
        }
        impl<T> Copy for $name<T> {}
        impl<T> $name<T> {
            pub fn new($($field: $ft)?) -> Self { $name { $($field,)? of: PhantomData } }
        }
    };
}

kind!(/// The sum times `scale`.
    Sum, scale: f64);
kind!(Prod);
kind!(/// The largest; not-a-number wins.
    Max);
kind!(Min);
kind!(/// Whether any element is not zero, its `skip` highest bits aside.
    Any, skip: u32);
kind!(/// Whether all elements are not zero.
    All, skip: u32);
kind!(CountNonzero, skip: u32);
kind!(/// The sum of squared distances from the shift, times `scale`.
    SquaredDistance, scale: f64);
kind!(/// The shift plus the logarithm of the sum of e^(x - shift).
    LogSumExp);
kind!(SumAbs);
kind!(/// The root of the sum of squares.
    Norm2);
kind!(/// The `p`-th root of the sum of `p`-th powers of magnitudes.
    NormP, p: f64);
kind!(MaxAbs);
kind!(MinAbs);

impl<T: Number> Op for Sum<T> {
    type In = T;
    type Shift = T;
    type Lane = T::Lane;
    type Total = T::Wide;
    type Out = T::Sum;
    #[inline(always)]
    fn start(self) -> T::Lane {
        T::Lane::default()
    }
    #[inline(always)]
    fn step(self, lane: T::Lane, x: T, _: T) -> T::Lane {
        T::plus(lane, x.lane())
    }
    #[inline(always)]
    fn join(self, a: T::Lane, b: T::Lane) -> T::Lane {
        T::plus(a, b)
    }
    #[inline(always)]
    fn empty(self) -> T::Wide {
        T::Wide::default()
    }
    #[inline(always)]
    fn fold(self, total: T::Wide, lane: T::Lane) -> T::Wide {
        T::wide_plus(total, T::widen(lane))
    }
    #[inline(always)]
    fn merge(self, a: T::Wide, b: T::Wide) -> T::Wide {
        T::wide_plus(a, b)
    }
    #[inline(always)]
    fn finish(self, total: T::Wide) -> T::Sum {
        T::scaled(total, self.scale)
    }
}

impl<T: Number> Op for Prod<T> {
    type In = T;
    type Shift = T;
    type Lane = T::Wide;
    type Total = T::Wide;
    type Out = T::Sum;
    #[inline(always)]
    fn start(self) -> T::Wide {
        T::one()
    }
    #[inline(always)]
    fn step(self, lane: T::Wide, x: T, _: T) -> T::Wide {
        T::times(lane, x)
    }
    #[inline(always)]
    fn join(self, a: T::Wide, b: T::Wide) -> T::Wide {
        T::wide_times(a, b)
    }
    #[inline(always)]
    fn empty(self) -> T::Wide {
        T::one()
    }
    #[inline(always)]
    fn fold(self, total: T::Wide, lane: T::Wide) -> T::Wide {
        T::wide_times(total, lane)
    }
    #[inline(always)]
    fn merge(self, a: T::Wide, b: T::Wide) -> T::Wide {
        T::wide_times(a, b)
    }
    #[inline(always)]
    fn finish(self, total: T::Wide) -> T::Sum {
        T::scaled(total, 1.0)
    }
}

/// A kind whose lane, total and merge are one operation on one type.
macro_rules! plain {
    ($name:ident, $bound:ident, $lane:ty => $out:ty, $start:expr, |$o:ident, $a:ident, $x:ident, $s:ident| $step:expr, |$p:ident, $q:ident| $join:expr, |$f:ident, $t:ident| $finish:expr $(, largest $largest:literal)?) => {
        impl<T: $bound> Op for $name<T> {
            type In = T;
            type Shift = T;
            type Lane = $lane;
            type Total = $lane;
            type Out = $out;
            #[inline(always)]
            fn start(self) -> $lane { $start }
            #[inline(always)]
            fn step(self, $a: $lane, $x: T, $s: T) -> $lane { let $o = self; let _ = ($o, $s); $step }
            #[inline(always)]
            fn join(self, $p: $lane, $q: $lane) -> $lane { $join }
            #[inline(always)]
            fn empty(self) -> $lane { $start }
            #[inline(always)]
            fn fold(self, $p: $lane, $q: $lane) -> $lane { $join }
            #[inline(always)]
            fn merge(self, $p: $lane, $q: $lane) -> $lane { $join }
            #[inline(always)]
            fn finish(self, $t: $lane) -> $out { let $f = self; let _ = $f; $finish }
            $(#[inline(always)]
            fn quick(self, block: &[T]) -> Option<T> { T::extreme::<$largest>(block) }
            const WATCHED: bool = T::FLOAT;
            #[inline(always)]
            fn quick_step(self, a: T, x: T) -> T { further::<T, $largest>(a, x) }
            #[inline(always)]
            fn quick_join(self, a: T, b: T) -> T { further::<T, $largest>(a, b) }
            #[inline(always)]
            fn unseen(self) -> T { T::default() }
            /// A NaN makes the sum NaN.
            #[inline(always)]
            fn watch(self, sum: T, x: T) -> T { T::mixed(sum, x) }
            #[inline(always)]
            fn clean(self, sum: T) -> bool { !sum.nan() })?
        }
    };
}

/// A kind that sums float lanes and folds them into a float64 total.
macro_rules! float_sum {
    ($name:ident, |$o:ident, $x:ident, $s:ident| $term:expr, |$f:ident, $t:ident| $finish:expr $(, $shifted:literal)?) => {
        impl<T: Float> Op for $name<T> {
            type In = T;
            type Shift = T;
            type Lane = T;
            type Total = f64;
            type Out = T;
            $(const SHIFTED: bool = $shifted;)?
            #[inline(always)]
            fn start(self) -> T { T::ZERO }
            #[inline(always)]
            fn step(self, lane: T, $x: T, $s: T) -> T { let $o = self; let _ = ($o, $s); lane + $term }
            #[inline(always)]
            fn join(self, a: T, b: T) -> T { a + b }
            #[inline(always)]
            fn empty(self) -> f64 { 0.0 }
            #[inline(always)]
            fn fold(self, total: f64, lane: T) -> f64 { total + lane.wide() }
            #[inline(always)]
            fn merge(self, a: f64, b: f64) -> f64 { a + b }
            #[inline(always)]
            fn finish(self, $t: f64) -> T { let $f = self; let _ = $f; T::narrow($finish) }
        }
    };
}

/// The further of two that are no NaN.
#[inline(always)]
fn further<T: PartialOrd, const LARGEST: bool>(a: T, x: T) -> T {
    if LARGEST {
        if x > a { x } else { a }
    } else if x < a {
        x
    } else {
        a
    }
}

#[inline(always)]
pub(crate) fn larger<T: Number>(a: T, x: T) -> T {
    if (x > a) | x.nan() { x } else { a }
}

#[inline(always)]
pub(crate) fn smaller<T: Number>(a: T, x: T) -> T {
    if (x < a) | x.nan() { x } else { a }
}

plain!(Max, Number, T => T, T::LOWEST, |_o, a, x, _s| larger(a, x), |a, b| larger(a, b), |_o, t| t, largest true);
plain!(Min, Number, T => T, T::HIGHEST, |_o, a, x, _s| smaller(a, x), |a, b| smaller(a, b), |_o, t| t, largest false);
plain!(Any, Bits, u8 => Bool, 0, |o, a, x, _s| a | x.nonzero(o.skip) as u8, |a, b| a | b, |_o, t| Bool(t));
plain!(All, Bits, u8 => Bool, 1, |o, a, x, _s| a & x.nonzero(o.skip) as u8, |a, b| a & b, |_o, t| Bool(t));
plain!(CountNonzero, Bits, i64 => i64, 0, |o, a, x, _s| a + x.nonzero(o.skip) as i64, |a, b| a + b, |_o, t| t);
plain!(MaxAbs, FloatNumber, T => T, T::ZERO, |_o, a, x, _s| larger(a, x.abs()), |a, b| larger(a, b), |_o, t| t);
plain!(MinAbs, FloatNumber, T => T, T::INFINITY, |_o, a, x, _s| smaller(a, x.abs()), |a, b| smaller(a, b), |_o, t| t);
float_sum!(SumAbs, |_o, x, _s| x.abs(), |_o, t| t);
float_sum!(Norm2, |_o, x, _s| x * x, |_o, t| t.sqrt());
float_sum!(NormP, |o, x, _s| x.abs().powf(T::narrow(o.p)), |o, t| t.powf(1.0 / o.p));

pub(crate) trait FloatNumber: Float + Number {}
impl FloatNumber for f32 {}
impl FloatNumber for f64 {}

/// Distances are taken in float64 from a float64 mean, so that no digits cancel.
impl<T: Float> Op for SquaredDistance<T> {
    type In = T;
    type Shift = f64;
    type Lane = f64;
    type Total = f64;
    type Out = T;
    const SHIFTED: bool = true;
    #[inline(always)]
    fn start(self) -> f64 {
        0.0
    }
    #[inline(always)]
    fn step(self, lane: f64, x: T, mean: f64) -> f64 {
        let d = x.wide() - mean;
        lane + d * d
    }
    #[inline(always)]
    fn join(self, a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn empty(self) -> f64 {
        0.0
    }
    #[inline(always)]
    fn fold(self, total: f64, lane: f64) -> f64 {
        total + lane
    }
    #[inline(always)]
    fn merge(self, a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn finish(self, total: f64) -> T {
        T::narrow(total * self.scale)
    }
}

kind!(/// The mean as float64, whatever the element type. A true division: n times x over n is x, so that
    /// equal numbers have no variance.
    WideMean, count: f64);

impl<T: Float> Op for WideMean<T> {
    type In = T;
    type Shift = T;
    type Lane = f64;
    type Total = f64;
    type Out = f64;
    #[inline(always)]
    fn start(self) -> f64 {
        0.0
    }
    #[inline(always)]
    fn step(self, lane: f64, x: T, _: T) -> f64 {
        lane + x.wide()
    }
    #[inline(always)]
    fn join(self, a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn empty(self) -> f64 {
        0.0
    }
    #[inline(always)]
    fn fold(self, total: f64, lane: f64) -> f64 {
        total + lane
    }
    #[inline(always)]
    fn merge(self, a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn finish(self, total: f64) -> f64 {
        total / self.count
    }
}

float_sum!(LogSumExp, |_o, x, shift| (x - shift).exp(), |_o, t| t.ln(), true);
