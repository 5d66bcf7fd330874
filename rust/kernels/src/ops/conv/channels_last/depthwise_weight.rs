//! The weight's gradient with one input channel and one output channel a group: channels in the
//! vectors' lanes, a sum for each tap in a register.

use super::super::Geometry;
use super::super::panel::even_blocks;
use super::super::patches::valid_range;
use super::depthwise::load;
use super::lattice::taps;
use crate::error::Result;
use crate::memory;
use crate::parallel::{SendPtr, for_each};
use crate::simd::vector::{Kernel, Vector, run};
use std::ops::Range;

/// The most parts that a gradient is added from, and the products of one.
const PARTS: usize = 16;
const WORK: usize = 1 << 18;

/// # Safety
/// The pointers are the channels-last tensors of `geo` and its weight; no size is zero.
pub(super) unsafe fn weight_grad(
    op: &'static str,
    geo: &Geometry,
    g: *const f32,
    x: *const f32,
    dw: *mut f32,
) -> Result<()> {
    let taps = &taps(geo);
    let rows = geo.n * geo.oh;
    let parts = (geo.work() / WORK).clamp(1, PARTS).min(rows);
    let parts = even_blocks(rows, rows.div_ceil(parts));
    let size = taps.len() * geo.c;
    let sums = memory::allocate(op, parts.len() * size * size_of::<f32>())?;
    let to = SendPtr(sums.as_ptr().cast::<f32>());
    let (g, x) = (SendPtr(g.cast_mut()), SendPtr(x.cast_mut()));
    for_each(parts.len(), |part| {
        let sums = to.get().add(part * size);
        std::ptr::write_bytes(sums, 0, size);
        run(Part { geo, taps, g: g.get(), x: x.get(), rows: parts[part].clone(), sums });
    });
    for (c, tap) in (0..geo.c).flat_map(|c| (0..taps.len()).map(move |tap| (c, tap))) {
        let mut sum = 0.0;
        for part in 0..parts.len() {
            sum += *to.get().add(part * size + tap * geo.c + c);
        }
        *dw.add(c * taps.len() + tap) = sum;
    }
    Ok(())
}

/// Some rows of the output's gradient, counted over all images.
struct Part<'a> {
    geo: &'a Geometry,
    taps: &'a [[isize; 2]],
    g: *const f32,
    x: *const f32,
    rows: Range<usize>,
    /// `[tap][channel]`
    sums: *mut f32,
}

impl Kernel<f32> for Part<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        let geo = self.geo;
        let full = geo.c - geo.c % V::LANES;
        for row in self.rows.clone() {
            let (image, y) = (row / geo.oh, row % geo.oh);
            let g = self.g.add(row * geo.ow * geo.c);
            // Taps of one row of the kernel are inside together.
            let mut tap = 0;
            while tap < self.taps.len() {
                let from = (y * geo.spec.stride[0]) as isize + self.taps[tap][0];
                if from < 0 || from >= geo.h as isize {
                    tap += geo.kw;
                    continue;
                }
                let left = geo.kw - tap % geo.kw;
                let x = self.x.add((image * geo.h + from as usize) * geo.w * geo.c);
                tap += match left {
                    7.. => self.taps::<V, 7>(g, x, tap, full),
                    5.. => self.taps::<V, 5>(g, x, tap, full),
                    3.. => self.taps::<V, 3>(g, x, tap, full),
                    _ => self.taps::<V, 1>(g, x, tap, full),
                };
            }
        }
    }
}

impl Part<'_> {
    /// `K` taps of a row; returns `K`.
    #[inline(always)]
    unsafe fn taps<V: Vector<Elem = f32>, const K: usize>(
        &self,
        g: *const f32,
        x: *const f32,
        tap: usize,
        full: usize,
    ) -> usize {
        for c in (0..full).step_by(V::LANES) {
            self.channels::<V, K, true>(g.add(c), x.add(c), tap, c, V::LANES);
        }
        if full < self.geo.c {
            self.channels::<V, K, false>(g.add(full), x.add(full), tap, full, self.geo.c - full);
        }
        K
    }

    #[inline(always)]
    unsafe fn channels<V: Vector<Elem = f32>, const K: usize, const FULL: bool>(
        &self,
        g: *const f32,
        x: *const f32,
        tap: usize,
        c: usize,
        lanes: usize,
    ) {
        let geo = self.geo;
        let mask = V::mask(0, lanes);
        let step = geo.spec.stride[1];
        let own = &self.taps[tap..tap + K];
        let inside = |t: usize| valid_range(geo.ow, geo.w, step, own[t][1]);
        // Steps ascend: all taps are inside from the first one's start to the last one's end.
        let end = inside(K - 1).end;
        let middle = inside(0).start.min(end)..end;
        let mut acc = [V::splat(0.0); K];
        let mut at = [std::ptr::null::<f32>(); K];
        for k in 0..K {
            at[k] = x.wrapping_offset(own[k][1] * geo.c as isize);
        }
        for pixel in middle.clone() {
            let v = load::<V, FULL>(g.add(pixel * geo.c), mask);
            for k in 0..K {
                let x = load::<V, FULL>(at[k].wrapping_add(pixel * step * geo.c), mask);
                acc[k] = v.mul_add(x, acc[k]);
            }
        }
        for k in 0..K {
            // The pixels that only some taps meet.
            let mut sum = acc[k];
            let inside = inside(k);
            for pixel in
                (inside.start..middle.start.min(inside.end)).chain(middle.end.max(inside.start)..inside.end)
            {
                let v = load::<V, FULL>(g.add(pixel * geo.c), mask);
                sum = v.mul_add(load::<V, FULL>(at[k].wrapping_add(pixel * step * geo.c), mask), sum);
            }
            let to = self.sums.add((tap + k) * geo.c + c);
            let sum = sum.add(load::<V, FULL>(to, mask));
            if FULL { sum.store(to) } else { sum.store_lanes(mask, to) }
        }
    }
}
