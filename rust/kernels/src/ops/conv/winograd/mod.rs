//! Winograd convolution on channels-last pictures, for stride one and no dilation: F(4x4, 3x3),
//! F(2x2, 3x3) for tiny planes, and F(2x2, 5x5): a quarter, 4/9 and 9/25 of the direct sum's
//! multiplications.
//!
//! Rounding: with inputs and weights of variance one, the largest error against float64 stays below
//! 1.5e-6 for F(2, 3), 1.5e-5 for F(4, 3) and 3e-5 for F(2, 5), times the root of the number of
//! products, which is the outputs' standard deviation (the direct sum's is about 5e-7). A value that
//! is not finite reaches all outputs of the tiles that read it.

mod forward;
mod gradient;
mod points;
mod product;
mod tiles;
mod weights;

use super::{Finish, Geometry, Pass};
use crate::error::Result;
use crate::tensor::Tensor;

/// F(m, r), by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    F43,
    F23,
    F25,
}

#[cfg(test)]
impl Form {
    /// What an output's error is below, in standard deviations.
    fn bound(self) -> f64 {
        match self {
            Form::F23 => 1.5e-6,
            Form::F43 => 1.5e-5,
            Form::F25 => 3e-5,
        }
    }
}

/// The form for a convolution, if there is one.
fn form(geo: &Geometry) -> Option<Form> {
    let spec = geo.spec;
    if spec.stride != [1, 1] || spec.dilation != [1, 1] || spec.groups != 1 {
        return None;
    }
    match [geo.kh, geo.kw] {
        [3, 3] if geo.oh <= 2 && geo.ow <= 2 => Some(Form::F23),
        [3, 3] => Some(Form::F43),
        [5, 5] => Some(Form::F25),
        _ => None,
    }
}

/// The sizes of the convolution that computes a pass, and its form, if there is one.
fn for_pass(geo: &Geometry, pass: Pass) -> Option<(Geometry, Form)> {
    let geo = match pass {
        Pass::InputGrad => geo.input_grad_geometry()?,
        _ => *geo,
    };
    form(&geo).map(|form| (geo, form))
}

/// Whether a pass is possible at all.
pub(super) fn can(geo: &Geometry, pass: Pass) -> bool {
    for_pass(geo, pass).is_some()
}

/// Whether this is the fastest way for a pass on channels-last tensors. Rates are those of direct
/// products on two AVX-512 cores, where direct convolution reaches 450 GFLOP/s at best.
pub(super) fn suits(geo: &Geometry, pass: Pass) -> bool {
    let Some((geo, form)) = for_pass(geo, pass) else { return false };
    let m = if form == Form::F43 { 4 } else { 2 };
    let tiles = geo.n * geo.oh.div_ceil(m) * geo.ow.div_ceil(m);
    let wide_enough = match (form, pass) {
        // 128 channels at 2x2, 32 pictures: 690 to 720; 512 channels, 8 pictures: 290 to 455. A
        // plane of one pixel has one product of nine: 170.
        (Form::F23, _) => geo.oh * geo.ow > 1 && geo.c.min(geo.o) >= 128 && tiles >= 16,
        // To 32 channels at 32x32 from 16: 810; from 24 to 24: 570; from 16 to 16: 370.
        (Form::F43, Pass::WeightGrad) => geo.c >= 16 && geo.o > 16 && tiles >= 8,
        // From 8 to 32: 630; from 16 to 16: 540; from 32 to 8: 320; from 3 to 64: 300.
        (Form::F43, _) => geo.c >= 8 && geo.o >= 16,
        // From 16 to 32 at 27x27: 740, weight 550; from 32 to 16: 440.
        (Form::F25, _) => geo.c >= 16 && geo.o > 16,
    };
    // One picture of 512 channels at 7x7 (four tiles): 500, 4x4 (one): 190. One picture at 8x8 of 128
    // channels (2^23 products): 600, of 64 (2^21): 310.
    wide_enough && tiles >= 4 && geo.work() >= 1 << 22
}

macro_rules! with_form {
    ($geo:expr, $call:ident ( $($arg:expr),* )) => {
        match form($geo) {
            Some(Form::F43) => $call::<4, 3, 6>($($arg),*),
            Some(Form::F23) => $call::<2, 3, 4>($($arg),*),
            Some(Form::F25) => $call::<2, 5, 6>($($arg),*),
            None => unreachable!("asked for where `suits` said no"),
        }
    };
}

use self::forward::forward as transformed;
use self::gradient::weight_grad as transformed_grad;

/// # Safety
/// `x` and `out` are channels-last, `w` contiguous, of the sizes of `geo`, which suits.
pub(super) unsafe fn forward(
    op: &'static str,
    geo: &Geometry,
    x: *const f32,
    w: &Tensor,
    finish: Finish,
    out: *mut f32,
) -> Result<()> {
    with_form!(geo, transformed(op, geo, false, x, w, finish, out))
}

/// # Safety
/// `g` and `dx` are channels-last, `w` contiguous, of the sizes of `geo`, which suits.
pub(super) unsafe fn input_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    w: &Tensor,
    dx: *mut f32,
) -> Result<()> {
    let Some(back) = geo.input_grad_geometry() else {
        unreachable!("asked for where `suits` said no");
    };
    with_form!(&back, transformed(op, &back, true, g, w, Finish::NONE, dx))
}

/// # Safety
/// `g` and `x` are channels-last, `dw` contiguous, of the sizes of `geo`, which suits.
pub(super) unsafe fn weight_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    x: *const f32,
    dw: *mut f32,
) -> Result<()> {
    with_form!(geo, transformed_grad(op, geo, g, x, dw))
}

#[cfg(test)]
mod tests;
