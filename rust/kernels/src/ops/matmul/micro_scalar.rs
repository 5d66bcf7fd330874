//! Tiles in portable Rust: 4 x 8 (float32) and 4 x 4 (float64), which every target's baseline
//! registers can hold.

use super::micro::{Lanes, micro_kernels};

macro_rules! portable_lanes {
    ($name:ident, $T:ty, $n:literal) => {
        #[derive(Clone, Copy)]
        pub(super) struct $name([$T; $n]);

        // SAFETY: plain Rust only.
        unsafe impl Lanes for $name {
            type T = $T;
            type Mask = ();
            const LANES: usize = $n;
            const MASKED: bool = false;
            #[inline(always)]
            unsafe fn zero() -> Self {
                $name([0.0; $n])
            }
            #[inline(always)]
            unsafe fn splat(x: $T) -> Self {
                $name([x; $n])
            }
            #[inline(always)]
            unsafe fn mask(_: usize) {}
            #[inline(always)]
            unsafe fn load(p: *const $T, _: ()) -> Self {
                Self::load_all(p)
            }
            #[inline(always)]
            unsafe fn load_all(p: *const $T) -> Self {
                $name(p.cast::<[$T; $n]>().read_unaligned())
            }
            #[inline(always)]
            unsafe fn store_all(self, p: *mut $T) {
                p.cast::<[$T; $n]>().write_unaligned(self.0)
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $T, _: (), n: usize) {
                if n == $n {
                    return self.store_all(p);
                }
                std::ptr::copy_nonoverlapping(self.0.as_ptr(), p, n);
            }
            #[inline(always)]
            unsafe fn add(mut self, other: Self) -> Self {
                for i in 0..$n {
                    self.0[i] += other.0[i];
                }
                self
            }
            #[inline(always)]
            unsafe fn relu(mut self) -> Self {
                for i in 0..$n {
                    self.0[i] = if self.0[i] < 0.0 { 0.0 } else { self.0[i] };
                }
                self
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
            // Not `f32::mul_add`: without the instruction that is a library call.
            #[inline(always)]
            unsafe fn mul_add(mut self, a: Self, b: Self) -> Self {
                for i in 0..$n {
                    self.0[i] += a.0[i] * b.0[i];
                }
                self
            }
        }
    };
}

portable_lanes!(F32x4, f32, 4);
portable_lanes!(F64x2, f64, 2);

micro_kernels!(f32_kernel, f32, F32x4, 8, [1 2 3 4]);
micro_kernels!(f64_kernel, f64, F64x2, 4, [1 2 3 4]);
