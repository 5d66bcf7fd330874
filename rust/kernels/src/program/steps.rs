//! The loop over the steps.

use super::env::{Env, absent};
use super::fuse::{Group, Node};
use super::instr::{Arg, Dice, Instr, Kern, reshape};
use super::parse::Meta;
use super::schedule::{Source, Total};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise::{Binary, binary};
use crate::ops::matmul::{Epilogue, GemmElement, Output, PackedB, Strided, gemm_prepacked};
use crate::ops::{copy, random, shape};
use crate::parallel::for_each;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Mutex;

/// A constant right side of a product, packed once.
enum Packed {
    Single(PackedB<f32>, Option<Tensor>),
    Double(PackedB<f64>, Option<Tensor>),
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
pub(super) struct Left {
    pub carried: Vec<Tensor>,
    pub sums: Vec<Option<Tensor>>,
    pub finals: Vec<Option<Tensor>>,
}

impl Env<'_> {
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

    /// Runs the steps, in reverse order if asked to, with `carried` at the start.
    pub fn body(&mut self, carried: Vec<Tensor>, reverse: bool, ends: &[usize]) -> Result<Left> {
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
