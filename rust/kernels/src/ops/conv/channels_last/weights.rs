//! Weights in the order that the tiles read: panels of two vectors of output channels.

use super::super::Geometry;
use super::super::panel::tile_size;
use super::micro::VECTORS;
use crate::error::Result;
use crate::memory::{self, Block};
use crate::ops::matmul::{Operand, Strided};
use crate::parallel::{SendPtr, for_each};
use std::ops::Range;

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

/// The weights of each group, `[panel][tap][channel][column]`; `places` says where each tap goes.
pub(super) unsafe fn pack(
    op: &'static str,
    geo: &Geometry,
    columns: Columns,
    places: &[Place],
    w: *const f32,
) -> Result<Block> {
    let taps = geo.kh * geo.kw;
    let (cg, og, groups) = (geo.cg, geo.og, geo.spec.groups);
    let (channels, panels) = match columns {
        Columns::Outputs => (cg, Panels::new(og)),
        Columns::Inputs => (og, Panels::new(cg)),
    };
    let padded = panels.padded();
    let bytes =
        [groups, padded, channels, taps, size_of::<f32>()].iter().fold(1, |a: usize, &b| a.saturating_mul(b));
    let packed = memory::allocate(op, bytes)?;
    // Channels whose taps are transposed at once, in the first cache.
    let step = (128 / taps).clamp(1, channels.max(1));
    let pieces = channels.div_ceil(step.max(64));
    let piece = channels.div_ceil(pieces.max(1)).max(1);
    let room = memory::allocate(
        op,
        groups * panels.count() * pieces * step * taps * panels.full() * size_of::<f32>(),
    )?;
    let (to, w, room) =
        (SendPtr(packed.as_ptr().cast::<f32>()), SendPtr(w.cast_mut()), SendPtr(room.as_ptr().cast::<f32>()));
    for_each(groups * panels.count() * pieces, |task| {
        let (rest, at) = (task / pieces, task % pieces);
        let (group, panel) = (rest / panels.count(), rest % panels.count());
        let own = panels.columns_of(panel);
        let width = panels.vectors(panel) * panels.lanes;
        let room = room.get().add(task * step * taps * panels.full());
        for first in (at * piece..((at + 1) * piece).min(channels)).step_by(step) {
            let count = step.min(((at + 1) * piece).min(channels) - first);
            // Rows of `room`: the channels' taps.
            match columns {
                Columns::Outputs => {
                    let from = w.get().add(((group * og + own.start) * cg + first) * taps).cast_const();
                    let lines = Strided { ptr: from, line: (cg * taps) as isize, k: 1 };
                    lines.pack(0..own.len(), 0..count * taps, width, room);
                }
                Columns::Inputs => {
                    for c in 0..count {
                        let from =
                            w.get().add(((group * og + first + c) * cg + own.start) * taps).cast_const();
                        let lines = Strided { ptr: from, line: taps as isize, k: 1 };
                        lines.pack(0..own.len(), 0..taps, width, room.add(c * taps * width));
                    }
                }
            }
            for (tap, place) in places.iter().enumerate() {
                let start = place.start + place.taps * channels * (group * padded + own.start);
                let to = to.get().add(start + (place.index * channels + first) * width);
                for c in 0..count {
                    std::ptr::copy_nonoverlapping(
                        room.add((c * taps + tap) * width),
                        to.add(c * width),
                        width,
                    );
                }
            }
        }
    });
    Ok(packed)
}
