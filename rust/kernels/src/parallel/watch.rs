//! Long calls that can be cut short: whoever calls a kernel may be asked, now and then, whether to go on.
//!
//! Only the calling thread asks; the others see its answer. A kernel that stops leaves results that
//! nobody may look at.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time between two questions.
const PAUSE: Duration = Duration::from_millis(30);

struct Watch<'a> {
    stopped: AtomicBool,
    asked: Cell<Option<Instant>>,
    /// Whether to stop.
    ask: &'a dyn Fn() -> bool,
    owner: *const (),
}

thread_local! {
    static CURRENT: Cell<*const Watch<'static>> = const { Cell::new(std::ptr::null()) };
}

/// The call that this thread works for.
#[derive(Clone, Copy)]
pub(super) struct Current(*const Watch<'static>);
// SAFETY: a watch outlives the job of its call; other threads read its flag only.
unsafe impl Sync for Current {}

pub(super) fn current() -> Current {
    Current(CURRENT.with(Cell::get))
}

struct Restored(*const Watch<'static>);

impl Drop for Restored {
    fn drop(&mut self) {
        CURRENT.with(|c| c.set(self.0));
    }
}

impl Current {
    /// Calls `f` for this call.
    #[inline]
    pub fn with<R>(self, f: impl FnOnce() -> R) -> R {
        let _before = Restored(CURRENT.with(|c| c.replace(self.0)));
        f()
    }
}

/// An address that is this thread's own.
fn here() -> *const () {
    CURRENT.with(|c| std::ptr::from_ref(c).cast())
}

/// Calls `f`, in which [`interrupted`] asks `ask` from time to time whether to stop.
pub fn watched<R>(ask: &dyn Fn() -> bool, f: impl FnOnce() -> R) -> R {
    let watch = Watch { stopped: AtomicBool::new(false), asked: Cell::new(None), ask, owner: here() };
    // Lifetimes end with the call, as does all that works for it.
    Current((&raw const watch).cast()).with(f)
}

/// Whether the call that this thread works for is to stop. Cheap enough for every step of a loop.
pub fn interrupted() -> bool {
    let current = CURRENT.with(Cell::get);
    // SAFETY: `watched` puts back what was there before its watch goes, and `for_each` ends before that.
    let Some(watch) = (unsafe { current.as_ref() }) else { return false };
    if watch.stopped.load(Ordering::Relaxed) {
        return true;
    }
    if watch.owner != here() {
        return false;
    }
    let now = Instant::now();
    match watch.asked.get() {
        Some(last) if now - last < PAUSE => return false,
        None => {
            watch.asked.set(Some(now));
            return false;
        }
        _ => {}
    }
    let stop = (watch.ask)();
    watch.asked.set(Some(Instant::now()));
    watch.stopped.store(stop, Ordering::Relaxed);
    stop
}

#[cfg(test)]
mod tests {
    use super::super::{for_each, for_steps, set_num_threads};
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_call_stops_when_its_caller_is_told_to_and_nobody_elses() {
        for threads in [1, 3] {
            set_num_threads(threads);
            let (steps, asked) = (AtomicUsize::new(0), Cell::new(0));
            let ask = || {
                asked.set(asked.get() + 1);
                asked.get() == 2
            };
            watched(&ask, || {
                for_steps(10_000, 4, |_, _| {
                    steps.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                })
            });
            assert!(steps.load(Ordering::Relaxed) < 4_000);
            assert_eq!(asked.get(), 2);
            assert!(!interrupted());
        }
    }

    #[test]
    fn other_threads_see_that_the_caller_was_told() {
        set_num_threads(2);
        let seen = AtomicUsize::new(0);
        watched(&|| true, || {
            for_each(2, |_| {
                let start = Instant::now();
                while !interrupted() && start.elapsed() < Duration::from_secs(20) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                seen.fetch_add(interrupted() as usize, Ordering::Relaxed);
            })
        });
        assert_eq!(seen.load(Ordering::Relaxed), 2);
    }
}
