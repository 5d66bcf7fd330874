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
