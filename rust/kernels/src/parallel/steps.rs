//! Steps that follow one another, such as those of a recurrent network, without a call of the pool
//! for each.
//!
//! A step is over when all its tasks are done, not when all threads have come: nobody waits for a
//! thread that the system has not woken or has taken off its core between two tasks. Each thread has
//! its own stretch of the tasks in every step, so that its caches keep that part of the weights; the
//! tasks of threads that are away are done by whoever is there.

use super::pool::spin;
use super::{DenormalsOff, INSIDE, for_each, interrupted, num_threads};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, MutexGuard};

/// On a pair of cache lines of its own.
#[repr(align(128))]
struct Alone<T>(T);

struct Team {
    members: usize,
    tasks: usize,
    /// For each task the number of steps in which somebody has begun it.
    begun: Box<[Alone<AtomicUsize>]>,
    /// Which members are at work. Others take the tasks of one who is not.
    here: Box<[Alone<AtomicBool>]>,
    /// Tasks finished, over all steps.
    done: Alone<AtomicUsize>,
    failed: AtomicBool,
    sleepers: AtomicUsize,
    door: Mutex<()>,
    wake: Condvar,
}

/// Frees the others when a task panics.
struct Alarm<'a>(&'a Team);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.failed.store(true, SeqCst);
            let _door = self.0.lock();
            self.0.wake.notify_all();
        }
    }
}

impl Team {
    fn new(members: usize, tasks: usize) -> Team {
        Team {
            members,
            tasks,
            begun: (0..tasks).map(|_| Alone(AtomicUsize::new(0))).collect(),
            here: (0..members).map(|_| Alone(AtomicBool::new(false))).collect(),
            done: Alone(AtomicUsize::new(0)),
            failed: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            door: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.door.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn own(&self, member: usize) -> Range<usize> {
        self.tasks * member / self.members..self.tasks * (member + 1) / self.members
    }

    /// Does those of the tasks that nobody has begun in this step; returns how many.
    fn take(&self, tasks: Range<usize>, step: usize, f: &impl Fn(usize, usize)) -> usize {
        let mut taken = 0;
        for task in tasks {
            let begun = &self.begun[task].0;
            if begun.load(Ordering::Relaxed) == step
                && begun.compare_exchange(step, step + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                if !interrupted() {
                    f(step, task);
                }
                taken += 1;
            }
        }
        if taken > 0 {
            let done = self.done.0.fetch_add(taken, SeqCst) + taken;
            if done.is_multiple_of(self.tasks) && self.sleepers.load(SeqCst) > 0 {
                let _door = self.lock();
                self.wake.notify_all();
            }
        }
        taken
    }

    /// The part of one member, to the end of all steps.
    fn work(&self, member: usize, steps: usize, f: &impl Fn(usize, usize)) {
        let _alarm = Alarm(self);
        let over = |step: usize| {
            self.done.0.load(SeqCst) >= (step + 1) * self.tasks || self.failed.load(Ordering::Relaxed)
        };
        loop {
            let step = self.done.0.load(SeqCst) / self.tasks;
            if step >= steps || self.failed.load(Ordering::Relaxed) {
                break;
            }
            let here = &self.here[member].0;
            if !here.load(Ordering::Relaxed) {
                here.store(true, Ordering::Relaxed);
            }
            self.take(self.own(member), step, f);
            let others = || (1..self.members).map(|i| (member + i) % self.members);
            for other in others().filter(|&m| !self.here[m].0.load(Ordering::Relaxed)) {
                self.take(self.own(other), step, f);
            }
            if over(step) || spin(|| over(step)) {
                continue;
            }
            // Somebody is late: he is away, or in the middle of a task.
            let mut helped = 0;
            for other in others() {
                let taken = self.take(self.own(other), step, f);
                if taken > 0 {
                    self.here[other].0.store(false, Ordering::Relaxed);
                }
                helped += taken;
            }
            if helped > 0 {
                continue;
            }
            let mut door = self.lock();
            self.sleepers.fetch_add(1, SeqCst);
            // Looked at after it has been counted: whoever ends a step does these in the other order.
            while !over(step) {
                door = self.wake.wait(door).unwrap_or_else(|e| e.into_inner());
            }
            self.sleepers.fetch_sub(1, SeqCst);
        }
    }
}

/// Calls `f(step, task)` for every task of every step: the tasks of a step in any order and on
/// several threads, after all those of the step before it. Where the call is [`interrupted`] the rest is
/// left out.
pub fn for_steps<F: Fn(usize, usize) + Sync>(steps: usize, tasks: usize, f: F) {
    let members = num_threads().min(tasks);
    if members < 2 || INSIDE.with(Cell::get) || steps.checked_mul(tasks).is_none() {
        let _denormals = DenormalsOff::new();
        for step in (0..steps).take_while(|_| !interrupted()) {
            (0..tasks).for_each(|task| f(step, task));
        }
        return;
    }
    let team = Team::new(members, tasks);
    for_each(members, |member| team.work(member, steps, &f));
}

#[cfg(test)]
mod tests {
    use super::super::set_num_threads;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_step_begins_after_all_tasks_of_the_one_before_it() {
        for threads in [1, 2, 7] {
            set_num_threads(threads);
            for (steps, tasks) in [(0, 3), (5, 1), (300, 2), (100, 5), (50, 16)] {
                let counts: Vec<AtomicUsize> = (0..steps).map(|_| AtomicUsize::new(0)).collect();
                for_steps(steps, tasks, |step, _| {
                    if step > 0 {
                        assert_eq!(counts[step - 1].load(SeqCst), tasks);
                    }
                    counts[step].fetch_add(1, SeqCst);
                });
                assert!(counts.iter().all(|c| c.load(SeqCst) == tasks));
            }
        }
    }

    #[test]
    fn members_that_fall_asleep_hold_up_their_own_task_only() {
        set_num_threads(3);
        let calls = AtomicUsize::new(0);
        for_steps(20, 6, |step, task| {
            if (step + task) % 7 == 0 {
                std::thread::sleep(Duration::from_micros(300));
            }
            calls.fetch_add(1, SeqCst);
        });
        assert_eq!(calls.load(SeqCst), 120);
    }

    #[test]
    fn steps_within_a_task_run_on_its_thread() {
        let total = AtomicUsize::new(0);
        for_each(4, |_| {
            for_steps(3, 5, |_, _| {
                total.fetch_add(1, SeqCst);
            })
        });
        assert_eq!(total.load(SeqCst), 60);
    }

    #[test]
    fn a_panic_ends_all_steps_and_reaches_the_caller() {
        for threads in [1, 2, 7] {
            set_num_threads(threads);
            let outcome = std::panic::catch_unwind(|| {
                for_steps(10, 8, |step, task| assert!(!(step == 3 && task == 6)))
            });
            assert!(outcome.is_err());
            for_steps(3, 8, |_, _| {});
        }
    }
}
