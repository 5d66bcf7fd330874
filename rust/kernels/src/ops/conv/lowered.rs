//! Convolution as matrix products with a tile of patches at a time: any stride, padding, dilation
//! and groups. The tile and its workspace stay in the second-level cache.

use super::implicit_gemm::Weights;
use super::patches::{Tile, Tiling, col2im, im2col};
use super::{Failure, Geometry};
use crate::error::Result;
use crate::memory;
use crate::ops::matmul::{GemmElement, gemm};
use crate::parallel::{SendPtr, for_each};
use std::ops::Range;

/// Bytes of patches a task works on.
const WORKSPACE: usize = 512 * 1024;
/// Bounds of a tile's width: narrower wastes the product's registers, wider its cache.
const MIN_PIXELS: usize = 64;
const MAX_PIXELS: usize = 1024;
/// Tasks worth cutting a pass into, and the multiplications below which a task is too small.
const TASKS: usize = 16;
const MIN_WORK: usize = 1 << 19;
/// Bytes of partial weight gradients.
const PARTIALS: usize = 8 << 20;

/// `to[channel][pixel of the tile]` from `[image][channels of all groups][plane]`.
unsafe fn gather<T: Copy>(
    from: *const T,
    to: *mut T,
    tile: Tile,
    channels: Range<usize>,
    all: usize,
    plane: usize,
) {
    for (row, c) in channels.enumerate() {
        for i in 0..tile.images {
            let from = from.add(((tile.image + i) * all + c) * plane + tile.first);
            std::ptr::copy_nonoverlapping(from, to.add(row * tile.pixels() + i * tile.len), tile.len);
        }
    }
}

/// The patches of a tile as a matrix with rows so many elements apart: those of a pointwise
/// convolution are the image itself, others are copied to `space`.
unsafe fn patches<T: GemmElement>(
    geo: &Geometry,
    x: *const T,
    channels: Range<usize>,
    tile: Tile,
    space: *mut T,
) -> (*const T, isize) {
    if geo.is_pointwise() && tile.images == 1 {
        let plane = geo.h * geo.w;
        return (x.add((tile.image * geo.c + channels.start) * plane + tile.first), plane as isize);
    }
    im2col(geo, x, channels, tile, space, tile.pixels());
    (space, tile.pixels() as isize)
}

/// The forward pass; for a pointwise convolution also, with the geometry to match and flipped
/// weights, the input's gradient.
///
/// # Safety
/// The pointers are the contiguous tensors of `geo`; `bias`, if any, has `o` elements.
pub(super) unsafe fn forward<T: GemmElement>(
    geo: &Geometry,
    kind: Weights,
    x: *const T,
    w: *const T,
    bias: Option<*const T>,
    out: *mut T,
) -> Result<()> {
    let k = geo.cg * geo.kh * geo.kw;
    let (groups, og, plane) = (geo.spec.groups, geo.og, geo.oh * geo.ow);
    let room = WORKSPACE / size_of::<T>() / k.max(1);
    // No wider than leaves a task for every core.
    let share = (geo.n * plane).div_ceil(TASKS);
    // A pointwise convolution's patches are the image itself, which no tile then copies.
    let pointwise = geo.is_pointwise();
    let wanted = if pointwise { plane.min(share) } else { room.min(share) };
    let tiling = Tiling::new(geo.n, plane, wanted.clamp(MIN_PIXELS, MAX_PIXELS));
    let (x, w, out) = (SendPtr(x.cast_mut()), SendPtr(w.cast_mut()), SendPtr(out));
    let bias = bias.map(|b| SendPtr(b.cast_mut()));
    let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
    let failure = Failure::default();
    for_each(tiling.count() * groups, |task| {
        let (tile, group) = (tiling.tile(task / groups), task % groups);
        let pixels = tile.pixels();
        let several = tile.images > 1;
        let copied = if pointwise && !several { 0 } else { k * pixels };
        let Some(block) = failure.allocate::<T>("conv2d", copied + if several { og * pixels } else { 0 })
        else {
            return;
        };
        let space = block.as_ptr().cast::<T>();
        let channels = group * geo.cg..(group + 1) * geo.cg;
        let (col, col_step) = patches(geo, x.get(), channels, tile, space);
        let first = |image: usize, row: usize| {
            out.get().add(((tile.image + image) * geo.o + group * og + row) * plane + tile.first)
        };
        let (to, step) = if several { (space.add(copied), pixels) } else { (first(0, 0), plane) };
        if let Some(bias) = &bias {
            for row in 0..og {
                let b = *bias.get().add(group * og + row);
                std::slice::from_raw_parts_mut(to.add(row * step), pixels).fill(b);
            }
        }
        let beta = if bias.is_some() { one } else { zero };
        let weights = w.get().add(group * og * k);
        let (row, tap) = match kind {
            Weights::Forward => (k as isize, 1),
            Weights::Flipped => (1, og as isize),
        };
        gemm(og, pixels, k, one, weights, row, tap, col, col_step, 1, beta, to, step as isize, 1);
        if several {
            for row in 0..og {
                for i in 0..tile.images {
                    std::ptr::copy_nonoverlapping(
                        to.add(row * pixels + i * tile.len),
                        first(i, row),
                        tile.len,
                    );
                }
            }
        }
    });
    failure.check()
}

/// # Safety
/// As [`forward`].
pub(super) unsafe fn input_grad<T: GemmElement>(
    geo: &Geometry,
    g: *const T,
    w: *const T,
    dx: *mut T,
) -> Result<()> {
    let taps = geo.kh * geo.kw;
    let (groups, og, plane) = (geo.spec.groups, geo.og, geo.oh * geo.ow);
    let k = geo.cg * taps;
    // Small planes share a tile between images. A task owns whole images of some channels, because
    // the patches of neighbouring tiles overlap.
    let share = geo.n.div_ceil(TASKS).max(1) * plane;
    let tiling = Tiling::new(geo.n, plane, (MAX_PIXELS / 4).min(share));
    let room = (WORKSPACE / size_of::<T>() / tiling.max_pixels() / taps).max(1);
    let units = if tiling.max_pixels() >= plane { tiling.count() } else { geo.n };
    let tiles_a_unit = tiling.count() / units;
    // Few images: cut the channels too.
    let cuts = TASKS.div_ceil(units * groups).min((geo.work() / MIN_WORK).max(1));
    let channels = room.min(geo.cg.div_ceil(cuts)).max(1);
    let blocks = geo.cg.div_ceil(channels);
    let (g, w, dx) = (SendPtr(g.cast_mut()), SendPtr(w.cast_mut()), SendPtr(dx));
    let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
    let failure = Failure::default();
    for_each(units * groups * blocks, |task| {
        let (unit, rest) = (task / (groups * blocks), task % (groups * blocks));
        let (group, block) = (rest / blocks, rest % blocks);
        let own = block * channels..((block + 1) * channels).min(geo.cg);
        let (first, rows) = (own.start, own.len() * taps);
        let absolute = group * geo.cg + own.start..group * geo.cg + own.end;
        let widest = tiling.max_pixels();
        let Some(space) = failure.allocate::<T>("conv2d_input_grad", (rows + og) * widest) else { return };
        let col = space.as_ptr().cast::<T>();
        let whole = tiling.tile(unit * tiles_a_unit);
        for image in whole.image..whole.image + whole.images {
            let at = dx.get().add((image * geo.c + absolute.start) * geo.h * geo.w);
            std::ptr::write_bytes(at, 0, own.len() * geo.h * geo.w);
        }
        for t in 0..tiles_a_unit {
            let tile = tiling.tile(unit * tiles_a_unit + t);
            let pixels = tile.pixels();
            let (from, step) = if tile.images > 1 {
                let to = col.add(rows * widest);
                gather(g.get(), to, tile, group * og..(group + 1) * og, geo.o, plane);
                (to.cast_const(), pixels)
            } else {
                (g.get().add((tile.image * geo.o + group * og) * plane + tile.first).cast_const(), plane)
            };
            let weights = w.get().add(group * og * k + first * taps);
            gemm(
                rows,
                pixels,
                og,
                one,
                weights,
                1,
                k as isize,
                from,
                step as isize,
                1,
                zero,
                col,
                pixels as isize,
                1,
            );
            col2im(geo, dx.get(), absolute.clone(), tile, col, pixels);
        }
    });
    failure.check()
}

/// # Safety
/// As [`forward`].
pub(super) unsafe fn weight_grad<T: GemmElement>(
    geo: &Geometry,
    g: *const T,
    x: *const T,
    dw: *mut T,
) -> Result<()> {
    const OP: &str = "conv2d_weight_grad";
    let taps = geo.kh * geo.kw;
    let (groups, og, plane) = (geo.spec.groups, geo.og, geo.oh * geo.ow);
    let k = geo.cg * taps;
    let size = geo.o * k;
    let tiling = Tiling::new(geo.n, plane, MAX_PIXELS / 4);
    let room = (WORKSPACE / size_of::<T>() / tiling.max_pixels() / taps).max(1);
    // Channels first: their tasks share no sums. Then the pixels, in a few runs of tiles whose
    // partial sums are added in order.
    let tasks = TASKS.min((geo.work() / MIN_WORK).max(1));
    let channels = room.min(geo.cg.div_ceil(tasks.div_ceil(groups)).max(8)).min(geo.cg);
    let blocks = geo.cg.div_ceil(channels);
    let parts =
        tasks.div_ceil(groups * blocks).min(PARTIALS / size_of::<T>() / size).clamp(1, tiling.count());
    let tiles_a_part = tiling.count().div_ceil(parts);
    let parts = tiling.count().div_ceil(tiles_a_part);
    let sums = memory::allocate(OP, (parts - 1) * size * size_of::<T>())?;
    let (g, x, dw) = (SendPtr(g.cast_mut()), SendPtr(x.cast_mut()), SendPtr(dw));
    let partial = SendPtr(sums.as_ptr().cast::<T>());
    let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
    let failure = Failure::default();
    for_each(parts * groups * blocks, |task| {
        let (part, rest) = (task / (groups * blocks), task % (groups * blocks));
        let (group, block) = (rest / blocks, rest % blocks);
        let own = block * channels..((block + 1) * channels).min(geo.cg);
        let rows = own.len() * taps;
        let widest = tiling.max_pixels();
        let Some(space) = failure.allocate::<T>(OP, (rows + og) * widest) else { return };
        let space = space.as_ptr().cast::<T>();
        let to = if part == 0 { dw.get() } else { partial.get().add((part - 1) * size) };
        let to = to.add(group * og * k + own.start * taps);
        let tiles = part * tiles_a_part..((part + 1) * tiles_a_part).min(tiling.count());
        for t in tiles.clone() {
            let tile = tiling.tile(t);
            let pixels = tile.pixels();
            let channels = group * geo.cg + own.start..group * geo.cg + own.end;
            let (col, col_step) = patches(geo, x.get(), channels, tile, space);
            let (from, step) = if tile.images > 1 {
                let to = space.add(rows * widest);
                gather(g.get(), to, tile, group * og..(group + 1) * og, geo.o, plane);
                (to.cast_const(), pixels)
            } else {
                (g.get().add((tile.image * geo.o + group * og) * plane + tile.first).cast_const(), plane)
            };
            let beta = if t == tiles.start { zero } else { one };
            gemm(og, rows, pixels, one, from, step as isize, 1, col, 1, col_step, beta, to, k as isize, 1);
        }
    });
    failure.check()?;
    for part in 1..parts {
        for i in 0..size {
            *dw.get().add(i) += *partial.get().add((part - 1) * size + i);
        }
    }
    Ok(())
}
