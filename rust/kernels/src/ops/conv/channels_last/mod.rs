//! Convolution of float32 pictures in channels-last order: `[batch, height, width, channels]`.
//! Weights are `[out, in / groups, height, width]` as everywhere.

mod chunks;
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
use super::{Finish, Geometry, Pass};
use crate::error::Result;
use crate::ops::matmul::gemm;
use crate::tensor::Tensor;

/// One channel a group on either side.
fn is_depthwise(geo: &Geometry) -> bool {
    geo.cg == 1 && geo.og == 1 && geo.spec.groups > 1
}

/// Too few channels for a tap to be worth a pointer.
fn is_thin(geo: &Geometry) -> bool {
    geo.cg <= THIN && geo.kw > 1 && rows::possible(geo)
}

const THIN: usize = 16;

/// Whether the weight's gradient is best as one product of matrices: `g` transposed by `x`. 2048 to 512 at
/// 7x7, two pictures: 0.41 ms against 0.61 by outer products; 512 to 128 at 28x28: 0.48 against 0.45.
fn is_plain_product(geo: &Geometry) -> bool {
    geo.is_pointwise() && geo.spec.groups == 1 && geo.o >= 256
}

/// Input channels up to which a tap's columns waste more than adding the products afterwards.
const SPREAD: usize = 8;

/// # Safety
/// The pointers are the contiguous channels-last tensors of `geo`, and its weight; a bias
/// has `o` elements; no size is zero.
pub(super) unsafe fn forward(
    op: &'static str,
    geo: &Geometry,
    x: *const f32,
    w: &Tensor,
    finish: Finish,
    out: *mut f32,
) -> Result<()> {
    match () {
        _ if is_depthwise(geo) => depthwise::forward(op, geo, x, w.ptr(), finish, out),
        _ if is_thin(geo) => {
            rows::forward(op, geo, (x, Order::ChannelsLast), (w, Columns::Outputs), finish, out)
        }
        _ => pointers::forward(op, geo, x, w, finish, out),
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
    w: &Tensor,
    finish: Finish,
    out: *mut f32,
) -> Result<()> {
    rows::forward(op, geo, (x, Order::Plain), (w, Columns::Outputs), finish, out)
}

/// # Safety
/// As [`forward`].
pub(super) unsafe fn input_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    w: &Tensor,
    dx: *mut f32,
) -> Result<()> {
    match geo.input_grad_geometry() {
        _ if is_depthwise(geo) => depthwise::input_grad(op, geo, g, w.ptr(), dx),
        _ if geo.cg <= SPREAD && geo.kh * geo.kw > 1 && geo.spec.groups == 1 && geo.spec.dilation[1] == 1 => {
            spread::input_grad(op, geo, g, w.ptr(), dx)
        }
        Some(back) if is_thin(&back) => {
            rows::forward(op, &back, (g, Order::ChannelsLast), (w, Columns::Inputs), Finish::NONE, dx)
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
        _ if is_plain_product(geo) => {
            let (o, c) = (geo.o as isize, geo.c as isize);
            gemm(geo.o, geo.c, geo.n * geo.h * geo.w, 1.0, g, 1, o, x, c, 1, 0.0, dw, c, 1);
            Ok(())
        }
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

/// Whether these kernels are faster than those of the plain order. Each line was measured on one
/// thread with AVX-512; times in milliseconds, these kernels' before the others'.
pub(super) fn suits(geo: &Geometry, pass: Pass) -> bool {
    let Geometry { cg, og, .. } = *geo;
    // Columns that fill four fifths of their vectors.
    let full = |columns: usize| columns * 5 >= columns.next_multiple_of(16) * 4;
    let products = cg * geo.kh * geo.kw;
    if is_depthwise(geo) {
        // 128 3x3 at 28x28: 0.22 / 0.34, 0.20 / 0.34, 0.23 / 0.41.
        return true;
    }
    if geo.spec.groups > 1 && (cg < 16 || og < 16) {
        // 32 groups of 4 channels: 0.19 / 0.17, 0.19 / 0.18, 0.39 / 0.26.
        return false;
    }
    match pass {
        // 48 to 12 3x3: 2.8 / 5.5; 192 to 16 1x1: 0.04 / 0.04; 32 to 2 1x1: 0.32 / 0.09.
        Pass::Forward if cg >= 32 => og >= 8,
        // 3 to 64 7x7: 4.3 / 12; 3 to 64 3x3: 2.4 / 5.7; 16 to 32 3x3 in steps of 2: 0.9 / 2.4;
        // 16 to 16 3x3: 2.0 / 1.8; 20 to 50 5x5: 1.2 / 1.0; 1 to 32 3x3: 0.33 / 0.31.
        Pass::Forward => og >= 32 && full(og) && products >= 27,
        // 48 to 12 3x3: 1.7 / 4.7; 32 to 2 1x1: 0.21 / 0.15.
        Pass::InputGrad if cg >= 32 => og >= 8,
        // 16 to 32 3x3 in steps of 2: 1.1 / 1.3; 16 to 16 3x3: 2.0 / 1.8; 20 to 50 5x5: 2.2 / 2.0.
        Pass::InputGrad if cg > SPREAD => og >= 32 && full(cg),
        // 3 to 64 3x3: 3.1 / 7.4; 3 to 16 3x3: 0.73 / 0.90; 6 to 16 5x5: 0.27 / 0.63;
        // 1 to 20 5x5: 0.53 / 0.39; 1 to 32 3x3: 0.37 / 0.17.
        Pass::InputGrad => og >= 16 && products >= 27,
        // 16 to 16 3x3: 2.0 / 3.1; 20 to 50 5x5: 1.15 / 1.28; 32 to 2 1x1: 0.21 / 0.75.
        Pass::WeightGrad if cg >= 16 => true,
        // 3 to 64 7x7: 5.2 / 7.6; 6 to 16 5x5: 0.21 / 0.29; 3 to 6 5x5: 0.75 / 0.62;
        // 3 to 64 3x3 at 224x224: 4.2 / 2.8; 1 to 20 5x5: 0.39 / 0.30.
        Pass::WeightGrad => og >= 16 && products > 27,
    }
}

#[cfg(test)]
mod tests;
