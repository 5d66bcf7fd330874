//! Copies between layouts and dtypes, and filling.

mod convert;
mod strided;

pub(crate) use strided::transpose;

use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, Result};
use crate::ops::elementwise::engine::{self, Arg, Cost, Params};
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use crate::{for_all_types, multiversion};

/// Writes `src`, broadcast and cast, into `dst` in place. Bumps no version: the caller does.
pub fn copy_into(op: &'static str, dst: &Tensor, src: &Tensor) -> Result<()> {
    dst.expect_cpu(op)?;
    src.expect_cpu(op)?;
    dst.expect_writable(op)?;
    let from = src.layout().broadcast_to(op, dst.shape())?;
    if dst.numel() == 0 {
        return Ok(());
    }
    if dst.dtype() != src.dtype() {
        // The engine stages strided operands and takes care of overlap.
        let kernel = convert::kernel(dst.dtype(), src.dtype());
        engine::run(
            op,
            kernel,
            &Params::default(),
            &[Arg::Tensor(&src.with_layout(from))],
            dst.dtype(),
            Cost::Cheap,
            Some(dst),
        )?;
        return Ok(());
    }
    let src = src.with_layout(from);
    if dst.overlaps(&src) {
        if dst.coincides(&src) {
            return Ok(());
        }
        // Overlapping memory (a shifted view of itself) goes through a copy.
        return copy_into(op, dst, &clone(op, &src)?);
    }
    strided::copy(dst, &src);
    Ok(())
}

/// A row-major copy, also of a tensor that is row-major already; with the channels last in memory where
/// the tensor's own has them so.
pub fn clone(op: &'static str, x: &Tensor) -> Result<Tensor> {
    if let Some(rows) = x.channels_last() {
        return Ok(Tensor::from_channels_last(clone(op, &rows)?, x.shape()));
    }
    let out = Tensor::empty(op, x.shape(), x.dtype())?;
    copy_into(op, &out, x)?;
    Ok(out)
}

/// The tensor itself if it is row-major, else a row-major copy.
pub fn contiguous(op: &'static str, x: &Tensor) -> Result<Tensor> {
    x.expect_cpu(op)?;
    if x.is_contiguous() { Ok(x.clone()) } else { clone(op, x) }
}

/// The tensor itself if it has the dtype, else a row-major copy that has.
pub fn cast(op: &'static str, x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    if let Some(rows) = x.channels_last() {
        return Ok(Tensor::from_channels_last(cast(op, &rows, dtype)?, x.shape()));
    }
    x.expect_cpu(op)?;
    let kernel = convert::kernel(dtype, x.dtype());
    let params = Params::default();
    if x.is_contiguous() {
        return engine::run(op, kernel, &params, &[Arg::Tensor(x)], dtype, Cost::Cheap, None);
    }
    let out = Tensor::empty(op, x.shape(), dtype)?;
    engine::run(op, kernel, &params, &[Arg::Tensor(x)], dtype, Cost::Cheap, Some(&out))
}

/// Sets every element. Bumps no version: the caller does.
pub fn fill(op: &'static str, dst: &Tensor, value: Scalar) -> Result<()> {
    dst.expect_cpu(op)?;
    dst.expect_writable(op)?;
    if !dst.is_contiguous() {
        return copy_into(op, dst, &Tensor::scalar(op, value, dst.dtype())?);
    }
    for_all_types!(dst.dtype(), T => {
        let (value, start) = (T::from_scalar(value), SendPtr(dst.ptr::<T>()));
        for_ranges(dst.numel(), 2 * GRAIN, |range| {
            // SAFETY: a contiguous tensor of T; the ranges are disjoint.
            unsafe { std::slice::from_raw_parts_mut(start.get().add(range.start), range.len()) }.fill(value);
        });
    });
    Ok(())
}

/// A new tensor of one value.
pub fn full(op: &'static str, shape: &[usize], value: Scalar, dtype: DType) -> Result<Tensor> {
    let out = Tensor::empty(op, shape, dtype)?;
    fill(op, &out, value)?;
    Ok(out)
}

multiversion! {
    fn count_i64(out: &mut [i64], first: i64, start: i64, step: i64) {
        for (i, v) in out.iter_mut().enumerate() {
            *v = start.wrapping_add(first.wrapping_add(i as i64).wrapping_mul(step));
        }
    }
}

multiversion! {
    fn count_f32(out: &mut [f32], first: i64, start: f64, step: f64) {
        for (i, v) in out.iter_mut().enumerate() {
            *v = (start + first.wrapping_add(i as i64) as f64 * step) as f32;
        }
    }
}

/// `start, start + step, …`, `n` values.
pub fn arange(op: &'static str, start: Scalar, step: Scalar, n: usize, dtype: DType) -> Result<Tensor> {
    if dtype == DType::Bool {
        return Err(Error::dtype(op, "a range of bool is not defined; use uint8 or a wider type"));
    }
    let out = Tensor::empty(op, &[n], dtype)?;
    if dtype == DType::I64 {
        let first = SendPtr(out.ptr::<i64>());
        for_ranges(n, GRAIN, |range| {
            // SAFETY: a fresh output of n elements; the ranges are disjoint.
            let part = unsafe { std::slice::from_raw_parts_mut(first.get().add(range.start), range.len()) };
            count_i64(part, range.start as i64, start.to_i64(), step.to_i64());
        });
        return Ok(out);
    }
    if dtype == DType::F32 {
        let first = SendPtr(out.ptr::<f32>());
        for_ranges(n, GRAIN, |range| {
            // SAFETY: as above.
            let part = unsafe { std::slice::from_raw_parts_mut(first.get().add(range.start), range.len()) };
            count_f32(part, range.start as i64, start.to_f64(), step.to_f64());
        });
        return Ok(out);
    }
    for_all_types!(dtype, T => {
        let (exact, first) = (!dtype.is_float(), SendPtr(out.ptr::<T>()));
        for_ranges(n, GRAIN, |range| for i in range {
            let v = if exact {
                T::from_scalar(Scalar::Int(start.to_i64().wrapping_add((i as i64).wrapping_mul(step.to_i64()))))
            } else {
                T::from_f64(start.to_f64() + i as f64 * step.to_f64())
            };
            // SAFETY: a fresh output of n elements; the ranges are disjoint.
            unsafe { *first.get().add(i) = v }
        });
    });
    Ok(out)
}
