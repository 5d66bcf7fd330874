//! The frame of a sequence: which rows a step has, and how hidden units are cut into tasks.

use crate::error::Result;
use crate::memory::{self, Block};
use crate::ops::matmul::{GemmElement, kernel_of};
use crate::parallel::{OneThread, SendPtr, for_each, one_thread_below_grain};
use crate::simd::vector::{Float, Vector};
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Mutex;

/// float32 or float64.
pub(super) trait Num: GemmElement + Float {}
impl<T: GemmElement + Float> Num for T {}

/// A number for each step; few steps cost no allocation.
type PerStep = SmallVec<[usize; 4]>;

/// Steps are numbered in the order in which they are made, whatever the direction. The rows of a
/// step are always the first ones of the batch.
#[derive(Clone)]
pub(super) struct Frame {
    /// Rows of each step.
    pub rows: PerStep,
    /// Where they begin in the input and the output.
    pub start: PerStep,
    /// How many rows the steps before it have.
    pub before: PerStep,
    pub total: usize,
    pub batch: usize,
    /// Number of the block that it is of the whole batch, and its first row there.
    pub index: usize,
    pub lo: usize,
    /// Hidden units.
    pub h: usize,
    /// Units of a task: the width of the kernel's panels.
    pub nr: usize,
    pub tasks: usize,
}

impl Frame {
    /// `sizes`: the rows of each step in memory.
    pub fn new<T: Num>(sizes: &[usize], reverse: bool, h: usize) -> Frame {
        let mut rows = PerStep::from_slice(sizes);
        let running = |rows: &PerStep| {
            let (mut sum, mut sums) = (0, PerStep::with_capacity(rows.len()));
            for &n in rows {
                sums.push(sum);
                sum += n;
            }
            sums
        };
        let mut start = running(&rows);
        if reverse {
            rows.reverse();
            start.reverse();
        }
        let before = running(&rows);
        let nr = kernel_of::<T>().nr;
        Frame {
            total: sizes.iter().sum(),
            rows,
            start,
            before,
            batch: sizes[0],
            index: 0,
            lo: 0,
            h,
            nr,
            tasks: h.div_ceil(nr),
        }
    }

    /// The batch in blocks of rows, which do not meet on their way through the steps: where each core can
    /// keep all the weights (so many elements) to itself, that is cheaper than handing states to others
    /// in every step. Otherwise one block.
    pub fn blocks<T: Num>(&self, weights: usize) -> Vec<Frame> {
        let count = match weights.saturating_mul(size_of::<T>()) <= OWN_WEIGHTS && self.batch >= 16 {
            true => self.batch.div_ceil(BLOCK_ROWS).next_power_of_two(),
            false => 1,
        };
        if count == 1 {
            return vec![self.clone()];
        }
        let each = self.batch.div_ceil(count);
        let mut done = 0;
        let lows = (0..self.batch).step_by(each).enumerate();
        lows.map(|(index, lo)| {
            let rows_of = |&n: &usize| n.clamp(lo, lo + each) - lo;
            let steps: PerStep = (0..self.steps()).filter(|&s| self.rows[s] > lo).collect();
            let rows: PerStep = steps.iter().map(|&s| rows_of(&self.rows[s])).collect();
            let start = steps.iter().map(|&s| self.start[s] + lo).collect();
            let mut before = PerStep::with_capacity(rows.len());
            let first = done;
            for &n in &rows {
                before.push(done);
                done += n;
            }
            let batch = rows.iter().copied().max().unwrap_or(0);
            Frame { rows, start, before, total: done - first, batch, index, lo, ..*self }
        })
        .collect()
    }

    pub fn steps(&self) -> usize {
        self.rows.len()
    }

    /// Rows of a step that were in the step before it; the others begin with the initial state.
    pub fn went_on(&self, s: usize) -> usize {
        if s == 0 { 0 } else { self.rows[s].min(self.rows[s - 1]) }
    }

    /// Rows of a step that are in the next one; the others end with it.
    pub fn go_on(&self, s: usize) -> usize {
        if s + 1 == self.steps() { 0 } else { self.rows[s].min(self.rows[s + 1]) }
    }

    /// The units of a task.
    pub fn units(&self, task: usize) -> Range<usize> {
        task * self.nr..((task + 1) * self.nr).min(self.h)
    }

    /// As many, in whole vectors of whatever level: half a panel where that is at least one.
    pub fn width(&self, task: usize) -> usize {
        self.width_of(self.units(task).len())
    }

    pub fn width_of(&self, columns: usize) -> usize {
        if columns * 2 > self.nr || self.nr < 8 { self.nr } else { self.nr / 2 }
    }

    /// Where, in what is saved of all steps, the block of a step and a task begins.
    pub fn saved_at(&self, s: usize, task: usize, slots: usize) -> usize {
        (self.before[s] * self.tasks + self.rows[s] * task) * slots * self.nr
    }

    /// Elements between the rows of a matrix that all threads read in a step. Rows that are a power of
    /// two apart would fall on the same lines of the cache.
    pub fn padded(&self, columns: usize) -> usize {
        columns.next_multiple_of(self.nr) + 16
    }

    /// Keeps steps with little to do, in products of `k` by `columns`, on this thread.
    pub fn one_thread_if_small(&self, k: usize, columns: usize) -> OneThread {
        let work = self.batch.saturating_mul(columns).saturating_mul(k + 32);
        one_thread_below_grain(work.saturating_mul(8))
    }
}

/// Bytes of weights that every core may keep in its second cache, and rows of a block.
const OWN_WEIGHTS: usize = 512 << 10;
const BLOCK_ROWS: usize = 14;

/// Runs `work` for each block: on several threads, or alone so that its steps can use them.
pub(super) fn in_blocks(
    blocks: &[Frame],
    multiply_adds: usize,
    work: impl Fn(&Frame) -> Result<()> + Sync,
) -> Result<()> {
    if let [whole] = blocks {
        return work(whole);
    }
    let failed = Mutex::new(None);
    let _small = one_thread_below_grain(multiply_adds);
    for_each(blocks.len(), |i| {
        if let Err(error) = work(&blocks[i]) {
            *failed.lock().unwrap_or_else(|e| e.into_inner()) = Some(error);
        }
    });
    failed.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
}

/// A workspace.
pub(super) struct Room<T> {
    _block: Block,
    ptr: SendPtr<T>,
}

impl<T: Num> Room<T> {
    pub fn new(op: &'static str, elements: usize) -> Result<Room<T>> {
        let block = memory::allocate(op, elements.saturating_mul(size_of::<T>()))?;
        let ptr = SendPtr(block.as_ptr().cast());
        Ok(Room { _block: block, ptr })
    }

    pub fn zeroed(op: &'static str, elements: usize) -> Result<Room<T>> {
        let room = Room::new(op, elements)?;
        // SAFETY: as many elements were allocated.
        unsafe { std::ptr::write_bytes(room.ptr.get(), 0, elements) };
        Ok(room)
    }

    #[inline(always)]
    pub fn at(&self, i: usize) -> *mut T {
        self.ptr.get().wrapping_add(i)
    }
}

/// A state `[batch, columns]` in memory that all threads read: twice, for this step and the next. Rows
/// that join later find their initial state in either.
pub(super) struct Turns<T> {
    room: Room<T>,
    batch: usize,
    pub ld: usize,
}

impl<T: Num> Turns<T> {
    /// # Safety
    /// `from` holds the batch's rows.
    pub unsafe fn new(op: &'static str, f: &Frame, from: *const T, columns: usize) -> Result<Turns<T>> {
        let turns = Turns::<T>::empty(op, f, columns)?;
        for turn in 0..2 {
            for b in 0..f.batch {
                std::ptr::copy_nonoverlapping(
                    from.add(b * columns),
                    turns.at(turn).add(b * turns.ld),
                    columns,
                );
            }
        }
        Ok(turns)
    }

    pub fn empty(op: &'static str, f: &Frame, columns: usize) -> Result<Turns<T>> {
        let ld = f.padded(columns);
        Ok(Turns { room: Room::new(op, f.batch.saturating_mul(2 * ld))?, batch: f.batch, ld })
    }

    /// What step `s` reads; what it writes is at `s + 1`.
    pub fn at(&self, s: usize) -> *mut T {
        self.room.at((s % 2) * self.batch * self.ld)
    }
}

/// A state `[batch, h]` that only its units' tasks touch: a block `[batch][nr]` a task.
pub(super) struct Own<T> {
    room: Room<T>,
    step: usize,
}

impl<T: Num> Own<T> {
    /// Filled from row-major `from`, or with zeros where that is null.
    ///
    /// # Safety
    /// `from` is null or holds the batch's rows.
    pub unsafe fn new(op: &'static str, f: &Frame, from: *const T) -> Result<Own<T>> {
        let step = f.batch.saturating_mul(f.nr);
        let own = Own { room: Room::zeroed(op, f.tasks.saturating_mul(step))?, step };
        if !from.is_null() {
            for task in 0..f.tasks {
                let units = f.units(task);
                own.take_rows(f, task, 0..f.batch, from.add(units.start));
            }
        }
        Ok(own)
    }

    /// Slots of `nr` for each row.
    pub fn slots(op: &'static str, f: &Frame, slots: usize) -> Result<Own<T>> {
        let step = f.batch.saturating_mul(slots * f.nr);
        Ok(Own { room: Room::zeroed(op, f.tasks.saturating_mul(step))?, step })
    }

    pub fn at(&self, task: usize) -> *mut T {
        self.room.at(task * self.step)
    }

    /// Rows from `from`, row-major with `h` columns, which points to the task's first unit.
    pub unsafe fn take_rows(&self, f: &Frame, task: usize, rows: Range<usize>, from: *const T) {
        let n = f.units(task).len();
        for b in rows {
            let to = self.at(task).add(b * f.nr);
            if from.is_null() {
                std::ptr::write_bytes(to, 0, n);
            } else {
                std::ptr::copy_nonoverlapping(from.add(b * f.h), to, n);
            }
        }
    }

    /// The reverse of `take_rows`; nothing happens where `to` is null.
    pub unsafe fn give_rows(&self, f: &Frame, task: usize, rows: Range<usize>, to: *mut T) {
        copy_rows(self.at(task), f.nr, to, f.h, rows, f.units(task).len());
    }
}

/// Copies parts of rows; nothing happens where `to` is null.
pub(super) unsafe fn copy_rows<T>(
    from: *const T,
    ldf: usize,
    to: *mut T,
    ldt: usize,
    rows: Range<usize>,
    n: usize,
) {
    if !to.is_null() {
        for b in rows {
            std::ptr::copy_nonoverlapping(from.add(b * ldf), to.add(b * ldt), n);
        }
    }
}

/// Up to a vector of elements; those missing are zero.
#[inline(always)]
pub(super) unsafe fn get<V: Vector>(p: *const V::Elem, n: usize) -> V {
    if n >= V::LANES { V::load(p) } else { V::splat(V::Elem::default()).load_lanes(V::mask(0, n), p) }
}

#[inline(always)]
pub(super) unsafe fn put<V: Vector>(v: V, p: *mut V::Elem, n: usize) {
    if n >= V::LANES { v.store(p) } else { v.store_lanes(V::mask(0, n), p) }
}

/// `p + n`, or null as `p` is.
#[inline(always)]
pub(super) fn shift<T>(p: *mut T, n: usize) -> *mut T {
    if p.is_null() { p } else { p.wrapping_add(n) }
}
