//! What the machine can do at most: multiply-adds in registers, bytes through memory. Measured in the same
//! run as the kernels, at the SIMD level they use, so that their shares mean something.

use lectorium::multiversion;
use lectorium::parallel::{self, SendPtr};
use lectorium::simd::vector::{Kernel, Vector, run};
use std::time::Instant;

/// On some number of threads.
#[derive(Clone, Copy)]
pub struct Peak {
    pub threads: usize,
    /// Floating point operations a second, two a multiply-add. Where a level has no fused one, kernels with
    /// intrinsics of their own can do better.
    pub flops: f64,
    /// Bytes a second, read and written, of `a += s * b` on arrays beyond the caches. A kernel whose output is
    /// fresh memory cannot reach it: the output's lines are read too before they are written.
    pub bytes: f64,
}

/// Independent chains of multiply-adds: enough to hide their latency, few enough for 16 registers.
const CHAINS: usize = 12;
const STEPS: usize = 200_000;
/// Elements of each array: 64 MB.
const LENGTH: usize = 1 << 24;
const ROUNDS: usize = 6;

struct MultiplyAdd;

impl Kernel<f32> for MultiplyAdd {
    /// The operations done, and a number that keeps them from being left out.
    type Output = (f64, f32);

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) -> (f64, f32) {
        let (factor, term) = (V::splat(0.999), V::splat(0.001));
        let mut sums = [V::splat(0.5); CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, term);
            }
        }
        let total = sums.iter().map(|s| s.sum()).sum();
        ((2 * CHAINS * STEPS * V::LANES) as f64, total)
    }
}

multiversion! {
    fn add_scaled(a: &mut [f32], b: &[f32], s: f32) {
        for (a, b) in a.iter_mut().zip(b) {
            *a += s * b;
        }
    }
}

fn best(mut rate: impl FnMut() -> f64) -> f64 {
    (0..ROUNDS).map(|_| rate()).fold(0.0, f64::max)
}

impl Peak {
    /// Sets the number of threads and measures.
    pub fn measure(threads: usize) -> Peak {
        parallel::set_num_threads(threads);
        let tasks = 8 * threads;
        // SAFETY: as below.
        let (operations, _) = unsafe { run(MultiplyAdd) };
        let flops = best(|| {
            let start = Instant::now();
            parallel::for_each(tasks, |_| {
                // SAFETY: the kernel touches registers only.
                std::hint::black_box(unsafe { run(MultiplyAdd) });
            });
            tasks as f64 * operations / start.elapsed().as_secs_f64()
        });
        let (mut a, b) = (vec![1f32; LENGTH], vec![2f32; LENGTH]);
        let out = SendPtr(a.as_mut_ptr());
        let bytes = best(|| {
            let start = Instant::now();
            parallel::for_ranges(LENGTH, LENGTH / (16 * threads), |r| {
                // SAFETY: ranges do not overlap and end within the array.
                let a = unsafe { std::slice::from_raw_parts_mut(out.get().add(r.start), r.len()) };
                add_scaled(a, &b[r], 3.0);
            });
            (12 * LENGTH) as f64 / start.elapsed().as_secs_f64()
        });
        Peak { threads, flops, bytes }
    }
}
