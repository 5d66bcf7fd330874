//! Joining tensors, mirroring, rolling and repeating along axes.

use super::{around, bytes, copy_layout};
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout, checked_numel, normalize_axes, normalize_axis};
use crate::multiversion;
use crate::ops::copy;
use crate::parallel::{GRAIN, for_ranges};
use crate::tensor::Tensor;

/// Joins tensors along an axis. Dtypes promote; one-dimensional empty tensors are skipped.
pub fn cat(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
    let op = "cat";
    let Some(first) = tensors.first() else {
        return Err(Error::value(op, "expected at least one tensor, got an empty list"));
    };
    let mut dtype = first.dtype();
    for t in tensors {
        t.expect_cpu(op)?;
        dtype = dtype.promote(t.dtype());
    }
    // As PyTorch: an empty list made into a tensor joins anything.
    let parts: Vec<&Tensor> = tensors.iter().copied().filter(|t| t.shape() != [0]).collect();
    let Some(first) = parts.first() else {
        normalize_axis(op, axis, 1)?;
        return Tensor::empty(op, &[0], dtype);
    };
    if let Some(i) = tensors.iter().position(|t| t.ndim() == 0) {
        return Err(Error::shape(
            op,
            format!("tensor {i} has no axes and cannot be joined; use stack, or .reshape(1)"),
        ));
    }
    let axis = normalize_axis(op, axis, first.ndim())?;
    let mut shape: Dims = first.shape().into();
    let mut total = 0usize;
    for t in &parts {
        let same =
            t.ndim() == first.ndim() && (0..t.ndim()).all(|a| a == axis || t.shape()[a] == first.shape()[a]);
        if !same {
            let shapes: Vec<_> = parts.iter().map(|t| format!("{:?}", t.shape())).collect();
            return Err(Error::shape(
                op,
                format!("shapes must be equal except on axis {axis}, got {}", shapes.join(", ")),
            ));
        }
        total = total
            .checked_add(t.shape()[axis])
            .ok_or_else(|| Error::memory(op, "the joined axis is too long"))?;
    }
    shape[axis] = total;
    if axis == 1 && parts.iter().all(|t| t.dtype() == dtype) {
        // One part held with the channels last makes the whole so: convolutions are about, and a whole in
        // row-major order would be reordered by each of them.
        if parts.iter().any(|t| t.channels_last().is_some()) {
            let rows = parts.iter().map(|t| t.to_channels_last(op)).collect::<Result<Vec<_>>>()?;
            let out = Tensor::empty_rows(op, &shape, dtype)?;
            cat_rows(&rows.iter().collect::<Vec<_>>(), 2, &out);
            return Ok(Tensor::from_channels_last(out, &shape));
        }
    }
    let out = Tensor::empty(op, &shape, dtype)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    if parts.iter().all(|t| t.dtype() == dtype && t.is_contiguous()) {
        cat_rows(&parts, axis, &out);
        return Ok(out);
    }
    let mut at = 0;
    for t in &parts {
        let place = out.layout().slice(axis, at, t.shape()[axis], 1);
        at += t.shape()[axis];
        if t.dtype() == dtype {
            copy_layout(&out, &place, t, t.layout());
        } else if t.numel() > 0 {
            copy::copy_into(op, &out.with_layout(place), t)?;
        }
    }
    Ok(out)
}

/// What flows back to one part of a [`cat`]: `len` indices of an axis from `start`. A view, but with the
/// channels last a copy, as the channels of a picture lie apart there.
pub fn cat_part(g: &Tensor, axis: isize, start: usize, len: usize) -> Result<Tensor> {
    let op = "cat_part";
    let axis = normalize_axis(op, axis, g.ndim())?;
    let size = g.shape().get(axis).copied().unwrap_or(0);
    if start.checked_add(len).is_none_or(|end| end > size) {
        return Err(Error::index(
            op,
            format!("start {start} and length {len} reach outside axis {axis} of size {size}"),
        ));
    }
    let Some(rows) = g.channels_last().filter(|_| axis == 1) else {
        return Ok(g.with_layout(g.layout().slice(axis, start, len, 1)));
    };
    let mut shape: Dims = g.shape().into();
    shape[1] = len;
    let out = Tensor::empty_rows(op, &shape, g.dtype())?;
    let unit = g.dtype().size();
    let (row, run) = (size * unit, len * unit);
    let (from, to) = (bytes(&rows), bytes(&out));
    for_ranges(rows.shape()[0] * rows.shape()[1], (GRAIN * 4 / run.max(1)).max(1), |range| {
        // SAFETY: a run of every row, written once.
        unsafe {
            let from = from.get().add(range.start * row + start * unit);
            copy_runs(from, to.get().add(range.start * run), run, [row, run], range.len());
        }
    });
    Ok(Tensor::from_channels_last(out, &shape))
}

/// Bytes of rows that are written together.
const NEAR: usize = 1 << 14;
/// Bytes from which a row is worth cutting.
const LONG_ROW: usize = 1 << 16;

multiversion! {
    /// Copies `n` runs of `len` bytes, `steps` apart where they come from and where they go. Both are valid
    /// and share no memory.
    fn copy_runs(from: *const u8, to: *mut u8, len: usize, steps: [usize; 2], n: usize) {
        /// Registers instead of a call a run; the last one may overlap the one before.
        #[inline(always)]
        unsafe fn wide<const L: usize>(from: *const u8, to: *mut u8, len: usize, steps: [usize; 2], n: usize) {
            for i in 0..n {
                let (from, to) = (from.add(i * steps[0]), to.add(i * steps[1]));
                let mut at = 0;
                loop {
                    to.add(at).cast::<[u8; L]>().write_unaligned(from.add(at).cast::<[u8; L]>().read_unaligned());
                    if at + L >= len {
                        break;
                    }
                    at = (at + L).min(len - L);
                }
            }
        }
        // SAFETY: the caller's.
        unsafe {
            match len {
                0 => {}
                1..4 => wide::<1>(from, to, len, steps, n),
                4..8 => wide::<4>(from, to, len, steps, n),
                8..16 => wide::<8>(from, to, len, steps, n),
                16..32 => wide::<16>(from, to, len, steps, n),
                32..64 => wide::<32>(from, to, len, steps, n),
                64..2048 => wide::<64>(from, to, len, steps, n),
                _ => (0..n).for_each(|i| {
                    std::ptr::copy_nonoverlapping(from.add(i * steps[0]), to.add(i * steps[1]), len)
                }),
            }
        }
    }
}

/// Row-major parts of one dtype: runs of bytes.
fn cat_rows(parts: &[&Tensor], axis: usize, out: &Tensor) {
    let (outer, _, inner) = around(out.shape(), axis);
    let unit = inner * out.dtype().size();
    let row = out.shape()[axis] * unit;
    // Where each part starts in a row of the output.
    let mut starts = Vec::with_capacity(parts.len());
    let mut at = 0;
    for t in parts {
        starts.push((at, t.shape()[axis] * unit, bytes(t)));
        at += t.shape()[axis] * unit;
    }
    let to = bytes(out);
    if row < LONG_ROW {
        return for_ranges(outer, (GRAIN * 4 / row).max(1), |range| {
            // Few rows at a time, so that a line of the cache is written to by all its parts while it is there.
            let few = (NEAR / row).max(1);
            for first in range.clone().step_by(few) {
                let n = few.min(range.end - first);
                for &(start, len, from) in &starts {
                    // SAFETY: rows of the parts and of the output, which is written once.
                    unsafe {
                        let (from, to) = (from.get().add(first * len), to.get().add(first * row + start));
                        copy_runs(from, to, len, [len, row], n);
                    }
                }
            }
        });
    }
    // Flat ranges of the output's bytes, so that one long row is shared among threads as well.
    for_ranges(outer * row, (1 << 18).min(GRAIN * 8), |range| {
        let mut at = range.start;
        let mut part = starts.partition_point(|s| s.0 <= at % row).saturating_sub(1);
        while at < range.end {
            let (r, within) = (at / row, at % row);
            while within >= starts[part].0 + starts[part].1 {
                part += 1;
            }
            let (start, len, from) = starts[part];
            let n = (start + len - within).min(range.end - at);
            // SAFETY: source and output runs lie within their tensors; ranges are disjoint.
            unsafe {
                std::ptr::copy_nonoverlapping(from.get().add(r * len + within - start), to.get().add(at), n);
            }
            at += n;
            if at % row == 0 {
                part = 0;
            }
        }
    });
}

/// Reverses the order along the axes.
pub fn flip(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    let op = "flip";
    x.expect_cpu(op)?;
    let axes = normalize_axes(op, axes, x.ndim(), false)?;
    let mut from = x.layout().clone();
    for &axis in &axes {
        let n = from.shape()[axis];
        if n > 0 {
            from = from.slice(axis, n - 1, n, -1);
        }
    }
    let out = Tensor::empty(op, x.shape(), x.dtype())?;
    copy_layout(&out, out.layout(), x, &from);
    Ok(out)
}

/// Shifts elements along the axes, round the end; without axes, the tensor as one row.
pub fn roll(x: &Tensor, shifts: &[isize], axes: &[isize]) -> Result<Tensor> {
    let op = "roll";
    x.expect_cpu(op)?;
    if axes.is_empty() && shifts.len() == 1 {
        let flat = copy::contiguous(op, x)?;
        let line = flat.with_layout(
            flat.layout().reshape(&[x.numel()]).unwrap_or_else(|| Layout::contiguous(&[x.numel()])),
        );
        let out = roll_axis(op, &line, shifts[0], 0)?;
        return Ok(out.with_layout(Layout::contiguous(x.shape())));
    }
    if shifts.len() != axes.len() {
        return Err(Error::value(
            op,
            format!("expected one shift for each axis, got {} shifts and {} axes", shifts.len(), axes.len()),
        ));
    }
    if shifts.is_empty() {
        return Err(Error::value(op, "expected at least one shift"));
    }
    let mut out = x.clone();
    for (&shift, &axis) in shifts.iter().zip(axes) {
        let axis = normalize_axis(op, axis, x.ndim())?;
        out = if x.ndim() == 0 { copy::clone(op, &out)? } else { roll_axis(op, &out, shift, axis)? };
    }
    Ok(out)
}

fn roll_axis(op: &'static str, x: &Tensor, shift: isize, axis: usize) -> Result<Tensor> {
    let out = Tensor::empty(op, x.shape(), x.dtype())?;
    let n = x.shape()[axis];
    if out.numel() == 0 {
        return Ok(out);
    }
    let shift = shift.rem_euclid(n as isize) as usize;
    let (outer, _, inner) = around(x.shape(), axis);
    if outer > 1 && x.is_contiguous() {
        // Both halves of a row at once, while it is in the cache.
        let (row, first) = (n * inner * x.dtype().size(), shift * inner * x.dtype().size());
        let (from, to) = (bytes(x), bytes(&out));
        for_ranges(outer, (GRAIN * 4 / row).max(1), |range| {
            for i in range {
                // SAFETY: row `i` of both; one writer a row.
                unsafe {
                    let (from, to) = (from.get().add(i * row), to.get().add(i * row));
                    std::ptr::copy_nonoverlapping(from, to.add(first), row - first);
                    std::ptr::copy_nonoverlapping(from.add(row - first), to, first);
                }
            }
        });
        return Ok(out);
    }
    let halves = [(shift, 0, n - shift), (0, n - shift, shift)];
    for (to, from, len) in halves.into_iter().filter(|h| h.2 > 0) {
        copy_layout(&out, &out.layout().slice(axis, to, len, 1), x, &x.layout().slice(axis, from, len, 1));
    }
    Ok(out)
}

/// Each slice along the axis `repeats` times in a row.
pub fn repeat_interleave(x: &Tensor, repeats: usize, axis: isize) -> Result<Tensor> {
    let op = "repeat_interleave";
    x.expect_cpu(op)?;
    let axis = normalize_axis(op, axis, x.ndim())?;
    let x = if x.ndim() == 0 { x.with_layout(x.layout().unsqueeze(0)) } else { x.clone() };
    let mut shape: Dims = x.shape().into();
    shape[axis] = checked_numel(op, &[shape[axis], repeats])?;
    let out = Tensor::empty(op, &shape, x.dtype())?;
    // The output with the repeats as an axis of their own; the input with stride 0 there.
    let mut wide: Dims = x.shape().into();
    wide.insert(axis + 1, repeats);
    if let Some(to) = out.layout().reshape(&wide) {
        let from = x.layout().unsqueeze(axis + 1).broadcast_to(op, &wide)?;
        copy_layout(&out, &to, &x, &from);
    }
    Ok(out)
}
