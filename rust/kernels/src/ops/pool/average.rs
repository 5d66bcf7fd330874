//! Average pooling and adaptive average pooling, forward and backward.

use super::channels::Spans;
use super::planes::{self, Along};
use super::*;
use crate::dtype::Element;
use crate::for_float_types;
use crate::memory::expect_room;
use crate::ops::copy;
use crate::ops::reduce::{mean, reshaped};
use crate::parallel::{SendPtr, for_ranges};
use crate::simd::vector::Float;

/// The windows along both axes and what each window's sum is divided by: the product of two lengths,
/// or one given number.
struct Windows {
    rows: Vec<Window>,
    cols: Vec<Window>,
    divisor: Option<i64>,
}

/// A batch of no pictures may be of any size: an error where its windows alone would not fit.
fn expect_windows(op: &'static str, out: [usize; 2]) -> Result<()> {
    expect_room(op, out[0].saturating_add(out[1]).saturating_mul(size_of::<Window>()))
}

/// The inputs a window covers, and its length as the divisor counts it.
struct Window {
    range: Range<usize>,
    counted: usize,
}

impl Windows {
    fn of(
        op: &'static str,
        shape: [usize; 4],
        spec: &PoolSpec,
        count_include_pad: bool,
        divisor: Option<i64>,
    ) -> Result<Windows> {
        if spec.dilation != [1, 1] {
            return Err(Error::value(
                op,
                format!("dilation {:?} is not defined, expected [1, 1]", spec.dilation),
            ));
        }
        if divisor == Some(0) {
            return Err(Error::value(op, "divisor_override must not be zero"));
        }
        let out = output_size(op, shape, spec)?;
        expect_windows(op, out)?;
        let along = |axis: usize| -> Vec<Window> {
            let (size, pad, k) = (shape[2 + axis], spec.padding[axis] as isize, spec.kernel[axis] as isize);
            (0..out[axis])
                .map(|i| {
                    let start = (i * spec.stride[axis]) as isize - pad;
                    let end = (start + k).min(size as isize + pad);
                    let inside = start.max(0) as usize..end.min(size as isize).max(0) as usize;
                    let counted =
                        if count_include_pad { (end - start).max(0) as usize } else { inside.len() };
                    Window { range: inside, counted }
                })
                .collect()
        };
        Ok(Windows { rows: along(0), cols: along(1), divisor })
    }

    fn adaptive(shape: [usize; 4], out: [usize; 2]) -> Windows {
        let along = |axis: usize| -> Vec<Window> {
            (0..out[axis])
                .map(|i| adaptive_window(i, out[axis], shape[2 + axis]))
                .map(|range| Window { counted: range.len(), range })
                .collect()
        };
        Windows { rows: along(0), cols: along(1), divisor: None }
    }

    /// Divides each window's value by its divisor.
    fn divide<T: Float>(&self, values: &mut [T]) {
        let first = |windows: &[Window]| windows.first().map_or(0, |w| w.counted);
        let equal = |windows: &[Window]| windows.iter().all(|w| w.counted == first(windows));
        if let (true, true, [row, ..], [col, ..]) =
            (equal(&self.rows), equal(&self.cols), &*self.rows, &*self.cols)
        {
            let by = T::from_f64(self.divisor(row, col));
            values.iter_mut().for_each(|v| *v = *v / by);
            return;
        }
        let mut values = values.iter_mut();
        for row in &self.rows {
            for (col, v) in self.cols.iter().zip(&mut values) {
                *v = *v / T::from_f64(self.divisor(row, col));
            }
        }
    }

    /// What the sum over the window of `row` and `col` is divided by.
    #[inline(always)]
    fn divisor(&self, row: &Window, col: &Window) -> f64 {
        // A window without inputs has sum zero.
        self.divisor.map_or((row.counted * col.counted).max(1) as f64, |d| d as f64)
    }

    /// Whether there is one window, of the whole plane.
    fn whole(&self, h: usize, w: usize) -> bool {
        matches!((&*self.rows, &*self.cols), ([row], [col]) if row.range == (0..h) && col.range == (0..w))
    }

    /// Whether that is all, divided by the number of its elements.
    fn mean_of_all(&self, h: usize, w: usize) -> bool {
        self.whole(h, w) && self.divisor(&self.rows[0], &self.cols[0]) == (h * w) as f64
    }

    /// The windows for rows of channels.
    fn spans(&self, size: [usize; 2], c: usize) -> Spans {
        let ranges = |windows: &[Window], size: usize| -> Vec<Range<usize>> {
            windows.iter().map(|w| w.range.start.min(size)..w.range.end).collect()
        };
        Spans::new(size, c, [ranges(&self.rows, size[0]), ranges(&self.cols, size[1])])
    }

    /// Every window's divisor.
    fn divisors(&self) -> impl Iterator<Item = f64> {
        self.rows.iter().flat_map(|row| self.cols.iter().map(|col| self.divisor(row, col)))
    }

    fn forward(&self, op: &'static str, x: &Tensor, [n, c, h, w]: [usize; 4]) -> Result<Tensor> {
        let (oh, ow) = (self.rows.len(), self.cols.len());
        if let Some(rows) = x.channels_last().filter(|_| oh * ow > 0) {
            let shape = [n, c, oh, ow];
            return for_float_types!(op, x.dtype(), T => {
                let out = Tensor::empty_rows(op, &shape, x.dtype())?;
                let divisors: Vec<T> = self.divisors().map(T::from_f64).collect();
                self.spans([h, w], c).means::<T>(n, SendPtr(rows.ptr::<T>()), &divisors, SendPtr(out.ptr::<T>()));
                Ok(Tensor::from_channels_last(out, &shape))
            });
        }
        if n * c > 0 && self.mean_of_all(h, w) {
            let planes = reshaped(x, &[n * c, h * w]);
            return Ok(reshaped(&mean(&planes, &[1], false, None)?, &[n, c, 1, 1]));
        }
        for_float_types!(op, x.dtype(), T => {
            let out = Tensor::empty(op, &[n, c, oh, ow], x.dtype())?;
            if out.numel() > 0 {
                let (from, to) = (SendPtr(x.ptr::<T>()), SendPtr(out.ptr::<T>()));
                let spans = self.spans([h, w], 1);
                let along = Along::new(&spans.windows[1]);
                for_ranges(n * c, planes_a_task(h * w), |planes| {
                    let mut row = vec![T::default(); w];
                    for plane in planes {
                        // SAFETY: plane < n * c, and each plane is written by one task.
                        unsafe {
                            let x = std::slice::from_raw_parts(from.get().add(plane * h * w), h * w);
                            let out = std::slice::from_raw_parts_mut(to.get().add(plane * oh * ow), oh * ow);
                            planes::sums(&spans, &along, x, &mut row, out);
                            self.divide(out);
                        }
                    }
                });
            }
            Ok(out)
        })
    }

    fn backward(&self, op: &'static str, g: &Tensor, shape: [usize; 4]) -> Result<Tensor> {
        let ([n, c, h, w], oh, ow) = (shape, self.rows.len(), self.cols.len());
        expect_same_shape(op, "the output's gradient", g.shape(), &[n, c, oh, ow])?;
        if prefers_channels_last(g) {
            return for_float_types!(op, g.dtype(), T => {
                let rows = g.to_channels_last(op)?;
                let dx = Tensor::empty_rows(op, &shape, g.dtype())?;
                let factors: Vec<T> = self.divisors().map(|d| T::from_f64(1.0 / d)).collect();
                self.spans([h, w], c).spread::<T>(n, SendPtr(rows.ptr::<T>()), &factors, SendPtr(dx.ptr::<T>()));
                Ok(Tensor::from_channels_last(dx, &shape))
            });
        }
        for_float_types!(op, g.dtype(), T => {
            let dx = Tensor::empty(op, &shape, g.dtype())?;
            if dx.numel() == 0 {
                return Ok(dx);
            }
            let (from, to) = (SendPtr(g.ptr::<T>()), SendPtr(dx.ptr::<T>()));
            let spans = self.spans([h, w], 1);
            let along = Along::new(&spans.windows[1]);
            for_ranges(n * c, planes_a_task(h * w), |planes| {
                let (mut shares, mut row) = (vec![T::default(); oh * ow], vec![T::default(); ow]);
                for plane in planes {
                    // SAFETY: plane < n * c, and each plane is written by one task.
                    unsafe {
                        let dx = std::slice::from_raw_parts_mut(to.get().add(plane * h * w), h * w);
                        let g = std::slice::from_raw_parts(from.get().add(plane * oh * ow), oh * ow);
                        // Shares first, each divided once.
                        shares.copy_from_slice(g);
                        self.divide(&mut shares);
                        if self.whole(h, w) {
                            dx.fill(shares[0]);
                        } else {
                            planes::spread(&spans, &along, &shares, &mut row, dx);
                        }
                    }
                }
            });
            Ok(dx)
        })
    }
}

/// The means over windows. The divisor counts padding where `count_include_pad`, or is
/// `divisor_override`.
pub fn avg_pool2d(
    x: &Tensor,
    spec: PoolSpec,
    count_include_pad: bool,
    divisor_override: Option<i64>,
) -> Result<Tensor> {
    const OP: &str = "avg_pool2d";
    let x = copy::contiguous(OP, x)?;
    let shape = expect_4d(OP, x.shape())?;
    Windows::of(OP, shape, &spec, count_include_pad, divisor_override)?.forward(OP, &x, shape)
}

/// The gradient of [`avg_pool2d`].
pub fn avg_pool2d_grad(
    g: &Tensor,
    input_shape: &[usize],
    spec: PoolSpec,
    count_include_pad: bool,
    divisor_override: Option<i64>,
) -> Result<Tensor> {
    const OP: &str = "avg_pool2d_grad";
    let g = copy::contiguous(OP, g)?;
    let shape = expect_4d(OP, input_shape)?;
    Windows::of(OP, shape, &spec, count_include_pad, divisor_override)?.backward(OP, &g, shape)
}

/// The means over windows that divide the plane into `out`.
pub fn adaptive_avg_pool2d(x: &Tensor, out: [usize; 2]) -> Result<Tensor> {
    const OP: &str = "adaptive_avg_pool2d";
    let x = copy::contiguous(OP, x)?;
    let shape = expect_4d(OP, x.shape())?;
    adaptive_checks(OP, shape, out)?;
    Windows::adaptive(shape, out).forward(OP, &x, shape)
}

/// The gradient of [`adaptive_avg_pool2d`].
pub fn adaptive_avg_pool2d_grad(g: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
    const OP: &str = "adaptive_avg_pool2d_grad";
    let g = copy::contiguous(OP, g)?;
    let shape = expect_4d(OP, input_shape)?;
    let [_, _, oh, ow] = expect_4d(OP, g.shape())?;
    adaptive_checks(OP, shape, [oh, ow])?;
    Windows::adaptive(shape, [oh, ow]).backward(OP, &g, shape)
}
