//! The only door to threads: a pool of workers that spin briefly and then park.
//!
//! Work is cut by its shape, never by the number of threads, so results have the same bits for
//! any count. A call from inside a worker, from a second caller while the pool is busy, or with
//! less than two tasks runs serially on the calling thread.

mod pool;
mod steps;
mod watch;

pub use steps::for_steps;
pub use watch::{interrupted, watched};

use pool::{Job, Pool};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// Elements below which an elementwise kernel stays on one thread (about 10 us of work).
pub const GRAIN: usize = 1 << 15;

static WANTED: AtomicUsize = AtomicUsize::new(0);
static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());
static BUSY: AtomicBool = AtomicBool::new(false);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Threads that kernels use: `set_num_threads`, else `LECTORIUM_NUM_THREADS`, else the cores that
/// affinity and cgroups leave to this process.
pub fn num_threads() -> usize {
    match WANTED.load(Ordering::Relaxed) {
        0 => {
            let n = std::env::var("LECTORIUM_NUM_THREADS")
                .ok()
                .and_then(|w| w.trim().parse::<usize>().ok())
                .filter(|&n| n > 0)
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
                .min(MAX_THREADS);
            WANTED.store(n, Ordering::Relaxed);
            n
        }
        n => n,
    }
}

pub const MAX_THREADS: usize = 256;

/// Sets the number of threads (1 to [`MAX_THREADS`]) from the next kernel on.
pub fn set_num_threads(n: usize) {
    WANTED.store(n.clamp(1, MAX_THREADS), Ordering::Relaxed);
}

/// In a forked child the workers are gone and locks may be held for ever: leak both, start anew.
pub(crate) fn install_fork_guard() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(unix)]
        {
            extern "C" fn child() {
                POOL.store(std::ptr::null_mut(), Ordering::Relaxed);
                BUSY.store(false, Ordering::Relaxed);
                INSIDE.with(|c| c.set(false));
                crate::memory::after_fork_in_child();
            }
            // SAFETY: the handler only stores to atomics and a const-initialised thread local.
            unsafe { libc::pthread_atfork(None, None, Some(child)) };
        }
    });
}

/// Calls `f(0) … f(tasks - 1)`, in any order, on several threads where that can help.
pub fn for_each<F: Fn(usize) + Sync>(tasks: usize, f: F) {
    let threads = num_threads();
    let several = (2..=u32::MAX as usize).contains(&tasks) && threads > 1;
    if !several || INSIDE.with(Cell::get) || BUSY.swap(true, Ordering::Acquire) {
        let _denormals = DenormalsOff::new();
        (0..tasks).for_each(f);
        return;
    }
    unsafe fn call<F: Fn(usize)>(closure: *const (), i: usize) {
        (*closure.cast::<F>())(i)
    }
    fn job_of<F: Fn(usize) + Sync>(f: &F) -> Job {
        Job { call: call::<F>, closure: std::ptr::from_ref(f).cast(), panicked: AtomicBool::new(false) }
    }
    let current = watch::current();
    let watched = |i: usize| current.with(|| f(i));
    let job = job_of(&watched);
    install_fork_guard();
    let mut pool = POOL.load(Ordering::Acquire);
    // Only the holder of BUSY replaces the pool.
    // SAFETY: a published pool is freed only here, and BUSY keeps every other user out.
    if pool.is_null() || unsafe { (*pool).workers } != threads - 1 {
        let fresh = Box::into_raw(Box::new(Pool::start(threads - 1)));
        POOL.store(fresh, Ordering::Release);
        if !pool.is_null() {
            // SAFETY: as above.
            drop(unsafe { Box::from_raw(pool) });
        }
        pool = fresh;
    }
    INSIDE.with(|c| c.set(true));
    {
        let _denormals = DenormalsOff::new();
        // SAFETY: as above.
        unsafe { (*pool).run(&job, tasks) };
    }
    INSIDE.with(|c| c.set(false));
    BUSY.store(false, Ordering::Release);
    assert!(!job.panicked.load(Ordering::Relaxed), "a kernel panicked on a worker thread");
}

/// While it lives, the kernels that this thread calls stay on it.
pub struct OneThread {
    before: bool,
}

/// Keeps a kernel on this thread if it has little to do (multiply-adds): its cut, which follows the
/// shape, does not show that.
pub fn one_thread_below_grain(multiply_adds: usize) -> OneThread {
    let before = INSIDE.with(Cell::get);
    INSIDE.with(|c| c.set(before || multiply_adds < 1 << 20));
    OneThread { before }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        INSIDE.with(|c| c.set(self.before));
    }
}

/// Cuts `0..len` into pieces of `grain` and calls `f` on each, in parallel.
pub fn for_ranges<F: Fn(Range<usize>) + Sync>(len: usize, grain: usize, f: F) {
    let grain = grain.max(1);
    for_each(len.div_ceil(grain), |i| f(i * grain..((i + 1) * grain).min(len)));
}

/// A raw pointer that may cross threads: each task writes its own part.
#[derive(Clone, Copy)]
pub struct SendPtr<T>(pub *mut T);
// SAFETY: users promise disjoint writes; see each use.
unsafe impl<T> Send for SendPtr<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for SendPtr<T> {}

impl<T> SendPtr<T> {
    /// The pointer; a method so that closures capture the wrapper whole.
    #[inline(always)]
    pub fn get(&self) -> *mut T {
        self.0
    }
}

/// Flushes denormals to zero on this thread while it lives: they cost a hundredfold.
pub struct DenormalsOff {
    #[cfg(target_arch = "x86_64")]
    before: u32,
}

#[cfg(target_arch = "x86_64")]
#[allow(deprecated)]
impl DenormalsOff {
    pub fn new() -> DenormalsOff {
        use std::arch::x86_64::{_mm_getcsr, _mm_setcsr};
        // SAFETY: SSE is part of x86-64; FTZ and DAZ change rounding of denormals only.
        unsafe {
            let before = _mm_getcsr();
            if before & 0x8040 != 0x8040 {
                _mm_setcsr(before | 0x8040);
            }
            DenormalsOff { before }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(deprecated)]
impl Drop for DenormalsOff {
    fn drop(&mut self) {
        if self.before & 0x8040 != 0x8040 {
            // SAFETY: restores what `new` read.
            unsafe { std::arch::x86_64::_mm_setcsr(self.before) }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl DenormalsOff {
    pub fn new() -> DenormalsOff {
        DenormalsOff {}
    }
}

impl Default for DenormalsOff {
    fn default() -> Self {
        DenormalsOff::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_for_any_number_of_threads() {
        for threads in [1, 2, 7] {
            set_num_threads(threads);
            for tasks in [0, 1, 2, 5, 1000] {
                let seen: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                for_each(tasks, |i| {
                    seen[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(seen.iter().all(|s| s.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn nested_and_simultaneous_calls_finish() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..200 {
                        for_each(8, |_| {
                            for_each(4, |_| {
                                total.fetch_add(1, Ordering::Relaxed);
                            })
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 4 * 200 * 32);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller_and_the_pool_survives() {
        let outcome = std::panic::catch_unwind(|| for_each(64, |i| assert!(i != 33)));
        assert!(outcome.is_err());
        for_each(64, |_| {});
    }
}
