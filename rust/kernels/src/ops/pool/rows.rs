//! Windows of equal size, a tap at a time over a whole row of outputs: branch-free loops over
//! neighbouring outputs, which vectorise, instead of short loops over each window.

use super::PoolSpec;
use crate::dtype::Element;
use crate::multiversion;
use crate::simd::vector::Float;
use std::ops::Range;

/// The taps along one axis that lie inside the input for some windows, and those windows.
fn inside(spec: &PoolSpec, axis: usize, size: usize, outputs: usize) -> Vec<(usize, Range<usize>)> {
    let (s, d, p) = (spec.stride[axis], spec.dilation[axis], spec.padding[axis]);
    (0..spec.kernel[axis])
        .map(|tap| {
            // Window i reads i * s + tap * d - p.
            let start = p.saturating_sub(tap * d).div_ceil(s);
            let end = (size + p).saturating_sub(tap * d).div_ceil(s).min(outputs);
            (tap, start..end)
        })
        .filter(|(_, windows)| !windows.is_empty())
        .collect()
}

/// A plane's windows, prepared once for all planes.
pub(super) struct Plane {
    spec: PoolSpec,
    width: usize,
    rows: Vec<(usize, Range<usize>)>,
    cols: Vec<(usize, Range<usize>)>,
    out: [usize; 2],
}

impl Plane {
    pub fn new(spec: PoolSpec, [h, w]: [usize; 2], out: [usize; 2]) -> Plane {
        Plane { spec, width: w, rows: inside(&spec, 0, h, out[0]), cols: inside(&spec, 1, w, out[1]), out }
    }

    /// Where tap (`i`, `j`) of the windows in output row `y` reads: the outputs for which it lies
    /// inside the input, and the input's elements from the first one's to the last one's.
    #[inline(always)]
    fn tap(
        &self,
        y: usize,
        i: &(usize, Range<usize>),
        j: &(usize, Range<usize>),
    ) -> (Range<usize>, Range<usize>) {
        let (s, d, p) = (self.spec.stride, self.spec.dilation, self.spec.padding);
        let row = y * s[0] + i.0 * d[0] - p[0];
        let first = row * self.width + j.1.start * s[1] + j.0 * d[1] - p[1];
        (j.1.clone(), first..first + (j.1.len() - 1) * s[1] + 1)
    }
}

/// How the place of a maximum is told.
pub(super) trait Place: Element {
    /// By its tap in the window, else by its index in the plane.
    const TAP: bool;
    /// -1: nowhere.
    fn of(at: i32) -> Self;
}

impl Place for i64 {
    const TAP: bool = false;
    #[inline(always)]
    fn of(at: i32) -> i64 {
        at as i64
    }
}

impl Place for u8 {
    const TAP: bool = true;
    #[inline(always)]
    fn of(at: i32) -> u8 {
        at as u8
    }
}

multiversion! {
    /// Maxima and their places. `at` is a row of places as wide as the floats.
    pub(super) fn maxima<T: Float, P: Place>(plane: &Plane, x: &[T], lowest: T, values: &mut [T], at: &mut [i32], places: &mut [P]) {
        let [_, ow] = plane.out;
        for (y, (values, places)) in values.chunks_exact_mut(ow).zip(places.chunks_exact_mut(ow)).enumerate() {
            values.fill(lowest);
            // The first tap inside stands where nothing is larger; -1 where there is none.
            at.fill(-1);
            for i in plane.rows.iter().filter(|i| i.1.contains(&y)) {
                for j in &plane.cols {
                    let (cols, reads) = plane.tap(y, i, j);
                    let first = reads.start;
                    let tap = (i.0 * plane.spec.kernel[1] + j.0) as i32;
                    let x = &x[reads];
                    let (values, at) = (&mut values[cols.clone()], &mut at[cols]);
                    constant!(plane.spec.stride[1], STEP => {
                        for (o, (best, at)) in values.iter_mut().zip(at.iter_mut()).enumerate() {
                            // SAFETY: the slice reaches to the last output's element.
                            let v = unsafe { *x.get_unchecked(o * STEP) };
                            #[allow(clippy::eq_op)]
                            let better = (v > *best) | (v != v) | (*at < 0);
                            *best = if better { v } else { *best };
                            let here = if P::TAP { tap } else { (first + o * STEP) as i32 };
                            *at = if better { here } else { *at };
                        }
                    });
                }
            }
            for (place, &at) in places.iter_mut().zip(at.iter()) {
                *place = P::of(at);
            }
        }
    }
}

/// Keeps the larger, or a NaN, with its place.
#[inline(always)]
fn larger<T: Float>(best: (T, i32), v: T, at: i32) -> (T, i32) {
    #[allow(clippy::eq_op)]
    let better = (v > best.0) | (v != v);
    (if better { v } else { best.0 }, if better { at } else { best.1 })
}

multiversion! {
    /// [`maxima`] of windows of two by two side by side, all inside the input.
    pub(super) fn maxima_of_four<T: Float, P: Place>(width: usize, ow: usize, x: &[T], values: &mut [T], places: &mut [P]) {
        for (y, (values, places)) in values.chunks_exact_mut(ow).zip(places.chunks_exact_mut(ow)).enumerate() {
            let first = 2 * y * width;
            let (top, bottom) = (&x[first..first + 2 * ow], &x[first + width..first + width + 2 * ow]);
            let pairs = top.chunks_exact(2).zip(bottom.chunks_exact(2));
            for (o, ((value, place), (a, b))) in values.iter_mut().zip(places).zip(pairs).enumerate() {
                let (at, below) = if P::TAP { (0, 2) } else { ((first + 2 * o) as i32, (first + 2 * o + width) as i32) };
                let best = larger((a[0], at), a[1], at + 1);
                let best = larger(best, b[0], below);
                let best = larger(best, b[1], below + 1);
                (*value, *place) = (best.0, P::of(best.1));
            }
        }
    }
}

multiversion! {
    /// The sum of a slice: blocks of lanes, whose totals are added in order.
    pub(super) fn sum<T: Float>(x: &[T]) -> T {
        let mut total = T::default();
        for block in x.chunks(1024) {
            let mut lanes = [T::default(); 32];
            let chunks = block.chunks_exact(32);
            for (lane, &v) in lanes.iter_mut().zip(chunks.remainder()) {
                *lane = v;
            }
            for chunk in chunks {
                for (lane, &v) in lanes.iter_mut().zip(chunk) {
                    *lane += v;
                }
            }
            let mut width = 16;
            while width > 0 {
                for i in 0..width {
                    let other = lanes[i + width];
                    lanes[i] += other;
                }
                width /= 2;
            }
            total += lanes[0];
        }
        total
    }
}
