//! Patches of the input as the columns of a matrix (im2col), a tile of output pixels at a time,
//! and the way back (col2im).

use super::Geometry;
use crate::dtype::Element;
use std::ops::{AddAssign, Range};

/// Some output pixels: a run of one image's, or all those of several images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    /// The first image and how many.
    pub image: usize,
    pub images: usize,
    /// Pixels `first .. first + len` of each image.
    pub first: usize,
    pub len: usize,
}

impl Tile {
    pub fn pixels(&self) -> usize {
        self.images * self.len
    }
}

/// How the output's pixels are cut into tiles of about `target` pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiling {
    images: usize,
    plane: usize,
    images_a_tile: usize,
    tiles_an_image: usize,
    len: usize,
}

impl Tiling {
    pub fn new(images: usize, plane: usize, target: usize) -> Tiling {
        let target = target.max(1);
        if plane >= target {
            // Whole vectors, where the plane has them.
            let len = plane.div_ceil(plane.div_ceil(target)).next_multiple_of(16).min(plane);
            Tiling { images, plane, images_a_tile: 1, tiles_an_image: plane.div_ceil(len), len }
        } else {
            let images_a_tile = (target / plane).clamp(1, images.max(1));
            Tiling { images, plane, images_a_tile, tiles_an_image: 1, len: plane }
        }
    }

    pub fn count(&self) -> usize {
        self.images.div_ceil(self.images_a_tile) * self.tiles_an_image
    }

    /// The pixels of the largest tile.
    pub fn max_pixels(&self) -> usize {
        self.images_a_tile * self.len
    }

    pub fn tile(&self, i: usize) -> Tile {
        let image = i / self.tiles_an_image * self.images_a_tile;
        let first = i % self.tiles_an_image * self.len;
        Tile {
            image,
            images: self.images_a_tile.min(self.images - image),
            first,
            len: self.len.min(self.plane - first),
        }
    }
}

/// The outputs `o` of `0..outputs` whose input `o * stride + offset` lies within `0..size`.
pub(super) fn valid_range(outputs: usize, size: usize, stride: usize, offset: isize) -> Range<usize> {
    let s = stride as isize;
    let lo = if offset >= 0 { 0 } else { (-offset + s - 1) / s };
    let hi = if size as isize <= offset { 0 } else { (size as isize - 1 - offset) / s + 1 };
    let hi = hi.min(outputs as isize);
    lo.min(hi) as usize..hi as usize
}

/// Calls `f(column offset, input offset, length)` for the runs of one matrix row, that of input
/// channel plane `0` and tap (`i`, `j`), over the pixels `first .. first + len`: the inputs of a run
/// are `stride[1]` apart. `gap(column offset, length)` gets the runs that lie in the padding.
#[inline(always)]
fn for_runs(
    geo: &Geometry,
    i: usize,
    j: usize,
    first: usize,
    len: usize,
    mut f: impl FnMut(usize, usize, usize),
    mut gap: impl FnMut(usize, usize),
) {
    let ConvParts { stride, padding, dilation } = ConvParts::of(geo);
    let down = (i * dilation[0]) as isize - padding[0] as isize;
    let right = (j * dilation[1]) as isize - padding[1] as isize;
    let valid = valid_range(geo.ow, geo.w, stride[1], right);
    let (mut row, mut col) = (first / geo.ow, first % geo.ow);
    let mut at = 0;
    while at < len {
        let end = geo.ow.min(col + len - at);
        let y = (row * stride[0]) as isize + down;
        let (lo, hi) = if y >= 0 && y < geo.h as isize {
            (valid.start.clamp(col, end), valid.end.clamp(col, end))
        } else {
            (end, end)
        };
        let hi = hi.max(lo);
        if lo > col {
            gap(at, lo - col);
        }
        if hi > lo {
            let x = (lo * stride[1]) as isize + right;
            f(at + lo - col, y as usize * geo.w + x as usize, hi - lo);
        }
        if end > hi {
            gap(at + hi - col, end - hi);
        }
        at += end - col;
        row += 1;
        col = 0;
    }
}

struct ConvParts {
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
}

impl ConvParts {
    fn of(geo: &Geometry) -> ConvParts {
        ConvParts { stride: geo.spec.stride, padding: geo.spec.padding, dilation: geo.spec.dilation }
    }
}

/// Writes the matrix of `channels` (counted within the input's `c`): row `(channel, i, j)`, one
/// column a pixel of the tile, `columns` apart.
///
/// # Safety
/// `x` is the input; `to` holds `channels.len() * kh * kw` rows of `columns >= tile.pixels()`.
pub(super) unsafe fn im2col<T: Element>(
    geo: &Geometry,
    x: *const T,
    channels: Range<usize>,
    tile: Tile,
    to: *mut T,
    columns: usize,
) {
    let plane = geo.h * geo.w;
    let stride = geo.spec.stride[1];
    for image in 0..tile.images {
        let mut row = to.add(image * tile.len);
        for c in channels.clone() {
            let x = x.add(((tile.image + image) * geo.c + c) * plane);
            for i in 0..geo.kh {
                for j in 0..geo.kw {
                    let copy = |at: usize, from: usize, n: usize| {
                        if stride == 1 {
                            std::ptr::copy_nonoverlapping(x.add(from), row.add(at), n);
                        } else {
                            for k in 0..n {
                                *row.add(at + k) = *x.add(from + k * stride);
                            }
                        }
                    };
                    let zero = |at: usize, n: usize| std::ptr::write_bytes(row.add(at), 0, n);
                    for_runs(geo, i, j, tile.first, tile.len, copy, zero);
                    row = row.add(columns);
                }
            }
        }
    }
}

/// Adds the matrix back to where [`im2col`] read: the adjoint.
///
/// # Safety
/// As [`im2col`], with `dx` written.
pub(super) unsafe fn col2im<T: Element + AddAssign>(
    geo: &Geometry,
    dx: *mut T,
    channels: Range<usize>,
    tile: Tile,
    from: *const T,
    columns: usize,
) {
    let plane = geo.h * geo.w;
    let stride = geo.spec.stride[1];
    for image in 0..tile.images {
        let mut row = from.add(image * tile.len);
        for c in channels.clone() {
            let dx = dx.add(((tile.image + image) * geo.c + c) * plane);
            for i in 0..geo.kh {
                for j in 0..geo.kw {
                    let add = |at: usize, to: usize, n: usize| {
                        if stride == 1 {
                            for k in 0..n {
                                *dx.add(to + k) += *row.add(at + k);
                            }
                        } else {
                            for k in 0..n {
                                *dx.add(to + k * stride) += *row.add(at + k);
                            }
                        }
                    };
                    for_runs(geo, i, j, tile.first, tile.len, add, |_, _| {});
                    row = row.add(columns);
                }
            }
        }
    }
}
