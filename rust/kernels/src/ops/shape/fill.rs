//! Matrices and ranges filled by position.

use super::around;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::for_all_types;
use crate::ops::copy;
use crate::ops::index::{for_width, raw};
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;

/// The lower triangle: zeros above diagonal `diagonal` (0 the main one, above 0 right of it).
pub fn tril(x: &Tensor, diagonal: i64) -> Result<Tensor> {
    triangle("tril", x, diagonal, true)
}

/// The upper triangle: zeros below diagonal `diagonal`.
pub fn triu(x: &Tensor, diagonal: i64) -> Result<Tensor> {
    triangle("triu", x, diagonal, false)
}

fn triangle(op: &'static str, x: &Tensor, diagonal: i64, lower: bool) -> Result<Tensor> {
    x.expect_cpu(op)?;
    if x.ndim() < 2 {
        return Err(Error::shape(op, format!("expected at least two axes, got shape {:?}", x.shape())));
    }
    let x = copy::contiguous(op, x)?;
    let out = Tensor::empty(op, x.shape(), x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let (batch, rows, columns) = around(x.shape(), x.ndim() - 2);
    for_width!(x.dtype(), T => {
        let (src, dst) = (SendPtr(raw::<T>(&x)), SendPtr(raw::<T>(&out)));
        for_ranges(batch * rows, (GRAIN / columns).max(1), |range| {
            for row in range {
                // The first column right of the diagonal (lower), or the first on it (upper).
                let edge = ((row % rows) as i64).saturating_add(diagonal).saturating_add(lower as i64);
                let edge = edge.clamp(0, columns as i64) as usize;
                let (zero, keep) = if lower { (edge..columns, 0..edge) } else { (0..edge, edge..columns) };
                // SAFETY: row `row` of both; one writer a row.
                unsafe {
                    let (to, from) = (dst.get().add(row * columns), src.get().add(row * columns));
                    std::ptr::write_bytes(to.add(zero.start), 0, zero.len());
                    std::ptr::copy_nonoverlapping(from.add(keep.start), to.add(keep.start), keep.len());
                }
            }
        });
    });
    Ok(out)
}

/// `n` by `m`, ones on the main diagonal.
pub fn eye(n: usize, m: usize, dtype: DType) -> Result<Tensor> {
    let out = Tensor::zeros("eye", &[n, m], dtype)?;
    for_all_types!(dtype, T => {
        // SAFETY: a fresh output.
        let values = unsafe { out.as_mut_slice::<T>() };
        for i in 0..n.min(m) {
            values[i * m + i] = T::from_f64(1.0);
        }
    });
    Ok(out)
}

/// `n` values from `start` to `end`, both included, evenly apart.
pub fn linspace(start: f64, end: f64, n: usize, dtype: DType) -> Result<Tensor> {
    let op = "linspace";
    if dtype == DType::Bool {
        return Err(Error::dtype(op, "a range of bool is not defined; use uint8 or a wider type"));
    }
    let out = Tensor::empty(op, &[n], dtype)?;
    let step = if n > 1 { (end - start) / (n - 1) as f64 } else { 0.0 };
    for_all_types!(dtype, T => {
        // SAFETY: a fresh output.
        let values = unsafe { out.as_mut_slice::<T>() };
        for (i, v) in values.iter_mut().enumerate() {
            // From the nearer end, so that both ends are exact.
            *v = T::from_f64(if i < n.div_ceil(2) { start + step * i as f64 } else { end - step * (n - 1 - i) as f64 });
        }
    });
    Ok(out)
}
