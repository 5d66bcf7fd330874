//! A source in which every tap of a patch lies at a fixed offset: the image, or a padded copy of it.

use super::geometry::Geometry;
use super::patches::valid_range;
use crate::simd::vector::Float;
use std::ops::Range;

/// Where patches are read from: the image itself, or a padded copy of some of its rows whose columns
/// are sorted by their remainder modulo the stride, so that steps become neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub copied: bool,
    /// Elements from a channel to the next.
    pub plane: usize,
    /// Elements from a row, and from an output row's first patch, to the next.
    pitch: usize,
    pub step: usize,
    /// Columns of each remainder.
    columns: usize,
    rows: usize,
}

impl Source {
    /// For bands of `band` output rows.
    pub fn new(geo: &Geometry, band: usize) -> Source {
        let (stride, dilation) = (geo.spec.stride, geo.spec.dilation);
        if geo.spec.padding == [0, 0] && stride[1] == 1 {
            let plane = geo.h * geo.w;
            let step = stride[0] * geo.w;
            return Source { copied: false, pitch: geo.w, plane, step, columns: geo.w, rows: geo.h };
        }
        let width = (geo.ow - 1) * stride[1] + (geo.kw - 1) * dilation[1] + 1;
        let columns = width.div_ceil(stride[1]);
        let pitch = columns * stride[1];
        let rows = (band - 1) * stride[0] + (geo.kh - 1) * dilation[0] + 1;
        Source { copied: true, pitch, plane: rows * pitch, step: stride[0] * pitch, columns, rows }
    }

    /// Elements of a copy of `channels`; none if the image itself is read.
    pub fn space(&self, channels: usize) -> usize {
        if self.copied { channels * self.plane } else { 0 }
    }

    /// Where each tap `(c, i, j)` of the first patch lies, in this order, for `channels` channels.
    pub fn taps(&self, geo: &Geometry, channels: usize) -> Vec<usize> {
        let (stride, dilation) = (geo.spec.stride, geo.spec.dilation);
        let mut offsets = Vec::with_capacity(channels * geo.kh * geo.kw);
        for c in 0..channels {
            for (i, j) in (0..geo.kh).flat_map(|i| (0..geo.kw).map(move |j| (i, j))) {
                let right = j * dilation[1];
                let column =
                    if self.copied { right % stride[1] * self.columns + right / stride[1] } else { right };
                offsets.push(c * self.plane + i * dilation[0] * self.pitch + column);
            }
        }
        offsets
    }

    /// The first patch of the band from output row `y0` on: in `x`, the first channel's plane, or in
    /// `space`, to which the rows of `channels` channels are copied.
    #[inline(always)]
    pub unsafe fn band<T: Float>(
        &self,
        geo: &Geometry,
        x: *const T,
        channels: usize,
        y0: usize,
        space: *mut T,
    ) -> *const T {
        if !self.copied {
            return x.add(y0 * self.step);
        }
        std::ptr::write_bytes(space, 0, self.space(channels));
        self.copy_inside(geo, x, channels, y0, space);
        space
    }

    /// Writes the part of a copy that lies inside the input, over zeros.
    #[inline(always)]
    pub unsafe fn copy_inside<T: Float>(
        &self,
        geo: &Geometry,
        x: *const T,
        channels: usize,
        y0: usize,
        space: *mut T,
    ) {
        for remainder in 0..geo.spec.stride[1] {
            let columns = self.columns_of(geo, remainder);
            let len = columns.inside.len();
            let rows = self.rows_inside(geo, y0);
            for c in 0..channels {
                for row in rows.clone() {
                    let y = y0 * geo.spec.stride[0] + row - geo.spec.padding[0];
                    let from = x.add((c * geo.h + y) * geo.w + columns.first);
                    let to = space.add(c * self.plane + row * self.pitch);
                    let to = to.add(remainder * self.columns + columns.inside.start);
                    match geo.spec.stride[1] {
                        1 => copy_steps::<T, 1>(from, to, len),
                        2 => copy_steps::<T, 2>(from, to, len),
                        s => (0..len).for_each(|i| *to.add(i) = *from.add(i * s)),
                    }
                }
            }
        }
    }

    /// The rows of a copy for the band from `y0` on that lie inside the input.
    fn rows_inside(&self, geo: &Geometry, y0: usize) -> Range<usize> {
        let top = y0 * geo.spec.stride[0];
        let start = geo.spec.padding[0].saturating_sub(top);
        let end = (geo.h + geo.spec.padding[0]).saturating_sub(top).min(self.rows);
        start.min(end)..end
    }

    /// The way back of [`Source::band`] for whole images: writes the copy's inside to `dx`, and zero
    /// where no patch reaches.
    #[inline(always)]
    pub unsafe fn restore<T: Float>(&self, geo: &Geometry, dx: *mut T, channels: usize, space: *const T) {
        std::ptr::write_bytes(dx, 0, channels * geo.h * geo.w);
        for remainder in 0..geo.spec.stride[1] {
            let columns = self.columns_of(geo, remainder);
            let len = columns.inside.len();
            for c in 0..channels {
                for row in self.rows_inside(geo, 0) {
                    let from = space.add(c * self.plane + row * self.pitch);
                    let from = from.add(remainder * self.columns + columns.inside.start);
                    let to = dx.add((c * geo.h + row - geo.spec.padding[0]) * geo.w + columns.first);
                    match geo.spec.stride[1] {
                        1 => copy_steps::<T, 1>(from, to, len),
                        s => (0..len).for_each(|i| *to.add(i * s) = *from.add(i)),
                    }
                }
            }
        }
    }

    /// The columns of the copy with a remainder that lie inside the input.
    fn columns_of(&self, geo: &Geometry, remainder: usize) -> Columns {
        let stride = geo.spec.stride[1];
        let left = remainder as isize - geo.spec.padding[1] as isize;
        let inside = valid_range(self.columns, geo.w, stride, left);
        let first = if inside.is_empty() { 0 } else { (inside.start * stride) as isize + left };
        Columns { inside, first: first as usize }
    }
}

/// Columns inside the input, and where the first of them lies there.
struct Columns {
    inside: Range<usize>,
    first: usize,
}

/// Copies `n` elements that are `STEP` apart, without a call that would cost as much as a
/// short row.
#[inline(always)]
unsafe fn copy_steps<T: Float, const STEP: usize>(from: *const T, to: *mut T, n: usize) {
    let mut i = 0;
    if STEP == 1 {
        while i + 16 <= n {
            let chunk = from.add(i).cast::<[T; 16]>().read_unaligned();
            to.add(i).cast::<[T; 16]>().write_unaligned(chunk);
            i += 16;
        }
        while i + 4 <= n {
            to.add(i).cast::<[T; 4]>().write_unaligned(from.add(i).cast::<[T; 4]>().read_unaligned());
            i += 4;
        }
    } else if STEP == 2 {
        // The element after the last of a chunk is read too: it lies before the next one.
        while i + 9 <= n {
            let pairs = from.add(2 * i).cast::<[T; 16]>().read_unaligned();
            let even: [T; 8] = std::array::from_fn(|l| pairs[2 * l]);
            to.add(i).cast::<[T; 8]>().write_unaligned(even);
            i += 8;
        }
    }
    for i in i..n {
        *to.add(i) = *from.add(i * STEP);
    }
}
