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
    let space = memory::allocate(op, parts.len() * size * size_of::<f32>())?;
    let to = SendPtr(space.as_ptr().cast::<f32>());
    let (g, x) = (SendPtr(g.cast_mut()), SendPtr(x.cast_mut()));
    for_each(parts.len(), |part| {
        let sums = to.get().add(part * size);
        std::ptr::write_bytes(sums, 0, size);
        run(Part { geo, taps, g: g.get(), x: x.get(), rows: parts[part].clone(), sums });
    });
    let sums = to.get();
    for part in 1..parts.len() {
        for i in 0..size {
            *sums.add(i) += *sums.add(part * size + i);
        }
    }
    for (c, tap) in (0..geo.c).flat_map(|c| (0..taps.len()).map(move |tap| (c, tap))) {
        *dw.add(c * taps.len() + tap) = *sums.add(tap * geo.c + c);
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
            let top = (y * geo.spec.stride[0]) as isize;
            let inside = |i: usize| {
                let from = top + self.taps[i * geo.kw][0];
                from >= 0 && from < geo.h as isize
            };
            let mut i = 0;
            while i < geo.kh {
                if !inside(i) {
                    i += 1;
                    continue;
                }
                // Three rows of the kernel at once keep the adders busy.
                let three = i + 3 <= geo.kh && inside(i + 1) && inside(i + 2);
                if geo.kw == 3 && three {
                    self.taps::<V, 3, 3>(g, image, top, i * geo.kw, full);
                    i += 3;
                    continue;
                }
                let mut j = 0;
                while j < geo.kw {
                    let tap = i * geo.kw + j;
                    j += match geo.kw - j {
                        7.. => self.taps::<V, 1, 7>(g, image, top, tap, full),
                        5.. => self.taps::<V, 1, 5>(g, image, top, tap, full),
                        3.. => self.taps::<V, 1, 3>(g, image, top, tap, full),
                        _ => self.taps::<V, 1, 1>(g, image, top, tap, full),
                    };
                }
                i += 1;
            }
        }
    }
}

impl Part<'_> {
    /// `K` taps of each of `R` rows of the kernel; returns `K`.
    #[inline(always)]
    unsafe fn taps<V: Vector<Elem = f32>, const R: usize, const K: usize>(
        &self,
        g: *const f32,
        image: usize,
        top: isize,
        tap: usize,
        full: usize,
    ) -> usize {
        let geo = self.geo;
        let mut x = [self.x; R];
        for r in 0..R {
            let y = (top + self.taps[tap + r * geo.kw][0]) as usize;
            x[r] = self.x.add((image * geo.h + y) * geo.w * geo.c);
        }
        for c in (0..full).step_by(V::LANES) {
            self.channels::<V, R, K, true>(g.add(c), x.map(|x| x.wrapping_add(c)), tap, c, V::LANES);
        }
        if full < geo.c {
            let x = x.map(|x| x.wrapping_add(full));
            self.channels::<V, R, K, false>(g.add(full), x, tap, full, geo.c - full);
        }
        K
    }

    #[inline(always)]
    unsafe fn channels<V: Vector<Elem = f32>, const R: usize, const K: usize, const FULL: bool>(
        &self,
        g: *const f32,
        x: [*const f32; R],
        tap: usize,
        c: usize,
        lanes: usize,
    ) {
        let geo = self.geo;
        let mask = V::mask(0, lanes);
        let step = geo.spec.stride[1];
        let own = &self.taps[tap..tap + K];
        let inside = |k: usize| valid_range(geo.ow, geo.w, step, own[k][1]);
        // Steps ascend: all taps are inside from the first one's start to the last one's end.
        let end = inside(K - 1).end;
        let middle = inside(0).start.min(end)..end;
        let left = own[0][1] * geo.c as isize;
        let dilation = geo.spec.dilation[1] * geo.c;
        let mut acc = [[V::splat(0.0); K]; R];
        for pixel in middle.clone() {
            let v = load::<V, FULL>(g.add(pixel * geo.c), mask);
            let at = left + (pixel * step * geo.c) as isize;
            for r in 0..R {
                let x = x[r].wrapping_offset(at);
                for k in 0..K {
                    acc[r][k] = v.mul_add(load::<V, FULL>(x.wrapping_add(k * dilation), mask), acc[r][k]);
                }
            }
        }
        for r in 0..R {
            for k in 0..K {
                self.finish::<V, FULL>(g, x[r], acc[r][k], tap + r * geo.kw + k, c, mask, middle.clone());
            }
        }
    }

    /// Adds the pixels that only some taps meet, and the sum to the others'.
    #[inline(always)]
    unsafe fn finish<V: Vector<Elem = f32>, const FULL: bool>(
        &self,
        g: *const f32,
        x: *const f32,
        mut sum: V,
        tap: usize,
        c: usize,
        mask: V::Mask,
        middle: Range<usize>,
    ) {
        let geo = self.geo;
        let step = geo.spec.stride[1];
        let left = self.taps[tap][1];
        let inside = valid_range(geo.ow, geo.w, step, left);
        for pixel in
            (inside.start..middle.start.min(inside.end)).chain(middle.end.max(inside.start)..inside.end)
        {
            let at = ((pixel * step) as isize + left) * geo.c as isize;
            let v = load::<V, FULL>(g.add(pixel * geo.c), mask);
            sum = v.mul_add(load::<V, FULL>(x.wrapping_offset(at), mask), sum);
        }
        let to = self.sums.add(tap * geo.c + c);
        let sum = sum.add(load::<V, FULL>(to, mask));
        if FULL { sum.store(to) } else { sum.store_lanes(mask, to) }
    }
}
