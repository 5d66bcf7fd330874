//! Where the extremes are: `max_dim`, `min_dim`, `argmax`, `argmin`.

use super::kinds::{Number, larger, smaller};
use super::plan::{Axes, Odometer, Plan, compute_type};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::normalize_axis;
use crate::memory;
use crate::multiversion;
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::simd::by_memory;
use crate::tensor::Tensor;
use std::marker::PhantomData;
use std::ops::Range;

/// Which extreme.
trait Side: Copy + Send + Sync + 'static {
    fn pick<T: Number>(a: T, x: T) -> T;
    fn beats<T: Number>(x: T, a: T) -> bool;
}

#[derive(Clone, Copy)]
struct Largest;
#[derive(Clone, Copy)]
struct Smallest;

impl Side for Largest {
    #[inline(always)]
    fn pick<T: Number>(a: T, x: T) -> T {
        larger(a, x)
    }
    #[inline(always)]
    fn beats<T: Number>(x: T, a: T) -> bool {
        (x > a) | (x.nan() & !a.nan())
    }
}

impl Side for Smallest {
    #[inline(always)]
    fn pick<T: Number>(a: T, x: T) -> T {
        smaller(a, x)
    }
    #[inline(always)]
    fn beats<T: Number>(x: T, a: T) -> bool {
        (x < a) | (x.nan() & !a.nan())
    }
}

/// Elements looked at before the best block so far is compared.
const BLOCK: usize = 1024;
const LANES: usize = 32;
/// Outputs side by side, one a lane, where each has up to FEW elements.
const SIDE: usize = 16;
const FEW: usize = 32;
const WIDTH: usize = 256;

/// The extreme of a contiguous run that is not empty, and where it is first found.
#[inline(always)]
fn contiguous_run<T: Number, S: Side>(_: PhantomData<S>, x: &[T]) -> (T, usize) {
    let (mut best, mut best_block) = (x[0], 0);
    for (b, block) in x.chunks(BLOCK).enumerate() {
        let (chunks, rest) = block.as_chunks::<LANES>();
        let mut top = block[0];
        if !chunks.is_empty() {
            let mut acc = [block[0]; LANES];
            for c in chunks {
                for j in 0..LANES {
                    acc[j] = S::pick(acc[j], c[j]);
                }
            }
            // Pairwise.
            let mut acc = by_memory(acc);
            let mut width = LANES / 2;
            while width > 0 {
                for j in 0..width {
                    acc[j] = S::pick(acc[j], acc[j + width]);
                }
                width /= 2;
            }
            top = acc[0];
        }
        for &v in rest {
            top = S::pick(top, v);
        }
        if S::beats(top, best) {
            (best, best_block) = (top, b);
        }
    }
    let start = best_block * BLOCK;
    let block = &x[start..x.len().min(start + BLOCK)];
    let found =
        if best.nan() { block.iter().position(|v| v.nan()) } else { block.iter().position(|v| *v == best) };
    (best, start + found.unwrap_or(0))
}

/// # Safety
/// The run lies within the tensor and is not empty.
#[inline(always)]
unsafe fn any_run<T: Number, S: Side>(
    side: PhantomData<S>,
    x: *const T,
    n: usize,
    step: isize,
) -> (T, usize) {
    if step == 1 {
        return contiguous_run(side, std::slice::from_raw_parts(x, n));
    }
    let mut best = (*x, 0);
    for i in 1..n {
        let v = *x.offset(i as isize * step);
        if S::beats(v, best.0) {
            best = (v, i);
        }
    }
    best
}

/// The values and indices that a task writes.
struct Best<T> {
    values: SendPtr<T>,
    indices: SendPtr<i64>,
}
impl<T: Copy> Clone for Best<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Copy> Copy for Best<T> {}

multiversion! {
    fn by_outputs<T: Number, S: Side>(side: PhantomData<S>, kept: &Axes, x: SendPtr<T>, step: isize, k: Range<usize>, r: Range<usize>, to: Best<T>) {
        let mut k = k;
        if r.len() <= FEW && kept.len() == 1 {
            let across = kept[0].1;
            while k.start + SIDE <= k.end {
                // SAFETY: as below.
                unsafe {
                    let base = x.get().offset(k.start as isize * across + r.start as isize * step);
                    let mut best = [T::default(); SIDE];
                    let mut place = [0u32; SIDE];
                    for j in 0..SIDE {
                        best[j] = *base.offset(j as isize * across);
                    }
                    for e in 1..r.len() {
                        for j in 0..SIDE {
                            let v = *base.offset(e as isize * step + j as isize * across);
                            let wins = S::beats(v, best[j]);
                            best[j] = if wins { v } else { best[j] };
                            place[j] = if wins { e as u32 } else { place[j] };
                        }
                    }
                    for j in 0..SIDE {
                        to.values.get().add(k.start + j).write(best[j]);
                        to.indices.get().add(k.start + j).write((r.start + place[j] as usize) as i64);
                    }
                }
                k.start += SIDE;
            }
        }
        let mut at = Odometer::at(kept, k.start);
        for i in k {
            // SAFETY: outputs and elements are in range of the tensor; each output is written once.
            unsafe {
                let (v, p) = any_run(side, x.get().offset(at.offset + r.start as isize * step), r.len(), step);
                to.values.get().add(i).write(v);
                to.indices.get().add(i).write((r.start + p) as i64);
            }
            at.step();
        }
    }
}

multiversion! {
    fn by_rows<T: Number, S: Side>(_side: PhantomData<S>, kept: &Axes, x: SendPtr<T>, step: isize, n: usize, units: Range<usize>, to: Best<T>) {
        let (width, column_step) = kept[kept.len() - 1];
        let per_row = width.div_ceil(WIDTH);
        for unit in units {
            let (index, column) = (unit / per_row, unit % per_row * WIDTH);
            let w = WIDTH.min(width - column);
            let first = index * width + column;
            // SAFETY: as above.
            unsafe {
                let base = x.get().offset(Odometer::at(&kept[..kept.len() - 1], index).offset + column as isize * column_step);
                let values = std::slice::from_raw_parts_mut(to.values.get().add(first), w);
                let indices = std::slice::from_raw_parts_mut(to.indices.get().add(first), w);
                for j in 0..w {
                    values[j] = *base.offset(j as isize * column_step);
                }
                indices.fill(0);
                for i in 1..n {
                    let row = base.offset(i as isize * step);
                    if column_step == 1 {
                        let row = std::slice::from_raw_parts(row, w);
                        for j in 0..w {
                            let wins = S::beats(row[j], values[j]);
                            values[j] = if wins { row[j] } else { values[j] };
                            indices[j] = if wins { i as i64 } else { indices[j] };
                        }
                    } else {
                        for j in 0..w {
                            let v = *row.offset(j as isize * column_step);
                            if S::beats(v, values[j]) {
                                values[j] = v;
                                indices[j] = i as i64;
                            }
                        }
                    }
                }
            }
        }
    }
}

fn typed<T: Number, S: Side>(
    op: &'static str,
    x: &Tensor,
    axis: usize,
    plan: &Plan,
) -> Result<(Tensor, Tensor)> {
    let values = Tensor::empty(op, &plan.shape, T::DTYPE)?;
    let indices = Tensor::empty(op, &plan.shape, DType::I64)?;
    if plan.outputs == 0 {
        return Ok((values, indices));
    }
    let (n, step) = if x.ndim() == 0 { (1, 1) } else { (x.shape()[axis], x.strides()[axis]) };
    let to = Best { values: SendPtr(values.ptr::<T>()), indices: SendPtr(indices.ptr::<i64>()) };
    let from = SendPtr(x.ptr::<T>());
    let side = PhantomData::<S>;
    if plan.by_rows {
        let width = plan.kept[plan.kept.len() - 1].0;
        let units = plan.outputs / width * width.div_ceil(WIDTH);
        let group = (GRAIN / (width.min(WIDTH) * n)).clamp(1, units);
        for_each(units.div_ceil(group), |g| {
            by_rows(side, &plan.kept, from, step, n, g * group..((g + 1) * group).min(units), to);
        });
        return Ok((values, indices));
    }
    let group = (GRAIN / n).clamp(1, plan.outputs);
    let groups = plan.outputs.div_ceil(group);
    let cuts = if groups >= 16 { 1 } else { (n / GRAIN).clamp(1, 64 / groups) };
    let span = n.div_ceil(cuts);
    let cuts = n.div_ceil(span);
    let task = |g: usize, r: Range<usize>, to: Best<T>| {
        by_outputs(side, &plan.kept, from, step, g * group..((g + 1) * group).min(plan.outputs), r, to);
    };
    if cuts == 1 {
        for_each(groups, |g| task(g, 0..n, to));
        return Ok((values, indices));
    }
    let kept_values = memory::allocate(op, cuts * plan.outputs * size_of::<T>())?;
    let kept_indices = memory::allocate(op, cuts * plan.outputs * size_of::<i64>())?;
    let partial = Best {
        values: SendPtr(kept_values.as_ptr().cast::<T>()),
        indices: SendPtr(kept_indices.as_ptr().cast::<i64>()),
    };
    let part = |cut: usize| {
        let at = cut * plan.outputs;
        // SAFETY: the workspaces hold `cuts` times all outputs.
        unsafe {
            Best {
                values: SendPtr(partial.values.get().add(at)),
                indices: SendPtr(partial.indices.get().add(at)),
            }
        }
    };
    for_each(groups * cuts, |t| {
        let (cut, g) = (t / groups, t % groups);
        task(g, cut * span..((cut + 1) * span).min(n), part(cut));
    });
    for i in 0..plan.outputs {
        // SAFETY: every task has written its outputs.
        unsafe {
            let mut best = (*partial.values.get().add(i), *partial.indices.get().add(i));
            for cut in 1..cuts {
                let p = part(cut);
                let v = *p.values.get().add(i);
                if S::beats(v, best.0) {
                    best = (v, *p.indices.get().add(i));
                }
            }
            to.values.get().add(i).write(best.0);
            to.indices.get().add(i).write(best.1);
        }
    }
    Ok((values, indices))
}

fn along<S: Side>(op: &'static str, x: &Tensor, axis: isize, keepdim: bool) -> Result<(Tensor, Tensor)> {
    x.expect_cpu(op)?;
    let a = normalize_axis(op, axis, x.ndim())?;
    if x.ndim() > 0 && x.shape()[a] == 0 {
        return Err(Error::index(
            op,
            format!("axis {a} of shape {:?} has no elements, and an empty axis has no extreme", x.shape()),
        ));
    }
    let dtype = x.dtype();
    let x = super::readable(op, x)?;
    let plan = Plan::new(op, &x, &[axis], keepdim)?;
    let (values, indices) = match x.dtype() {
        DType::U8 => typed::<u8, S>(op, &x, a, &plan)?,
        DType::I32 => typed::<i32, S>(op, &x, a, &plan)?,
        DType::I64 => typed::<i64, S>(op, &x, a, &plan)?,
        DType::F64 => typed::<f64, S>(op, &x, a, &plan)?,
        _ => typed::<f32, S>(op, &x, a, &plan)?,
    };
    debug_assert_eq!(values.shape(), plan.shape.as_slice());
    Ok((super::returned(op, values, dtype)?, indices))
}

/// The largest values along an axis and the indices of their first occurrence; a NaN counts as largest.
pub fn max_dim(x: &Tensor, axis: isize, keepdim: bool) -> Result<(Tensor, Tensor)> {
    along::<Largest>("max", x, axis, keepdim)
}

/// The smallest values along an axis and the indices of their first occurrence; a NaN counts as smallest.
pub fn min_dim(x: &Tensor, axis: isize, keepdim: bool) -> Result<(Tensor, Tensor)> {
    along::<Smallest>("min", x, axis, keepdim)
}

fn arg<S: Side>(op: &'static str, x: &Tensor, axis: Option<isize>, keepdim: bool) -> Result<Tensor> {
    if compute_type(x.dtype()) == DType::Bool {
        return Err(Error::dtype(op, "is not defined for bool; convert with .int() first"));
    }
    if let Some(axis) = axis {
        return Ok(along::<S>(op, x, axis, keepdim)?.1);
    }
    x.expect_cpu(op)?;
    if x.numel() == 0 {
        return Err(Error::index(
            op,
            format!("a tensor of shape {:?} has no elements; name an axis that has some", x.shape()),
        ));
    }
    let flat = copy::contiguous(op, x)?;
    let flat = flat.with_layout(crate::layout::Layout::new(
        [x.numel()][..].into(),
        [1][..].into(),
        flat.layout().offset(),
    ));
    let out = along::<S>(op, &flat, 0, false)?.1;
    let shape: crate::layout::Dims =
        if keepdim { x.shape().iter().map(|_| 1).collect() } else { Default::default() };
    Ok(super::reshaped(&out, &shape))
}

/// The index of the largest element (of the flattened tensor without an axis).
pub fn argmax(x: &Tensor, axis: Option<isize>, keepdim: bool) -> Result<Tensor> {
    arg::<Largest>("argmax", x, axis, keepdim)
}

/// The index of the smallest element (of the flattened tensor without an axis).
pub fn argmin(x: &Tensor, axis: Option<isize>, keepdim: bool) -> Result<Tensor> {
    arg::<Smallest>("argmin", x, axis, keepdim)
}
