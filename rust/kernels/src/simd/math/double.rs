//! float64.

// The coefficients are the published ones, with all their digits.
#![allow(clippy::excessive_precision, clippy::approx_constant)]

use super::{Real, ln_edges};

#[inline(always)]
fn pow2_f64(n: i64) -> f64 {
    f64::from_bits((n.wrapping_add(1023) as u64) << 52)
}

/// Adding it rounds to an integer, whose bits are then the low bits of the sum.
const MAGIC_F64: f64 = 6755399441055744.0;

#[inline(always)]
fn nearest_f64(x: f64, scale: f64) -> (f64, i64) {
    let t = x.mul_add(scale, MAGIC_F64);
    (t - MAGIC_F64, (t.to_bits() as i64).wrapping_sub(MAGIC_F64.to_bits() as i64))
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

#[inline(always)]
fn scale_f64(y: f64, n: i64) -> f64 {
    // An arithmetic shift by way of a logical one, which every instruction set has.
    let h = ((n.wrapping_add(8192) as u64) >> 1) as i64 - 4096;
    y * pow2_f64(h) * pow2_f64(n.wrapping_sub(h))
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
    let t1 = w * w
        .mul_add(w.mul_add(1.531383769920937332e-01, 2.222219843214978396e-01), 3.999999999940941908e-01);
    let t2 = z * w.mul_add(
        w.mul_add(w.mul_add(1.479819860511658591e-01, 1.818357216161805012e-01), 2.857142874366239149e-01),
        6.666666666666735130e-01,
    );
    let half = 0.5 * f * f;
    f - (half - (s * (half + (t1 + t2)) + low))
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

/// `erf(x) / x - 1` in powers of `x^2` up to 1, highest first (Chebyshev interpolation).
const ERF_NEAR: [f64; 13] = [
    5.957176147748911e-11,
    -1.1372848856791674e-09,
    1.4659775274047436e-08,
    -1.6350312701054695e-07,
    1.6461000484121368e-06,
    -1.4925595266831182e-05,
    0.0001205533111164271,
    -0.000854832698083379,
    0.0052239776248180145,
    -0.026866170645076792,
    0.11283791670954879,
    -0.3761263890318375,
    0.1283791670955126,
];

/// `-ln(erfc(x))` for `x` from 1 to 6 in powers of `(x - 3.5) / 2.5`, highest first.
const ERFC_FAR: [f64; 25] = [
    -2.247276352107439e-09,
    7.240824974515327e-09,
    -4.521416204583651e-09,
    -4.710840527099266e-09,
    2.1580142736303587e-09,
    -1.8848830089033838e-08,
    1.2999681259733388e-07,
    -3.918923288527924e-07,
    9.165507592535276e-07,
    -1.91269798607734e-06,
    3.4204246659666945e-06,
    -4.56839762190763e-06,
    1.4780737118311842e-06,
    1.847528986000811e-05,
    -9.090101551597176e-05,
    0.00030781940159072446,
    -0.0008935765716880319,
    0.0023739973006794987,
    -0.005953704477141584,
    0.014384548328888422,
    -0.03412841107971968,
    0.0816509097178572,
    6.042206592138938,
    18.165248970912977,
    14.112437402148174,
];

#[inline(always)]
fn horner<const N: usize>(c: &[f64; N], x: f64) -> f64 {
    let mut y = c[0];
    for &c in &c[1..] {
        y = y.mul_add(x, c);
    }
    y
}

#[inline(always)]
fn exp_middle_f64(x: f64) -> f64 {
    let (n, i) = nearest_f64(x, std::f64::consts::LOG2_E);
    let r = n.mul_add(-std::f64::consts::LN_2, x);
    let r = n.mul_add(-2.3190468138462996e-17, r);
    (expm1_core_f64(r) + 1.0) * pow2_f64(i)
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
        let low =
            ln_core_f64(m - 1.0, 0.0).mul_add(std::f64::consts::LOG10_E, e * 3.69423907715893078616e-13);
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
        let t = self.vabs();
        // From 5.93 on the result rounds to 1.
        let u = (t.at_least(1.0).at_most(6.0) - 3.5) * 0.4;
        let far = (1.0 - exp_middle_f64(-horner(&ERFC_FAR, u))).with_sign_of(self);
        let near = horner(&ERF_NEAR, self * self).mul_add(self, self);
        if t > 1.0 { far } else { near }
    }
    #[inline(always)]
    fn verfc(self) -> f64 {
        libm::erfc(self)
    }
}
