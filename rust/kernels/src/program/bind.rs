//! Where the values of the loop lie: found once for its rows, so that a step only adds offsets.

use super::group::Lane;
use crate::layout::Layout;
use crate::tensor::Tensor;

/// A step of the loop: its number as they are made, its number in time, and its number among those that
/// products ahead are made for.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub i: usize,
    pub t: usize,
    pub ahead: usize,
}

/// Where a value lies.
#[derive(Clone)]
pub(super) struct Spot {
    /// In even steps and in odd ones: what is carried on must not be written over while it is read.
    turns: [Tensor; 2],
    /// Elements from step to step in time, and from one to the next of those made ahead.
    step: isize,
    ahead: isize,
}

impl Spot {
    pub fn new(turns: [Tensor; 2], step: isize, ahead: isize) -> Spot {
        Spot { turns, step, ahead }
    }

    fn offset(&self, now: Now) -> isize {
        self.step * now.t as isize + self.ahead * now.ahead as isize
    }

    pub fn layout(&self) -> &Layout {
        self.turns[0].layout()
    }

    pub fn tensor(&self, now: Now) -> Tensor {
        let turn = &self.turns[now.i % 2];
        let l = turn.layout();
        let offset = l.offset().wrapping_add_signed(self.offset(now));
        turn.with_layout(Layout::new(l.shape().into(), l.strides().into(), offset))
    }

    /// Another view of the same memory; None where there is none.
    pub fn viewed(&self, view: impl Fn(&Layout) -> Option<Layout>) -> Option<Spot> {
        let [a, b] = &self.turns;
        let turns = [a.with_layout(view(a.layout())?), b.with_layout(view(b.layout())?)];
        Some(Spot { turns, ..*self })
    }

    /// Whether steps that follow one another have places of their own.
    pub fn has_turns(&self) -> bool {
        !self.turns[0].coincides(&self.turns[1])
    }

    /// Whether it lies in one step where `other` lies in another.
    pub fn coincides(&self, now: Now, other: &Spot, then: Now) -> bool {
        self.tensor(now).coincides(&other.tensor(then))
    }
}

/// Where a chain or a product finds an operand or puts a result.
pub(super) enum Feed {
    Fixed(Fixed),
    /// Wherever it is in each step.
    Moving(usize),
}

/// Rows at fixed places.
pub(super) struct Fixed {
    turns: [Lane; 2],
    /// In bytes.
    step: isize,
    ahead: isize,
    /// Elements from row to row.
    pub row: usize,
}

impl Fixed {
    /// The rows of a value in a shape to which it broadcasts.
    pub fn of(spot: &Spot, shape: &[usize]) -> Option<Fixed> {
        let [a, b] = &spot.turns;
        let turns = [Lane::of(a, shape)?, Lane::of(b, shape)?];
        let size = a.dtype().size() as isize;
        Some(Fixed { turns, step: spot.step * size, ahead: spot.ahead * size, row: 0 })
    }

    /// The rows of a value as a matrix with adjacent columns.
    pub fn matrix(spot: &Spot, columns: usize) -> Option<Fixed> {
        let rows = spot.layout().numel() / columns;
        let spot = spot.viewed(|l| l.reshape(&[rows, columns]).filter(|l| l.strides()[1] == 1))?;
        let row = usize::try_from(spot.layout().strides()[0]).ok()?;
        Some(Fixed { row, ..Fixed::of(&spot, &[rows, columns])? })
    }

    #[inline]
    pub fn at(&self, now: Now) -> Lane {
        self.turns[now.i % 2].moved(self.step * now.t as isize + self.ahead * now.ahead as isize)
    }
}
