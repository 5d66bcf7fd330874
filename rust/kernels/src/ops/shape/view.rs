//! Views beyond slicing, and the gradient of any view.

use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::for_compute_types;
use crate::layout::{Layout, normalize_axis};
use crate::ops::index::{Accumulate, Walk};
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;

use super::copy_layout;

/// Windows of `size`, `step` apart, along an axis: a view whose last axis is the window.
pub fn unfold(x: &Tensor, axis: isize, size: usize, step: usize) -> Result<Tensor> {
    let op = "unfold";
    let axis = normalize_axis(op, axis, x.ndim())?;
    let x = if x.ndim() == 0 { x.with_layout(x.layout().unsqueeze(0)) } else { x.clone() };
    let n = x.shape()[axis];
    if step == 0 {
        return Err(Error::value(op, "the step must be positive, got 0"));
    }
    if size > n {
        return Err(Error::shape(op, format!("a window of {size} does not fit axis {axis} of size {n}")));
    }
    let stride = x.strides()[axis];
    let windows = x.layout().slice(axis, 0, (n - size) / step + 1, step as isize);
    let (mut shape, mut strides) = (windows.shape().to_vec(), windows.strides().to_vec());
    shape.push(size);
    strides.push(stride);
    Ok(x.with_layout(Layout::new(shape.into(), strides.into(), x.layout().offset())))
}

/// The diagonal of two axes as a view with the diagonal as last axis; `offset` above 0 is right of it.
pub fn diagonal(x: &Tensor, offset: isize, axis1: isize, axis2: isize) -> Result<Tensor> {
    let op = "diagonal";
    if x.ndim() < 2 {
        return Err(Error::shape(op, format!("expected at least two axes, got shape {:?}", x.shape())));
    }
    let (a, b) = (normalize_axis(op, axis1, x.ndim())?, normalize_axis(op, axis2, x.ndim())?);
    if a == b {
        return Err(Error::value(op, format!("the two axes must differ, got {axis1} and {axis2}")));
    }
    let (rows, columns) = (x.shape()[a], x.shape()[b]);
    let (down, right) = (offset.min(0).unsigned_abs(), offset.max(0) as usize);
    let n = rows.saturating_sub(down).min(columns.saturating_sub(right));
    let start = if n == 0 { 0 } else { down as isize * x.strides()[a] + right as isize * x.strides()[b] };
    let keep = (0..x.ndim()).filter(|&i| i != a && i != b);
    let (mut shape, mut strides): (Vec<_>, Vec<_>) = keep.map(|i| (x.shape()[i], x.strides()[i])).unzip();
    shape.push(n);
    strides.push(x.strides()[a] + x.strides()[b]);
    let offset = (x.layout().offset() as isize + start) as usize;
    Ok(x.with_layout(Layout::new(shape.into(), strides.into(), offset)))
}

/// A flat buffer of `base_extent` elements with every element of `g` added at
/// `offset + sum(index * stride)`: the gradient of a view with those strides.
pub fn as_strided_scatter_add(
    g: &Tensor,
    base_extent: usize,
    offset: usize,
    strides: &[isize],
) -> Result<Tensor> {
    let op = "as_strided_backward";
    g.expect_cpu(op)?;
    if strides.len() != g.ndim() {
        return Err(Error::shape(
            op,
            format!("expected {} strides for shape {:?}, got {}", g.ndim(), g.shape(), strides.len()),
        ));
    }
    let to = Layout::new(g.shape().into(), strides.into(), offset);
    let (low, high) = extent(&to).unwrap_or((-1, i128::MAX));
    if g.numel() > 0 && (low < 0 || high > base_extent as i128) {
        return Err(Error::shape(
            op,
            format!(
                "shape {:?} with strides {strides:?} and offset {offset} reaches outside {base_extent} elements",
                g.shape()
            ),
        ));
    }
    let out = crate::ops::index::zeros_parallel(op, &[base_extent], g.dtype())?;
    if g.numel() == 0 {
        return Ok(out);
    }
    if !to.may_overlap() {
        copy_layout(&out, &to, g, g.layout());
        return Ok(out);
    }
    for_compute_types!(op, g.dtype(), T => add_strided::<T>(&out, &to, g));
    Ok(out)
}

/// The layout's reach in arithmetic that cannot overflow.
fn extent(layout: &Layout) -> Option<(i128, i128)> {
    let (mut low, mut high) = (layout.offset() as i128, layout.offset() as i128);
    for (&d, &s) in layout.shape().iter().zip(layout.strides()) {
        let reach = (d as i128).checked_sub(1)?.checked_mul(s as i128)?;
        if reach < 0 { low = low.checked_add(reach)? } else { high = high.checked_add(reach)? }
    }
    Some((low, high + 1))
}

fn add_strided<T: Element + Accumulate>(out: &Tensor, to: &Layout, g: &Tensor) {
    // Leading axes that step over all that lies within them have targets of their own.
    let reach = |from: usize| -> usize {
        (from..to.ndim()).map(|a| (to.shape()[a] - 1) * to.strides()[a].unsigned_abs()).sum()
    };
    let mut split = 0;
    while split < to.ndim()
        && (to.shape()[split] == 1 || to.strides()[split].unsigned_abs() > reach(split + 1))
    {
        split += 1;
    }
    let outer = Walk::new(&to.shape()[..split], [&to.strides()[..split], &g.strides()[..split]]);
    let mut rows = Walk::new(&to.shape()[split..], [&to.strides()[split..], &g.strides()[split..]]);
    let (inner, [ds, ss]) = rows.pop();
    let base = to.offset() as isize;
    let (dst, src) = (SendPtr(out.ptr::<T>()), SendPtr(g.ptr::<T>()));
    let (tasks, each) = (outer.numel(), rows.numel());
    for_ranges(tasks, (GRAIN / (each * inner).max(1)).max(1), |range| {
        for task in range {
            let [d0, s0] = outer.at(task);
            for row in 0..each {
                let [d, s] = rows.at(row);
                // SAFETY: the target's reach was checked, `g` lies within its storage; a task's
                // targets are its own.
                unsafe {
                    let d = dst.get().offset(base + d0 + d);
                    let s = src.get().offset(s0 + s);
                    for i in 0..inner as isize {
                        let d = d.offset(i * ds);
                        *d = (*d).plus(*s.offset(i * ss));
                    }
                }
            }
        }
    });
}
