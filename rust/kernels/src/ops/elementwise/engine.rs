//! One loop for every elementwise operation: broadcasting, strides, threads and staging.
//!
//! A kernel is a plain function over contiguous runs, without types in its signature, so this file
//! compiles once for all of them. Operands that are not contiguous (strided, broadcast, scalars,
//! or the memory being overwritten) are staged, a piece at a time, in small buffers that stay in
//! the first-level cache.

pub(crate) use super::lane::base as base_of;
use super::lane::{CHUNK, Lane, SLACK, base, flat_lane, strided_lane};
use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, Result};
use crate::for_all_types;
use crate::layout::{Dims, Layout, broadcast_shapes};
use crate::memory::{self, Block};
use crate::parallel::{GRAIN, for_ranges};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Numbers that a kernel takes besides its operands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Params {
    pub f: [f64; 2],
    pub i: [i64; 2],
    pub rows: Rows,
}

/// What a kernel of [`Cost::Frequent`] walks in one call; other kernels get a single row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub count: usize,
    /// Bytes from row to row: of the output, then of the operands.
    pub steps: [isize; 4],
    /// Operands (bit `k`) of which one element serves a whole row.
    pub once: u8,
}

impl Default for Rows {
    fn default() -> Rows {
        Rows { count: 1, steps: [0; 4], once: 0 }
    }
}

/// Writes `n` results from contiguous operands. The output overlaps no operand, except that it may
/// be the first one where the cost is [`Cost::Frequent`].
pub(crate) type Kernel = fn(out: *mut u8, ins: &[*const u8; 3], params: &Params, n: usize);

/// What an element costs, which sets how many of them are worth a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// A few instructions, vectorised.
    Cheap,
    /// As `Cheap`, and the kernel walks [`Rows`] and may overwrite its first operand (see `over1`,
    /// `over2`).
    Frequent,
    /// A polynomial, vectorised.
    Heavy,
    /// A library call.
    Scalar,
}

impl Cost {
    fn grain(self) -> usize {
        match self {
            Cost::Cheap | Cost::Frequent => GRAIN,
            Cost::Heavy => GRAIN / 4,
            Cost::Scalar => GRAIN / 16,
        }
    }
}

/// An operand that already has the type its kernel reads.
#[derive(Clone, Copy)]
pub(crate) enum Arg<'a> {
    Tensor(&'a Tensor),
    /// The element at the start of an aligned word, and its size in bytes.
    Scalar(u64, usize),
}

impl Arg<'_> {
    /// A number as an element of `dtype`.
    pub fn scalar(value: Scalar, dtype: DType) -> Arg<'static> {
        let mut word = 0u64;
        for_all_types!(dtype, T => {
            let v = T::from_scalar(value);
            // SAFETY: an element has at most eight bytes.
            unsafe { std::ptr::copy_nonoverlapping((&raw const v).cast::<u8>(), (&raw mut word).cast(), size_of::<T>()) }
        });
        Arg::Scalar(word, dtype.size())
    }
}

/// Periods up to this many elements are written out once where they recur.
const EXPAND: usize = 1 << 16;
/// Rows at least this long are handed to the kernel one by one instead of being staged.
const LONG_ROW: usize = 128;
/// Rows at least this long are walked by a frequent kernel instead of being staged.
const SHORT_ROW: usize = 16;

type Lanes = SmallVec<[Lane; 4]>;

/// Runs `kernel` over the broadcast operands into a new tensor of `dtype`, or into `out`, which has
/// that type. Bumps no version: the caller does.
pub(crate) fn run(
    op: &'static str,
    kernel: Kernel,
    params: &Params,
    args: &[Arg],
    dtype: DType,
    cost: Cost,
    out: Option<&Tensor>,
) -> Result<Tensor> {
    for arg in args {
        if let Arg::Tensor(t) = arg {
            t.expect_cpu(op)?;
        }
    }
    if out.is_none()
        && let Some(shape) = same_contiguous(args)
    {
        let result = Tensor::empty(op, shape, dtype)?;
        let n = result.numel();
        if n == 0 {
            return Ok(result);
        }
        let mut lanes = Lanes::new();
        lanes.push(flat_lane(base(&result), dtype.size(), n, 1));
        for arg in args {
            lanes.push(match arg {
                Arg::Tensor(t) => flat_lane(base(t), t.dtype().size(), n, 1),
                Arg::Scalar(word, size) => flat_lane((&raw const *word).cast_mut().cast(), *size, n, 0),
            });
        }
        execute(kernel, params, &[n], &lanes, n, cost);
        return Ok(result);
    }
    let mut shape = Dims::new();
    for arg in args {
        if let Arg::Tensor(t) = arg {
            shape = broadcast_shapes(op, &shape, t.shape())?;
        }
    }
    let result = match out {
        None => allocate_like(op, &shape, args, dtype)?,
        Some(out) => {
            check_out(op, out, &shape)?;
            if needs_detour(args, out) {
                let fresh = run(op, kernel, params, args, dtype, cost, None)?;
                crate::ops::copy::copy_into(op, out, &fresh)?;
                return Ok(out.clone());
            }
            out.clone()
        }
    };
    let n = result.numel();
    if n == 0 {
        return Ok(result);
    }
    // A large operand that runs across the cache lines is turned first, in blocks.
    let mut turned: SmallVec<[Option<Tensor>; 3]> = SmallVec::new();
    for arg in args {
        turned.push(match arg {
            Arg::Tensor(t) if n >= 4 * CHUNK && t.shape() == &shape[..] && runs_across(t, &result) => {
                let fresh = allocate_like(op, &shape, &[Arg::Tensor(&result)], t.dtype())?;
                crate::ops::copy::copy_into(op, &fresh, t)?;
                Some(fresh)
            }
            _ => None,
        });
    }
    let mut lanes = Lanes::new();
    lanes.push(strided_lane(&result, result.strides().into()));
    for (k, (arg, turned)) in args.iter().zip(&turned).enumerate() {
        lanes.push(match (turned, arg) {
            (Some(t), _) => strided_lane(t, t.strides().into()),
            (None, Arg::Tensor(t)) => {
                let mut lane = strided_lane(t, t.layout().broadcast_to(op, &shape)?.strides().into());
                let over = k == 0 && cost == Cost::Frequent;
                lane.alias = out.is_some() && !over && t.overlaps(&result);
                lane
            }
            (None, Arg::Scalar(word, size)) => {
                let mut lane = flat_lane((&raw const *word).cast_mut().cast(), *size, n, 0);
                lane.strides = SmallVec::from_elem(0, shape.len());
                lane
            }
        });
    }
    collapse(&mut shape, &mut lanes);
    classify(&shape, &mut lanes, n);
    if shape[shape.len() - 1] >= LONG_ROW && frequent(kernel, params, &shape, &lanes, n, cost) {
        return Ok(result);
    }
    let _expanded = expand(op, &mut shape, &mut lanes, n)?;
    execute(kernel, params, &shape, &lanes, n, cost);
    Ok(result)
}

/// The shape, if every tensor has it and is row-major.
#[inline]
fn same_contiguous<'a>(args: &[Arg<'a>]) -> Option<&'a [usize]> {
    let mut shape: Option<&'a [usize]> = None;
    for arg in args {
        if let Arg::Tensor(t) = arg {
            if shape.is_some_and(|s| s != t.shape()) || !t.is_contiguous() {
                return None;
            }
            shape = Some(t.shape());
        }
    }
    Some(shape.unwrap_or(&[]))
}

/// A new tensor: row-major, unless all operands of the full shape share another dense order of
/// axes (a transposed matrix, say), which is then kept.
fn allocate_like(op: &'static str, shape: &[usize], args: &[Arg], dtype: DType) -> Result<Tensor> {
    let mut kept: Option<&[isize]> = None;
    for arg in args {
        if let Arg::Tensor(t) = arg
            && t.shape() == shape
        {
            if kept.is_some_and(|s| s != t.strides()) || t.is_contiguous() || !is_dense(t.layout()) {
                return Tensor::empty(op, shape, dtype);
            }
            kept = Some(t.strides());
        }
    }
    let fresh = Tensor::empty(op, shape, dtype)?;
    Ok(match kept {
        Some(strides) => fresh.with_layout(Layout::new(shape.into(), strides.into(), 0)),
        None => fresh,
    })
}

/// Whether the elements fill a run of memory without gaps, in any order of axes.
fn is_dense(l: &Layout) -> bool {
    let mut axes: SmallVec<[(isize, usize); 6]> =
        l.strides().iter().zip(l.shape()).filter(|&(_, &d)| d != 1).map(|(&s, &d)| (s, d)).collect();
    axes.sort_unstable();
    let mut step = 1;
    for (stride, d) in axes {
        if stride != step || d == 0 {
            return false;
        }
        step *= d as isize;
    }
    true
}

fn check_out(op: &'static str, out: &Tensor, shape: &[usize]) -> Result<()> {
    out.expect_cpu(op)?;
    out.expect_writable(op)?;
    if out.shape() == shape {
        return Ok(());
    }
    Err(Error::shape(
        op,
        format!("the result has shape {shape:?}, which does not fit into out= of shape {:?}", out.shape()),
    ))
}

/// Whether writing `out` element by element could spoil an operand that is still to be read.
fn needs_detour(args: &[Arg], out: &Tensor) -> bool {
    args.iter().any(|arg| match arg {
        Arg::Tensor(t) => t.overlaps(out) && !t.coincides(out),
        Arg::Scalar(..) => false,
    })
}

/// Whether `t` strides far where `out` steps by one.
fn runs_across(t: &Tensor, out: &Tensor) -> bool {
    let inner =
        (0..out.ndim()).filter(|&i| out.shape()[i] > 1).min_by_key(|&i| out.strides()[i].unsigned_abs());
    inner.is_some_and(|i| t.strides()[i].unsigned_abs() > 8)
}

/// Drops axes of size 1, orders the rest by the output's strides and merges neighbours that are
/// one axis to every lane.
fn collapse(shape: &mut Dims, lanes: &mut Lanes) {
    let mut order: SmallVec<[usize; 6]> = (0..shape.len()).filter(|&i| shape[i] != 1).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(lanes[0].strides[i].unsigned_abs()));
    let mut merged: SmallVec<[(usize, usize); 6]> = SmallVec::new();
    for &axis in &order {
        if let Some((outer, size)) = merged.last_mut()
            && lanes.iter().all(|l| l.strides[*outer] == l.strides[axis] * shape[axis] as isize)
        {
            *outer = axis;
            *size *= shape[axis];
            continue;
        }
        merged.push((axis, shape[axis]));
    }
    if merged.is_empty() {
        // A single element: one axis of size 1.
        shape.clear();
        shape.push(1);
        lanes.iter_mut().for_each(|l| l.strides = SmallVec::from_elem(1, 1));
        return;
    }
    for lane in lanes.iter_mut() {
        lane.strides = merged.iter().map(|&(axis, _)| lane.strides[axis]).collect();
    }
    *shape = merged.iter().map(|&(_, size)| size).collect();
}

fn classify(shape: &[usize], lanes: &mut Lanes, n: usize) {
    for lane in lanes.iter_mut() {
        let (mut step, mut linear, mut period, mut repeats) = (1isize, true, n, true);
        for (&d, &s) in shape.iter().zip(&lane.strides) {
            repeats &= s == 0;
            if repeats {
                period /= d;
            }
        }
        for (&d, &s) in shape.iter().zip(&lane.strides).rev() {
            linear &= s == step;
            step *= d as isize;
        }
        lane.linear = linear;
        lane.period = period;
    }
}

/// Writes out operands that broadcast along inner axes and recur often (a bias per channel), so
/// that they are read as long rows. The blocks returned hold them.
fn expand(op: &'static str, shape: &mut Dims, lanes: &mut Lanes, n: usize) -> Result<SmallVec<[Block; 2]>> {
    let mut blocks = SmallVec::new();
    for lane in lanes.iter_mut().skip(1) {
        let period = lane.period;
        let useful = !lane.alias && lane.strides.last() != Some(&1) && (CHUNK / 2..=EXPAND).contains(&period);
        if !useful || n / period < 4 {
            continue;
        }
        let block = memory::allocate(op, (period + SLACK) * lane.size)?;
        lane.gather(shape, 0, period, block.as_ptr());
        lane.ptr = block.as_ptr();
        blocks.push(block);
        let mut step = 1;
        for (&d, s) in shape.iter().zip(lane.strides.iter_mut()).rev() {
            *s = if step < period { step as isize } else { 0 };
            step *= d;
        }
    }
    if !blocks.is_empty() {
        collapse(shape, lanes);
        classify(shape, lanes, n);
    }
    Ok(blocks)
}

/// Calls the kernel piece by piece, in parallel.
fn execute(kernel: Kernel, params: &Params, shape: &[usize], lanes: &[Lane], n: usize, cost: Cost) {
    if lanes.iter().all(|l| l.linear && !l.alias) {
        return for_ranges(n, cost.grain(), |range| {
            let mut ins = [std::ptr::null(); 3];
            for (p, lane) in ins.iter_mut().zip(&lanes[1..]) {
                // SAFETY: the range lies within each linear lane.
                *p = unsafe { lane.ptr.add(range.start * lane.size) }.cast_const();
            }
            // SAFETY: as above.
            kernel(unsafe { lanes[0].ptr.add(range.start * lanes[0].size) }, &ins, params, range.len());
        });
    }
    if !frequent(kernel, params, shape, lanes, n, cost) {
        staged(kernel, params, shape, lanes, n, cost.grain());
    }
}

/// Lets a frequent kernel walk the rows of the last axis by itself, where every operand either lies
/// along them or has one element for each. False if that is not so, and nothing was done.
fn frequent(kernel: Kernel, params: &Params, shape: &[usize], lanes: &[Lane], n: usize, cost: Cost) -> bool {
    let last = shape.len() - 1;
    let inner = shape[last];
    let fits = |(k, l): (usize, &Lane)| !l.alias && (l.strides[last] == 1 || (k > 0 && l.strides[last] == 0));
    if cost != Cost::Frequent || (last > 0 && inner < SHORT_ROW) || !lanes.iter().enumerate().all(fits) {
        return false;
    }
    let mut rows = Rows::default();
    for (k, lane) in lanes.iter().enumerate() {
        if k > 0 && lane.strides[last] == 0 {
            rows.once |= 1 << (k - 1);
        }
        if last > 0 {
            rows.steps[k] = lane.strides[last - 1] * lane.size as isize;
        }
    }
    // Rows that follow each other along the second last axis.
    let run = if last > 0 { shape[last - 1] } else { 1 };
    let call = |cursor: &Cursor, column: usize, len: usize, count: usize| {
        let at = |k: usize| {
            let offset = cursor.offsets[k] + column as isize * lanes[k].strides[last];
            // SAFETY: the offset is that of an element.
            unsafe { lanes[k].ptr.offset(offset * lanes[k].size as isize) }
        };
        let mut ins = [std::ptr::null(); 3];
        for (k, p) in ins.iter_mut().enumerate().take(lanes.len() - 1) {
            *p = at(k + 1).cast_const();
        }
        kernel(at(0), &ins, &Params { rows: Rows { count, ..rows }, ..*params }, len);
    };
    if inner >= 2 * cost.grain() {
        let pieces = inner.div_ceil(cost.grain());
        for_ranges(n / inner * pieces, 1, |range| {
            let column = range.start % pieces * cost.grain();
            let cursor = Cursor::at(shape, lanes, range.start / pieces);
            call(&cursor, column, cost.grain().min(inner - column), 1);
        });
        return true;
    }
    for_ranges(n / inner, (cost.grain() / inner).max(1), |range| {
        let mut row = range.start;
        while row < range.end {
            let count = (run - row % run).min(range.end - row);
            call(&Cursor::at(shape, lanes, row), 0, inner, count);
            row += count;
        }
    });
    true
}

/// As [`execute`], where operands that the kernel cannot read as they lie go through a buffer.
fn staged(kernel: Kernel, params: &Params, shape: &[usize], lanes: &[Lane], n: usize, grain: usize) {
    let inner = shape[shape.len() - 1];
    // Long rows are read where they are, so pieces end with their row.
    let by_rows = inner >= LONG_ROW
        && lanes.iter().any(|l| !l.linear && l.period > CHUNK / 2 && l.strides.last() == Some(&1));
    let direct = |l: &Lane| !l.alias && (l.linear || (by_rows && l.strides.last() == Some(&1)));
    // Small periods: pieces that are whole numbers of them, so that the staged copy serves them all.
    let small = lanes.iter().map(|l| l.period).find(|&p| p > 1 && p <= CHUNK / 2).unwrap_or(1);
    let longest = if lanes.iter().all(direct) { usize::MAX } else { CHUNK / small * small };
    let grain = grain.div_ceil(small) * small;
    for_ranges(n, grain, |range| {
        let mut stage = [const { MaybeUninit::<[u64; CHUNK + SLACK]>::uninit() }; 4];
        // What each buffer holds: the phase within the period, and how many elements.
        let mut held = [(usize::MAX, 0usize); 4];
        let mut at = range.start;
        let mut column = range.start % inner;
        let mut cursor = Cursor::at(shape, lanes, range.start / inner);
        while at < range.end {
            let mut len = longest.min(range.end - at);
            if by_rows {
                len = len.min(inner - column);
            }
            let place = |k: usize| {
                let lane = &lanes[k];
                let offset = if lane.linear {
                    at as isize
                } else {
                    cursor.offsets[k] + column as isize * lane.strides[lane.strides.len() - 1]
                };
                // SAFETY: the offset is that of an element.
                unsafe { lane.ptr.offset(offset * lane.size as isize) }
            };
            let mut ins = [std::ptr::null(); 3];
            for (k, lane) in lanes.iter().enumerate().skip(1) {
                ins[k - 1] = if direct(lane) {
                    place(k).cast_const()
                } else {
                    let buffer = stage[k].as_mut_ptr().cast::<u8>();
                    let phase = at % lane.period;
                    if lane.alias || held[k].0 != phase || held[k].1 < len || lane.period > CHUNK / 2 {
                        lane.gather(shape, phase, len, buffer);
                        held[k] = (phase, len);
                    }
                    buffer.cast_const()
                };
            }
            if direct(&lanes[0]) || lanes[0].linear {
                kernel(place(0), &ins, params, len);
            } else {
                let buffer = stage[0].as_mut_ptr().cast::<u8>();
                kernel(buffer, &ins, params, len);
                lanes[0].scatter(shape, at, len, buffer);
            }
            at += len;
            if by_rows {
                column += len;
                if column == inner {
                    column = 0;
                    cursor.step(shape, lanes);
                }
            }
        }
    });
}

/// Where a row of the last axis starts in each lane, in elements.
struct Cursor {
    index: SmallVec<[usize; 6]>,
    offsets: [isize; 4],
}

impl Cursor {
    fn at(shape: &[usize], lanes: &[Lane], row: usize) -> Cursor {
        let outer = shape.len() - 1;
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, outer);
        let (mut rest, mut offsets) = (row, [0; 4]);
        for axis in (0..outer).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
            for (offset, lane) in offsets.iter_mut().zip(lanes) {
                *offset += index[axis] as isize * lane.strides[axis];
            }
        }
        Cursor { index, offsets }
    }

    /// To the next row; past the last one back to the first.
    fn step(&mut self, shape: &[usize], lanes: &[Lane]) {
        for axis in (0..self.index.len()).rev() {
            self.index[axis] += 1;
            let wraps = self.index[axis] == shape[axis];
            let by = if wraps { 1 - shape[axis] as isize } else { 1 };
            for (offset, lane) in self.offsets.iter_mut().zip(lanes) {
                *offset += by * lane.strides[axis];
            }
            if !wraps {
                return;
            }
            self.index[axis] = 0;
        }
    }
}
