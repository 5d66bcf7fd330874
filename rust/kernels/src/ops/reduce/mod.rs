//! Reductions over any set of axes of tensors with any strides.

mod arg;
mod engine;
pub(crate) mod float;
mod kinds;
mod plan;
mod short;

pub use arg::{argmax, argmin, max_dim, min_dim};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::layout::{Dims, Layout, normalize_axes};
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use engine::reduce;
pub(crate) use kinds::FloatNumber;
use kinds::*;
use plan::{Plan, compute_type};
pub(crate) use short::short_maxima;
use smallvec::SmallVec;
use std::sync::Arc;

/// The same bytes as another dtype of the same size.
fn relabelled(op: &'static str, x: &Tensor, dtype: DType) -> Result<Tensor> {
    Tensor::from_parts(op, Arc::clone(x.storage()), x.layout().clone(), dtype)
}

/// In a dtype that kernels read: storage types are cast, bool is read as bytes 0 and 1.
fn readable(op: &'static str, x: &Tensor) -> Result<Tensor> {
    match x.dtype() {
        DType::Bool => relabelled(op, x, DType::U8),
        other => copy::cast(op, x, compute_type(other)),
    }
}

/// A result computed from `readable` back in the dtype that came.
fn returned(op: &'static str, x: Tensor, dtype: DType) -> Result<Tensor> {
    match dtype {
        DType::Bool => relabelled(op, &x, DType::Bool),
        other => copy::cast(op, &x, other),
    }
}

/// The elements of a contiguous tensor in another shape of the same size.
pub(crate) fn reshaped(x: &Tensor, shape: &[usize]) -> Tensor {
    x.with_layout(Layout::new(shape.into(), crate::layout::contiguous_strides(shape), x.layout().offset()))
}

/// Rows of channels, the axes of these to reduce, and the shape of the result.
type OfChannels = (Tensor, SmallVec<[isize; 3]>, Dims);

/// A reduction over all positions, and maybe more axes, of a tensor held with the channels last.
fn of_channels(op: &'static str, x: &Tensor, axes: &[isize], keepdim: bool) -> Result<Option<OfChannels>> {
    let Some(rows) = x.channels_last() else { return Ok(None) };
    let gone = normalize_axes(op, axes, x.ndim(), true)?;
    if !(2..x.ndim()).all(|axis| gone.contains(&axis)) {
        return Ok(None);
    }
    let mut moved: SmallVec<[isize; 3]> = SmallVec::from_slice(&[1]);
    moved.extend([(0, 0), (1, 2)].iter().filter(|(axis, _)| gone.contains(axis)).map(|&(_, to)| to));
    let kept = |(axis, &size): (usize, &usize)| match gone.contains(&axis) {
        true => keepdim.then_some(1),
        false => Some(size),
    };
    Ok(Some((rows, moved, x.shape().iter().enumerate().filter_map(kept).collect())))
}

/// Runs `$body` with `$T` standing for the type of a tensor that [`readable`] returned.
macro_rules! for_numbers {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
            _ => {
                type $T = f32;
                $body
            }
        }
    };
}

/// A tensor that [`readable`] returned as integers of the same bits, and how many of the highest do
/// not count: a float's sign. Comparing floats would take denormals for zero, as kernels flush them.
fn bits(op: &'static str, x: &Tensor) -> Result<(Tensor, u32)> {
    Ok(match x.dtype() {
        DType::F32 => (relabelled(op, x, DType::I32)?, 1),
        DType::F64 => (relabelled(op, x, DType::I64)?, 1),
        _ => (x.clone(), 0),
    })
}

/// As [`for_numbers`], of a tensor that [`bits`] returned.
macro_rules! for_bits {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            _ => {
                type $T = i64;
                $body
            }
        }
    };
}

/// What a sum or product of `dtype` has as result: integers and bool become int64.
fn sum_type(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::I64 }
}

/// The sum over axes (all of them if none are named).
pub fn sum(x: &Tensor, axes: &[isize], keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    #[cfg(feature = "gpu")]
    if x.device() == crate::storage::Device::Gpu && dtype.is_none_or(|d| d == x.dtype()) {
        return crate::gpu::sum(x, axes, keepdim);
    }
    x.expect_cpu("sum")?;
    if let Some((rows, axes, shape)) = of_channels("sum", x, axes, keepdim)? {
        return Ok(reshaped(&sum(&rows, &axes, false, dtype)?, &shape));
    }
    let to = dtype.unwrap_or(sum_type(x.dtype()));
    // A sum of integers wraps the same way before and after a cast to fewer bits, so only a change
    // to or from floats has to come first.
    let x = if to.is_float() && to != x.dtype() { copy::cast("sum", x, to)? } else { x.clone() };
    let x = if to == DType::Bool { copy::cast("sum", &x, to)? } else { x };
    let x = if x.dtype().is_float() && !to.is_float() { copy::cast("sum", &x, DType::I64)? } else { x };
    let x = readable("sum", &x)?;
    let plan = Plan::new("sum", &x, axes, keepdim)?;
    let out = for_numbers!(x.dtype(), T => reduce("sum", Sum::<T>::new(1.0), &x, &plan, None)?);
    copy::cast("sum", &out, to)
}

/// The product over axes (all of them if none are named).
pub fn prod(x: &Tensor, axes: &[isize], keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    x.expect_cpu("prod")?;
    let to = dtype.unwrap_or(sum_type(x.dtype()));
    let x = if to != sum_type(x.dtype()) { copy::cast("prod", x, to)? } else { x.clone() };
    let x = readable("prod", &x)?;
    let plan = Plan::new("prod", &x, axes, keepdim)?;
    let out = for_numbers!(x.dtype(), T => reduce("prod", Prod::<T>::new(), &x, &plan, None)?);
    copy::cast("prod", &out, to)
}

/// The mean over axes (all of them if none are named); floating point only.
pub fn mean(x: &Tensor, axes: &[isize], keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    x.expect_cpu("mean")?;
    if let Some((rows, axes, shape)) = of_channels("mean", x, axes, keepdim)? {
        return Ok(reshaped(&mean(&rows, &axes, false, dtype)?, &shape));
    }
    let to = dtype.unwrap_or(x.dtype());
    if !to.is_float() {
        let (what, which) = if dtype.is_some() { ("dtype", "argument") } else { ("input dtype", "input") };
        return Err(Error::dtype(
            "mean",
            format!(
                "could not infer output dtype: {what} must be a floating point dtype, got {to} as {which}; \
                     convert with .float() first or pass dtype=float32"
            ),
        ));
    }
    let x = readable("mean", &copy::cast("mean", x, to)?)?;
    let plan = Plan::new("mean", &x, axes, keepdim)?;
    let scale = 1.0 / plan.count as f64;
    let out =
        for_float_types!("mean", x.dtype(), T => reduce("mean", Sum::<T>::new(scale), &x, &plan, None)?);
    copy::cast("mean", &out, to)
}

fn refuse_empty(op: &'static str, x: &Tensor, axes: &[isize]) -> Result<()> {
    let gone = normalize_axes(op, axes, x.ndim(), true)?;
    match gone.iter().find(|&&a| x.shape()[a] == 0) {
        None => Ok(()),
        Some(a) => Err(Error::index(
            op,
            format!(
                "axis {a} of shape {:?} has no elements, and an empty reduction has no result",
                x.shape()
            ),
        )),
    }
}

/// The largest element over axes; not-a-number wins.
pub fn amax(x: &Tensor, axes: &[isize], keepdim: bool) -> Result<Tensor> {
    x.expect_cpu("amax")?;
    refuse_empty("amax", x, axes)?;
    let y = readable("amax", x)?;
    let plan = Plan::new("amax", &y, axes, keepdim)?;
    returned(
        "amax",
        for_numbers!(y.dtype(), T => reduce("amax", Max::<T>::new(), &y, &plan, None)?),
        x.dtype(),
    )
}

/// The smallest element over axes; not-a-number wins.
pub fn amin(x: &Tensor, axes: &[isize], keepdim: bool) -> Result<Tensor> {
    x.expect_cpu("amin")?;
    refuse_empty("amin", x, axes)?;
    let y = readable("amin", x)?;
    let plan = Plan::new("amin", &y, axes, keepdim)?;
    returned(
        "amin",
        for_numbers!(y.dtype(), T => reduce("amin", Min::<T>::new(), &y, &plan, None)?),
        x.dtype(),
    )
}

/// As PyTorch's `any` and `all`: bool, except that uint8 stays uint8.
fn truth_type(dtype: DType) -> DType {
    if dtype == DType::U8 { DType::U8 } else { DType::Bool }
}

/// Whether any element over axes is not zero.
pub fn any(x: &Tensor, axes: &[isize], keepdim: bool) -> Result<Tensor> {
    x.expect_cpu("any")?;
    let (y, skip) = bits("any", &readable("any", x)?)?;
    let plan = Plan::new("any", &y, axes, keepdim)?;
    let out = for_bits!(y.dtype(), T => reduce("any", Any::<T>::new(skip), &y, &plan, None)?);
    relabelled("any", &out, truth_type(x.dtype()))
}

/// Whether all elements over axes are not zero.
pub fn all(x: &Tensor, axes: &[isize], keepdim: bool) -> Result<Tensor> {
    x.expect_cpu("all")?;
    let (y, skip) = bits("all", &readable("all", x)?)?;
    let plan = Plan::new("all", &y, axes, keepdim)?;
    let out = for_bits!(y.dtype(), T => reduce("all", All::<T>::new(skip), &y, &plan, None)?);
    relabelled("all", &out, truth_type(x.dtype()))
}

/// How many elements over axes are not zero.
pub fn count_nonzero(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    x.expect_cpu("count_nonzero")?;
    let (y, skip) = bits("count_nonzero", &readable("count_nonzero", x)?)?;
    let plan = Plan::new("count_nonzero", &y, axes, false)?;
    for_bits!(y.dtype(), T => reduce("count_nonzero", CountNonzero::<T>::new(skip), &y, &plan, None))
}

/// The input of an operation for floats, in float32 or float64.
fn expect_float(op: &'static str, x: &Tensor) -> Result<Tensor> {
    x.expect_cpu(op)?;
    if !x.dtype().is_float() {
        return Err(Error::dtype(
            op,
            format!("expected a floating point tensor, got {}; convert with .float() first", x.dtype()),
        ));
    }
    readable(op, x)
}

/// The variance over axes: squared distances from the mean, divided by the count less `correction`.
pub fn var(x: &Tensor, axes: &[isize], keepdim: bool, correction: f64) -> Result<Tensor> {
    let y = expect_float("var", x)?;
    let plan = Plan::new("var", &y, axes, keepdim)?;
    let n = plan.count as f64;
    let scale = 1.0 / (n - correction).max(0.0);
    let out = for_float_types!("var", y.dtype(), T => {
        let mean = reduce("var", WideMean::<T>::new(n), &y, &plan, None)?;
        reduce("var", SquaredDistance::<T>::new(scale), &y, &plan, Some(&mean))?
    });
    returned("var", out, x.dtype())
}

/// The logarithm of the sum of exponentials over axes, without overflow.
pub fn logsumexp(x: &Tensor, axes: &[isize], keepdim: bool) -> Result<Tensor> {
    let op = "logsumexp";
    let y = expect_float(op, x)?;
    let plan = Plan::new(op, &y, axes, keepdim)?;
    let out = for_float_types!(op, y.dtype(), T => {
        let top = reduce(op, Max::<T>::new(), &y, &plan, None)?;
        let n = plan.outputs;
        let shift = SendPtr(top.ptr::<T>());
        // An infinite maximum as shift would give inf - inf; zero gives the right infinity.
        for_ranges(n, GRAIN, |range| for i in range {
            // SAFETY: a fresh output; ranges are disjoint.
            let v = unsafe { &mut *shift.get().add(i) };
            *v = if v.is_infinite() { 0.0 } else { *v };
        });
        let out = reduce(op, LogSumExp::<T>::new(), &y, &plan, Some(&top))?;
        let to = SendPtr(out.ptr::<T>());
        for_ranges(n, GRAIN, |range| for i in range {
            // SAFETY: as above.
            unsafe { *to.get().add(i) += *shift.get().add(i) };
        });
        out
    });
    returned(op, out, x.dtype())
}

/// The `p`-norm over axes, as `torch.linalg.vector_norm`.
pub fn norm(x: &Tensor, p: f64, axes: &[isize], keepdim: bool) -> Result<Tensor> {
    let y = expect_float("norm", x)?;
    if p.is_infinite() || p < 0.0 {
        refuse_empty("norm", x, axes)?;
    }
    if p.is_nan() {
        return Err(Error::value("norm", "p is not a number, expected a number or plus or minus infinity"));
    }
    let plan = Plan::new("norm", &y, axes, keepdim)?;
    if p == 0.0 {
        let (y, skip) = bits("norm", &y)?;
        let count = for_bits!(y.dtype(), T => reduce("norm", CountNonzero::<T>::new(skip), &y, &plan, None)?);
        return copy::cast("norm", &count, x.dtype());
    }
    let out = for_float_types!("norm", y.dtype(), T => {
        if p == 2.0 {
            reduce("norm", Norm2::<T>::new(), &y, &plan, None)?
        } else if p == 1.0 {
            reduce("norm", SumAbs::<T>::new(), &y, &plan, None)?
        } else if p == f64::INFINITY {
            reduce("norm", MaxAbs::<T>::new(), &y, &plan, None)?
        } else if p == f64::NEG_INFINITY {
            reduce("norm", MinAbs::<T>::new(), &y, &plan, None)?
        } else {
            reduce("norm", NormP::<T>::new(p), &y, &plan, None)?
        }
    });
    returned("norm", out, x.dtype())
}

/// Undoes a broadcast from `shape`: sums over leading axes and those that had size 1.
pub fn sum_to_shape(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let op = "sum_to_shape";
    if x.shape() == shape {
        return Ok(x.clone());
    }
    let lead = x.ndim().wrapping_sub(shape.len());
    let fits =
        shape.len() <= x.ndim() && (0..shape.len()).all(|i| shape[i] == x.shape()[lead + i] || shape[i] == 1);
    if !fits {
        return Err(Error::shape(
            op,
            format!(
                "shape {shape:?} does not broadcast to {:?}, so the latter cannot be summed to it",
                x.shape()
            ),
        ));
    }
    let axes: Vec<isize> = (0..x.ndim())
        .filter(|&i| i < lead || (shape[i - lead] == 1 && x.shape()[i] != 1))
        .map(|i| i as isize)
        .collect();
    if axes.is_empty() {
        // Cannot happen with a shape that differs, but an empty list would mean all axes.
        return copy::contiguous(op, x);
    }
    let out = sum(x, &axes, true, Some(x.dtype()))?;
    Ok(reshaped(&out, &Dims::from_slice(shape)))
}

#[cfg(test)]
mod tests;
