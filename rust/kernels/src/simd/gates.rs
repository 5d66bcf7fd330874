//! sigmoid and tanh of whole registers, for kernels over [`Vector`]: `math` is for plain loops.
//!
//! Errors are about 2 ulp, infinities and NaN come out as they should. Levels with a fused multiply-add
//! use it, so the last bits may differ between levels.

// The coefficients are the published ones, with all their digits.
#![allow(clippy::excessive_precision)]

use super::vector::Vector;

/// What the exponential function needs to know of a float type.
pub trait Exp: Sized + 'static {
    const UNIT: Self;
    const TWO: Self;
    const LOG2_E: Self;
    /// ln 2 in two parts: a multiple of the first is exact.
    const LN_2: [Self; 2];
    /// `(exp(r) - 1 - r) / r^2` for `|r| <= ln(2) / 2`, highest power first.
    const TERMS: &'static [Self];
    /// Adding it rounds to an integer, whose bits are then the low bits of the sum.
    const MAGIC: Self;
    /// Beyond it in size `exp` or its inverse may overflow.
    const MOST: Self;
    const LEAST: Self;
    /// Twice an argument from which on tanh is 1.
    const FLAT: Self;
    const MINUS_FLAT: Self;
    /// Bits of the mantissa, and of the number 1.
    const MANTISSA: u32;
    const ONE_BITS: Self::Bits;
    type Bits: Copy;
    fn pow2_of_magic(self) -> Self;
}

impl Exp for f32 {
    const UNIT: f32 = 1.0;
    const TWO: f32 = 2.0;
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2: [f32; 2] = [0.693_359_375, -2.121_944_40e-4];
    const TERMS: &'static [f32] =
        &[1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    const MAGIC: f32 = 12582912.0;
    const MOST: f32 = 88.0;
    const LEAST: f32 = -88.0;
    const FLAT: f32 = 20.0;
    const MINUS_FLAT: f32 = -20.0;
    const MANTISSA: u32 = 23;
    const ONE_BITS: i32 = 127 << 23;
    type Bits = i32;
    #[inline(always)]
    fn pow2_of_magic(self) -> f32 {
        f32::from_bits((self.to_bits() << 23).wrapping_add(127 << 23))
    }
}

impl Exp for f64 {
    const UNIT: f64 = 1.0;
    const TWO: f64 = 2.0;
    const LOG2_E: f64 = std::f64::consts::LOG2_E;
    const LN_2: [f64; 2] = [6.93147180369123816490e-01, 1.90821492927058770002e-10];
    const TERMS: &'static [f64] = &[
        1.0 / 6227020800.0,
        1.0 / 479001600.0,
        1.0 / 39916800.0,
        1.0 / 3628800.0,
        1.0 / 362880.0,
        1.0 / 40320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ];
    const MAGIC: f64 = 6755399441055744.0;
    const MOST: f64 = 708.0;
    const LEAST: f64 = -708.0;
    const FLAT: f64 = 40.0;
    const MINUS_FLAT: f64 = -40.0;
    const MANTISSA: u32 = 52;
    const ONE_BITS: i64 = 1023 << 52;
    type Bits = i64;
    #[inline(always)]
    fn pow2_of_magic(self) -> f64 {
        f64::from_bits((self.to_bits() << 52).wrapping_add(1023 << 52))
    }
}

/// `exp(x) - 1 = p * s + (s - 1)`: returns p and s, a power of two.
#[inline(always)]
unsafe fn exp_parts<V: Vector>(x: V) -> (V, V) {
    let magic = V::splat(V::Elem::MAGIC);
    let t = x.mul_add(V::splat(V::Elem::LOG2_E), magic);
    let n = magic.sub(t);
    let r = n.mul_add(V::splat(V::Elem::LN_2[0]), x);
    let r = n.mul_add(V::splat(V::Elem::LN_2[1]), r);
    let mut p = V::splat(V::Elem::TERMS[0]);
    for &term in &V::Elem::TERMS[1..] {
        p = p.mul_add(r, V::splat(term));
    }
    (p.mul(r).mul_add(r, r), t.pow2_of_magic())
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub unsafe fn sigmoid<V: Vector>(x: V) -> V {
    let one = V::splat(V::Elem::UNIT);
    let bounded = V::splat(V::Elem::default()).sub(x);
    let (p, s) = exp_parts(bounded.at_least(V::splat(V::Elem::LEAST)).at_most(V::splat(V::Elem::MOST)));
    one.div(p.mul_add(s, s).add(one))
}

#[inline(always)]
pub unsafe fn tanh<V: Vector>(x: V) -> V {
    let twice = x.add(x);
    let bounded = twice.at_least(V::splat(V::Elem::MINUS_FLAT)).at_most(V::splat(V::Elem::FLAT));
    let (p, s) = exp_parts(bounded);
    let m = p.mul_add(s, s.sub(V::splat(V::Elem::UNIT)));
    m.div(m.add(V::splat(V::Elem::TWO)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::vector::{Float, Kernel, run};

    struct Both<T> {
        x: Vec<T>,
    }

    impl<T: Float> Kernel<T> for Both<T> {
        type Output = Vec<(T, T)>;
        #[inline(always)]
        unsafe fn run<V: Vector<Elem = T>>(self) -> Vec<(T, T)> {
            let mut out = Vec::new();
            for &x in &self.x {
                let (mut s, mut t) = ([T::default(); 16], [T::default(); 16]);
                sigmoid(V::splat(x)).store(s.as_mut_ptr());
                tanh(V::splat(x)).store(t.as_mut_ptr());
                out.push((s[0], t[0]));
            }
            out
        }
    }

    #[test]
    fn they_agree_with_the_library_to_a_few_ulp() {
        let xs: Vec<f64> = (-40_000..=40_000).map(|i| i as f64 * 1e-3).collect();
        let tiny = [1e-30, -1e-8, 3e-5, -2e-3];
        let xs: Vec<f64> = xs.into_iter().chain(tiny).collect();
        let worst = |got: f64, want: f64, ulp: f64, at: f64| {
            assert!((got - want).abs() <= ulp * want.abs(), "at {at}: {got} instead of {want}");
        };
        // SAFETY: no pointers are passed.
        let (single, double) =
            unsafe { (run(Both { x: xs.iter().map(|&x| x as f32).collect() }), run(Both { x: xs.clone() })) };
        for (i, &x) in xs.iter().enumerate() {
            let y = x as f32 as f64;
            worst(single[i].0 as f64, 1.0 / (1.0 + (-y).exp()), 4e-7, y);
            worst(single[i].1 as f64, y.tanh(), 4e-7, y);
            worst(double[i].0, 1.0 / (1.0 + (-x).exp()), 1e-15, x);
            worst(double[i].1, x.tanh(), 1e-15, x);
        }
    }

    #[test]
    fn edges_are_those_of_ieee_754() {
        let x = vec![f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, 200.0, -200.0];
        // SAFETY: no pointers are passed.
        let got = unsafe { run(Both { x }) };
        assert_eq!(got[0], (1.0, 1.0));
        assert!(got[1].0 < 1e-38 && got[1].1 == -1.0);
        assert!(got[2].0.is_nan() && got[2].1.is_nan());
        assert_eq!(got[3], (0.5, 0.0));
        assert_eq!(got[4], (1.0, 1.0));
        assert!(got[5].0 < 1e-37 && got[5].1 == -1.0);
    }
}
