//! float32.

// The coefficients are the published ones, with all their digits.
#![allow(clippy::excessive_precision, clippy::approx_constant)]

use super::{Real, ln_edges};

#[inline(always)]
fn pow2_f32(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// Adding it rounds to an integer, whose bits are then the low bits of the sum.
const MAGIC_F32: f32 = 12582912.0;

/// The nearest integer to `x * scale`, as a float and as an integer.
#[inline(always)]
fn nearest_f32(x: f32, scale: f32) -> (f32, i32) {
    let t = x.mul_add(scale, MAGIC_F32);
    (t - MAGIC_F32, (t.to_bits() as i32).wrapping_sub(MAGIC_F32.to_bits() as i32))
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

/// `y * 2^n` in two steps, so that denormal and infinite results come out right.
#[inline(always)]
fn scale_f32(y: f32, n: i32) -> f32 {
    let h = n >> 1;
    y * pow2_f32(h) * pow2_f32(n.wrapping_sub(h))
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

/// `exp` of an argument whose result is neither denormal nor near infinity.
#[inline(always)]
fn exp_middle_f32(x: f32) -> f32 {
    let (n, i) = nearest_f32(x, std::f32::consts::LOG2_E);
    let r = n.mul_add(-std::f32::consts::LN_2, x);
    let r = n.mul_add(1.904_654_3e-9, r);
    (expm1_core_f32(r) + 1.0) * pow2_f32(i)
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
        let far = 1.0 - exp_middle_f32(r.mul_add(t, -t));
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
    #[inline(always)]
    fn vcdf(self) -> f32 {
        // log2 of the share beyond |x| is smooth: a polynomial that is exactly -1 at 0. Both sides
        // come from that one share, so that nothing cancels.
        let a = self.vabs().at_most(6.0);
        let mut q = -1.929_127_6e-8f32;
        q = q.mul_add(a, 6.138_227_5e-7);
        q = q.mul_add(a, -8.340_918_6e-6);
        q = q.mul_add(a, 6.120_509_4e-5);
        q = q.mul_add(a, -2.275_554_1e-4);
        q = q.mul_add(a, -1.065_642_3e-4);
        q = q.mul_add(a, 7.074_157_2e-3);
        q = q.mul_add(a, -5.252_418_3e-2);
        q = q.mul_add(a, -4.591_952_3e-1);
        q = q.mul_add(a, -1.151_106_8);
        q = q.mul_add(a, -1.0);
        let (n, i) = nearest_f32(q, 1.0);
        let f = q - n;
        let mut p = 1.326_472_5e-3f32;
        p = p.mul_add(f, 9.671_513e-3);
        p = p.mul_add(f, 5.550_733_7e-2);
        p = p.mul_add(f, 2.402_224_2e-1);
        p = p.mul_add(f, 6.931_47e-1);
        p = p.mul_add(f, 1.0);
        let tail = if self.vabs() > 6.0 { 0.0 } else { p * pow2_f32(i) };
        if self > 0.0 { 1.0 - tail } else { tail }
    }
    #[inline(always)]
    fn vsoftplus(self) -> f32 {
        // ln(1 + e) for e in (0, 1] as an odd function of e / (2 + e).
        let e = (-self.vabs()).vexp();
        let s = e / (2.0 + e);
        let z = s * s;
        let mut p = 2.801_199_2e-1f32;
        p = p.mul_add(z, 2.800_180_4e-1);
        p = p.mul_add(z, 4.002_152_7e-1);
        p = p.mul_add(z, 6.666_641_6e-1);
        // Written so that NaN stays.
        self.at_least(0.0) + (p * z).mul_add(s, s + s)
    }
}
