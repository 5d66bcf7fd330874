//! A program's run over a sequence, and the gradients of a run.

use super::Program;
use super::env::{Env, absent};
use super::instr::Dice;
use super::schedule::Plan;
use super::steps::Left;
use crate::error::{Error, Result};
use crate::layout::Dims;
use crate::ops::copy;
use crate::ops::elementwise::{Binary, binary};
use crate::parallel::DenormalsOff;
use crate::tensor::Tensor;

/// What a run leaves for the derivative: the values it reads, for all steps.
pub struct Saved {
    values: Vec<(usize, Tensor)>,
    /// The sum of their versions.
    version: u64,
    steps: usize,
    dice: Dice,
}

/// The results of a run.
pub struct Outcome {
    /// With the axis of steps in front.
    pub outputs: Vec<Tensor>,
    /// After the last step.
    pub states: Vec<Tensor>,
    pub saved: Option<Saved>,
}

/// Gradients, None where nothing flows or none was asked for.
pub struct Gradients {
    pub inputs: Vec<Option<Tensor>>,
    pub states: Vec<Option<Tensor>>,
    pub captured: Vec<Option<Tensor>>,
}

fn versions(values: &[(usize, Tensor)]) -> u64 {
    values.iter().map(|(_, t)| t.storage().version()).fold(0, u64::wrapping_add)
}

impl Program {
    fn env<'a>(&'a self, plan: &'a Plan, steps: usize, dice: Dice) -> Env<'a> {
        let n = self.rec.metas.len();
        let mut stacked = vec![false; n];
        plan.stacked.iter().for_each(|&s| stacked[s] = true);
        Env {
            plan,
            metas: &self.rec.metas,
            whole: vec![None; n],
            stacked,
            steps,
            dice,
            draws: self.rec.draws,
        }
    }

    /// Checks that tensors are what was recorded; `steps` is the size of a leading axis.
    fn check(&self, what: &str, slots: &[usize], tensors: &[Tensor], steps: Option<usize>) -> Result<()> {
        if slots.len() != tensors.len() {
            let text = format!("the recording has {} {what} tensors, got {}", slots.len(), tensors.len());
            return Err(Error::value("scan", text));
        }
        for (&slot, t) in slots.iter().zip(tensors) {
            t.expect_cpu("scan")?;
            let meta = &self.rec.metas[slot];
            let shape: Dims = steps.into_iter().chain(meta.shape.iter().copied()).collect();
            if t.shape() != shape.as_slice() || t.dtype() != meta.dtype {
                let text = format!(
                    "the recording has as {what} a tensor of shape {:?} and type {}, got {:?} and {}",
                    shape.as_slice(),
                    meta.dtype,
                    t.shape(),
                    t.dtype()
                );
                return Err(Error::shape("scan", text));
            }
        }
        Ok(())
    }

    /// Runs the step over all inputs (with the axis of steps in front), from `states` on. Random
    /// operations draw from `seed` at `offset`, each step from its own part.
    pub fn forward(
        &self,
        inputs: &[Tensor],
        states: &[Tensor],
        captured: &[Tensor],
        steps: usize,
        (seed, offset): (u64, u64),
        keep: bool,
    ) -> Result<Outcome> {
        let _denormals = DenormalsOff::new();
        let rec = &self.rec;
        self.check("input", &rec.inputs, inputs, Some(steps))?;
        self.check("state", &rec.states, states, None)?;
        self.check("captured", &rec.captured, captured, None)?;
        if steps == 0 {
            return Err(Error::value("scan", "expected at least one step, got 0"));
        }
        let mut env = self.env(&self.forward, steps, Dice { seed, offset });
        for (&slot, t) in rec.inputs.iter().zip(inputs).chain(rec.captured.iter().zip(captured)) {
            env.whole[slot] = Some(t.clone());
        }
        env.early()?;
        let start = states.iter().map(|t| copy::contiguous("scan", t)).collect::<Result<_>>()?;
        let ended = env.body(start, false)?.carried;
        env.late()?;
        // What users get shares memory with nothing else.
        let mut outputs: Vec<Tensor> = Vec::new();
        for &slot in &rec.outputs {
            let all = env.sequence(slot)?;
            let shared = outputs.iter().chain(inputs).chain(captured).any(|t| t.overlaps(&all));
            outputs.push(if shared || !all.is_contiguous() { copy::clone("scan", &all)? } else { all });
        }
        let states = ended.iter().map(|t| copy::clone("scan", t)).collect::<Result<_>>()?;
        let saved = (keep && self.backward.is_some()).then(|| {
            let values: Vec<(usize, Tensor)> =
                self.needs.iter().filter_map(|&s| Some((s, env.whole[s].clone()?))).collect();
            Saved { version: versions(&values), values, steps, dice: Dice { seed, offset } }
        });
        Ok(Outcome { outputs, states, saved })
    }

    /// The gradients of a run's inputs, first states and captured tensors, from those of its outputs
    /// and last states.
    pub fn backward(
        &self,
        saved: &Saved,
        outputs: &[Option<Tensor>],
        states: &[Option<Tensor>],
    ) -> Result<Gradients> {
        let _denormals = DenormalsOff::new();
        let (Some(plan), Some(ends)) = (&self.backward, &self.rec.ends) else {
            return Err(Error::runtime("scan", "the program has no derivative"));
        };
        let steps = saved.steps;
        let mut env = self.env(plan, steps, saved.dice);
        if versions(&saved.values) != saved.version {
            return Err(Error::runtime(
                "backward",
                "a tensor that scan needs for its gradient was changed by an in-place operation; \
                 use the out-of-place form, or .clone() the tensor before changing it",
            ));
        }
        for (slot, value) in &saved.values {
            env.whole[*slot] = Some(value.clone());
        }
        let zeros = |slot: usize, steps: Option<usize>| -> Result<Tensor> {
            let meta = &self.rec.metas[slot];
            let zero = Tensor::zeros("scan", &meta.shape, meta.dtype)?;
            let shape: Dims = steps.into_iter().chain(meta.shape.iter().copied()).collect();
            Ok(zero.with_layout(zero.layout().broadcast_to("scan", &shape)?))
        };
        for (slot, g) in ends.outputs.iter().zip(outputs) {
            if let Some(slot) = *slot {
                env.whole[slot] = Some(match g {
                    Some(g) => g.clone(),
                    None => zeros(slot, Some(steps))?,
                });
            }
        }
        let mut start = Vec::new();
        for carry in &plan.carries {
            let place = ends.next.iter().position(|&s| s == Some(carry.from));
            let given = place.and_then(|i| states.get(i)).and_then(Option::as_ref);
            start.push(match given {
                Some(g) => copy::contiguous("scan", g)?,
                None => zeros(carry.from, None)?,
            });
        }
        env.early()?;
        let Left { sums, carried } = env.body(start, true)?;
        env.late()?;
        let mut carried = carried.into_iter();
        let mut gradients = Gradients {
            inputs: ends
                .inputs
                .iter()
                .map(|s| s.map(|s| env.sequence(s)).transpose())
                .collect::<Result<_>>()?,
            states: ends
                .next
                .iter()
                .zip(&ends.states)
                .map(|(next, s)| match (next, s) {
                    (Some(_), Some(_)) => Ok(carried.next()),
                    (None, Some(s)) => env.first(*s).map(Some),
                    _ => Ok(None),
                })
                .collect::<Result<_>>()?,
            captured: Vec::new(),
        };
        gradients.states.iter_mut().flatten().try_for_each(|t| -> Result<()> {
            *t = copy::clone("scan", t)?;
            Ok(())
        })?;
        let mut sums = plan.totals.iter().zip(sums);
        for slots in &ends.captured {
            let mut sum: Option<Tensor> = None;
            for _ in slots {
                let Some((total, in_loop)) = sums.next() else { return Err(absent()) };
                let part = env.total(total, in_loop)?;
                sum = Some(match sum {
                    None => part,
                    Some(have) => binary(Binary::Add, (&have).into(), (&part).into(), None)?,
                });
            }
            gradients.captured.push(sum);
        }
        Ok(gradients)
    }
}
