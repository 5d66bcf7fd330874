//! What flows from step to step on the way back.

use super::checks::pointer;
use super::frame::{Frame, Num, Own, copy_rows, shift};
use super::weights::Panels;
use crate::error::Result;
use crate::parallel::SendPtr;
use crate::tensor::Tensor;

/// The gradient of the output, carried into a step from the one after it: a block `[batch][nr]` for
/// each task, which owns these columns.
///
/// The way back counts turns: turn 0 is the last step, and after the first step comes one turn more, in
/// which the gradient of the initial state is ready.
pub(super) struct Carry<'a, T> {
    f: &'a Frame,
    pub own: Own<T>,
    /// The final state's gradient, and where that of the initial state goes; either may be null.
    last: SendPtr<T>,
    first: SendPtr<T>,
    columns: usize,
}

impl<'a, T: Num> Carry<'a, T> {
    pub fn new(
        op: &'static str,
        f: &'a Frame,
        last: Option<&Tensor>,
        first: Option<&Tensor>,
        columns: usize,
    ) -> Result<Carry<'a, T>> {
        let own = Own::slots(op, f, 1)?;
        let own_rows = |t| SendPtr(shift(pointer::<T>(t), f.lo * columns));
        Ok(Carry { f, own, last: own_rows(last), first: own_rows(first), columns })
    }

    /// The step of a turn; None for the turn after the first step.
    pub fn step(&self, turn: usize) -> Option<usize> {
        (self.f.steps() - 1).checked_sub(turn)
    }

    /// Rows of the step that comes later in time.
    pub fn later(&self, turn: usize) -> usize {
        if turn == 0 { 0 } else { self.f.rows[self.f.steps() - turn] }
    }

    /// Rows of the turn's step.
    pub fn rows(&self, turn: usize) -> usize {
        self.step(turn).map_or(0, |s| self.f.rows[s])
    }

    /// Makes the carried gradient of a task ready for its turn: takes the later step's gates through
    /// their weights (on top of what is there, with `add`), hands over the rows that began with that
    /// step, and begins those that end with this one.
    ///
    /// # Safety
    /// `dgates` holds the later step's rows; each task has one caller.
    pub unsafe fn receive(
        &self,
        turn: usize,
        task: usize,
        panels: &Panels<T>,
        dgates: (*const T, usize),
        add: bool,
    ) {
        let (f, r) = (self.f, self.columns);
        let first = task * f.nr;
        let n = f.nr.min(r - first);
        let (rows, later) = (self.rows(turn), self.later(turn));
        let block = self.own.at(task);
        if later > 0 && (rows > 0 || !self.first.get().is_null()) {
            panels.product(task, later, f.width_of(n), dgates, (block, f.nr), add);
        }
        copy_rows(block, f.nr, shift(self.first.get(), first), r, rows.min(later)..later, n);
        for b in later.min(rows)..rows {
            let to = block.add(b * f.nr);
            if self.last.get().is_null() {
                std::ptr::write_bytes(to, 0, n);
            } else {
                std::ptr::copy_nonoverlapping(self.last.get().add(b * r + first), to, n);
            }
        }
    }
}
