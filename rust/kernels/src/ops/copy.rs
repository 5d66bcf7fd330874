//! Copies between layouts and dtypes, and filling.

use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, Result};
use crate::for_all_types;
use crate::layout::Layout;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;

/// Calls `f(dst offset, src offset, length)` for each run along the last axis of two layouts of one shape.
fn for_rows(dst: &Layout, src: &Layout, f: impl Fn(isize, isize, usize) + Sync) {
    let ndim = dst.ndim();
    if dst.numel() == 0 {
        return;
    }
    if ndim == 0 {
        return f(0, 0, 1);
    }
    let inner = dst.shape()[ndim - 1];
    let rows = dst.numel() / inner;
    for_ranges(rows, (GRAIN / inner).max(1), |range| {
        for row in range {
            let (mut rest, mut d, mut s) = (row, 0isize, 0isize);
            for axis in (0..ndim - 1).rev() {
                let size = dst.shape()[axis];
                let i = (rest % size) as isize;
                rest /= size;
                d += i * dst.strides()[axis];
                s += i * src.strides()[axis];
            }
            f(d, s, inner);
        }
    });
}

/// Writes `src`, broadcast and cast, into `dst` in place. Bumps no version: the caller does.
pub fn copy_into(op: &'static str, dst: &Tensor, src: &Tensor) -> Result<()> {
    dst.expect_cpu(op)?;
    src.expect_cpu(op)?;
    dst.expect_writable(op)?;
    let from = src.layout().broadcast_to(op, dst.shape())?;
    // Overlapping memory (a shifted view of itself) goes through a copy.
    let shared = std::sync::Arc::ptr_eq(dst.storage(), src.storage());
    if shared && (dst.layout() != &from || dst.dtype() != src.dtype()) {
        return copy_into(op, dst, &contiguous(op, &src.with_layout(from))?);
    }
    if shared {
        return Ok(());
    }
    for_all_types!(dst.dtype(), D => for_all_types!(src.dtype(), S => copy_typed::<D, S>(dst, src, &from)));
    Ok(())
}

fn copy_typed<D: Element, S: Element>(dst: &Tensor, src: &Tensor, from: &Layout) {
    let (d, s) = (SendPtr(dst.ptr::<D>()), SendPtr(src.ptr::<S>()));
    let last = |l: &Layout| l.strides().last().copied().unwrap_or(1);
    let (ds, ss) = (last(dst.layout()), last(from));
    for_rows(dst.layout(), from, |d0, s0, n| {
        // SAFETY: the offsets stay within the layouts, which stay within their storages; rows are disjoint.
        unsafe {
            let (d, s) = (d.get().offset(d0), s.get().offset(s0));
            if D::DTYPE == S::DTYPE && ds == 1 && ss == 1 {
                std::ptr::copy_nonoverlapping(s.cast::<D>(), d, n);
            } else {
                for i in 0..n as isize {
                    *d.offset(i * ds) = D::from_scalar((*s.offset(i * ss)).to_scalar());
                }
            }
        }
    });
}

/// A row-major copy, also of a tensor that is row-major already.
pub fn clone(op: &'static str, x: &Tensor) -> Result<Tensor> {
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
    let out = Tensor::empty(op, x.shape(), dtype)?;
    copy_into(op, &out, x)?;
    Ok(out)
}

/// Sets every element. Bumps no version: the caller does.
pub fn fill(op: &'static str, dst: &Tensor, value: Scalar) -> Result<()> {
    let one = Tensor::scalar(op, value, dst.dtype())?;
    copy_into(op, dst, &one)
}

/// A new tensor of one value.
pub fn full(op: &'static str, shape: &[usize], value: Scalar, dtype: DType) -> Result<Tensor> {
    let out = Tensor::empty(op, shape, dtype)?;
    fill(op, &out, value)?;
    Ok(out)
}

/// `start, start + step, …`, `n` values.
pub fn arange(op: &'static str, start: Scalar, step: Scalar, n: usize, dtype: DType) -> Result<Tensor> {
    if dtype == DType::Bool {
        return Err(Error::dtype(op, "a range of bool is not defined; use uint8 or a wider type"));
    }
    let out = Tensor::empty(op, &[n], dtype)?;
    for_all_types!(dtype, T => {
        // SAFETY: a fresh output.
        let values = unsafe { out.as_mut_slice::<T>() };
        let exact = !dtype.is_float();
        for (i, v) in values.iter_mut().enumerate() {
            *v = if exact {
                T::from_scalar(Scalar::Int(start.to_i64().wrapping_add((i as i64).wrapping_mul(step.to_i64()))))
            } else {
                T::from_f64(start.to_f64() + i as f64 * step.to_f64())
            };
        }
    });
    Ok(out)
}
