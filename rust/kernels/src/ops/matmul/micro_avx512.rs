//! Tiles for AVX-512: 14 x 32 (float32) and 14 x 16 (float64), 28 of the 32 registers. Columns
//! left over are masked, rows left over have tiles of their own height.

use super::micro::{Lanes, micro_kernels};
use std::arch::x86_64::*;

macro_rules! avx512_lanes {
    ($name:ident, $T:ty, $V:ty, $mask:ty, $n:literal, $zero:ident, $splat:ident, $load:ident, $maskload:ident, $store:ident, $maskstore:ident, $add:ident, $max:ident, $fma:ident, $block:literal, $transpose:path) => {
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub(super) struct $name($V);

        // SAFETY: used only from functions with the target features below.
        unsafe impl Lanes for $name {
            type T = $T;
            type Mask = $mask;
            const LANES: usize = $n;
            const MASKED: bool = true;
            #[inline(always)]
            unsafe fn zero() -> Self {
                $name($zero())
            }
            #[inline(always)]
            unsafe fn splat(x: $T) -> Self {
                $name($splat(x))
            }
            #[inline(always)]
            unsafe fn mask(n: usize) -> $mask {
                ((1u32 << n) - 1) as $mask
            }
            #[inline(always)]
            unsafe fn load(p: *const $T, mask: $mask) -> Self {
                $name($maskload(mask, p))
            }
            #[inline(always)]
            unsafe fn load_all(p: *const $T) -> Self {
                $name($load(p))
            }
            #[inline(always)]
            unsafe fn store_all(self, p: *mut $T) {
                $store(p, self.0)
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $T, mask: $mask, _: usize) {
                $maskstore(p, mask, self.0)
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                $name($add(self.0, other.0))
            }
            #[inline(always)]
            unsafe fn relu(self) -> Self {
                // Of the two the instruction gives the second where one is NaN.
                $name($max($zero(), self.0))
            }
            const BLOCK: usize = $block;
            #[inline(always)]
            unsafe fn transpose(lines: [*const $T; 8], out: *mut $T, width: usize) {
                $transpose(lines, out, width)
            }
            #[inline(always)]
            unsafe fn mul_add(self, a: Self, b: Self) -> Self {
                $name($fma(a.0, b.0, self.0))
            }
        }
    };
}

avx512_lanes!(
    F32x16,
    f32,
    __m512,
    __mmask16,
    16,
    _mm512_setzero_ps,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_maskz_loadu_ps,
    _mm512_storeu_ps,
    _mm512_mask_storeu_ps,
    _mm512_add_ps,
    _mm512_max_ps,
    _mm512_fmadd_ps,
    8,
    super::micro_avx2::transpose_f32
);
avx512_lanes!(
    F64x8,
    f64,
    __m512d,
    __mmask8,
    8,
    _mm512_setzero_pd,
    _mm512_set1_pd,
    _mm512_loadu_pd,
    _mm512_maskz_loadu_pd,
    _mm512_storeu_pd,
    _mm512_mask_storeu_pd,
    _mm512_add_pd,
    _mm512_max_pd,
    _mm512_fmadd_pd,
    4,
    super::micro_avx2::transpose_f64
);

micro_kernels!(f32_kernel, f32, F32x16, 32, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
micro_kernels!(f64_kernel, f64, F64x8, 16, [1 2 3 4 5 6 7 8 9 10 11 12 13 14], "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");
