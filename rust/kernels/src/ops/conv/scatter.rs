//! The input's gradient by scattering: for each tap, the product of the weights and a panel of the
//! output's gradient, formed in registers and added where the tap lies. It does no more products
//! than the forward pass, for any stride, padding and dilation.

use super::panel::{CHUNK, Runs, Tile, even_blocks, tile_size};
use super::source::Source;
use super::{Failure, Geometry};
use crate::error::Result;
use crate::memory;
use crate::parallel::{SendPtr, for_each};
use crate::simd::vector::{Float, Kernel, Vector, run};
use std::ops::Range;

struct Plan<'a, T> {
    geo: &'a Geometry,
    source: Source,
    /// Where each tap of one channel lies in the source.
    taps: Vec<usize>,
    /// Input channels of each tile.
    blocks: Vec<Range<usize>>,
    /// `[group][block][tap][output channel][row]`
    weights: *const T,
    g: *const T,
}

// SAFETY: the pointers are read only, and outlive the call.
unsafe impl<T> Sync for Plan<'_, T> {}

/// # Safety
/// The pointers are the contiguous tensors of `geo`.
pub(super) unsafe fn input_grad<T: Float>(
    op: &'static str,
    geo: &Geometry,
    g: *const T,
    w: *const T,
    dx: *mut T,
) -> Result<()> {
    let taps = geo.kh * geo.kw;
    let source = Source::new(geo, geo.oh);
    let (rows, lanes) = tile_size::<T>();
    let blocks = even_blocks(geo.cg, rows);
    let packed = memory::allocate(op, geo.o * geo.cg * taps * size_of::<T>())?;
    let weights = packed.as_ptr().cast::<T>();
    for group in 0..geo.spec.groups {
        for block in &blocks {
            let (at, m) = (weights.add((group * geo.cg + block.start) * geo.og * taps), block.len());
            for (o, c) in (0..geo.og).flat_map(|o| block.clone().map(move |c| (o, c))) {
                for tap in 0..taps {
                    let from = w.add(((group * geo.og + o) * geo.cg + c) * taps + tap);
                    *at.add((tap * geo.og + o) * m + c - block.start) = *from;
                }
            }
        }
    }
    let widest = blocks.iter().map(Range::len).max().unwrap_or(0);
    let plan = Plan { geo, source, taps: source.taps(geo, 1), blocks, weights, g };
    // A panel of the gradient, a tile of products, and the padded copy.
    let (panel, tile) = (CHUNK.min(geo.og) * 2 * lanes, rows * 2 * lanes);
    let dx = SendPtr(dx);
    let failure = Failure::default();
    let blocks = plan.blocks.len();
    for_each(geo.n * geo.spec.groups * blocks, |task| {
        let Some(space) = failure.allocate::<T>(op, panel + tile + source.space(widest)) else { return };
        let (rest, block) = (task / blocks, task % blocks);
        let (image, group) = (rest / geo.spec.groups, rest % geo.spec.groups);
        let panel_at = space.as_ptr().cast::<T>();
        let (tile, copy) = (panel_at.add(panel), panel_at.add(panel + tile));
        run(Channels { plan: &plan, dx: dx.get(), image, group, block, panel: panel_at, tile, copy });
    });
    failure.check()
}

/// Some channels of one image.
struct Channels<'a, T> {
    plan: &'a Plan<'a, T>,
    dx: *mut T,
    image: usize,
    group: usize,
    block: usize,
    panel: *mut T,
    tile: *mut T,
    copy: *mut T,
}

impl<T: Float> Kernel<T> for Channels<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Plan { geo, source, .. } = *self.plan;
        let block = &self.plan.blocks[self.block];
        let rows = block.len();
        let dx = self.dx.add((self.image * geo.c + self.group * geo.cg + block.start) * geo.h * geo.w);
        let to = if source.copied { self.copy } else { dx };
        std::slice::from_raw_parts_mut(to, rows * source.plane).fill(T::default());
        let weights =
            self.plan.weights.add((self.group * geo.cg + block.start) * geo.og * self.plan.taps.len());
        let plane = geo.oh * geo.ow;
        let g = self.plan.g.add((self.image * geo.o + self.group * geo.og) * plane);
        for first in (0..plane).step_by(2 * V::LANES) {
            let (middle, end) = ((first + V::LANES).min(plane), (first + 2 * V::LANES).min(plane));
            let pixels = [first..middle, middle..end];
            let runs = pixels.clone().map(|p| Runs::<V>::of_pixels(p, geo.ow, source.step));
            let vectors = if runs[1].is_empty() { 1 } else { 2 };
            for done in (0..geo.og).step_by(CHUNK) {
                let chunk = done..(done + CHUNK).min(geo.og);
                for n in 0..vectors {
                    // A row of the gradient's plane is one run.
                    let row = Runs::<V>::of_pixels(pixels[n].clone(), plane, 0);
                    let bases = chunk.clone().map(|o| g.add(o * plane));
                    row.fill(bases, self.panel.add(n * V::LANES), vectors * V::LANES);
                }
                for (tap, &offset) in self.plan.taps.iter().enumerate() {
                    let tile = Tile {
                        weights: weights.add((tap * geo.og + done) * rows),
                        row_step: None,
                        panel: self.panel,
                        k: chunk.len(),
                        bias: None,
                        add: false,
                        out: self.tile,
                        plane: vectors * V::LANES,
                        lanes: vectors * V::LANES,
                        floor: T::from_f64(f64::NEG_INFINITY),
                    };
                    tile.compute::<V>(rows, vectors);
                    for row in 0..rows {
                        let to = to.add(row * source.plane + offset);
                        let products = self.tile.add(row * vectors * V::LANES);
                        runs[0].add_to(V::load(products), to);
                        if vectors == 2 {
                            runs[1].add_to(V::load(products.add(V::LANES)), to);
                        }
                    }
                }
            }
        }
        if source.copied {
            source.restore(geo, dx, rows, self.copy);
        }
    }
}
