//! PyTorch's type promotion for operands that are tensors or Python numbers.

use super::Operand;
use super::engine::Arg;
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::tensor::Tensor;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static DEFAULT_IS_DOUBLE: AtomicBool = AtomicBool::new(false);

/// The type that Python floats and float functions of integers take: float32 or float64 (any other
/// type is ignored; the caller checks).
pub fn set_default_float(dtype: DType) {
    if matches!(dtype, DType::F32 | DType::F64) {
        DEFAULT_IS_DOUBLE.store(dtype == DType::F64, Relaxed);
    }
}

pub fn default_float() -> DType {
    if DEFAULT_IS_DOUBLE.load(Relaxed) { DType::F64 } else { DType::F32 }
}

/// The type an operation on these operands computes in: tensors with axes come before tensors
/// without, and those before Python numbers, which only lift the category.
pub fn result_type(operands: &[Operand]) -> DType {
    let (mut axes, mut zero, mut number) = (None, None, None);
    for operand in operands {
        let (slot, dtype) = match operand {
            Operand::Tensor(t) if t.ndim() > 0 => (&mut axes, t.dtype()),
            Operand::Tensor(t) => (&mut zero, t.dtype()),
            Operand::Scalar(Scalar::Bool(_)) => (&mut number, DType::Bool),
            Operand::Scalar(Scalar::Int(_)) => (&mut number, DType::I64),
            Operand::Scalar(Scalar::Float(_)) => (&mut number, default_float()),
        };
        *slot = Some(slot.map_or(dtype, |d: DType| d.promote(dtype)));
    }
    combine(axes, combine(zero, number)).unwrap_or_else(default_float)
}

/// The lower operand counts only where its category is higher.
fn combine(higher: Option<DType>, lower: Option<DType>) -> Option<DType> {
    match (higher, lower) {
        (Some(h), Some(l)) if l.category() > h.category() => Some(h.promote(l)),
        (Some(h), _) => Some(h),
        (None, l) => l,
    }
}

/// The type in which a storage-only type computes.
pub(crate) fn compute_type(dtype: DType) -> DType {
    match dtype {
        DType::I8 | DType::I16 => DType::I32,
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// The float type in which a float function of `dtype` gives its result.
pub(crate) fn float_type(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { default_float() }
}

/// An operand in the type its kernel reads, and the tensor that holds it if it had to be cast.
pub(crate) enum Ready<'a> {
    Borrowed(&'a Tensor),
    Owned(Tensor),
    Number(Scalar),
}

impl Ready<'_> {
    pub fn arg(&self, dtype: DType) -> Arg<'_> {
        match self {
            Ready::Borrowed(t) => Arg::Tensor(t),
            Ready::Owned(t) => Arg::Tensor(t),
            Ready::Number(s) => Arg::scalar(*s, dtype),
        }
    }
}

pub(crate) fn ready<'a>(op: &'static str, operand: Operand<'a>, dtype: DType) -> Result<Ready<'a>> {
    Ok(match operand {
        Operand::Tensor(t) if t.dtype() == dtype => Ready::Borrowed(t),
        Operand::Tensor(t) => Ready::Owned(copy::cast(op, t, dtype)?),
        Operand::Scalar(s) => Ready::Number(s),
    })
}

/// An error unless an integer fits the type it is about to take (negative ones wrap in uint8, as in
/// PyTorch).
pub(crate) fn check_fits(op: &'static str, value: Scalar, dtype: DType) -> Result<()> {
    let Scalar::Int(v) = value else { return Ok(()) };
    let (lo, hi) = match dtype {
        DType::U8 => (-255, 255),
        DType::I8 => (-128, 127),
        DType::I16 => (-32768, 32767),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        _ => return Ok(()),
    };
    if (lo..=hi).contains(&v) {
        return Ok(());
    }
    Err(Error::value(
        op,
        format!("{v} does not fit into {dtype}; convert the tensor first, for example with .long()"),
    ))
}

/// An error unless a result of `from` may be written into a tensor of `to` (PyTorch's can_cast).
pub(crate) fn check_cast(op: &'static str, from: DType, to: DType) -> Result<()> {
    if from.category() <= to.category() {
        return Ok(());
    }
    Err(Error::dtype(
        op,
        format!(
            "the result has type {from}, which can't be cast to {to} in place; use the operation that returns a new tensor, or convert first"
        ),
    ))
}
