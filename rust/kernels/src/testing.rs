//! What tests of several families share.

use std::sync::{Mutex, MutexGuard};

static THREADS: Mutex<()> = Mutex::new(());

/// Tests that set the number of threads take turns: each holds this while it does.
pub fn thread_count() -> MutexGuard<'static, ()> {
    THREADS.lock().unwrap_or_else(|e| e.into_inner())
}

/// Reproducible values in -1..1, a multiple of 2^-12 each.
pub fn values(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((s >> 51) as i64 - 4096) as f64 / 4096.0
        })
        .collect()
}
