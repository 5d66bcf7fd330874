//! Sums of parts that do not meet: what flows back through `chunk`, put side by side.

use super::Ends;
use super::instr::{Arg, Cut, Instr, Kern};
use super::parse::Meta;
use crate::ops::elementwise::Binary;

/// Joins sums of tensors that are zero but for one part (what flows back through `chunk`): parts
/// that do not meet are put side by side instead of being added.
pub(super) fn join_parts(mut instrs: Vec<Instr>, metas: &[Meta], ends: &Ends) -> Vec<Instr> {
    let mut uses = vec![0usize; metas.len()];
    instrs.iter().flat_map(Instr::reads).chain(ends.reads()).for_each(|s| uses[s] += 1);
    let mut maker: Vec<Option<usize>> = vec![None; metas.len()];
    let mut gone = vec![false; instrs.len()];
    for i in 0..instrs.len() {
        if let (Kern::Binary(Binary::Add), [Arg::Slot(a), Arg::Slot(b)]) =
            (&instrs[i].kern, &instrs[i].args[..])
            && let (Some(ia), Some(ib)) = (maker[*a], maker[*b])
            && ia != ib
            && uses[*a] == 1
            && uses[*b] == 1
            && let Some(kern) = joined(&instrs[ia].kern, &instrs[ib].kern)
        {
            let args = instrs[ia].args.iter().chain(&instrs[ib].args).cloned().collect();
            instrs[i].kern = kern;
            instrs[i].args = args;
            (gone[ia], gone[ib]) = (true, true);
        }
        instrs[i].makes().for_each(|s| maker[s] = Some(i));
    }
    instrs.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(i, _)| i).collect()
}

fn joined(a: &Kern, b: &Kern) -> Option<Kern> {
    let (Kern::Assemble { shape, parts: pa, .. }, Kern::Assemble { shape: other, parts: pb, .. }) = (a, b)
    else {
        return None;
    };
    if shape != other {
        return None;
    }
    let parts: Vec<Vec<Cut>> = pa.iter().chain(pb).cloned().collect();
    // One slice each, of one axis.
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut along = None;
    for cuts in &parts {
        let (axis, start, len) = match cuts[..] {
            [Cut::Slice(axis, start, len, 1)] => (axis, start, len),
            [Cut::Select(axis, i)] => (axis, i, 1),
            _ => return None,
        };
        if *along.get_or_insert(axis) != axis {
            return None;
        }
        ranges.push((start, start + len));
    }
    ranges.sort_unstable();
    if ranges.windows(2).any(|w| w[0].1 > w[1].0) {
        return None;
    }
    let whole: usize = ranges.iter().map(|(start, end)| end - start).sum();
    Some(Kern::Assemble { covered: whole == shape[along?], shape: shape.clone(), parts })
}
