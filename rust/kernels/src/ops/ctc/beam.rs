//! What a sequence of log probabilities says: the best path, or the best labellings by prefix beam search
//! (Graves 2012; Hannun et al. 2014), where all paths to one labelling count.

use super::{lengths, sizes};
use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::ops::softmax::float_input;
use crate::parallel::{SendPtr, for_each};
use crate::tensor::Tensor;
use std::cmp::Ordering;
use std::collections::HashMap;

/// A labelling and the logarithm of its probability.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    pub labels: Vec<i64>,
    pub score: f64,
}

/// Calls `decode(rows of one sample)` for every sample, in parallel. Rows are float64 and hold no NaN.
fn each_sample<R: Clone + Default + Send>(
    op: &'static str,
    log_probs: &Tensor,
    input_lengths: &[i64],
    blank: i64,
    decode: impl Fn(&[Vec<f64>]) -> R + Sync,
) -> Result<Vec<R>> {
    let (time, n, classes) = sizes(op, log_probs, blank)?;
    let lens = lengths(op, "input_lengths", input_lengths, n, time, "log_probs along its axis of time")?;
    let x = float_input(op, log_probs)?;
    let mut rows = Vec::with_capacity(n);
    for_float_types!(op, x.dtype(), T => {
        // SAFETY: contiguous, and copied before anything else happens.
        let all = unsafe { x.as_slice::<T>() };
        for (i, &len) in lens.iter().enumerate() {
            let row = |t: usize| -> Vec<f64> {
                let first = (t * n + i) * classes;
                all[first..first + classes].iter().map(|v| v.to_f64()).collect()
            };
            rows.push((0..len).map(row).collect::<Vec<_>>());
        }
    });
    for (i, sample) in rows.iter().enumerate() {
        if let Some(t) = sample.iter().position(|row| row.iter().any(|v| v.is_nan())) {
            return Err(Error::value(op, format!("log_probs of sample {i} has NaN at time {t}")));
        }
    }
    let mut found = vec![R::default(); n];
    let to = SendPtr(found.as_mut_ptr());
    for_each(n, |i| {
        // SAFETY: one element a task; the old value is dropped in place.
        unsafe { *to.get().add(i) = decode(&rows[i]) };
    });
    Ok(found)
}

/// The most probable label of each point in time, repeats joined and blanks dropped; the score is that
/// of this one path.
pub fn ctc_greedy_decode(log_probs: &Tensor, input_lengths: &[i64], blank: i64) -> Result<Vec<Path>> {
    let best = each_sample("ctc_greedy_decode", log_probs, input_lengths, blank, |rows| {
        let (mut labels, mut score, mut last) = (Vec::new(), 0.0, blank);
        for row in rows {
            let (label, value) = best_of(row);
            if label != last && label != blank {
                labels.push(label);
            }
            (last, score) = (label, score + value);
        }
        Some(Path { labels, score })
    })?;
    Ok(best.into_iter().flatten().collect())
}

/// The first of the largest entries.
fn best_of(row: &[f64]) -> (i64, f64) {
    let mut best = (0, row[0]);
    for (c, &v) in row.iter().enumerate() {
        if v > best.1 {
            best = (c as i64, v);
        }
    }
    best
}

/// The `top_paths` most probable labellings of each sample, the best first, among the `beam_width`
/// prefixes that each step keeps. There are fewer where no other path is possible.
pub fn ctc_beam_decode(
    log_probs: &Tensor,
    input_lengths: &[i64],
    beam_width: i64,
    blank: i64,
    top_paths: i64,
) -> Result<Vec<Vec<Path>>> {
    let op = "ctc_beam_decode";
    if beam_width < 1 {
        return Err(Error::value(op, format!("beam_width is {beam_width}, expected 1 or more")));
    }
    if top_paths < 1 || top_paths > beam_width {
        return Err(Error::value(
            op,
            format!("top_paths is {top_paths}, expected 1 to {beam_width}, the beam_width"),
        ));
    }
    each_sample(op, log_probs, input_lengths, blank, |rows| {
        let mut search = Search::new(beam_width as usize, blank as usize);
        rows.iter().for_each(|row| search.step(row));
        search.best(top_paths as usize)
    })
}

/// A prefix in the beam: how probable it is with a blank at its end, and with its last label.
#[derive(Clone, Copy)]
struct Prefix {
    /// Its place in the tree of prefixes; 0 is the empty one.
    node: usize,
    blank: f64,
    label: f64,
}

impl Prefix {
    fn score(&self) -> f64 {
        ln_add(self.blank, self.label)
    }
}

/// A prefix of the next step: one that stays, or a longer one, which has no node yet.
struct Candidate {
    prefix: Prefix,
    score: f64,
    longer: Option<usize>,
}

struct Search {
    width: usize,
    blank: usize,
    /// The parent and the last label of every prefix that ever was in the beam.
    tree: Vec<(usize, usize)>,
    /// The way down: a prefix that comes back finds the longer ones that never left.
    children: HashMap<(usize, usize), usize>,
    beam: Vec<Prefix>,
}

fn ln_add(a: f64, b: f64) -> f64 {
    let (hi, lo) = if a > b { (a, b) } else { (b, a) };
    if lo == f64::NEG_INFINITY { hi } else { hi + (lo - hi).exp().ln_1p() }
}

impl Search {
    fn new(width: usize, blank: usize) -> Search {
        let start = Prefix { node: 0, blank: 0.0, label: f64::NEG_INFINITY };
        Search { width, blank, tree: vec![(0, blank)], children: HashMap::new(), beam: vec![start] }
    }

    fn step(&mut self, row: &[f64]) {
        let places: HashMap<(usize, usize), usize> =
            self.beam.iter().enumerate().map(|(i, p)| (self.tree[p.node], i)).collect();
        let mut stay: Vec<Prefix> = self
            .beam
            .iter()
            .map(|p| {
                let repeated =
                    if p.node == 0 { f64::NEG_INFINITY } else { p.label + row[self.tree[p.node].1] };
                Prefix { node: p.node, blank: p.score() + row[self.blank], label: repeated }
            })
            .collect();
        let mut next = Vec::with_capacity(self.beam.len() * row.len());
        for p in &self.beam {
            let (last, any) = (self.tree[p.node].1, p.score());
            for (c, &v) in row.iter().enumerate().filter(|&(c, _)| c != self.blank) {
                // A label after itself needs a blank between.
                let score = v + if p.node != 0 && c == last { p.blank } else { any };
                if score == f64::NEG_INFINITY {
                    continue;
                }
                match places.get(&(p.node, c)) {
                    Some(&i) => stay[i].label = ln_add(stay[i].label, score),
                    None => {
                        let prefix = Prefix { node: p.node, blank: f64::NEG_INFINITY, label: score };
                        next.push(Candidate { prefix, score, longer: Some(c) });
                    }
                }
            }
        }
        next.extend(stay.into_iter().filter_map(|prefix| {
            let score = prefix.score();
            (score != f64::NEG_INFINITY).then_some(Candidate { prefix, score, longer: None })
        }));
        // Equal scores are told apart by the prefixes, so that the result does not depend on the sort.
        let order = |a: &Candidate, b: &Candidate| -> Ordering {
            let key = |c: &Candidate| (c.prefix.node, c.longer);
            b.score.total_cmp(&a.score).then_with(|| key(a).cmp(&key(b)))
        };
        if next.len() > self.width {
            next.select_nth_unstable_by(self.width - 1, order);
            next.truncate(self.width);
        }
        next.sort_unstable_by(order);
        self.beam = next
            .into_iter()
            .map(|c| match c.longer {
                None => c.prefix,
                Some(label) => Prefix { node: self.node(c.prefix.node, label), ..c.prefix },
            })
            .collect();
    }

    /// The node of a prefix with one more label.
    fn node(&mut self, parent: usize, label: usize) -> usize {
        let tree = &mut self.tree;
        *self.children.entry((parent, label)).or_insert_with(|| {
            tree.push((parent, label));
            tree.len() - 1
        })
    }

    fn best(&self, count: usize) -> Vec<Path> {
        let path = |p: &Prefix| {
            let (mut labels, mut node) = (Vec::new(), p.node);
            while node != 0 {
                let (parent, label) = self.tree[node];
                labels.push(label as i64);
                node = parent;
            }
            labels.reverse();
            Path { labels, score: p.score() }
        };
        self.beam.iter().take(count).map(path).collect()
    }
}
