//! Local response normalisation (AlexNet): each value over a power of the mean square of its
//! neighbours along the channels.

use crate::error::{Error, Result};
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::ops::softmax::same;
use crate::parallel::{SendPtr, for_each};
use crate::tensor::Tensor;
use crate::{for_float_types, multiversion};
use std::ops::Range;

#[derive(Clone, Copy)]
struct Shape {
    n: usize,
    channels: usize,
    inner: usize,
}

/// Positions worked on side by side.
const WIDTH: usize = 256;

impl Shape {
    fn new(op: &'static str, x: &Tensor, size: usize) -> Result<Shape> {
        x.expect_cpu(op)?;
        if x.ndim() < 2 {
            return Err(Error::shape(
                op,
                format!("expected at least 2 axes, [batch, channels, ...], got shape {:?}", x.shape()),
            ));
        }
        if size == 0 {
            return Err(Error::value(op, "size is 0, expected a window of at least 1 channel"));
        }
        Ok(Shape { n: x.shape()[0], channels: x.shape()[1], inner: x.shape()[2..].iter().product() })
    }

    fn over(&self, f: impl Fn(usize, Range<usize>) + Sync) {
        if self.n * self.channels * self.inner == 0 {
            return;
        }
        let blocks = self.inner.div_ceil(WIDTH);
        for_each(self.n * blocks, |task| {
            let first = task % blocks * WIDTH;
            f(task / blocks * self.channels * self.inner, first..self.inner.min(first + WIDTH));
        });
    }
}

/// d^-beta; the common 0.75 by roots, which vectorise.
#[inline(always)]
fn inverse_power<T: Float>(d: T, beta: T) -> T {
    if beta == T::narrow(0.75) {
        let root = d.sqrt();
        T::ONE / (root * root.sqrt())
    } else {
        d.powf(-beta)
    }
}

/// Channels whose windows hold channel `c`'s square: `before` of it and `after` of it, within range.
#[inline(always)]
fn window(c: usize, before: usize, after: usize, channels: usize) -> Range<usize> {
    c.saturating_sub(before)..c.saturating_add(after).saturating_add(1).min(channels)
}

multiversion! {
    fn forward<T: Float>(s: Shape, x: *const T, y: *mut T, denom: *mut T, at: Range<usize>, size: usize, alpha: T, beta: T, k: T) {
        let w = at.len();
        // SAFETY: channels and positions are in range; tasks have different positions.
        unsafe {
            let row = |p: *const T, c: usize| std::slice::from_raw_parts(p.add(c * s.inner + at.start), w);
            for c in 0..s.channels {
                let mut acc = [T::ZERO; WIDTH];
                let acc = &mut acc[..w];
                for i in window(c, size / 2, (size - 1) / 2, s.channels) {
                    let x = row(x, i);
                    for j in 0..w {
                        acc[j] += x[j] * x[j];
                    }
                }
                let x = row(x, c);
                let y = std::slice::from_raw_parts_mut(y.add(c * s.inner + at.start), w);
                let denom = std::slice::from_raw_parts_mut(denom.add(c * s.inner + at.start), w);
                for j in 0..w {
                    denom[j] = k + alpha * acc[j];
                    y[j] = x[j] * inverse_power(denom[j], beta);
                }
            }
        }
    }
}

/// As PyTorch: `x / denom^beta` with `denom = k + alpha * (mean of squares over the window)`, zeros
/// outside. Returns the output and `denom`.
pub fn local_response_norm(
    x: &Tensor,
    size: usize,
    alpha: f64,
    beta: f64,
    k: f64,
) -> Result<(Tensor, Tensor)> {
    let op = "local_response_norm";
    let s = Shape::new(op, x, size)?;
    let x = copy::contiguous(op, x)?;
    for_float_types!(op, x.dtype(), T => {
        let y = Tensor::empty(op, x.shape(), x.dtype())?;
        let denom = Tensor::empty(op, x.shape(), x.dtype())?;
        let (xp, yp, dp) = (SendPtr(x.ptr::<T>()), SendPtr(y.ptr::<T>()), SendPtr(denom.ptr::<T>()));
        let (alpha, beta, k) = (T::narrow(alpha / size as f64), T::narrow(beta), T::narrow(k));
        // SAFETY: offsets of whole images.
        s.over(|image, at| unsafe {
            forward(s, xp.get().add(image), yp.get().add(image), dp.get().add(image), at, size, alpha, beta, k);
        });
        Ok((y, denom))
    })
}

multiversion! {
    fn backward<T: Float>(s: Shape, g: *const T, x: *const T, y: *const T, denom: *const T, dx: *mut T, at: Range<usize>, size: usize, factor: T, beta: T) {
        let w = at.len();
        // SAFETY: as in `forward`.
        unsafe {
            let row = |p: *const T, c: usize| std::slice::from_raw_parts(p.add(c * s.inner + at.start), w);
            for c in 0..s.channels {
                let mut acc = [T::ZERO; WIDTH];
                let acc = &mut acc[..w];
                // The mirrored window: outputs that looked at this channel.
                for i in window(c, (size - 1) / 2, size / 2, s.channels) {
                    let (g, y, d) = (row(g, i), row(y, i), row(denom, i));
                    for j in 0..w {
                        acc[j] += g[j] * y[j] / d[j];
                    }
                }
                let (g, x, d) = (row(g, c), row(x, c), row(denom, c));
                let dx = std::slice::from_raw_parts_mut(dx.add(c * s.inner + at.start), w);
                for j in 0..w {
                    dx[j] = g[j] * inverse_power(d[j], beta) - factor * x[j] * acc[j];
                }
            }
        }
    }
}

/// The gradient of [`local_response_norm`] for its input.
pub fn local_response_norm_grad(
    g: &Tensor,
    x: &Tensor,
    y: &Tensor,
    denom: &Tensor,
    size: usize,
    alpha: f64,
    beta: f64,
) -> Result<Tensor> {
    let op = "local_response_norm_grad";
    let s = Shape::new(op, x, size)?;
    for (name, t) in [("the gradient", g), ("the output", y), ("denom", denom)] {
        t.expect_cpu(op)?;
        same(op, name, t, "the input", x)?;
    }
    let (g, x) = (copy::contiguous(op, g)?, copy::contiguous(op, x)?);
    let (y, denom) = (copy::contiguous(op, y)?, copy::contiguous(op, denom)?);
    for_float_types!(op, x.dtype(), T => {
        let dx = Tensor::empty(op, x.shape(), x.dtype())?;
        let (gp, xp, yp) = (SendPtr(g.ptr::<T>()), SendPtr(x.ptr::<T>()), SendPtr(y.ptr::<T>()));
        let (dp, to) = (SendPtr(denom.ptr::<T>()), SendPtr(dx.ptr::<T>()));
        let factor = T::narrow(2.0 * alpha * beta / size as f64);
        // SAFETY: offsets of whole images.
        s.over(|i, at| unsafe {
            backward(s, gp.get().add(i), xp.get().add(i), yp.get().add(i), dp.get().add(i), to.get().add(i), at, size, factor, T::narrow(beta));
        });
        Ok(dx)
    })
}
