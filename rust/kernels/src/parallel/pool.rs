//! The pool: workers, the job that they share, and how they wait for each other.

use super::{DenormalsOff, INSIDE};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How long a thread spins for work, or for the last worker, before it sleeps: some times what waking
/// it costs.
const SPIN: Duration = Duration::from_micros(50);
/// Between two looks at the clock a spinning thread that still has its core is never away so long.
const AWAY: Duration = Duration::from_micros(20);

/// One parallel call, shared with the workers while it lasts.
pub(super) struct Job {
    /// Calls task `i`; the pointer is the caller's closure.
    pub call: unsafe fn(*const (), usize),
    pub closure: *const (),
    pub panicked: AtomicBool,
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
pub(super) fn spin(done: impl Fn() -> bool) -> bool {
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

pub(super) struct Pool {
    /// Workers asked for; the system may have given fewer.
    pub workers: usize,
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
    pub fn start(workers: usize) -> Pool {
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

    pub fn run(&self, job: &Job, tasks: usize) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_takes_the_lowest_task_and_others_the_highest() {
        let share = Share(AtomicU64::new(0));
        assert_eq!(share.take(true), None);
        share.set(3..6);
        assert_eq!([share.take(true), share.take(false), share.take(true)], [Some(3), Some(5), Some(4)]);
        assert_eq!([share.take(true), share.take(false)], [None, None]);
    }
}
