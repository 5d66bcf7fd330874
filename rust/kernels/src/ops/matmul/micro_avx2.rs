//! Tiles for AVX2 with FMA: 6 x 16 (float32) and 6 x 8 (float64), 12 of the 16 registers.

use super::micro::{Lanes, micro_kernels};
use std::arch::x86_64::*;

macro_rules! avx2_lanes {
    ($name:ident, $T:ty, $V:ty, $n:literal, $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $fma:ident) => {
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub(super) struct $name($V);

        // SAFETY: used only from functions with the target features below.
        unsafe impl Lanes for $name {
            type T = $T;
            type Mask = ();
            const LANES: usize = $n;
            const MASKED: bool = false;
            #[inline(always)]
            unsafe fn zero() -> Self {
                $name($zero())
            }
            #[inline(always)]
            unsafe fn splat(x: $T) -> Self {
                $name($splat(x))
            }
            #[inline(always)]
            unsafe fn mask(_: usize) {}
            #[inline(always)]
            unsafe fn load(p: *const $T, _: ()) -> Self {
                Self::load_all(p)
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
            unsafe fn store(self, p: *mut $T, _: (), n: usize) {
                if n == $n {
                    return self.store_all(p);
                }
                // Masked stores are slow on older AMD cores; an edge goes through the stack.
                let mut lanes = [0.0; $n];
                self.store_all(lanes.as_mut_ptr());
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n);
            }
            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                $name($add(self.0, other.0))
            }
            #[inline(always)]
            unsafe fn mul_add(self, a: Self, b: Self) -> Self {
                $name($fma(a.0, b.0, self.0))
            }
        }
    };
}

avx2_lanes!(
    F32x8,
    f32,
    __m256,
    8,
    _mm256_setzero_ps,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_add_ps,
    _mm256_fmadd_ps
);
avx2_lanes!(
    F64x4,
    f64,
    __m256d,
    4,
    _mm256_setzero_pd,
    _mm256_set1_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_add_pd,
    _mm256_fmadd_pd
);

micro_kernels!(f32_kernel, f32, F32x8, 16, [1 2 3 4 5 6], "avx2,fma");
micro_kernels!(f64_kernel, f64, F64x4, 8, [1 2 3 4 5 6], "avx2,fma");
