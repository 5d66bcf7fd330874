//! Vectors of floats, one type a level, for kernels that need registers under their own control
//! (accumulator tiles, masked edges) where plain loops in `multiversion!` do not vectorise well.
//!
//! A kernel implements [`Kernel`] once, for any [`Vector`]; [`run`] compiles it per level.

use super::gates::Exp;
use crate::dtype::Element;
use std::ops::{Add, AddAssign, Div, Mul, Sub};

/// float32 or float64, with its vectors.
pub trait Float:
    Element + Exp + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + AddAssign
{
    #[cfg(target_arch = "x86_64")]
    type Avx512: Vector<Elem = Self>;
    #[cfg(target_arch = "x86_64")]
    type Avx2: Vector<Elem = Self>;
}

/// A register of floats. Every method is inlined into a kernel that enables the level's features.
///
/// # Safety
/// Methods are called only where the level is available; pointers are valid for the lanes touched
/// (those of the mask, for masked ones).
pub trait Vector: Copy {
    type Elem: Float;
    /// A contiguous run of lanes.
    type Mask: Copy;
    const LANES: usize;
    /// Rows of a tile with two vectors a row whose accumulators, operands included, fit the registers.
    const ROWS: usize;
    unsafe fn splat(v: Self::Elem) -> Self;
    unsafe fn load(p: *const Self::Elem) -> Self;
    unsafe fn store(self, p: *mut Self::Elem);
    unsafe fn add(self, b: Self) -> Self;
    unsafe fn sub(self, b: Self) -> Self;
    unsafe fn mul(self, b: Self) -> Self;
    unsafe fn div(self, b: Self) -> Self;
    /// Keeps NaN.
    unsafe fn at_least(self, lo: Self) -> Self;
    /// Keeps NaN.
    unsafe fn at_most(self, hi: Self) -> Self;
    /// `self` where `y` is above zero, else zero.
    unsafe fn where_positive(self, y: Self) -> Self;
    /// `2^n` for `self` = n + [`Exp::MAGIC`], whose lowest bits are those of n.
    unsafe fn pow2_of_magic(self) -> Self;
    /// `self * b + c`
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// Lanes `first .. first + len`.
    unsafe fn mask(first: usize, len: usize) -> Self::Mask;
    /// Lane `i` is `p[i]` where the mask is set, else that of `self`.
    unsafe fn load_lanes(self, mask: Self::Mask, p: *const Self::Elem) -> Self;
    /// Writes the lanes of the mask: lane `i` to `p[i]`.
    unsafe fn store_lanes(self, mask: Self::Mask, p: *mut Self::Elem);
    /// The sum of the lanes, as a balanced tree.
    unsafe fn sum(self) -> Self::Elem;
    /// Asks for a line that is read, or with `WRITE` overwritten, a little later. Any address will do.
    #[inline(always)]
    unsafe fn prefetch<const WRITE: bool>(_p: *const Self::Elem) {}
    /// Four columns of a matrix with `LANES` rows that are `step` apart: lane `i` of vector `j` is
    /// `from[i * step + j]`.
    #[inline(always)]
    unsafe fn columns(from: *const Self::Elem, step: usize) -> [Self; 4] {
        let mut lanes = [[Self::Elem::default(); 16]; 4];
        for (j, column) in lanes.iter_mut().enumerate() {
            for (i, lane) in column[..Self::LANES].iter_mut().enumerate() {
                *lane = *from.add(i * step + j);
            }
        }
        lanes.map(|column| Self::load(column.as_ptr()))
    }
}

/// A computation written once for all levels. `run` must be `#[inline(always)]`.
pub trait Kernel<T: Float> {
    type Output;
    /// # Safety
    /// Whatever the kernel's fields promise.
    unsafe fn run<V: Vector<Elem = T>>(self) -> Self::Output;
}

/// Runs a kernel at the level in use.
///
/// # Safety
/// As [`Kernel::run`].
#[inline]
pub unsafe fn run<T: Float, K: Kernel<T>>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
        unsafe fn avx512<T: Float, K: Kernel<T>>(kernel: K) -> K::Output {
            kernel.run::<T::Avx512>()
        }
        #[target_feature(enable = "avx2,fma,bmi2")]
        unsafe fn avx2<T: Float, K: Kernel<T>>(kernel: K) -> K::Output {
            kernel.run::<T::Avx2>()
        }
        match super::level() {
            super::Level::Avx512 => return avx512(kernel),
            super::Level::Avx2 => return avx2(kernel),
            _ => {}
        }
    }
    kernel.run::<Array<T>>()
}

/// Four floats as an array: what the compiler makes of it is the baseline's vector (SSE2, NEON).
#[derive(Clone, Copy)]
pub struct Array<T>([T; 4]);

impl<T: Float> Vector for Array<T> {
    type Elem = T;
    type Mask = (usize, usize);
    const LANES: usize = 4;
    const ROWS: usize = 4;
    #[inline(always)]
    unsafe fn splat(v: T) -> Self {
        Array([v; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const T) -> Self {
        Array(p.cast::<[T; 4]>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut T) {
        p.cast::<[T; 4]>().write_unaligned(self.0)
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Array([self.0[0] + b.0[0], self.0[1] + b.0[1], self.0[2] + b.0[2], self.0[3] + b.0[3]])
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Array([self.0[0] - b.0[0], self.0[1] - b.0[1], self.0[2] - b.0[2], self.0[3] - b.0[3]])
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Array([self.0[0] * b.0[0], self.0[1] * b.0[1], self.0[2] * b.0[2], self.0[3] * b.0[3]])
    }
    #[inline(always)]
    unsafe fn div(self, b: Self) -> Self {
        Array([self.0[0] / b.0[0], self.0[1] / b.0[1], self.0[2] / b.0[2], self.0[3] / b.0[3]])
    }
    #[inline(always)]
    unsafe fn at_least(mut self, lo: Self) -> Self {
        for i in 0..4 {
            self.0[i] = if self.0[i] < lo.0[i] { lo.0[i] } else { self.0[i] };
        }
        self
    }
    #[inline(always)]
    unsafe fn at_most(mut self, hi: Self) -> Self {
        for i in 0..4 {
            self.0[i] = if self.0[i] > hi.0[i] { hi.0[i] } else { self.0[i] };
        }
        self
    }
    #[inline(always)]
    unsafe fn where_positive(mut self, y: Self) -> Self {
        for i in 0..4 {
            self.0[i] = if y.0[i] > T::default() { self.0[i] } else { T::default() };
        }
        self
    }
    #[inline(always)]
    unsafe fn pow2_of_magic(self) -> Self {
        Array([
            self.0[0].pow2_of_magic(),
            self.0[1].pow2_of_magic(),
            self.0[2].pow2_of_magic(),
            self.0[3].pow2_of_magic(),
        ])
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        let [x, y, z, w] = self.0;
        Array([x * b.0[0] + c.0[0], y * b.0[1] + c.0[1], z * b.0[2] + c.0[2], w * b.0[3] + c.0[3]])
    }
    #[inline(always)]
    unsafe fn mask(first: usize, len: usize) -> Self::Mask {
        (first, first + len)
    }
    #[inline(always)]
    unsafe fn load_lanes(mut self, mask: Self::Mask, p: *const T) -> Self {
        for i in mask.0..mask.1 {
            self.0[i] = *p.wrapping_add(i);
        }
        self
    }
    #[inline(always)]
    unsafe fn store_lanes(self, mask: Self::Mask, p: *mut T) {
        for i in mask.0..mask.1 {
            *p.wrapping_add(i) = self.0[i];
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> T {
        (self.0[0] + self.0[1]) + (self.0[2] + self.0[3])
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Float for f32 {}
#[cfg(not(target_arch = "x86_64"))]
impl Float for f64 {}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Exp, Float, Vector};
    use std::arch::x86_64::*;

    impl Float for f32 {
        type Avx512 = __m512;
        type Avx2 = __m256;
    }
    impl Float for f64 {
        type Avx512 = __m512d;
        type Avx2 = __m256d;
    }

    macro_rules! avx512 {
        ($t:ty, $v:ty, $mask:ty, $lanes:expr, $set1:ident, $load:ident, $store:ident, $add:ident, $fma:ident,
         $mload:ident, $mstore:ident, $sum:ident, [$sub:ident, $mul:ident, $div:ident, $min:ident, $max:ident,
         $greater:ident, $keep:ident, $bits:ident, $shift:ident, $add_bits:ident, $set_bits:ident, $float:ident],
         { $($columns:item)? }) => {
            impl Vector for $v {
                type Elem = $t;
                type Mask = $mask;
                const LANES: usize = $lanes;
                const ROWS: usize = 12;
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    $set1(v)
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    $load(p)
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    $store(p, self)
                }
                #[inline(always)]
                unsafe fn add(self, b: Self) -> Self {
                    $add(self, b)
                }
                #[inline(always)]
                unsafe fn sub(self, b: Self) -> Self {
                    $sub(self, b)
                }
                #[inline(always)]
                unsafe fn mul(self, b: Self) -> Self {
                    $mul(self, b)
                }
                #[inline(always)]
                unsafe fn div(self, b: Self) -> Self {
                    $div(self, b)
                }
                // Of two operands one of which is NaN these instructions give the second.
                #[inline(always)]
                unsafe fn at_least(self, lo: Self) -> Self {
                    $max(lo, self)
                }
                #[inline(always)]
                unsafe fn at_most(self, hi: Self) -> Self {
                    $min(hi, self)
                }
                #[inline(always)]
                unsafe fn where_positive(self, y: Self) -> Self {
                    $keep($greater::<_CMP_GT_OQ>(y, $set1(0.0)), self)
                }
                #[inline(always)]
                unsafe fn pow2_of_magic(self) -> Self {
                    let n = $shift::<{ <$t as Exp>::MANTISSA }>($bits(self));
                    $float($add_bits(n, $set_bits(<$t as Exp>::ONE_BITS)))
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    $fma(self, b, c)
                }
                #[inline(always)]
                unsafe fn mask(first: usize, len: usize) -> $mask {
                    (((1u32 << len) - 1) << first) as $mask
                }
                #[inline(always)]
                unsafe fn load_lanes(self, mask: $mask, p: *const $t) -> Self {
                    $mload(self, mask, p)
                }
                #[inline(always)]
                unsafe fn store_lanes(self, mask: $mask, p: *mut $t) {
                    $mstore(p, mask, self)
                }
                #[inline(always)]
                unsafe fn sum(self) -> $t {
                    $sum(self)
                }
                #[inline(always)]
                unsafe fn prefetch<const WRITE: bool>(p: *const $t) {
                    if WRITE {
                        _mm_prefetch::<_MM_HINT_ET0>(p.cast())
                    } else {
                        _mm_prefetch::<_MM_HINT_T0>(p.cast())
                    }
                }
                $($columns)?
            }
        };
    }
    avx512!(
        f32,
        __m512,
        __mmask16,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_fmadd_ps,
        _mm512_mask_loadu_ps,
        _mm512_mask_storeu_ps,
        _mm512_reduce_add_ps,
        [
            _mm512_sub_ps,
            _mm512_mul_ps,
            _mm512_div_ps,
            _mm512_min_ps,
            _mm512_max_ps,
            _mm512_cmp_ps_mask,
            _mm512_maskz_mov_ps,
            _mm512_castps_si512,
            _mm512_slli_epi32,
            _mm512_add_epi32,
            _mm512_set1_epi32,
            _mm512_castsi512_ps
        ],
        {
            // Rows that are four apart meet in one register by loads, which leaves eight shuffles.
            #[inline(always)]
            unsafe fn columns(from: *const f32, step: usize) -> [Self; 4] {
                let quarter = |row: usize| _mm_loadu_ps(from.add(row * step));
                let rows = |row: usize| {
                    let v = _mm512_castps128_ps512(quarter(row));
                    let v = _mm512_insertf32x4::<1>(v, quarter(row + 4));
                    let v = _mm512_insertf32x4::<2>(v, quarter(row + 8));
                    _mm512_insertf32x4::<3>(v, quarter(row + 12))
                };
                let (r0, r1, r2, r3) = (rows(0), rows(1), rows(2), rows(3));
                let (a, b) = (_mm512_unpacklo_ps(r0, r1), _mm512_unpackhi_ps(r0, r1));
                let (c, d) = (_mm512_unpacklo_ps(r2, r3), _mm512_unpackhi_ps(r2, r3));
                [
                    _mm512_shuffle_ps::<0x44>(a, c),
                    _mm512_shuffle_ps::<0xEE>(a, c),
                    _mm512_shuffle_ps::<0x44>(b, d),
                    _mm512_shuffle_ps::<0xEE>(b, d),
                ]
            }
        }
    );
    avx512!(
        f64,
        __m512d,
        __mmask8,
        8,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_add_pd,
        _mm512_fmadd_pd,
        _mm512_mask_loadu_pd,
        _mm512_mask_storeu_pd,
        _mm512_reduce_add_pd,
        [
            _mm512_sub_pd,
            _mm512_mul_pd,
            _mm512_div_pd,
            _mm512_min_pd,
            _mm512_max_pd,
            _mm512_cmp_pd_mask,
            _mm512_maskz_mov_pd,
            _mm512_castpd_si512,
            _mm512_slli_epi64,
            _mm512_add_epi64,
            _mm512_set1_epi64,
            _mm512_castsi512_pd
        ],
        {}
    );

    macro_rules! avx2 {
        ($t:ty, $v:ty, $lanes:expr, $int:ty, $set1:ident, $load:ident, $store:ident, $add:ident, $fma:ident,
         $mload:ident, $mstore:ident, $blend:ident, $cast:ident, [$sub:ident, $mul:ident, $div:ident, $min:ident,
         $max:ident, $compare:ident, $and:ident, $bits:ident, $shift:ident, $add_bits:ident, $set_bits:ident],
         { $($columns:item)? }) => {
            impl Vector for $v {
                type Elem = $t;
                type Mask = __m256i;
                const LANES: usize = $lanes;
                const ROWS: usize = 6;
                #[inline(always)]
                unsafe fn splat(v: $t) -> Self {
                    $set1(v)
                }
                #[inline(always)]
                unsafe fn load(p: *const $t) -> Self {
                    $load(p)
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut $t) {
                    $store(p, self)
                }
                #[inline(always)]
                unsafe fn add(self, b: Self) -> Self {
                    $add(self, b)
                }
                #[inline(always)]
                unsafe fn sub(self, b: Self) -> Self {
                    $sub(self, b)
                }
                #[inline(always)]
                unsafe fn mul(self, b: Self) -> Self {
                    $mul(self, b)
                }
                #[inline(always)]
                unsafe fn div(self, b: Self) -> Self {
                    $div(self, b)
                }
                // Of two operands one of which is NaN these instructions give the second.
                #[inline(always)]
                unsafe fn at_least(self, lo: Self) -> Self {
                    $max(lo, self)
                }
                #[inline(always)]
                unsafe fn at_most(self, hi: Self) -> Self {
                    $min(hi, self)
                }
                #[inline(always)]
                unsafe fn where_positive(self, y: Self) -> Self {
                    $and($compare::<_CMP_GT_OQ>(y, $set1(0.0)), self)
                }
                #[inline(always)]
                unsafe fn pow2_of_magic(self) -> Self {
                    let n = $shift::<{ <$t as Exp>::MANTISSA as i32 }>($bits(self));
                    $cast($add_bits(n, $set_bits(<$t as Exp>::ONE_BITS)))
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    $fma(self, b, c)
                }
                #[inline(always)]
                unsafe fn mask(first: usize, len: usize) -> __m256i {
                    let mut lanes = [0 as $int; $lanes];
                    for i in 0..$lanes {
                        lanes[i] = if i >= first && i < first + len { -1 } else { 0 };
                    }
                    _mm256_loadu_si256(lanes.as_ptr().cast())
                }
                #[inline(always)]
                unsafe fn load_lanes(self, mask: __m256i, p: *const $t) -> Self {
                    $blend(self, $mload(p, mask), $cast(mask))
                }
                #[inline(always)]
                unsafe fn store_lanes(self, mask: __m256i, p: *mut $t) {
                    $mstore(p, mask, self)
                }
                #[inline(always)]
                unsafe fn sum(self) -> $t {
                    let mut lanes = [0 as $t; $lanes];
                    self.store(lanes.as_mut_ptr());
                    let mut width = $lanes / 2;
                    while width > 0 {
                        for i in 0..width {
                            lanes[i] += lanes[i + width];
                        }
                        width /= 2;
                    }
                    lanes[0]
                }
                #[inline(always)]
                unsafe fn prefetch<const WRITE: bool>(p: *const $t) {
                    if WRITE {
                        _mm_prefetch::<_MM_HINT_ET0>(p.cast())
                    } else {
                        _mm_prefetch::<_MM_HINT_T0>(p.cast())
                    }
                }
                $($columns)?
            }
        };
    }
    avx2!(
        f32,
        __m256,
        8,
        i32,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_fmadd_ps,
        _mm256_maskload_ps,
        _mm256_maskstore_ps,
        _mm256_blendv_ps,
        _mm256_castsi256_ps,
        [
            _mm256_sub_ps,
            _mm256_mul_ps,
            _mm256_div_ps,
            _mm256_min_ps,
            _mm256_max_ps,
            _mm256_cmp_ps,
            _mm256_and_ps,
            _mm256_castps_si256,
            _mm256_slli_epi32,
            _mm256_add_epi32,
            _mm256_set1_epi32
        ],
        {
            #[inline(always)]
            unsafe fn columns(from: *const f32, step: usize) -> [Self; 4] {
                let half = |row: usize| _mm_loadu_ps(from.add(row * step));
                let rows = |row| _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(half(row)), half(row + 4));
                let (r0, r1, r2, r3) = (rows(0), rows(1), rows(2), rows(3));
                let (a, b) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
                let (c, d) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
                [
                    _mm256_shuffle_ps::<0x44>(a, c),
                    _mm256_shuffle_ps::<0xEE>(a, c),
                    _mm256_shuffle_ps::<0x44>(b, d),
                    _mm256_shuffle_ps::<0xEE>(b, d),
                ]
            }
        }
    );
    avx2!(
        f64,
        __m256d,
        4,
        i64,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_add_pd,
        _mm256_fmadd_pd,
        _mm256_maskload_pd,
        _mm256_maskstore_pd,
        _mm256_blendv_pd,
        _mm256_castsi256_pd,
        [
            _mm256_sub_pd,
            _mm256_mul_pd,
            _mm256_div_pd,
            _mm256_min_pd,
            _mm256_max_pd,
            _mm256_cmp_pd,
            _mm256_and_pd,
            _mm256_castpd_si256,
            _mm256_slli_epi64,
            _mm256_add_epi64,
            _mm256_set1_epi64x
        ],
        {}
    );
}
