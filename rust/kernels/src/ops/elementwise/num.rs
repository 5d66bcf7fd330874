//! Arithmetic that bool, integers and floats share, with PyTorch's meaning for each.

use crate::dtype::{Bool, Element, Scalar};
use crate::simd::math::Real;

/// Integers wrap; bool adds as "or" and multiplies as "and"; floats keep NaN.
pub(crate) trait Num: Element {
    fn n_add(self, b: Self) -> Self;
    fn n_sub(self, b: Self) -> Self;
    fn n_mul(self, b: Self) -> Self;
    fn n_neg(self) -> Self;
    fn n_abs(self) -> Self;
    fn n_sign(self) -> Self;
    /// Propagates NaN; so does `n_min`.
    fn n_max(self, b: Self) -> Self;
    fn n_min(self, b: Self) -> Self;
    /// Prefers the number to a NaN; so does `n_fmin`.
    fn n_fmax(self, b: Self) -> Self;
    fn n_fmin(self, b: Self) -> Self;
    /// Rounded to minus infinity. Integer divisors are not zero.
    fn n_floor_div(self, b: Self) -> Self;
    /// The sign of the divisor.
    fn n_remainder(self, b: Self) -> Self;
    /// The sign of the dividend.
    fn n_fmod(self, b: Self) -> Self;
    fn n_pow(self, b: Self) -> Self;
    /// A parameter: `i` for integers, `f` for floats.
    fn param(f: f64, i: i64) -> Self;
}

macro_rules! int_num {
    ($($t:ty),*) => {$(
        impl Num for $t {
            #[inline(always)]
            fn n_add(self, b: $t) -> $t {
                self.wrapping_add(b)
            }
            #[inline(always)]
            fn n_sub(self, b: $t) -> $t {
                self.wrapping_sub(b)
            }
            #[inline(always)]
            fn n_mul(self, b: $t) -> $t {
                self.wrapping_mul(b)
            }
            #[inline(always)]
            fn n_neg(self) -> $t {
                self.wrapping_neg()
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn n_abs(self) -> $t {
                if self < 0 { self.wrapping_neg() } else { self }
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn n_sign(self) -> $t {
                ((self > 0) as $t).wrapping_sub((self < 0) as $t)
            }
            #[inline(always)]
            fn n_max(self, b: $t) -> $t {
                self.max(b)
            }
            #[inline(always)]
            fn n_min(self, b: $t) -> $t {
                self.min(b)
            }
            #[inline(always)]
            fn n_fmax(self, b: $t) -> $t {
                self.max(b)
            }
            #[inline(always)]
            fn n_fmin(self, b: $t) -> $t {
                self.min(b)
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn n_floor_div(self, b: $t) -> $t {
                if b == 0 {
                    return 0;
                }
                let (q, r) = (self.wrapping_div(b), self.wrapping_rem(b));
                if r != 0 && ((r < 0) != (b < 0)) { q.wrapping_sub(1) } else { q }
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn n_remainder(self, b: $t) -> $t {
                if b == 0 {
                    return 0;
                }
                let r = self.wrapping_rem(b);
                if r != 0 && ((r < 0) != (b < 0)) { r.wrapping_add(b) } else { r }
            }
            #[inline(always)]
            fn n_fmod(self, b: $t) -> $t {
                if b == 0 { 0 } else { self.wrapping_rem(b) }
            }
            #[inline(always)]
            #[allow(unused_comparisons)]
            fn n_pow(self, b: $t) -> $t {
                if b < 0 {
                    // The reciprocal, rounded to zero.
                    return match self {
                        1 => 1,
                        v if v == (0 as $t).wrapping_sub(1) => if b % 2 == 0 { 1 } else { self },
                        _ => 0,
                    };
                }
                let (mut base, mut e, mut y) = (self, b as u64, 1 as $t);
                while e > 0 {
                    if e & 1 == 1 {
                        y = y.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    e >>= 1;
                }
                y
            }
            #[inline(always)]
            fn param(_: f64, i: i64) -> $t {
                i as $t
            }
        }
    )*};
}
int_num!(u8, i32, i64);

macro_rules! float_num {
    ($($t:ty),*) => {$(
        impl Num for $t {
            #[inline(always)]
            fn n_add(self, b: $t) -> $t {
                self + b
            }
            #[inline(always)]
            fn n_sub(self, b: $t) -> $t {
                self - b
            }
            #[inline(always)]
            fn n_mul(self, b: $t) -> $t {
                self * b
            }
            #[inline(always)]
            fn n_neg(self) -> $t {
                -self
            }
            #[inline(always)]
            fn n_abs(self) -> $t {
                self.vabs()
            }
            #[inline(always)]
            fn n_sign(self) -> $t {
                // Zero, also for NaN, as in PyTorch.
                (self > 0.0) as u8 as $t - (self < 0.0) as u8 as $t
            }
            #[inline(always)]
            fn n_max(self, b: $t) -> $t {
                let y = if self > b { self } else { b };
                if self != self { self } else { y }
            }
            #[inline(always)]
            fn n_min(self, b: $t) -> $t {
                let y = if self < b { self } else { b };
                if self != self { self } else { y }
            }
            #[inline(always)]
            fn n_fmax(self, b: $t) -> $t {
                let y = if self > b { self } else { b };
                if b != b { self } else { y }
            }
            #[inline(always)]
            fn n_fmin(self, b: $t) -> $t {
                let y = if self < b { self } else { b };
                if b != b { self } else { y }
            }
            #[inline(always)]
            fn n_floor_div(self, b: $t) -> $t {
                if b == 0.0 {
                    return self / b;
                }
                // As CPython: through the exact remainder.
                let r = self % b;
                let mut q = (self - r) / b;
                if r != 0.0 && ((b < 0.0) != (r < 0.0)) {
                    q -= 1.0;
                }
                if q == 0.0 {
                    return (0.0 as $t).copysign(self / b);
                }
                let floor = q.floor();
                if q - floor > 0.5 { floor + 1.0 } else { floor }
            }
            #[inline(always)]
            fn n_remainder(self, b: $t) -> $t {
                let r = self % b;
                if r != 0.0 && ((r < 0.0) != (b < 0.0)) { r + b } else { r }
            }
            #[inline(always)]
            fn n_fmod(self, b: $t) -> $t {
                self % b
            }
            #[inline(always)]
            fn n_pow(self, b: $t) -> $t {
                self.powf(b)
            }
            #[inline(always)]
            fn param(f: f64, _: i64) -> $t {
                f as $t
            }
        }
    )*};
}
float_num!(f32, f64);

impl Num for Bool {
    #[inline(always)]
    fn n_add(self, b: Bool) -> Bool {
        Bool(self.0 | b.0)
    }
    #[inline(always)]
    fn n_sub(self, b: Bool) -> Bool {
        Bool(self.0 ^ b.0)
    }
    #[inline(always)]
    fn n_mul(self, b: Bool) -> Bool {
        Bool(self.0 & b.0)
    }
    #[inline(always)]
    fn n_neg(self) -> Bool {
        self
    }
    #[inline(always)]
    fn n_abs(self) -> Bool {
        self
    }
    #[inline(always)]
    fn n_sign(self) -> Bool {
        self
    }
    #[inline(always)]
    fn n_max(self, b: Bool) -> Bool {
        Bool(self.0 | b.0)
    }
    #[inline(always)]
    fn n_min(self, b: Bool) -> Bool {
        Bool(self.0 & b.0)
    }
    #[inline(always)]
    fn n_fmax(self, b: Bool) -> Bool {
        Bool(self.0 | b.0)
    }
    #[inline(always)]
    fn n_fmin(self, b: Bool) -> Bool {
        Bool(self.0 & b.0)
    }
    #[inline(always)]
    fn n_floor_div(self, b: Bool) -> Bool {
        Bool(self.0 & b.0)
    }
    #[inline(always)]
    fn n_remainder(self, _: Bool) -> Bool {
        Bool(0)
    }
    #[inline(always)]
    fn n_fmod(self, _: Bool) -> Bool {
        Bool(0)
    }
    #[inline(always)]
    fn n_pow(self, b: Bool) -> Bool {
        Bool(self.0 | (b.0 ^ 1))
    }
    #[inline(always)]
    fn param(f: f64, i: i64) -> Bool {
        Bool::from_scalar(Scalar::Bool(f != 0.0 || i != 0))
    }
}
