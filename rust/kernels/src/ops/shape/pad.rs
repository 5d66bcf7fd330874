//! Padding with a constant; negative padding crops.

use super::copy_layout;
use crate::dtype::Scalar;
use crate::error::{Error, Result};
use crate::layout::Dims;
use crate::ops::index::check_fill;
use crate::ops::reduce::reshaped;
use crate::tensor::Tensor;

/// Pads each axis, first to last, with `(before, after)` elements of `value`.
pub fn pad_constant(x: &Tensor, pads: &[(isize, isize)], value: Scalar) -> Result<Tensor> {
    let op = "pad";
    x.expect_cpu(op)?;
    check_fill(op, value, x.dtype())?;
    if pads.len() != x.ndim() {
        return Err(Error::shape(
            op,
            format!("expected padding for {} axes of shape {:?}, got {}", x.ndim(), x.shape(), pads.len()),
        ));
    }
    let mut shape: Dims = x.shape().into();
    for (axis, &(before, after)) in pads.iter().enumerate() {
        let size = (x.shape()[axis] as isize).checked_add(before).and_then(|n| n.checked_add(after));
        shape[axis] = size.filter(|&n| n >= 0).ok_or_else(|| {
            Error::shape(
                op,
                format!("padding {before} and {after} does not fit axis {axis} of size {}", x.shape()[axis]),
            )
        })? as usize;
    }
    if let Some(rows) = x.channels_last() {
        // The same with the channels as the last axis.
        let last = |v: &[usize]| -> Dims { v[..1].iter().chain(&v[2..]).chain(&v[1..2]).copied().collect() };
        let moved: Vec<_> = pads[..1].iter().chain(&pads[2..]).chain(&pads[1..2]).copied().collect();
        let out = pad_constant(&reshaped(&rows, &last(x.shape())), &moved, value)?;
        let rows = [shape[0], shape[2..].iter().product(), shape[1]];
        return Ok(Tensor::from_channels_last(reshaped(&out, &rows), &shape));
    }
    let out = Tensor::empty(op, &shape, x.dtype())?;
    // What of the input stays, and where it goes.
    let (mut to, mut from) = (out.layout().clone(), x.layout().clone());
    for (axis, &(before, after)) in pads.iter().enumerate() {
        let (skip, start) = ((-before).max(0), before.max(0));
        let n = x.shape()[axis] as isize - skip - (-after).max(0);
        let n = n.max(0) as usize;
        to = to.slice(axis, start as usize, n, 1);
        from = from.slice(axis, skip as usize, n, 1);
    }
    // The border as slabs: everything outside the kept range on one axis, inside it on the axes before.
    let mut rest = out.layout().clone();
    let one = Tensor::scalar(op, value, x.dtype())?;
    for (axis, &(before, _)) in pads.iter().enumerate() {
        let size = shape[axis];
        let start = (before.max(0) as usize).min(size);
        let end = (start + to.shape()[axis]).min(size);
        for (a, b) in [(0, start), (end, size)] {
            if a < b {
                let slab = rest.slice(axis, a, b - a, 1);
                copy_layout(&out, &slab, &one, &one.layout().broadcast_to(op, slab.shape())?);
            }
        }
        rest = rest.slice(axis, start, end - start, 1);
    }
    copy_layout(&out, &to, x, &from);
    Ok(out)
}
