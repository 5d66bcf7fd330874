//! The weight's gradient: `G' (sum over tiles of (B' d B) * (A y A')) G`.

use super::forward::{apart, for_tiles, pictures};
use super::product::{Outer, lanes};
use super::tiles::{Gather, Side};
use super::weights::{Panel, Unpack, space};
use crate::error::Result;
use crate::memory;
use crate::ops::conv::{Failure, Geometry};
use crate::parallel::{SendPtr, for_each};
use crate::simd::vector::run;

/// Bytes of transformed tiles of both sides that are formed before they are multiplied.
const TILES: usize = 2 << 20;
/// Bytes of sums from which they are cut by channels, so that each task's stay in its cache and are
/// transformed there. Smaller ones are cut by points, where each task reads its own tiles only.
const SPLIT: usize = 4 << 20;
/// Input channels of a task that has sums of its own.
const CHANNELS: usize = 128;

/// # Safety
/// The pointers are the tensors of `geo`: pictures channels-last, the weight's gradient `[o][c][r][r]`.
pub(super) unsafe fn weight_grad<const M: usize, const R: usize, const A: usize>(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    x: *const f32,
    dw: *mut f32,
) -> Result<()> {
    let points = A * A;
    let [input, output] = pictures(geo, M);
    let tiles = geo.n * input.rows * input.columns;
    let lanes = lanes();
    let width = 2 * lanes;
    let (panels, blocks) = (geo.o.div_ceil(width), geo.c.div_ceil(lanes));
    let channels = blocks * lanes;
    let tile_bytes = points * (channels + panels * width) * size_of::<f32>();
    let size = tiles.div_ceil(tiles.div_ceil((TILES / tile_bytes).max(64)));
    let v_step = apart(channels * size);
    let m_step = apart(panels * width * size);
    let gathered = memory::allocate(op, points * (v_step + m_step) * size_of::<f32>())?;
    let v = SendPtr(gathered.as_ptr().cast::<f32>());
    let m = SendPtr(v.get().add(points * v_step));
    let (x, g, dw) = (SendPtr(x.cast_mut()), SendPtr(g.cast_mut()), SendPtr(dw));

    let split = points * channels * panels * width * size_of::<f32>() >= SPLIT;
    let chunk = if split { CHANNELS } else { channels };
    let chunks = channels.div_ceil(chunk);
    let group = if split { points } else { points / 8 };
    let groups = points.div_ceil(group);
    // `[panel][chunk][point][channel][two vectors]`
    let u_step = apart(chunk * width);
    let u_size = points * u_step;
    let own = split && size == tiles;
    let sums = memory::allocate(op, if own { 1 } else { panels * chunks * u_size * size_of::<f32>() })?;
    let sums = SendPtr(sums.as_ptr().cast::<f32>());
    let failure = Failure::default();
    let part = |chunk_index: usize| chunk_index * chunk..((chunk_index + 1) * chunk).min(channels);
    let unpack = |panel: usize, channels: std::ops::Range<usize>, u: *mut f32| {
        let Some(space) = failure.allocate::<f32>(op, space(R, lanes)) else { return };
        let space = space.as_ptr().cast();
        let panel = Panel { inputs: geo.c, outputs: geo.o, output: panel * width, u, u_step, space };
        run(Unpack::<M, R, A> { panel, channels, dw: dw.get() });
    };
    for start in (0..tiles).step_by(size) {
        let end = (start + size).min(tiles);
        for_tiles(start..end, |tiles| {
            let at = (tiles.start - start) * lanes;
            let (pictures, side, to) = (&input, Side::Input, v.get().add(at));
            run(Gather::<M, R, A> {
                pictures,
                side,
                tiles: tiles.clone(),
                x: x.get(),
                blocks,
                to,
                room: size,
                step: v_step,
            });
            let (pictures, side, to) = (&output, Side::OutputGrad, m.get().add(at));
            let blocks = 2 * panels;
            run(Gather::<M, R, A> {
                pictures,
                side,
                tiles,
                x: g.get(),
                blocks,
                to,
                room: size,
                step: m_step,
            });
        });
        let multiply = |group_index: usize, panel: usize, chunk_index: usize, u: *mut f32| {
            let first = group_index * group;
            let part = part(chunk_index);
            run(Outer {
                points: group.min(points - first),
                a: v.get().add(first * v_step + part.start * size),
                a_step: v_step,
                a_block: size * lanes,
                blocks: part.len() / lanes,
                b: m.get().add(first * m_step + panel * width * size),
                b_step: m_step,
                b_block: size * lanes,
                tiles: end - start,
                c: u.add(first * u_step),
                c_step: u_step,
                add: start > 0,
            });
        };
        if split {
            for_each(panels * chunks, |task| {
                let (panel, index) = (task / chunks, task % chunks);
                if own {
                    let Some(space) = failure.allocate::<f32>(op, u_size) else { return };
                    let u = space.as_ptr().cast::<f32>();
                    multiply(0, panel, index, u);
                    let part = part(index);
                    unpack(panel, part.start..part.end.min(geo.c), u);
                } else {
                    multiply(0, panel, index, sums.get().add(task * u_size));
                }
            });
        } else {
            for_each(groups, |group| {
                for panel in 0..panels {
                    multiply(group, panel, 0, sums.get().add(panel * u_size));
                }
            });
        }
    }
    if !own {
        // Small pieces: a panel of a narrow layer is most of the work.
        const PIECE: usize = 16;
        let pieces = chunk.div_ceil(PIECE);
        for_each(panels * chunks * pieces, |task| {
            let (at, piece) = (task / pieces, task % pieces);
            let (panel, part) = (at / chunks, part(at % chunks));
            let first = part.start + piece * PIECE;
            let last = (first + PIECE).min(part.end).min(geo.c);
            if first < last {
                let u = sums.get().add(at * u_size + piece * PIECE * width);
                unpack(panel, first..last, u);
            }
        });
    }
    failure.check()
}
