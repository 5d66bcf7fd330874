//! Layer normalisation: one mean and variance a row, a row being the trailing axes.

use super::rows::{moments, weighted_dots};
use super::{channel_vector, expect_dtype, expect_vector};
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::ops::softmax::same;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::tensor::Tensor;
use crate::{for_float_types, memory, multiversion};

/// Rows and their length.
fn rows(
    op: &'static str,
    x: &Tensor,
    normalized_ndim: usize,
    named: &[(&str, Option<&Tensor>)],
) -> Result<(usize, usize)> {
    x.expect_cpu(op)?;
    if normalized_ndim == 0 || normalized_ndim > x.ndim() {
        return Err(Error::shape(
            op,
            format!(
                "normalized_shape has {normalized_ndim} axes, expected 1 to {} for an input of shape {:?}",
                x.ndim(),
                x.shape()
            ),
        ));
    }
    let (lead, trail) = x.shape().split_at(x.ndim() - normalized_ndim);
    for (name, t) in named {
        if let Some(t) = t {
            t.expect_cpu(op)?;
            if t.shape() != trail {
                return Err(Error::shape(
                    op,
                    format!(
                        "{name} has shape {:?}, expected {trail:?}, the last axes of the input of shape {:?}",
                        t.shape(),
                        x.shape()
                    ),
                ));
            }
            expect_dtype(op, name, t, x.dtype())?;
        }
    }
    Ok((lead.iter().product(), trail.iter().product()))
}

multiversion! {
    fn forward<T: Float>(x: &[T], y: &mut [T], w: Option<&[T]>, b: Option<&[T]>, eps: f64, mean: &mut [T], rstd: &mut [T]) {
        let d = x.len() / mean.len();
        for (i, (x, y)) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).enumerate() {
            let pivot = x[0].wide();
            let (m, var) = moments(x, pivot).mean_var(d, pivot);
            let (m, r) = (T::narrow(m), T::narrow(1.0 / (var + eps).sqrt()));
            (mean[i], rstd[i]) = (m, r);
            // Lengths that the compiler knows to be equal need no checks, and no scalar last turn.
            let (x, y) = (&x[..d], &mut y[..d]);
            let (w, b) = (w.map(|w| &w[..d]), b.map(|b| &b[..d]));
            match (w, b) {
                (Some(w), Some(b)) => {
                    for j in 0..d {
                        y[j] = (x[j] - m) * r * w[j] + b[j];
                    }
                }
                (Some(w), None) => {
                    for j in 0..d {
                        y[j] = (x[j] - m) * r * w[j];
                    }
                }
                (None, Some(b)) => {
                    for j in 0..d {
                        y[j] = (x[j] - m) * r + b[j];
                    }
                }
                (None, None) => {
                    for j in 0..d {
                        y[j] = (x[j] - m) * r;
                    }
                }
            }
        }
    }
}

/// Normalises over the last `normalized_ndim` axes. Returns the output, and the means and one over the
/// standard deviations, one a row.
pub fn layer_norm(
    x: &Tensor,
    normalized_ndim: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let op = "layer_norm";
    let (n, d) = rows(op, x, normalized_ndim, &[("weight", weight), ("bias", bias)])?;
    let x = copy::contiguous(op, x)?;
    let weight = weight.map(|w| copy::contiguous(op, w)).transpose()?;
    let bias = bias.map(|b| copy::contiguous(op, b)).transpose()?;
    for_float_types!(op, x.dtype(), T => {
        let y = Tensor::empty(op, x.shape(), x.dtype())?;
        let (mean, rstd) = (Tensor::zeros(op, &[n], x.dtype())?, Tensor::zeros(op, &[n], x.dtype())?);
        if n * d > 0 {
            // SAFETY: nobody writes to the inputs during the call.
            let (w, b) = unsafe { (weight.as_ref().map(|w| w.as_slice::<T>()), bias.as_ref().map(|b| b.as_slice::<T>())) };
            let (xp, yp) = (SendPtr(x.ptr::<T>()), SendPtr(y.ptr::<T>()));
            let (mp, rp) = (SendPtr(mean.ptr::<T>()), SendPtr(rstd.ptr::<T>()));
            let group = (GRAIN / 2 / d).clamp(1, n);
            for_each(n.div_ceil(group), |k| {
                let (first, len) = (k * group, group.min(n - k * group));
                // SAFETY: tasks have different rows.
                unsafe {
                    let x = std::slice::from_raw_parts(xp.get().add(first * d), len * d);
                    let y = std::slice::from_raw_parts_mut(yp.get().add(first * d), len * d);
                    let m = std::slice::from_raw_parts_mut(mp.get().add(first), len);
                    forward(x, y, w, b, eps, m, std::slice::from_raw_parts_mut(rp.get().add(first), len));
                }
            });
        }
        Ok((y, mean, rstd))
    })
}

/// Rows whose weight gradients add up in the element type before they fold into float64.
const STEPS: usize = 64;

multiversion! {
    /// Input gradients of some rows, and their sums for the weight (`acc[..d]`) and the bias (`acc[d..]`).
    fn backward<T: Float>(g: &[T], x: &[T], dx: Option<&mut [T]>, w: &[T], mean: &[T], rstd: &[T], low: &mut [T], acc: &mut [f64]) {
        let d = w.len();
        let sums = !acc.is_empty();
        let scale = 1.0 / d as f64;
        let mut dx = dx;
        for i in 0..mean.len() {
            let (g, x, w) = (&g[i * d..][..d], &x[i * d..][..d], &w[..d]);
            let (m, r) = (mean[i], rstd[i]);
            if let Some(dx) = &mut dx {
                let (a, b) = weighted_dots(g, w, x, m);
                let (a, b) = (T::narrow(a * scale), T::narrow(b * scale * r.wide() * r.wide()));
                let dx = &mut dx[i * d..][..d];
                for j in 0..d {
                    dx[j] = (g[j] * w[j] - a - (x[j] - m) * b) * r;
                }
            }
            if sums {
                let (dw, db) = low.split_at_mut(d);
                let (dw, db) = (&mut dw[..d], &mut db[..d]);
                for j in 0..d {
                    dw[j] += g[j] * ((x[j] - m) * r);
                    db[j] += g[j];
                }
                if i % STEPS == STEPS - 1 || i + 1 == mean.len() {
                    let (acc, low) = (&mut acc[..2 * d], &mut low[..2 * d]);
                    for j in 0..2 * d {
                        acc[j] += low[j].wide();
                        low[j] = T::ZERO;
                    }
                }
            }
        }
    }
}

/// Gradients of [`layer_norm`] for its input, weight and bias, as far as needed.
pub fn layer_norm_grad(
    g: &Tensor,
    x: &Tensor,
    normalized_ndim: usize,
    weight: Option<&Tensor>,
    mean: &Tensor,
    rstd: &Tensor,
    need: [bool; 3],
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let op = "layer_norm_grad";
    let (n, d) = rows(op, x, normalized_ndim, &[("weight", weight)])?;
    g.expect_cpu(op)?;
    same(op, "the gradient", g, "the input", x)?;
    expect_vector(op, "mean", mean, n, "rows", x.dtype())?;
    expect_vector(op, "rstd", rstd, n, "rows", x.dtype())?;
    let (g, x) = (copy::contiguous(op, g)?, copy::contiguous(op, x)?);
    let trail = &x.shape()[x.ndim() - normalized_ndim..];
    for_float_types!(op, x.dtype(), T => {
        let w = channel_vector::<T>(op, weight, d, T::ONE)?;
        let (m, r) = (channel_vector::<T>(op, Some(mean), n, T::ZERO)?, channel_vector::<T>(op, Some(rstd), n, T::ONE)?);
        let dx = need[0].then(|| Tensor::empty(op, x.shape(), x.dtype())).transpose()?;
        let sums = need[1] || need[2];
        // Cut by shape: at most 32 ranges of rows, each with its own sums.
        // Few long rows share sums as well: four ranges at the least.
        let group = (GRAIN / 2 / d.max(1)).max(n.div_ceil(32)).max(n.div_ceil(4).min(16)).clamp(1, n.max(1));
        let tasks = if n * d == 0 { 0 } else { n.div_ceil(group) };
        let width = if sums { 2 * d } else { 0 };
        let low = memory::allocate(op, tasks * width * size_of::<T>())?;
        let acc = memory::allocate(op, tasks * width * size_of::<f64>())?;
        let (lp, ap) = (SendPtr(low.as_ptr().cast::<T>()), SendPtr(acc.as_ptr().cast::<f64>()));
        let (gp, xp) = (SendPtr(g.ptr::<T>()), SendPtr(x.ptr::<T>()));
        let dp = dx.as_ref().map(|t| SendPtr(t.ptr::<T>()));
        for_each(tasks, |k| {
            let (first, len) = (k * group, group.min(n - k * group));
            // SAFETY: tasks have different rows and different parts of the workspaces.
            unsafe {
                let g = std::slice::from_raw_parts(gp.get().add(first * d), len * d);
                let x = std::slice::from_raw_parts(xp.get().add(first * d), len * d);
                let dx = dp.map(|p| std::slice::from_raw_parts_mut(p.get().add(first * d), len * d));
                let low = std::slice::from_raw_parts_mut(lp.get().add(k * width), width);
                let acc = std::slice::from_raw_parts_mut(ap.get().add(k * width), width);
                low.fill(T::ZERO);
                acc.fill(0.0);
                backward(g, x, dx, &w, &m[first..first + len], &r[first..first + len], low, acc);
            }
        });
        // SAFETY: every task wrote its part.
        let acc = unsafe { std::slice::from_raw_parts(ap.get(), tasks * width) };
        let total = |start: usize| -> Result<Tensor> {
            let values: Vec<T> = (0..d).map(|j| T::narrow((0..tasks).map(|k| acc[k * width + start + j]).sum())).collect();
            Tensor::from_slice(op, &values, trail)
        };
        let dw = if need[1] { Some(total(0)?) } else { None };
        let db = if need[2] { Some(total(d)?) } else { None };
        Ok((dx, dw, db))
    })
}
