//! One sequence of a linear-chain conditional random field, in log space.
//!
//! Rows are shifted by their largest entry and the sums of the shifts are float64: the digits do not depend
//! on the length.

use crate::multiversion;
use crate::simd::math::Real;

/// Rows of scratch of one float a tag.
pub(super) const SCRATCH: usize = 4;

/// Emissions in rows that are `step` apart, and the scores of neighbours.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a, T> {
    pub first: *mut T,
    pub step: usize,
    pub len: usize,
    pub start: &'a [T],
    pub end: &'a [T],
    /// Row `i` holds the scores of what follows tag `i`.
    pub transitions: &'a [T],
    /// Row `i` holds the scores of what tag `i` follows.
    pub turned: &'a [T],
}

impl<T: Real> Chain<'_, T> {
    /// # Safety
    /// The row exists and nobody writes to it meanwhile.
    #[inline(always)]
    unsafe fn row<'b>(&self, t: usize) -> &'b [T] {
        std::slice::from_raw_parts(self.first.add(t * self.step), self.start.len())
    }

    /// The score of these tags.
    ///
    /// # Safety
    /// The sequence has `len` rows that nobody writes to; tags are in range.
    pub(super) unsafe fn score(&self, tags: &[usize]) -> f64 {
        let k = self.start.len();
        let mut sum = self.start[tags[0]].to_f64() + self.end[tags[tags.len() - 1]].to_f64();
        for (t, &tag) in tags.iter().enumerate() {
            sum += self.row(t)[tag].to_f64();
            if t > 0 {
                sum += self.transitions[tags[t - 1] * k + tag].to_f64();
            }
        }
        sum
    }
}

/// Where the gradients of one sequence's scores are summed.
pub(super) struct Sums<'a, T> {
    start: &'a mut [T],
    end: &'a mut [T],
    transitions: &'a mut [T],
}

impl<'a, T> Sums<'a, T> {
    /// `all`: a row for the start, one for the end, `k` for the transitions.
    pub(super) fn new(all: &'a mut [T], k: usize) -> Sums<'a, T> {
        let (start, rest) = all.split_at_mut(k);
        let (end, transitions) = rest.split_at_mut(k);
        Sums { start, end, transitions }
    }
}

/// The largest entry, or zero where there is none above `-inf`.
#[inline(always)]
fn shift_of<T: Real>(row: &[T]) -> T {
    let mut top = -T::INF;
    for &v in row {
        top = if v > top { v } else { top };
    }
    if top == -T::INF { T::ZERO } else { top }
}

/// `into[j] = ln sum_i exp(from[i] + matrix[i][j])`. NaN stays.
#[inline(always)]
fn product<T: Real>(from: &[T], matrix: &[T], into: &mut [T], top: &mut [T]) {
    let k = into.len();
    let top = &mut top[..k];
    top.fill(-T::INF);
    for (row, &v) in matrix.chunks_exact(k).zip(from) {
        for j in 0..k {
            let sum = v + row[j];
            top[j] = if sum > top[j] { sum } else { top[j] };
        }
    }
    for v in top.iter_mut() {
        *v = if *v == -T::INF { T::ZERO } else { *v };
    }
    into.fill(T::ZERO);
    for (row, &v) in matrix.chunks_exact(k).zip(from) {
        for j in 0..k {
            into[j] = into[j] + ((v + row[j]) - top[j]).vexp();
        }
    }
    for j in 0..k {
        into[j] = into[j].vln() + top[j];
    }
}

/// `ln sum_j exp(a[j] + b[j])`
#[inline(always)]
fn total<T: Real>(a: &[T], b: &[T]) -> T {
    let mut top = -T::INF;
    for (&a, &b) in a.iter().zip(b) {
        let sum = a + b;
        top = if sum > top { sum } else { top };
    }
    let top = if top == -T::INF { T::ZERO } else { top };
    let sum = a.iter().zip(b).fold(T::ZERO, |sum, (&a, &b)| sum + ((a + b) - top).vexp());
    sum.vln() + top
}

multiversion! {
    /// Fills `alpha`, rows of a float a tag, and `shifts`; returns the logarithm of the sum over all tags.
    pub(super) fn forward<T: Real>(chain: Chain<'_, T>, alpha: &mut [T], shifts: &mut [f64], scratch: &mut [T]) -> f64 {
        let k = chain.start.len();
        let (from, top) = scratch.split_at_mut(k);
        let mut base = 0.0;
        for (t, shift) in shifts[..chain.len].iter_mut().enumerate() {
            // SAFETY: the sequence has `len` rows.
            let emitted = unsafe { chain.row(t) };
            let (before, now) = alpha.split_at_mut(t * k);
            let now = &mut now[..k];
            if t == 0 {
                for j in 0..k {
                    now[j] = chain.start[j] + emitted[j];
                }
            } else {
                let before = &before[(t - 1) * k..];
                let down = shift_of(before);
                base += down.to_f64();
                for j in 0..k {
                    from[j] = before[j] - down;
                }
                product(from, chain.transitions, now, top);
                for j in 0..k {
                    now[j] = now[j] + emitted[j];
                }
            }
            *shift = base;
        }
        base + total(&alpha[(chain.len - 1) * k..chain.len * k], chain.end).to_f64()
    }
}

multiversion! {
    /// The gradient's rows, of which there are `time`, and the sums of this sequence.
    pub(super) fn backward<T: Real>(chain: Chain<'_, T>, grads: *mut T, time: usize, tags: &[usize], alpha: &[T], shifts: &[f64], sums: Sums<'_, T>, scratch: &mut [T], factor: T) {
        let k = chain.start.len();
        // SAFETY: rows of the output that belong to this sequence.
        let grad_row = |t: usize| unsafe { std::slice::from_raw_parts_mut(grads.add(t * chain.step), k) };
        for t in chain.len..time {
            grad_row(t).fill(T::ZERO);
        }
        let (beta, rest) = scratch.split_at_mut(k);
        let (ahead, rest) = rest.split_at_mut(k);
        let (next, top) = rest.split_at_mut(k);
        let Sums { start, end, transitions } = sums;
        transitions.fill(T::ZERO);
        beta.copy_from_slice(chain.end);
        let last = &alpha[(chain.len - 1) * k..chain.len * k];
        let all = shifts[chain.len - 1] + total(last, chain.end).to_f64();
        let mut base = 0.0;
        for t in (0..chain.len).rev() {
            let (reach, grad) = (&alpha[t * k..(t + 1) * k], grad_row(t));
            let share = T::of(shifts[t] + base - all);
            for j in 0..k {
                grad[j] = -(factor * (reach[j] + beta[j] + share).vexp());
            }
            grad[tags[t]] = grad[tags[t]] + factor;
            if t + 1 == chain.len {
                end.copy_from_slice(grad);
            }
            if t == 0 {
                start.copy_from_slice(grad);
                break;
            }
            let down = shift_of(beta);
            base += down.to_f64();
            // SAFETY: the sequence has `len` rows.
            let emitted = unsafe { chain.row(t) };
            for j in 0..k {
                ahead[j] = emitted[j] + (beta[j] - down);
            }
            let share = T::of(shifts[t - 1] + base - all);
            let before = &alpha[(t - 1) * k..t * k];
            for ((sum, scores), &v) in transitions.chunks_exact_mut(k).zip(chain.transitions.chunks_exact(k)).zip(before) {
                let v = v + share;
                for j in 0..k {
                    sum[j] = sum[j] - factor * ((v + scores[j]) + ahead[j]).vexp();
                }
            }
            let seen = &mut transitions[tags[t - 1] * k + tags[t]];
            *seen = *seen + factor;
            product(ahead, chain.turned, next, top);
            beta.copy_from_slice(next);
        }
    }
}

/// The tags of highest score and their score; of equal ones those that stand first.
///
/// # Safety
/// The sequence has `len` rows that nobody writes to.
pub(super) unsafe fn viterbi<T: Real>(chain: Chain<'_, T>) -> (Vec<i64>, f64) {
    let k = chain.start.len();
    let mut score: Vec<f64> =
        chain.start.iter().zip(chain.row(0)).map(|(s, e)| s.to_f64() + e.to_f64()).collect();
    let (mut next, mut came) = (vec![0.0; k], vec![0u32; chain.len * k]);
    for t in 1..chain.len {
        let came = &mut came[t * k..(t + 1) * k];
        next.fill(f64::NEG_INFINITY);
        for (i, row) in chain.transitions.chunks_exact(k).enumerate() {
            for j in 0..k {
                let sum = score[i] + row[j].to_f64();
                if sum > next[j] {
                    (next[j], came[j]) = (sum, i as u32);
                }
            }
        }
        for (v, e) in next.iter_mut().zip(chain.row(t)) {
            *v += e.to_f64();
        }
        std::mem::swap(&mut score, &mut next);
    }
    let mut best = (0, f64::NEG_INFINITY);
    for (j, (v, e)) in score.iter().zip(chain.end).enumerate() {
        let sum = v + e.to_f64();
        if sum > best.1 {
            best = (j, sum);
        }
    }
    let mut tags = vec![best.0 as i64; chain.len];
    for t in (1..chain.len).rev() {
        tags[t - 1] = came[t * k + tags[t] as usize] as i64;
    }
    (tags, best.1)
}
