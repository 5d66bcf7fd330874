//! What of a recorded step runs before, in and after the loop over the steps.

use super::batch::{Batched, batched};
use super::fuse::Node;
use super::instr::{Arg, Fold, Instr, Kern};
use super::parse::Meta;
use super::rows::{self, Parts};
use super::split::Split;
use crate::dtype::DType;
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};

/// Rows of a batch whose parts may have gradients of weights of their own, at most.
const SUMMED_ROWS: usize = 128;

/// When a value is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// One for all steps.
    Constant,
    /// All steps' at once.
    Sequence,
    /// Step by step.
    Step,
}

/// A value at the start of a step, and the one that takes its place in the next step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carry {
    pub from: usize,
    pub to: usize,
}

/// How the steps' contributions to a gradient are added up.
#[derive(Clone, Debug)]
pub(super) enum Total {
    /// The same each step.
    Times(usize),
    /// Over the axis of steps.
    Over(usize),
    /// By this kernel, from sequences.
    Whole(Kern, SmallVec<[Arg; 4]>),
    /// In the loop.
    Step(usize),
    /// In the loop, some steps at a time: the product of the first one's rows (ones where there is none),
    /// transposed, with those of the second.
    Rows(Option<usize>, usize),
}

#[derive(Clone, Debug)]
pub(super) enum Early {
    Once(Box<Instr>),
    All(Box<Batched>),
}

pub(super) struct Plan {
    pub early: Vec<Early>,
    pub body: Parts,
    pub late: Vec<Batched>,
    pub totals: Vec<Total>,
    pub carries: Vec<Carry>,
    /// Values of the loop that are kept for all steps.
    pub stacked: Vec<usize>,
    /// Where the loop finds a value.
    pub home: Vec<Option<Source>>,
    /// Values that are there for all steps when everything has run.
    known: HashSet<usize>,
    wanted: Vec<usize>,
}

impl Plan {
    pub fn census(&self) -> [usize; 3] {
        [self.early.len(), self.body.variants[0].nodes.len(), self.late.len() + self.totals.len()]
    }

    /// The values that it reads as they are before it runs: of all steps, or one for all.
    pub fn whole_reads(&self) -> Vec<usize> {
        let mut reads: HashSet<usize> = HashSet::new();
        let mut makes: HashSet<usize> = self.stacked.iter().copied().collect();
        for step in &self.early {
            let (args, outs) = match step {
                Early::Once(i) => (&i.args, &i.outs),
                Early::All(b) => (&b.args, &b.outs),
            };
            reads.extend(args.iter().filter_map(slot));
            makes.extend(outs.iter().flatten());
        }
        for b in &self.late {
            reads.extend(b.args.iter().filter_map(slot));
            makes.extend(b.outs.iter().flatten());
        }
        for node in &self.body.variants[0].nodes {
            match node {
                Node::Whole(i) | Node::Product(i) | Node::Ahead(i) => reads.extend(i.reads()),
                Node::Group(g) => reads.extend(&g.loads),
            }
        }
        for total in &self.totals {
            match total {
                Total::Times(s) | Total::Over(s) | Total::Step(s) => {
                    reads.insert(*s);
                }
                Total::Whole(_, args) => reads.extend(args.iter().filter_map(slot)),
                Total::Rows(left, right) => reads.extend(left.iter().chain([right])),
            }
        }
        reads.extend(self.carries.iter().map(|c| c.to));
        reads.extend(self.wanted.iter().copied());
        let mut list: Vec<usize> =
            reads.into_iter().filter(|s| self.home[*s] != Some(Source::Step) && !makes.contains(s)).collect();
        list.sort_unstable();
        list
    }

    /// How a value is there at the end: for all steps, or one for all.
    pub fn source_kept(&self, slot: usize) -> Source {
        if self.known.contains(&slot) || self.home[slot] != Some(Source::Constant) {
            Source::Sequence
        } else {
            Source::Constant
        }
    }
}

/// Which instruction makes a value.
pub(super) fn made_by(instrs: &[Instr]) -> HashMap<usize, usize> {
    instrs.iter().enumerate().flat_map(|(i, instr)| instr.makes().map(move |s| (s, i))).collect()
}

struct Scheduler<'a> {
    metas: &'a [Meta],
    instrs: &'a [Instr],
    maker: HashMap<usize, usize>,
    home: Vec<Option<Source>>,
    late: Vec<Batched>,
    known: HashSet<usize>,
    stacked: Vec<usize>,
}

impl Scheduler<'_> {
    /// Sees to it that a value is there for all steps after the loop.
    fn need(&mut self, slot: usize) {
        if self.home[slot] != Some(Source::Step) || !self.known.insert(slot) {
            return;
        }
        // A view is made again of what it views instead of being copied each step, unless that is
        // much more than itself.
        let size = |s: usize| self.metas[s].shape.iter().product::<usize>();
        if let Some(&i) = self.maker.get(&slot)
            && self.instrs[i].kern.is_view()
            && self.instrs[i].reads().all(|s| size(s) < 2 * size(slot).max(1) || self.known.contains(&s))
            && let Some(again) = self.all_at_once(i)
        {
            let instrs = self.instrs;
            instrs[i].reads().for_each(|s| self.need(s));
            self.late.push(again);
            return;
        }
        self.stacked.push(slot);
    }

    /// Of what adds up to a gradient, a product of transposed rows with rows that the loop makes, or their
    /// sum: the two.
    fn by_rows(&self, i: usize) -> Option<(Option<usize>, usize)> {
        let instr = &self.instrs[i];
        let flat = |s: usize| self.metas[s].shape.len() == 2 && !self.metas[s].shape.contains(&0);
        let float = |s: usize| matches!(self.metas[s].dtype, DType::F32 | DType::F64);
        let few = |s: usize| self.metas[s].shape[0] <= SUMMED_ROWS;
        let fits = |s: usize| self.home[s] == Some(Source::Step) && flat(s) && float(s) && few(s);
        match (&instr.kern, &instr.args[..]) {
            (Kern::Matmul, [Arg::Slot(left), Arg::Slot(right)]) if fits(*right) => {
                let turn = &self.instrs[*self.maker.get(left)?];
                let from = turn.reads().next()?;
                let turned = matches!(&turn.kern, Kern::Permute(axes) if axes[..] == [1, 0]);
                let there = self.home[from] == Some(Source::Sequence) && flat(from);
                (turned && there).then_some((Some(from), *right))
            }
            (Kern::Fold { fold: Fold::Sum, axes, keepdim: false, dtype: None }, [Arg::Slot(right)]) => {
                (axes[..] == [0] && fits(*right)).then_some((None, *right))
            }
            _ => None,
        }
    }

    fn all_at_once(&self, i: usize) -> Option<Batched> {
        batched(&self.instrs[i], self.metas, &|s| self.home[s] != Some(Source::Constant))
    }
}

/// Schedules `instrs`, of which the first `inside` stay in the loop. `wanted` are needed for all steps;
/// `totals` are to be added up.
pub(super) fn plan(
    metas: &[Meta],
    sources: &[Option<Source>],
    instrs: &[Instr],
    inside: usize,
    carries: &[Carry],
    wanted: &[usize],
    totals: &[usize],
) -> Plan {
    let make = |ahead| scheduled(metas, sources, instrs.to_vec(), inside, carries, wanted, totals, ahead);
    // Products of the inputs go into the loop where each thread has its own rows in it.
    let ahead = make(true);
    if ahead.body.are_apart() { ahead } else { make(false) }
}

#[allow(clippy::too_many_arguments)]
fn scheduled(
    metas: &[Meta],
    sources: &[Option<Source>],
    mut instrs: Vec<Instr>,
    inside: usize,
    carries: &[Carry],
    wanted: &[usize],
    totals: &[usize],
    ahead: bool,
) -> Plan {
    let mut uses = vec![0usize; metas.len()];
    let mut users: HashMap<usize, Vec<usize>> = HashMap::new();
    for (i, instr) in instrs.iter().enumerate() {
        for s in instr.reads() {
            uses[s] += 1;
            users.entry(s).or_default().push(i);
        }
    }
    carries
        .iter()
        .map(|c| c.to)
        .chain(wanted.iter().copied())
        .chain(totals.iter().copied())
        .for_each(|s| uses[s] += 1);
    instrs.iter_mut().for_each(|i| as_sum(i, metas));
    let instrs = instrs;
    let maker = made_by(&instrs);
    // Contributions that are added up from their operands.
    let reserved: HashMap<usize, usize> = totals
        .iter()
        .filter(|&&s| uses[s] == 1)
        .filter_map(|&s| maker.get(&s).map(|&i| (i, s)))
        .filter(|&(i, _)| adds_up(&instrs[i], metas))
        .collect();

    let mut near: HashSet<usize> = HashSet::new();
    let mut split = Split::new(metas, sources, &instrs, &reserved, inside, &near);
    if ahead {
        let outside: HashSet<usize> = carries
            .iter()
            .map(|c| c.to)
            .chain(wanted.iter().copied())
            .chain(totals.iter().copied())
            .collect();
        near = split.near(metas, &instrs, &users, &outside);
        split = Split::new(metas, sources, &instrs, &reserved, inside, &near);
    }
    let Split { home, early, early_ids, body } = split;
    let mut body = body;

    let mut sch = Scheduler {
        metas,
        instrs: &instrs,
        maker,
        home,
        late: Vec::new(),
        known: HashSet::new(),
        stacked: Vec::new(),
    };
    // What the loop does not wait for.
    let next: HashSet<usize> = carries.iter().map(|c| c.to).collect();
    let mut can_wait: HashSet<usize> = reserved.keys().copied().collect();
    for &i in body.iter().rev() {
        let instr = &instrs[i];
        let waits = |s: usize| {
            !next.contains(&s) && users.get(&s).is_none_or(|u| u.iter().all(|u| can_wait.contains(u)))
        };
        if !instr.kern.is_random() && instr.makes().all(waits) && sch.all_at_once(i).is_some() {
            can_wait.insert(i);
        }
    }
    let mut moved: HashSet<usize> = HashSet::new();
    for &i in &body {
        let instr = &instrs[i];
        let follows = instr.reads().any(|s| sch.maker.get(&s).is_some_and(|m| moved.contains(m)));
        if !can_wait.contains(&i) || !(instr.kern.is_product() || follows) {
            continue;
        }
        if let Some(all) = sch.all_at_once(i) {
            instr.reads().for_each(|s| sch.need(s));
            sch.late.push(all);
            sch.known.extend(instr.makes());
            moved.insert(i);
        }
    }
    body.retain(|i| !moved.contains(i));
    wanted.iter().for_each(|&s| sch.need(s));
    let makes = |sch: &Scheduler, s: usize| sch.maker.get(&s).copied().filter(|i| reserved.contains_key(i));
    let by_rows = |sch: &Scheduler, s: usize| {
        let i = makes(sch, s).filter(|_| ahead)?;
        sch.by_rows(i).filter(|(_, right)| !sch.stacked.contains(right) && !sch.known.contains(right))
    };
    // First those that must have values for all steps: others can use them then.
    for &s in totals {
        if let Some(i) = makes(&sch, s)
            && by_rows(&sch, s).is_none()
        {
            instrs[i].reads().for_each(|s| sch.need(s));
        }
    }
    let mut sums: Vec<Total> = Vec::new();
    for &s in totals {
        sums.push(match (by_rows(&sch, s), makes(&sch, s), sch.home[s]) {
            (Some((left, right)), ..) => Total::Rows(left, right),
            (None, Some(i), _) => {
                instrs[i].reads().for_each(|s| sch.need(s));
                Total::Whole(instrs[i].kern.clone(), instrs[i].args.clone())
            }
            (None, None, Some(Source::Constant) | None) => Total::Times(s),
            (None, None, Some(Source::Sequence)) => Total::Over(s),
            (None, None, Some(Source::Step)) if sch.known.contains(&s) => Total::Over(s),
            (None, None, Some(Source::Step)) => Total::Step(s),
        });
    }

    let Scheduler { home, late, known, stacked, .. } = sch;
    // What nobody asks for is not computed.
    let mut live: HashSet<usize> = stacked.iter().copied().chain(next.iter().copied()).collect();
    let in_loop = |t: &Total| match t {
        Total::Step(s) | Total::Rows(_, s) => Some(*s),
        _ => None,
    };
    live.extend(sums.iter().filter_map(in_loop));
    let alive = |live: &mut HashSet<usize>, instr: &Instr| {
        let yes = instr.makes().any(|s| live.contains(&s));
        if yes {
            live.extend(instr.reads());
        }
        yes
    };
    let mut kept: Vec<usize> = body.iter().rev().copied().filter(|&i| alive(&mut live, &instrs[i])).collect();
    kept.reverse();
    live.extend(late.iter().flat_map(|b| &b.args).filter_map(slot));
    live.extend(wanted.iter().copied());
    for sum in &sums {
        match sum {
            Total::Times(s) | Total::Over(s) | Total::Step(s) => {
                live.insert(*s);
            }
            Total::Whole(_, args) => live.extend(args.iter().filter_map(slot)),
            Total::Rows(left, right) => live.extend(left.iter().chain([right])),
        }
    }
    let mut firsts: Vec<Early> = Vec::new();
    for (step, &i) in early.into_iter().zip(&early_ids).rev() {
        if alive(&mut live, &instrs[i]) {
            firsts.push(step);
        }
    }
    firsts.reverse();
    let keep: HashSet<usize> =
        next.iter().copied().chain(stacked.iter().copied()).chain(sums.iter().filter_map(in_loop)).collect();
    let steps: Vec<Instr> = kept.iter().map(|&i| instrs[i].clone()).collect();
    let body = rows::parts(steps, metas, &home, &keep, carries, &stacked, &sums);
    Plan {
        early: firsts,
        body,
        late,
        totals: sums,
        carries: carries.to_vec(),
        stacked,
        home,
        known,
        wanted: wanted.to_vec(),
    }
}

pub(super) fn slot(arg: &Arg) -> Option<usize> {
    match arg {
        Arg::Slot(s) => Some(*s),
        _ => None,
    }
}

/// A sum to a shape that only lacks leading axes is a sum over those.
fn as_sum(instr: &mut Instr, metas: &[Meta]) {
    if let (Kern::SumTo(shape, dtype), [Arg::Slot(s)]) = (&instr.kern, &instr.args[..]) {
        let from = &metas[*s];
        let lead = from.shape.len() - shape.len();
        if lead > 0 && from.shape[lead..] == shape[..] && from.dtype == *dtype {
            let axes = (0..lead as isize).collect();
            instr.kern = Kern::Fold { fold: Fold::Sum, axes, keepdim: false, dtype: None };
        }
    }
}

/// Whether the sum of an instruction's results over the steps is one operation on its operands.
fn adds_up(instr: &Instr, metas: &[Meta]) -> bool {
    let rank = |i: usize| slot(&instr.args[i]).map(|s| metas[s].shape.len());
    match &instr.kern {
        Kern::Matmul => rank(0) == Some(2) && rank(1) == Some(2),
        Kern::Fold { fold: Fold::Sum, axes, keepdim: false, .. } => !axes.is_empty(),
        _ => false,
    }
}
