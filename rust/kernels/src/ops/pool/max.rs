//! Maximum pooling: values with indices, the scatter that is its gradient, and the gather.

use super::*;
use crate::dtype::{DType, Element};
use crate::for_float_types;
use crate::ops::copy;
use crate::parallel::{SendPtr, for_ranges};
use crate::simd::vector::Float;
use std::sync::atomic::{AtomicI64, Ordering};

/// Marks a window without a single input (dilated windows over a tiny input): its value is minus
/// infinity and nothing flows back.
const NOTHING: i64 = -1;

/// The maxima over windows and their flat indices `h * width + w` in the input's plane. NaN wins.
pub fn max_pool2d(x: &Tensor, spec: PoolSpec) -> Result<(Tensor, Tensor)> {
    forward::<i64>("max_pool2d", x, spec)
}

/// The maxima of row-major planes, and where each is.
pub(super) fn forward<P: rows::Place>(
    op: &'static str,
    x: &Tensor,
    spec: PoolSpec,
) -> Result<(Tensor, Tensor)> {
    let x = copy::contiguous(op, x)?;
    let shape = expect_4d(op, x.shape())?;
    let [oh, ow] = output_size(op, shape, &spec)?;
    let [n, c, h, w] = shape;
    if h * w > i32::MAX as usize {
        return Err(Error::value(op, format!("a plane of {h}x{w} has more elements than int32 can count")));
    }
    let windows = rows::Plane::new(spec, [h, w], [oh, ow]);
    let of_four =
        spec == PoolSpec { ceil_mode: spec.ceil_mode, ..PoolSpec::square(2) } && 2 * oh <= h && 2 * ow <= w;
    for_float_types!(op, x.dtype(), T => {
        let values = Tensor::empty(op, &[n, c, oh, ow], x.dtype())?;
        let places = Tensor::empty(op, &[n, c, oh, ow], P::DTYPE)?;
        let (from, to, at) = (SendPtr(x.ptr::<T>()), SendPtr(values.ptr::<T>()), SendPtr(places.ptr::<P>()));
        for_ranges(n * c, planes_a_task(h * w), |planes| {
            let mut row = vec![0; ow];
            for plane in planes {
                // SAFETY: plane < n * c, and each plane is written by one task.
                unsafe {
                    let x = std::slice::from_raw_parts(from.get().add(plane * h * w), h * w);
                    let values = std::slice::from_raw_parts_mut(to.get().add(plane * oh * ow), oh * ow);
                    let places = std::slice::from_raw_parts_mut(at.get().add(plane * oh * ow), oh * ow);
                    if of_four {
                        rows::maxima_of_four(w, ow, x, values, places);
                        continue;
                    }
                    rows::maxima(&windows, x, T::from_f64(f64::NEG_INFINITY), values, &mut row, places);
                }
            }
        });
        Ok((values, places))
    })
}

/// The maxima over windows that divide the plane into `out`, and their flat indices.
pub fn adaptive_max_pool2d(x: &Tensor, out: [usize; 2]) -> Result<(Tensor, Tensor)> {
    const OP: &str = "adaptive_max_pool2d";
    let x = copy::contiguous(OP, x)?;
    let shape = expect_4d(OP, x.shape())?;
    adaptive_checks(OP, shape, out)?;
    let cut = |out: usize, size: usize| -> Vec<_> {
        (0..out).map(|i| adaptive_window(i, out, size)).map(|r| (r.start, r.end)).collect()
    };
    windows(OP, &x, shape, &cut(out[0], shape[2]), &cut(out[1], shape[3]))
}

/// Maxima over the windows `rows x cols`, each a start and an end.
fn windows(
    op: &'static str,
    x: &Tensor,
    [n, c, h, w]: [usize; 4],
    rows: &[(usize, usize)],
    cols: &[(usize, usize)],
) -> Result<(Tensor, Tensor)> {
    let (oh, ow) = (rows.len(), cols.len());
    for_float_types!(op, x.dtype(), T => {
        let values = Tensor::empty(op, &[n, c, oh, ow], x.dtype())?;
        let indices = Tensor::empty(op, &[n, c, oh, ow], DType::I64)?;
        if values.numel() > 0 {
            let (from, to, at) = (SendPtr(x.ptr::<T>()), SendPtr(values.ptr::<T>()), SendPtr(indices.ptr::<i64>()));
            for_ranges(n * c, planes_a_task(h * w), |planes| {
                for plane in planes {
                    // SAFETY: plane < n * c; windows lie within the plane; each plane is written once.
                    unsafe {
                        let x = from.get().add(plane * h * w).cast_const();
                        let values = std::slice::from_raw_parts_mut(to.get().add(plane * oh * ow), oh * ow);
                        let indices = std::slice::from_raw_parts_mut(at.get().add(plane * oh * ow), oh * ow);
                        plane_windows(x, w, rows, cols, values, indices);
                    }
                }
            });
        }
        Ok((values, indices))
    })
}

/// # Safety
/// The windows lie within the plane at `x`.
unsafe fn plane_windows<T: Float>(
    x: *const T,
    width: usize,
    rows: &[(usize, usize)],
    cols: &[(usize, usize)],
    values: &mut [T],
    indices: &mut [i64],
) {
    let out = values.iter_mut().zip(indices);
    for ((value, index), (i, j)) in out.zip(rows.iter().flat_map(|r| cols.iter().map(move |c| (r, c)))) {
        let (mut best, mut at) = (T::from_f64(f64::NEG_INFINITY), NOTHING);
        if i.0 < i.1 && j.0 < j.1 {
            at = (i.0 * width + j.0) as i64;
        }
        for y in i.0..i.1 {
            for x_at in j.0..j.1 {
                let v = *x.add(y * width + x_at);
                #[allow(clippy::eq_op)]
                let better = v > best || v != v;
                if better {
                    (best, at) = (v, (y * width + x_at) as i64);
                }
            }
        }
        (*value, *index) = (best, at);
    }
}

/// Checks a gradient (or anything of the output's shape) and its indices against an input's shape.
fn check_indices(
    op: &'static str,
    like: &Tensor,
    indices: &Tensor,
    input_shape: &[usize],
) -> Result<[usize; 4]> {
    expect_same_dtype(op, indices, DType::I64, "the indices")?;
    expect_same_shape(op, "the indices", indices.shape(), like.shape())?;
    let shape = expect_4d(op, input_shape)?;
    let out = expect_4d(op, like.shape())?;
    if out[..2] != shape[..2] {
        return Err(Error::shape(
            op,
            format!(
                "shapes {out:?} and {shape:?} differ in batch or channels; expected the same first two sizes"
            ),
        ));
    }
    Ok(shape)
}

fn bad_index(op: &'static str, index: i64, [_, _, h, w]: [usize; 4]) -> Error {
    Error::index(
        op,
        format!("index {index} lies outside the plane {h}x{w}, expected 0 to {}", (h * w) as i64 - 1),
    )
}

/// Adds each gradient to the input element its index names: the gradient of [`max_pool2d`] and of
/// [`adaptive_max_pool2d`].
pub fn max_pool2d_grad(g: &Tensor, indices: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
    const OP: &str = "max_pool2d_grad";
    let (g, indices) = (copy::contiguous(OP, g)?, copy::contiguous(OP, indices)?);
    let shape = check_indices(OP, &g, &indices, input_shape)?;
    let (planes, size) = (shape[0] * shape[1], shape[2] * shape[3]);
    for_float_types!(OP, g.dtype(), T => {
        let dx = Tensor::empty(OP, input_shape, g.dtype())?;
        let count = g.numel() / planes.max(1);
        let wrong = AtomicI64::new(NOTHING);
        let (from, at, to) = (SendPtr(g.ptr::<T>()), SendPtr(indices.ptr::<i64>()), SendPtr(dx.ptr::<T>()));
        for_ranges(planes, planes_a_task(size), |range| {
            for plane in range {
                // SAFETY: plane < planes; each plane is written by one task; indices are checked.
                unsafe {
                    let dx = std::slice::from_raw_parts_mut(to.get().add(plane * size), size);
                    let g = std::slice::from_raw_parts(from.get().add(plane * count), count);
                    let indices = std::slice::from_raw_parts(at.get().add(plane * count), count);
                    dx.fill(T::default());
                    for (&g, &i) in g.iter().zip(indices) {
                        match dx.get_mut(i as usize) {
                            Some(d) => *d += g,
                            None if i == NOTHING => {}
                            None => wrong.store(i, Ordering::Relaxed),
                        }
                    }
                }
            }
        });
        match wrong.into_inner() {
            NOTHING => Ok(dx),
            i => Err(bad_index(OP, i, shape)),
        }
    })
}

/// The elements of `x` that `indices` name: the derivative of [`max_pool2d_grad`].
pub fn max_pool2d_gather(x: &Tensor, indices: &Tensor) -> Result<Tensor> {
    const OP: &str = "max_pool2d_gather";
    let (x, indices) = (copy::contiguous(OP, x)?, copy::contiguous(OP, indices)?);
    let shape = check_indices(OP, &indices, &indices, x.shape())?;
    let (planes, size) = (shape[0] * shape[1], shape[2] * shape[3]);
    for_float_types!(OP, x.dtype(), T => {
        let out = Tensor::empty(OP, indices.shape(), x.dtype())?;
        let count = indices.numel() / planes.max(1);
        let wrong = AtomicI64::new(NOTHING);
        let (from, at, to) = (SendPtr(x.ptr::<T>()), SendPtr(indices.ptr::<i64>()), SendPtr(out.ptr::<T>()));
        for_ranges(planes, planes_a_task(count), |range| {
            for plane in range {
                // SAFETY: as in `max_pool2d_grad`.
                unsafe {
                    let x = std::slice::from_raw_parts(from.get().add(plane * size), size);
                    let out = std::slice::from_raw_parts_mut(to.get().add(plane * count), count);
                    let indices = std::slice::from_raw_parts(at.get().add(plane * count), count);
                    for (o, &i) in out.iter_mut().zip(indices) {
                        *o = x.get(i as usize).copied().unwrap_or_else(|| {
                            if i != NOTHING {
                                wrong.store(i, Ordering::Relaxed);
                            }
                            T::default()
                        });
                    }
                }
            }
        });
        match wrong.into_inner() {
            NOTHING => Ok(out),
            i => Err(bad_index(OP, i, shape)),
        }
    })
}
