//! Loops whose rows do not meet: each thread takes some rows of the batch through all steps.
//!
//! Where every instruction of the loop treats the first axis of its values as a batch, a part of the
//! rows can go through the whole sequence alone: its state stays in one core's cache, and nobody
//! waits for anybody between steps. The cut follows the sizes only, never the number of threads.

use super::fuse::{self, Node};
use super::instr::{Arg, Cut, Instr, Kern};
use super::parse::Meta;
use super::schedule::{Carry, Source, Total};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::ops::Range;

/// Rows of a part, at most.
const ROWS: usize = 16;
/// Weights beyond this (in bytes) do not stay in a core's cache: better read once by all threads.
const WEIGHTS: usize = 1 << 20;

/// The loop for a number of rows.
pub(super) struct Variant {
    pub nodes: Vec<Node>,
    pub metas: Vec<Meta>,
}

/// How the loop is cut.
pub(super) struct Parts {
    pub variants: Vec<Variant>,
    /// Rows, and which variant runs them; None for all at once.
    pub ranges: Vec<(Option<Range<usize>>, usize)>,
    /// Values whose first axis is the batch.
    pub by_rows: Vec<bool>,
}

impl Parts {
    /// Whether rows of the batch go through the loop apart.
    pub fn are_apart(&self) -> bool {
        self.ranges.iter().all(|(rows, _)| rows.is_some())
    }
}

/// The loop, cut by rows where that is possible and useful.
pub(super) fn parts(
    steps: Vec<Instr>,
    metas: &[Meta],
    home: &[Option<Source>],
    keep: &HashSet<usize>,
    carries: &[Carry],
    stacked: &[usize],
    totals: &[Total],
) -> Parts {
    let weights: usize = steps
        .iter()
        .filter(|i| i.kern.is_product())
        .filter_map(|i| match i.args[1] {
            Arg::Slot(s) => Some(metas[s].shape.iter().product::<usize>() * metas[s].dtype.size()),
            _ => None,
        })
        .sum();
    let batch = carries.first().and_then(|c| metas[c.from].shape.first()).copied().unwrap_or(0);
    if batch >= ROWS && weights <= WEIGHTS {
        let mut r = Rows { metas, home, batch, by_rows: vec![None; metas.len()], sums: HashSet::new() };
        let ends = carries.iter().flat_map(|c| [c.from, c.to]).chain(stacked.iter().copied());
        let apart = ends.into_iter().all(|s| r.splits(s))
            && steps.iter().all(|i| r.instr(i).is_some())
            && totals.iter().all(|t| match t {
                Total::Step(s) => r.sums.contains(s),
                Total::Rows(left, right) => {
                    let cut = |s: usize| metas[s].shape.first() == Some(&batch);
                    left.is_none_or(cut) && r.splits(*right)
                }
                _ => true,
            })
            && !steps.iter().flat_map(Instr::reads).any(|s| r.sums.contains(&s))
            && steps.iter().all(|i| draws_fit(i, metas, batch));
        if apart {
            return cut(steps, metas, home, keep, batch, r.by_rows);
        }
    }
    let nodes = fuse::nodes(steps, metas, home, keep);
    Parts {
        variants: vec![Variant { nodes, metas: metas.to_vec() }],
        ranges: vec![(None, 0)],
        by_rows: vec![false; metas.len()],
    }
}

/// So that an even number of threads, or 4 or 8 of them, have as much to do each.
fn rows_each(batch: usize) -> usize {
    batch.div_ceil(batch.div_ceil(ROWS).next_power_of_two().max(2))
}

fn cut(
    steps: Vec<Instr>,
    metas: &[Meta],
    home: &[Option<Source>],
    keep: &HashSet<usize>,
    batch: usize,
    by_rows: Vec<Option<bool>>,
) -> Parts {
    let by_rows: Vec<bool> = by_rows.into_iter().map(|b| b == Some(true)).collect();
    let each = rows_each(batch);
    let mut parts = Parts { variants: Vec::new(), ranges: Vec::new(), by_rows };
    let mut sizes: Vec<usize> = Vec::new();
    for start in (0..batch).step_by(each) {
        let rows = each.min(batch - start);
        let known = sizes.iter().position(|&n| n == rows);
        let variant = known.unwrap_or_else(|| {
            sizes.push(rows);
            let mut fewer = metas.to_vec();
            for (meta, _) in fewer.iter_mut().zip(&parts.by_rows).filter(|(_, by_rows)| **by_rows) {
                meta.shape[0] = rows;
            }
            let nodes = fuse::nodes(steps.iter().map(|i| with_rows(i, rows)).collect(), &fewer, home, keep);
            parts.variants.push(Variant { nodes, metas: fewer });
            sizes.len() - 1
        });
        parts.ranges.push((Some(start..start + rows), variant));
    }
    parts
}

/// The instruction for another number of rows.
fn with_rows(instr: &Instr, rows: usize) -> Instr {
    let mut instr = instr.clone();
    match &mut instr.kern {
        Kern::Reshape(shape) | Kern::Expand(shape) | Kern::SumTo(shape, _) => shape[0] = rows,
        Kern::Assemble { shape, .. } => shape[0] = rows,
        _ => {}
    }
    instr
}

/// A part of dropout's mask starts where a tile of random numbers does.
fn draws_fit(instr: &Instr, metas: &[Meta], batch: usize) -> bool {
    match (&instr.kern, &instr.args[..]) {
        (Kern::Dropout { .. }, [Arg::Slot(s)]) => {
            let row: usize = metas[*s].shape[1..].iter().product();
            (rows_each(batch) * row).is_multiple_of(crate::ops::random::DROPOUT_TILE)
        }
        _ => true,
    }
}

/// Finds out which values are cut.
struct Rows<'a> {
    metas: &'a [Meta],
    home: &'a [Option<Source>],
    batch: usize,
    by_rows: Vec<Option<bool>>,
    /// Values of which each part makes a share of the sum.
    sums: HashSet<usize>,
}

impl Rows<'_> {
    /// The value is cut along its first axis. False where it cannot be.
    fn splits(&mut self, slot: usize) -> bool {
        self.metas[slot].shape.first() == Some(&self.batch) && *self.by_rows[slot].get_or_insert(true)
    }

    /// The value serves all rows.
    fn shared(&mut self, slot: usize) -> bool {
        self.home[slot] != Some(Source::Step) && !*self.by_rows[slot].get_or_insert(false)
    }

    /// Operands that broadcast against a result with the batch in front.
    fn broadcast(&mut self, instr: &Instr, rank: usize) -> bool {
        instr.reads().all(|s| {
            let shape = &self.metas[s].shape;
            if shape.len() == rank && shape[0] == self.batch { self.splits(s) } else { self.shared(s) }
        })
    }

    fn instr(&mut self, instr: &Instr) -> Option<()> {
        use Kern::*;
        let slots: SmallVec<[Option<usize>; 4]> = instr
            .args
            .iter()
            .map(|a| match a {
                Arg::Slot(s) => Some(*s),
                _ => None,
            })
            .collect();
        let shape = |i: usize| slots.get(i).copied().flatten().map(|s| &self.metas[s].shape);
        let out = instr.makes().next()?;
        let rank = self.metas[out].shape.len();
        let behind = |axis: isize, rank: usize| axis >= 1 || (axis < 0 && rank as isize + axis >= 1);
        let inner = |cuts: &[Cut]| {
            cuts.iter().all(|c| match c {
                Cut::Select(axis, _) | Cut::Slice(axis, ..) | Cut::Unsqueeze(axis) => *axis >= 1,
            })
        };
        let from = shape(0).map_or(0, |s| s.len());
        let fits = match &instr.kern {
            kern if kern.is_elementwise() => {
                let instr = instr.clone();
                return (self.broadcast(&instr, rank) && self.splits(out)).then_some(());
            }
            Linear => from >= 2,
            Matmul => {
                let right = shape(1)?.len();
                if from >= 3 && right == from {
                    let (a, b) = (slots[0]?, slots[1]?);
                    return (self.splits(a) && self.splits(b) && self.splits(out)).then_some(());
                }
                from >= 2 && right == 2
            }
            Reshape(_) | SumTo(..) if rank == 0 => false,
            SumTo(..) => rank == from,
            Expand(_) => {
                let instr = instr.clone();
                return (self.broadcast(&instr, rank) && self.splits(out)).then_some(());
            }
            Reshape(_) | Assemble { .. } => match &instr.kern {
                Assemble { parts, .. } => parts.iter().all(|cuts| inner(cuts)),
                _ => true,
            },
            Permute(axes) => axes.first() == Some(&0),
            View(cuts) => inner(cuts),
            Cat(axis) => *axis >= 1,
            Fold { axes, .. } | Norm { axes, .. } | Var { axes, .. } => axes.iter().all(|&a| behind(a, from)),
            Cumsum(axis, _)
            | CumsumReverse(axis)
            | Softmax(axis)
            | LogSoftmax(axis)
            | SoftmaxGrad(axis)
            | LogSoftmaxGrad(axis)
            | Gather(axis) => behind(*axis, from),
            Flip(axes) => axes.iter().all(|&a| behind(a, from)),
            LayerNorm { axes, .. } => from == axes + 1,
            LayerNormGrad { axes, .. } => {
                if shape(0)?.len() != axes + 1 {
                    return None;
                }
                let weight = slots.get(2).copied().flatten();
                let whole = [0, 1, 3, 4].into_iter().all(|i| slots[i].is_some_and(|s| self.splits(s)));
                self.sums.extend(instr.outs[1..].iter().flatten());
                // As many weights as rows do not make them rows.
                let sums = instr.outs[1..].iter().flatten();
                let whole = sums.fold(whole, |fine, &s| fine && !*self.by_rows[s].get_or_insert(false));
                let first = instr.outs[0].is_none_or(|s| self.splits(s));
                return (whole && first && weight.is_none_or(|s| self.shared(s))).then_some(());
            }
            IndexSelect(0) => {
                let (table, index) = (slots[0]?, slots[1]?);
                return (self.shared(table) && self.splits(index) && self.splits(out)).then_some(());
            }
            Dropout { .. } | OneHot(_) => true,
            _ => false,
        };
        // The operand in front is cut; further ones are too, except constants of products and norms.
        let split_all =
            matches!(instr.kern, Assemble { .. } | Cat(_) | SoftmaxGrad(_) | LogSoftmaxGrad(_) | Gather(_));
        let mut fine = fits;
        for (i, slot) in slots.iter().enumerate() {
            let Some(slot) = *slot else { continue };
            fine = fine && if i == 0 || split_all { self.splits(slot) } else { self.shared(slot) };
        }
        for out in instr.makes() {
            fine = fine && self.splits(out);
        }
        fine.then_some(())
    }
}
