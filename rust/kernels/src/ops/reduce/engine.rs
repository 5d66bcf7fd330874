//! The one engine behind all reductions to a value.
//!
//! Work is cut by shape: blocks of outputs, and, where outputs are few, ranges of what each reduces.
//! Lanes accumulate short blocks in the element type; blocks fold into a wider total.

use super::plan::{Axis, Odometer, Plan};
use super::short::{Rows, SHORT, short_rows};
use crate::dtype::Element;
use crate::error::Result;
use crate::memory;
use crate::multiversion;
use crate::parallel::{GRAIN, SendPtr, for_each, for_ranges};
use crate::simd::by_memory;
use crate::tensor::Tensor;
use std::ops::Range;

/// A reduction: `step` takes elements into a lane, `fold` takes lanes into a total.
pub(crate) trait Op: Copy + Send + Sync {
    type In: Element;
    /// A value per output that every step sees (a mean, a maximum).
    type Shift: Element;
    type Lane: Copy + Send + Sync;
    type Total: Copy + Send + Sync;
    type Out: Element;
    const SHIFTED: bool = false;
    fn start(self) -> Self::Lane;
    fn step(self, lane: Self::Lane, x: Self::In, shift: Self::Shift) -> Self::Lane;
    fn join(self, a: Self::Lane, b: Self::Lane) -> Self::Lane;
    fn empty(self) -> Self::Total;
    fn fold(self, total: Self::Total, lane: Self::Lane) -> Self::Total;
    fn merge(self, a: Self::Total, b: Self::Total) -> Self::Total;
    fn finish(self, total: Self::Total) -> Self::Out;
    /// Whether there are a quicker step and join for elements that `watch` finds nothing in.
    const WATCHED: bool = false;
    #[inline(always)]
    fn quick_step(self, lane: Self::Lane, _x: Self::In) -> Self::Lane {
        lane
    }
    #[inline(always)]
    fn quick_join(self, a: Self::Lane, _b: Self::Lane) -> Self::Lane {
        a
    }
    /// What `watch` begins with.
    #[inline(always)]
    fn unseen(self) -> Self::Lane {
        self.start()
    }
    #[inline(always)]
    fn watch(self, seen: Self::Lane, _x: Self::In) -> Self::Lane {
        seen
    }
    /// Whether nothing was found.
    #[inline(always)]
    fn clean(self, _seen: Self::Lane) -> bool {
        false
    }
    /// A block's total by a faster way, where the block allows it.
    #[inline(always)]
    fn quick(self, _block: &[Self::In]) -> Option<Self::Total> {
        None
    }
}

/// Accumulators side by side in registers.
const LANES: usize = 64;
/// Steps a lane takes before it folds into the total: bounds the rounding error.
const STEPS: usize = 64;
/// Outputs accumulated side by side when whole rows are reduced.
const WIDTH: usize = 512;
/// Outputs side by side, one a lane, where each has few elements.
const SIDE: usize = 16;
/// Elements up to which that is faster than one output after the other.
const FEW: usize = 32;
/// Ranges that one reduction is cut into at most.
const MAX_CUTS: usize = 64;

/// Where totals go: finished into the output, or kept until the ranges of one output are merged.
pub(super) struct Sink<O: Op> {
    out: SendPtr<O::Out>,
    totals: Option<SendPtr<O::Total>>,
}

impl<O: Op> Clone for Sink<O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Op> Copy for Sink<O> {}

impl<O: Op> Sink<O> {
    /// The finished output.
    pub(super) fn of(out: SendPtr<O::Out>) -> Sink<O> {
        Sink { out, totals: None }
    }

    /// # Safety
    /// `i` is an output that this task alone writes.
    #[inline(always)]
    pub(super) unsafe fn put(&self, o: O, i: usize, total: O::Total) {
        match self.totals {
            Some(totals) => totals.get().add(i).write(total),
            None => self.out.get().add(i).write(o.finish(total)),
        }
    }
}

/// One contiguous run.
#[inline(always)]
fn run<O: Op>(o: O, x: &[O::In], shift: O::Shift) -> O::Total {
    let mut total = o.empty();
    for block in x.chunks(LANES * STEPS) {
        if let Some(quick) = o.quick(block) {
            total = o.merge(total, quick);
            continue;
        }
        let (chunks, rest) = block.as_chunks::<LANES>();
        let (small, last) = rest.as_chunks::<8>();
        let mut eight = [o.start(); 8];
        for c in small {
            for j in 0..8 {
                eight[j] = o.step(eight[j], c[j], shift);
            }
        }
        let mut one = o.start();
        for &v in last {
            one = o.step(one, v, shift);
        }
        if !chunks.is_empty() {
            let mut acc = [o.start(); LANES];
            for c in chunks {
                for j in 0..LANES {
                    acc[j] = o.step(acc[j], c[j], shift);
                }
            }
            let acc = by_memory(acc);
            for j in 0..8 {
                let mut all = eight[j];
                for k in 0..LANES / 32 {
                    let at = 32 * k + j;
                    let (a, b) = (o.join(acc[at], acc[at + 8]), o.join(acc[at + 16], acc[at + 24]));
                    all = o.join(all, o.join(a, b));
                }
                eight[j] = all;
            }
        }
        let mut four = [o.start(); 4];
        for j in 0..4 {
            four[j] = o.join(eight[j], eight[j + 4]);
        }
        one = o.join(o.join(o.join(four[0], four[2]), o.join(four[1], four[3])), one);
        total = o.fold(total, one);
    }
    total
}

/// One run with any step between elements.
///
/// # Safety
/// The run lies within the tensor.
#[inline(always)]
unsafe fn strided_run<O: Op>(o: O, x: *const O::In, n: usize, stride: isize, shift: O::Shift) -> O::Total {
    if stride == 1 {
        return run(o, std::slice::from_raw_parts(x, n), shift);
    }
    let mut total = o.empty();
    let mut i = 0;
    while i < n {
        let stop = n.min(i + 4 * STEPS);
        let mut acc = [o.start(); 4];
        while i + 4 <= stop {
            for j in 0..4 {
                acc[j] = o.step(acc[j], *x.offset((i + j) as isize * stride), shift);
            }
            i += 4;
        }
        let mut one = o.start();
        while i < stop {
            one = o.step(one, *x.offset(i as isize * stride), shift);
            i += 1;
        }
        total = o.fold(total, o.join(o.join(o.join(acc[0], acc[1]), o.join(acc[2], acc[3])), one));
    }
    total
}

multiversion! {
    /// Reduces elements `r` of each of the outputs `k`, one output after the other.
    fn by_outputs<O: Op>(o: O, plan: &Plan, x: SendPtr<O::In>, shift: SendPtr<O::Shift>, k: Range<usize>, r: Range<usize>, sink: Sink<O>) {
        let last = plan.reduced.len() - 1;
        let (n, stride) = plan.reduced[last];
        let mut k = k;
        if last == 0 && r.len() <= FEW && plan.kept.len() == 1 {
            let across = plan.kept[0].1;
            while k.start + SIDE <= k.end {
                // SAFETY: as below.
                unsafe {
                    let base = x.get().wrapping_offset(k.start as isize * across + (r.start as isize).wrapping_mul(stride));
                    let mut s = [O::Shift::default(); SIDE];
                    if O::SHIFTED {
                        s.copy_from_slice(std::slice::from_raw_parts(shift.get().add(k.start), SIDE));
                    }
                    let mut acc = [o.start(); SIDE];
                    for e in 0..r.len() as isize {
                        for j in 0..SIDE {
                            acc[j] = o.step(acc[j], *base.offset(e * stride + j as isize * across), s[j]);
                        }
                    }
                    for j in 0..SIDE {
                        sink.put(o, k.start + j, o.fold(o.empty(), acc[j]));
                    }
                }
                k.start += SIDE;
            }
        }
        let mut at = Odometer::at(&plan.kept, k.start);
        for i in k {
            // SAFETY: outputs and elements are in range of the plan, which is in range of the tensor.
            unsafe {
                let base = x.get().offset(at.offset);
                let s = if O::SHIFTED { *shift.get().add(i) } else { O::Shift::default() };
                let total = if last == 0 {
                    strided_run(o, base.wrapping_offset((r.start as isize).wrapping_mul(stride)), r.len(), stride, s)
                } else {
                    let mut total = o.empty();
                    let mut outer = Odometer::at(&plan.reduced[..last], r.start / n.max(1));
                    let (mut done, mut inside) = (r.start, r.start % n.max(1));
                    while done < r.end {
                        let len = (n - inside).min(r.end - done);
                        let p = base.offset(outer.offset + inside as isize * stride);
                        total = o.merge(total, strided_run(o, p, len, stride, s));
                        outer.step();
                        done += len;
                        inside = 0;
                    }
                    total
                };
                sink.put(o, i, total);
            }
            at.step();
        }
    }
}

/// Takes `rows` rows, each `row_step` apart, into lanes side by side.
///
/// # Safety
/// The rows lie within the tensor.
#[inline(always)]
unsafe fn add_rows<O: Op>(
    o: O,
    lanes: &mut [O::Lane],
    x: *const O::In,
    rows: usize,
    row_step: isize,
    col_step: isize,
    shift: &[O::Shift],
) {
    let w = lanes.len();
    let row = |i: usize| x.wrapping_offset((i as isize).wrapping_mul(row_step));
    if col_step != 1 {
        for i in 0..rows {
            let p = row(i);
            for j in 0..w {
                let s = if O::SHIFTED { shift[j] } else { O::Shift::default() };
                lanes[j] = o.step(lanes[j], *p.offset(j as isize * col_step), s);
            }
        }
        return;
    }
    let mut i = 0;
    // Four rows a turn, so that lanes are loaded and stored a quarter as often.
    while i + 4 <= rows {
        let (a, b) = (std::slice::from_raw_parts(row(i), w), std::slice::from_raw_parts(row(i + 1), w));
        let (c, d) = (std::slice::from_raw_parts(row(i + 2), w), std::slice::from_raw_parts(row(i + 3), w));
        if O::SHIFTED {
            let shift = &shift[..w];
            for j in 0..w {
                let s = shift[j];
                lanes[j] = o.step(o.step(o.step(o.step(lanes[j], a[j], s), b[j], s), c[j], s), d[j], s);
            }
        } else {
            let s = O::Shift::default();
            for j in 0..w {
                lanes[j] = o.step(o.step(o.step(o.step(lanes[j], a[j], s), b[j], s), c[j], s), d[j], s);
            }
        }
        i += 4;
    }
    while i < rows {
        let a = std::slice::from_raw_parts(row(i), w);
        for j in 0..w {
            let s = if O::SHIFTED { shift[j] } else { O::Shift::default() };
            lanes[j] = o.step(lanes[j], a[j], s);
        }
        i += 1;
    }
}

/// Columns of the last kept axis in blocks of [`WIDTH`].
fn blocks(inner: Axis) -> usize {
    inner.0.div_ceil(WIDTH)
}

multiversion! {
    /// Reduces elements `r` of blocks of outputs that lie side by side.
    fn by_rows<O: Op>(o: O, plan: &Plan, x: SendPtr<O::In>, shift: SendPtr<O::Shift>, units: Range<usize>, r: Range<usize>, sink: Sink<O>) {
        let (outer_axes, inner) = (&plan.kept[..plan.kept.len() - 1], plan.kept[plan.kept.len() - 1]);
        let last = plan.reduced.len() - 1;
        let (n, row_step) = plan.reduced[last];
        let per_row = blocks(inner);
        let mut lanes = [o.start(); WIDTH];
        let mut totals = [o.empty(); WIDTH];
        for unit in units {
            let (index, column) = (unit / per_row, unit % per_row * WIDTH);
            let w = WIDTH.min(inner.0 - column);
            let (lanes, totals) = (&mut lanes[..w], &mut totals[..w]);
            lanes.fill(o.start());
            totals.fill(o.empty());
            let first = index * inner.0 + column;
            let base = Odometer::at(outer_axes, index).offset + column as isize * inner.1;
            let mut outer = Odometer::at(&plan.reduced[..last], r.start / n.max(1));
            let (mut done, mut inside, mut pending) = (r.start, r.start % n.max(1), 0);
            // SAFETY: as in `by_outputs`; shifts are as many as outputs.
            unsafe {
                let shift = if O::SHIFTED { std::slice::from_raw_parts(shift.get().add(first), w) } else { &[][..] };
                while done < r.end {
                    let rows = (n - inside).min(r.end - done).min(STEPS - pending);
                    let p = x.get().wrapping_offset(base.wrapping_add(outer.offset).wrapping_add((inside as isize).wrapping_mul(row_step)));
                    add_rows(o, lanes, p, rows, row_step, inner.1, shift);
                    done += rows;
                    inside += rows;
                    pending += rows;
                    if inside == n {
                        outer.step();
                        inside = 0;
                    }
                    if pending == STEPS || done == r.end {
                        for j in 0..w {
                            totals[j] = o.fold(totals[j], lanes[j]);
                            lanes[j] = o.start();
                        }
                        pending = 0;
                    }
                }
                for j in 0..w {
                    sink.put(o, first + j, totals[j]);
                }
            }
        }
    }
}

/// The rows that `short_rows` reduces, where the plan is of such.
fn rows_of(plan: &Plan) -> Option<Rows> {
    match (&plan.kept[..], &plan.reduced[..]) {
        (&[(_, step)], &[(len, 1)]) if 0 < len && len <= SHORT => {
            Some(Rows { len, step: usize::try_from(step).ok()? })
        }
        _ => None,
    }
}

/// Reduces `x` as planned. `shift` holds one value an output, where the operation wants it.
pub(crate) fn reduce<O: Op>(
    op: &'static str,
    o: O,
    x: &Tensor,
    plan: &Plan,
    shift: Option<&Tensor>,
) -> Result<Tensor> {
    let out = Tensor::empty(op, &plan.shape, O::Out::DTYPE)?;
    if plan.outputs == 0 {
        return Ok(out);
    }
    // Units of work: an output, or a block of outputs side by side.
    let (units, cost) = if plan.by_rows {
        let inner = plan.kept[plan.kept.len() - 1];
        (plan.outputs / inner.0 * blocks(inner), inner.0.min(WIDTH) * plan.count)
    } else {
        (plan.outputs, plan.count)
    };
    let group = (GRAIN / cost.max(1)).clamp(1, units);
    let groups = units.div_ceil(group);
    let cuts =
        if groups >= 16 { 1 } else { (cost / GRAIN).clamp(1, MAX_CUTS / groups).min(plan.count.max(1)) };
    let span = plan.count.div_ceil(cuts);
    let cuts = if span == 0 { 1 } else { plan.count.div_ceil(span) };
    let block = match cuts {
        1 => None,
        _ => Some(memory::allocate(op, cuts * plan.outputs * size_of::<O::Total>())?),
    };
    let partial = block.as_ref().map(|b| SendPtr(b.as_ptr().cast::<O::Total>()));
    let to = SendPtr(out.ptr::<O::Out>());
    let from = SendPtr(x.ptr::<O::In>());
    let shift = SendPtr(shift.map_or(std::ptr::null_mut(), |s| s.ptr::<O::Shift>()));
    // Rows this short are never cut.
    let rows = rows_of(plan).filter(|_| cuts == 1);
    for_each(groups * cuts, |task| {
        let (cut, g) = (task / groups, task % groups);
        let k = g * group..((g + 1) * group).min(units);
        let r = cut * span..((cut + 1) * span).min(plan.count);
        // SAFETY: the workspace holds `cuts` times all outputs.
        let totals = partial.map(|p| SendPtr(unsafe { p.get().add(cut * plan.outputs) }));
        let sink = Sink { out: to, totals };
        if let Some(rows) = rows {
            short_rows(o, rows, from, shift, k, sink);
        } else if plan.by_rows {
            by_rows(o, plan, from, shift, k, r, sink);
        } else {
            by_outputs(o, plan, from, shift, k, r, sink);
        }
    });
    if let Some(partial) = partial {
        for_ranges(plan.outputs, GRAIN / cuts, |range| {
            for i in range {
                // SAFETY: every task has written its totals; each output is written once.
                unsafe {
                    let mut total = o.empty();
                    for cut in 0..cuts {
                        total = o.merge(total, *partial.get().add(cut * plan.outputs + i));
                    }
                    to.get().add(i).write(o.finish(total));
                }
            }
        });
    }
    Ok(out)
}
