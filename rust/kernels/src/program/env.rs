//! The values of a run, and what is computed for all steps at once, before the loop and after it.

use super::batch::{self, Batched};
use super::instr::{Arg, Dice, In};
use super::parse::Meta;
use super::schedule::{Carry, Early, Plan, Source, Total};
use crate::dtype::Scalar;
use crate::error::{Error, Result};
use crate::layout::Dims;
use crate::ops::elementwise::{Binary, binary};
use crate::ops::{copy, reduce};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// The values of a run.
pub(super) struct Env<'a> {
    pub plan: &'a Plan,
    pub metas: &'a [Meta],
    /// Values of all steps, or constants.
    pub whole: Vec<Option<Tensor>>,
    pub stacked: Vec<bool>,
    pub steps: usize,
    pub dice: Dice,
    pub draws: u64,
}

pub(super) fn absent() -> Error {
    Error::runtime("scan", "a value was read before it was made")
}

impl Env<'_> {
    pub fn whole(&self, slot: usize) -> Result<&Tensor> {
        self.whole[slot].as_ref().ok_or_else(absent)
    }

    pub fn args(&self, args: &[Arg], get: impl Fn(usize) -> Result<Tensor>) -> Result<SmallVec<[In; 4]>> {
        args.iter()
            .map(|a| {
                Ok(match a {
                    Arg::Slot(s) => In::Tensor(get(*s)?),
                    Arg::Number(v) => In::Number(*v),
                    Arg::Missing => In::Missing,
                })
            })
            .collect()
    }

    fn varies(&self, args: &[Arg]) -> SmallVec<[bool; 4]> {
        let constant = |s: usize| self.plan.home[s] == Some(Source::Constant);
        args.iter().map(|a| matches!(a, Arg::Slot(s) if !constant(*s))).collect()
    }

    pub fn early(&mut self) -> Result<()> {
        let plan = self.plan;
        for step in &plan.early {
            match step {
                Early::Once(instr) => {
                    let args = self.args(&instr.args, |s| self.whole(s).cloned())?;
                    let made = instr.kern.run(&args, self.dice)?;
                    for (slot, value) in instr.outs.iter().zip(made) {
                        if let Some(slot) = slot {
                            self.whole[*slot] = value;
                        }
                    }
                }
                Early::All(all) => self.all(all)?,
            }
        }
        Ok(())
    }

    fn all(&mut self, all: &Batched) -> Result<()> {
        let args = self.args(&all.args, |s| self.whole(s).cloned())?;
        let made = all.run(&args, &self.varies(&all.args), self.steps)?;
        for (slot, value) in all.outs.iter().zip(made) {
            if let Some(slot) = slot {
                self.whole[*slot] = value;
            }
        }
        Ok(())
    }

    pub fn shape_of_all(&self, slot: usize) -> Dims {
        std::iter::once(self.steps).chain(self.metas[slot].shape.iter().copied()).collect()
    }

    /// Makes room for the values that the loop keeps. A state and what becomes of it share theirs.
    pub fn make_room(&mut self, reverse: bool) -> Result<()> {
        let plan = self.plan;
        for &slot in &plan.stacked {
            self.whole[slot] = Some(Tensor::empty("scan", &self.shape_of_all(slot), self.metas[slot].dtype)?);
        }
        for &Carry { from, to } in plan.carries.iter().filter(|_| !reverse) {
            let once = plan.carries.iter().filter(|c| c.to == to || c.from == to).count() == 1;
            if once && self.stacked[from] && self.stacked[to] && from != to {
                let mut shape = self.shape_of_all(to);
                shape[0] += 1;
                let both = Tensor::empty("scan", &shape, self.metas[to].dtype)?;
                self.whole[from] = Some(both.with_layout(both.layout().slice(0, 0, self.steps, 1)));
                self.whole[to] = Some(both.with_layout(both.layout().slice(0, 1, self.steps, 1)));
            }
        }
        Ok(())
    }

    pub fn late(&mut self) -> Result<()> {
        let plan = self.plan;
        plan.late.iter().try_for_each(|all| self.all(all))
    }

    /// A value for all steps, with memory of its own.
    pub fn sequence(&self, slot: usize) -> Result<Tensor> {
        let value = self.whole(slot)?;
        if self.plan.home[slot] == Some(Source::Constant) {
            let all = value.with_layout(value.layout().broadcast_to("scan", &self.shape_of_all(slot))?);
            return copy::clone("scan", &all);
        }
        Ok(value.clone())
    }

    /// A value of the first step.
    pub fn first(&self, slot: usize) -> Result<Tensor> {
        let value = self.whole(slot)?;
        Ok(match self.plan.home[slot] {
            Some(Source::Constant) => value.clone(),
            _ => value.with_layout(value.layout().select(0, 0)),
        })
    }

    pub fn total(&self, total: &Total, in_loop: Option<Tensor>) -> Result<Tensor> {
        match total {
            Total::Times(s) => {
                let many = Scalar::Float(self.steps as f64);
                binary(Binary::Mul, self.whole(*s)?.into(), many.into(), None)
            }
            Total::Over(s) => reduce::sum(self.whole(*s)?, &[0], false, None),
            Total::Whole(kern, args) => {
                let ready = self.args(args, |s| self.whole(s).cloned())?;
                batch::total(kern, &ready, &self.varies(args), self.steps)
            }
            Total::Step(_) | Total::Rows(..) => in_loop.ok_or_else(absent),
        }
    }
}
