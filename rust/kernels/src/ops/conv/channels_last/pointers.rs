//! Convolution as a matrix product whose left rows are found through pointers, tap by tap: no
//! patches and no padded copy, since a pointer outside the picture goes to a row of zeros.
//! The input's gradient is the same product for each of the stride's phases, over the taps
//! that reach it.

use super::super::panel::{even_blocks, tile_size};
use super::super::{Failure, Finish, Geometry};
use super::lattice::{Lattice, Picture, clear_unreached, phases, taps};
use super::micro::Product;
use super::weights::{Columns, Panels, Place, pack_or_kept, pad_bias};
use crate::error::Result;
use crate::memory;
use crate::parallel::for_each;
use crate::simd::vector::{Kernel, Vector, run};
use crate::tensor::Tensor;
use std::ops::Range;

/// Length of the sums a tile makes: its weights stay in the first-level cache, and longer sums are
/// added in parts, which keeps them accurate.
const CHUNK: usize = 256;
/// Pixels of a task.
const BLOCK: usize = 144;
/// Tasks worth cutting the work into, and the multiplications below which one is too small.
const TASKS: usize = 16;
const MIN_WORK: usize = 1 << 19;

/// One product, prepared: what all tasks share.
pub(super) struct Plan<'a> {
    pub images: usize,
    /// Whether the same pixel of all images comes before the next pixel.
    pub images_inside: bool,
    pub source: Picture,
    pub target: Picture,
    /// From a lattice's pixel to the next.
    pub source_step: [usize; 2],
    pub target_step: [usize; 2],
    pub groups: usize,
    /// Channels of a group, and columns.
    pub channels: usize,
    pub panels: Panels,
    pub lattices: &'a [Lattice],
    pub weights: *const f32,
    pub x: *const f32,
    pub out: *mut f32,
    /// Padded to whole panels, for each group.
    pub bias: Option<*const f32>,
    /// What no finished sum lies below.
    pub floor: f32,
    pub zeros: *const f32,
}

// SAFETY: the inputs are only read, each task writes its own pixels' panels, all outlive the call.
unsafe impl Sync for Plan<'_> {}

/// # Safety
/// The pointers are the channels-last tensors of `geo` and its weight; no size is zero.
pub(in super::super) unsafe fn forward(
    op: &'static str,
    geo: &Geometry,
    x: *const f32,
    w: &Tensor,
    finish: Finish,
    out: *mut f32,
) -> Result<()> {
    let taps = taps(geo);
    let places: Vec<_> = (0..taps.len()).map(|index| Place { start: 0, index, taps: taps.len() }).collect();
    let packed = pack_or_kept(op, geo, Columns::Outputs, &places, w)?;
    let panels = Panels::new(geo.og);
    let bias = match finish.bias {
        Some(bias) => Some(pad_bias(op, geo.spec.groups, panels, bias)?),
        None => None,
    };
    let lattice = Lattice { rows: geo.oh, cols: geo.ow, first: [0, 0], taps, weights: 0 };
    let zeros = zeros(op, geo.c)?;
    Plan {
        images: geo.n,
        images_inside: images_inside(geo.n, geo.oh * geo.ow),
        source: Picture { height: geo.h, width: geo.w, pitch: geo.c },
        target: Picture { height: geo.oh, width: geo.ow, pitch: geo.o },
        source_step: geo.spec.stride,
        target_step: [1, 1],
        groups: geo.spec.groups,
        channels: geo.cg,
        panels,
        lattices: &[lattice],
        weights: packed.as_ptr().cast(),
        x,
        out,
        bias: bias.as_ref().map(|b| b.as_ptr().cast_const().cast()),
        floor: finish.floor(),
        zeros: zeros.as_ptr().cast(),
    }
    .compute(op)
}

/// # Safety
/// As [`forward`].
pub(in super::super) unsafe fn input_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    w: &Tensor,
    dx: *mut f32,
) -> Result<()> {
    let panels = Panels::new(geo.cg);
    let (lattices, places) = phases(geo, geo.og * panels.padded() * geo.spec.groups);
    clear_unreached(geo, &lattices, dx);
    let packed = pack_or_kept(op, geo, Columns::Inputs, &places, w)?;
    let zeros = zeros(op, geo.o)?;
    Plan {
        images: geo.n,
        images_inside: images_inside(geo.n, geo.h * geo.w),
        source: Picture { height: geo.oh, width: geo.ow, pitch: geo.o },
        target: Picture { height: geo.h, width: geo.w, pitch: geo.c },
        source_step: [1, 1],
        target_step: geo.spec.stride,
        groups: geo.spec.groups,
        channels: geo.og,
        panels,
        lattices: &lattices,
        weights: packed.as_ptr().cast(),
        x: g,
        out: dx,
        bias: None,
        floor: f32::NEG_INFINITY,
        zeros: zeros.as_ptr().cast(),
    }
    .compute(op)
}

/// On small pictures the tiles take a pixel of many images, which share the taps that lie outside.
fn images_inside(images: usize, pixels: usize) -> bool {
    images >= 8 && pixels <= 64
}

/// A pixel of zeros.
unsafe fn zeros(op: &'static str, channels: usize) -> Result<memory::Block> {
    let zeros = memory::allocate(op, channels * size_of::<f32>())?;
    std::ptr::write_bytes(zeros.as_ptr(), 0, channels * size_of::<f32>());
    Ok(zeros)
}

impl Plan<'_> {
    /// Computes all lattices.
    pub unsafe fn compute(&self, op: &'static str) -> Result<()> {
        let panels = self.groups * self.panels.count();
        // Blocks of pixels; and where they are few, of panels.
        let mut tasks = Vec::new();
        let total: usize = self.lattices.iter().map(|l| self.images * l.rows * l.cols).sum();
        if total == 0 {
            return Ok(());
        }
        let work: usize =
            self.lattices.iter().map(|l| self.images * l.rows * l.cols * l.taps.len()).sum::<usize>()
                * self.channels
                * self.panels.columns
                * self.groups;
        let wanted = (work / MIN_WORK).clamp(1, TASKS);
        let block = BLOCK.min(total.div_ceil(wanted)).max(4 * tile_size::<f32>().0);
        let cuts = wanted.div_ceil(total.div_ceil(block)).min(panels);
        for cut in even_blocks(panels, panels.div_ceil(cuts)) {
            for lattice in self.lattices {
                for pixels in even_blocks(self.images * lattice.rows * lattice.cols, block) {
                    tasks.push(Task {
                        plan: self,
                        lattice,
                        pixels,
                        panels: cut.clone(),
                        space: std::ptr::null_mut(),
                    });
                }
            }
        }
        let failure = Failure::default();
        let tasks = &tasks;
        for_each(tasks.len(), |i| {
            let task = &tasks[i];
            let pointers = task.pixels.len() * (task.lattice.taps.len() + 1) + SLACK;
            let Some(space) = failure.allocate::<*const f32>(op, pointers) else { return };
            run(Task {
                space: space.as_ptr().cast(),
                pixels: task.pixels.clone(),
                panels: task.panels.clone(),
                ..*task
            });
        });
        failure.check()
    }
}

/// Some pixels of a lattice, and some panels.
struct Task<'a> {
    plan: &'a Plan<'a>,
    lattice: &'a Lattice,
    /// Counted over all images.
    pixels: Range<usize>,
    /// Counted over all groups.
    panels: Range<usize>,
    /// Room for a pointer to each pixel's target and each tap's source.
    space: *mut *const f32,
}

// SAFETY: as the plan.
unsafe impl Sync for Task<'_> {}

impl Kernel<f32> for Task<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        let Plan { panels, channels, .. } = *self.plan;
        let count = self.pixels.len();
        let taps = self.lattice.taps.len();
        let height = count.div_ceil(count.div_ceil(V::ROWS));
        let (targets, sources) = (self.space.cast::<*mut f32>(), self.space.add(count));
        // In order: each tile's slack lies in the next one's part.
        for row in (0..count).step_by(height) {
            let rows = height.min(count - row);
            self.find(row, rows, targets.add(row), sources.add(row * taps));
        }
        let pieces = channels.div_ceil(CHUNK);
        let piece = channels.div_ceil(pieces);
        let most = if pieces > 1 { 1 } else { (CHUNK / channels).max(1) };
        let chunk = taps.div_ceil(taps.div_ceil(most));
        for panel in self.panels.clone() {
            let (group, panel) = (panel / panels.count(), panel % panels.count());
            let own = panels.columns_of(panel);
            let vectors = panels.vectors(panel);
            let at = self.lattice.weights + taps * channels * (group * panels.padded() + own.start);
            let mut weights = self.plan.weights.add(at);
            for tap in (0..taps).step_by(chunk) {
                for first in (0..channels).step_by(piece) {
                    let (taps_now, channels_now) = (chunk.min(taps - tap), piece.min(channels - first));
                    let fresh = tap == 0 && first == 0;
                    let done = tap + taps_now == taps && first + channels_now == channels;
                    for row in (0..count).step_by(height) {
                        let rows = height.min(count - row);
                        let product = Product {
                            sources: sources.add(row * taps + tap * rows),
                            first: group * channels + first,
                            channels: channels_now,
                            taps: taps_now,
                            weights,
                            targets: targets.add(row),
                            column: group * panels.columns + own.start,
                            lanes: own.len(),
                            bias: match self.plan.bias {
                                Some(bias) if fresh => Some(bias.add(group * panels.padded() + own.start)),
                                _ => None,
                            },
                            add: !fresh,
                            floor: if done { self.plan.floor } else { f32::NEG_INFINITY },
                        };
                        product.compute::<V>(rows, vectors);
                    }
                    weights = weights.add(taps_now * channels_now * vectors * V::LANES);
                }
            }
        }
    }
}

/// Most rows of a tile, and the pointers written at once.
const SLACK: usize = 16;

impl Task<'_> {
    /// The pointers of one tile's rows. `sources` has room for `SLACK` more.
    #[inline(always)]
    unsafe fn find(&self, row: usize, rows: usize, targets: *mut *mut f32, sources: *mut *const f32) {
        let Plan { source, target, source_step, target_step, images, images_inside, .. } = *self.plan;
        let Lattice { rows: height, cols, first, ref taps, .. } = *self.lattice;
        let at = self.pixels.start + row;
        let (mut image, pixel) = if images_inside {
            (at % images, at / images)
        } else {
            (at / (height * cols), at % (height * cols))
        };
        let (mut y, mut x) = (pixel / cols, pixel % cols);
        // Rows that are missing lie outside.
        let (mut ys, mut xs, mut offsets) = ([isize::MIN / 2; SLACK], [0isize; SLACK], [0isize; SLACK]);
        for i in 0..rows {
            let to = (image * target.height + first[0] + y * target_step[0]) * target.width
                + first[1]
                + x * target_step[1];
            *targets.add(i) = self.plan.out.add(to * target.pitch);
            ys[i] = (y * source_step[0]) as isize;
            xs[i] = (x * source_step[1]) as isize;
            let pixel = (image * source.height) as isize + ys[i];
            offsets[i] = (pixel * source.width as isize + xs[i]) * source.pitch as isize;
            if images_inside {
                image += 1;
                if image < images {
                    continue;
                }
                image = 0;
            }
            x += 1;
            if x == cols {
                (x, y) = (0, y + 1);
                if y == height && !images_inside {
                    (y, image) = (0, image + 1);
                }
            }
        }
        for (t, tap) in taps.iter().enumerate() {
            let base = self
                .plan
                .x
                .wrapping_offset((tap[0] * source.width as isize + tap[1]) * source.pitch as isize);
            let (mut found, mut any) = ([std::ptr::null(); SLACK], false);
            for i in 0..SLACK {
                let inside = (((ys[i] + tap[0]) as usize) < source.height)
                    & (((xs[i] + tap[1]) as usize) < source.width);
                found[i] = if inside { base.wrapping_offset(offsets[i]) } else { self.plan.zeros };
                any |= inside;
            }
            // The rest is overwritten by the next tap's.
            sources.add(t * rows).cast::<[*const f32; SLACK]>().write_unaligned(found);
            if !any {
                *sources.add(t * rows) = std::ptr::null();
            }
        }
    }
}
