//! The norm of all gradients together, and scaling them.

use super::group::{Real, tasks};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::parallel::{SendPtr, for_each};
use crate::tensor::Tensor;
use crate::{for_float_types, multiversion};
use std::collections::HashSet;
use std::sync::Arc;

/// Accumulators side by side: four AVX-512 registers of float64.
const LANES: usize = 32;

/// A rule to accumulate absolute values in float64.
macro_rules! accumulator {
    ($name:ident, |$sum:ident, $x:ident, $p:ident| $e:expr, $join:expr) => {
        multiversion! {
            fn $name<T: Float>(values: &[T], $p: f64) -> f64 {
                let mut sums = [0f64; LANES];
                let (chunks, rest) = values.as_chunks::<LANES>();
                for chunk in chunks {
                    for l in 0..LANES {
                        let ($sum, $x) = (sums[l], chunk[l].wide());
                        sums[l] = $e;
                    }
                }
                let mut sums = crate::simd::by_memory(sums);
                for (l, v) in rest.iter().enumerate() {
                    let ($sum, $x) = (sums[l], v.wide());
                    sums[l] = $e;
                }
                sums.into_iter().fold(0f64, $join)
            }
        }
    };
}

fn largest(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

fn add(a: f64, b: f64) -> f64 {
    a + b
}

accumulator!(sum_squares, |s, x, p| s + (x * p) * (x * p), add);
accumulator!(sum_absolute, |s, x, _p| s + x.abs(), add);
accumulator!(max_absolute, |s, x, _p| if s > x.abs() || s.is_nan() { s } else { x.abs() }, largest);
accumulator!(sum_powers, |s, x, p| s + x.abs().powf(p), add);
accumulator!(count_nonzero, |s, x, _p| s + (x != 0.0) as u8 as f64, add);

/// Accumulates over all tensors; the order does not depend on threads.
fn total(
    grads: &[Tensor],
    f32s: fn(&[f32], f64) -> f64,
    f64s: fn(&[f64], f64) -> f64,
    p: f64,
    join: fn(f64, f64) -> f64,
) -> f64 {
    let lengths: Vec<usize> = grads.iter().map(Tensor::numel).collect();
    let tasks = tasks(&lengths);
    let mut parts = vec![0f64; tasks.len()];
    let to = SendPtr(parts.as_mut_ptr());
    for_each(tasks.len(), |task| {
        let mut sum = 0.0;
        for (i, range) in &tasks[task] {
            let g = &grads[*i];
            // SAFETY: row-major, checked dtype, only read in this call.
            let part = unsafe {
                if g.dtype() == DType::F32 {
                    f32s(&g.as_slice::<f32>()[range.clone()], p)
                } else {
                    f64s(&g.as_slice::<f64>()[range.clone()], p)
                }
            };
            sum = join(sum, part);
        }
        // SAFETY: one slot a task.
        unsafe { *to.get().add(task) = sum };
    });
    parts.into_iter().fold(0.0, join)
}

/// A row-major tensor whose memory is in this order already: tasks should not be the first to ask for it.
fn row_major(op: &'static str, g: &Tensor) -> Result<Tensor> {
    let row = copy::contiguous(op, g)?;
    let _ = row.storage().ptr();
    Ok(row)
}

/// The `p`-norm of all elements of all gradients (`p` may be infinite), accumulated in float64.
pub fn grad_norm(grads: &[&Tensor], p: f64) -> Result<f64> {
    let op = "clip_grad_norm_";
    if p.is_nan() || p < 0.0 {
        return Err(Error::value(op, format!("the norm's order must not be negative, got {p}")));
    }
    let mut rows = Vec::with_capacity(grads.len());
    for g in grads {
        g.expect_cpu(op)?;
        for_float_types!(op, g.dtype(), T => { let _: Option<T> = None; });
        rows.push(row_major(op, g)?);
    }
    let most = || total(&rows, max_absolute::<f32>, max_absolute::<f64>, p, largest);
    Ok(if p == f64::INFINITY {
        most()
    } else if p == 2.0 {
        let sum = total(&rows, sum_squares::<f32>, sum_squares::<f64>, 1.0, add);
        // Squares of float64 may overflow or vanish: scale by the largest, a power of two.
        if (1e-280..1e300).contains(&sum) || sum.is_nan() {
            sum.sqrt()
        } else {
            let top = most();
            if top == 0.0 || !top.is_finite() {
                return Ok(top);
            }
            let scale = 2f64.powi(-(top.log2().floor() as i32).clamp(-1000, 1000));
            total(&rows, sum_squares::<f32>, sum_squares::<f64>, scale, add).sqrt() / scale
        }
    } else if p == 1.0 {
        total(&rows, sum_absolute::<f32>, sum_absolute::<f64>, p, add)
    } else if p == 0.0 {
        total(&rows, count_nonzero::<f32>, count_nonzero::<f64>, p, add)
    } else {
        total(&rows, sum_powers::<f32>, sum_powers::<f64>, p, add).powf(1.0 / p)
    })
}

multiversion! {
    fn scale_piece<T: Real>(values: &mut [T], factor: T) {
        for v in values {
            *v = *v * factor;
        }
    }
}

/// Multiplies all gradients in place; one that is given twice is scaled once.
pub fn scale_all(grads: &[&Tensor], factor: f64) -> Result<()> {
    let op = "clip_grad_norm_";
    let mut seen = HashSet::new();
    let mut grads = grads.to_vec();
    grads.retain(|g| seen.insert((Arc::as_ptr(g.storage()), g.layout().offset(), g.shape(), g.strides())));
    for g in &grads {
        g.expect_cpu(op)?;
        g.expect_writable(op)?;
        for_float_types!(op, g.dtype(), T => { let _: Option<T> = None; });
    }
    let mut rows = Vec::with_capacity(grads.len());
    for g in &grads {
        rows.push(row_major(op, g)?);
    }
    let lengths: Vec<usize> = rows.iter().map(Tensor::numel).collect();
    let tasks = tasks(&lengths);
    for_each(tasks.len(), |task| {
        for (i, range) in &tasks[task] {
            let g = &rows[*i];
            // SAFETY: row-major, checked dtype; pieces of one tensor are disjoint.
            unsafe {
                if g.dtype() == DType::F32 {
                    let part = std::slice::from_raw_parts_mut(g.ptr::<f32>().add(range.start), range.len());
                    scale_piece(part, factor as f32);
                } else {
                    let part = std::slice::from_raw_parts_mut(g.ptr::<f64>().add(range.start), range.len());
                    scale_piece(part, factor);
                }
            }
        }
    });
    for (g, row) in grads.iter().zip(&rows) {
        if !g.is_contiguous() {
            copy::copy_into(op, g, row)?;
        }
        g.storage().bump_version();
    }
    Ok(())
}
