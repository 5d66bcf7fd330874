//! Maximum pooling that keeps of each maximum only its tap in the window, a byte: what the gradient
//! needs where nobody asked for indices. In either order of memory.

use super::channels::{NOTHING, Taps};
use super::max::{forward, max_pool2d, max_pool2d_gather, max_pool2d_grad};
use super::*;
use crate::dtype::DType;
use crate::for_float_types;
use crate::ops::copy;
use crate::parallel::{SendPtr, for_ranges};

/// The maxima over windows, and which tap each is (255: a window without an input). Windows too large
/// for a byte give the indices of [`max_pool2d`] instead.
pub fn max_pool2d_offsets(x: &Tensor, spec: PoolSpec) -> Result<(Tensor, Tensor)> {
    const OP: &str = "max_pool2d";
    if spec.kernel[0].saturating_mul(spec.kernel[1]) > NOTHING as usize {
        return max_pool2d(x, spec);
    }
    let Some(rows) = x.channels_last() else { return forward::<u8>(OP, x, spec) };
    let shape = expect_4d(OP, x.shape())?;
    let [oh, ow] = output_size(OP, shape, &spec)?;
    let [n, c, h, w] = shape;
    let out = [n, c, oh, ow];
    for_float_types!(OP, x.dtype(), T => {
        let values = Tensor::empty_rows(OP, &out, x.dtype())?;
        let taps = Tensor::empty_rows(OP, &out, DType::U8)?;
        Taps::new(&spec, [h, w], [oh, ow], c).maxima::<T>(
            n, SendPtr(rows.ptr::<T>()), SendPtr(values.ptr::<T>()), SendPtr(taps.ptr::<u8>()),
        );
        Ok((Tensor::from_channels_last(values, &out), Tensor::from_channels_last(taps, &out)))
    })
}

fn check(
    op: &'static str,
    like: &Tensor,
    offsets: &Tensor,
    shape: &[usize],
    spec: &PoolSpec,
) -> Result<[usize; 4]> {
    expect_same_dtype(op, offsets, DType::U8, "the offsets")?;
    let shape = expect_4d(op, shape)?;
    let [oh, ow] = output_size(op, shape, spec)?;
    expect_same_shape(op, "the gradient", like.shape(), &[shape[0], shape[1], oh, ow])?;
    expect_same_shape(op, "the offsets", offsets.shape(), like.shape())?;
    Ok(shape)
}

/// For every tap, how far its input lies from the first one's in a plane of `width` columns.
fn distances(spec: &PoolSpec, width: usize) -> [isize; 256] {
    let mut far = [0; 256];
    for (tap, far) in far.iter_mut().enumerate() {
        let (i, j) = (tap / spec.kernel[1], tap % spec.kernel[1]);
        *far = (i * spec.dilation[0] * width + j * spec.dilation[1]) as isize;
    }
    far
}

/// Calls `f(output, input)` with the places in their planes of every window's maximum.
#[inline(always)]
fn each(
    spec: &PoolSpec,
    [_, _, h, w]: [usize; 4],
    ow: usize,
    far: &[isize; 256],
    taps: &[u8],
    mut f: impl FnMut(usize, usize),
) {
    for (y, row) in taps.chunks_exact(ow).enumerate() {
        let top = (y * spec.stride[0]) as isize - spec.padding[0] as isize;
        for (x, &tap) in row.iter().enumerate() {
            let left = (x * spec.stride[1]) as isize - spec.padding[1] as isize;
            let at = (top * w as isize + left + far[tap as usize]) as usize;
            if tap != NOTHING && at < h * w {
                f(y * ow + x, at);
            }
        }
    }
}

/// The gradient of [`max_pool2d_offsets`].
pub fn max_pool2d_offsets_grad(
    g: &Tensor,
    offsets: &Tensor,
    input_shape: &[usize],
    spec: PoolSpec,
) -> Result<Tensor> {
    const OP: &str = "max_pool2d_grad";
    if offsets.dtype() == DType::I64 {
        return max_pool2d_grad(g, offsets, input_shape);
    }
    let shape = check(OP, g, offsets, input_shape, &spec)?;
    let [n, c, h, w] = shape;
    let (oh, ow) = (g.shape()[2], g.shape()[3]);
    let last = offsets.channels_last();
    for_float_types!(OP, g.dtype(), T => {
        if last.is_some() || prefers_channels_last(g) {
            let (g, taps) = (g.to_channels_last(OP)?, offsets.to_channels_last(OP)?);
            let dx = Tensor::empty_rows(OP, input_shape, g.dtype())?;
            Taps::new(&spec, [h, w], [oh, ow], c).spread::<T>(
                n, SendPtr(g.ptr::<T>()), SendPtr(taps.ptr::<u8>()), SendPtr(dx.ptr::<T>()),
            );
            return Ok(Tensor::from_channels_last(dx, input_shape));
        }
        let (g, taps) = (copy::contiguous(OP, g)?, copy::contiguous(OP, offsets)?);
        let dx = Tensor::empty(OP, input_shape, g.dtype())?;
        let far = distances(&spec, w);
        let (size, count) = (h * w, oh * ow);
        let (from, at, to) = (SendPtr(g.ptr::<T>()), SendPtr(taps.ptr::<u8>()), SendPtr(dx.ptr::<T>()));
        for_ranges(n * c, planes_a_task(size), |planes| {
            for plane in planes {
                // SAFETY: plane < n * c, and each plane is written by one task.
                unsafe {
                    let dx = std::slice::from_raw_parts_mut(to.get().add(plane * size), size);
                    let g = std::slice::from_raw_parts(from.get().add(plane * count), count);
                    let taps = std::slice::from_raw_parts(at.get().add(plane * count), count);
                    dx.fill(T::default());
                    each(&spec, shape, ow, &far, taps, |o, i| dx[i] += g[o]);
                }
            }
        });
        Ok(dx)
    })
}

/// The elements of `x` that are the maxima: the derivative of [`max_pool2d_offsets_grad`].
pub fn max_pool2d_offsets_gather(x: &Tensor, offsets: &Tensor, spec: PoolSpec) -> Result<Tensor> {
    const OP: &str = "max_pool2d_gather";
    if offsets.dtype() == DType::I64 {
        return max_pool2d_gather(x, offsets);
    }
    let shape = check(OP, offsets, offsets, x.shape(), &spec)?;
    let (x, taps) = (copy::contiguous(OP, x)?, copy::contiguous(OP, offsets)?);
    let (planes, size, ow) = (shape[0] * shape[1], shape[2] * shape[3], offsets.shape()[3]);
    for_float_types!(OP, x.dtype(), T => {
        let out = Tensor::empty(OP, offsets.shape(), x.dtype())?;
        let (far, count) = (distances(&spec, shape[3]), offsets.shape()[2] * ow);
        let (from, at, to) = (SendPtr(x.ptr::<T>()), SendPtr(taps.ptr::<u8>()), SendPtr(out.ptr::<T>()));
        for_ranges(planes, planes_a_task(count), |range| {
            for plane in range {
                // SAFETY: as in `max_pool2d_offsets_grad`.
                unsafe {
                    let x = std::slice::from_raw_parts(from.get().add(plane * size), size);
                    let out = std::slice::from_raw_parts_mut(to.get().add(plane * count), count);
                    let taps = std::slice::from_raw_parts(at.get().add(plane * count), count);
                    out.fill(T::default());
                    each(&spec, shape, ow, &far, taps, |o, i| out[o] = x[i]);
                }
            }
        });
        Ok(out)
    })
}
