//! Softmax and its logarithm along one axis, and their gradients.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::ops::scan::Cut;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::simd::by_memory;
use crate::tensor::Tensor;
use crate::{for_float_types, multiversion};
use std::ops::Range;

mod short;

use short::{SHORT, backward_short, forward_short};

const LANES: usize = 32;

/// The largest element of a row; NaN wins.
#[inline(always)]
pub(crate) fn row_max<T: Float>(x: &[T]) -> T {
    let up = |a: T, v: T| if (v > a) | v.is_nan() { v } else { a };
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut top = -T::INFINITY;
    if !chunks.is_empty() {
        let mut acc = [-T::INFINITY; LANES];
        for c in chunks {
            for j in 0..LANES {
                acc[j] = up(acc[j], c[j]);
            }
        }
        top = fold_lanes(acc, up);
    }
    if rest.is_empty() {
        return top;
    }
    // The rest in one padded turn: shorter than a chain of comparisons.
    let mut pad = [-T::INFINITY; LANES];
    pad[..rest.len()].copy_from_slice(rest);
    up(top, fold_lanes(pad, up))
}

/// One value from all lanes, pairwise.
#[inline(always)]
fn fold_lanes<T: Float>(acc: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    let acc = by_memory(acc);
    let mut eight = [T::ZERO; 8];
    for j in 0..8 {
        eight[j] = join(join(acc[j], acc[j + 8]), join(acc[j + 16], acc[j + 24]));
    }
    let (a, b) = (join(eight[0], eight[4]), join(eight[1], eight[5]));
    let (c, d) = (join(eight[2], eight[6]), join(eight[3], eight[7]));
    join(join(a, c), join(b, d))
}

/// The sum of lanes, pairwise.
#[inline(always)]
pub(crate) fn lane_sum<T: Float>(acc: [T; LANES]) -> f64 {
    let acc = by_memory(acc);
    let mut eight = [T::ZERO; 8];
    for j in 0..8 {
        eight[j] = (acc[j] + acc[j + 8]) + (acc[j + 16] + acc[j + 24]);
    }
    let (a, b) =
        ((eight[0] + eight[4]) + (eight[2] + eight[6]), (eight[1] + eight[5]) + (eight[3] + eight[7]));
    (a + b).wide()
}

/// Lanes fold into float64 after so many elements.
const BLOCK: usize = LANES * 64;

/// `y = exp(x - top)` where `store`, and the sum of these.
#[inline(always)]
fn exp_sum<T: Float>(x: &[T], y: &mut [T], top: T, store: bool) -> f64 {
    let mut total = 0.0;
    for (x, y) in x.chunks(BLOCK).zip(y.chunks_mut(BLOCK)) {
        let (xc, xr) = x.as_chunks::<LANES>();
        let (yc, yr) = y.as_chunks_mut::<LANES>();
        if !xc.is_empty() {
            let mut acc = [T::ZERO; LANES];
            for (x, y) in xc.iter().zip(yc) {
                for j in 0..LANES {
                    let e = (x[j] - top).exp();
                    if store {
                        y[j] = e;
                    }
                    acc[j] += e;
                }
            }
            total += lane_sum(acc);
        }
        // The rest in one padded turn: e^-infinity is 0.
        if !xr.is_empty() {
            let mut pad = [-T::INFINITY; LANES];
            pad[..xr.len()].copy_from_slice(xr);
            let mut e = [T::ZERO; LANES];
            for j in 0..LANES {
                e[j] = (pad[j] - top).exp();
            }
            if store {
                yr.copy_from_slice(&e[..xr.len()]);
            }
            // Where the top itself is -infinity the pad gives NaN: sum what is real.
            for v in &mut e[xr.len()..] {
                *v = T::ZERO;
            }
            total += lane_sum(e);
        }
    }
    total
}

multiversion! {
    /// Rows of `n` contiguous elements.
    fn forward_rows<T: Float>(x: &[T], y: &mut [T], n: usize, log: bool) {
        for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
            let top = row_max(x);
            let sum = exp_sum(x, y, top, !log);
            if log {
                let shift = T::narrow(sum.ln());
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = (x - top) - shift;
                }
            } else {
                let scale = T::narrow(1.0 / sum);
                for y in y.iter_mut() {
                    *y *= scale;
                }
            }
        }
    }
}

/// Columns worked on side by side.
const WIDTH: usize = 256;

multiversion! {
    /// Columns `columns` of one `n` by `inner` matrix.
    fn forward_columns<T: Float>(x: *const T, y: *mut T, n: usize, inner: usize, columns: Range<usize>, log: bool) {
        let w = columns.len();
        let mut top = [-T::INFINITY; WIDTH];
        let mut sum = [T::ZERO; WIDTH];
        let (top, sum) = (&mut top[..w], &mut sum[..w]);
        // SAFETY: all rows lie within the matrices; tasks have different columns.
        unsafe {
            let row = |i: usize| std::slice::from_raw_parts(x.add(i * inner + columns.start), w);
            let row_out = |i: usize| std::slice::from_raw_parts_mut(y.add(i * inner + columns.start), w);
            for i in 0..n {
                let x = row(i);
                for j in 0..w {
                    top[j] = if (x[j] > top[j]) | x[j].is_nan() { x[j] } else { top[j] };
                }
            }
            for i in 0..n {
                let (x, y) = (row(i), row_out(i));
                for j in 0..w {
                    let e = (x[j] - top[j]).exp();
                    y[j] = e;
                    sum[j] += e;
                }
            }
            if log {
                for j in 0..w {
                    sum[j] = sum[j].ln();
                }
            } else {
                for j in 0..w {
                    sum[j] = T::ONE / sum[j];
                }
            }
            for i in 0..n {
                let (x, y) = (row(i), row_out(i));
                if log {
                    for j in 0..w {
                        y[j] = (x[j] - top[j]) - sum[j];
                    }
                } else {
                    for j in 0..w {
                        y[j] *= sum[j];
                    }
                }
            }
        }
    }
}

/// Elementwise work that one exponential stands for.
const EXP_COST: usize = 4;

/// Calls `rows(range of rows)` or `columns(offset of a matrix, columns)` over the whole tensor, in parallel.
fn over(
    cut: &Cut,
    cost: usize,
    rows: impl Fn(Range<usize>) + Sync,
    columns: impl Fn(usize, Range<usize>) + Sync,
) {
    if cut.inner == 1 {
        let group = (GRAIN / cost / cut.n).clamp(1, cut.outer);
        for_each(cut.outer.div_ceil(group), |g| rows(g * group..((g + 1) * group).min(cut.outer)));
        return;
    }
    let per_matrix = cut.inner.div_ceil(WIDTH);
    let units = cut.outer * per_matrix;
    let group = (GRAIN / cost / (cut.n * cut.inner.min(WIDTH))).clamp(1, units);
    for_each(units.div_ceil(group), |g| {
        for unit in g * group..((g + 1) * group).min(units) {
            let first = unit % per_matrix * WIDTH;
            columns(unit / per_matrix * cut.n * cut.inner, first..cut.inner.min(first + WIDTH));
        }
    });
}

/// A contiguous float32 or float64 input.
pub(crate) fn float_input(op: &'static str, x: &Tensor) -> Result<Tensor> {
    x.expect_cpu(op)?;
    if !x.dtype().is_float() {
        return Err(Error::dtype(
            op,
            format!("expected a floating point tensor, got {}; convert with .float() first", x.dtype()),
        ));
    }
    let compute = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    copy::contiguous(op, &copy::cast(op, x, compute)?)
}

fn forward(op: &'static str, x: &Tensor, axis: isize, log: bool) -> Result<Tensor> {
    let dtype = x.dtype();
    let x = float_input(op, x)?;
    let cut = Cut::new(op, &x, axis)?;
    let out = Tensor::empty(op, x.shape(), x.dtype())?;
    if cut.is_empty() {
        return copy::cast(op, &out, dtype);
    }
    for_float_types!(op, x.dtype(), T => {
        let (from, to) = (SendPtr(x.ptr::<T>()), SendPtr(out.ptr::<T>()));
        over(&cut, EXP_COST,
            // SAFETY: ranges of rows are disjoint and within both tensors.
            |r| unsafe {
                let (at, len) = (r.start * cut.n, r.len() * cut.n);
                let x = std::slice::from_raw_parts(from.get().add(at), len);
                let y = std::slice::from_raw_parts_mut(to.get().add(at), len);
                let work = if cut.n <= SHORT { forward_short } else { forward_rows };
                work(x, y, cut.n, log);
            },
            // SAFETY: matrices lie within both tensors.
            |at, c| unsafe { forward_columns(from.get().add(at), to.get().add(at), cut.n, cut.inner, c, log) });
    });
    copy::cast(op, &out, dtype)
}

/// `exp(x)` over its sum along an axis.
pub fn softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    forward("softmax", x, axis, false)
}

/// The logarithm of [`softmax`], without its underflow.
pub fn log_softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    forward("log_softmax", x, axis, true)
}

/// The sum over a row of `g * y`, or of `g` alone.
#[inline(always)]
fn row_dot<T: Float>(g: &[T], y: &[T], log: bool) -> f64 {
    let mut total = 0.0;
    for (g, y) in g.chunks(BLOCK).zip(y.chunks(BLOCK)) {
        let (gc, gr) = g.as_chunks::<LANES>();
        let (yc, yr) = y.as_chunks::<LANES>();
        if !gc.is_empty() {
            let mut acc = [T::ZERO; LANES];
            for (g, y) in gc.iter().zip(yc) {
                for j in 0..LANES {
                    acc[j] += if log { g[j] } else { g[j] * y[j] };
                }
            }
            total += lane_sum(acc);
        }
        if !gr.is_empty() {
            let (mut g, mut y) = ([T::ZERO; LANES], [T::ZERO; LANES]);
            g[..gr.len()].copy_from_slice(gr);
            y[..yr.len()].copy_from_slice(yr);
            for j in 0..LANES {
                g[j] = if log { g[j] } else { g[j] * y[j] };
            }
            total += lane_sum(g);
        }
    }
    total
}

multiversion! {
    fn backward_rows<T: Float>(g: &[T], y: &[T], dx: &mut [T], n: usize, log: bool) {
        for ((g, y), dx) in g.chunks_exact(n).zip(y.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
            let dot = T::narrow(row_dot(g, y, log));
            // Lengths that the compiler knows to be equal need no checks.
            let (g, y, dx) = (&g[..n], &y[..n], &mut dx[..n]);
            if log {
                for j in 0..n {
                    dx[j] = g[j] - y[j].exp() * dot;
                }
            } else {
                for j in 0..n {
                    dx[j] = y[j] * (g[j] - dot);
                }
            }
        }
    }
}

multiversion! {
    fn backward_columns<T: Float>(g: *const T, y: *const T, dx: *mut T, n: usize, inner: usize, columns: Range<usize>, log: bool) {
        let w = columns.len();
        let mut dot = [T::ZERO; WIDTH];
        let dot = &mut dot[..w];
        // SAFETY: all rows lie within the matrices; tasks have different columns.
        unsafe {
            for i in 0..n {
                let at = i * inner + columns.start;
                let (g, y) = (std::slice::from_raw_parts(g.add(at), w), std::slice::from_raw_parts(y.add(at), w));
                if log {
                    for j in 0..w {
                        dot[j] += g[j];
                    }
                } else {
                    for j in 0..w {
                        dot[j] += g[j] * y[j];
                    }
                }
            }
            for i in 0..n {
                let at = i * inner + columns.start;
                let (g, y) = (std::slice::from_raw_parts(g.add(at), w), std::slice::from_raw_parts(y.add(at), w));
                let dx = std::slice::from_raw_parts_mut(dx.add(at), w);
                if log {
                    for j in 0..w {
                        dx[j] = g[j] - y[j].exp() * dot[j];
                    }
                } else {
                    for j in 0..w {
                        dx[j] = y[j] * (g[j] - dot[j]);
                    }
                }
            }
        }
    }
}

/// An error unless two tensors of an op have one shape and dtype.
pub(crate) fn same(op: &'static str, a: &str, x: &Tensor, b: &str, y: &Tensor) -> Result<()> {
    if x.shape() != y.shape() {
        return Err(Error::shape(
            op,
            format!("{a} has shape {:?}, expected that of {b}, {:?}", x.shape(), y.shape()),
        ));
    }
    if x.dtype() != y.dtype() {
        return Err(Error::dtype(
            op,
            format!("{a} is {}, expected the dtype of {b}, {}", x.dtype(), y.dtype()),
        ));
    }
    Ok(())
}

fn backward(op: &'static str, g: &Tensor, y: &Tensor, axis: isize, log: bool) -> Result<Tensor> {
    same(op, "the gradient", g, "the output", y)?;
    let dtype = y.dtype();
    let (g, y) = (float_input(op, g)?, float_input(op, y)?);
    let cut = Cut::new(op, &y, axis)?;
    let out = Tensor::empty(op, y.shape(), y.dtype())?;
    if cut.is_empty() {
        return copy::cast(op, &out, dtype);
    }
    for_float_types!(op, y.dtype(), T => {
        let (gp, yp, to) = (SendPtr(g.ptr::<T>()), SendPtr(y.ptr::<T>()), SendPtr(out.ptr::<T>()));
        over(&cut, if log { EXP_COST } else { 1 },
            // SAFETY: as in `forward`.
            |r| unsafe {
                let (at, len) = (r.start * cut.n, r.len() * cut.n);
                let g = std::slice::from_raw_parts(gp.get().add(at), len);
                let y = std::slice::from_raw_parts(yp.get().add(at), len);
                let dx = std::slice::from_raw_parts_mut(to.get().add(at), len);
                let work = if cut.n <= SHORT { backward_short } else { backward_rows };
                work(g, y, dx, cut.n, log);
            },
            // SAFETY: as in `forward`.
            |at, c| unsafe {
                backward_columns(gp.get().add(at), yp.get().add(at), to.get().add(at), cut.n, cut.inner, c, log);
            });
    });
    copy::cast(op, &out, dtype)
}

/// The gradient of [`softmax`] from its output.
pub fn softmax_grad(g: &Tensor, y: &Tensor, axis: isize) -> Result<Tensor> {
    backward("softmax_grad", g, y, axis, false)
}

/// The gradient of [`log_softmax`] from its output.
pub fn log_softmax_grad(g: &Tensor, y: &Tensor, axis: isize) -> Result<Tensor> {
    backward("log_softmax_grad", g, y, axis, true)
}
