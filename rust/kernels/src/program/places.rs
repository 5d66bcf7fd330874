//! Where the loop's values lie: what can be found before the first step.

use super::bind::{Feed, Fixed, Spot};
use super::env::absent;
use super::fuse::Node;
use super::group::Group;
use super::instr::{Arg, Instr, Kern, cut};
use super::packed::Packed;
use super::schedule::{Source, Total};
use super::steps::{Loop, Work};
use super::sums::{self, Sum};
use crate::error::Result;
use crate::layout::{Dims, Layout};
use crate::memory;
use crate::ops::copy;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Bytes of products that are made ahead, and steps.
const AHEAD: usize = 128 << 10;
pub(super) const AHEAD_STEPS: usize = 8;

impl<'a> Loop<'a> {
    /// Finds the place of a value that is there for all steps.
    pub fn find(&mut self, slot: usize) -> Result<()> {
        let all = |this: &Self, rows: bool| -> Result<Option<Spot>> {
            let all = this.env.whole(slot)?;
            let first = all.with_layout(all.layout().select(0, 0));
            let first = if rows { this.mine(first) } else { this.cut(slot, first) };
            Ok(Some(Spot::new([first.clone(), first], all.strides()[0], 0)))
        };
        if self.spots[slot].is_none() {
            self.spots[slot] = match self.env.plan.home[slot] {
                Some(Source::Sequence) => all(self, false)?,
                Some(Source::Constant) => {
                    let one = self.cut(slot, self.env.whole(slot)?.clone());
                    Some(Spot::new([one.clone(), one], 0, 0))
                }
                _ if self.env.stacked[slot] => all(self, true)?,
                _ => None,
            };
        }
        Ok(())
    }

    /// Whether it is kept for some steps, to be summed up.
    fn is_kept(&self, slot: usize) -> bool {
        self.env.plan.totals.iter().any(|t| matches!(t, Total::Rows(_, right) if *right == slot))
    }

    /// Makes room for a value that the loop writes.
    fn room(&mut self, slot: usize) -> Result<()> {
        self.find(slot)?;
        if self.spots[slot].is_none() && self.is_kept(slot) {
            let (all, spot) = sums::room(&self.metas[slot], self.ahead)?;
            self.own.push(all);
            self.spots[slot] = Some(spot);
        }
        if self.spots[slot].is_none() {
            let meta = &self.metas[slot];
            let one = Tensor::empty("scan", &meta.shape, meta.dtype)?;
            let goes_on = self.env.plan.carries.iter().any(|c| c.to == slot);
            let other = if goes_on { Tensor::empty("scan", &meta.shape, meta.dtype)? } else { one.clone() };
            self.own.extend([one.clone(), other.clone()]);
            self.spots[slot] = Some(Spot::new([one, other], 0, 0));
        }
        Ok(())
    }

    pub fn spot(&self, slot: usize) -> Result<&Spot> {
        self.spots[slot].as_ref().ok_or_else(absent)
    }

    pub fn bind(&mut self, nodes: &'a [Node], packs: &'a [Option<Packed>]) -> Result<Vec<Work<'a>>> {
        let bytes = |node: &Node| match node {
            Node::Ahead(instr) => instr
                .makes()
                .map(|s| self.metas[s].shape.iter().product::<usize>() * self.metas[s].dtype.size())
                .sum(),
            _ => 0,
        };
        let most: usize = nodes.iter().map(bytes).sum();
        let kept = sums::kept(&self.env.plan.totals);
        let at_once = if kept.is_empty() { AHEAD_STEPS } else { sums::steps(&kept, self.metas) };
        self.ahead = (AHEAD / most.max(1)).clamp(1, at_once).min(self.env.steps);
        if self.rows.is_some() {
            let scratch = |node: &Node| if let Node::Group(g) = node { g.scratch() } else { 0 };
            let most = nodes.iter().map(scratch).max().unwrap_or(0);
            self.scratch = Some(memory::allocate("scan", most.max(8))?);
        }
        let mut work = Vec::with_capacity(nodes.len());
        for (node, packed) in nodes.iter().zip(packs) {
            work.extend(match (node, packed) {
                (Node::Group(group), _) => Some(self.chain(group)?),
                (Node::Product(instr), Some(packed)) => Some(self.product(instr, packed)?),
                (Node::Ahead(instr), Some(packed)) => Some(self.product_ahead(instr, packed)?),
                (Node::Whole(instr) | Node::Product(instr) | Node::Ahead(instr), _) => self.whole(instr)?,
            });
        }
        Ok(work)
    }

    fn chain(&mut self, group: &'a Group) -> Result<Work<'a>> {
        group.opens.iter().try_for_each(|&slot| self.room(slot))?;
        let mut loads = Vec::new();
        for &slot in &group.loads {
            self.find(slot)?;
            let fixed = self.spots[slot].as_ref().and_then(|spot| Fixed::of(spot, &group.shape));
            loads.push(fixed.map_or(Feed::Moving(slot), Feed::Fixed));
        }
        let mut stores = Vec::new();
        for store in &group.stores {
            match &store.part_of {
                None => self.room(store.slot)?,
                Some((whole, cuts)) => {
                    let part = self.spot(*whole)?.viewed(|l| Some(cut(l, cuts)));
                    self.spots[store.slot] = part;
                }
            }
            stores.push(Fixed::of(self.spot(store.slot)?, &group.shape).ok_or_else(absent)?);
        }
        Ok(Work::Chain { group, loads, stores })
    }

    fn product(&mut self, instr: &'a Instr, packed: &'a Packed) -> Result<Work<'a>> {
        let (Arg::Slot(left), Some(slot)) = (&instr.args[0], instr.outs[0]) else { return Err(absent()) };
        match instr.args.get(3) {
            Some(Arg::Slot(onto)) => self.spots[slot] = Some(self.spot(*onto)?.clone()),
            _ => self.room(slot)?,
        }
        self.find(*left)?;
        let (k, n) = packed.sizes();
        let matrix = |slot: usize, columns| self.spots[slot].as_ref().and_then(|s| Fixed::matrix(s, columns));
        let rows = match (matrix(*left, k), matrix(slot, n)) {
            (Some(left), Some(out)) if self.rows.is_some() => Some([left, out]),
            _ => None,
        };
        let m = self.spot(slot)?.layout().numel() / n;
        Ok(Work::Product { left: *left, out: slot, packed, add: instr.args.len() > 3, rows, m })
    }

    fn product_ahead(&mut self, instr: &'a Instr, packed: &'a Packed) -> Result<Work<'a>> {
        let (Arg::Slot(left), Some(slot)) = (&instr.args[0], instr.outs[0]) else { return Err(absent()) };
        self.find(*left)?;
        let meta = &self.metas[slot];
        let shape: Dims = [self.ahead].into_iter().chain(meta.shape.iter().copied()).collect();
        let all = Tensor::empty("scan", &shape, meta.dtype)?;
        let first = all.with_layout(all.layout().select(0, 0));
        self.own.push(all.clone());
        let spot = Spot::new([first.clone(), first], 0, all.strides()[0]);
        let (k, n) = packed.sizes();
        let left = Fixed::matrix(self.spot(*left)?, k).map_or(Feed::Moving(*left), Feed::Fixed);
        let out = Fixed::matrix(&spot, n).ok_or_else(absent)?;
        self.spots[slot] = Some(spot);
        Ok(Work::Ahead { packed, left, out, m: meta.shape.iter().product::<usize>() / n })
    }

    /// A view of what has its place has one too, and there is nothing to do.
    fn whole(&mut self, instr: &'a Instr) -> Result<Option<Work<'a>>> {
        if let ([Arg::Slot(from)], [Some(to)]) = (&instr.args[..], &instr.outs[..])
            && instr.kern.is_view()
            && !self.env.stacked[*to]
            && !self.is_kept(*to)
        {
            self.find(*from)?;
            let view = |l: &Layout| match &instr.kern {
                Kern::Same => Some(l.clone()),
                Kern::Reshape(shape) => l.reshape(shape),
                Kern::Permute(axes) => Some(l.permute(axes)),
                Kern::Expand(shape) => l.broadcast_to("expand", shape).ok(),
                Kern::View(cuts) => Some(cut(l, cuts)),
                _ => None,
            };
            self.spots[*to] = self.spots[*from].as_ref().and_then(|spot| spot.viewed(view));
            if self.spots[*to].is_some() {
                return Ok(None);
            }
        }
        for slot in instr.reads().chain(instr.makes()) {
            self.find(slot)?;
        }
        for slot in instr.makes().filter(|&s| self.is_kept(s)).collect::<SmallVec<[usize; 2]>>() {
            self.room(slot)?;
        }
        Ok(Some(Work::Whole(instr)))
    }

    pub fn sums(&self) -> Result<Vec<Sum>> {
        let totals = &self.env.plan.totals;
        let left = |slot: usize| -> Result<Spot> {
            let all = self.env.whole(slot)?;
            // Rows of adjacent elements, in whatever order.
            let rows = all.strides()[2] == 1 && all.strides()[1] >= 0;
            let all = if rows { all.clone() } else { copy::contiguous("scan", all)? };
            let first = self.mine(all.with_layout(all.layout().select(0, 0)));
            Ok(Spot::new([first.clone(), first], all.strides()[0], 0))
        };
        sums::kept(totals)
            .into_iter()
            .map(|slot| Sum::new(slot, self.spot(slot)?, &self.metas[slot], self.ahead, totals, left))
            .collect()
    }
}
