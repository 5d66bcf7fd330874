//! Elementary functions as branch-free code that vectorises inside `multiversion!` loops.
//!
//! Names start with `v` so that they cannot be mistaken for the standard library's methods, which
//! are calls. `mul_add` is written out, so every instruction set computes the same bits. Errors are
//! about 1-2 ulp (float32) and 1-3 ulp (float64); infinities, NaN and signed zeros come out as
//! IEEE 754 asks.

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

#[inline(always)]
fn pow2_f32(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

#[inline(always)]
fn pow2_f64(n: i64) -> f64 {
    f64::from_bits((n.wrapping_add(1023) as u64) << 52)
}

/// Adding it rounds to an integer, whose bits are then the low bits of the sum.
const MAGIC_F32: f32 = 12582912.0;
const MAGIC_F64: f64 = 6755399441055744.0;

/// The nearest integer to `x * scale`, as a float and as an integer.
#[inline(always)]
fn nearest_f32(x: f32, scale: f32) -> (f32, i32) {
    let t = x.mul_add(scale, MAGIC_F32);
    (t - MAGIC_F32, (t.to_bits() as i32).wrapping_sub(MAGIC_F32.to_bits() as i32))
}

#[inline(always)]
fn nearest_f64(x: f64, scale: f64) -> (f64, i64) {
    let t = x.mul_add(scale, MAGIC_F64);
    (t - MAGIC_F64, (t.to_bits() as i64).wrapping_sub(MAGIC_F64.to_bits() as i64))
}

/// `exp(r) - 1` for `|r| <= ln(2) / 2`.
#[inline(always)]
fn expm1_core_f32(r: f32) -> f32 {
    let mut p = 1.987_569_1e-4f32;
    p = p.mul_add(r, 1.398_2e-3);
    p = p.mul_add(r, 8.333_452e-3);
    p = p.mul_add(r, 4.166_579_6e-2);
    p = p.mul_add(r, 1.666_666_5e-1);
    p = p.mul_add(r, 0.5);
    p.mul_add(r * r, r)
}

#[inline(always)]
fn expm1_core_f64(r: f64) -> f64 {
    let mut p = 1.0f64 / 6227020800.0;
    p = p.mul_add(r, 1.0 / 479001600.0);
    p = p.mul_add(r, 1.0 / 39916800.0);
    p = p.mul_add(r, 1.0 / 3628800.0);
    p = p.mul_add(r, 1.0 / 362880.0);
    p = p.mul_add(r, 1.0 / 40320.0);
    p = p.mul_add(r, 1.0 / 5040.0);
    p = p.mul_add(r, 1.0 / 720.0);
    p = p.mul_add(r, 1.0 / 120.0);
    p = p.mul_add(r, 1.0 / 24.0);
    p = p.mul_add(r, 1.0 / 6.0);
    p = p.mul_add(r, 0.5);
    p.mul_add(r * r, r)
}

/// `y * 2^n` in two steps, so that denormal and infinite results come out right.
#[inline(always)]
fn scale_f32(y: f32, n: i32) -> f32 {
    let h = n >> 1;
    y * pow2_f32(h) * pow2_f32(n.wrapping_sub(h))
}

#[inline(always)]
fn scale_f64(y: f64, n: i64) -> f64 {
    // An arithmetic shift by way of a logical one, which every instruction set has.
    let h = ((n.wrapping_add(8192) as u64) >> 1) as i64 - 4096;
    y * pow2_f64(h) * pow2_f64(n.wrapping_sub(h))
}

/// A positive `x` as `(m, e)` with `x = m * 2^e` and `m` in `[sqrt(1/2), sqrt(2))`.
#[inline(always)]
fn split_f32(x: f32) -> (f32, f32) {
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (if tiny { x * 33554432.0 } else { x }).to_bits();
    let i = bits.wrapping_sub(0x3f35_04f3) as i32 >> 23;
    let m = f32::from_bits(bits.wrapping_sub((i << 23) as u32));
    (m, i as f32 - if tiny { 25.0 } else { 0.0 })
}

#[inline(always)]
fn split_f64(x: f64) -> (f64, f64) {
    let tiny = x < f64::MIN_POSITIVE;
    let bits = (if tiny { x * 18014398509481984.0 } else { x }).to_bits();
    let i = bits.wrapping_add(0x3ff0_0000_0000_0000 - 0x3fe6_a09e_667f_3bcd);
    let m = f64::from_bits((i & 0x000f_ffff_ffff_ffff).wrapping_add(0x3fe6_a09e_667f_3bcd));
    // The exponent as a float without an integer conversion, which AVX2 lacks for 64 bits.
    let e = f64::from_bits((i >> 52) | 0x4330_0000_0000_0000) - (4503599627370496.0 + 1023.0);
    (m, e - if tiny { 54.0 } else { 0.0 })
}

/// `ln(1 + f)` for `1 + f` in `[sqrt(1/2), sqrt(2))`, plus `low`, which is much smaller.
#[inline(always)]
fn ln_core_f64(f: f64, low: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let t1 = w * w.mul_add(w.mul_add(1.531383769920937332e-01, 2.222219843214978396e-01), 3.999999999940941908e-01);
    let t2 = z * w.mul_add(
        w.mul_add(w.mul_add(1.479819860511658591e-01, 1.818357216161805012e-01), 2.857142874366239149e-01),
        6.666666666666735130e-01,
    );
    let half = 0.5 * f * f;
    f - (half - (s * (half + (t1 + t2)) + low))
}

/// What a logarithm gives outside `0 < x < inf`.
#[inline(always)]
fn ln_edges<T: Real>(x: T, y: T) -> T {
    let y = if x == T::ZERO { -T::INF } else { y };
    let y = if x >= T::ZERO { y } else { T::NAN };
    if x == T::INF { x } else { y }
}

/// sine and cosine of the reduced argument, and the quadrant.
#[inline(always)]
fn sincos_f32(x: f32) -> (f32, f32, i32) {
    let (n, q) = nearest_f32(x, std::f32::consts::FRAC_2_PI);
    let r = n.mul_add(-1.570_796_4, x);
    let r = n.mul_add(4.371_139e-8, r);
    let r = n.mul_add(1.715_124_5e-15, r);
    let z = r * r;
    let s = z.mul_add(-1.951_529_6e-4, 8.332_161e-3).mul_add(z, -1.666_665_5e-1);
    let s = (s * z).mul_add(r, r);
    let c = z.mul_add(2.443_315_7e-5, -1.388_731_6e-3).mul_add(z, 4.166_664_6e-2);
    let c = (c * z).mul_add(z, z.mul_add(-0.5, 1.0));
    (s, c, q)
}

#[inline(always)]
fn sincos_f64(x: f64) -> (f64, f64, i64) {
    let (n, q) = nearest_f64(x, std::f64::consts::FRAC_2_PI);
    let r = n.mul_add(-1.5707963267948966, x);
    let r = n.mul_add(-6.123233995736766e-17, r);
    let r = n.mul_add(1.4973849048591833e-33, r);
    let z = r * r;
    let mut s = 1.58969099521155010221e-10f64;
    s = s.mul_add(z, -2.50507602534068634195e-08);
    s = s.mul_add(z, 2.75573137070700676789e-06);
    s = s.mul_add(z, -1.98412698298579493134e-04);
    s = s.mul_add(z, 8.33333333332248946124e-03);
    s = s.mul_add(z, -1.66666666666666324348e-01);
    let s = (s * z).mul_add(r, r);
    let mut c = -1.13596475577881948265e-11f64;
    c = c.mul_add(z, 2.08757232129817482790e-09);
    c = c.mul_add(z, -2.75573143513906633035e-07);
    c = c.mul_add(z, 2.48015872894767294178e-05);
    c = c.mul_add(z, -1.38888888888741095749e-03);
    c = c.mul_add(z, 4.16666666666666019037e-02);
    let h = 0.5 * z;
    let w = 1.0 - h;
    let c = w + ((1.0 - w - h) + z * z * c);
    (s, c, q)
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const HALF: f32 = 0.5;
    const INF: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    const TRIG_LIMIT: f32 = 1e5;

    #[inline(always)]
    fn of(v: f64) -> f32 {
        v as f32
    }
    #[inline(always)]
    fn fma(self, b: f32, c: f32) -> f32 {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn vabs(self) -> f32 {
        f32::from_bits(self.to_bits() & 0x7fff_ffff)
    }
    #[inline(always)]
    fn vsqrt(self) -> f32 {
        self.sqrt()
    }
    #[inline(always)]
    fn with_sign_of(self, sign: f32) -> f32 {
        f32::from_bits((self.to_bits() & 0x7fff_ffff) | (sign.to_bits() & 0x8000_0000))
    }
    #[inline(always)]
    fn vexp(self) -> f32 {
        let x = self.at_least(-104.0).at_most(89.0);
        let (n, i) = nearest_f32(x, std::f32::consts::LOG2_E);
        let r = n.mul_add(-std::f32::consts::LN_2, x);
        let r = n.mul_add(1.904_654_3e-9, r);
        scale_f32(expm1_core_f32(r) + 1.0, i)
    }
    #[inline(always)]
    fn vexp2(self) -> f32 {
        let x = self.at_least(-150.5).at_most(128.5);
        let (n, i) = nearest_f32(x, 1.0);
        scale_f32(expm1_core_f32((x - n) * std::f32::consts::LN_2) + 1.0, i)
    }
    #[inline(always)]
    fn vexpm1(self) -> f32 {
        let x = self.at_least(-20.0).at_most(89.0);
        let (n, i) = nearest_f32(x, std::f32::consts::LOG2_E);
        let r = n.mul_add(-std::f32::consts::LN_2, x);
        let r = n.mul_add(1.904_654_3e-9, r);
        // Half of 2^n, which itself may overflow.
        let s = pow2_f32(i.wrapping_sub(1));
        let y = expm1_core_f32(r).mul_add(s, s - 0.5) * 2.0;
        if self == 0.0 { self } else { y }
    }
    #[inline(always)]
    fn vln(self) -> f32 {
        let (m, e) = split_f32(self);
        let f = m - 1.0;
        let z = f * f;
        let mut p = 7.037_683_6e-2f32;
        p = p.mul_add(f, -1.151_461e-1);
        p = p.mul_add(f, 1.167_699_87e-1);
        p = p.mul_add(f, -1.242_014_1e-1);
        p = p.mul_add(f, 1.424_932_3e-1);
        p = p.mul_add(f, -1.666_805_8e-1);
        p = p.mul_add(f, 2.000_071_5e-1);
        p = p.mul_add(f, -2.499_999_4e-1);
        p = p.mul_add(f, 3.333_333_1e-1);
        let y = e.mul_add(-2.121_944_4e-4, p * f * z);
        let y = z.mul_add(-0.5, y);
        ln_edges(self, e.mul_add(0.693_359_4, f + y))
    }
    // The rarer ones by way of float64: half the width, and correct in nearly every last bit.
    #[inline(always)]
    fn vlog2(self) -> f32 {
        (self as f64).vlog2() as f32
    }
    #[inline(always)]
    fn vlog10(self) -> f32 {
        (self as f64).vlog10() as f32
    }
    #[inline(always)]
    fn vlog1p(self) -> f32 {
        let u = self + 1.0;
        // What the sum rounded away comes back as a correction.
        let y = u.vln() + (self - (u - 1.0)) / u;
        let y = if self == f32::INFINITY || self == -1.0 { u.vln() } else { y };
        if self == 0.0 { self } else { y }
    }
    #[inline(always)]
    fn vsin(self) -> f32 {
        let (s, c, q) = sincos_f32(self);
        let v = if q & 1 == 0 { s } else { c };
        let y = f32::from_bits(v.to_bits() ^ ((q & 2) as u32) << 30);
        if self == 0.0 { self } else { y }
    }
    #[inline(always)]
    fn vcos(self) -> f32 {
        let (s, c, q) = sincos_f32(self);
        let v = if q & 1 == 0 { c } else { s };
        f32::from_bits(v.to_bits() ^ ((q.wrapping_add(1) & 2) as u32) << 30)
    }
    #[inline(always)]
    fn verf(self) -> f32 {
        // N. Juffa's two polynomials: erf itself near zero, the exponent of 1 - erf beyond.
        let t = self.vabs();
        let s = self * self;
        let r = (-1.728_534_7e-5f32).mul_add(t, 3.831_971_3e-4);
        let u = (-3.883_964_4e-3f32).mul_add(t, 2.425_462_2e-2);
        let r = r.mul_add(s, u);
        let r = r.mul_add(t, -1.067_778_8e-1);
        let r = r.mul_add(t, -6.348_467e-1);
        let r = r.mul_add(t, -1.287_175_1e-1);
        let far = 1.0 - r.mul_add(t, -t).vexp();
        // The polynomial turns round far out.
        let far = (if t > 4.0 { 1.0 } else { far }).with_sign_of(self);
        let mut p = -5.967_617e-4f32;
        p = p.mul_add(s, 4.991_194_2e-3);
        p = p.mul_add(s, -2.676_813_5e-2);
        p = p.mul_add(s, 1.128_199_25e-1);
        p = p.mul_add(s, -3.761_253_4e-1);
        p = p.mul_add(s, 1.283_791_7e-1);
        let near = p.mul_add(self, self);
        if t > 0.927_734_4 { far } else { near }
    }
    #[inline(always)]
    fn verfc(self) -> f32 {
        (self as f64).verfc() as f32
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const HALF: f64 = 0.5;
    const INF: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    const TRIG_LIMIT: f64 = 1e6;

    #[inline(always)]
    fn of(v: f64) -> f64 {
        v
    }
    #[inline(always)]
    fn fma(self, b: f64, c: f64) -> f64 {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn vabs(self) -> f64 {
        f64::from_bits(self.to_bits() & 0x7fff_ffff_ffff_ffff)
    }
    #[inline(always)]
    fn vsqrt(self) -> f64 {
        self.sqrt()
    }
    #[inline(always)]
    fn with_sign_of(self, sign: f64) -> f64 {
        f64::from_bits((self.to_bits() & 0x7fff_ffff_ffff_ffff) | (sign.to_bits() & 0x8000_0000_0000_0000))
    }
    #[inline(always)]
    fn vexp(self) -> f64 {
        let x = self.at_least(-746.0).at_most(710.0);
        let (n, i) = nearest_f64(x, std::f64::consts::LOG2_E);
        let r = n.mul_add(-std::f64::consts::LN_2, x);
        let r = n.mul_add(-2.3190468138462996e-17, r);
        scale_f64(expm1_core_f64(r) + 1.0, i)
    }
    #[inline(always)]
    fn vexp2(self) -> f64 {
        let x = self.at_least(-1076.0).at_most(1025.0);
        let (n, i) = nearest_f64(x, 1.0);
        scale_f64(expm1_core_f64((x - n) * std::f64::consts::LN_2) + 1.0, i)
    }
    #[inline(always)]
    fn vexpm1(self) -> f64 {
        let x = self.at_least(-40.0).at_most(710.0);
        let (n, i) = nearest_f64(x, std::f64::consts::LOG2_E);
        let r = n.mul_add(-std::f64::consts::LN_2, x);
        let r = n.mul_add(-2.3190468138462996e-17, r);
        let s = pow2_f64(i.wrapping_sub(1));
        let y = expm1_core_f64(r).mul_add(s, s - 0.5) * 2.0;
        if self == 0.0 { self } else { y }
    }
    #[inline(always)]
    fn vln(self) -> f64 {
        let (m, e) = split_f64(self);
        let y = e * 6.93147180369123816490e-01 + ln_core_f64(m - 1.0, e * 1.90821492927058770002e-10);
        ln_edges(self, y)
    }
    #[inline(always)]
    fn vlog2(self) -> f64 {
        let (m, e) = split_f64(self);
        ln_edges(self, ln_core_f64(m - 1.0, 0.0).mul_add(std::f64::consts::LOG2_E, e))
    }
    #[inline(always)]
    fn vlog10(self) -> f64 {
        let (m, e) = split_f64(self);
        let low = ln_core_f64(m - 1.0, 0.0).mul_add(std::f64::consts::LOG10_E, e * 3.69423907715893078616e-13);
        ln_edges(self, e.mul_add(3.01029995663611771306e-01, low))
    }
    #[inline(always)]
    fn vlog1p(self) -> f64 {
        let u = self + 1.0;
        let y = u.vln() + (self - (u - 1.0)) / u;
        let y = if self == f64::INFINITY || self == -1.0 { u.vln() } else { y };
        if self == 0.0 { self } else { y }
    }
    #[inline(always)]
    fn vsin(self) -> f64 {
        let (s, c, q) = sincos_f64(self);
        let v = if q & 1 == 0 { s } else { c };
        let y = f64::from_bits(v.to_bits() ^ ((q & 2) as u64) << 62);
        if self == 0.0 { self } else { y }
    }
    #[inline(always)]
    fn vcos(self) -> f64 {
        let (s, c, q) = sincos_f64(self);
        let v = if q & 1 == 0 { c } else { s };
        f64::from_bits(v.to_bits() ^ ((q.wrapping_add(1) & 2) as u64) << 62)
    }
    #[inline(always)]
    fn verf(self) -> f64 {
        libm::erf(self)
    }
    #[inline(always)]
    fn verfc(self) -> f64 {
        libm::erfc(self)
    }
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
                - z * (1.0 / 252.0 - z * (1.0 / 240.0 - z * (1.0 / 132.0 - z * (691.0 / 32760.0 - z / 12.0))))));
    y + x.ln() - 0.5 / x - series
}
