//! Masks, places that are not zero, and counting by class.

use super::walk::bits;
use super::{Walk, for_width, int64_index, raw};
use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, Result};
use crate::for_all_types;
use crate::layout::{Layout, broadcast_shapes};
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_each, for_ranges};
use crate::tensor::Tensor;

/// Elements a task scans for places that are not zero.
const SCAN: usize = 1 << 15;
/// Elements compacted at a time on the stack.
const BATCH: usize = 512;

/// The flat positions (in row-major order) of the elements that are not zero: int64 `[n]`.
pub(crate) fn flat_nonzero(op: &'static str, x: &Tensor) -> Result<Tensor> {
    let x = copy::contiguous(op, x)?;
    // By bits, all but a float's sign: arithmetic would take denormals for zero on worker threads.
    for_width!(x.dtype(), T => positions::<T>(op, &x, if x.dtype().is_float() { T::MAX >> 1 } else { T::MAX }))
}

fn positions<T>(op: &'static str, x: &Tensor, mask: T) -> Result<Tensor>
where
    T: Copy + Default + PartialEq + Sync + std::ops::BitAnd<Output = T>,
{
    // SAFETY: row-major, only read in this call.
    let values = unsafe { std::slice::from_raw_parts(raw::<T>(x), x.numel()) };
    let zero = T::default();
    let chunks = values.len().div_ceil(SCAN);
    let mut starts = vec![0usize; chunks + 1];
    let counts = SendPtr(starts.as_mut_ptr());
    for_each(chunks, |c| {
        let part = &values[c * SCAN..((c + 1) * SCAN).min(values.len())];
        // Counted in bytes' worth of lanes: 32-bit sums vectorise, and a chunk cannot overflow them.
        let n: u32 = part.iter().map(|v| (*v & mask != zero) as u32).sum();
        // SAFETY: one slot a task.
        unsafe { *counts.get().add(c + 1) = n as usize };
    });
    for c in 0..chunks {
        starts[c + 1] += starts[c];
    }
    let out = Tensor::empty(op, &[starts[chunks]], DType::I64)?;
    let to = SendPtr(out.ptr::<i64>());
    for_each(chunks, |c| {
        let range = c * SCAN..((c + 1) * SCAN).min(values.len());
        let (mut at, end) = (starts[c], starts[c + 1]);
        let mut batch = [0i64; BATCH];
        for start in range.clone().step_by(BATCH) {
            let part = &values[start..(start + BATCH).min(range.end)];
            let mut n = 0;
            for (i, v) in part.iter().enumerate() {
                // Without a branch: the slot is overwritten until an element stays.
                batch[n.min(BATCH - 1)] = (start + i) as i64;
                n += (*v & mask != zero) as usize;
            }
            // A racing writer may change the count between the passes; never write past the chunk.
            let n = n.min(end - at);
            // SAFETY: places `starts[c] .. starts[c + 1]` belong to this task.
            unsafe { std::ptr::copy_nonoverlapping(batch.as_ptr(), to.get().add(at), n) };
            at += n;
        }
        // SAFETY: as above; only a race leaves anything to fill.
        unsafe { std::ptr::write_bytes(to.get().add(at), 0, end - at) };
    });
    Ok(out)
}

/// The coordinates of the elements that are not zero, in row-major order: int64 `[n, ndim]`.
pub fn nonzero(x: &Tensor) -> Result<Tensor> {
    let op = "nonzero";
    x.expect_cpu(op)?;
    let flat = flat_nonzero(op, x)?;
    let (n, ndim) = (flat.numel(), x.ndim());
    if ndim == 1 {
        return Ok(flat.with_layout(Layout::contiguous(&[n, 1])));
    }
    let out = Tensor::empty(op, &[n, ndim], DType::I64)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    // SAFETY: a tensor of this call.
    let flat = unsafe { flat.as_slice::<i64>() };
    let (shape, to) = (x.shape(), SendPtr(out.ptr::<i64>()));
    for_ranges(n, GRAIN / 4, |range| {
        for i in range {
            let mut rest = flat[i] as usize;
            // SAFETY: row `i` of the fresh output.
            let row = unsafe { std::slice::from_raw_parts_mut(to.get().add(i * ndim), ndim) };
            for axis in (1..ndim).rev() {
                row[axis] = (rest % shape[axis]) as i64;
                rest /= shape[axis];
            }
            row[0] = rest as i64;
        }
    });
    Ok(out)
}

fn expect_mask(op: &'static str, mask: &Tensor) -> Result<()> {
    mask.expect_cpu(op)?;
    if mask.dtype() != DType::Bool {
        return Err(Error::dtype(
            op,
            format!("the mask must be bool, got {}; compare it or call .bool()", mask.dtype()),
        ));
    }
    Ok(())
}

/// The elements of `x` where the mask (broadcast) is true, on one axis.
pub fn masked_select(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let op = "masked_select";
    x.expect_cpu(op)?;
    expect_mask(op, mask)?;
    let shape = broadcast_shapes(op, x.shape(), mask.shape())?;
    let places = flat_nonzero(op, &mask.with_layout(mask.layout().broadcast_to(op, &shape)?))?;
    let from = x.layout().broadcast_to(op, &shape)?;
    let out = Tensor::empty(op, &[places.numel()], x.dtype())?;
    // SAFETY: a tensor of this call.
    let places = unsafe { places.as_slice::<i64>() };
    let walk = Walk::new(&shape, [from.strides()]);
    for_width!(x.dtype(), T => {
        let (src, dst) = (SendPtr(raw::<T>(x)), SendPtr(raw::<T>(&out)));
        for_ranges(places.len(), GRAIN, |range| {
            for i in range {
                // SAFETY: places lie within the broadcast shape; one writer an element.
                unsafe { *dst.get().add(i) = *src.get().offset(walk.at(places[i] as usize)[0]) };
            }
        });
    });
    Ok(out)
}

/// Refuses a value that an integer dtype cannot hold.
pub(crate) fn check_fill(op: &'static str, value: Scalar, dtype: DType) -> Result<()> {
    if let (Scalar::Float(f), true) = (value, dtype.is_int()) {
        // Beyond int64's range, or not a number at all.
        if !(-9.223372036854776e18..9.223372036854776e18).contains(&f) {
            return Err(Error::value(
                op,
                format!("the value {f} cannot be held by {dtype}; convert the tensor with .float() first"),
            ));
        }
    }
    Ok(())
}

/// A copy of `x` (broadcast with the mask) with `value` where the mask is true.
pub fn masked_fill(x: &Tensor, mask: &Tensor, value: Scalar) -> Result<Tensor> {
    let op = "masked_fill";
    x.expect_cpu(op)?;
    expect_mask(op, mask)?;
    check_fill(op, value, x.dtype())?;
    let shape = broadcast_shapes(op, x.shape(), mask.shape())?;
    let out = Tensor::empty(op, &shape, x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let (from, masked) = (x.layout().broadcast_to(op, &shape)?, mask.layout().broadcast_to(op, &shape)?);
    let walk = Walk::new(&shape, [out.strides(), from.strides(), masked.strides()]);
    for_all_types!(x.dtype(), E => {
        let value = E::from_scalar(value);
        for_width!(x.dtype(), T => {
            if std::mem::size_of::<T>() == std::mem::size_of::<E>() {
                fill_where::<T>(&out, x, mask, walk.clone(), bits::<T, E>(value));
            }
        })
    });
    Ok(out)
}

/// `out = mask ? value : x`, the three seen through one walk.
fn fill_where<T: Copy + Send + Sync>(out: &Tensor, x: &Tensor, mask: &Tensor, mut walk: Walk<3>, value: T) {
    let (inner, [_, xs, ms]) = walk.pop();
    let rows = walk.numel();
    let (dst, src, mask) = (SendPtr(raw::<T>(out)), SendPtr(raw::<T>(x)), SendPtr(raw::<u8>(mask)));
    // One long row is cut as well.
    let piece = inner.min(GRAIN);
    let pieces = inner.div_ceil(piece);
    for_ranges(rows * pieces, (GRAIN / piece).max(1), |range| {
        for task in range {
            let (row, start) = (task / pieces, task % pieces * piece);
            let n = piece.min(inner - start);
            let [d, s, m] = walk.at(row);
            // SAFETY: within the three layouts; one writer an element of the fresh output.
            unsafe {
                let d = std::slice::from_raw_parts_mut(dst.get().offset(d).add(start), n);
                let s = src.get().offset(s + start as isize * xs);
                let m = mask.get().offset(m + start as isize * ms);
                match (xs, ms) {
                    (1, 1) => {
                        let s = std::slice::from_raw_parts(s, n);
                        let m = std::slice::from_raw_parts(m, n);
                        for ((d, &s), &m) in d.iter_mut().zip(s).zip(m) {
                            *d = if m != 0 { value } else { s };
                        }
                    }
                    (1, 0) if *m == 0 => std::ptr::copy_nonoverlapping(s, d.as_mut_ptr(), n),
                    (_, 0) if *m != 0 => d.fill(value),
                    _ => {
                        for (i, d) in d.iter_mut().enumerate() {
                            let i = i as isize;
                            *d = if *m.offset(i * ms) != 0 { value } else { *s.offset(i * xs) };
                        }
                    }
                }
            }
        }
    });
}

/// int64 with a new last axis of `num_classes` (-1: one more than the largest), 1 at each value.
pub fn one_hot(x: &Tensor, num_classes: i64) -> Result<Tensor> {
    let op = "one_hot";
    let index = int64_index(op, x)?;
    // SAFETY: row-major int64, only read here.
    let values = unsafe { index.as_slice::<i64>() };
    if values.is_empty() && num_classes <= 0 {
        return Err(Error::value(
            op,
            "an empty tensor does not tell the number of classes; pass num_classes",
        ));
    }
    if num_classes < -1 || num_classes == 0 {
        return Err(Error::value(
            op,
            format!("num_classes must be positive, or -1 to infer it, got {num_classes}"),
        ));
    }
    let (low, high) = values.iter().fold((0, -1), |(l, h): (i64, i64), &v| (l.min(v), h.max(v)));
    if low < 0 {
        return Err(Error::index(op, format!("class values must not be negative, got {low}")));
    }
    let classes = if num_classes == -1 { high.saturating_add(1) } else { num_classes };
    if high >= classes {
        return Err(Error::index(
            op,
            format!(
                "class value {high} is out of range for {classes} classes: expected 0 to {}",
                classes - 1
            ),
        ));
    }
    let mut shape: crate::layout::Dims = x.shape().into();
    shape.push(classes as usize);
    let out = super::advanced::zeros_parallel(op, &shape, DType::I64)?;
    // SAFETY: a fresh output.
    let flags = unsafe { out.as_mut_slice::<i64>() };
    let classes = classes as usize;
    for (row, &v) in values.iter().enumerate() {
        if let Some(flag) = flags[row * classes..(row + 1) * classes].get_mut(v as usize) {
            *flag = 1;
        }
    }
    Ok(out)
}

/// How often each of `0, 1, …` appears in a one-dimensional tensor of integers; at least `minlength` counts.
pub fn bincount(x: &Tensor, minlength: usize) -> Result<Tensor> {
    let op = "bincount";
    if x.ndim() != 1 {
        return Err(Error::shape(
            op,
            format!("expected one axis, got shape {:?}; flatten it with .flatten()", x.shape()),
        ));
    }
    let index = int64_index(op, x)?;
    // SAFETY: row-major int64, only read here.
    let values = unsafe { index.as_slice::<i64>() };
    let (low, high) = values.iter().fold((0, -1), |(l, h): (i64, i64), &v| (l.min(v), h.max(v)));
    if low < 0 {
        return Err(Error::value(op, format!("values must not be negative, got {low}")));
    }
    let n = (high.saturating_add(1) as usize).max(minlength);
    let out = Tensor::zeros(op, &[n], DType::I64)?;
    // SAFETY: a fresh output.
    let counts = unsafe { out.as_mut_slice::<i64>() };
    for &v in values {
        if let Some(count) = counts.get_mut(v as usize) {
            *count += 1;
        }
    }
    Ok(out)
}
