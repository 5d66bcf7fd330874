//! Two-dimensional convolution (cross-correlation, as in PyTorch) and its two gradients.
//!
//! The three passes are one closed family: each is bilinear, and its derivatives are the other two.
//! Tensors are `[batch, channels, height, width]`; a one-dimensional convolution has height one.

mod depthwise;
mod geometry;
mod implicit_gemm;
mod lowered;
mod outer;
mod panel;
mod patches;
mod scatter;
mod source;
mod winograd;

pub use geometry::ConvSpec;

use self::geometry::Geometry;
use self::implicit_gemm::Weights;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::memory::{self, Block};
use crate::ops::copy;
use crate::tensor::Tensor;
use std::sync::Mutex;

/// The ways to compute a convolution; one file each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Patches of the input as a matrix (im2col), a tile at a time, times the weights.
    Lowered,
    /// The same product with the patches formed a panel at a time in registers: small weights.
    ImplicitGemm,
    /// The input's gradient tap by tap, added where the tap lies: small weights.
    Scatter,
    /// The weight's gradient as outer products over pixels: small weights.
    OuterProduct,
    /// The product of the weights and the image itself, without patches.
    Pointwise,
    /// Tap by tap within a plane: one input channel a group.
    Depthwise,
}

/// Which pass is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    InputGrad,
    WeightGrad,
}

/// The table of algorithms. It looks at shapes only, so that a result never depends on the number
/// of threads or on timing.
pub(crate) fn choose(g: &Geometry, pass: Pass, dtype: DType) -> Algorithm {
    // A vector of pixels, and weights that stay in the second-level cache.
    let small = g.o / g.spec.groups * g.cg * g.kh * g.kw * dtype.size() <= IMPLICIT_WEIGHTS;
    match pass {
        _ if g.cg == 1 && g.og <= 4 && g.spec.groups > 1 => Algorithm::Depthwise,
        Pass::Forward | Pass::InputGrad if g.is_pointwise() => Algorithm::Pointwise,
        // Forming a panel of patches has to pay off over a few rows of weights.
        Pass::Forward if small && g.og >= IMPLICIT_ROWS && g.oh * g.ow >= IMPLICIT_PIXELS => {
            Algorithm::ImplicitGemm
        }
        // As a convolution of the output's gradient, with a window at every input: only where that
        // does not do many more products than there are.
        Pass::InputGrad
            if small
                && g.cg >= IMPLICIT_ROWS
                && g.h * g.w >= IMPLICIT_PIXELS
                && g.h * g.w * 2 <= g.oh * g.ow * 3
                && g.input_grad_geometry().is_some() =>
        {
            Algorithm::ImplicitGemm
        }
        Pass::InputGrad if small && g.spec.stride != [1, 1] && g.oh * g.ow >= IMPLICIT_PIXELS => {
            Algorithm::Scatter
        }
        Pass::WeightGrad if small => Algorithm::OuterProduct,
        _ => Algorithm::Lowered,
    }
}

/// Bounds of the implicit product: bytes of a group's weights, rows of weights, pixels of a plane.
const IMPLICIT_WEIGHTS: usize = 512 * 1024;
const IMPLICIT_ROWS: usize = 3;
const IMPLICIT_PIXELS: usize = 24;

/// Carries the first error out of parallel tasks.
#[derive(Default)]
pub(crate) struct Failure(Mutex<Option<Error>>);

impl Failure {
    /// Workspace of `len` elements; `None` after noting the error.
    pub fn allocate<T>(&self, op: &'static str, len: usize) -> Option<Block> {
        match memory::allocate(op, len.saturating_mul(size_of::<T>())) {
            Ok(block) => Some(block),
            Err(e) => {
                *self.0.lock().unwrap_or_else(|p| p.into_inner()) = Some(e);
                None
            }
        }
    }

    pub fn check(self) -> Result<()> {
        match self.0.into_inner().unwrap_or_else(|p| p.into_inner()) {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }
}

fn expect_same_dtype(op: &'static str, a: (&str, &Tensor), b: (&str, &Tensor)) -> Result<()> {
    if a.1.dtype() == b.1.dtype() {
        return Ok(());
    }
    Err(Error::dtype(
        op,
        format!(
            "{} is {} but {} is {}; convert one of them with .to(dtype)",
            a.0,
            a.1.dtype(),
            b.0,
            b.1.dtype()
        ),
    ))
}

fn expect_output_shape(op: &'static str, g: &Tensor, geo: &Geometry) -> Result<()> {
    if g.shape() == geo.output() {
        return Ok(());
    }
    Err(Error::shape(
        op,
        format!(
            "the output's gradient has shape {:?}, expected {:?} for these sizes",
            g.shape(),
            geo.output()
        ),
    ))
}

/// The shape that [`conv2d`] returns.
pub fn conv2d_output_shape(x_shape: &[usize], w_shape: &[usize], spec: ConvSpec) -> Result<[usize; 4]> {
    Ok(Geometry::new("conv2d", x_shape, w_shape, spec)?.output())
}

/// `out[n, o] = bias[o] + sum over c of x[n, c] * w[o, c]`, slid over the plane.
pub fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, spec: ConvSpec) -> Result<Tensor> {
    const OP: &str = "conv2d";
    let (x, w) = (copy::contiguous(OP, x)?, copy::contiguous(OP, w)?);
    expect_same_dtype(OP, ("input", &x), ("weight", &w))?;
    let geo = Geometry::new(OP, x.shape(), w.shape(), spec)?;
    let bias = match bias {
        Some(b) => {
            expect_same_dtype(OP, ("input", &x), ("bias", b))?;
            if b.shape() != [geo.o] {
                return Err(Error::shape(
                    OP,
                    format!("bias has shape {:?}, expected [{}]", b.shape(), geo.o),
                ));
            }
            Some(copy::contiguous(OP, b)?)
        }
        None => None,
    };
    for_float_types!(OP, x.dtype(), T => {
        let out = Tensor::empty(OP, &geo.output(), x.dtype())?;
        if out.numel() > 0 {
            let bias = bias.as_ref().map(|b| b.ptr::<T>().cast_const());
            // SAFETY: the tensors are contiguous, of type T and of the geometry's sizes.
            unsafe {
                match choose(&geo, Pass::Forward, x.dtype()) {
                    Algorithm::ImplicitGemm => {
                        let order = Weights::Forward;
                        implicit_gemm::forward::<T>(OP, &geo, order, x.ptr(), w.ptr(), bias, out.ptr())?
                    }
                    Algorithm::Depthwise => {
                        let order = Weights::Forward;
                        depthwise::forward::<T>(OP, &geo, order, x.ptr(), w.ptr(), bias, out.ptr())?
                    }
                    _ => lowered::forward::<T>(&geo, Weights::Forward, x.ptr(), w.ptr(), bias, out.ptr())?,
                }
            }
        }
        Ok(out)
    })
}

/// The gradient of [`conv2d`] with respect to its input; also the forward pass of a transposed
/// convolution, whose output has `input_shape`.
pub fn conv2d_input_grad(g: &Tensor, w: &Tensor, input_shape: &[usize], spec: ConvSpec) -> Result<Tensor> {
    const OP: &str = "conv2d_input_grad";
    let (g, w) = (copy::contiguous(OP, g)?, copy::contiguous(OP, w)?);
    expect_same_dtype(OP, ("the output's gradient", &g), ("weight", &w))?;
    let geo = Geometry::new(OP, input_shape, w.shape(), spec)?;
    expect_output_shape(OP, &g, &geo)?;
    for_float_types!(OP, g.dtype(), T => {
        if g.numel() == 0 || w.numel() == 0 {
            return Tensor::zeros(OP, input_shape, g.dtype());
        }
        let dx = Tensor::empty(OP, input_shape, g.dtype())?;
        if dx.numel() > 0 {
            // SAFETY: the tensors are contiguous, of type T and of the geometry's sizes.
            unsafe {
                match (choose(&geo, Pass::InputGrad, g.dtype()), geo.input_grad_geometry()) {
                    (Algorithm::ImplicitGemm, Some(back)) => {
                        let order = Weights::Flipped;
                        implicit_gemm::forward::<T>(OP, &back, order, g.ptr(), w.ptr(), None, dx.ptr())?
                    }
                    (Algorithm::Depthwise, Some(back)) => {
                        let order = Weights::Flipped;
                        depthwise::forward::<T>(OP, &back, order, g.ptr(), w.ptr(), None, dx.ptr())?
                    }
                    (Algorithm::Depthwise, None) => {
                        depthwise::input_grad::<T>(OP, &geo, g.ptr(), w.ptr(), dx.ptr())?
                    }
                    (Algorithm::Pointwise, Some(back)) => {
                        lowered::forward::<T>(&back, Weights::Flipped, g.ptr(), w.ptr(), None, dx.ptr())?
                    }
                    (Algorithm::Scatter, _) => scatter::input_grad::<T>(OP, &geo, g.ptr(), w.ptr(), dx.ptr())?,
                    _ => lowered::input_grad::<T>(&geo, g.ptr(), w.ptr(), dx.ptr())?,
                }
            }
        }
        Ok(dx)
    })
}

/// The gradient of [`conv2d`] with respect to its weight.
pub fn conv2d_weight_grad(g: &Tensor, x: &Tensor, weight_shape: &[usize], spec: ConvSpec) -> Result<Tensor> {
    const OP: &str = "conv2d_weight_grad";
    let (g, x) = (copy::contiguous(OP, g)?, copy::contiguous(OP, x)?);
    expect_same_dtype(OP, ("the output's gradient", &g), ("input", &x))?;
    let geo = Geometry::new(OP, x.shape(), weight_shape, spec)?;
    expect_output_shape(OP, &g, &geo)?;
    for_float_types!(OP, g.dtype(), T => {
        if g.numel() == 0 || x.numel() == 0 {
            return Tensor::zeros(OP, weight_shape, g.dtype());
        }
        let dw = Tensor::empty(OP, weight_shape, g.dtype())?;
        // SAFETY: the tensors are contiguous, of type T and of the geometry's sizes.
        unsafe {
            match choose(&geo, Pass::WeightGrad, g.dtype()) {
                Algorithm::OuterProduct => outer::weight_grad::<T>(OP, &geo, g.ptr(), x.ptr(), dw.ptr())?,
                Algorithm::Depthwise => depthwise::weight_grad::<T>(OP, &geo, g.ptr(), x.ptr(), dw.ptr())?,
                _ => lowered::weight_grad::<T>(&geo, g.ptr(), x.ptr(), dw.ptr())?,
            }
        }
        Ok(dw)
    })
}

#[cfg(test)]
mod tests;
