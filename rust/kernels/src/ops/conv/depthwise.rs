//! Convolution with one input channel a group: no matrix product, so each plane is read once and
//! its taps are multiplied in place, pixels in the vectors' lanes.

use super::implicit_gemm::Weights;
use super::source::Source;
use super::{Failure, Geometry};
use crate::error::Result;
use crate::parallel::{SendPtr, for_each, for_ranges};
use crate::simd::vector::{Float, Kernel, Vector, run};
use std::ops::Range;

/// Rows of the output that share a broadcast weight, and taps that share a loaded gradient.
const ROWS: usize = 4;
const TAPS: usize = 8;

/// Planes that one task takes.
fn planes_a_task(geo: &Geometry) -> usize {
    (crate::parallel::GRAIN / (geo.oh * geo.ow * geo.kh * geo.kw / 4).max(1)).max(1)
}

/// The forward pass; with flipped weights and the geometry to match, the input's gradient.
///
/// # Safety
/// The pointers are the contiguous tensors of `geo`, the weights in the order that `kind` says.
pub(super) unsafe fn forward<T: Float>(
    op: &'static str,
    geo: &Geometry,
    kind: Weights,
    x: *const T,
    w: *const T,
    bias: Option<*const T>,
    out: *mut T,
) -> Result<()> {
    let taps = geo.kh * geo.kw;
    let source = Source::new(geo, geo.oh);
    let offsets = source.taps(geo, geo.cg);
    let (x, w, out) = (SendPtr(x.cast_mut()), SendPtr(w.cast_mut()), SendPtr(out));
    let bias = bias.map(|b| SendPtr(b.cast_mut()));
    let failure = Failure::default();
    let space = source.space(geo.cg) + offsets.len();
    let groups = geo.spec.groups;
    for_ranges(geo.n * groups, planes_a_task(geo), |planes| {
        let Some(space) = failure.allocate::<T>(op, space) else { return };
        let weights = space.as_ptr().cast::<T>();
        let copy = weights.add(offsets.len());
        std::ptr::write_bytes(copy, 0, source.space(geo.cg));
        for plane in planes {
            let (image, group) = (plane / groups, plane % groups);
            let x = x.get().add((image * geo.c + group * geo.cg) * geo.h * geo.w);
            let base = run(Copy { geo, source: &source, x, channels: geo.cg, space: copy });
            for o in group * geo.og..(group + 1) * geo.og {
                for c in 0..geo.cg {
                    for tap in 0..taps {
                        let from = match kind {
                            Weights::Forward => (o * geo.cg + c) * taps + tap,
                            Weights::Flipped => {
                                ((group * geo.cg + c) * geo.og + o - group * geo.og) * taps + taps - 1 - tap
                            }
                        };
                        *weights.add(c * taps + tap) = *w.get().add(from);
                    }
                }
                let out = out.get().add((image * geo.o + o) * geo.oh * geo.ow);
                let bias = bias.map_or(T::default(), |b| *b.get().add(o));
                run(Plane { geo, step: source.step, offsets: &offsets, base, weights, bias, out });
            }
        }
    });
    failure.check()
}

/// [`Source::band`] of a whole image over zeros, compiled for the level.
struct Copy<'a, T> {
    geo: &'a Geometry,
    source: &'a Source,
    x: *const T,
    channels: usize,
    space: *mut T,
}

impl<T: Float> Kernel<T> for Copy<'_, T> {
    type Output = *const T;
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) -> *const T {
        if !self.source.copied {
            return self.x;
        }
        self.source.copy_inside(self.geo, self.x, self.channels, 0, self.space);
        self.space
    }
}

/// [`Source::restore`] of one channel, compiled for the level.
struct Restore<'a, T> {
    geo: &'a Geometry,
    source: &'a Source,
    dx: *mut T,
    space: *const T,
}

impl<T: Float> Kernel<T> for Restore<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        self.source.restore(self.geo, self.dx, 1, self.space);
    }
}

struct Plane<'a, T> {
    geo: &'a Geometry,
    step: usize,
    offsets: &'a [usize],
    base: *const T,
    weights: *const T,
    bias: T,
    out: *mut T,
}

/// A vector, or its first `lanes` lanes and zeros.
#[inline(always)]
unsafe fn load<V: Vector>(p: *const V::Elem, lanes: usize, mask: V::Mask) -> V {
    if lanes == V::LANES { V::load(p) } else { V::splat(V::Elem::default()).load_lanes(mask, p) }
}

impl<T: Float> Plane<'_, T> {
    /// `R` rows of the output; `K` is the number of taps, zero stands for any.
    #[inline(always)]
    unsafe fn rows<V: Vector<Elem = T>, const R: usize, const K: usize>(&self, y: usize) {
        let ow = self.geo.ow;
        let taps = if K > 0 { K } else { self.offsets.len() };
        for x in (0..ow).step_by(V::LANES) {
            let lanes = V::LANES.min(ow - x);
            let mask = V::mask(0, lanes);
            let mut acc = [V::splat(self.bias); R];
            let from = self.base.add(y * self.step + x);
            if lanes == V::LANES {
                for i in 0..taps {
                    let (w, at) = (V::splat(*self.weights.add(i)), from.add(*self.offsets.get_unchecked(i)));
                    for r in 0..R {
                        acc[r] = w.mul_add(V::load(at.add(r * self.step)), acc[r]);
                    }
                }
            } else {
                let zero = V::splat(T::default());
                for i in 0..taps {
                    let (w, at) = (V::splat(*self.weights.add(i)), from.add(*self.offsets.get_unchecked(i)));
                    for r in 0..R {
                        acc[r] = w.mul_add(zero.load_lanes(mask, at.add(r * self.step)), acc[r]);
                    }
                }
            }
            for r in 0..R {
                let to = self.out.add((y + r) * ow + x);
                if lanes == V::LANES { acc[r].store(to) } else { acc[r].store_lanes(mask, to) }
            }
        }
    }

    #[inline(always)]
    unsafe fn all_rows<V: Vector<Elem = T>, const K: usize>(&self) {
        let oh = self.geo.oh;
        let whole = oh / ROWS * ROWS;
        for y in (0..whole).step_by(ROWS) {
            self.rows::<V, ROWS, K>(y);
        }
        for y in whole..oh {
            self.rows::<V, 1, K>(y);
        }
    }
}

impl<T: Float> Kernel<T> for Plane<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        match self.offsets.len() {
            9 => self.all_rows::<V, 9>(),
            25 => self.all_rows::<V, 25>(),
            _ => self.all_rows::<V, 0>(),
        }
    }
}

/// The input's gradient for any stride: each tap adds the gradient's plane where it lies.
///
/// # Safety
/// The pointers are the contiguous tensors of `geo`.
pub(super) unsafe fn input_grad<T: Float>(
    op: &'static str,
    geo: &Geometry,
    g: *const T,
    w: *const T,
    dx: *mut T,
) -> Result<()> {
    let source = Source::new(geo, geo.oh);
    let offsets = source.taps(geo, 1);
    let (g, w, dx) = (SendPtr(g.cast_mut()), SendPtr(w.cast_mut()), SendPtr(dx));
    let failure = Failure::default();
    for_ranges(geo.n * geo.c, planes_a_task(geo), |planes| {
        let Some(space) = failure.allocate::<T>(op, source.space(1)) else { return };
        for plane in planes {
            let (image, c) = (plane / geo.c, plane % geo.c);
            let dx = dx.get().add(plane * geo.h * geo.w);
            let to = if source.copied { space.as_ptr().cast::<T>() } else { dx };
            std::slice::from_raw_parts_mut(to, source.plane).fill(T::default());
            for o in c * geo.og..(c + 1) * geo.og {
                let g = g.get().add((image * geo.o + o) * geo.oh * geo.ow);
                let weights = w.get().add(o * offsets.len());
                run(Spread { geo, step: source.step, offsets: &offsets, g, weights, to });
            }
            if source.copied {
                run(Restore { geo, source: &source, dx, space: to });
            }
        }
    });
    failure.check()
}

struct Spread<'a, T> {
    geo: &'a Geometry,
    step: usize,
    offsets: &'a [usize],
    g: *const T,
    weights: *const T,
    to: *mut T,
}

impl<T: Float> Kernel<T> for Spread<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Geometry { oh, ow, .. } = *self.geo;
        for (i, &offset) in self.offsets.iter().enumerate() {
            let w = V::splat(*self.weights.add(i));
            for y in 0..oh {
                for x in (0..ow).step_by(V::LANES) {
                    let lanes = V::LANES.min(ow - x);
                    let mask = V::mask(0, lanes);
                    let to = self.to.add(y * self.step + x + offset);
                    let g = load::<V>(self.g.add(y * ow + x), lanes, mask);
                    let sum = w.mul_add(g, load::<V>(to, lanes, mask));
                    if lanes == V::LANES { sum.store(to) } else { sum.store_lanes(mask, to) }
                }
            }
        }
    }
}

/// # Safety
/// The pointers are the contiguous tensors of `geo`.
pub(super) unsafe fn weight_grad<T: Float>(
    op: &'static str,
    geo: &Geometry,
    g: *const T,
    x: *const T,
    dw: *mut T,
) -> Result<()> {
    let source = Source::new(geo, geo.oh);
    let offsets = source.taps(geo, 1);
    let (g, x, dw) = (SendPtr(g.cast_mut()), SendPtr(x.cast_mut()), SendPtr(dw));
    let failure = Failure::default();
    for_each(geo.c, |c| {
        let Some(space) = failure.allocate::<T>(op, source.space(1)) else { return };
        std::ptr::write_bytes(space.as_ptr().cast::<T>(), 0, source.space(1));
        // One image's sums are short; their total is taken in float64.
        let mut totals = vec![0.0; geo.og * offsets.len()];
        for image in 0..geo.n {
            let x = x.get().add((image * geo.c + c) * geo.h * geo.w);
            let base = run(Copy { geo, source: &source, x, channels: 1, space: space.as_ptr().cast::<T>() });
            for (o, totals) in totals.chunks_mut(offsets.len()).enumerate() {
                let g = g.get().add((image * geo.o + c * geo.og + o) * geo.oh * geo.ow);
                run(Products { geo, step: source.step, offsets: &offsets, g, base, totals });
            }
        }
        for (i, &total) in totals.iter().enumerate() {
            *dw.get().add(c * totals.len() + i) = T::from_f64(total);
        }
    });
    failure.check()
}

struct Products<'a, T> {
    geo: &'a Geometry,
    step: usize,
    offsets: &'a [usize],
    g: *const T,
    base: *const T,
    totals: &'a mut [f64],
}

impl<T: Float> Products<'_, T> {
    #[inline(always)]
    unsafe fn taps<V: Vector<Elem = T>, const K: usize>(&mut self, own: Range<usize>) {
        let Geometry { oh, ow, .. } = *self.geo;
        let mut acc = [V::splat(T::default()); K];
        let offsets = &self.offsets[own.clone()];
        for y in 0..oh {
            for x in (0..ow).step_by(V::LANES) {
                let lanes = V::LANES.min(ow - x);
                let mask = V::mask(0, lanes);
                let g = load::<V>(self.g.add(y * ow + x), lanes, mask);
                let from = self.base.add(y * self.step + x);
                for k in 0..K {
                    acc[k] = g.mul_add(load::<V>(from.add(*offsets.get_unchecked(k)), lanes, mask), acc[k]);
                }
            }
        }
        for k in 0..K {
            self.totals[own.start + k] += acc[k].sum().to_f64();
        }
    }
}

impl<T: Float> Kernel<T> for Products<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(mut self) {
        let taps = self.offsets.len();
        let mut at = 0;
        if taps == 9 {
            return self.taps::<V, 9>(0..9);
        }
        while at + TAPS <= taps {
            self.taps::<V, TAPS>(at..at + TAPS);
            at += TAPS;
        }
        for i in at..taps {
            self.taps::<V, 1>(i..i + 1);
        }
    }
}
