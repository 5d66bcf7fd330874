//! What of a recorded step can run before the loop over the steps, and what had better not.

use super::batch::batched;
use super::instr::{Arg, Instr};
use super::parse::Meta;
use super::schedule::{Early, Source, slot};
use std::collections::{HashMap, HashSet};

/// Which instructions run before the loop and which in it.
pub(super) struct Split {
    pub home: Vec<Option<Source>>,
    pub early: Vec<Early>,
    pub early_ids: Vec<usize>,
    pub body: Vec<usize>,
}

impl Split {
    /// Those of `near` stay in the loop, as do the first `inside`.
    pub fn new(
        metas: &[Meta],
        sources: &[Option<Source>],
        instrs: &[Instr],
        reserved: &HashMap<usize, usize>,
        inside: usize,
        near: &HashSet<usize>,
    ) -> Split {
        let mut home = sources.to_vec();
        home.resize(metas.len(), None);
        let mut split = Split { home, early: Vec::new(), early_ids: Vec::new(), body: Vec::new() };
        for (i, instr) in instrs.iter().enumerate() {
            if reserved.contains_key(&i) {
                continue;
            }
            let home = &split.home;
            let is = |source| instr.reads().any(|s| home[s] == Some(source));
            let all = if is(Source::Step) || instr.kern.is_random() || i < inside || near.contains(&i) {
                None
            } else if is(Source::Sequence) {
                batched(instr, metas, &|s| home[s] == Some(Source::Sequence)).map(|b| Early::All(Box::new(b)))
            } else {
                Some(Early::Once(Box::new(instr.clone())))
            };
            let source = match &all {
                None => Source::Step,
                Some(Early::All(_)) => Source::Sequence,
                Some(Early::Once(_)) => Source::Constant,
            };
            match all {
                Some(all) => {
                    split.early.push(all);
                    split.early_ids.push(i);
                }
                None => split.body.push(i),
            }
            instr.makes().for_each(|s| split.home[s] = Some(source));
        }
        split
    }

    /// Products of the whole sequence that only the loop reads, directly or by way of what elementwise
    /// instructions and views make of them: they had better be made in it, while they are in the cache.
    pub fn near(
        &self,
        metas: &[Meta],
        instrs: &[Instr],
        users: &HashMap<usize, Vec<usize>>,
        outside: &HashSet<usize>,
    ) -> HashSet<usize> {
        let in_loop: HashSet<usize> = self.body.iter().copied().collect();
        let mut fine: HashSet<usize> = HashSet::new();
        let mut near = HashSet::new();
        for &i in self.early_ids.iter().rev() {
            let instr = &instrs[i];
            let serves = instr.makes().all(|s| {
                !outside.contains(&s)
                    && users.get(&s).is_some_and(|u| {
                        u.iter().all(|u| {
                            !instrs[*u].kern.is_product() && (in_loop.contains(u) || fine.contains(u))
                        })
                    })
            });
            if !serves {
                continue;
            }
            if instr.kern.is_view() || instr.kern.is_elementwise() {
                fine.insert(i);
            }
            let home = |k: usize| slot(&instr.args[k]).and_then(|s| self.home[s]);
            let rank = instr.makes().next().map_or(0, |s| metas[s].shape.len());
            if instr.kern.is_product()
                && rank >= 2
                && home(0) == Some(Source::Sequence)
                && (1..instr.args.len())
                    .all(|k| instr.args[k] == Arg::Missing || home(k) == Some(Source::Constant))
            {
                near.insert(i);
            }
        }
        near
    }
}
