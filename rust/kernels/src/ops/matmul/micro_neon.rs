//! Tiles for NEON: 8 x 8 (float32) and 8 x 4 (float64), 16 of the 32 registers.

use super::micro::{Lanes, micro_kernels};
use std::arch::aarch64::*;

macro_rules! neon_lanes {
    ($name:ident, $T:ty, $V:ty, $n:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $max:ident, $fma:ident) => {
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub(super) struct $name($V);

        // SAFETY: NEON is part of every aarch64 target that has a standard library.
        unsafe impl Lanes for $name {
            type T = $T;
            type Mask = ();
            const LANES: usize = $n;
            const MASKED: bool = false;
            #[inline(always)]
            unsafe fn zero() -> Self {
                $name($splat(0.0))
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
                $name($max(self.0, $splat(0.0)))
            }
            const BLOCK: usize = 4;
            #[inline(always)]
            unsafe fn transpose(lines: [*const $T; 8], out: *mut $T, width: usize) {
                for p in 0..4 {
                    for l in 0..4 {
                        *out.add(p * width + l) = *lines[l].add(p);
                    }
                }
            }
            #[inline(always)]
            unsafe fn mul_add(self, a: Self, b: Self) -> Self {
                $name($fma(self.0, a.0, b.0))
            }
        }
    };
}

neon_lanes!(F32x4, f32, float32x4_t, 4, vdupq_n_f32, vld1q_f32, vst1q_f32, vaddq_f32, vmaxq_f32, vfmaq_f32);
neon_lanes!(F64x2, f64, float64x2_t, 2, vdupq_n_f64, vld1q_f64, vst1q_f64, vaddq_f64, vmaxq_f64, vfmaq_f64);

micro_kernels!(f32_kernel, f32, F32x4, 8, [1 2 3 4 5 6 7 8], "neon");
micro_kernels!(f64_kernel, f64, F64x2, 4, [1 2 3 4 5 6 7 8], "neon");
