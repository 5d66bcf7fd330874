//! The two register tiles of the channels-last kernels: rows found through pointers, and outer
//! products over a list of pixels. Both are `V::ROWS` rows by two vectors at most.

use crate::simd::vector::Vector;

/// Columns of a panel: two vectors.
pub(super) const VECTORS: usize = 2;

/// Calls `$tile::<V, rows, vectors>()` for the rows and vectors at hand.
macro_rules! pick {
    ($self:ident, $tile:ident, $V:ident, $rows:expr, $vectors:expr) => {
        pick!(@rows $self, $tile, $V, $rows, $vectors, 1 2 3 4 5 6 7 8 9 10 11 12)
    };
    (@rows $self:ident, $tile:ident, $V:ident, $rows:expr, $vectors:expr, $($m:literal)*) => {
        match ($rows, $vectors) {
            $(($m, 1) if $m <= $V::ROWS => $self.$tile::<$V, $m, 1>(),
              ($m, _) if $m <= $V::ROWS => $self.$tile::<$V, $m, 2>(),)*
            _ => unreachable!("tiles have at most V::ROWS rows"),
        }
    };
}

/// `out[row][column] (+)= sum over taps and channels of source[tap][row][channel] * weight`.
pub(super) struct Product {
    /// `[tap][row]`: where the channels of each row's pixel lie. Null in the first row: the tap
    /// lies outside for all rows.
    pub sources: *const *const f32,
    /// The first channel, counted from the sources.
    pub first: usize,
    pub channels: usize,
    pub taps: usize,
    /// `[tap][channel][column]`, as wide as the vectors.
    pub weights: *const f32,
    /// Where each row's first column goes, counted from `column`.
    pub targets: *const *mut f32,
    pub column: usize,
    /// Columns to write.
    pub lanes: usize,
    /// Added to fresh sums; padded like the weights.
    pub bias: Option<*const f32>,
    /// Whether to add to what the targets hold.
    pub add: bool,
    /// What no sum lies below.
    pub floor: f32,
}

impl Product {
    #[inline(always)]
    pub unsafe fn compute<V: Vector<Elem = f32>>(&self, rows: usize, vectors: usize) {
        pick!(self, exactly, V, rows, vectors)
    }

    #[inline(always)]
    unsafe fn exactly<V: Vector<Elem = f32>, const M: usize, const N: usize>(&self) {
        let mut acc = [[V::splat(0.0); N]; M];
        if let Some(bias) = self.bias {
            for n in 0..N {
                let bias = V::load(bias.add(n * V::LANES));
                for m in 0..M {
                    acc[m][n] = bias;
                }
            }
        }
        let (mut sources, mut w) = (self.sources, self.weights);
        for _ in 0..self.taps {
            if (*sources).is_null() {
                sources = sources.add(M);
                w = w.add(self.channels * N * V::LANES);
                continue;
            }
            let mut rows = [std::ptr::null(); M];
            for m in 0..M {
                rows[m] = (*sources.add(m)).add(self.first);
            }
            for c in 0..self.channels {
                let mut b = [V::splat(0.0); N];
                for n in 0..N {
                    b[n] = V::load(w.add(n * V::LANES));
                }
                for m in 0..M {
                    let a = V::splat(*rows[m].add(c));
                    for n in 0..N {
                        acc[m][n] = a.mul_add(b[n], acc[m][n]);
                    }
                }
                w = w.add(N * V::LANES);
            }
            sources = sources.add(M);
        }
        let floor = V::splat(self.floor);
        // Plain loops: a branch inside would keep the sums out of registers.
        if self.lanes == N * V::LANES {
            if self.add {
                for m in 0..M {
                    let to = (*self.targets.add(m)).add(self.column);
                    for n in 0..N {
                        acc[m][n] = acc[m][n].add(V::load(to.add(n * V::LANES)));
                    }
                }
            }
            for m in 0..M {
                let to = (*self.targets.add(m)).add(self.column);
                for n in 0..N {
                    acc[m][n].at_least(floor).store(to.add(n * V::LANES));
                }
            }
            return;
        }
        let mut masks = [V::mask(0, V::LANES); N];
        masks[N - 1] = V::mask(0, self.lanes - (N - 1) * V::LANES);
        if self.add {
            for m in 0..M {
                let to = (*self.targets.add(m)).add(self.column);
                for n in 0..N {
                    acc[m][n] = acc[m][n].add(V::splat(0.0).load_lanes(masks[n], to.add(n * V::LANES)));
                }
            }
        }
        for m in 0..M {
            let to = (*self.targets.add(m)).add(self.column);
            for n in 0..N {
                acc[m][n].at_least(floor).store_lanes(masks[n], to.add(n * V::LANES));
            }
        }
    }
}

/// A pixel of the output, as a step of a sum over pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixel {
    /// Floats from the chunk's first source pixel to where this one's tap lies.
    pub x: isize,
    /// The number of its columns in the packed panel.
    pub g: usize,
}

/// `sums[row][column] (+)= sum over pixels of x[pixel][row] * g[pixel][column]`.
pub(super) struct Outer<'a> {
    pub pixels: &'a [Pixel],
    /// The first row of the chunk's first source pixel.
    pub x: *const f32,
    /// `[pixel][column]`, as wide as the vectors.
    pub g: *const f32,
    /// Rows are `row_step` vectors of columns apart.
    pub sums: *mut f32,
    pub row_step: usize,
    pub add: bool,
}

impl Outer<'_> {
    #[inline(always)]
    pub unsafe fn compute<V: Vector<Elem = f32>>(&self, rows: usize, vectors: usize) {
        pick!(self, exactly, V, rows, vectors)
    }

    #[inline(always)]
    unsafe fn exactly<V: Vector<Elem = f32>, const M: usize, const N: usize>(&self) {
        let mut acc = [[V::splat(0.0); N]; M];
        for pixel in self.pixels {
            let x = self.x.wrapping_offset(pixel.x);
            let g = self.g.add(pixel.g * (N * V::LANES));
            let mut b = [V::splat(0.0); N];
            for n in 0..N {
                b[n] = V::load(g.add(n * V::LANES));
            }
            for m in 0..M {
                let a = V::splat(*x.add(m));
                for n in 0..N {
                    acc[m][n] = a.mul_add(b[n], acc[m][n]);
                }
            }
        }
        let row = self.row_step * N * V::LANES;
        if self.add {
            for m in 0..M {
                for n in 0..N {
                    acc[m][n] = acc[m][n].add(V::load(self.sums.add(m * row + n * V::LANES)));
                }
            }
        }
        for m in 0..M {
            for n in 0..N {
                acc[m][n].store(self.sums.add(m * row + n * V::LANES));
            }
        }
    }
}
