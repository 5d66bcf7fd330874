//! Two-dimensional transforms between channels-last pictures and blocks of transformed tiles.
//!
//! A block holds tiles `[a * a points][channel block][tile][lane]`: one vector a channel block, so
//! that the products read neighbours, whatever the number of channels.

use super::points::{Input, Line, OutputGrad, Scheme};
use crate::ops::conv::Finish;
use crate::simd::vector::{Kernel, Vector};
use std::ops::Range;

/// Channels-last pictures `[n][h][w][c]` cut into tiles, `rows` times `columns` of them each.
#[derive(Clone, Copy)]
pub(super) struct Pictures {
    pub h: usize,
    pub w: usize,
    pub c: usize,
    /// Where the first tile starts above and left of the picture.
    pub padding: [usize; 2],
    pub rows: usize,
    pub columns: usize,
}

/// One tile's place: the picture and the tile's upper left corner, which may lie outside.
struct Corner {
    picture: usize,
    y: isize,
    x: isize,
}

impl Pictures {
    /// The corner of a tile, whose neighbours are `step` pixels away.
    #[inline(always)]
    fn corner(&self, tile: usize, step: usize) -> Corner {
        let (rest, column) = (tile / self.columns, tile % self.columns);
        let (picture, row) = (rest / self.rows, rest % self.rows);
        let at = |i: usize, padding: usize| (i * step) as isize - padding as isize;
        Corner { picture, y: at(row, self.padding[0]), x: at(column, self.padding[1]) }
    }

    /// The offset of a pixel, which may lie outside.
    #[inline(always)]
    fn offset(&self, corner: &Corner) -> isize {
        let row = (corner.picture * self.h) as isize + corner.y;
        (row * self.w as isize + corner.x) * self.c as isize
    }
}

/// The part of `size` pixels from `start` on that lies inside `0..end`.
#[inline(always)]
fn inside(start: isize, size: usize, end: usize) -> Range<usize> {
    let first = (-start).clamp(0, size as isize) as usize;
    let last = (end as isize - start).clamp(0, size as isize) as usize;
    first..last.max(first)
}

/// Which transform a tile gets on the way in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// `B' d B`: `a x a` pixels of the input.
    Input,
    /// `A y A'`: `m x m` pixels of the output's gradient.
    OutputGrad,
}

/// Transforms some tiles of the pictures into a block.
pub(super) struct Gather<'a, const M: usize, const R: usize, const A: usize> {
    pub pictures: &'a Pictures,
    pub side: Side,
    pub tiles: Range<usize>,
    pub x: *const f32,
    /// Channel blocks to write; those beyond the channels are zero.
    pub blocks: usize,
    /// The first of `tiles` in the block, and the tiles that the block has room for.
    pub to: *mut f32,
    pub room: usize,
    /// From one point to the next.
    pub step: usize,
}

impl<const M: usize, const R: usize, const A: usize> Kernel<f32> for Gather<'_, M, R, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        match self.side {
            Side::Input => self.with::<V, Input<M, R>, A>(),
            Side::OutputGrad => self.with::<V, OutputGrad<R>, M>(),
        }
    }
}

impl<const M: usize, const R: usize, const A: usize> Gather<'_, M, R, A> {
    /// `N`: pixels a tile reads in each direction.
    #[inline(always)]
    unsafe fn with<V: Vector<Elem = f32>, L: Line<N, A>, const N: usize>(&self) {
        let p = self.pictures;
        let zero = V::splat(0.0);
        let none = V::mask(0, 0);
        let mut rows = [[zero; A]; N];
        for (i, tile) in self.tiles.clone().enumerate() {
            let corner = p.corner(tile, M);
            let (ys, xs) = (inside(corner.y, N, p.h), inside(corner.x, N, p.w));
            let whole = ys.len() == N && xs.len() == N;
            let base = self.x.wrapping_offset(p.offset(&corner));
            let next = self.x.wrapping_offset(p.offset(&p.corner(tile + 1, M)));
            for block in 0..self.blocks {
                let lanes = p.c.saturating_sub(block * V::LANES).min(V::LANES);
                let from = base.wrapping_add(block * V::LANES);
                if whole && lanes == V::LANES {
                    for y in 0..N {
                        let mut d = [zero; N];
                        for x in 0..N {
                            d[x] = V::load(from.add((y * p.w + x) * p.c));
                        }
                        rows[y] = L::transform(d);
                    }
                } else {
                    let mask = V::mask(0, lanes);
                    let mut masks = [none; N];
                    masks[xs.clone()].fill(mask);
                    for y in 0..N {
                        let mut d = [zero; N];
                        if ys.contains(&y) {
                            for x in 0..N {
                                d[x] = zero.load_lanes(masks[x], from.wrapping_add((y * p.w + x) * p.c));
                            }
                        }
                        rows[y] = L::transform(d);
                    }
                }
                // What the next tile reads and this one does not.
                let ahead = next.wrapping_add(block * V::LANES);
                for y in 0..N {
                    for x in N - M..N {
                        V::prefetch::<false>(ahead.wrapping_add((y * p.w + x) * p.c));
                    }
                }
                let to = self.to.add((block * self.room + i) * V::LANES);
                for x in 0..A {
                    let mut column = [zero; N];
                    for y in 0..N {
                        column[y] = rows[y][x];
                    }
                    let column = L::transform(column);
                    for y in 0..A {
                        column[y].store(to.add((y * A + x) * self.step));
                    }
                }
            }
        }
    }
}

/// Transforms products back, `A' m A`, finishes them and writes them to the output.
pub(super) struct Scatter<'a, const M: usize, const R: usize, const A: usize> {
    pub pictures: &'a Pictures,
    pub tiles: Range<usize>,
    /// `[a * a][tile][two vectors]` from the first of `tiles` on, the points `step` apart.
    pub from: *const f32,
    pub step: usize,
    /// The first channel of the panel.
    pub channel: usize,
    pub finish: Finish,
    pub out: *mut f32,
}

impl<const M: usize, const R: usize, const A: usize> Kernel<f32> for Scatter<'_, M, R, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        let p = self.pictures;
        let (zero, floor) = (V::splat(0.0), V::splat(self.finish.floor()));
        let mut masks = [V::mask(0, 0); 2];
        let mut bias = [zero; 2];
        for half in 0..2 {
            let channel = self.channel + half * V::LANES;
            masks[half] = V::mask(0, p.c.saturating_sub(channel).min(V::LANES));
            if let Some(values) = self.finish.bias {
                bias[half] = zero.load_lanes(masks[half], values.wrapping_add(channel));
            }
        }
        let whole = self.channel + 2 * V::LANES <= p.c;
        let halves = if self.channel + V::LANES < p.c { 2 } else { 1 };
        let mut rows = [[zero; M]; A];
        for (i, tile) in self.tiles.clone().enumerate() {
            let corner = p.corner(tile, M);
            let (ys, xs) = (inside(corner.y, M, p.h), inside(corner.x, M, p.w));
            let to = self.out.offset(p.offset(&corner)).add(self.channel);
            let next = self.out.wrapping_offset(p.offset(&p.corner(tile + 1, M)));
            for half in 0..halves {
                let to = to.wrapping_add(half * V::LANES);
                let ahead = next.wrapping_add(self.channel + half * V::LANES);
                for y in 0..M {
                    for x in 0..M {
                        V::prefetch::<true>(ahead.wrapping_add((y * p.w + x) * p.c));
                    }
                }
                let from = self.from.add((2 * i + half) * V::LANES);
                for y in 0..A {
                    let mut m = [zero; A];
                    for x in 0..A {
                        m[x] = V::load(from.add((y * A + x) * self.step));
                    }
                    rows[y] = Scheme::<M, R, A>::sums(m, false);
                }
                for x in xs.clone() {
                    let mut column = [zero; A];
                    for y in 0..A {
                        column[y] = rows[y][x];
                    }
                    let values: [V; M] = Scheme::<M, R, A>::sums(column, false);
                    for y in ys.clone() {
                        let v = values[y].add(bias[half]).at_least(floor);
                        let at = to.wrapping_add((y * p.w + x) * p.c);
                        if whole {
                            v.store(at);
                        } else {
                            v.store_lanes(masks[half], at);
                        }
                    }
                }
            }
        }
    }
}
