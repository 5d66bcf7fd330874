//! A recorded step of a sequence, run over all of it without Python.
//!
//! Python records what one step computes, and its derivative, as lists of instructions over numbered
//! values: step inputs, carried state, captured tensors and what follows from them. Here they are
//! scheduled. What does not depend on the state is computed for all steps at once before the loop;
//! what the loop does not wait for, after it (so the gradient of a weight is one product over the
//! whole sequence); what is left runs step by step, chains of elementwise operations as one pass.

mod batch;
mod bind;
mod checks;
mod compute;
mod env;
mod fuse;
mod group;
mod instr;
mod micro;
mod packed;
mod parse;
mod parts;
mod places;
mod rows;
mod run;
mod schedule;
mod split;
mod steps;
mod sums;
#[cfg(test)]
mod tests;

pub use parse::{Meta, Value};
pub use run::{Gradients, Outcome, Saved};

use crate::error::Result;
use instr::Instr;
use schedule::{Carry, Source};

/// A gradient program's ends: which values hold the gradients that come in and go out.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// Of each output: where its gradient comes in; None where nothing flows.
    pub outputs: Vec<Option<usize>>,
    /// Of each state: the gradient of what the step made of it.
    pub next: Vec<Option<usize>>,
    /// Of each input: its gradient, where it is wanted.
    pub inputs: Vec<Option<usize>>,
    /// Of each state at the start of a step: its gradient.
    pub states: Vec<Option<usize>>,
    /// Of each captured tensor: what every step adds to its gradient.
    pub captured: Vec<Vec<usize>>,
}

/// What a program is made from: the values' shapes and types, and which of them are what.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub metas: Vec<Meta>,
    pub inputs: Vec<usize>,
    pub states: Vec<usize>,
    pub captured: Vec<usize>,
    /// The step: name, arguments, results.
    pub forward: Vec<Line>,
    pub outputs: Vec<usize>,
    /// What becomes of each state.
    pub next: Vec<usize>,
    /// The step's derivative; empty where nothing needs one.
    pub backward: Vec<Line>,
    pub ends: Option<Ends>,
    /// Blocks of random numbers that a step draws.
    pub draws: u64,
}

/// One recorded call: the kernel's name, its arguments, and the values that it makes.
pub type Line = (String, Vec<Value>, Vec<Option<usize>>);

/// A scheduled recording.
pub struct Program {
    rec: Recording,
    forward: schedule::Plan,
    backward: Option<schedule::Plan>,
    /// What the derivative reads of a run.
    needs: Vec<usize>,
}

impl Program {
    /// Checks and schedules a recording; an error names the first operation that has no instruction.
    pub fn new(rec: Recording) -> Result<Program> {
        checks::check(&rec)?;
        let parse = |lines: &[Line]| -> Result<Vec<Instr>> {
            lines.iter().map(|(name, args, outs)| parse::instr(name, args, outs, &rec.metas)).collect()
        };
        let step = parse(&rec.forward)?;
        let n = rec.metas.len();
        let mut sources = vec![None; n];
        rec.captured.iter().for_each(|&s| sources[s] = Some(Source::Constant));
        rec.inputs.iter().for_each(|&s| sources[s] = Some(Source::Sequence));
        rec.states.iter().for_each(|&s| sources[s] = Some(Source::Step));
        let carries: Vec<Carry> =
            rec.states.iter().zip(&rec.next).map(|(&from, &to)| Carry { from, to }).collect();
        let mut back = None;
        if let Some(ends) = &rec.ends {
            let instrs = parts::join_parts(parse(&rec.backward)?, &rec.metas, ends);
            let known = schedule::made_by(&step);
            // What the derivative reads of the step.
            let mut kept: Vec<usize> = Vec::new();
            for s in instrs.iter().flat_map(Instr::reads).chain(ends.reads()) {
                if (known.contains_key(&s) || rec.states.contains(&s)) && !kept.contains(&s) {
                    kept.push(s);
                }
            }
            let again = micro::again(&step, &instrs, &kept, &rec.metas);
            kept.retain(|s| !again.iter().any(|i| i.makes().any(|made| made == *s)));
            // A state that only these read is kept in place of what they make.
            for s in again.iter().flat_map(Instr::reads) {
                if rec.states.contains(&s) && !kept.contains(&s) {
                    kept.push(s);
                }
            }
            let inside = again.len();
            back = Some((again.into_iter().chain(instrs).collect::<Vec<Instr>>(), inside, kept));
        }
        let kept = back.as_ref().map_or(&[][..], |(_, _, kept)| kept);
        let wanted: Vec<usize> = rec.outputs.iter().chain(kept).copied().collect();
        let forward = schedule::plan(&rec.metas, &sources, &step, 0, &carries, &wanted, &[]);
        let backward = match (back, &rec.ends) {
            (Some((instrs, inside, kept)), Some(ends)) => {
                kept.iter().for_each(|&s| sources[s] = Some(forward.source_kept(s)));
                // A state is known for the whole sequence now.
                rec.states.iter().for_each(|&s| sources[s] = Some(Source::Sequence));
                ends.outputs.iter().flatten().for_each(|&s| sources[s] = Some(Source::Sequence));
                ends.next.iter().flatten().for_each(|&s| sources[s] = Some(Source::Step));
                let carries: Vec<Carry> = ends.carries().map(|(from, to)| Carry { from, to }).collect();
                let wanted: Vec<usize> = ends.inputs.iter().flatten().copied().chain(ends.alone()).collect();
                let totals: Vec<usize> = ends.captured.iter().flatten().copied().collect();
                Some(schedule::plan(&rec.metas, &sources, &instrs, inside, &carries, &wanted, &totals))
            }
            _ => None,
        };
        let needs = backward.as_ref().map_or_else(Vec::new, |plan| {
            let given = rec.ends.iter().flat_map(|e| e.outputs.iter().chain(&e.next)).flatten();
            let given: Vec<usize> = given.copied().collect();
            plan.whole_reads().into_iter().filter(|s| !given.contains(s)).collect()
        });
        Ok(Program { rec, forward, backward, needs })
    }

    /// Blocks of random numbers that a step draws.
    pub fn draws(&self) -> u64 {
        self.rec.draws
    }

    /// How many instructions of the step and of its derivative run before, in and after the loop,
    /// counting a fused chain as one.
    pub fn census(&self) -> [[usize; 3]; 2] {
        [self.forward.census(), self.backward.as_ref().map_or([0; 3], schedule::Plan::census)]
    }
}

impl Ends {
    fn reads(&self) -> impl Iterator<Item = usize> + '_ {
        let single = self.inputs.iter().chain(&self.states).flatten();
        single.chain(self.captured.iter().flatten()).copied()
    }

    /// The gradients that flow from step to step: where each comes in and goes out.
    fn carries(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.next.iter().zip(&self.states).filter_map(|(from, to)| Some(((*from)?, (*to)?)))
    }

    /// Gradients of states into which nothing flows from the step after: the first step's counts.
    fn alone(&self) -> impl Iterator<Item = usize> + '_ {
        self.next.iter().zip(&self.states).filter_map(|(from, to)| to.filter(|_| from.is_none()))
    }
}
