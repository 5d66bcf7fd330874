//! Elementary functions as branch-free code that vectorises inside `multiversion!` loops.
//!
//! Names start with `v` so that they cannot be mistaken for the standard library's methods, which
//! are calls. `mul_add` is written out, so every instruction set computes the same bits. Errors are
//! about 1-2 ulp (float32) and 1-3 ulp (float64); infinities, NaN and signed zeros come out as
//! IEEE 754 asks.

mod double;
mod single;

use crate::dtype::Element;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A float type with vectorisable functions.
pub trait Real:
    Element
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    const ZERO: Self;
    const ONE: Self;
    const HALF: Self;
    const INF: Self;
    const NAN: Self;
    /// A constant or a parameter.
    fn of(v: f64) -> Self;
    fn fma(self, b: Self, c: Self) -> Self;
    fn vabs(self) -> Self;
    fn vsqrt(self) -> Self;
    fn with_sign_of(self, sign: Self) -> Self;
    fn vexp(self) -> Self;
    fn vexp2(self) -> Self;
    fn vexpm1(self) -> Self;
    fn vln(self) -> Self;
    fn vlog2(self) -> Self;
    fn vlog10(self) -> Self;
    fn vlog1p(self) -> Self;
    /// Accurate for `|x| <= TRIG_LIMIT`; larger, infinite and NaN arguments need the library.
    fn vsin(self) -> Self;
    /// As [`Real::vsin`].
    fn vcos(self) -> Self;
    const TRIG_LIMIT: Self;
    fn verf(self) -> Self;
    fn verfc(self) -> Self;
    /// The normal distribution's share up to `self`. In float32 the relative error of a share below
    /// one half is about 2e-7 down to -1, 2e-6 down to -3 and 5e-6 down to -6; beyond it is 0.
    #[inline(always)]
    fn vcdf(self) -> Self {
        Self::HALF * (Self::ONE + (self * Self::of(std::f64::consts::FRAC_1_SQRT_2)).verf())
    }

    /// Keeps NaN.
    #[inline(always)]
    fn at_least(self, lo: Self) -> Self {
        if self < lo { lo } else { self }
    }
    /// Keeps NaN.
    #[inline(always)]
    fn at_most(self, hi: Self) -> Self {
        if self > hi { hi } else { self }
    }
    #[inline(always)]
    fn vtanh(self) -> Self {
        // Beyond 20 the result is 1 in both types.
        let m = (self.vabs().at_most(Self::of(20.0)) * Self::of(2.0)).vexpm1();
        (m / (m + Self::of(2.0))).with_sign_of(self)
    }
    #[inline(always)]
    fn vsigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).vexp())
    }
    /// `ln(1 + exp(x))` without overflow.
    #[inline(always)]
    fn vsoftplus(self) -> Self {
        let tail = (-self.vabs()).vexp().vlog1p();
        // Written so that NaN stays.
        self.at_least(Self::ZERO) + tail
    }
}

/// What a logarithm gives outside `0 < x < inf`.
#[inline(always)]
fn ln_edges<T: Real>(x: T, y: T) -> T {
    let y = if x == T::ZERO { -T::INF } else { y };
    let y = if x >= T::ZERO { y } else { T::NAN };
    if x == T::INF { x } else { y }
}

/// The inverse of erf: a rational start and two Newton steps.
pub fn erfinv(y: f64) -> f64 {
    let t = y.abs();
    if t >= 1.0 || t.is_nan() {
        return if t == 1.0 { f64::INFINITY.copysign(y) } else { f64::NAN };
    }
    let mut x = if t <= 0.7 {
        let z = y * y;
        let num = ((-0.140543331 * z + 0.914624893) * z - 1.645349621) * z + 0.886226899;
        let den = (((0.012229801 * z - 0.329097515) * z + 1.442710462) * z - 2.118377725) * z + 1.0;
        y * num / den
    } else {
        let z = (-((1.0 - t) / 2.0).ln()).sqrt();
        let num = ((1.641345311 * z + 3.429567803) * z - 1.624906493) * z - 1.970840454;
        (num / ((1.637067800 * z + 3.543889200) * z + 1.0)).copysign(y)
    };
    for _ in 0..2 {
        // The complement keeps the difference accurate near one.
        let error = if t <= 0.7 { libm::erf(x) - y } else { ((1.0 - t) - libm::erfc(x.abs())) * y.signum() };
        x -= error * (std::f64::consts::PI.sqrt() / 2.0) * (x * x).exp();
    }
    x
}

/// The derivative of lgamma.
pub fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY.copysign(-x);
    }
    if x < 0.0 {
        if x == x.floor() {
            return f64::NAN;
        }
        // Reflection; the fraction first, so that the tangent's argument is exact.
        let f = x - x.trunc();
        return digamma(1.0 - x) - std::f64::consts::PI / (std::f64::consts::PI * f).tan();
    }
    let (mut x, mut y) = (x, 0.0);
    while x < 10.0 {
        y -= 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let series = z
        * (1.0 / 12.0
            - z * (1.0 / 120.0
                - z * (1.0 / 252.0
                    - z * (1.0 / 240.0 - z * (1.0 / 132.0 - z * (691.0 / 32760.0 - z / 12.0))))));
    y + x.ln() - 0.5 / x - series
}
