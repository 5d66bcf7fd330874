//! Convolution as a matrix product whose right side, the patches, exists only as a panel of two
//! vectors of pixels at a time, in the first-level cache. Any stride, padding and dilation; made
//! for small weights and planes of many pixels.

use super::panel::{CHUNK, Runs, Tile, even_blocks, tile_size};
use super::source::Source;
use super::{Failure, Finish, Geometry};
use crate::error::Result;
use crate::memory;
use crate::parallel::{SendPtr, for_each};
use crate::simd::vector::{Float, Kernel, Vector, run};
use std::ops::Range;

/// Pixels of a task, at least one row of the output.
const TASK_PIXELS: usize = 1024;

/// One convolution, prepared: what all tasks share.
struct Plan<'a, T> {
    geo: &'a Geometry,
    source: Source,
    /// Output rows of a task.
    band: usize,
    /// Where each tap of the first patch lies in the source.
    taps: Vec<usize>,
    /// Output channels of each tile.
    blocks: Vec<Range<usize>>,
    /// `[group][block][tap][row]`
    weights: *const T,
    finish: Finish<T>,
}

// SAFETY: the pointers are read only, and outlive the call.
unsafe impl<T> Sync for Plan<'_, T> {}

/// Which weight multiplies tap `(c, i, j)` for output `o` of a group.
#[derive(Clone, Copy)]
pub(super) enum Weights {
    /// `w[group, o, c, i, j]`
    Forward,
    /// `w[group, c, o, -i, -j]`: the input's gradient as a convolution of the output's.
    Flipped,
}

/// The convolution that `geo` describes, written to `out`.
///
/// # Safety
/// The pointers are the contiguous tensors of `geo`, the weights in the order that `kind` says;
/// a bias has `o` elements.
pub(super) unsafe fn forward<T: Float>(
    op: &'static str,
    geo: &Geometry,
    kind: Weights,
    x: *const T,
    w: *const T,
    finish: Finish<T>,
    out: *mut T,
) -> Result<()> {
    let taps = geo.kh * geo.kw;
    let k = geo.cg * taps;
    // Bands of equal height.
    let bands = geo.oh.div_ceil((TASK_PIXELS / geo.ow).clamp(1, geo.oh));
    let band = geo.oh.div_ceil(bands);
    let source = Source::new(geo, band);
    let (rows, lanes) = tile_size::<T>();
    let blocks = even_blocks(geo.og, rows);
    let packed = memory::allocate(op, geo.o * k * size_of::<T>())?;
    let weights = packed.as_ptr().cast::<T>();
    for group in 0..geo.spec.groups {
        for block in &blocks {
            let (at, m) = (weights.add((group * geo.og + block.start) * k), block.len());
            for (row, o) in block.clone().enumerate() {
                for (c, tap) in (0..geo.cg).flat_map(|c| (0..taps).map(move |tap| (c, tap))) {
                    let from = match kind {
                        Weights::Forward => ((group * geo.og + o) * geo.cg + c) * taps + tap,
                        Weights::Flipped => ((group * geo.cg + c) * geo.og + o) * taps + taps - 1 - tap,
                    };
                    *at.add((c * taps + tap) * m + row) = *w.add(from);
                }
            }
        }
    }
    let plan = Plan { geo, source, band, taps: source.taps(geo, geo.cg), blocks, weights, finish };
    let panel = CHUNK.min(k) * 2 * lanes;
    let (x, out) = (SendPtr(x.cast_mut()), SendPtr(out));
    let failure = Failure::default();
    for_each(geo.n * geo.spec.groups * bands, |task| {
        let Some(space) = failure.allocate::<T>(op, panel + source.space(geo.cg)) else { return };
        let panel_at = space.as_ptr().cast::<T>();
        let (rest, band) = (task / bands, task % bands);
        let (image, group) = (rest / geo.spec.groups, rest % geo.spec.groups);
        let copy = panel_at.add(panel);
        run(Band { plan: &plan, x: x.get(), out: out.get(), image, group, band, panel: panel_at, copy });
    });
    failure.check()
}

/// Some rows of one image's output, for one group.
struct Band<'a, T> {
    plan: &'a Plan<'a, T>,
    x: *const T,
    out: *mut T,
    image: usize,
    group: usize,
    band: usize,
    panel: *mut T,
    copy: *mut T,
}

impl<T: Float> Kernel<T> for Band<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Plan { geo, source, band, .. } = *self.plan;
        let (y0, y1) = (self.band * band, ((self.band + 1) * band).min(geo.oh));
        let x = self.x.add((self.image * geo.c + self.group * geo.cg) * geo.h * geo.w);
        let base = source.band(geo, x, geo.cg, y0, self.copy);
        let (k, floor) = (self.plan.taps.len(), self.plan.finish.floor());
        let plane = geo.oh * geo.ow;
        let out = self.out.add((self.image * geo.o + self.group * geo.og) * plane + y0 * geo.ow);
        let pixels = (y1 - y0) * geo.ow;
        for first in (0..pixels).step_by(2 * V::LANES) {
            let (middle, end) = ((first + V::LANES).min(pixels), (first + 2 * V::LANES).min(pixels));
            let left = Runs::<V>::of_pixels(first..middle, geo.ow, source.step);
            let right = Runs::<V>::of_pixels(middle..end, geo.ow, source.step);
            let vectors = if right.is_empty() { 1 } else { 2 };
            let mut done = 0;
            // At least once: without taps the output is the bias.
            loop {
                let chunk = done..(done + CHUNK).min(k);
                let bases = self.plan.taps[chunk.clone()].iter().map(|&tap| base.add(tap));
                let step = vectors * V::LANES;
                left.fill(bases.clone(), self.panel, step);
                if vectors == 2 {
                    right.fill(bases, self.panel.add(V::LANES), step);
                }
                for block in &self.plan.blocks {
                    let o = self.group * geo.og + block.start;
                    let tile = Tile {
                        weights: self.plan.weights.add(o * k + done * block.len()),
                        row_step: None,
                        panel: self.panel,
                        k: chunk.len(),
                        bias: if done == 0 { self.plan.finish.bias.map(|b| b.add(o)) } else { None },
                        add: done > 0,
                        floor: if chunk.end == k { floor } else { T::from_f64(f64::NEG_INFINITY) },
                        out: out.add(block.start * plane + first),
                        plane,
                        lanes: end - first,
                    };
                    tile.compute::<V>(block.len(), vectors);
                }
                done = chunk.end;
                if done == k {
                    break;
                }
            }
        }
    }
}
