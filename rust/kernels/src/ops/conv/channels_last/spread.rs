//! The input's gradient for few input channels: all taps' products of an output pixel at once, as
//! the columns of a tile in the first-level cache, then added where they lie. Padded pictures of
//! bands of rows take the sums; where two bands meet they are added in order.

use super::super::panel::even_blocks;
use super::super::{Failure, Geometry};
use super::micro::Product;
use super::weights::{Columns, Panels, Place, pack};
use crate::error::Result;
use crate::memory;
use crate::parallel::{SendPtr, for_each, for_ranges};
use crate::simd::vector::{Kernel, Vector, run};
use std::ops::Range;

/// Bands worth cutting the pictures into.
const BANDS: usize = 16;
/// Channels of the gradient that are multiplied at once, and rows of the widest tile.
const CHUNK: usize = 256;
const ROWS: usize = 16;

struct Plan<'a> {
    geo: &'a Geometry,
    panels: Panels,
    weights: *const f32,
    g: *const f32,
    /// Pixels from a row of a padded picture to the next.
    width: usize,
}

// SAFETY: the inputs are only read, and outlive the call.
unsafe impl Sync for Plan<'_> {}

/// # Safety
/// The pointers are the channels-last tensors of `geo` and its weight; no size is zero; one group.
pub(super) unsafe fn input_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    w: *const f32,
    dx: *mut f32,
) -> Result<()> {
    let (stride, padding, dilation) = (geo.spec.stride, geo.spec.padding, geo.spec.dilation);
    let taps = geo.kh * geo.kw;
    // `[output][tap][channel]`: a pixel's products by rows of the kernel.
    let by_pixel = memory::allocate(op, geo.o * taps * geo.c * size_of::<f32>())?;
    let to = by_pixel.as_ptr().cast::<f32>();
    for (o, c) in (0..geo.o).flat_map(|o| (0..geo.c).map(move |c| (o, c))) {
        for tap in 0..taps {
            *to.add((o * taps + tap) * geo.c + c) = *w.add((o * geo.c + c) * taps + tap);
        }
    }
    let columns = taps * geo.c;
    let flat = Geometry { c: columns, cg: columns, kh: 1, kw: 1, ..*geo };
    let packed = pack(op, &flat, Columns::Inputs, &[Place { start: 0, index: 0, taps: 1 }], to)?;
    let width = (geo.ow - 1) * stride[1] + (geo.kw - 1) * dilation[1] + 1;
    let reach = (geo.kh - 1) * dilation[0] + 1;
    // Bands at least as high as the kernel: a row lies in two of them at most.
    let least = reach.div_ceil(stride[0]);
    let bands = even_blocks(geo.oh, geo.oh.div_ceil(BANDS.div_ceil(geo.n)).max(least));
    let height = (bands[0].len() - 1) * stride[0] + reach;
    let size = height * width * geo.c;
    let count = geo.n * bands.len();
    let sums = memory::allocate(op, count.saturating_mul(size).saturating_mul(size_of::<f32>()))?;
    let sums = SendPtr(sums.as_ptr().cast::<f32>());
    let plan = Plan { geo, panels: Panels::new(columns), weights: packed.as_ptr().cast(), g, width };
    let failure = Failure::default();
    let padded = plan.panels.padded();
    for_each(count, |task| {
        let Some(space) = failure.allocate::<f32>(op, ROWS * padded) else { return };
        let to = sums.get().add(task * size);
        std::ptr::write_bytes(to, 0, size);
        let (image, rows) = (task / bands.len(), bands[task % bands.len()].clone());
        run(Band { plan: &plan, image, rows, products: space.as_ptr().cast(), to });
    });
    failure.check()?;
    let dx = SendPtr(dx);
    let row = geo.w * geo.c;
    for_ranges(geo.n * geo.h, (1 << 14) / row, |rows| {
        for y in rows {
            let (image, to) = (y / geo.h, dx.get().add(y * row));
            let y = y % geo.h + padding[0];
            std::ptr::write_bytes(to, 0, row);
            for (b, band) in bands.iter().enumerate() {
                let first = band.start * stride[0];
                if y < first || y >= first + (band.len() - 1) * stride[0] + reach || padding[1] >= width {
                    continue;
                }
                let from = sums.get().add((image * bands.len() + b) * size);
                let from = from.add(((y - first) * width + padding[1]) * geo.c);
                for i in 0..row.min((width - padding[1]) * geo.c) {
                    *to.add(i) += *from.add(i);
                }
            }
        }
    });
    Ok(())
}

/// Some rows of one image's gradient.
struct Band<'a> {
    plan: &'a Plan<'a>,
    image: usize,
    rows: Range<usize>,
    /// `[pixel][column]`
    products: *mut f32,
    to: *mut f32,
}

impl Kernel<f32> for Band<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        let Plan { geo, panels, weights, g, width } = *self.plan;
        let (stride, dilation) = (geo.spec.stride, geo.spec.dilation);
        let padded = panels.padded();
        let run = geo.kw * geo.c;
        let rest = V::mask(0, run % V::LANES);
        let mut targets = [std::ptr::null_mut(); ROWS];
        for (m, target) in targets.iter_mut().enumerate() {
            *target = self.products.add(m * padded);
        }
        let height = geo.ow.div_ceil(geo.ow.div_ceil(V::ROWS));
        for y in self.rows.clone() {
            for x in (0..geo.ow).step_by(height) {
                let rows = height.min(geo.ow - x);
                let pixel = (self.image * geo.oh + y) * geo.ow + x;
                let mut sources = [g; ROWS];
                for (m, source) in sources.iter_mut().enumerate().take(rows) {
                    *source = g.add((pixel + m) * geo.o);
                }
                for panel in 0..panels.count() {
                    let own = panels.columns_of(panel);
                    let vectors = panels.vectors(panel);
                    for first in (0..geo.o).step_by(CHUNK) {
                        let product = Product {
                            sources: sources.as_ptr(),
                            first,
                            channels: CHUNK.min(geo.o - first),
                            taps: 1,
                            weights: weights.add(geo.o * own.start + first * vectors * V::LANES),
                            targets: targets.as_ptr(),
                            column: own.start,
                            lanes: vectors * V::LANES,
                            bias: None,
                            add: first > 0,
                            floor: f32::NEG_INFINITY,
                        };
                        product.compute::<V>(rows, vectors);
                    }
                }
                let row = (y - self.rows.start) * stride[0];
                for m in 0..rows {
                    let from = self.products.add(m * padded);
                    for i in 0..geo.kh {
                        let to = (row + i * dilation[0]) * width + (x + m) * stride[1];
                        let (from, to) = (from.add(i * run), self.to.add(to * geo.c));
                        let mut at = 0;
                        while at + V::LANES <= run {
                            V::load(from.add(at)).add(V::load(to.add(at))).store(to.add(at));
                            at += V::LANES;
                        }
                        if at < run {
                            let (zero, from, to) = (V::splat(0.0), from.add(at), to.add(at));
                            zero.load_lanes(rest, from).add(zero.load_lanes(rest, to)).store_lanes(rest, to);
                        }
                    }
                }
            }
        }
    }
}
