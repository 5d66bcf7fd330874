//! The loop over the steps.

use super::Program;
use super::batch::{self, Batched};
use super::fuse::{Group, Node};
use super::instr::{Arg, Dice, In, Instr, Kern, reshape};
use super::parse::Meta;
use super::schedule::{Carry, Early, Plan, Source, Total};
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::layout::Dims;
use crate::ops::elementwise::{Binary, binary};
use crate::ops::matmul::{Epilogue, GemmElement, Output, PackedB, Strided, gemm_prepacked};
use crate::ops::{copy, random, reduce, shape};
use crate::parallel::{DenormalsOff, for_each};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Mutex;

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

/// A constant right side of a product, packed once.
enum Packed {
    Single(PackedB<f32>, Option<Tensor>),
    Double(PackedB<f64>, Option<Tensor>),
}

/// The values of a run.
struct Env<'a> {
    plan: &'a Plan,
    metas: &'a [Meta],
    /// Values of all steps, or constants.
    whole: Vec<Option<Tensor>>,
    stacked: Vec<bool>,
    steps: usize,
    dice: Dice,
    draws: u64,
}

/// The loop over the steps for some rows of the batch, or for all.
struct Loop<'a> {
    env: &'a Env<'a>,
    rows: Option<Range<usize>>,
    metas: &'a [Meta],
    /// Values of this step.
    now: Vec<Option<Tensor>>,
    dice: Dice,
}

/// What the loop leaves behind: carried values, totals, and values of the last step.
struct Left {
    carried: Vec<Tensor>,
    sums: Vec<Option<Tensor>>,
    finals: Vec<Option<Tensor>>,
}

fn absent() -> Error {
    Error::runtime("scan", "a value was read before it was made")
}

impl Env<'_> {
    fn whole(&self, slot: usize) -> Result<&Tensor> {
        self.whole[slot].as_ref().ok_or_else(absent)
    }

    fn args(&self, args: &[Arg], get: impl Fn(usize) -> Result<Tensor>) -> Result<SmallVec<[In; 4]>> {
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

    fn early(&mut self) -> Result<()> {
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

    fn shape_of_all(&self, slot: usize) -> Dims {
        std::iter::once(self.steps).chain(self.metas[slot].shape.iter().copied()).collect()
    }

    fn packs(&self, nodes: &[Node]) -> Result<Vec<Option<Packed>>> {
        let one = |node: &Node| -> Result<Option<Packed>> {
            let Node::Product(instr) = node else { return Ok(None) };
            let Arg::Slot(right) = instr.args[1] else { return Ok(None) };
            let w = self.whole(right)?;
            let bias = match instr.args.get(2) {
                Some(Arg::Slot(s)) => Some(copy::contiguous("linear", self.whole(*s)?)?),
                _ => None,
            };
            Ok(Some(match w.dtype() {
                DType::F32 => Packed::Single(pack(w, instr.kern.transposes())?, bias),
                _ => Packed::Double(pack(w, instr.kern.transposes())?, bias),
            }))
        };
        nodes.iter().map(one).collect()
    }

    /// Makes room for the values that the loop keeps. A state and what becomes of it share theirs.
    fn make_room(&mut self, reverse: bool) -> Result<()> {
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

    /// Runs the steps, in reverse order if asked to, with `carried` at the start.
    fn body(&mut self, carried: Vec<Tensor>, reverse: bool, ends: &[usize]) -> Result<Left> {
        let plan = self.plan;
        let parts = &plan.body;
        // Few rows have products of another kind, which are not packed: each variant has its own nodes.
        let packs = parts.variants.iter().map(|v| self.packs(&v.nodes)).collect::<Result<Vec<_>>>()?;
        self.make_room(reverse)?;
        let env = &*self;
        let one = |(rows, number): &(Option<Range<usize>>, usize)| -> Result<Left> {
            let variant = &parts.variants[*number];
            let mut part = Loop {
                env,
                rows: rows.clone(),
                metas: &variant.metas,
                now: vec![None; env.metas.len()],
                dice: env.dice,
            };
            let start = carried.iter().map(|t| part.mine(t.clone())).collect();
            part.run(&variant.nodes, &packs[*number], start, reverse, ends)
        };
        if let [all] = &parts.ranges[..] {
            return one(all);
        }
        let done: Vec<Mutex<Option<Result<Left>>>> = parts.ranges.iter().map(|_| Mutex::new(None)).collect();
        for_each(parts.ranges.len(), |i| {
            let left = one(&parts.ranges[i]);
            *done[i].lock().unwrap_or_else(|p| p.into_inner()) = Some(left);
        });
        let mut lefts = Vec::new();
        for left in done {
            lefts.push(left.into_inner().unwrap_or_else(|p| p.into_inner()).ok_or_else(absent)??);
        }
        // Rows of carried values stand side by side; shares of totals are added in order.
        let joined = |get: &dyn Fn(&Left) -> Option<&Tensor>| -> Result<Option<Tensor>> {
            let list: Option<Vec<&Tensor>> = lefts.iter().map(get).collect();
            list.map(|l| shape::cat(&l, 0)).transpose()
        };
        let mut all = Left { carried: Vec::new(), sums: Vec::new(), finals: Vec::new() };
        for i in 0..plan.carries.len() {
            all.carried.push(joined(&|l| l.carried.get(i))?.ok_or_else(absent)?);
        }
        for (i, &s) in ends.iter().enumerate() {
            all.finals.push(if parts.by_rows[s] {
                joined(&|l| l.finals[i].as_ref())?
            } else {
                lefts[0].finals[i].clone()
            });
        }
        for i in 0..plan.totals.len() {
            let mut sum: Option<Tensor> = None;
            for share in lefts.iter().filter_map(|l| l.sums[i].as_ref()) {
                sum = Some(match sum {
                    None => share.clone(),
                    Some(have) => binary(Binary::Add, (&have).into(), share.into(), None)?,
                });
            }
            all.sums.push(sum);
        }
        Ok(all)
    }

    fn late(&mut self) -> Result<()> {
        let plan = self.plan;
        plan.late.iter().try_for_each(|all| self.all(all))
    }

    /// A value for all steps, with memory of its own.
    fn sequence(&self, slot: usize) -> Result<Tensor> {
        let value = self.whole(slot)?;
        if self.plan.home[slot] == Some(Source::Constant) {
            let all = value.with_layout(value.layout().broadcast_to("scan", &self.shape_of_all(slot))?);
            return copy::clone("scan", &all);
        }
        Ok(value.clone())
    }

    /// A value of the first step.
    fn first(&self, slot: usize) -> Result<Tensor> {
        let value = self.whole(slot)?;
        Ok(match self.plan.home[slot] {
            Some(Source::Constant) => value.clone(),
            _ => value.with_layout(value.layout().select(0, 0)),
        })
    }
}

impl Loop<'_> {
    /// The rows of a value with the batch in front.
    fn mine(&self, t: Tensor) -> Tensor {
        match &self.rows {
            Some(rows) => t.with_layout(t.layout().slice(0, rows.start, rows.len(), 1)),
            None => t,
        }
    }

    fn cut(&self, slot: usize, t: Tensor) -> Tensor {
        if self.env.plan.body.by_rows[slot] { self.mine(t) } else { t }
    }

    /// A value as step `t` sees it.
    fn at(&self, slot: usize, t: usize) -> Result<Tensor> {
        match self.env.plan.home[slot] {
            Some(Source::Sequence) => {
                let all = self.env.whole(slot)?;
                Ok(self.cut(slot, all.with_layout(all.layout().select(0, t))))
            }
            Some(Source::Constant) => Ok(self.cut(slot, self.env.whole(slot)?.clone())),
            _ => self.now[slot].clone().ok_or_else(absent),
        }
    }

    /// Where a result of step `t` is to be written.
    fn room(&self, slot: usize, t: usize) -> Result<Tensor> {
        if self.env.stacked[slot] {
            let all = self.env.whole(slot)?;
            return Ok(self.mine(all.with_layout(all.layout().select(0, t))));
        }
        Tensor::empty("scan", &self.metas[slot].shape, self.metas[slot].dtype)
    }

    /// Puts a result of step `t` in its place.
    fn put(&mut self, slot: usize, t: usize, value: Tensor) -> Result<()> {
        if self.env.stacked[slot] {
            let room = self.room(slot, t)?;
            if !room.coincides(&value) {
                copy::copy_into("scan", &room, &value)?;
            }
        }
        self.now[slot] = Some(value);
        Ok(())
    }

    fn product(&mut self, instr: &Instr, packed: &Packed, t: usize) -> Result<()> {
        let (Arg::Slot(left), Some(slot)) = (&instr.args[0], instr.outs[0]) else { return Err(absent()) };
        let x = self.at(*left, t)?;
        let out = self.room(slot, t)?;
        match packed {
            Packed::Single(b, bias) => multiply(&x, b, bias.as_ref(), &out)?,
            Packed::Double(b, bias) => multiply(&x, b, bias.as_ref(), &out)?,
        }
        self.now[slot] = Some(out);
        Ok(())
    }

    fn group(&mut self, group: &Group, t: usize) -> Result<()> {
        for &slot in &group.opens {
            self.now[slot] = Some(self.room(slot, t)?);
        }
        let loads = group.loads.iter().map(|&s| self.at(s, t)).collect::<Result<SmallVec<[Tensor; 8]>>>()?;
        let mut stores: SmallVec<[Tensor; 8]> = SmallVec::new();
        for store in &group.stores {
            stores.push(match &store.part_of {
                None => self.room(store.slot, t)?,
                Some((whole, cuts)) => {
                    let whole = self.now[*whole].as_ref().ok_or_else(absent)?;
                    whole.with_layout(super::instr::cut(whole.layout(), cuts))
                }
            });
        }
        group.run(&loads, &stores)?;
        for (store, value) in group.stores.iter().zip(stores) {
            self.now[store.slot] = Some(value);
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

    fn run(
        &mut self,
        nodes: &[Node],
        packs: &[Option<Packed>],
        mut carried: Vec<Tensor>,
        reverse: bool,
        ends: &[usize],
    ) -> Result<Left> {
        let (env, plan) = (self.env, self.env.plan);
        let mut sums: Vec<Option<Tensor>> = vec![None; plan.totals.len()];
        for i in 0..env.steps {
            let t = if reverse { env.steps - 1 - i } else { i };
            self.dice.offset = env.dice.offset.wrapping_add(env.draws.wrapping_mul(t as u64));
            for (carry, value) in plan.carries.iter().zip(carried.drain(..)) {
                self.put(carry.from, t, value)?;
            }
            for (node, packed) in nodes.iter().zip(packs) {
                match (node, packed) {
                    (Node::Product(instr), Some(packed)) => self.product(instr, packed, t)?,
                    (Node::Whole(instr) | Node::Product(instr), _) => {
                        let args = env.args(&instr.args, |s| self.at(s, t))?;
                        let made = instr.kern.run(&args, self.dice_of(instr))?;
                        for (slot, value) in instr.outs.iter().zip(made) {
                            if let (Some(slot), Some(value)) = (slot, value) {
                                self.put(*slot, t, value)?;
                            }
                        }
                    }
                    (Node::Group(group), _) => self.group(group, t)?,
                }
            }
            for (total, sum) in plan.totals.iter().zip(&mut sums) {
                if let Total::Step(s) = total {
                    let value = self.at(*s, t)?;
                    *sum = Some(match sum.take() {
                        None => copy::clone("scan", &value)?,
                        Some(have) => binary(Binary::Add, (&have).into(), (&value).into(), Some(&have))?,
                    });
                }
            }
            for carry in &plan.carries {
                carried.push(self.at(carry.to, t)?);
            }
        }
        let last = if reverse { 0 } else { env.steps - 1 };
        let finals = ends.iter().map(|&s| self.at(s, last).ok()).collect();
        Ok(Left { carried, sums, finals })
    }
}

fn pack<T: GemmElement>(w: &Tensor, transposed: bool) -> Result<PackedB<T>> {
    let (line, k) = if transposed { (0, 1) } else { (1, 0) };
    let right = Strided { ptr: w.ptr::<T>().cast_const(), line: w.strides()[line], k: w.strides()[k] };
    // SAFETY: the layout stays within its storage.
    unsafe { PackedB::new("scan", &right, w.shape()[k], w.shape()[line]) }
}

fn multiply<T: GemmElement>(x: &Tensor, b: &PackedB<T>, bias: Option<&Tensor>, out: &Tensor) -> Result<()> {
    let (k, n) = (b.k(), b.n());
    let rows = out.numel() / n;
    let x = reshape(x, &[rows, k])?;
    let left = Strided { ptr: x.ptr::<T>().cast_const(), line: x.strides()[0], k: x.strides()[1] };
    let col_bias = bias.map_or(std::ptr::null(), |b| b.ptr::<T>().cast_const());
    let epilogue = Epilogue { col_bias, ..Epilogue::NONE };
    let to = Output { alpha: T::ONE, beta: T::ZERO, ptr: out.ptr::<T>(), rs: n as isize, cs: 1, epilogue };
    // SAFETY: the layouts stay within their storages; the output is row-major and nobody else's.
    unsafe { gemm_prepacked(rows, &left, b, to) };
    Ok(())
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
        let ended = env.body(start, false, &[])?.carried;
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
        let first: Vec<usize> = ends.carries().map(|(_, to)| to).collect();
        env.early()?;
        let Left { sums, finals, .. } = env.body(start, true, &first)?;
        env.late()?;
        let mut finals = finals.into_iter();
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
                    (Some(_), Some(_)) => Ok(finals.next().flatten()),
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

impl Env<'_> {
    fn total(&self, total: &Total, in_loop: Option<Tensor>) -> Result<Tensor> {
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
            Total::Step(_) => in_loop.ok_or_else(absent),
        }
    }
}
