//! The loop over the steps: packed weights, and the values of a step.

use super::bind::{Feed, Fixed, Now, Spot};
use super::env::{Env, absent};
use super::fuse::Node;
use super::group::{Group, Lane};
use super::instr::{Arg, Dice, Instr, Kern, reshape};
use super::packed::Packed;
use super::parse::Meta;
use super::places::AHEAD_STEPS;
use super::schedule::Total;
use super::sums::Sum;
use crate::error::{Error, Result};
use crate::memory::Block;
use crate::ops::elementwise::{Binary, binary};
use crate::ops::{copy, random};
use crate::parallel::interrupted;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::ops::Range;

/// The loop over the steps for some rows of the batch, or for all.
pub(super) struct Loop<'a> {
    pub env: &'a Env<'a>,
    pub rows: Option<Range<usize>>,
    pub metas: &'a [Meta],
    /// Where values lie that have one place, and the others as they are in this step.
    pub spots: Vec<Option<Spot>>,
    pub now: Vec<Option<Tensor>>,
    /// Memory that is written anew in each step, or in every other one.
    pub own: Vec<Tensor>,
    pub dice: Dice,
    pub reverse: bool,
    /// Steps for which products are made ahead.
    pub ahead: usize,
    pub scratch: Option<Block>,
}

/// What the loop leaves behind: carried values and totals.
pub(super) struct Left {
    pub carried: Vec<Tensor>,
    pub sums: Vec<Option<Tensor>>,
}

/// A node with its operands and results found.
pub(super) enum Work<'a> {
    Chain { group: &'a Group, loads: Vec<Feed>, stores: Vec<Fixed> },
    Product { left: usize, out: usize, packed: &'a Packed, add: bool, rows: Option<[Fixed; 2]>, m: usize },
    Ahead { packed: &'a Packed, left: Feed, out: Fixed, m: usize },
    Whole(&'a Instr),
}

impl<'a> Loop<'a> {
    pub fn new(env: &'a Env<'a>, rows: Option<Range<usize>>, metas: &'a [Meta], reverse: bool) -> Loop<'a> {
        let n = env.metas.len();
        let dice = env.dice;
        Loop {
            env,
            rows,
            metas,
            spots: vec![None; n],
            now: vec![None; n],
            own: Vec::new(),
            dice,
            reverse,
            ahead: 1,
            scratch: None,
        }
    }

    fn moment(&self, i: usize) -> Now {
        let t = if self.reverse { self.env.steps - 1 - i } else { i };
        Now { i, t, ahead: i % self.ahead }
    }

    /// The rows of a value with the batch in front.
    pub fn mine(&self, t: Tensor) -> Tensor {
        match &self.rows {
            Some(rows) => t.with_layout(t.layout().slice(0, rows.start, rows.len(), 1)),
            None => t,
        }
    }

    pub fn cut(&self, slot: usize, t: Tensor) -> Tensor {
        if self.env.plan.body.by_rows[slot] { self.mine(t) } else { t }
    }

    /// A value as a step sees it.
    fn at(&self, slot: usize, now: Now) -> Result<Tensor> {
        match &self.spots[slot] {
            Some(spot) => Ok(spot.tensor(now)),
            None => self.now[slot].clone().ok_or_else(absent),
        }
    }

    /// Puts a value in its place.
    fn put(&mut self, slot: usize, now: Now, value: Tensor) -> Result<()> {
        match &self.spots[slot] {
            Some(spot) => {
                let room = spot.tensor(now);
                if !room.coincides(&value) {
                    copy::copy_into("scan", &room, &value)?;
                }
            }
            None => self.now[slot] = Some(value),
        }
        Ok(())
    }

    fn run_chain(&self, group: &Group, loads: &[Feed], stores: &[Fixed], now: Now) -> Result<()> {
        let mut copies: SmallVec<[Tensor; 2]> = SmallVec::new();
        let mut lanes: SmallVec<[Lane; 8]> = SmallVec::new();
        for load in loads {
            lanes.push(match load {
                Feed::Fixed(fixed) => fixed.at(now),
                Feed::Moving(slot) => {
                    let t = self.at(*slot, now)?;
                    let lane = Lane::of(&t, &group.shape);
                    copies.push(match &lane {
                        Some(_) => t,
                        None => {
                            let full = t.with_layout(t.layout().broadcast_to("scan", &group.shape)?);
                            copy::contiguous("scan", &full)?
                        }
                    });
                    lane.unwrap_or_else(|| Lane::flat(&copies[copies.len() - 1]))
                }
            });
        }
        let into: SmallVec<[Lane; 8]> = stores.iter().map(|s| s.at(now)).collect();
        group.run(&lanes, &into, self.scratch.as_ref().map(|s| s.as_ptr()))
    }

    /// Products for this step and some that follow it: a panel of the weight serves all of them.
    fn run_ahead(&self, packed: &Packed, left: &Feed, out: &Fixed, m: usize, now: Now) -> Result<()> {
        if now.ahead != 0 {
            return Ok(());
        }
        let count = self.ahead.min(self.env.steps - now.i);
        let (k, n) = packed.sizes();
        let mut copies: SmallVec<[Tensor; AHEAD_STEPS]> = SmallVec::new();
        let mut rows: SmallVec<[(Lane, usize, Lane); AHEAD_STEPS]> = SmallVec::new();
        for j in 0..count {
            let then = self.moment(now.i + j);
            let (from, row) = match left {
                Feed::Fixed(fixed) => (fixed.at(then), fixed.row),
                Feed::Moving(slot) => {
                    let t = self.at(*slot, then)?;
                    let t = copy::contiguous("scan", &reshape(&t, &[t.numel() / k, k])?)?;
                    copies.push(t);
                    (Lane::flat(&copies[j]), k)
                }
            };
            rows.push((from, row, out.at(then)));
        }
        for panel in 0..packed.panels() {
            for (from, row, to) in &rows {
                packed.rows(m, (from, *row), (to, n), panel..panel + 1, false);
            }
        }
        Ok(())
    }

    /// The offset of this part's own random numbers.
    fn dice_of(&self, instr: &Instr) -> Dice {
        let mut dice = self.dice;
        if let (Kern::Dropout { .. }, Some(rows), [Arg::Slot(s)]) = (&instr.kern, &self.rows, &instr.args[..])
        {
            let row: usize = self.metas[*s].shape[1..].iter().product();
            let blocks = rows.start * row / random::DROPOUT_TILE * random::DROPOUT_BLOCKS;
            dice.offset = dice.offset.wrapping_add(blocks as u64);
        }
        dice
    }

    /// Whether a value stays as it is until the next step is over.
    fn stays(&self, slot: usize, value: &Tensor) -> bool {
        let turns = self.env.plan.carries.iter().any(|c| c.to == slot)
            && self.spots[slot].as_ref().is_some_and(Spot::has_turns);
        turns || !self.own.iter().any(|t| std::sync::Arc::ptr_eq(t.storage(), value.storage()))
    }

    /// What the step before leaves to this one.
    fn carry(&mut self, before: Now, now: Now) -> Result<()> {
        let env = self.env;
        let mut values: SmallVec<[(usize, Tensor); 4]> = SmallVec::new();
        for c in &env.plan.carries {
            if let (Some(from), Some(to)) = (&self.spots[c.from], &self.spots[c.to])
                && from.coincides(now, to, before)
            {
                continue;
            }
            let value = self.at(c.to, before)?;
            let value = if self.stays(c.to, &value) { value } else { copy::clone("scan", &value)? };
            values.push((c.from, value));
        }
        values.into_iter().try_for_each(|(slot, value)| self.put(slot, now, value))
    }

    pub fn run(
        &mut self,
        nodes: &'a [Node],
        packs: &'a [Option<Packed>],
        start: Vec<Tensor>,
    ) -> Result<Left> {
        let (env, plan) = (self.env, self.env.plan);
        let steps: Vec<usize> =
            plan.totals.iter().filter_map(|t| if let Total::Step(s) = t { Some(*s) } else { None }).collect();
        let others = plan.carries.iter().flat_map(|c| [c.from, c.to]).chain(steps);
        others.into_iter().try_for_each(|slot| self.find(slot))?;
        let work = self.bind(nodes, packs)?;
        let by_rows = self.sums()?;
        let mut sums: Vec<Option<Tensor>> = vec![None; plan.totals.len()];
        for i in 0..env.steps {
            if interrupted() {
                return Err(Error::runtime("scan", "was interrupted"));
            }
            let now = self.moment(i);
            self.dice.offset = env.dice.offset.wrapping_add(env.draws.wrapping_mul(now.t as u64));
            if i > 0 {
                self.carry(self.moment(i - 1), now)?;
            } else {
                for (c, value) in plan.carries.iter().zip(&start) {
                    self.put(c.from, now, value.clone())?;
                }
            }
            for work in &work {
                match work {
                    Work::Chain { group, loads, stores } => self.run_chain(group, loads, stores, now)?,
                    Work::Product { packed, add, rows: Some([left, out]), m, .. } => {
                        let (x, out) = ((&left.at(now), left.row), (&out.at(now), out.row));
                        packed.rows(*m, x, out, 0..packed.panels(), *add)
                    }
                    Work::Product { left, out, packed, add, .. } => {
                        packed.multiply(&self.at(*left, now)?, &self.at(*out, now)?, *add)?
                    }
                    Work::Ahead { packed, left, out, m } => self.run_ahead(packed, left, out, *m, now)?,
                    Work::Whole(instr) => {
                        let args = env.args(&instr.args, |s| self.at(s, now))?;
                        let made = instr.kern.run(&args, self.dice_of(instr))?;
                        for (slot, value) in instr.outs.iter().zip(made) {
                            if let (Some(slot), Some(value)) = (slot, value) {
                                self.put(*slot, now, value)?;
                            }
                        }
                    }
                }
            }
            if !by_rows.is_empty() && (now.ahead + 1 == self.ahead || i + 1 == env.steps) {
                let these: SmallVec<[Now; 16]> = (i - now.ahead..=i).map(|i| self.moment(i)).collect();
                by_rows.iter().for_each(|sum| sum.add(&these));
            }
            for (total, sum) in plan.totals.iter().zip(&mut sums) {
                if let Total::Step(s) = total {
                    let value = self.at(*s, now)?;
                    *sum = Some(match sum.take() {
                        None => copy::clone("scan", &value)?,
                        Some(have) => binary(Binary::Add, (&have).into(), (&value).into(), Some(&have))?,
                    });
                }
            }
        }
        for (number, sum) in by_rows.into_iter().flat_map(Sum::done) {
            sums[number] = Some(sum);
        }
        let last = self.moment(env.steps - 1);
        let carried = plan.carries.iter().map(|c| self.at(c.to, last)).collect::<Result<_>>()?;
        Ok(Left { carried, sums })
    }
}
