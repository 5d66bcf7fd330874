//! The only door to threads: a pool of workers that spin briefly and then park.
//!
//! Work is cut by its shape, never by the number of threads, so results have the same bits for
//! any count. A call from inside a worker, from a second caller while the pool is busy, or with
//! less than two tasks runs serially on the calling thread.

mod steps;

pub use steps::for_steps;

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once};
use std::time::{Duration, Instant};

/// Elements below which an elementwise kernel stays on one thread (about 10 us of work).
pub const GRAIN: usize = 1 << 15;
/// How long a thread spins for work, or for the last worker, before it sleeps: some times what waking
/// it costs.
const SPIN: Duration = Duration::from_micros(50);
/// Between two looks at the clock a spinning thread that still has its core is never away so long.
const AWAY: Duration = Duration::from_micros(20);

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

/// One parallel call, shared with the workers while it lasts.
struct Job {
    /// Calls task `i`; the pointer is the caller's closure.
    call: unsafe fn(*const (), usize),
    closure: *const (),
    panicked: AtomicBool,
}

/// The tasks of a job that are left to one thread: it takes the lowest, others that have run out take
/// the highest. So a thread meets the same part of a tensor in job after job, in its own caches.
#[repr(align(128))]
struct Share(AtomicU64);

impl Share {
    fn set(&self, tasks: Range<usize>) {
        self.0.store(((tasks.end as u64) << 32) | tasks.start as u64, Ordering::Relaxed);
    }

    fn take(&self, lowest: bool) -> Option<usize> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let (start, end) = (word & 0xffff_ffff, word >> 32);
            if start >= end {
                return None;
            }
            let (task, rest) = if lowest { (start, word + 1) } else { (end - 1, word - (1 << 32)) };
            match self.0.compare_exchange_weak(word, rest, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(task as usize),
                Err(now) => word = now,
            }
        }
    }
}

/// A gate's lowest bits count the workers inside the job, this one says that more may enter, and
/// those above number the job.
const OPEN: usize = 1 << 15;
const EPOCH: u32 = 16;

struct Shared {
    /// Number, openness and crowd of the current job in one word. A worker that comes late finds it
    /// closed and waits for the next: the caller never waits for a worker that the system has not
    /// woken, or that another process keeps from its core.
    gate: AtomicUsize,
    job: AtomicPtr<Job>,
    /// One for the caller, then one for each worker.
    shares: Box<[Share]>,
    /// Workers that sleep, or are about to.
    parked: AtomicUsize,
    door: Mutex<()>,
    wake: Condvar,
    /// Whether the caller sleeps until the last worker has left.
    waiting: AtomicBool,
    left: Condvar,
    stop: AtomicBool,
}

/// Spins until `done`, for a while. It never yields: the system may then run anybody for milliseconds.
/// But a spinner that finds it was kept from its core gives up, because somebody else needs the core.
fn spin(done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    let mut last = start;
    loop {
        for _ in 0..32 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        let now = Instant::now();
        if now - start > SPIN || now - last > AWAY {
            return done();
        }
        last = now;
    }
}

impl Shared {
    fn epoch(&self) -> usize {
        self.gate.load(SeqCst) >> EPOCH
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.door.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn sleep<'a>(&self, until: &Condvar, door: MutexGuard<'a, ()>) -> MutexGuard<'a, ()> {
        until.wait(door).unwrap_or_else(|e| e.into_inner())
    }

    /// For a worker: returns when there is another job than number `seen`.
    fn await_job(&self, seen: usize) {
        if spin(|| self.epoch() != seen) {
            return;
        }
        let mut door = self.lock();
        self.parked.fetch_add(1, SeqCst);
        // Looked at after it has been counted: whoever opens a job does these in the other order.
        while self.epoch() == seen {
            door = self.sleep(&self.wake, door);
        }
        self.parked.fetch_sub(1, SeqCst);
    }

    /// Wakes up to so many workers.
    fn wake(&self, helpers: usize) {
        let parked = self.parked.load(SeqCst);
        if parked == 0 {
            return;
        }
        let _door = self.lock();
        if helpers >= parked {
            self.wake.notify_all();
        } else {
            (0..helpers).for_each(|_| self.wake.notify_one());
        }
    }

    fn leave(&self) {
        let before = self.gate.fetch_sub(1, SeqCst);
        if before & (OPEN - 1) == 1 && self.waiting.load(SeqCst) {
            let _door = self.lock();
            self.left.notify_one();
        }
    }

    /// For the caller: returns when the last worker has left. It sleeps where that takes long, and so
    /// leaves its core to a worker that has none.
    fn await_workers(&self) {
        let alone = || self.gate.load(SeqCst) & (OPEN - 1) == 0;
        if alone() || spin(alone) {
            return;
        }
        let mut door = self.lock();
        self.waiting.store(true, SeqCst);
        while !alone() {
            door = self.sleep(&self.left, door);
        }
        self.waiting.store(false, SeqCst);
    }

    /// Enters the job numbered `epoch` if it is still open.
    fn enter(&self, epoch: usize) -> bool {
        let mut gate = self.gate.load(Ordering::Acquire);
        while gate >> EPOCH == epoch && gate & OPEN != 0 {
            match self.gate.compare_exchange_weak(gate, gate + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => gate = now,
            }
        }
        false
    }
}

struct Pool {
    /// Workers asked for; the system may have given fewer.
    workers: usize,
    shared: Arc<Shared>,
}

impl Job {
    /// The part of the thread whose share is number `own`.
    fn work(&self, shares: &[Share], own: usize) {
        for k in 0..shares.len() {
            let share = &shares[(own + k) % shares.len()];
            while let Some(i) = share.take(k == 0) {
                // SAFETY: the closure outlives the job: `for_each` returns only after all workers left.
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| unsafe {
                    (self.call)(self.closure, i)
                }));
                if outcome.is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
            }
        }
    }
}

fn worker(shared: Arc<Shared>, own: usize) {
    INSIDE.with(|c| c.set(true));
    let _denormals = DenormalsOff::new();
    let mut seen = 0;
    loop {
        shared.await_job(seen);
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        seen = shared.epoch();
        if shared.enter(seen) {
            // SAFETY: the job lives until the gate's crowd, which counts this worker, has left.
            unsafe { (*shared.job.load(Ordering::Acquire)).work(&shared.shares, own) };
            shared.leave();
        }
    }
}

impl Pool {
    fn start(workers: usize) -> Pool {
        let shared = Arc::new(Shared {
            gate: AtomicUsize::new(0),
            job: AtomicPtr::new(std::ptr::null_mut()),
            shares: (0..=workers).map(|_| Share(AtomicU64::new(0))).collect(),
            parked: AtomicUsize::new(0),
            door: Mutex::new(()),
            wake: Condvar::new(),
            waiting: AtomicBool::new(false),
            left: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        for i in 0..workers {
            let theirs = Arc::clone(&shared);
            let spawned = std::thread::Builder::new()
                .name(format!("lectorium-{i}"))
                .spawn(move || worker(theirs, i + 1));
            // A system out of threads gets fewer workers, not an abort, and is not asked again.
            if spawned.is_err() {
                break;
            }
        }
        Pool { workers, shared }
    }

    fn run(&self, job: &Job, tasks: usize) {
        let s = &self.shared;
        let parts = s.shares.len().min(tasks);
        for (i, share) in s.shares.iter().enumerate() {
            share.set(tasks * i.min(parts) / parts..tasks * (i + 1).min(parts) / parts);
        }
        s.job.store(job as *const Job as *mut Job, Ordering::Release);
        let epoch = s.epoch().wrapping_add(1) & (usize::MAX >> EPOCH);
        s.gate.store((epoch << EPOCH) | OPEN, SeqCst);
        s.wake(tasks - 1);
        job.work(&s.shares, 0);
        s.gate.fetch_and(!OPEN, SeqCst);
        s.await_workers();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.shared.gate.fetch_add(1 << EPOCH, SeqCst);
        self.shared.wake(usize::MAX);
    }
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
    let job = Job { call: call::<F>, closure: (&raw const f).cast(), panicked: AtomicBool::new(false) };
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
    fn an_owner_takes_the_lowest_task_and_others_the_highest() {
        let share = Share(AtomicU64::new(0));
        assert_eq!(share.take(true), None);
        share.set(3..6);
        assert_eq!([share.take(true), share.take(false), share.take(true)], [Some(3), Some(5), Some(4)]);
        assert_eq!([share.take(true), share.take(false)], [None, None]);
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
