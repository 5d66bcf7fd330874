//! The forward pass, and with flipped weights the input's gradient.

use super::product::{Product, lanes};
use super::tiles::{Gather, Pictures, Scatter, Side};
use super::weights::{Pack, Panel, space};
use crate::error::Result;
use crate::memory::{self, Block};
use crate::ops::conv::{Failure, Finish, Geometry};
use crate::packs::Form;
use crate::parallel::{SendPtr, for_each};
use crate::simd::vector::run;
use crate::tensor::Tensor;

/// Bytes of transformed weights from which they are formed where they are used: they would not
/// stay in the cache between blocks of tiles. The second bound is for so few tiles that each panel
/// of weights is used once.
const FUSED_WEIGHTS: usize = 4 << 20;
const FUSED_WEIGHTS_ONCE: usize = 1 << 20;
/// Bytes of a block's transformed tiles: half of a second-level cache.
const BLOCK: usize = 520 << 10;
/// Tiles of a block in the fused form, and input channels whose weights are formed together.
const FUSED_TILES: usize = 128;
const FUSED_CHANNELS: usize = 64;
/// Tasks of a loop over blocks: a task's workspace stays in its core's cache.
const TASKS: usize = 64;

/// One convolution: what both forms need.
struct Convolution<'a, const M: usize, const R: usize, const A: usize> {
    op: &'static str,
    geo: &'a Geometry,
    flipped: bool,
    input: Pictures,
    output: Pictures,
    tiles: usize,
    lanes: usize,
    panels: usize,
    blocks: usize,
    x: *const f32,
    weight: &'a Tensor,
    w: *const f32,
    finish: Finish,
    out: *mut f32,
}

// SAFETY: the inputs are read only, each task writes its own outputs, and all outlive the call.
unsafe impl<const M: usize, const R: usize, const A: usize> Sync for Convolution<'_, M, R, A> {}

/// The pictures of a convolution's input and output, cut into tiles of `m x m` outputs.
pub(super) fn pictures(geo: &Geometry, m: usize) -> [Pictures; 2] {
    let (rows, columns) = (geo.oh.div_ceil(m), geo.ow.div_ceil(m));
    let input = Pictures { h: geo.h, w: geo.w, c: geo.c, padding: geo.spec.padding, rows, columns };
    [input, Pictures { h: geo.oh, w: geo.ow, c: geo.o, padding: [0, 0], ..input }]
}

/// # Safety
/// The pointers are the tensors of `geo`: pictures channels-last, weights `[o][c][r][r]`, for
/// `flipped` ones `[c][o][r][r]`.
pub(super) unsafe fn forward<const M: usize, const R: usize, const A: usize>(
    op: &'static str,
    geo: &Geometry,
    flipped: bool,
    x: *const f32,
    weight: &Tensor,
    finish: Finish,
    out: *mut f32,
) -> Result<()> {
    let [input, output] = pictures(geo, M);
    let lanes = lanes();
    let conv = Convolution::<M, R, A> {
        op,
        geo,
        flipped,
        input,
        output,
        tiles: geo.n * input.rows * input.columns,
        lanes,
        panels: geo.o.div_ceil(2 * lanes),
        blocks: geo.c.div_ceil(lanes),
        x,
        weight,
        w: weight.ptr(),
        finish,
        out,
    };
    let bytes = A * A * geo.c * geo.o * size_of::<f32>();
    let bound = if conv.tiles <= FUSED_TILES { FUSED_WEIGHTS_ONCE } else { FUSED_WEIGHTS };
    if bytes >= bound { conv.fused() } else { conv.blocked() }
}

impl<const M: usize, const R: usize, const A: usize> Convolution<'_, M, R, A> {
    const POINTS: usize = A * A;

    unsafe fn pack(
        &self,
        panel: usize,
        channels: std::ops::Range<usize>,
        u: *mut f32,
        u_step: usize,
        space: *mut f32,
    ) {
        let geo = self.geo;
        let output = panel * 2 * self.lanes;
        let panel = Panel { inputs: geo.c, outputs: geo.o, output, u, u_step, space };
        run(Pack::<M, R, A> { panel, channels, w: self.w, flipped: self.flipped });
    }

    /// All weights first, then block after block of tiles, from the input to the output.
    unsafe fn blocked(&self) -> Result<()> {
        let (c, lanes) = (self.geo.c, self.lanes);
        let width = 2 * lanes;
        let u_step = apart(c * width);
        let failure = Failure::default();
        let form = Form::new("winograd", &[M, R, self.geo.o, c, usize::from(self.flipped)]);
        let bytes = self.panels * Self::POINTS * u_step * size_of::<f32>();
        // SAFETY: as this function.
        let weights = self.weight.packed(form, bytes, || unsafe { self.all_weights(bytes, u_step) })?;
        let u = SendPtr(weights.as_ptr().cast::<f32>());
        let tile = Self::POINTS * self.blocks * lanes;
        let (count, size) = cut(self.tiles, BLOCK / size_of::<f32>() / tile);
        let v_step = apart(self.blocks * size * lanes);
        let m_step = apart(size * width);
        let tasks = count.min(TASKS);
        for_each(tasks, |task| {
            let v_size = Self::POINTS * v_step;
            let Some(space) = failure.allocate::<f32>(self.op, v_size + Self::POINTS * m_step) else {
                return;
            };
            let v = space.as_ptr().cast::<f32>();
            let products = v.add(v_size);
            for block in (task * count / tasks)..((task + 1) * count / tasks) {
                let tiles = block * size..((block + 1) * size).min(self.tiles);
                run(Gather::<M, R, A> {
                    pictures: &self.input,
                    side: Side::Input,
                    tiles: tiles.clone(),
                    x: self.x,
                    blocks: self.blocks,
                    to: v,
                    room: size,
                    step: v_step,
                });
                for panel in 0..self.panels {
                    run(Product {
                        points: Self::POINTS,
                        a: v,
                        a_step: v_step,
                        a_block: size * lanes,
                        tiles: tiles.len(),
                        k: c,
                        b: u.get().add(panel * Self::POINTS * u_step),
                        b_step: u_step,
                        c: products,
                        c_step: m_step,
                        add: false,
                    });
                    run(Scatter::<M, R, A> {
                        pictures: &self.output,
                        tiles: tiles.clone(),
                        from: products,
                        step: m_step,
                        channel: panel * width,
                        finish: self.finish,
                        out: self.out,
                    });
                }
            }
        });
        failure.check()
    }

    /// All weights, transformed: `[panel][point][channel][two vectors]`, the points `u_step` apart.
    unsafe fn all_weights(&self, bytes: usize, u_step: usize) -> Result<Block> {
        let (c, width) = (self.geo.c, 2 * self.lanes);
        let weights = memory::allocate(self.op, bytes)?;
        let u = SendPtr(weights.as_ptr().cast::<f32>());
        let pieces = c.div_ceil(FUSED_CHANNELS);
        let failure = Failure::default();
        for_each(self.panels * pieces, |task| {
            let (panel, piece) = (task / pieces, task % pieces);
            let Some(space) = failure.allocate::<f32>(self.op, space(R, self.lanes)) else { return };
            let channels = piece * FUSED_CHANNELS..((piece + 1) * FUSED_CHANNELS).min(c);
            let to = u.get().add(panel * Self::POINTS * u_step + channels.start * width);
            self.pack(panel, channels, to, u_step, space.as_ptr().cast());
        });
        failure.check()?;
        Ok(weights)
    }

    /// The tiles of all channels first, then panel after panel of weights, transformed some input
    /// channels at a time so that they never leave the cache.
    unsafe fn fused(&self) -> Result<()> {
        let (c, lanes) = (self.geo.c, self.lanes);
        let width = 2 * lanes;
        let size = self.tiles.div_ceil(self.tiles.div_ceil(FUSED_TILES));
        let v_step = apart(self.blocks * size * lanes);
        let gathered = memory::allocate(self.op, Self::POINTS * v_step * size_of::<f32>())?;
        let v = SendPtr(gathered.as_ptr().cast::<f32>());
        let failure = Failure::default();
        for start in (0..self.tiles).step_by(size) {
            let end = (start + size).min(self.tiles);
            for_tiles(start..end, |tiles| {
                let to = v.get().add((tiles.start - start) * lanes);
                let (pictures, blocks) = (&self.input, self.blocks);
                run(Gather::<M, R, A> {
                    pictures,
                    side: Side::Input,
                    tiles,
                    x: self.x,
                    blocks,
                    to,
                    room: size,
                    step: v_step,
                });
            });
            for_each(self.panels, |panel| {
                let u_step = apart(FUSED_CHANNELS * width);
                let (u_size, turned) = (Self::POINTS * u_step, space(R, lanes));
                let m_step = apart(size * width);
                let len = u_size + turned + Self::POINTS * m_step;
                let Some(space) = failure.allocate::<f32>(self.op, len) else { return };
                let u = space.as_ptr().cast::<f32>();
                let (space, products) = (u.add(u_size), u.add(u_size + turned));
                for first in (0..c).step_by(FUSED_CHANNELS) {
                    let channels = first..(first + FUSED_CHANNELS).min(c);
                    let k = channels.len();
                    self.pack(panel, channels, u, u_step, space);
                    run(Product {
                        points: Self::POINTS,
                        a: v.get().add(first * size),
                        a_step: v_step,
                        a_block: size * lanes,
                        tiles: end - start,
                        k,
                        b: u,
                        b_step: u_step,
                        c: products,
                        c_step: m_step,
                        add: first > 0,
                    });
                }
                run(Scatter::<M, R, A> {
                    pictures: &self.output,
                    tiles: start..end,
                    from: products,
                    step: m_step,
                    channel: panel * width,
                    finish: self.finish,
                    out: self.out,
                });
            });
        }
        failure.check()
    }
}

/// Rounds the floats from one point to the next so that the points' lines fall into different sets
/// of the first-level cache: a transform writes one line of each.
pub(super) fn apart(floats: usize) -> usize {
    const LINE: usize = 16;
    (floats.div_ceil(LINE) | 1) * LINE
}

/// Cuts tiles into an even number of blocks of about `most`: `(count, size)`.
fn cut(tiles: usize, most: usize) -> (usize, usize) {
    let count = tiles.div_ceil(most.clamp(14, 112));
    let count = if count > 1 { count.next_multiple_of(if tiles >= 4 * 14 { 4 } else { 2 }) } else { 1 };
    let size = tiles.div_ceil(count);
    (tiles.div_ceil(size), size)
}

/// Calls `f` on pieces of `tiles`, in parallel.
pub(super) fn for_tiles<F: Fn(std::ops::Range<usize>) + Sync>(tiles: std::ops::Range<usize>, f: F) {
    const PIECE: usize = 4;
    let count = tiles.len().div_ceil(PIECE);
    for_each(count, |i| {
        let start = tiles.start + i * PIECE;
        f(start..(start + PIECE).min(tiles.end));
    });
}
