//! Gather and scatter along an axis: the index has a number for every element.

use super::put::{Add, Combine, Set};
use super::walk::bits;
use super::{Walk, for_width, int64_index, out_of_range, raw};
use crate::dtype::{Element, Scalar};
use crate::error::{Error, Result};
use crate::layout::{Strides, normalize_axis};
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use crate::{for_all_types, for_compute_types, multiversion};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A tensor without axes counts as one element on one axis.
fn at_least_1d(t: &Tensor) -> Tensor {
    if t.ndim() == 0 { t.with_layout(t.layout().unsqueeze(0)) } else { t.clone() }
}

/// Checks that `index` has as many axes as the tensor and is no larger, the axis aside.
fn check_shapes(
    op: &'static str,
    what: &str,
    shape: &[usize],
    index: &[usize],
    free: Option<usize>,
) -> Result<()> {
    if index.contains(&0) {
        return Ok(());
    }
    let fits =
        shape.len() == index.len() && (0..shape.len()).all(|a| Some(a) == free || index[a] <= shape[a]);
    if fits {
        return Ok(());
    }
    let except = free.map_or(String::new(), |a| format!(" (axis {a} aside)"));
    Err(Error::shape(
        op,
        format!(
            "an index of shape {index:?} does not fit {what} of shape {shape:?}: expected as many axes and no larger sizes{except}"
        ),
    ))
}

/// Finds the index that a kernel met as out of range.
#[cold]
fn culprit(op: &'static str, index: &Tensor, axis: usize, size: usize) -> Error {
    // SAFETY: row-major int64 that this call only reads.
    let values = unsafe { index.as_slice::<i64>() };
    let bad = values.iter().copied().find(|&i| i < 0 || i >= size as i64).unwrap_or_default();
    out_of_range(op, bad, axis, size, false)
}

/// Indices that are checked together, ahead of the moves.
const AHEAD: usize = 256;

multiversion! {
    /// Copies indices, those beyond `0..size` as the last one. True if there was one.
    fn clamp_all(index: &[i64], size: usize, to: &mut [isize; AHEAD]) -> bool {
        let (top, mut most) = (size as u64 - 1, 0u64);
        for (t, &i) in to.iter_mut().zip(index) {
            most = most.max(i as u64);
            *t = (i as u64).min(top) as isize;
        }
        most > top
    }
}

/// `out[i][j][k] = x[i][index[i][j][k]][k]` (axis 1 of 3).
pub fn gather(x: &Tensor, axis: isize, index: &Tensor) -> Result<Tensor> {
    let op = "gather";
    x.expect_cpu(op)?;
    let axis = normalize_axis(op, axis, x.ndim())?;
    let shape = index.shape();
    let (x, index) = (at_least_1d(x), at_least_1d(&int64_index(op, index)?));
    check_shapes(op, "the tensor", x.shape(), index.shape(), Some(axis))?;
    let out = Tensor::empty(op, shape, x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let ok = for_width!(x.dtype(), T => gather_typed::<T>(&x, axis, &index, &out));
    if ok { Ok(out) } else { Err(culprit(op, &index, axis, x.shape()[axis])) }
}

/// False if an index was out of range; `out` is then worthless.
fn gather_typed<T: Copy>(x: &Tensor, axis: usize, index: &Tensor, out: &Tensor) -> bool {
    let last = index.ndim() - 1;
    let inner = index.shape()[last];
    let (size, step) = (x.shape()[axis], x.strides()[axis]);
    let along = if axis == last { 0 } else { x.strides()[last] };
    let mut strides: Strides = x.strides().into();
    strides[axis] = 0;
    let outer = Walk::new(&index.shape()[..last], [&strides[..last]]);
    let rows = index.numel() / inner;
    let bad = AtomicBool::new(false);
    if size == 0 {
        return false;
    }
    let (src, dst, idx) = (SendPtr(raw::<T>(x)), SendPtr(raw::<T>(out)), SendPtr(index.ptr::<i64>()));
    let clamp = |i: i64| if (i as u64) < size as u64 { (i as isize, false) } else { (0, true) };
    for_ranges(rows, (GRAIN / inner).max(1), |range| {
        let mut any = false;
        let mut clamped = [0; AHEAD];
        outer.each(range, |row, [start]| {
            // SAFETY: indices are clamped to the axis, the rest lies within the index's shape,
            // which is no larger than the tensor's; rows of `out` are disjoint.
            unsafe {
                let base = src.get().offset(start);
                if inner == 1 {
                    let (i, wrong) = clamp(*idx.get().add(row));
                    any |= wrong;
                    *dst.get().add(row) = *base.offset(i * step);
                    return;
                }
                let i = std::slice::from_raw_parts(idx.get().add(row * inner), inner);
                let to = std::slice::from_raw_parts_mut(dst.get().add(row * inner), inner);
                if along == 0 && inner >= 8 {
                    for (to, i) in to.chunks_mut(AHEAD).zip(i.chunks(AHEAD)) {
                        any |= clamp_all(i, size, &mut clamped);
                        let from = &clamped[..to.len()];
                        if step == 1 {
                            for j in 0..to.len() {
                                to[j] = *base.offset(from[j]);
                            }
                        } else {
                            for j in 0..to.len() {
                                to[j] = *base.offset(from[j] * step);
                            }
                        }
                    }
                } else if along == 0 {
                    for (d, &i) in to.iter_mut().zip(i) {
                        let (i, wrong) = clamp(i);
                        any |= wrong;
                        *d = *base.offset(i * step);
                    }
                } else {
                    for (k, (d, &i)) in to.iter_mut().zip(i).enumerate() {
                        let (i, wrong) = clamp(i);
                        any |= wrong;
                        *d = *base.offset(i * step + k as isize * along);
                    }
                }
            }
        });
        if any {
            bad.store(true, Relaxed);
        }
    });
    !bad.load(Relaxed)
}

/// Combines `src` into the row-major `out` where the index says. `src` may have stride 0.
/// False if an index was out of range.
fn scatter_typed<T: Copy, C: Combine<T>>(
    out: &Tensor,
    axis: usize,
    index: &Tensor,
    src: *const T,
    strides: &[isize],
) -> bool {
    let (shape, size) = (index.shape(), out.shape()[axis]);
    if size == 0 {
        return false;
    }
    // Columns along the axis are independent; within one the order of the index counts. A stretch
    // of columns that memory holds evenly apart is walked together.
    let n = shape[axis];
    let before = [&out.strides()[..axis], &index.strides()[..axis], &strides[..axis]];
    let after = [&out.strides()[axis + 1..], &index.strides()[axis + 1..], &strides[axis + 1..]];
    let (outer, mut inner) = (Walk::new(&shape[..axis], before), Walk::new(&shape[axis + 1..], after));
    let (run, [dr, ir, sr]) = inner.pop();
    let (ds, is, ss) = (out.strides()[axis], index.strides()[axis], strides[axis]);
    // Narrow stretches of wide rows would meet in few cache sets.
    let piece = run.min((GRAIN / n).max(if run < 512 { 16 } else { 256 }));
    let (pieces, rows) = (run.div_ceil(piece), inner.numel());
    let bad = AtomicBool::new(false);
    let (dst, idx, src) = (SendPtr(raw::<T>(out)), SendPtr(index.ptr::<i64>()), SendPtr(src.cast_mut()));
    // SAFETY: callers stay within the three layouts: the offsets lie within the index's shape, which fits both tensors.
    let one = |d: *mut T, i: *const i64, s: *const T| unsafe {
        let wrong = *i as u64 >= size as u64;
        let d = d.offset(if wrong { 0 } else { *i as isize } * ds);
        *d = C::combine(*d, *s);
        wrong
    };
    for_ranges(outer.numel() * rows * pieces, (GRAIN / (n * piece)).max(1), |range| {
        let mut any = false;
        let mut clamped = [0; AHEAD];
        for task in range {
            let (o, r, start) = (task / pieces / rows, task / pieces % rows, task % pieces * piece);
            let len = piece.min(run - start) as isize;
            let ([d0, i0, s0], [d1, i1, s1], c) = (outer.at(o), inner.at(r), start as isize);
            // SAFETY: see `one`; a column of `out` is written by one task.
            unsafe {
                let d = dst.get().offset(d0 + d1 + c * dr);
                let i = idx.get().offset(i0 + i1 + c * ir);
                let s = src.get().offset(s0 + s1 + c * sr);
                if len == 1 && is == 1 && n >= 8 {
                    for (k, i) in std::slice::from_raw_parts(i, n).chunks(AHEAD).enumerate() {
                        any |= clamp_all(i, size, &mut clamped);
                        let s = s.offset((k * AHEAD) as isize * ss);
                        for j in 0..i.len() {
                            let d = d.offset(clamped[j] * ds);
                            *d = C::combine(*d, *s.offset(j as isize * ss));
                        }
                    }
                    continue;
                }
                if len == 1 {
                    for j in 0..n as isize {
                        any |= one(d, i.offset(j * is), s.offset(j * ss));
                    }
                    continue;
                }
                for j in 0..n as isize {
                    let (i, s) = (i.offset(j * is), s.offset(j * ss));
                    if ir == 1 && len >= 8 {
                        for (k, i) in std::slice::from_raw_parts(i, len as usize).chunks(AHEAD).enumerate() {
                            any |= clamp_all(i, size, &mut clamped);
                            for t in 0..i.len() {
                                let c = (k * AHEAD + t) as isize;
                                let d = d.offset(c * dr + clamped[t] * ds);
                                *d = C::combine(*d, *s.offset(c * sr));
                            }
                        }
                        continue;
                    }
                    for c in 0..len {
                        any |= one(d.offset(c * dr), i.offset(c * ir), s.offset(c * sr));
                    }
                }
            }
        }
        if any {
            bad.store(true, Relaxed);
        }
    });
    !bad.load(Relaxed)
}

/// What every scatter checks: the axis, the index's shape; and the copy it writes to.
fn prepare(op: &'static str, x: &Tensor, axis: isize, index: &Tensor) -> Result<(Tensor, usize, Tensor)> {
    x.expect_cpu(op)?;
    let axis = normalize_axis(op, axis, x.ndim())?;
    let (one_d, index) = (at_least_1d(x), at_least_1d(&int64_index(op, index)?));
    check_shapes(op, "the tensor", one_d.shape(), index.shape(), Some(axis))?;
    Ok((copy::clone(op, x)?, axis, index))
}

fn scatter_from(
    op: &'static str,
    x: &Tensor,
    axis: isize,
    index: &Tensor,
    src: &Tensor,
    add: bool,
) -> Result<Tensor> {
    src.expect_cpu(op)?;
    if src.dtype() != x.dtype() {
        return Err(Error::dtype(
            op,
            format!("src is {}, the tensor {}; convert one of them", src.dtype(), x.dtype()),
        ));
    }
    let (out, axis, index) = prepare(op, x, axis, index)?;
    let src = at_least_1d(src);
    check_shapes(op, "src", src.shape(), index.shape(), None)?;
    if index.numel() == 0 {
        return Ok(out);
    }
    let to = at_least_1d(&out);
    let ok = if add {
        for_compute_types!(op, x.dtype(), T => {
            scatter_typed::<T, Add>(&to, axis, &index, src.ptr::<T>(), src.strides())
        })
    } else {
        for_width!(x.dtype(), T => scatter_typed::<T, Set>(&to, axis, &index, raw::<T>(&src), src.strides()))
    };
    if ok { Ok(out) } else { Err(culprit(op, &index, axis, to.shape()[axis])) }
}

/// A copy of `x` with `src` written where the index says; of equal targets the last one wins.
pub fn scatter(x: &Tensor, axis: isize, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    scatter_from("scatter", x, axis, index, src, false)
}

/// A copy of `x` with `src` added where the index says.
pub fn scatter_add(x: &Tensor, axis: isize, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    scatter_from("scatter_add", x, axis, index, src, true)
}

/// A copy of `x` with one value written where the index says.
pub fn scatter_value(x: &Tensor, axis: isize, index: &Tensor, value: Scalar) -> Result<Tensor> {
    let op = "scatter";
    let (out, axis, index) = prepare(op, x, axis, index)?;
    if index.numel() == 0 {
        return Ok(out);
    }
    let to = at_least_1d(&out);
    let zeros: Strides = smallvec::SmallVec::from_elem(0, index.ndim());
    let ok = for_all_types!(x.dtype(), E => {
        let value = E::from_scalar(value);
        for_width!(x.dtype(), T => {
            if std::mem::size_of::<T>() == std::mem::size_of::<E>() {
                scatter_typed::<T, Set>(&to, axis, &index, &bits::<T, E>(value), &zeros)
            } else {
                false
            }
        })
    });
    if ok { Ok(out) } else { Err(culprit(op, &index, axis, to.shape()[axis])) }
}
