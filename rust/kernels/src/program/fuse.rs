//! The loop's work: whole instructions, products with packed weights, and chains of elementwise
//! instructions.

use super::group::Group;
use super::instr::{Arg, Cut, Instr, Kern};
use super::micro::{Micro, micro};
use super::parse::Meta;
use super::schedule::Source;
use crate::dtype::DType;
use crate::ops::elementwise::Binary;
use std::collections::HashSet;

pub(super) enum Node {
    Whole(Instr),
    /// A product whose right side is one for all steps. Arguments: left, right, a bias, and what its
    /// result is added to, in whose place it is written.
    Product(Instr),
    /// A product of the sequence itself, made some steps ahead.
    Ahead(Instr),
    Group(Group),
}

/// Puts the instructions of the loop in order, and makes chains of what is elementwise.
pub(super) fn nodes(
    instrs: Vec<Instr>,
    metas: &[Meta],
    home: &[Option<Source>],
    keep: &HashSet<usize>,
) -> Vec<Node> {
    let instrs = with_bias(added_up(instrs, metas, home, keep), metas, home, keep);
    let n = instrs.len();
    let maker = super::schedule::made_by(&instrs);
    let mut waits: Vec<HashSet<usize>> =
        instrs.iter().map(|i| i.reads().filter_map(|s| maker.get(&s).copied()).collect()).collect();
    let mut micros: Vec<Option<Micro>> = instrs.iter().map(|i| fusable(i, metas)).collect();
    let key = |i: usize| {
        let s = instrs[i].makes().next().unwrap_or(0);
        let read = instrs[i].reads().last().map_or(DType::F32, |s| metas[s].dtype);
        (metas[s].shape.clone(), read)
    };
    let mut done = vec![false; n];
    let mut out = Vec::new();
    let finish = |i: usize, done: &mut Vec<bool>, waits: &mut Vec<HashSet<usize>>| {
        done[i] = true;
        for w in waits.iter_mut() {
            w.remove(&i);
        }
    };
    while let Some(first) = (0..n).find(|&i| !done[i] && waits[i].is_empty()) {
        // Whole instructions first, so that chains grow as long as they can.
        if let Some(i) = (0..n).find(|&i| !done[i] && waits[i].is_empty() && micros[i].is_none()) {
            finish(i, &mut done, &mut waits);
            out.push(whole(instrs[i].clone(), metas, home, keep));
            continue;
        }
        let shape = key(first);
        let mut members = Vec::new();
        while let Some(i) =
            (0..n).find(|&i| !done[i] && waits[i].is_empty() && micros[i].is_some() && key(i) == shape)
        {
            finish(i, &mut done, &mut waits);
            members.push(i);
        }
        let chain: Vec<(Micro, usize)> =
            members.iter().filter_map(|&i| Some((micros[i].take()?, instrs[i].makes().next()?))).collect();
        let inside: HashSet<usize> = members.iter().copied().collect();
        let seen: HashSet<usize> = (0..n)
            .filter(|i| !inside.contains(i))
            .flat_map(|i| instrs[i].reads())
            .chain(keep.iter().copied())
            .collect();
        out.push(Node::Group(Group::new(chain, shape.0, metas, &seen)));
    }
    in_place_parts(&mut out, &instrs, metas, keep);
    out
}

/// How often a value is read.
fn uses(instrs: &[Instr], slot: usize) -> usize {
    instrs.iter().flat_map(Instr::reads).filter(|&s| s == slot).count()
}

/// Makes additions part of products: of an addition and its two values `merged` says which product ends in
/// it, by number, and what is to stand for both.
fn into_products(
    mut instrs: Vec<Instr>,
    merged: impl Fn(&[Instr], &Instr, [usize; 2]) -> Option<(usize, Instr)>,
) -> Vec<Instr> {
    let mut gone = HashSet::new();
    for i in 0..instrs.len() {
        let sum = &instrs[i];
        let (Kern::Binary(Binary::Add), &[Arg::Slot(a), Arg::Slot(b)]) = (&sum.kern, &sum.args[..]) else {
            continue;
        };
        if let Some((product, with)) = merged(&instrs, sum, [a, b]) {
            instrs[i] = Instr { outs: sum.outs.clone(), ..with };
            gone.insert(product);
        }
    }
    instrs.into_iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, instr)| instr).collect()
}

/// Lets products be added to what they are added to afterwards, where that is another product's result
/// that nobody else wants.
fn added_up(
    instrs: Vec<Instr>,
    metas: &[Meta],
    home: &[Option<Source>],
    keep: &HashSet<usize>,
) -> Vec<Instr> {
    let maker = super::schedule::made_by(&instrs);
    into_products(instrs, |instrs, sum, [a, b]| {
        let own = |s: usize| {
            let m = *maker.get(&s)?;
            (uses(instrs, s) == 1 && !keep.contains(&s) && is_product(&instrs[m], metas, home)).then_some(m)
        };
        let (first, second) = (own(a)?, own(b)?);
        let same = metas[a].shape == metas[b].shape && metas[a].dtype == metas[b].dtype;
        if !same || sum.makes().any(|s| keep.contains(&s)) {
            return None;
        }
        // One of them is added to the other, if it is not added to something already and not made ahead.
        let free = |m: usize| instrs[m].args.len() < 4 && !of_sequence(&instrs[m], home);
        let (m, onto) = match (free(first), free(second)) {
            (true, true) if first > second => (first, b),
            (_, true) => (second, a),
            (true, false) => (first, b),
            (false, false) => return None,
        };
        let mut with = instrs[m].clone();
        with.args.resize(3, Arg::Missing);
        with.args.push(Arg::Slot(onto));
        Some((m, with))
    })
}

/// Lets products add the bias that follows them.
fn with_bias(
    instrs: Vec<Instr>,
    metas: &[Meta],
    home: &[Option<Source>],
    keep: &HashSet<usize>,
) -> Vec<Instr> {
    let maker = super::schedule::made_by(&instrs);
    into_products(instrs, |instrs, sum, [a, b]| {
        let biased = |product: usize, bias: usize| {
            let m = *maker.get(&product)?;
            let fits = uses(instrs, product) == 1
                && !keep.contains(&product)
                && home[bias] == Some(Source::Constant)
                && metas[bias].shape[..]
                    == metas[product].shape[metas[product].shape.len().saturating_sub(1)..]
                && metas[bias].dtype == metas[product].dtype
                && matches!(instrs[m].args.get(2), None | Some(Arg::Missing))
                && is_product(&instrs[m], metas, home)
                // What is added to another result lies in its place, not in one that is kept.
                && (instrs[m].args.len() < 4 || !sum.makes().any(|s| keep.contains(&s)));
            if !fits {
                return None;
            }
            let mut with = instrs[m].clone();
            with.args.resize(with.args.len().max(3), Arg::Missing);
            with.args[2] = Arg::Slot(bias);
            Some((m, with))
        };
        biased(a, b).or_else(|| biased(b, a))
    })
}

/// Lets chains write their results where they are put together.
fn in_place_parts(nodes: &mut Vec<Node>, instrs: &[Instr], metas: &[Meta], keep: &HashSet<usize>) {
    let mut j = 0;
    while j < nodes.len() {
        if let Some(moves) = parts_of(&nodes[j], &nodes[..j], instrs, metas, keep) {
            let Node::Whole(instr) = nodes.remove(j) else {
                unreachable!("parts are of a whole instruction")
            };
            let Some(whole) = instr.makes().next() else { continue };
            let first = moves.iter().map(|m| m.0).min().unwrap_or(0);
            for (group, store, cuts) in moves {
                let Node::Group(g) = &mut nodes[group] else { continue };
                g.stores[store].part_of = Some((whole, cuts));
                if group == first && !g.opens.contains(&whole) {
                    g.opens.push(whole);
                }
            }
            continue;
        }
        j += 1;
    }
}

/// Of an instruction that puts parts side by side: which chain and store makes each part.
fn parts_of(
    node: &Node,
    before: &[Node],
    instrs: &[Instr],
    metas: &[Meta],
    keep: &HashSet<usize>,
) -> Option<Vec<(usize, usize, Vec<Cut>)>> {
    let Node::Whole(instr) = node else { return None };
    let Kern::Assemble { parts, covered: true, shape } = &instr.kern else { return None };
    let last = shape.len() - 1;
    let mut moves = Vec::new();
    for (arg, cuts) in instr.args.iter().zip(parts) {
        let (Arg::Slot(s), [Cut::Slice(axis, _, _, 1)]) = (arg, &cuts[..]) else { return None };
        if *axis != last || uses(instrs, *s) != 1 || keep.contains(s) || metas[*s].shape.len() != shape.len()
        {
            return None;
        }
        let place = before.iter().enumerate().find_map(|(i, node)| match node {
            Node::Group(g) => {
                g.stores.iter().position(|st| st.slot == *s && st.part_of.is_none()).map(|k| (i, k))
            }
            _ => None,
        });
        let (group, store) = place?;
        moves.push((group, store, cuts.clone()));
    }
    Some(moves)
}

fn fusable(instr: &Instr, metas: &[Meta]) -> Option<Micro> {
    let out = &metas[instr.makes().next()?].shape;
    if out.iter().product::<usize>() == 0 {
        return None;
    }
    micro(instr, metas)
}

fn whole(instr: Instr, metas: &[Meta], home: &[Option<Source>], keep: &HashSet<usize>) -> Node {
    let ahead = of_sequence(&instr, home) && !instr.makes().any(|s| keep.contains(&s));
    match is_product(&instr, metas, home) {
        true if ahead => Node::Ahead(instr),
        true => Node::Product(instr),
        false => Node::Whole(instr),
    }
}

/// Whether its first operand is there for all steps before the loop.
fn of_sequence(instr: &Instr, home: &[Option<Source>]) -> bool {
    matches!(instr.args.first(), Some(Arg::Slot(s)) if home[*s] == Some(Source::Sequence))
}

/// Whether it is a product with a right side that is worth packing.
fn is_product(instr: &Instr, metas: &[Meta], home: &[Option<Source>]) -> bool {
    let constant =
        |a: &Arg| matches!(a, Arg::Slot(s) if home[*s] == Some(Source::Constant)) || *a == Arg::Missing;
    let (Some(Arg::Slot(a)), Some(Arg::Slot(b))) = (instr.args.first(), instr.args.get(1)) else {
        return false;
    };
    let (a, b) = (&metas[*a], &metas[*b]);
    let rows: usize = a.shape[..a.shape.len().saturating_sub(1)].iter().product();
    instr.kern.is_product()
        && instr.args.iter().skip(1).take(2).all(constant)
        && b.shape.len() == 2
        && !a.shape.is_empty()
        && rows > crate::ops::matmul::ROWS
        && !b.shape.contains(&0)
        && matches!(a.dtype, DType::F32 | DType::F64)
}

impl Kern {
    /// Whether the left operand of a product is transposed on the right (a linear layer's weight).
    pub fn transposes(&self) -> bool {
        matches!(self, Kern::Linear)
    }
}
