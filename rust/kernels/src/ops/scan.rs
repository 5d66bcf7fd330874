//! Running sums, products and extremes along one axis.

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::layout::normalize_axis;
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::tensor::Tensor;
use crate::{for_float_types, multiversion};
use std::ops::Range;

/// A contiguous tensor as `outer` times `n` times `inner`.
pub(crate) struct Cut {
    pub outer: usize,
    pub n: usize,
    pub inner: usize,
}

impl Cut {
    pub fn new(op: &'static str, x: &Tensor, axis: isize) -> Result<Cut> {
        let a = normalize_axis(op, axis, x.ndim())?;
        if x.ndim() == 0 {
            return Ok(Cut { outer: 1, n: 1, inner: 1 });
        }
        let shape = x.shape();
        Ok(Cut { outer: shape[..a].iter().product(), n: shape[a], inner: shape[a + 1..].iter().product() })
    }

    pub fn is_empty(&self) -> bool {
        self.outer * self.n * self.inner == 0
    }
}

/// A running operation: `next` takes one element into the state and gives the output.
trait Scan: Copy + Send + Sync {
    type In: Element;
    type State: Copy;
    type Out: Element;
    fn start(self) -> Self::State;
    fn next(self, state: &mut Self::State, x: Self::In) -> Self::Out;
}

#[derive(Clone, Copy)]
struct Add<T>(std::marker::PhantomData<T>);
#[derive(Clone, Copy)]
struct Times<T>(std::marker::PhantomData<T>);
#[derive(Clone, Copy)]
struct AddExp<T>(std::marker::PhantomData<T>);

macro_rules! float_scans {
    ($($t:ty),*) => {$(
        // The state is float64, so that a long sum keeps the digits of its terms.
        impl Scan for Add<$t> {
            type In = $t;
            type State = f64;
            type Out = $t;
            #[inline(always)]
            fn start(self) -> f64 { 0.0 }
            #[inline(always)]
            fn next(self, state: &mut f64, x: $t) -> $t { *state += x as f64; *state as $t }
        }
        impl Scan for Times<$t> {
            type In = $t;
            type State = f64;
            type Out = $t;
            #[inline(always)]
            fn start(self) -> f64 { 1.0 }
            #[inline(always)]
            fn next(self, state: &mut f64, x: $t) -> $t { *state *= x as f64; *state as $t }
        }
        impl Scan for AddExp<$t> {
            type In = $t;
            type State = f64;
            type Out = $t;
            #[inline(always)]
            fn start(self) -> f64 { f64::NEG_INFINITY }
            #[inline(always)]
            fn next(self, state: &mut f64, x: $t) -> $t {
                let (a, x) = (*state, x as f64);
                let (low, high) = if x > a { (a, x) } else { (x, a) };
                // Equal infinities have no difference; a NaN on either side stays.
                *state = if low == high && high.is_infinite() {
                    high
                } else if a.is_nan() || x.is_nan() {
                    f64::NAN
                } else {
                    high + (low - high).exp().ln_1p()
                };
                *state as $t
            }
        }
    )*};
}
float_scans!(f32, f64);

impl Scan for Add<i64> {
    type In = i64;
    type State = i64;
    type Out = i64;
    #[inline(always)]
    fn start(self) -> i64 {
        0
    }
    #[inline(always)]
    fn next(self, state: &mut i64, x: i64) -> i64 {
        *state = state.wrapping_add(x);
        *state
    }
}

impl Scan for Times<i64> {
    type In = i64;
    type State = i64;
    type Out = i64;
    #[inline(always)]
    fn start(self) -> i64 {
        1
    }
    #[inline(always)]
    fn next(self, state: &mut i64, x: i64) -> i64 {
        *state = state.wrapping_mul(x);
        *state
    }
}

/// Columns scanned side by side.
const WIDTH: usize = 256;

multiversion! {
    /// Scans columns `columns` of one `n` by `inner` matrix.
    fn columns<S: Scan>(s: S, x: *const S::In, y: *mut S::Out, n: usize, inner: usize, columns: Range<usize>, reverse: bool) {
        // SAFETY: all indices lie within the two matrices; tasks have different columns.
        unsafe {
            if columns.len() == 1 {
                let mut state = s.start();
                for i in 0..n {
                    let at = (if reverse { n - 1 - i } else { i }) * inner + columns.start;
                    *y.add(at) = s.next(&mut state, *x.add(at));
                }
                return;
            }
            let mut states = [s.start(); WIDTH];
            let w = columns.len();
            let states = &mut states[..w];
            for i in 0..n {
                let at = (if reverse { n - 1 - i } else { i }) * inner + columns.start;
                let (from, to) = (std::slice::from_raw_parts(x.add(at), w), std::slice::from_raw_parts_mut(y.add(at), w));
                for j in 0..w {
                    to[j] = s.next(&mut states[j], from[j]);
                }
            }
        }
    }
}

fn scan<S: Scan>(op: &'static str, s: S, x: &Tensor, axis: isize, reverse: bool) -> Result<Tensor> {
    let cut = Cut::new(op, x, axis)?;
    let x = copy::contiguous(op, x)?;
    let out = Tensor::empty(op, x.shape(), S::Out::DTYPE)?;
    if cut.is_empty() {
        return Ok(out);
    }
    let (from, to) = (SendPtr(x.ptr::<S::In>()), SendPtr(out.ptr::<S::Out>()));
    let per_matrix = cut.inner.div_ceil(WIDTH);
    let units = cut.outer * per_matrix;
    // A step of a scan waits for the one before: several times an elementwise step.
    let group = (GRAIN / 4 / (cut.n * cut.inner.min(WIDTH))).clamp(1, units);
    for_each(units.div_ceil(group), |g| {
        for unit in g * group..((g + 1) * group).min(units) {
            let (matrix, first) = (unit / per_matrix, unit % per_matrix * WIDTH);
            let at = matrix * cut.n * cut.inner;
            // SAFETY: within the tensors, which have outer * n * inner elements.
            let (x, y) = unsafe { (from.get().add(at), to.get().add(at)) };
            columns(s, x, y, cut.n, cut.inner, first..cut.inner.min(first + WIDTH), reverse);
        }
    });
    Ok(out)
}

fn sum_type(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::I64 }
}

/// In the type to scan in, and the type of the result.
fn prepared(op: &'static str, x: &Tensor, dtype: Option<DType>) -> Result<(Tensor, DType)> {
    x.expect_cpu(op)?;
    let to = dtype.unwrap_or(sum_type(x.dtype()));
    let cast = copy::cast(op, x, to)?;
    let compute = match to {
        DType::F32 | DType::F64 => to,
        DType::F16 | DType::BF16 => DType::F32,
        _ => DType::I64,
    };
    Ok((copy::cast(op, &cast, compute)?, to))
}

fn sums(op: &'static str, x: &Tensor, axis: isize, dtype: Option<DType>, reverse: bool) -> Result<Tensor> {
    use std::marker::PhantomData as P;
    let (x, to) = prepared(op, x, dtype)?;
    let out = match x.dtype() {
        DType::F32 => scan(op, Add::<f32>(P), &x, axis, reverse)?,
        DType::F64 => scan(op, Add::<f64>(P), &x, axis, reverse)?,
        _ => scan(op, Add::<i64>(P), &x, axis, reverse)?,
    };
    copy::cast(op, &out, to)
}

/// Running sums along an axis.
pub fn cumsum(x: &Tensor, axis: isize, dtype: Option<DType>) -> Result<Tensor> {
    sums("cumsum", x, axis, dtype, false)
}

/// Running sums from the end of an axis: the gradient of [`cumsum`].
pub fn cumsum_reverse(x: &Tensor, axis: isize) -> Result<Tensor> {
    sums("cumsum_reverse", x, axis, None, true)
}

/// Running products along an axis.
pub fn cumprod(x: &Tensor, axis: isize, dtype: Option<DType>) -> Result<Tensor> {
    use std::marker::PhantomData as P;
    let op = "cumprod";
    let (x, to) = prepared(op, x, dtype)?;
    let out = match x.dtype() {
        DType::F32 => scan(op, Times::<f32>(P), &x, axis, false)?,
        DType::F64 => scan(op, Times::<f64>(P), &x, axis, false)?,
        _ => scan(op, Times::<i64>(P), &x, axis, false)?,
    };
    copy::cast(op, &out, to)
}

/// Running `log(sum(exp))` along an axis.
pub fn logcumsumexp(x: &Tensor, axis: isize) -> Result<Tensor> {
    let op = "logcumsumexp";
    x.expect_cpu(op)?;
    if !x.dtype().is_float() {
        return Err(Error::dtype(
            op,
            format!("expected a floating point tensor, got {}; convert with .float() first", x.dtype()),
        ));
    }
    let (y, to) = prepared(op, x, None)?;
    let out = for_float_types!(op, y.dtype(), T => scan(op, AddExp::<T>(std::marker::PhantomData), &y, axis, false)?);
    copy::cast(op, &out, to)
}

fn running_extreme<T: Element>(
    op: &'static str,
    x: &Tensor,
    axis: isize,
    beats: impl Fn(T, T) -> bool + Sync,
) -> Result<(Tensor, Tensor)> {
    let cut = Cut::new(op, x, axis)?;
    let x = copy::contiguous(op, x)?;
    let values = Tensor::empty(op, x.shape(), T::DTYPE)?;
    let indices = Tensor::empty(op, x.shape(), DType::I64)?;
    if cut.is_empty() {
        return Ok((values, indices));
    }
    let (from, v, p) = (SendPtr(x.ptr::<T>()), SendPtr(values.ptr::<T>()), SendPtr(indices.ptr::<i64>()));
    let lines = cut.outer * cut.inner;
    let group = (GRAIN / 4 / cut.n).clamp(1, lines);
    for_each(lines.div_ceil(group), |g| {
        for line in g * group..((g + 1) * group).min(lines) {
            let start = line / cut.inner * cut.n * cut.inner + line % cut.inner;
            // SAFETY: every line lies within the three tensors; lines are disjoint.
            unsafe {
                let (mut best, mut place) = (*from.get().add(start), 0i64);
                for i in 0..cut.n {
                    let at = start + i * cut.inner;
                    let value = *from.get().add(at);
                    if beats(value, best) {
                        (best, place) = (value, i as i64);
                    }
                    *v.get().add(at) = best;
                    *p.get().add(at) = place;
                }
            }
        }
    });
    Ok((values, indices))
}

/// As PyTorch: of equal values the latest, and from a NaN on only NaN.
fn extremes(op: &'static str, x: &Tensor, axis: isize, largest: bool) -> Result<(Tensor, Tensor)> {
    x.expect_cpu(op)?;
    let dtype = x.dtype();
    let compute = if dtype == DType::F64 {
        dtype
    } else if dtype.is_float() {
        DType::F32
    } else {
        DType::I64
    };
    let y = copy::cast(op, x, compute)?;
    #[inline(always)]
    fn wins<T: Float>(x: T, a: T, largest: bool) -> bool {
        let (nan_x, nan_a) = (x.is_nan(), a.is_nan());
        nan_x || (!nan_a && if largest { x >= a } else { x <= a })
    }
    let (values, indices) = match compute {
        DType::F64 => running_extreme::<f64>(op, &y, axis, |x, a| wins(x, a, largest))?,
        DType::F32 => running_extreme::<f32>(op, &y, axis, |x, a| wins(x, a, largest))?,
        _ => running_extreme::<i64>(op, &y, axis, |x, a| if largest { x >= a } else { x <= a })?,
    };
    Ok((copy::cast(op, &values, dtype)?, indices))
}

/// Running maxima along an axis and where they are.
pub fn cummax(x: &Tensor, axis: isize) -> Result<(Tensor, Tensor)> {
    extremes("cummax", x, axis, true)
}

/// Running minima along an axis and where they are.
pub fn cummin(x: &Tensor, axis: isize) -> Result<(Tensor, Tensor)> {
    extremes("cummin", x, axis, false)
}
