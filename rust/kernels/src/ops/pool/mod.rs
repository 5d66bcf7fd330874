//! Pooling over the last two axes of `[batch, channels, height, width]`, with PyTorch's windows.
//!
//! Maximum pooling returns the flat index of each maximum in its plane; its gradient scatters to
//! those indices and the derivative of that gathers from them, so the family is closed.

/// Runs `$body` with a number as a constant where it is small.
macro_rules! constant {
    ($number:expr, $N:ident => $body:expr) => {
        match $number {
            1 => constant!(@ 1, $N => $body),
            2 => constant!(@ 2, $N => $body),
            3 => constant!(@ 3, $N => $body),
            4 => constant!(@ 4, $N => $body),
            other => {
                #[allow(non_snake_case)]
                let $N = other;
                $body
            }
        }
    };
    (@ $value:literal, $N:ident => $body:expr) => {{
        const $N: usize = $value;
        $body
    }};
}

mod average;
mod channels;
mod max;
mod offsets;
mod planes;
mod rows;

pub use average::{adaptive_avg_pool2d, adaptive_avg_pool2d_grad, avg_pool2d, avg_pool2d_grad};
pub use max::{adaptive_max_pool2d, max_pool2d, max_pool2d_gather, max_pool2d_grad};
pub use offsets::{max_pool2d_offsets, max_pool2d_offsets_gather, max_pool2d_offsets_grad};

use crate::error::{Error, Result};
use crate::layout::checked_numel;
use crate::tensor::Tensor;
use std::ops::Range;

/// How the windows lie: `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub dilation: [usize; 2],
    pub ceil_mode: bool,
}

impl PoolSpec {
    /// Square windows side by side, the default of PyTorch's pooling layers.
    pub fn square(kernel: usize) -> PoolSpec {
        PoolSpec {
            kernel: [kernel; 2],
            stride: [kernel; 2],
            padding: [0; 2],
            dilation: [1; 2],
            ceil_mode: false,
        }
    }
}

/// The largest window and adaptive output side: lists of windows stay small.
const LARGEST: usize = 1 << 26;

fn expect_4d(op: &'static str, shape: &[usize]) -> Result<[usize; 4]> {
    <[usize; 4]>::try_from(shape)
        .map_err(|_| Error::shape(op, format!("expected an input with 4 axes, got {shape:?}")))
}

fn expect_same_shape(op: &'static str, what: &str, got: &[usize], expected: &[usize]) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::shape(op, format!("{what} has shape {got:?}, expected {expected:?}")))
}

fn expect_same_dtype(op: &'static str, x: &Tensor, dtype: crate::dtype::DType, what: &str) -> Result<()> {
    if x.dtype() == dtype {
        return Ok(());
    }
    Err(Error::dtype(op, format!("{what} has dtype {}, expected {dtype}", x.dtype())))
}

/// The number of windows along each axis, by PyTorch's rule: with `ceil_mode` the last window may
/// reach beyond the padding, but it starts inside the input or the padding before it.
fn output_size(op: &'static str, shape: [usize; 4], spec: &PoolSpec) -> Result<[usize; 2]> {
    for (name, value) in [("kernel size", spec.kernel), ("stride", spec.stride), ("dilation", spec.dilation)]
    {
        if value.contains(&0) {
            return Err(Error::value(op, format!("{name} must be positive, got {value:?}")));
        }
    }
    let mut out = [0; 2];
    for axis in 0..2 {
        let (k, s, p, d) = (spec.kernel[axis], spec.stride[axis], spec.padding[axis], spec.dilation[axis]);
        let size = shape[2 + axis];
        let large = isize::MAX as usize / 8;
        let reach = (k - 1).saturating_mul(d).saturating_add(1);
        if reach > LARGEST || s > large || size > large {
            return Err(Error::value(op, format!("kernel {k} (dilation {d}, stride {s}) is too large")));
        }
        if p > reach / 2 {
            return Err(Error::value(
                op,
                format!(
                    "padding should be at most half of the kernel size, got padding {p}, kernel size {k} \
                     and dilation {d}"
                ),
            ));
        }
        let padded = size + 2 * p;
        let room = padded as isize - reach as isize + if spec.ceil_mode { s as isize - 1 } else { 0 };
        let mut n = room.div_euclid(s as isize) + 1;
        if spec.ceil_mode && (n - 1) * s as isize >= (size + p) as isize {
            n -= 1;
        }
        if n < 1 || size == 0 {
            let [h, w] = [shape[2], shape[3]];
            let ([kh, kw], pad) = (spec.kernel, spec.padding);
            return Err(Error::shape(
                op,
                format!(
                    "kernel {kh}x{kw} (dilation {d}, padding {pad:?}) does not fit the input {h}x{w}; \
                     use a smaller kernel or a larger input"
                ),
            ));
        }
        out[axis] = n as usize;
    }
    checked_numel(op, &[shape[0], shape[1], out[0], out[1]])?;
    Ok(out)
}

/// The inputs that window `i` of `out` adaptive windows over `size` covers.
fn adaptive_window(i: usize, out: usize, size: usize) -> Range<usize> {
    let start = i / out * size + i % out * size / out;
    let end = ((i + 1) * size).div_ceil(out);
    start..end
}

fn adaptive_checks(op: &'static str, shape: [usize; 4], out: [usize; 2]) -> Result<()> {
    if shape[2] == 0 || shape[3] == 0 {
        let [_, _, h, w] = shape;
        return Err(Error::shape(op, format!("expected an input with a height and a width, got {h}x{w}")));
    }
    if out.iter().any(|&o| o > LARGEST) || shape.iter().any(|&s| s > u32::MAX as usize) {
        return Err(Error::value(op, format!("output size {out:?} is too large")));
    }
    checked_numel(op, &[shape[0], shape[1], out[0], out[1]])?;
    Ok(())
}

/// Whether to make the gradient of a picture pooled to one position, whose own memory is the same in
/// both orders, with the channels last: as convolutions of that many channels want it.
fn prefers_channels_last(g: &Tensor) -> bool {
    let (c, positions) = (g.shape()[1], g.shape()[2..].iter().product::<usize>());
    g.channels_last().is_some() || (positions == 1 && c >= 16 && g.dtype() == crate::DType::F32)
}

/// Planes that one task takes, by the elements of a plane.
fn planes_a_task(elements: usize) -> usize {
    (crate::parallel::GRAIN / 2 / elements.max(1)).max(1)
}

#[cfg(test)]
mod tests;
