//! Two-dimensional convolution (cross-correlation, as in PyTorch) and its two gradients.
//!
//! The three passes are one closed family: each is bilinear, and its derivatives are the other two.
//! Tensors are `[batch, channels, height, width]`; a one-dimensional convolution has height one.

mod channels_last;
mod choice;
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

pub use choice::request_error;
pub use geometry::ConvSpec;

pub(crate) use self::choice::{Algorithm, Pass, choose};
use self::choice::{Forward, WeightGrad};
use self::geometry::Geometry;
use self::implicit_gemm::Weights;
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::memory::{self, Block};
use crate::ops::copy;
use crate::ops::elementwise::{Unary, unary};
use crate::parallel::one_thread_below_grain;
use crate::simd::vector::Float;
use crate::tensor::Tensor;
use std::sync::Mutex;

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

/// What happens to an output's sum before it is written.
#[derive(Clone, Copy)]
pub(crate) struct Finish<T = f32> {
    /// One value an output channel, which is added.
    pub bias: Option<*const T>,
    /// Whether a sum below zero becomes zero; NaN stays.
    pub relu: bool,
}

impl<T: Float> Finish<T> {
    pub const NONE: Finish<T> = Finish { bias: None, relu: false };

    /// What no finished sum lies below.
    pub fn floor(&self) -> T {
        T::from_f64(if self.relu { 0.0 } else { f64::NEG_INFINITY })
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

/// The multiply-adds of a pass: each weight meets each output pixel once.
fn multiply_adds(geo: &Geometry, weight_shape: &[usize]) -> usize {
    let [n, _, oh, ow] = geo.output();
    [n, oh, ow].iter().chain(weight_shape).fold(1, |work: usize, &d| work.saturating_mul(d))
}

/// `out[n, o] = bias[o] + sum over c of x[n, c] * w[o, c]`, slid over the plane.
pub fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, spec: ConvSpec) -> Result<Tensor> {
    convolve(x, w, bias, spec, false)
}

/// [`conv2d`] and a ReLU, without a pass over memory for it.
pub fn conv2d_relu(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, spec: ConvSpec) -> Result<Tensor> {
    convolve(x, w, bias, spec, true)
}

fn convolve(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, spec: ConvSpec, relu: bool) -> Result<Tensor> {
    const OP: &str = "conv2d";
    let (x, w) = (copy::contiguous(OP, x)?, copy::contiguous(OP, w)?);
    expect_same_dtype(OP, ("input", &x), ("weight", &w))?;
    let geo = Geometry::new(OP, x.shape(), w.shape(), spec)?;
    let _small = one_thread_below_grain(multiply_adds(&geo, w.shape()));
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
    let algorithm = choose(&geo, Pass::Forward, x.dtype());
    if let Some(kernel) = algorithm.forward_of_rows() {
        let out = Tensor::empty_rows(OP, &geo.output(), x.dtype())?;
        let (kernel, x) = match algorithm.reads_plain(&geo, &x) {
            true => (channels_last::forward_of_plain as Forward, x),
            false => (kernel, x.to_channels_last(OP)?),
        };
        let finish = Finish { bias: bias.as_ref().map(|b| b.ptr::<f32>().cast_const()), relu };
        // SAFETY: float32 pictures in the kernel's order, a contiguous weight, of the geometry's sizes.
        unsafe { kernel(OP, &geo, x.ptr(), &w, finish, out.ptr())? };
        return Ok(Tensor::from_channels_last(out, &geo.output()));
    }
    for_float_types!(OP, x.dtype(), T => {
        let out = Tensor::empty(OP, &geo.output(), x.dtype())?;
        if out.numel() > 0 {
            let bias = bias.as_ref().map(|b| b.ptr::<T>().cast_const());
            // SAFETY: the tensors are contiguous, of type T and of the geometry's sizes.
            unsafe {
                match algorithm {
                    Algorithm::ImplicitGemm => {
                        let (order, finish) = (Weights::Forward, Finish { bias, relu });
                        implicit_gemm::forward::<T>(OP, &geo, order, x.ptr(), w.ptr(), finish, out.ptr())?
                    }
                    Algorithm::Depthwise => {
                        let order = Weights::Forward;
                        depthwise::forward::<T>(OP, &geo, order, x.ptr(), w.ptr(), bias, out.ptr())?
                    }
                    _ => lowered::forward::<T>(&geo, Weights::Forward, x.ptr(), w.ptr(), bias, out.ptr())?,
                }
            }
            if relu && algorithm != Algorithm::ImplicitGemm {
                unary(Unary::Relu, &out, Some(&out))?;
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
    let _small = one_thread_below_grain(multiply_adds(&geo, w.shape()));
    expect_output_shape(OP, &g, &geo)?;
    if g.numel() == 0 || w.numel() == 0 {
        return Tensor::zeros(OP, input_shape, g.dtype());
    }
    let algorithm = choose(&geo, Pass::InputGrad, g.dtype());
    if let Some(kernel) = algorithm.input_grad_of_rows() {
        let dx = Tensor::empty_rows(OP, input_shape, g.dtype())?;
        let rows = g.to_channels_last(OP)?;
        // SAFETY: float32 rows and a contiguous weight of the geometry's sizes.
        unsafe { kernel(OP, &geo, rows.ptr(), &w, dx.ptr())? };
        return Ok(Tensor::from_channels_last(dx, input_shape));
    }
    for_float_types!(OP, g.dtype(), T => {
        let dx = Tensor::empty(OP, input_shape, g.dtype())?;
        if dx.numel() > 0 {
            // SAFETY: the tensors are contiguous, of type T and of the geometry's sizes.
            unsafe {
                match (algorithm, geo.input_grad_geometry()) {
                    (Algorithm::ImplicitGemm, Some(back)) => {
                        let order = Weights::Flipped;
                        implicit_gemm::forward::<T>(OP, &back, order, g.ptr(), w.ptr(), Finish::NONE, dx.ptr())?
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
    let _small = one_thread_below_grain(multiply_adds(&geo, weight_shape));
    expect_output_shape(OP, &g, &geo)?;
    if g.numel() == 0 || x.numel() == 0 {
        return Tensor::zeros(OP, weight_shape, g.dtype());
    }
    let dw = Tensor::empty(OP, weight_shape, g.dtype())?;
    let algorithm = choose(&geo, Pass::WeightGrad, g.dtype());
    if let Some(kernel) = algorithm.weight_grad_of_rows() {
        let (kernel, x) = match algorithm.reads_plain(&geo, &x) {
            true => (channels_last::weight_grad_of_plain as WeightGrad, x),
            false => (kernel, x.to_channels_last(OP)?),
        };
        let g = g.to_channels_last(OP)?;
        // SAFETY: float32 pictures in the kernel's order and a contiguous result, of the geometry's sizes.
        unsafe { kernel(OP, &geo, g.ptr(), x.ptr(), dw.ptr())? };
        return Ok(dw);
    }
    for_float_types!(OP, g.dtype(), T => {
        // SAFETY: the tensors are contiguous, of type T and of the geometry's sizes.
        unsafe {
            match algorithm {
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
