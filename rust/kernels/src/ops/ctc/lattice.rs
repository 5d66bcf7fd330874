//! The forward and backward variables of one sample, in log space.
//!
//! A row of states is two halves of `pitch` floats. Blanks: `B[i]` is the blank before label `i`, the last
//! one that after all labels. Labels: `L[i + 1]` is label `i`; `L[0]` and what follows the last label are
//! states that nothing reaches (`-inf`), so that loops need no ends. Split so, only label states look their
//! class up, and only they have three ways in. Rows are shifted by their largest entry, and the sums of the
//! shifts are float64: the digits do not depend on the length.

use crate::multiversion;
use crate::simd::math::Real;

/// Rows of scratch of `pitch` floats.
pub(super) const SCRATCH: usize = 6;

/// Rows of one sample that are `step` apart, one for each point in time.
#[derive(Clone, Copy)]
pub(super) struct Rows<T> {
    pub first: *mut T,
    pub step: usize,
}

impl<T> Rows<T> {
    /// # Safety
    /// The row exists, has `classes` elements, and nobody writes to it meanwhile.
    #[inline(always)]
    unsafe fn at<'a>(self, t: usize, classes: usize) -> &'a [T] {
        std::slice::from_raw_parts(self.first.add(t * self.step), classes)
    }
    /// # Safety
    /// As for [`Rows::at`], and nobody reads it meanwhile.
    #[inline(always)]
    unsafe fn at_mut<'a>(self, t: usize, classes: usize) -> &'a mut [T] {
        std::slice::from_raw_parts_mut(self.first.add(t * self.step), classes)
    }
}

/// One sample: its log probabilities and labels, all in range.
#[derive(Clone, Copy)]
pub(super) struct Lattice<'a, T> {
    pub rows: Rows<T>,
    pub len: usize,
    pub classes: usize,
    pub blank: usize,
    pub labels: &'a [usize],
    pub pitch: usize,
}

/// What a difference to the largest of several logarithms is taken from; never `-inf - -inf`.
#[inline(always)]
fn finite<T: Real>(top: T) -> T {
    if top == -T::INF { T::ZERO } else { top }
}

/// `ln(e^a + e^b)`; NaN stays.
#[inline(always)]
pub(super) fn add2<T: Real>(a: T, b: T) -> T {
    let (hi, lo) = if a > b { (a, b) } else { (b, a) };
    hi + (T::ONE + (lo - finite(hi)).vexp()).vln()
}

/// `ln(e^a + e^b + e^c)`; NaN stays.
#[inline(always)]
pub(super) fn add3<T: Real>(a: T, b: T, c: T) -> T {
    let (hi, lo) = if a > b { (a, b) } else { (b, a) };
    let (top, mid) = if hi > c { (hi, c) } else { (c, hi) };
    let from = finite(top);
    top + (T::ONE + ((lo - from).vexp() + (mid - from).vexp())).vln()
}

/// The largest entry, or zero where there is none above `-inf`.
#[inline(always)]
fn shift_of<T: Real>(blanks: &[T], labels: &[T]) -> T {
    let mut lanes = [-T::INF; 16];
    for row in [blanks, labels] {
        for part in row.as_chunks::<16>().0 {
            for j in 0..16 {
                lanes[j] = if part[j] > lanes[j] { part[j] } else { lanes[j] };
            }
        }
    }
    let mut top = -T::INF;
    for v in lanes {
        top = if v > top { v } else { top };
    }
    finite(top)
}

/// Zero where label `i` may follow label `i - 1` without a blank, in `skip[i + 1]`.
#[inline(always)]
fn skips<T: Real>(labels: &[usize], skip: &mut [T]) {
    skip.fill(-T::INF);
    for i in 1..labels.len() {
        if labels[i] != labels[i - 1] {
            skip[i + 1] = T::ZERO;
        }
    }
}

/// The log probability of each label state.
#[inline(always)]
fn emissions<T: Real>(row: &[T], labels: &[usize], into: &mut [T]) {
    for (to, &label) in into[1..].iter_mut().zip(labels) {
        *to = row[label];
    }
}

multiversion! {
    /// Fills `alpha`, `len` rows of states, and `shifts`, and returns the loss.
    pub(super) fn forward<T: Real>(at: Lattice<'_, T>, alpha: *mut T, shifts: &mut [f64], scratch: &mut [T]) -> f64 {
        let (w, count) = (at.pitch, at.labels.len());
        let (skip, rest) = scratch.split_at_mut(w);
        let emit = &mut rest[..w];
        skips(at.labels, skip);
        emit.fill(-T::INF);
        if at.len == 0 {
            return if count == 0 { 0.0 } else { f64::INFINITY };
        }
        let mut base = 0.0;
        for (t, shift) in shifts[..at.len].iter_mut().enumerate() {
            // SAFETY: rows `t` and `t - 1` of the sample exist, and the latter was written.
            let (row, now, before) = unsafe {
                let now = std::slice::from_raw_parts_mut(alpha.add(t * 2 * w), 2 * w);
                let before = std::slice::from_raw_parts(alpha.add(t.saturating_sub(1) * 2 * w), if t == 0 { 0 } else { 2 * w });
                (at.rows.at(t, at.classes), now, before)
            };
            emissions(row, at.labels, emit);
            let (blanks, labels) = now.split_at_mut(w);
            if t == 0 {
                blanks.fill(-T::INF);
                labels.fill(-T::INF);
                blanks[0] = row[at.blank];
                labels[1] = emit[1];
                *shift = 0.0;
                continue;
            }
            let (old_blanks, old_labels) = before.split_at(w);
            let down = shift_of(old_blanks, old_labels);
            base += down.to_f64();
            *shift = base;
            let blank = row[at.blank] - down;
            for i in 0..w {
                blanks[i] = blank + add2(old_blanks[i], old_labels[i]);
            }
            labels[0] = -T::INF;
            let (into, own, before) = (&mut labels[1..w], &old_labels[1..w], &old_labels[..w - 1]);
            let (through, skip, emit) = (&old_blanks[..w - 1], &skip[1..w], &emit[1..w]);
            for i in 0..w - 1 {
                into[i] = (emit[i] - down) + add3(own[i], through[i], before[i] + skip[i]);
            }
        }
        // SAFETY: the last row was written.
        let last = unsafe { std::slice::from_raw_parts(alpha.add((at.len - 1) * 2 * w), 2 * w) };
        // With no labels `L[0]` adds nothing.
        -(add2(last[count], last[w + count]).to_f64() + base)
    }
}

multiversion! {
    /// The gradient's rows, of which there are `time`, from what [`forward`] left.
    pub(super) fn backward<T: Real>(at: Lattice<'_, T>, grads: Rows<T>, time: usize, alpha: *const T, shifts: &[f64], scratch: &mut [T], factor: T, zero_infinity: bool) {
        let (w, c, count) = (at.pitch, at.classes, at.labels.len());
        for t in at.len..time {
            // SAFETY: a row of the output.
            unsafe { grads.at_mut(t, c) }.fill(T::ZERO);
        }
        if at.len == 0 {
            return;
        }
        let (skip, rest) = scratch.split_at_mut(w);
        let (emit, rest) = rest.split_at_mut(w);
        let (blanks, rest) = rest.split_at_mut(w);
        let (labels, rest) = rest.split_at_mut(w);
        let (next_blanks, rest) = rest.split_at_mut(w);
        let next_labels = &mut rest[..w];
        skips(at.labels, skip);
        emit.fill(-T::INF);
        blanks.fill(-T::INF);
        labels.fill(-T::INF);
        blanks[count] = T::ZERO;
        if count > 0 {
            labels[count] = T::ZERO;
        }
        // SAFETY: `forward` wrote `len` rows.
        let state = |t: usize| unsafe { std::slice::from_raw_parts(alpha.add(t * 2 * w), 2 * w) };
        let last = state(at.len - 1);
        let total = add2(last[count], last[w + count]).to_f64() + shifts[at.len - 1];
        if total == f64::NEG_INFINITY {
            let all = if zero_infinity { T::ZERO } else { T::NAN };
            for t in 0..at.len {
                // SAFETY: a row of the output.
                unsafe { grads.at_mut(t, c) }.fill(all);
            }
            return;
        }
        let mut base = 0.0;
        for t in (0..at.len).rev() {
            // SAFETY: row `t` of input and output.
            let (row, grad) = unsafe { (at.rows.at(t, c), grads.at_mut(t, c)) };
            emissions(row, at.labels, emit);
            for j in 0..c {
                grad[j] = factor * row[j].vexp();
            }
            let (reach_blanks, reach_labels) = state(t).split_at(w);
            let share = T::of(shifts[t] + base - total);
            // Posteriors take the place of what comes next, which is not needed any more. They are divided
            // by their own sum, which is 1 but for what the recursions have rounded.
            let mut lanes = [T::ZERO; 16];
            for (behind, ahead, into) in [
                (reach_blanks, &*blanks, &mut *next_blanks),
                (reach_labels, &*labels, &mut *next_labels),
            ] {
                let parts = behind.as_chunks::<16>().0.iter().zip(ahead.as_chunks::<16>().0);
                for ((a, b), p) in parts.zip(into.as_chunks_mut::<16>().0) {
                    for j in 0..16 {
                        p[j] = (a[j] + b[j] + share).vexp();
                        lanes[j] = lanes[j] + p[j];
                    }
                }
            }
            let scale = factor / lanes.iter().fold(T::ZERO, |sum, &v| sum + v);
            let sum = next_blanks[..count + 1].iter().fold(T::ZERO, |sum, &v| sum + v);
            grad[at.blank] = grad[at.blank] - sum * scale;
            for (&label, &v) in at.labels.iter().zip(&next_labels[1..]) {
                grad[label] = grad[label] - v * scale;
            }
            if t == 0 {
                break;
            }
            let down = shift_of(blanks, labels);
            base += down.to_f64();
            let blank = row[at.blank] - down;
            for i in 0..w {
                next_blanks[i] = blanks[i] + blank;
                next_labels[i] = (labels[i] - down) + emit[i];
            }
            // The last entry is a state that nothing reaches.
            let (b, l, skip) = (&*next_blanks, &*next_labels, &skip[1..w]);
            let (ahead, here) = (&l[1..w], &l[..w - 1]);
            let (into_blanks, into_labels) = (&mut blanks[..w - 1], &mut labels[..w - 1]);
            for i in 0..w - 1 {
                into_blanks[i] = add2(b[i], ahead[i]);
                into_labels[i] = add3(here[i], b[i], ahead[i] + skip[i]);
            }
        }
    }
}
