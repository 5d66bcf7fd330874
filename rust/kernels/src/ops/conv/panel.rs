//! What the direct kernels share: a source in which every tap of a patch lies at a fixed offset,
//! vectors loaded from it in runs, and the register tile.

use super::Geometry;
use super::patches::valid_range;
use crate::simd::vector::{Float, Kernel, Vector, run};
use std::marker::PhantomData;
use std::ops::Range;

/// Length of the sums a tile makes: its panel stays in the first-level cache, and longer sums are
/// added in parts, which keeps them accurate.
pub(super) const CHUNK: usize = 256;
/// The most runs of elements in one vector.
const MAX_RUNS: usize = 16;

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
        for c in 0..channels {
            for row in 0..self.rows {
                let to = space.add(c * self.plane + row * self.pitch);
                let x = x.add(c * geo.h * geo.w);
                self.for_row(geo, y0, row, |_, y, remainder, columns| {
                    let to = std::slice::from_raw_parts_mut(to.add(remainder * self.columns), self.columns);
                    let Some((y, first)) = y else { return to.fill(T::default()) };
                    to[..columns.start].fill(T::default());
                    to[columns.end..].fill(T::default());
                    let from = x.add(y * geo.w + first);
                    for (i, to) in to[columns].iter_mut().enumerate() {
                        *to = *from.add(i * geo.spec.stride[1]);
                    }
                });
            }
        }
        space
    }

    /// The way back of [`Source::band`] for whole images: writes the copy's inside to `dx`, and zero
    /// where no patch reaches.
    #[inline(always)]
    pub unsafe fn restore<T: Float>(&self, geo: &Geometry, dx: *mut T, channels: usize, space: *const T) {
        std::slice::from_raw_parts_mut(dx, channels * geo.h * geo.w).fill(T::default());
        for c in 0..channels {
            for row in 0..self.rows {
                let from = space.add(c * self.plane + row * self.pitch);
                let dx = dx.add(c * geo.h * geo.w);
                self.for_row(geo, 0, row, |_, y, remainder, columns| {
                    let Some((y, first)) = y else { return };
                    let (from, to) = (from.add(remainder * self.columns), dx.add(y * geo.w + first));
                    for (i, at) in columns.enumerate() {
                        *to.add(i * geo.spec.stride[1]) = *from.add(at);
                    }
                });
            }
        }
    }

    /// Calls `f(row, input position, remainder, valid columns)` for each remainder of a row of the
    /// copy; the position is the input's row and first column, if the row lies inside.
    #[inline(always)]
    fn for_row(
        &self,
        geo: &Geometry,
        y0: usize,
        row: usize,
        mut f: impl FnMut(usize, Option<(usize, usize)>, usize, Range<usize>),
    ) {
        let (stride, padding) = (geo.spec.stride, geo.spec.padding);
        let y = (y0 * stride[0] + row) as isize - padding[0] as isize;
        for remainder in 0..stride[1] {
            let left = remainder as isize - padding[1] as isize;
            let valid = valid_range(self.columns, geo.w, stride[1], left);
            let inside = y >= 0 && y < geo.h as isize && !valid.is_empty();
            let at = inside.then(|| (y as usize, ((valid.start * stride[1]) as isize + left) as usize));
            f(row, at, remainder, valid);
        }
    }
}

/// The elements of one vector, as runs of neighbours: lane `i` of a run is `offset + i`.
pub(super) struct Runs<V: Vector> {
    count: usize,
    runs: [(V::Mask, isize); MAX_RUNS],
}

impl<V: Vector> Runs<V> {
    #[inline(always)]
    unsafe fn none() -> Self {
        Runs { count: 0, runs: [(V::mask(0, 0), 0); MAX_RUNS] }
    }

    #[inline(always)]
    unsafe fn push(&mut self, lane: usize, len: usize, at: usize) {
        self.runs[self.count] = (V::mask(lane, len), at as isize - lane as isize);
        self.count += 1;
    }

    /// The output pixels `pixels`, counted from a band's first, in rows of `ow` that are `step` apart.
    #[inline(always)]
    pub unsafe fn of_pixels(pixels: Range<usize>, ow: usize, step: usize) -> Self {
        let mut runs = Self::none();
        let mut at = pixels.start;
        while at < pixels.end {
            let (row, col) = (at / ow, at % ow);
            let len = (ow - col).min(pixels.end - at);
            runs.push(at - pixels.start, len, row * step + col);
            at += len;
        }
        runs
    }

    /// Any offsets, at most a vector of them.
    #[inline(always)]
    pub unsafe fn of_offsets(offsets: &[usize]) -> Self {
        let mut runs = Self::none();
        let mut lane = 0;
        for run in offsets.chunk_by(|a, b| a + 1 == *b) {
            runs.push(lane, run.len(), run[0]);
            lane += run.len();
        }
        runs
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// `R` is the number of runs; zero stands for any. Other lanes are zero.
    #[inline(always)]
    unsafe fn load<const R: usize>(&self, base: *const V::Elem) -> V {
        let mut v = V::splat(V::Elem::default());
        for i in 0..if R == 0 { self.count } else { R } {
            let (mask, offset) = self.runs[i];
            v = v.load_lanes(mask, base.wrapping_offset(offset));
        }
        v
    }

    /// Writes a vector for each of `bases`, `step` elements apart.
    #[inline(always)]
    pub unsafe fn fill(&self, bases: impl Iterator<Item = *const V::Elem>, to: *mut V::Elem, step: usize) {
        #[inline(always)]
        unsafe fn exactly<V: Vector, const R: usize>(
            runs: &Runs<V>,
            bases: impl Iterator<Item = *const V::Elem>,
            mut to: *mut V::Elem,
            step: usize,
        ) {
            for base in bases {
                runs.load::<R>(base).store(to);
                to = to.add(step);
            }
        }
        match self.count {
            1 => exactly::<V, 1>(self, bases, to, step),
            2 => exactly::<V, 2>(self, bases, to, step),
            3 => exactly::<V, 3>(self, bases, to, step),
            _ => exactly::<V, 0>(self, bases, to, step),
        }
    }

    /// Adds a vector to the elements.
    #[inline(always)]
    pub unsafe fn add_to(&self, v: V, base: *mut V::Elem) {
        for &(mask, offset) in &self.runs[..self.count] {
            let at = base.wrapping_offset(offset);
            v.add(v.load_lanes(mask, at)).store_lanes(mask, at);
        }
    }
}

/// A register tile: `out[row][lane] (+)= sum over k of weights[row][k] * panel[k][lane]`.
pub(super) struct Tile<T> {
    /// `[k][row]`, or with `row_step`, `[row][k]` with rows so far apart.
    pub weights: *const T,
    pub row_step: Option<usize>,
    /// `[k][lane]`, one or two vectors wide.
    pub panel: *const T,
    pub k: usize,
    /// Added to each row of a fresh output.
    pub bias: Option<*const T>,
    /// Whether to add to what `out` holds.
    pub add: bool,
    pub out: *mut T,
    /// Elements from an output row to the next.
    pub plane: usize,
    /// Lanes to write.
    pub lanes: usize,
}

impl<T: Float> Tile<T> {
    /// A tile of `rows` rows, one or two vectors wide.
    #[inline(always)]
    pub unsafe fn compute<V: Vector<Elem = T>>(&self, rows: usize, vectors: usize) {
        macro_rules! pick {
            ($n:literal, $packed:literal: $($m:literal)*) => {
                match rows {
                    $($m if $m <= V::ROWS => self.exactly::<V, $m, $n, $packed>(),)*
                    _ => unreachable!("blocks have at most V::ROWS rows"),
                }
            };
        }
        match (vectors, self.row_step.is_none()) {
            (1, true) => pick!(1, true: 1 2 3 4 5 6 7 8 9 10 11 12),
            (1, false) => pick!(1, false: 1 2 3 4 5 6 7 8 9 10 11 12),
            (_, true) => pick!(2, true: 1 2 3 4 5 6 7 8 9 10 11 12),
            (_, false) => pick!(2, false: 1 2 3 4 5 6 7 8 9 10 11 12),
        }
    }

    #[inline(always)]
    unsafe fn exactly<V: Vector<Elem = T>, const M: usize, const N: usize, const PACKED: bool>(&self) {
        let mut acc = [[V::splat(T::default()); N]; M];
        if let Some(bias) = self.bias {
            for m in 0..M {
                acc[m] = [V::splat(*bias.add(m)); N];
            }
        }
        let row_step = if PACKED { 1 } else { self.row_step.unwrap_or(0) };
        let (mut w, mut p) = (self.weights, self.panel);
        for _ in 0..self.k {
            let mut b = [V::splat(T::default()); N];
            for n in 0..N {
                b[n] = V::load(p.add(n * V::LANES));
            }
            for m in 0..M {
                let a = V::splat(*w.add(m * row_step));
                for n in 0..N {
                    acc[m][n] = a.mul_add(b[n], acc[m][n]);
                }
            }
            w = w.add(if PACKED { M } else { 1 });
            p = p.add(N * V::LANES);
        }
        for m in 0..M {
            for n in 0..N {
                let (out, v) = (self.out.add(m * self.plane + n * V::LANES), acc[m][n]);
                let lanes = self.lanes.saturating_sub(n * V::LANES);
                if lanes >= V::LANES {
                    if self.add { v.add(V::load(out)) } else { v }.store(out);
                } else if lanes > 0 {
                    let mask = V::mask(0, lanes);
                    if self.add { v.add(v.load_lanes(mask, out)) } else { v }.store_lanes(mask, out);
                }
            }
        }
    }
}

/// Splits `rows` evenly into blocks of at most `max`.
pub(super) fn even_blocks(rows: usize, max: usize) -> Vec<Range<usize>> {
    let size = rows.div_ceil(rows.div_ceil(max).max(1)).max(1);
    (0..rows).step_by(size).map(|r| r..(r + size).min(rows)).collect()
}

/// The sizes of tiles at the level in use: `(rows, lanes of a vector)`.
pub(super) fn tile_size<T: Float>() -> (usize, usize) {
    struct Sizes<T>(PhantomData<T>);
    impl<T: Float> Kernel<T> for Sizes<T> {
        type Output = (usize, usize);
        #[inline(always)]
        unsafe fn run<V: Vector<Elem = T>>(self) -> (usize, usize) {
            (V::ROWS, V::LANES)
        }
    }
    // SAFETY: reads constants.
    unsafe { run(Sizes(PhantomData::<T>)) }
}
