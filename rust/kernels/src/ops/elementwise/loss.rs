//! Losses of pairs, one pass each way.

use super::engine::{Cost, Kernel, Params};
use super::kernel::{kernel2, kernel3};
use super::{Operand, apply, compute_type, result_type};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::simd::math::Real;
use crate::tensor::Tensor;

fn float_result(op: &'static str, operands: &[Operand]) -> Result<DType> {
    let dtype = result_type(operands);
    if dtype.is_float() {
        return Ok(dtype);
    }
    Err(Error::dtype(op, format!("expected floating point tensors, got {dtype}; convert with .float()")))
}

/// `(x - y)^2`, broadcast.
pub fn squared_error(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let op = "mse_loss";
    let operands = [Operand::Tensor(x), Operand::Tensor(y)];
    let dtype = float_result(op, &operands)?;
    let t = compute_type(dtype);
    let kernel: Kernel = for_float_types!(op, t, T => kernel2!(map2, T, T => T, |_p, x, y| {
        let d = x - y;
        d * d
    }));
    apply(op, kernel, &Params::default(), &operands, t, t, dtype, Cost::Cheap, None)
}

/// `2 g (x - y)`: the derivative of [`squared_error`] for `x`.
pub fn squared_error_grad(g: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let op = "mse_loss";
    let operands = [Operand::Tensor(g), Operand::Tensor(x), Operand::Tensor(y)];
    let dtype = float_result(op, &operands)?;
    let t = compute_type(dtype);
    let kernel: Kernel =
        for_float_types!(op, t, T => kernel3!(T, T, T => T, |_p, g, x, y| (x - y) * (g + g)));
    apply(op, kernel, &Params::default(), &operands, t, t, dtype, Cost::Cheap, None)
}

/// The binary cross entropy of `sigmoid(x)` and the target `y`, without overflow:
/// `(1 - y) x + ln(1 + exp(-x))`.
pub fn bce_logits(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let op = "binary_cross_entropy_with_logits";
    let operands = [Operand::Tensor(x), Operand::Tensor(y)];
    let dtype = float_result(op, &operands)?;
    let t = compute_type(dtype);
    let kernel: Kernel =
        for_float_types!(op, t, T => kernel2!(map2, T, T => T, |_p, x, y| (1.0 - y) * x + (-x).vsoftplus()));
    apply(op, kernel, &Params::default(), &operands, t, t, dtype, Cost::Heavy, None)
}

/// `g (sigmoid(x) - y)`: the derivative of [`bce_logits`] for `x`.
pub fn bce_logits_grad(g: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let op = "binary_cross_entropy_with_logits";
    let operands = [Operand::Tensor(g), Operand::Tensor(x), Operand::Tensor(y)];
    let dtype = float_result(op, &operands)?;
    let t = compute_type(dtype);
    let kernel: Kernel =
        for_float_types!(op, t, T => kernel3!(T, T, T => T, |_p, g, x, y| g * (x.vsigmoid() - y)));
    apply(op, kernel, &Params::default(), &operands, t, t, dtype, Cost::Heavy, None)
}
