//! Weights in the order that the tiles read: panels of two vectors of output channels.

use super::super::panel::{even_blocks, tile_size};
use super::super::{ConvSpec, Failure, Geometry};
use super::micro::VECTORS;
use crate::error::Result;
use crate::memory::{self, Block};
use crate::ops::matmul::{Operand, Strided};
use crate::packs::Form;
use crate::parallel::{SendPtr, for_each};
use crate::simd::vector::{Kernel, Vector, run};
use crate::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

/// Channels of a task, and rows of taps that are transposed at once.
const CHANNELS: usize = 64;
const ROWS: usize = 144;

/// How the columns of a product are cut into panels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels {
    pub columns: usize,
    pub lanes: usize,
}

impl Panels {
    pub fn new(columns: usize) -> Panels {
        Panels { columns, lanes: tile_size::<f32>().1 }
    }

    pub fn full(&self) -> usize {
        VECTORS * self.lanes
    }

    pub fn count(&self) -> usize {
        self.columns.div_ceil(self.full())
    }

    pub fn columns_of(&self, panel: usize) -> Range<usize> {
        panel * self.full()..((panel + 1) * self.full()).min(self.columns)
    }

    /// Vectors of a panel: the last one may be narrow.
    pub fn vectors(&self, panel: usize) -> usize {
        self.columns_of(panel).len().div_ceil(self.lanes)
    }

    /// All columns, rounded up to vectors.
    pub fn padded(&self) -> usize {
        self.columns.next_multiple_of(self.lanes)
    }
}

/// Where a tap's matrix goes: it is number `index` of `taps` that lie together from `start` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub start: usize,
    pub index: usize,
    pub taps: usize,
}

/// Which channels of the weight are the product's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    Outputs,
    Inputs,
}

impl Columns {
    /// The channels to sum over, and the panels.
    fn of(self, geo: &Geometry) -> (usize, Panels) {
        match self {
            Columns::Outputs => (geo.cg, Panels::new(geo.og)),
            Columns::Inputs => (geo.og, Panels::new(geo.cg)),
        }
    }
}

/// Bytes of packed weights.
pub(super) fn packed_size(geo: &Geometry, columns: Columns) -> usize {
    let (channels, panels) = columns.of(geo);
    let sizes = [geo.spec.groups, panels.padded(), channels, geo.kh * geo.kw, size_of::<f32>()];
    sizes.iter().fold(1, |a: usize, &b| a.saturating_mul(b))
}

/// [`pack`] of a weight, or what an earlier call kept of it.
pub(super) unsafe fn pack_or_kept(
    op: &'static str,
    geo: &Geometry,
    columns: Columns,
    places: &[Place],
    w: &Tensor,
) -> Result<Arc<Block>> {
    let ConvSpec { stride, padding, dilation, groups } = geo.spec;
    let Geometry { o, cg, kh, kw, .. } = *geo;
    // SAFETY: as this function.
    let make = || unsafe { pack(op, geo, columns, places, w.ptr()) };
    let bytes = packed_size(geo, columns);
    if columns == Columns::Outputs {
        // The taps are in their own order.
        return w.packed(Form::new("outputs", &[o, cg, kh, kw, groups]), bytes, make);
    }
    let [[s, t], [p, q], [d, e]] = [stride, padding, dilation];
    w.packed(Form::new("inputs", &[o, cg, kh, kw, groups, s, t, p, q, d, e]), bytes, make)
}

/// The weights of each group, `[panel][tap][channel][column]`; `places` says where each tap goes.
pub(super) unsafe fn pack(
    op: &'static str,
    geo: &Geometry,
    columns: Columns,
    places: &[Place],
    w: *const f32,
) -> Result<Block> {
    let groups = geo.spec.groups;
    let (channels, panels) = columns.of(geo);
    let packed = memory::allocate(op, packed_size(geo, columns))?;
    let (to, w) = (SendPtr(packed.as_ptr().cast::<f32>()), SendPtr(w.cast_mut()));
    let ranges = even_blocks(channels, CHANNELS);
    let failure = Failure::default();
    for_each(groups * panels.count() * ranges.len(), |task| {
        let (rest, range) = (task / ranges.len(), ranges[task % ranges.len()].clone());
        let (group, panel) = (rest / panels.count(), rest % panels.count());
        let step = (ROWS / places.len()).clamp(1, range.len());
        let Some(room) = failure.allocate::<f32>(op, step * places.len() * panels.full()) else { return };
        let (to, w, room) = (to.get(), w.get().cast_const(), room.as_ptr().cast());
        run(Piece { geo, columns, panels, channels, places, group, panel, range, step, w, room, to });
    });
    failure.check()?;
    Ok(packed)
}

/// Some channels of a panel.
struct Piece<'a> {
    geo: &'a Geometry,
    columns: Columns,
    panels: Panels,
    channels: usize,
    places: &'a [Place],
    group: usize,
    panel: usize,
    range: Range<usize>,
    /// Channels transposed at once.
    step: usize,
    w: *const f32,
    /// `[channel][tap][column]`
    room: *mut f32,
    to: *mut f32,
}

impl Kernel<f32> for Piece<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        let Piece { geo, panels, channels, room, .. } = self;
        let (cg, og, taps) = (geo.cg, geo.og, self.places.len());
        let own = panels.columns_of(self.panel);
        let vectors = panels.vectors(self.panel);
        let width = vectors * V::LANES;
        for first in self.range.clone().step_by(self.step) {
            let count = self.step.min(self.range.end - first);
            match self.columns {
                Columns::Outputs => {
                    let ptr = self.w.add(((self.group * og + own.start) * cg + first) * taps);
                    let lines = Strided { ptr, line: (cg * taps) as isize, k: 1 };
                    lines.pack(0..own.len(), 0..count * taps, width, room);
                }
                Columns::Inputs => {
                    for c in 0..count {
                        let ptr = self.w.add(((self.group * og + first + c) * cg + own.start) * taps);
                        let lines = Strided { ptr, line: taps as isize, k: 1 };
                        lines.pack(0..own.len(), 0..taps, width, room.add(c * taps * width));
                    }
                }
            }
            for (tap, place) in self.places.iter().enumerate() {
                let start = place.start + place.taps * channels * (self.group * panels.padded() + own.start);
                let to = self.to.add(start + (place.index * channels + first) * width);
                for (c, v) in (0..count).flat_map(|c| (0..vectors).map(move |v| (c, v))) {
                    V::load(room.add((c * taps + tap) * width + v * V::LANES))
                        .store(to.add(c * width + v * V::LANES));
                }
            }
        }
    }
}

/// The bias with every group padded to whole panels.
pub(super) unsafe fn pad_bias(
    op: &'static str,
    groups: usize,
    panels: Panels,
    bias: *const f32,
) -> Result<Block> {
    let (og, padded) = (panels.columns, panels.padded());
    let space = memory::allocate(op, groups * padded * size_of::<f32>())?;
    let to = space.as_ptr().cast::<f32>();
    std::ptr::write_bytes(to, 0, groups * padded);
    for group in 0..groups {
        std::ptr::copy_nonoverlapping(bias.add(group * og), to.add(group * padded), og);
    }
    Ok(space)
}
