//! Tiles for AVX2 with FMA: 6 x 16 (float32) and 6 x 8 (float64), 12 of the 16 registers.

use super::micro::{Lanes, micro_kernels};
use std::arch::x86_64::*;

macro_rules! avx2_lanes {
    ($name:ident, $T:ty, $V:ty, $n:literal, $zero:ident, $splat:ident, $load:ident, $store:ident, $add:ident, $max:ident, $fma:ident, $block:literal, $transpose:path) => {
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

/// Four values each of two lines.
#[inline(always)]
unsafe fn two_f32(a: *const f32, b: *const f32, at: usize) -> __m256 {
    _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(_mm_loadu_ps(a.add(at))), _mm_loadu_ps(b.add(at)))
}

/// Two values each of two lines.
#[inline(always)]
unsafe fn two_f64(a: *const f64, b: *const f64, at: usize) -> __m256d {
    _mm256_insertf128_pd::<1>(_mm256_castpd128_pd256(_mm_loadu_pd(a.add(at))), _mm_loadu_pd(b.add(at)))
}

/// An 8 x 8 square of float32. The halves of two lines meet in one load, which leaves 16 shuffles.
#[inline(always)]
pub(super) unsafe fn transpose_f32(lines: [*const f32; 8], out: *mut f32, width: usize) {
    for at in [0, 4] {
        let (r0, r1) = (two_f32(lines[0], lines[4], at), two_f32(lines[1], lines[5], at));
        let (r2, r3) = (two_f32(lines[2], lines[6], at), two_f32(lines[3], lines[7], at));
        let (a, b) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
        let (c, d) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
        _mm256_storeu_ps(out.add(at * width), _mm256_shuffle_ps::<0x44>(a, c));
        _mm256_storeu_ps(out.add((at + 1) * width), _mm256_shuffle_ps::<0xEE>(a, c));
        _mm256_storeu_ps(out.add((at + 2) * width), _mm256_shuffle_ps::<0x44>(b, d));
        _mm256_storeu_ps(out.add((at + 3) * width), _mm256_shuffle_ps::<0xEE>(b, d));
    }
}

/// A 4 x 4 square of float64.
#[inline(always)]
pub(super) unsafe fn transpose_f64(lines: [*const f64; 8], out: *mut f64, width: usize) {
    for at in [0, 2] {
        let (r0, r1) = (two_f64(lines[0], lines[2], at), two_f64(lines[1], lines[3], at));
        _mm256_storeu_pd(out.add(at * width), _mm256_unpacklo_pd(r0, r1));
        _mm256_storeu_pd(out.add((at + 1) * width), _mm256_unpackhi_pd(r0, r1));
    }
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
    _mm256_max_ps,
    _mm256_fmadd_ps,
    8,
    transpose_f32
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
    _mm256_max_pd,
    _mm256_fmadd_pd,
    4,
    transpose_f64
);

micro_kernels!(f32_kernel, f32, F32x8, 16, [1 2 3 4 5 6], "avx2,fma");
micro_kernels!(f64_kernel, f64, F64x4, 8, [1 2 3 4 5 6], "avx2,fma");
