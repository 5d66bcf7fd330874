//! The products of transformed tiles: for each of the points a small matrix product whose register
//! tile is two vectors wide. Operands are read where the transforms left them, without packing.

use crate::ops::conv::panel::tile_size;
use crate::simd::vector::{Kernel, Vector};

/// Lanes of a vector at the level in use.
pub(super) fn lanes() -> usize {
    tile_size::<f32>().1
}

/// Rows of a tile: 28 accumulators for AVX-512's 32 registers.
const fn most_rows<V: Vector>() -> usize {
    if V::LANES == 16 { 14 } else { V::ROWS }
}

/// `c[point][tile][panel] (+)= sum over k of a[point][tile][k] * b[point][k][panel]`
pub(super) struct Product {
    pub points: usize,
    /// `[channel block][tile][lane]`, the blocks `a_block` and the points `a_step` apart.
    pub a: *const f32,
    pub a_step: usize,
    pub a_block: usize,
    pub tiles: usize,
    /// Channels summed over.
    pub k: usize,
    /// `[k][two vectors]`, the points `b_step` apart.
    pub b: *const f32,
    pub b_step: usize,
    /// `[tile][two vectors]`, the points `c_step` apart.
    pub c: *mut f32,
    pub c_step: usize,
    /// Whether to add to what `c` holds.
    pub add: bool,
}

impl Kernel<f32> for Product {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        // Blocks of equal height, or one row less.
        let blocks = self.tiles.div_ceil(most_rows::<V>());
        for point in 0..self.points {
            let b = self.b.add(point * self.b_step);
            let mut row = 0;
            for left in (1..=blocks).rev() {
                let rows = (self.tiles - row).div_ceil(left);
                let a = self.a.add(point * self.a_step + row * V::LANES);
                let c = self.c.add(point * self.c_step + row * 2 * V::LANES);
                macro_rules! pick {
                    ($($m:literal)*) => {
                        match rows {
                            $($m if $m <= most_rows::<V>() => self.tile::<V, $m>(a, b, c),)*
                            _ => unreachable!("blocks have at most {} rows", most_rows::<V>()),
                        }
                    };
                }
                pick!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
                row += rows;
            }
        }
    }
}

impl Product {
    #[inline(always)]
    unsafe fn tile<V: Vector<Elem = f32>, const ROWS: usize>(
        &self,
        mut a: *const f32,
        mut b: *const f32,
        c: *mut f32,
    ) {
        let mut acc = [[V::splat(0.0); 2]; ROWS];
        let mut left = self.k;
        while left > 0 {
            let n = left.min(V::LANES);
            for i in 0..n {
                let (b0, b1) = (V::load(b), V::load(b.add(V::LANES)));
                for row in 0..ROWS {
                    let v = V::splat(*a.add(row * V::LANES + i));
                    acc[row] = [v.mul_add(b0, acc[row][0]), v.mul_add(b1, acc[row][1])];
                }
                b = b.add(2 * V::LANES);
            }
            a = a.add(self.a_block);
            left -= n;
        }
        write(acc, c, self.add);
    }
}

#[inline(always)]
unsafe fn write<V: Vector<Elem = f32>, const ROWS: usize>(acc: [[V; 2]; ROWS], c: *mut f32, add: bool) {
    for row in 0..ROWS {
        for half in 0..2 {
            let (v, at) = (acc[row][half], c.add((2 * row + half) * V::LANES));
            if add { v.add(V::load(at)) } else { v }.store(at);
        }
    }
}

/// `c[point][channel][panel] (+)= sum over tiles of a[point][tile][channel] * b[point][tile][panel]`
pub(super) struct Outer {
    pub points: usize,
    /// `[channel block][tile][lane]`, the blocks `a_block` and the points `a_step` apart.
    pub a: *const f32,
    pub a_step: usize,
    pub a_block: usize,
    pub blocks: usize,
    /// Two channel blocks like those of `a`.
    pub b: *const f32,
    pub b_step: usize,
    pub b_block: usize,
    pub tiles: usize,
    /// `[channel][two vectors]`, the points `c_step` apart.
    pub c: *mut f32,
    pub c_step: usize,
    pub add: bool,
}

impl Kernel<f32> for Outer {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        for point in 0..self.points {
            let b = self.b.add(point * self.b_step);
            for block in 0..self.blocks {
                let a = self.a.add(point * self.a_step + block * self.a_block);
                let c = self.c.add(point * self.c_step + block * 2 * V::LANES * V::LANES);
                // Rows that divide a channel block.
                if V::LANES == 16 {
                    self.block::<V, 8>(a, b, c);
                } else {
                    self.block::<V, 4>(a, b, c);
                }
            }
        }
    }
}

impl Outer {
    #[inline(always)]
    unsafe fn block<V: Vector<Elem = f32>, const ROWS: usize>(
        &self,
        a: *const f32,
        b: *const f32,
        c: *mut f32,
    ) {
        for row in (0..V::LANES).step_by(ROWS) {
            let mut acc = [[V::splat(0.0); 2]; ROWS];
            let (a, right) = (a.add(row), b.add(self.b_block));
            for t in 0..self.tiles {
                let at = t * V::LANES;
                let (b0, b1) = (V::load(b.add(at)), V::load(right.add(at)));
                for row in 0..ROWS {
                    let v = V::splat(*a.add(at + row));
                    acc[row] = [v.mul_add(b0, acc[row][0]), v.mul_add(b1, acc[row][1])];
                }
            }
            write(acc, c.add(row * 2 * V::LANES), self.add);
        }
    }
}
