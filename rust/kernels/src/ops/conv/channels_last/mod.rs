//! Convolution of float32 pictures in channels-last order: `[batch, height, width, channels]`.
//! Weights are `[out, in / groups, height, width]` as everywhere.

mod lattice;
mod micro;
mod outer;
mod pointers;
mod weights;

use super::{Geometry, Pass};
use crate::error::Result;

/// # Safety
/// The pointers are the contiguous channels-last tensors of `geo`, and its weight; `bias`, if any,
/// has `o` elements; no size is zero.
pub(super) unsafe fn forward(
    op: &'static str,
    geo: &Geometry,
    x: *const f32,
    w: *const f32,
    bias: Option<*const f32>,
    out: *mut f32,
) -> Result<()> {
    pointers::forward(op, geo, x, w, bias, out)
}

/// # Safety
/// As [`forward`].
pub(super) unsafe fn input_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    w: *const f32,
    dx: *mut f32,
) -> Result<()> {
    pointers::input_grad(op, geo, g, w, dx)
}

/// # Safety
/// As [`forward`].
pub(super) unsafe fn weight_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    x: *const f32,
    dw: *mut f32,
) -> Result<()> {
    outer::weight_grad(op, geo, g, x, dw)
}

/// Whether these kernels are faster than those of the plain order.
pub(super) fn suits(geo: &Geometry, pass: Pass) -> bool {
    let _ = pass;
    geo.cg >= 16 && geo.og >= 16
}

#[cfg(test)]
mod tests;
