//! The weight's gradient as a sum of outer products over pixels: taps in the vectors' lanes, output
//! channels in the rows of a register tile that runs over hundreds of pixels.

use super::panel::{CHUNK, Runs, Tile, even_blocks, tile_size};
use super::source::Source;
use super::{Failure, Geometry};
use crate::error::Result;
use crate::memory;
use crate::parallel::{SendPtr, for_each, for_ranges};
use crate::simd::vector::{Float, Kernel, Vector, run};
use std::ops::Range;

/// Tasks worth cutting the work into, and the multiplications below which one is too small.
const TASKS: usize = 16;
const MIN_WORK: usize = 1 << 18;
/// Pixels of a band, at least one row of the output.
const BAND_PIXELS: usize = 1024;

struct Plan<'a, T> {
    geo: &'a Geometry,
    source: Source,
    band: usize,
    /// Where each tap of the first patch lies in the source, ascending, and its place in the weight.
    taps: Vec<(usize, usize)>,
    /// Output channels of each tile.
    blocks: Vec<Range<usize>>,
    g: *const T,
    x: *const T,
    /// `[part][group][output channel][panel][lane]`
    sums: *mut T,
    panels: usize,
    /// Images that share a sum, and images whose pixels share a tile.
    images_a_part: usize,
    images_a_tile: usize,
}

// SAFETY: the inputs are read only, each task writes its own sums, and all outlive the call.
unsafe impl<T> Sync for Plan<'_, T> {}

/// # Safety
/// The pointers are the contiguous tensors of `geo`.
pub(super) unsafe fn weight_grad<T: Float>(
    op: &'static str,
    geo: &Geometry,
    g: *const T,
    x: *const T,
    dw: *mut T,
) -> Result<()> {
    let groups = geo.spec.groups;
    let bands = geo.oh.div_ceil((BAND_PIXELS / geo.ow).clamp(1, geo.oh));
    let band = geo.oh.div_ceil(bands);
    let source = Source::new(geo, band);
    let (rows, lanes) = tile_size::<T>();
    let width = 2 * lanes;
    let mut taps: Vec<_> = source.taps(geo, geo.cg).into_iter().enumerate().map(|(k, at)| (at, k)).collect();
    taps.sort_unstable();
    let k = taps.len();
    let panels = k.div_ceil(width);
    // Panels first: their tasks share no sums. Then the images, in parts that are added in order.
    let tasks = TASKS.min(geo.work() / MIN_WORK).max(1);
    let cuts = panels.min(tasks.div_ceil(groups).div_ceil(2));
    let panels_a_task = panels.div_ceil(cuts);
    let cuts = panels.div_ceil(panels_a_task);
    let images_a_part = geo.n.div_ceil(tasks.div_ceil(groups * cuts));
    let parts = geo.n.div_ceil(images_a_part);
    let images_a_tile = if bands == 1 { (CHUNK / (geo.oh * geo.ow)).clamp(1, images_a_part) } else { 1 };
    let size = geo.o * panels * width;
    let sums = memory::allocate(op, parts * size * size_of::<T>())?;
    let sums_at = SendPtr(sums.as_ptr().cast::<T>());
    let plan = Plan {
        geo,
        source,
        band,
        taps,
        blocks: even_blocks(geo.og, rows),
        g,
        x,
        sums: sums_at.get(),
        panels,
        images_a_part,
        images_a_tile,
    };
    let chunk = CHUNK.min(band * geo.ow * images_a_tile);
    let gathered = if images_a_tile > 1 { geo.og * chunk } else { 0 };
    let failure = Failure::default();
    for_each(parts * groups * cuts, |task| {
        let (part, rest) = (task / (groups * cuts), task % (groups * cuts));
        let (group, cut) = (rest / cuts, rest % cuts);
        let own = cut * panels_a_task..((cut + 1) * panels_a_task).min(panels);
        let own_taps = &plan.taps[own.start * width..(own.end * width).min(k)];
        let channel = |tap: &(usize, usize)| tap.0 / source.plane;
        // Ascending offsets: the channels are those from the first tap's to the last's.
        let channels = own_taps.first().map_or(0, channel)..own_taps.last().map_or(0, |t| channel(t) + 1);
        let copy = source.space(channels.len());
        let len = chunk * width + gathered + copy * images_a_tile;
        let Some(space) = failure.allocate::<T>(op, len) else { return };
        let panel = space.as_ptr().cast::<T>();
        let gathered = panel.add(chunk * width);
        let copy = panel.add(len - copy * images_a_tile);
        run(Sums { plan: &plan, part, group, panels: own, channels, panel, gathered, copy });
    });
    failure.check()?;
    let (dw, plan) = (SendPtr(dw), &plan);
    for_ranges(geo.o, (1 << 15) / (k * parts).max(1), |channels| {
        for o in channels {
            for (i, &(_, tap)) in plan.taps.iter().enumerate() {
                let mut sum = T::default();
                for part in 0..parts {
                    sum += *sums_at.get().add(part * size + o * panels * width + i);
                }
                *dw.get().add(o * k + tap) = sum;
            }
        }
    });
    Ok(())
}

/// Some panels of taps, over the images of one part, for one group.
struct Sums<'a, T> {
    plan: &'a Plan<'a, T>,
    part: usize,
    group: usize,
    panels: Range<usize>,
    channels: Range<usize>,
    panel: *mut T,
    gathered: *mut T,
    copy: *mut T,
}

impl<T: Float> Kernel<T> for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Plan { geo, source, band, images_a_part, images_a_tile, .. } = *self.plan;
        let plane = geo.oh * geo.ow;
        let images = self.part * images_a_part..((self.part + 1) * images_a_part).min(geo.n);
        let mut fresh = true;
        for first in images.clone().step_by(images_a_tile) {
            let count = images_a_tile.min(images.end - first);
            for y0 in (0..geo.oh).step_by(band) {
                let pixels = band.min(geo.oh - y0) * geo.ow;
                let base = |image: usize| {
                    let c = self.group * geo.cg + self.channels.start;
                    let x = self.plan.x.add(((first + image) * geo.c + c) * geo.h * geo.w);
                    let copy = self.copy.add(image * source.space(self.channels.len()));
                    (x, copy)
                };
                for image in 0..count {
                    let (x, copy) = base(image);
                    if source.copied {
                        source.band(geo, x, self.channels.len(), y0, copy);
                    }
                }
                let g = self.plan.g.add((first * geo.o + self.group * geo.og) * plane + y0 * geo.ow);
                if images_a_tile > 1 {
                    self.gather(g, count, plane);
                }
                let mut done = 0;
                while done < pixels {
                    let end = if images_a_tile > 1 { pixels } else { (done + CHUNK).min(pixels) };
                    let (g, row_step) = if images_a_tile > 1 {
                        (self.gathered.cast_const(), count * plane)
                    } else {
                        (g.add(done), plane)
                    };
                    for panel in self.panels.clone() {
                        for image in 0..count {
                            let (x, copy) = base(image);
                            let from =
                                if source.copied { copy.cast_const() } else { x.add(y0 * source.step) };
                            self.fill::<V>(panel, from, done..end, image * pixels);
                        }
                        self.multiply::<V>(panel, g, row_step, count * (end - done), fresh);
                    }
                    fresh = false;
                    done = end;
                }
            }
        }
    }
}

impl<T: Float> Sums<'_, T> {
    /// `gathered[output channel][pixels of all images]`
    #[inline(always)]
    unsafe fn gather(&self, g: *const T, images: usize, plane: usize) {
        let geo = self.plan.geo;
        for (o, image) in (0..geo.og).flat_map(|o| (0..images).map(move |i| (o, i))) {
            let to = self.gathered.add((o * images + image) * plane);
            std::ptr::copy_nonoverlapping(g.add((image * geo.o + o) * plane), to, plane);
        }
    }

    /// The patches of some pixels of the band at `from`, restricted to one panel's taps, from row
    /// `at` of the panel on.
    #[inline(always)]
    unsafe fn fill<V: Vector<Elem = T>>(
        &self,
        panel: usize,
        from: *const T,
        pixels: Range<usize>,
        at: usize,
    ) {
        let (geo, source) = (self.plan.geo, &self.plan.source);
        let width = 2 * V::LANES;
        let taps = &self.plan.taps[panel * width..((panel + 1) * width).min(self.plan.taps.len())];
        let mut offsets = [0; 64];
        for (to, tap) in offsets.iter_mut().zip(taps) {
            *to = tap.0 - self.channels.start * source.plane;
        }
        let step = if taps.len() > V::LANES { width } else { V::LANES };
        for (n, offsets) in offsets[..taps.len()].chunks(V::LANES).enumerate() {
            let runs = Runs::<V>::of_offsets(offsets);
            let mut row = at;
            let mut pixel = pixels.start;
            while pixel < pixels.end {
                let (y, x) = (pixel / geo.ow, pixel % geo.ow);
                let len = (geo.ow - x).min(pixels.end - pixel);
                let first = from.add(y * source.step + x);
                runs.fill((0..len).map(|i| first.add(i)), self.panel.add(row * step + n * V::LANES), step);
                row += len;
                pixel += len;
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply<V: Vector<Elem = T>>(
        &self,
        panel: usize,
        g: *const T,
        row_step: usize,
        pixels: usize,
        fresh: bool,
    ) {
        let Plan { geo, panels, ref taps, .. } = *self.plan;
        let width = 2 * V::LANES;
        let vectors = if taps.len() - panel * width > V::LANES { 2 } else { 1 };
        let sums = (self.part * geo.o + self.group * geo.og) * panels * width;
        for block in &self.plan.blocks {
            let tile = Tile {
                weights: g.add(block.start * row_step),
                row_step: Some(row_step),
                panel: self.panel,
                k: pixels,
                bias: None,
                add: !fresh,
                out: self.plan.sums.add(sums + (block.start * panels + panel) * width),
                plane: panels * width,
                lanes: vectors * V::LANES,
                floor: T::from_f64(f64::NEG_INFINITY),
            };
            tile.compute::<V>(block.len(), vectors);
        }
    }
}
