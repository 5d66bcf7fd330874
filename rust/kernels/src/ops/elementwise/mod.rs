//! Elementwise operations with broadcasting and PyTorch's type promotion.

mod binary;
pub(crate) mod engine;
pub(crate) mod kernel;
mod lane;
mod loss;
mod num;
mod promote;
mod rows;
mod ternary;
mod unary;

pub use binary::{Binary, add_scaled, binary};
pub use loss::{bce_logits, bce_logits_grad, squared_error, squared_error_grad};
pub use promote::{default_float, result_type, set_default_float};
pub use ternary::{addcdiv, addcmul, clamp, lerp, where_};
pub use unary::{Unary, unary};

pub(crate) use binary::{kernel_of as binary_kernel, power_kernel, scaled_kernel};
pub(crate) use num::Num;
pub(crate) use promote::{compute_type, float_type};
pub(crate) use ternary::select_kernel;
pub(crate) use unary::kernel_of as unary_kernel;

use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::ops::copy;
use crate::tensor::Tensor;
use engine::{Cost, Kernel, Params};

/// A tensor or a Python number.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    Tensor(&'a Tensor),
    Scalar(Scalar),
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(t: &'a Tensor) -> Self {
        Operand::Tensor(t)
    }
}

impl From<Scalar> for Operand<'_> {
    fn from(s: Scalar) -> Self {
        Operand::Scalar(s)
    }
}

/// Runs a kernel that reads `reads` and writes `writes`; the result has type `result`, or goes into
/// `out` where PyTorch allows the cast.
#[allow(clippy::too_many_arguments)]
pub(crate) fn apply(
    op: &'static str,
    kernel: Kernel,
    params: &Params,
    operands: &[Operand],
    reads: DType,
    writes: DType,
    result: DType,
    cost: Cost,
    out: Option<&Tensor>,
) -> Result<Tensor> {
    if let Some((shape, rows, to)) = rows::of_channels(op, operands, out)? {
        let operands: smallvec::SmallVec<[Operand; 3]> = rows.iter().map(rows::Rows::operand).collect();
        let fresh = apply(op, kernel, params, &operands, reads, writes, result, cost, to.as_ref())?;
        let Some((out, to)) = out.zip(to) else { return Ok(Tensor::from_channels_last(fresh, shape)) };
        // Somebody asked for row-major memory meanwhile (an operand that is a view of it, another
        // thread): the rows are no longer what others see.
        if out.channels_last().is_none() {
            copy::copy_into(op, out, &Tensor::from_channels_last(to, shape))?;
        }
        return Ok(out.clone());
    }
    let mut ready: smallvec::SmallVec<[promote::Ready; 3]> = smallvec::SmallVec::new();
    for &operand in operands {
        if let Operand::Tensor(t) = operand {
            t.expect_cpu(op)?;
        }
        ready.push(promote::ready(op, operand, reads)?);
    }
    let args: smallvec::SmallVec<[engine::Arg; 3]> = ready.iter().map(|r| r.arg(reads)).collect();
    if let Some(out) = out {
        promote::check_cast(op, result, out.dtype())?;
        if out.dtype() == writes && result == writes {
            return engine::run(op, kernel, params, &args, writes, cost, Some(out));
        }
        let fresh = engine::run(op, kernel, params, &args, writes, cost, None)?;
        if out.shape() != fresh.shape() {
            return Err(crate::Error::shape(
                op,
                format!(
                    "the result has shape {:?}, which does not fit into out= of shape {:?}",
                    fresh.shape(),
                    out.shape()
                ),
            ));
        }
        copy::copy_into(op, out, &copy::cast(op, &fresh, result)?)?;
        return Ok(out.clone());
    }
    let fresh = engine::run(op, kernel, params, &args, writes, cost, None)?;
    if writes == result { Ok(fresh) } else { copy::cast(op, &fresh, result) }
}
