//! What the direct kernels share: vectors loaded in runs of neighbours, and the register tile.

use crate::simd::vector::{Float, Kernel, Vector, run};
use std::marker::PhantomData;
use std::ops::Range;

/// Length of the sums a tile makes: its panel stays in the first-level cache, and longer sums are
/// added in parts, which keeps them accurate.
pub(super) const CHUNK: usize = 256;
/// The most runs of elements in one vector.
const MAX_RUNS: usize = 16;

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
    /// What no sum lies below.
    pub floor: T,
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
        let floor = V::splat(self.floor);
        for m in 0..M {
            for n in 0..N {
                let (out, v) = (self.out.add(m * self.plane + n * V::LANES), acc[m][n]);
                let lanes = self.lanes.saturating_sub(n * V::LANES);
                if lanes >= V::LANES {
                    if self.add { v.add(V::load(out)) } else { v }.at_least(floor).store(out);
                } else if lanes > 0 {
                    let mask = V::mask(0, lanes);
                    let v = if self.add { v.add(v.load_lanes(mask, out)) } else { v };
                    v.at_least(floor).store_lanes(mask, out);
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
