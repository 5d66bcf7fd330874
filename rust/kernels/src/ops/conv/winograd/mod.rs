//! Winograd convolution on channels-last pictures, for stride one and no dilation: F(4x4, 3x3),
//! F(2x2, 3x3) for tiny planes, and F(2x2, 5x5). A quarter of the multiplications of the direct sum.
//!
//! Rounding: with inputs and weights of variance one, the largest error against float64 stays below
//! the form's bound times the root of the number of products, which is the outputs' standard
//! deviation (the direct sum's is about 5e-7). A value that is not finite reaches all outputs of the
//! tiles that read it.

mod forward;
mod gradient;
mod points;
mod product;
mod tiles;
mod weights;

use super::{Geometry, Pass};
use crate::error::Result;

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

/// Whether this is the fastest way for a pass on channels-last tensors.
pub(super) fn suits(geo: &Geometry, _pass: Pass) -> bool {
    form(geo).is_some() && geo.c >= 16 && geo.o >= 16
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
/// `x` and `out` are channels-last, `w` and `bias` contiguous, of the sizes of `geo`, which suits.
pub(super) unsafe fn forward(
    op: &'static str,
    geo: &Geometry,
    x: *const f32,
    w: *const f32,
    bias: Option<*const f32>,
    out: *mut f32,
) -> Result<()> {
    with_form!(geo, transformed(op, geo, false, x, w, bias, out))
}

/// # Safety
/// `g` and `dx` are channels-last, `w` contiguous, of the sizes of `geo`, which suits.
pub(super) unsafe fn input_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    w: *const f32,
    dx: *mut f32,
) -> Result<()> {
    let Some(back) = geo.input_grad_geometry() else {
        unreachable!("asked for where `suits` said no");
    };
    with_form!(&back, transformed(op, &back, true, g, w, None, dx))
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
