//! One input channel and one output channel a group: channels in the vectors' lanes, every pixel
//! read and written about once.

use super::super::panel::even_blocks;
use super::super::patches::valid_range;
use super::super::{Failure, Finish, Geometry};
use super::lattice::{Lattice, Picture, clear_unreached, phases, taps};
use crate::error::Result;
use crate::memory::{self, Block};
use crate::parallel::for_each;
use crate::simd::vector::{Kernel, Vector, run};
use std::ops::Range;

/// Products of a task.
const WORK: usize = 1 << 17;
/// Pixels that share a loaded weight.
const PIXELS: usize = 4;

/// One tap of some pixels in a row: where the first one lies, and its weights.
#[derive(Clone, Copy)]
struct Tap {
    offset: isize,
    /// Pixels of the row for which it is inside the picture.
    inside: (usize, usize),
    weights: *const f32,
}

struct Plan<'a> {
    images: usize,
    channels: usize,
    source: Picture,
    target: Picture,
    source_step: [usize; 2],
    target_step: [usize; 2],
    lattices: &'a [Lattice],
    /// `[tap][channel]`; a lattice's `weights` is its first tap's number.
    weights: *const f32,
    order: &'a [usize],
    finish: Finish,
    x: *const f32,
    out: *mut f32,
}

// SAFETY: the inputs are only read, each task writes its own rows, all outlive the call.
unsafe impl Sync for Plan<'_> {}

/// # Safety
/// The pointers are the channels-last tensors of `geo` and its weight; no size is zero.
pub(super) unsafe fn forward(
    op: &'static str,
    geo: &Geometry,
    x: *const f32,
    w: *const f32,
    finish: Finish,
    out: *mut f32,
) -> Result<()> {
    let taps = taps(geo);
    let order: Vec<_> = (0..taps.len()).collect();
    let weights = transpose(op, geo, w)?;
    let lattice = Lattice { rows: geo.oh, cols: geo.ow, first: [0, 0], taps, weights: 0 };
    Plan {
        images: geo.n,
        channels: geo.c,
        source: Picture { height: geo.h, width: geo.w, pitch: geo.c },
        target: Picture { height: geo.oh, width: geo.ow, pitch: geo.c },
        source_step: geo.spec.stride,
        target_step: [1, 1],
        lattices: &[lattice],
        weights: weights.as_ptr().cast(),
        order: &order,
        finish,
        x,
        out,
    }
    .compute(op)
}

/// # Safety
/// As [`forward`].
pub(super) unsafe fn input_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    w: *const f32,
    dx: *mut f32,
) -> Result<()> {
    let (mut lattices, places) = phases(geo, 1);
    clear_unreached(geo, &lattices, dx);
    // The taps in the order of their lattices.
    let mut order = vec![0; places.len()];
    for (tap, place) in places.iter().enumerate() {
        order[place.start + place.index] = tap;
    }
    let weights = transpose(op, geo, w)?;
    lattices.retain(|l| l.rows * l.cols > 0);
    Plan {
        images: geo.n,
        channels: geo.c,
        source: Picture { height: geo.oh, width: geo.ow, pitch: geo.c },
        target: Picture { height: geo.h, width: geo.w, pitch: geo.c },
        source_step: [1, 1],
        target_step: geo.spec.stride,
        lattices: &lattices,
        weights: weights.as_ptr().cast(),
        order: &order,
        finish: Finish::NONE,
        x: g,
        out: dx,
    }
    .compute(op)
}

/// The weights as `[tap][channel]`.
unsafe fn transpose(op: &'static str, geo: &Geometry, w: *const f32) -> Result<Block> {
    let taps = geo.kh * geo.kw;
    let block = memory::allocate(op, geo.c * taps * size_of::<f32>())?;
    let to = block.as_ptr().cast::<f32>();
    for (c, tap) in (0..geo.c).flat_map(|c| (0..taps).map(move |tap| (c, tap))) {
        *to.add(tap * geo.c + c) = *w.add(c * taps + tap);
    }
    Ok(block)
}

impl Plan<'_> {
    unsafe fn compute(&self, op: &'static str) -> Result<()> {
        let mut tasks = Vec::new();
        for lattice in self.lattices {
            let row = lattice.cols * self.channels * lattice.taps.len();
            let rows = (WORK / row.max(1)).max(1);
            tasks.extend(
                even_blocks(self.images * lattice.rows, rows).into_iter().map(|rows| (lattice, rows)),
            );
        }
        let failure = Failure::default();
        for_each(tasks.len(), |i| {
            let (lattice, rows) = tasks[i].clone();
            let Some(space) = failure.allocate::<Tap>(op, lattice.taps.len()) else { return };
            run(Rows { plan: self, lattice, rows, taps: space.as_ptr().cast() });
        });
        failure.check()
    }
}

/// Some rows of a lattice, counted over all images.
struct Rows<'a> {
    plan: &'a Plan<'a>,
    lattice: &'a Lattice,
    rows: Range<usize>,
    taps: *mut Tap,
}

impl Kernel<f32> for Rows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        let Plan { channels, source, target, source_step, target_step, .. } = *self.plan;
        let Lattice { rows: height, cols, first, ref taps, weights, .. } = *self.lattice;
        for row in self.rows.clone() {
            let (image, y) = (row / height, row % height);
            // The taps whose row lies inside, and the columns where all of them do.
            let (mut count, mut all) = (0, (0, cols));
            for (t, tap) in taps.iter().enumerate() {
                let from = (y * source_step[0]) as isize + tap[0];
                if from < 0 || from >= source.height as isize {
                    continue;
                }
                let inside = valid_range(cols, source.width, source_step[1], tap[1]);
                let pixel = ((image * source.height) as isize + from) * source.width as isize + tap[1];
                *self.taps.add(count) = Tap {
                    offset: pixel * source.pitch as isize,
                    inside: (inside.start, inside.end),
                    weights: self.plan.weights.add(self.plan.order[weights + t] * channels),
                };
                count += 1;
                all = (all.0.max(inside.start), all.1.min(inside.end));
            }
            let middle = all.0.min(all.1)..all.1;
            let to = (image * target.height + first[0] + y * target_step[0]) * target.width + first[1];
            let row = Row {
                plan: self.plan,
                taps: std::slice::from_raw_parts(self.taps, count),
                out: self.plan.out.add(to * target.pitch),
            };
            let full = channels - channels % V::LANES;
            for c in (0..full).step_by(V::LANES) {
                row.channels::<V, true>(c, V::LANES, cols, middle.clone());
            }
            if full < channels {
                row.channels::<V, false>(full, channels - full, cols, middle);
            }
        }
    }
}

struct Row<'a> {
    plan: &'a Plan<'a>,
    taps: &'a [Tap],
    out: *mut f32,
}

/// A vector, or the lanes of the mask and zeros.
#[inline(always)]
pub(super) unsafe fn load<V: Vector<Elem = f32>, const FULL: bool>(p: *const f32, mask: V::Mask) -> V {
    if FULL { V::load(p) } else { V::splat(0.0).load_lanes(mask, p) }
}

impl Row<'_> {
    /// One vector of channels; all taps are inside for the pixels of `middle`.
    #[inline(always)]
    unsafe fn channels<V: Vector<Elem = f32>, const FULL: bool>(
        &self,
        c: usize,
        lanes: usize,
        cols: usize,
        middle: Range<usize>,
    ) {
        let mask = V::mask(0, lanes);
        for x in 0..middle.start {
            self.edge::<V, FULL>(c, mask, x);
        }
        let mut x = middle.start;
        while x + PIXELS <= middle.end {
            self.pixels::<V, FULL, PIXELS>(c, mask, x);
            x += PIXELS;
        }
        while x < middle.end {
            self.pixels::<V, FULL, 1>(c, mask, x);
            x += 1;
        }
        for x in middle.end.max(middle.start)..cols {
            self.edge::<V, FULL>(c, mask, x);
        }
    }

    #[inline(always)]
    unsafe fn start<V: Vector<Elem = f32>, const FULL: bool>(&self, c: usize, mask: V::Mask) -> V {
        match self.plan.finish.bias {
            Some(bias) => load::<V, FULL>(bias.add(c), mask),
            None => V::splat(0.0),
        }
    }

    #[inline(always)]
    unsafe fn store<V: Vector<Elem = f32>, const FULL: bool>(&self, sum: V, mask: V::Mask, to: *mut f32) {
        let v = sum.at_least(V::splat(self.plan.finish.floor()));
        if FULL { v.store(to) } else { v.store_lanes(mask, to) }
    }

    #[inline(always)]
    unsafe fn pixels<V: Vector<Elem = f32>, const FULL: bool, const P: usize>(
        &self,
        c: usize,
        mask: V::Mask,
        x: usize,
    ) {
        let Plan { source, source_step, target, target_step, .. } = *self.plan;
        let step = source_step[1] * source.pitch;
        let from = self.plan.x.wrapping_add(x * step + c);
        let mut acc = [self.start::<V, FULL>(c, mask); P];
        for tap in self.taps {
            let w = load::<V, FULL>(tap.weights.add(c), mask);
            let from = from.wrapping_offset(tap.offset);
            for p in 0..P {
                acc[p] = w.mul_add(load::<V, FULL>(from.add(p * step), mask), acc[p]);
            }
        }
        for p in 0..P {
            let to = self.out.add((x + p) * target_step[1] * target.pitch + c);
            self.store::<V, FULL>(acc[p], mask, to);
        }
    }

    /// A pixel some of whose taps lie outside.
    #[inline(always)]
    unsafe fn edge<V: Vector<Elem = f32>, const FULL: bool>(&self, c: usize, mask: V::Mask, x: usize) {
        let Plan { source, source_step, target, target_step, .. } = *self.plan;
        let from = self.plan.x.wrapping_add(x * source_step[1] * source.pitch + c);
        let mut acc = self.start::<V, FULL>(c, mask);
        for tap in self.taps {
            if tap.inside.0 <= x && x < tap.inside.1 {
                let v = load::<V, FULL>(from.wrapping_offset(tap.offset), mask);
                acc = load::<V, FULL>(tap.weights.add(c), mask).mul_add(v, acc);
            }
        }
        let to = self.out.add(x * target_step[1] * target.pitch + c);
        self.store::<V, FULL>(acc, mask, to);
    }
}
