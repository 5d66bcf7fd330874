//! The weight's gradient: for every tap the outer products of the input's and the output's pixels
//! that meet there, summed in register tiles of input channels by output channels. Pixels outside
//! the picture are not in the lists at all.

use super::super::panel::{even_blocks, tile_size};
use super::super::patches::valid_range;
use super::super::{Failure, Geometry};
use super::chunks::{Chunk, Region};
use super::lattice::{Picture, taps};
use super::micro::{Outer, Pixel};
use super::weights::Panels;
use crate::error::Result;
use crate::memory;
use crate::ops::matmul::{Operand, Strided};
use crate::parallel::{SendPtr, for_each};
use crate::simd::vector::{Kernel, Vector, run};
use std::ops::Range;

/// One sum over pixels, prepared: what all tasks share.
pub(super) struct Plan<'a> {
    pub images: usize,
    pub source: Picture,
    /// The output's gradient.
    pub target: Picture,
    pub step: [usize; 2],
    pub taps: &'a [[isize; 2]],
    pub groups: usize,
    /// Input channels of a group, and output channels as columns.
    pub channels: usize,
    pub panels: Panels,
    pub x: *const f32,
    pub g: *const f32,
    /// `[group][column][channel][tap]`
    pub dw: *mut f32,
}

// SAFETY: the inputs are only read, each task writes its own sums, all outlive the call.
unsafe impl Sync for Plan<'_> {}

/// # Safety
/// The pointers are the channels-last tensors of `geo` and its weight; no size is zero.
pub(in super::super) unsafe fn weight_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    x: *const f32,
    dw: *mut f32,
) -> Result<()> {
    Plan {
        images: geo.n,
        source: Picture { height: geo.h, width: geo.w, pitch: geo.c },
        target: Picture { height: geo.oh, width: geo.ow, pitch: geo.o },
        step: geo.spec.stride,
        taps: &taps(geo),
        groups: geo.spec.groups,
        channels: geo.cg,
        panels: Panels::new(geo.og),
        x,
        g,
        dw,
    }
    .compute(op)
}

impl Plan<'_> {
    pub unsafe fn compute(&self, op: &'static str) -> Result<()> {
        let blocks = even_blocks(self.channels, tile_size::<f32>().0);
        let chunks = self.chunks();
        let cuts = self.cuts(blocks.len(), blocks[0].len(), chunks.len());
        let most = chunks.iter().map(|c| c.images * c.size[0] * c.size[1]).max().unwrap_or(0);
        let (taps, full) = (self.taps.len(), self.panels.full());
        let height = blocks[0].len();
        let tile = height * taps * full;
        // Room of one task: its panels of the gradient, its sums, and one tile transposed.
        let panels_a_task = cuts.panels[0].len();
        let blocks_a_task = cuts.blocks[0].len();
        let reach = chunks
            .iter()
            .map(|c| c.images * self.region(c).size.iter().product::<usize>())
            .max()
            .unwrap_or(0);
        // Copying a block of channels costs about as much as two products of a pixel's rows.
        let copied = reach * 3 <= taps * most * panels_a_task;
        let (gradient, copy) = (panels_a_task * most * full, if copied { reach * height + full } else { 0 });
        let (packed, sums) = (gradient + copy, panels_a_task * blocks_a_task * tile);
        let parts = cuts.parts.len();
        let tasks = self.groups * cuts.blocks.len() * cuts.panels.len();
        let kept = if parts > 1 {
            Some(memory::allocate(op, tasks * parts * sums * size_of::<f32>())?)
        } else {
            None
        };
        let kept = kept.as_ref().map(|b| SendPtr(b.as_ptr().cast::<f32>()));
        let failure = Failure::default();
        let task = |i: usize, part: usize| Task {
            plan: self,
            group: i / (cuts.blocks.len() * cuts.panels.len()),
            blocks: &blocks[cuts.blocks[i / cuts.panels.len() % cuts.blocks.len()].clone()],
            panels: cuts.panels[i % cuts.panels.len()].clone(),
            chunks: &chunks[cuts.parts[part].clone()],
            tile,
            packed: std::ptr::null_mut(),
            copy: None,
            height,
            sums: std::ptr::null_mut(),
        };
        for_each(tasks * parts, |i| {
            let (part, i) = (i / tasks, i % tasks);
            let own = if kept.is_none() { sums } else { 0 };
            let Some(space) = failure.allocate::<f32>(op, packed + own + tile) else { return };
            let space = space.as_ptr().cast::<f32>();
            let mut task = task(i, part);
            task.packed = space;
            task.copy = copied.then(|| space.add(gradient));
            task.sums = match kept {
                Some(kept) => kept.get().add((part * tasks + i) * sums),
                None => space.add(packed),
            };
            let Some(room) = failure.allocate::<Pixel>(op, taps * most) else { return };
            run(Sum { task: &task, lists: Lists::new(room.as_ptr().cast()) });
            if kept.is_none() {
                task.write(1, 0, space.add(packed + own));
            }
        });
        failure.check()?;
        if let Some(kept) = kept {
            let failure = Failure::default();
            for_each(tasks, |i| {
                let Some(space) = failure.allocate::<f32>(op, tile) else { return };
                let mut task = task(i, 0);
                task.sums = kept.get().add(i * sums);
                task.write(parts, tasks * sums, space.as_ptr().cast());
            });
            failure.check()?;
        }
        Ok(())
    }
}

/// Some blocks of input channels against some panels, over some chunks.
struct Task<'a> {
    plan: &'a Plan<'a>,
    group: usize,
    blocks: &'a [Range<usize>],
    panels: Range<usize>,
    chunks: &'a [Chunk],
    /// Floats from a tile of sums to the next.
    tile: usize,
    /// `[panel][pixel][column]`
    packed: *mut f32,
    /// `[pixel of the region][row]` of one block, `height` floats a pixel; else the source is read.
    copy: Option<*mut f32>,
    height: usize,
    /// `[panel][block]`, each `[channel][tap][column]`.
    sums: *mut f32,
}

// SAFETY: as the plan.
unsafe impl Sync for Task<'_> {}

/// The pixels inside the picture for each tap of a chunk.
struct Lists {
    pixels: *mut Pixel,
    /// Where each tap's list ends.
    ends: Vec<usize>,
    /// What the lists depend on: the chunk's sizes and the taps' ranges of rows and columns.
    key: Vec<usize>,
}

impl Lists {
    /// In room for all pixels of the largest chunk for each tap.
    fn new(pixels: *mut Pixel) -> Lists {
        Lists { pixels, ends: Vec::new(), key: Vec::new() }
    }

    #[inline(always)]
    unsafe fn of_tap(&self, tap: usize) -> &[Pixel] {
        let start = if tap == 0 { 0 } else { self.ends[tap - 1] };
        std::slice::from_raw_parts(self.pixels.add(start), self.ends[tap] - start)
    }

    /// Makes the lists for a chunk, unless they are the same as the last one's.
    #[inline(always)]
    unsafe fn update(&mut self, task: &Task<'_>, chunk: &Chunk, region: Region) {
        let Plan { source, step, taps, .. } = *task.plan;
        let corner = [chunk.first[0] * step[0], chunk.first[1] * step[1]];
        // Rows of an image, columns, floats from a pixel to the next, and the first one.
        let (height, width, pitch, first) = match task.copy {
            Some(_) => (region.size[0], region.size[1], task.height, region.first),
            None => (source.height, source.width, source.pitch, corner),
        };
        let shift = [0, 1].map(|a| corner[a] as isize - first[a] as isize);
        let start = |tap: [isize; 2], a: usize| (chunk.first[a] * step[a]) as isize + tap[a];
        let inside = |tap: [isize; 2]| {
            [
                valid_range(chunk.size[0], source.height, step[0], start(tap, 0)),
                valid_range(chunk.size[1], source.width, step[1], start(tap, 1)),
            ]
        };
        let head =
            [chunk.images, chunk.size[0], chunk.size[1], height, width, shift[0] as usize, shift[1] as usize];
        let ends = taps.iter().flat_map(|&tap| inside(tap)).flat_map(|r| [r.start, r.end]);
        if self.key.iter().copied().eq(head.into_iter().chain(ends.clone())) {
            return;
        }
        self.key.clear();
        self.key.extend(head.into_iter().chain(ends));
        self.ends.clear();
        let mut end = 0;
        for &tap in taps {
            let [rows, columns] = inside(tap);
            for image in 0..chunk.images {
                for row in rows.clone() {
                    let y = (image * height + row * step[0]) as isize + tap[0] + shift[0];
                    let x = (y * width as isize + tap[1] + shift[1]) * pitch as isize;
                    let g = (image * chunk.size[0] + row) * chunk.size[1];
                    for column in columns.clone() {
                        let x = x + (column * step[1] * pitch) as isize;
                        *self.pixels.add(end) = Pixel { x, g: g + column };
                        end += 1;
                    }
                }
            }
            self.ends.push(end);
        }
    }
}

/// Adds the products of a task's chunks to its sums.
struct Sum<'a> {
    task: &'a Task<'a>,
    lists: Lists,
}

impl Kernel<f32> for Sum<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(mut self) {
        let Task { plan, group, blocks, ref panels, tile, packed, copy, height, sums, .. } = *self.task;
        let Plan { source, step, channels, .. } = *plan;
        let taps = plan.taps.len();
        for (i, chunk) in self.task.chunks.iter().enumerate() {
            let region = plan.region(chunk);
            self.lists.update(self.task, chunk, region);
            let pixels = chunk.images * chunk.size[0] * chunk.size[1];
            let mut to = packed;
            for panel in panels.clone() {
                pack::<V>(plan, chunk, plan.panels.columns_of(panel), group, to);
                to = to.add(pixels * plan.panels.vectors(panel) * V::LANES);
            }
            let row = (chunk.image * source.height + chunk.first[0] * step[0]) * source.width;
            let x = plan.x.add((row + chunk.first[1] * step[1]) * source.pitch + group * channels);
            for (b, block) in blocks.iter().enumerate() {
                let x = match copy {
                    Some(copy) => {
                        let from = plan.x.add(group * channels + block.start);
                        copy_rows::<V>(plan, chunk, region, from, block.len(), copy, height);
                        copy.cast_const()
                    }
                    None => x.add(block.start),
                };
                let mut g = packed;
                for (p, panel) in panels.clone().enumerate() {
                    let vectors = plan.panels.vectors(panel);
                    let sums = sums.add((p * blocks.len() + b) * tile);
                    for tap in 0..taps {
                        let outer = Outer {
                            pixels: self.lists.of_tap(tap),
                            x,
                            g,
                            sums: sums.add(tap * vectors * V::LANES),
                            row_step: taps,
                            add: i > 0,
                        };
                        outer.compute::<V>(block.len(), vectors);
                    }
                    g = g.add(pixels * vectors * V::LANES);
                }
            }
        }
    }
}

/// Some channels of a region, from `from` on, `height` floats a pixel.
#[inline(always)]
unsafe fn copy_rows<V: Vector<Elem = f32>>(
    plan: &Plan<'_>,
    chunk: &Chunk,
    region: Region,
    from: *const f32,
    channels: usize,
    mut to: *mut f32,
    height: usize,
) {
    let Picture { height: rows, width, pitch } = plan.source;
    let mask = V::mask(0, channels);
    for image in chunk.image..chunk.image + chunk.images {
        for y in region.first[0]..region.first[0] + region.size[0] {
            let mut from = from.add(((image * rows + y) * width + region.first[1]) * pitch);
            for _ in 0..region.size[1] {
                // The lanes beyond are overwritten by the next pixel's.
                V::splat(0.0).load_lanes(mask, from).store(to);
                to = to.add(height);
                from = from.add(pitch);
            }
        }
    }
}

/// Some columns of a chunk's gradient, filled up with zeros to whole vectors.
#[inline(always)]
unsafe fn pack<V: Vector<Elem = f32>>(
    plan: &Plan<'_>,
    chunk: &Chunk,
    columns: Range<usize>,
    group: usize,
    mut to: *mut f32,
) {
    let Picture { height, width, pitch } = plan.target;
    let full = columns.len() / V::LANES;
    let rest = columns.len() % V::LANES;
    let mask = V::mask(0, rest);
    for row in 0..chunk.images * chunk.size[0] {
        let (image, row) = (chunk.image + row / chunk.size[0], chunk.first[0] + row % chunk.size[0]);
        let pixel = (image * height + row) * width + chunk.first[1];
        let mut from = plan.g.add(pixel * pitch + group * plan.panels.columns + columns.start);
        for _ in 0..chunk.size[1] {
            for v in 0..full {
                V::load(from.add(v * V::LANES)).store(to.add(v * V::LANES));
            }
            to = to.add(full * V::LANES);
            if rest > 0 {
                V::splat(0.0).load_lanes(mask, from.add(full * V::LANES)).store(to);
                to = to.add(V::LANES);
            }
            from = from.add(pitch);
        }
    }
}

impl Task<'_> {
    /// Writes the sums, added over `parts` that lie `part_step` apart, to the weight's gradient.
    unsafe fn write(&self, parts: usize, part_step: usize, space: *mut f32) {
        let Plan { panels, channels, dw, .. } = *self.plan;
        let taps = self.plan.taps.len();
        for (p, panel) in self.panels.clone().enumerate() {
            let (columns, width) = (panels.columns_of(panel), panels.vectors(panel) * panels.lanes);
            for (b, block) in self.blocks.iter().enumerate() {
                let sums = self.sums.add((p * self.blocks.len() + b) * self.tile);
                let rows = block.len() * taps;
                for part in 1..parts {
                    let more = sums.add(part * part_step);
                    for i in 0..rows * width {
                        *sums.add(i) += *more.add(i);
                    }
                }
                let lines = Strided { ptr: sums.cast_const(), line: width as isize, k: 1 };
                lines.pack(0..rows, 0..columns.len(), rows, space);
                for (i, column) in columns.clone().enumerate() {
                    let at = ((self.group * panels.columns + column) * channels + block.start) * taps;
                    std::ptr::copy_nonoverlapping(space.add(i * rows), dw.add(at), rows);
                }
            }
        }
    }
}
