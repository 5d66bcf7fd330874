//! Convolution of float32 pictures in channels-last order: `[batch, height, width, channels]`.
//! Weights are `[out, in / groups, height, width]` as everywhere.

mod depthwise;
mod depthwise_weight;
mod lattice;
mod micro;
mod outer;
mod pointers;
mod rows;
mod spread;
mod weights;

use self::rows::Order;
use self::weights::Columns;
use super::{Geometry, Pass};
use crate::error::Result;

/// One channel a group on either side.
fn is_depthwise(geo: &Geometry) -> bool {
    geo.cg == 1 && geo.og == 1 && geo.spec.groups > 1
}

/// Too few channels for a tap to be worth a pointer.
fn is_thin(geo: &Geometry) -> bool {
    geo.cg <= THIN && geo.kw > 1 && rows::possible(geo)
}

const THIN: usize = 16;

/// Input channels up to which a tap's columns waste more than adding the products afterwards.
const SPREAD: usize = 8;

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
    match () {
        _ if is_depthwise(geo) => depthwise::forward(op, geo, x, w, bias, out),
        _ if is_thin(geo) => {
            rows::forward(op, geo, (x, Order::ChannelsLast), (w, Columns::Outputs), bias, out)
        }
        _ => pointers::forward(op, geo, x, w, bias, out),
    }
}

/// [`forward`] for an input in plain order, where [`reads_plain`].
///
/// # Safety
/// As [`forward`].
pub(super) unsafe fn forward_of_plain(
    op: &'static str,
    geo: &Geometry,
    x: *const f32,
    w: *const f32,
    bias: Option<*const f32>,
    out: *mut f32,
) -> Result<()> {
    rows::forward(op, geo, (x, Order::Plain), (w, Columns::Outputs), bias, out)
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
    match geo.input_grad_geometry() {
        _ if is_depthwise(geo) => depthwise::input_grad(op, geo, g, w, dx),
        _ if geo.cg <= SPREAD && geo.kh * geo.kw > 1 && geo.spec.groups == 1 && geo.spec.dilation[1] == 1 => {
            spread::input_grad(op, geo, g, w, dx)
        }
        Some(back) if is_thin(&back) => {
            rows::forward(op, &back, (g, Order::ChannelsLast), (w, Columns::Inputs), None, dx)
        }
        _ => pointers::input_grad(op, geo, g, w, dx),
    }
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
    match () {
        _ if is_depthwise(geo) => depthwise_weight::weight_grad(op, geo, g, x, dw),
        _ if is_thin(geo) => rows::weight_grad(op, geo, g, (x, Order::ChannelsLast), dw),
        _ => outer::weight_grad(op, geo, g, x, dw),
    }
}

/// [`weight_grad`] for an input in plain order, where [`reads_plain`].
///
/// # Safety
/// As [`forward`].
pub(super) unsafe fn weight_grad_of_plain(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    x: *const f32,
    dw: *mut f32,
) -> Result<()> {
    rows::weight_grad(op, geo, g, (x, Order::Plain), dw)
}

/// Whether forward and weight gradient also take an input in plain order, for which they need no
/// reordering: the first layers of networks for pictures.
pub(super) fn reads_plain(geo: &Geometry) -> bool {
    is_thin(geo)
}

/// Whether these kernels are faster than those of the plain order.
pub(super) fn suits(geo: &Geometry, pass: Pass) -> bool {
    let _ = pass;
    geo.cg >= 16 && geo.og >= 16
}

#[cfg(test)]
mod tests;
