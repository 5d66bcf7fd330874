//! Reductions of short rows: the last lanes of sixteen rows are joined at once.

use super::engine::{Op, Sink};
use super::kinds::{FloatNumber, Max};
use crate::multiversion;
use crate::parallel::SendPtr;
use crate::simd::by_memory;
use std::ops::Range;

/// Elements of a row up to which this is faster than one row after the other. A lane takes a 16th of them
/// at most, few enough for its rounding.
pub(super) const SHORT: usize = 1024;
const ROWS: usize = 16;

/// Rows of a tensor: `len` neighbours each, `step` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub len: usize,
    pub step: usize,
}

/// What an operation with [`Op::WATCHED`] has seen of the rows, in as many places as elements are taken at once.
struct Seen<L, const W: usize> {
    lanes: [L; W],
    eight: [L; 8],
    four: [L; 4],
    one: [L; 1],
}

impl<L: Copy, const W: usize> Seen<L, W> {
    #[inline(always)]
    fn new(l: L) -> Self {
        Seen { lanes: [l; W], eight: [l; 8], four: [l; 4], one: [l] }
    }

    #[inline(always)]
    fn clean<O: Op<Lane = L>>(self, o: O) -> bool {
        let all = |lanes: &[L]| lanes.iter().fold(true, |clean, &l| clean & o.clean(l));
        all(&self.lanes) & all(&self.eight) & all(&self.four) & all(&self.one)
    }
}

#[inline(always)]
fn join<O: Op, const QUICK: bool>(o: O, a: O::Lane, b: O::Lane) -> O::Lane {
    if QUICK { o.quick_join(a, b) } else { o.join(a, b) }
}

/// Takes `N` elements into lanes.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn take<O: Op, const N: usize, const QUICK: bool>(
    o: O,
    lanes: &mut [O::Lane; N],
    seen: &mut [O::Lane; N],
    x: *const O::In,
    shift: O::Shift,
) {
    let x = &*x.cast::<[O::In; N]>();
    for j in 0..N {
        lanes[j] = if QUICK { o.quick_step(lanes[j], x[j]) } else { o.step(lanes[j], x[j], shift) };
    }
    if QUICK {
        for j in 0..N {
            seen[j] = o.watch(seen[j], x[j]);
        }
    }
}

/// One row, first in `W` lanes, in four and a fifth.
///
/// # Safety
/// `x` points to `len` elements.
#[inline(always)]
unsafe fn row<O: Op, const QUICK: bool, const W: usize>(
    o: O,
    mut x: *const O::In,
    len: usize,
    shift: O::Shift,
    seen: &mut Seen<O::Lane, W>,
) -> ([O::Lane; 4], O::Lane) {
    // Eight wide lanes fill a register already.
    let wide = if W == 16 && len < 8 * W { 0 } else { len / W };
    let rest = len - wide * W;
    let mut eight = [o.start(); 8];
    if wide > 0 {
        let mut acc = [o.start(); W];
        for _ in 0..wide {
            take::<O, W, QUICK>(o, &mut acc, &mut seen.lanes, x, shift);
            x = x.add(W);
        }
        let acc = by_memory(acc);
        for j in 0..8 {
            eight[j] = join::<O, QUICK>(o, acc[j], acc[j + 8]);
            if W == 32 {
                eight[j] = join::<O, QUICK>(o, eight[j], join::<O, QUICK>(o, acc[j + 16], acc[j + 24]));
            }
        }
    }
    for _ in 0..rest / 8 {
        take::<O, 8, QUICK>(o, &mut eight, &mut seen.eight, x, shift);
        x = x.add(8);
    }
    let eight = by_memory(eight);
    let mut four = [o.start(); 4];
    for j in 0..4 {
        four[j] = join::<O, QUICK>(o, eight[j], eight[j + 4]);
    }
    if rest & 4 > 0 {
        take::<O, 4, QUICK>(o, &mut four, &mut seen.four, x, shift);
        x = x.add(4);
    }
    let mut one = [o.start()];
    for i in 0..rest % 4 {
        take::<O, 1, QUICK>(o, &mut one, &mut seen.one, x.add(i), shift);
    }
    (four, one[0])
}

/// The totals of up to ROWS rows from `x` on. False, and no totals, where QUICK they were not clean.
///
/// # Safety
/// The rows are there, and a shift for each where the operation wants one.
#[inline(always)]
unsafe fn group<O: Op, const QUICK: bool, const W: usize>(
    o: O,
    rows: Rows,
    x: *const O::In,
    shift: *const O::Shift,
    count: usize,
) -> Option<[O::Total; ROWS]> {
    let mut fours = [[o.start(); 4]; ROWS];
    let mut ones = [o.start(); ROWS];
    let mut seen = Seen::new(o.unseen());
    for i in 0..count {
        let s = if O::SHIFTED { *shift.add(i) } else { O::Shift::default() };
        (fours[i], ones[i]) = row::<O, QUICK, W>(o, x.add(i * rows.step), rows.len, s, &mut seen);
    }
    let (fours, ones) = (by_memory(fours), by_memory(ones));
    let mut totals = [o.empty(); ROWS];
    for i in 0..ROWS {
        let f = fours[i];
        let all = join::<O, QUICK>(o, join::<O, QUICK>(o, f[0], f[2]), join::<O, QUICK>(o, f[1], f[3]));
        totals[i] = o.fold(o.empty(), join::<O, QUICK>(o, all, ones[i]));
    }
    (!QUICK || by_memory(seen).clean(o)).then_some(totals)
}

/// # Safety
/// As for [`group`].
#[inline(always)]
unsafe fn totals_of<O: Op, const W: usize>(
    o: O,
    rows: Rows,
    x: *const O::In,
    shift: *const O::Shift,
    count: usize,
) -> [O::Total; ROWS] {
    let quick = if O::WATCHED { group::<O, true, W>(o, rows, x, shift, count) } else { None };
    match quick {
        Some(totals) => totals,
        None => group::<O, false, W>(o, rows, x, shift, count).unwrap_or([o.empty(); ROWS]),
    }
}

multiversion! {
    /// Reduces the rows `k`.
    pub(super) fn short_rows<O: Op>(o: O, rows: Rows, x: SendPtr<O::In>, shift: SendPtr<O::Shift>, k: Range<usize>, sink: Sink<O>) {
        let mut first = k.start;
        while first < k.end {
            let count = ROWS.min(k.end - first);
            // SAFETY: the rows lie within the tensor; shifts are as many; the outputs are this task's.
            unsafe {
                let from = x.get().cast_const().add(first * rows.step);
                let shift = shift.get().cast_const().wrapping_add(first);
                // Two registers' worth of lanes.
                let totals = match size_of::<O::Lane>() {
                    8 => totals_of::<O, 16>(o, rows, from, shift, count),
                    _ => totals_of::<O, 32>(o, rows, from, shift, count),
                };
                for i in 0..count {
                    sink.put(o, first + i, totals[i]);
                }
            }
            first += ROWS;
        }
    }
}

/// The largest of each row of `n` neighbours, at most SHORT; NaN wins.
pub(crate) fn short_maxima<T: FloatNumber>(x: &[T], n: usize, out: &mut [T]) {
    debug_assert!(0 < n && n <= SHORT && x.len() == n * out.len());
    let rows = Rows { len: n, step: n };
    let (count, from) = (out.len(), SendPtr(x.as_ptr().cast_mut()));
    short_rows(Max::<T>::new(), rows, from, from, 0..count, Sink::of(SendPtr(out.as_mut_ptr())));
}
