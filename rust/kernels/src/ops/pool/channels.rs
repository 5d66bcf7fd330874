//! Pooling of rows of channels, `[n, height * width, c]`: channels in the lanes, each output written once.

use super::PoolSpec;
use crate::multiversion;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::simd::vector::Float;
use std::ops::Range;

/// Marks a window without a single input.
pub(super) const NOTHING: u8 = u8::MAX;

/// Calls `$body` on `N` channels from `at`, for all `c` of them. The last ones may come twice: what is
/// called only writes.
macro_rules! lanes {
    ($c:expr, $at:ident, $n:ident => $body:expr) => {
        match $c {
            32.. => lanes!(32, $c, $at, $n => $body),
            16.. => lanes!(16, $c, $at, $n => $body),
            8.. => lanes!(8, $c, $at, $n => $body),
            4.. => lanes!(4, $c, $at, $n => $body),
            _ => lanes!(1, $c, $at, $n => $body),
        }
    };
    ($width:literal, $c:expr, $at:ident, $n:ident => $body:expr) => {{
        const $n: usize = $width;
        let mut $at = 0;
        loop {
            $body;
            if $at + $n >= $c {
                break;
            }
            $at = ($at + $n).min($c - $n);
        }
    }};
}

/// `N` neighbours.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn some<T: Copy, const N: usize>(p: *const T) -> [T; N] {
    p.cast::<[T; N]>().read_unaligned()
}

/// For a window or a position along one axis: where the other side lies, and the tap that leads there.
type Side = Vec<(usize, usize)>;

/// Windows with taps, for maxima.
pub(super) struct Taps {
    size: [usize; 2],
    out: [usize; 2],
    c: usize,
    width: usize,
    /// For each output along an axis: positions with their taps.
    reads: [Vec<Side>; 2],
    /// For each position along an axis: outputs with the taps they read it by.
    readers: [Vec<Side>; 2],
}

impl Taps {
    pub fn new(spec: &PoolSpec, size: [usize; 2], out: [usize; 2], c: usize) -> Taps {
        let mut reads = [vec![], vec![]];
        let mut readers = [vec![], vec![]];
        for axis in 0..2 {
            let (s, d, p) = (spec.stride[axis], spec.dilation[axis], spec.padding[axis]);
            reads[axis] = vec![Side::new(); out[axis]];
            readers[axis] = vec![Side::new(); size[axis]];
            for o in 0..out[axis] {
                for tap in 0..spec.kernel[axis] {
                    if let Some(at) = (o * s + tap * d).checked_sub(p).filter(|&at| at < size[axis]) {
                        reads[axis][o].push((at, tap));
                        readers[axis][at].push((o, tap));
                    }
                }
            }
        }
        Taps { size, out, c, width: spec.kernel[1], reads, readers }
    }

    /// Calls `f` on ranges of the rows of all images, each of `row` elements or so of work.
    fn rows(n: usize, rows: usize, row: usize, f: impl Fn(Range<usize>) + Sync) {
        for_ranges(n * rows, (GRAIN / row.max(1)).max(1), f);
    }

    /// The maxima of all windows, with the tap of each. NaN wins.
    pub fn maxima<T: Float>(&self, n: usize, x: SendPtr<T>, values: SendPtr<T>, taps: SendPtr<u8>) {
        let ([h, w], [oh, ow], c) = (self.size, self.out, self.c);
        Taps::rows(n, oh, w * c * h.div_ceil(oh), |rows| {
            for row in rows {
                // SAFETY: rows of the tensors; each output row is written by one task.
                unsafe {
                    let x = x.get().add(row / oh * h * w * c);
                    let at = row * ow * c;
                    row_maxima::<T>(self, row % oh, x, values.get().add(at), taps.get().add(at));
                }
            }
        });
    }

    /// The gradient: each input gets the gradients of the windows whose maximum it is.
    pub fn spread<T: Float>(&self, n: usize, g: SendPtr<T>, taps: SendPtr<u8>, dx: SendPtr<T>) {
        let ([h, w], [oh, ow], c) = (self.size, self.out, self.c);
        Taps::rows(n, h, w * c, |rows| {
            for row in rows {
                // SAFETY: as in `maxima`.
                unsafe {
                    let from = row / h * oh * ow * c;
                    let dx = dx.get().add(row * w * c);
                    row_spread::<T>(self, row % h, g.get().add(from), taps.get().add(from), dx);
                }
            }
        });
    }
}

multiversion! {
    /// One row of outputs of the image at `x`.
    fn row_maxima<T: Float>(of: &Taps, row: usize, x: *const T, values: *mut T, taps: *mut u8) {
        let (w, c, rows) = (of.size[1], of.c, &of.reads[0][row]);
        for (o, cols) in of.reads[1].iter().enumerate() {
            let first = match (rows.first(), cols.first()) {
                (Some(&(y, i)), Some(&(p, j))) => Some((y * w + p, (i * of.width + j) as i32)),
                _ => None,
            };
            lanes!(c, at, N => {
                // Two at once where there are 32, as a comparison waits for the one before.
                const TWO: bool = N == 32;
                const HALF: usize = if TWO { 16 } else { N };
                // SAFETY: positions are within the image, and the channels are there.
                unsafe {
                    let x = x.add(at);
                    let mut one: Maxima<T, HALF> = Maxima::new(x, first, c);
                    let mut two: Maxima<T, HALF> = if TWO { Maxima::new(x.add(HALF), first, c) } else { one };
                    for &(y, i) in rows {
                        for &(p, j) in cols {
                            let (from, tap) = (x.add((y * w + p) * c), (i * of.width + j) as i32);
                            one.take(from, tap);
                            if TWO {
                                two.take(from.add(HALF), tap);
                            }
                        }
                    }
                    let (values, taps) = (values.add(o * c + at), taps.add(o * c + at));
                    one.put(values, taps);
                    if TWO {
                        two.put(values.add(HALF), taps.add(HALF));
                    }
                }
            });
        }
    }
}

/// Maxima of neighbour channels, and the taps they came by.
#[derive(Clone, Copy)]
struct Maxima<T, const N: usize> {
    best: [T; N],
    which: [i32; N],
}

impl<T: Float, const N: usize> Maxima<T, N> {
    /// Before all taps: the first one stands where nothing is larger.
    ///
    /// # Safety
    /// `N` channels are there.
    #[inline(always)]
    unsafe fn new(x: *const T, first: Option<(usize, i32)>, c: usize) -> Self {
        match first {
            Some((at, tap)) => Maxima { best: some(x.add(at * c)), which: [tap; N] },
            None => Maxima { best: [T::from_f64(f64::NEG_INFINITY); N], which: [NOTHING as i32; N] },
        }
    }

    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn take(&mut self, x: *const T, tap: i32) {
        let v: [T; N] = some(x);
        for l in 0..N {
            #[allow(clippy::eq_op)]
            let better = (v[l] > self.best[l]) | (v[l] != v[l]);
            self.best[l] = if better { v[l] } else { self.best[l] };
            self.which[l] = if better { tap } else { self.which[l] };
        }
    }

    /// # Safety
    /// As above, to be written.
    #[inline(always)]
    unsafe fn put(&self, values: *mut T, taps: *mut u8) {
        let mut bytes = [0u8; N];
        for l in 0..N {
            bytes[l] = self.which[l] as u8;
        }
        values.cast::<[T; N]>().write_unaligned(self.best);
        taps.cast::<[u8; N]>().write_unaligned(bytes);
    }
}

multiversion! {
    /// One row of the input's gradient, from the image's outputs at `g`.
    fn row_spread<T: Float>(of: &Taps, row: usize, g: *const T, taps: *const u8, dx: *mut T) {
        let (ow, c) = (of.out[1], of.c);
        for (p, cols) in of.readers[1].iter().enumerate() {
            lanes!(c, at, N => {
                let mut total = [T::default(); N];
                for &(y, i) in &of.readers[0][row] {
                    for &(o, j) in cols {
                        let tap = (i * of.width + j) as u8;
                        let from = (y * ow + o) * c + at;
                        // SAFETY: outputs are within the image, and `N` channels from `at` are there.
                        let (g, taps): ([T; N], [u8; N]) = unsafe { (some(g.add(from)), some(taps.add(from))) };
                        for l in 0..N {
                            total[l] += if taps[l] == tap { g[l] } else { T::default() };
                        }
                    }
                }
                // SAFETY: as above, in the row.
                unsafe { dx.add(p * c + at).cast::<[T; N]>().write_unaligned(total) };
            });
        }
    }
}

/// Windows as ranges of positions, for means: along each axis the range of each window, and for each
/// position the windows that cover it.
pub(super) struct Spans {
    size: [usize; 2],
    c: usize,
    pub(super) windows: [Vec<Range<usize>>; 2],
    pub(super) covers: [Vec<Range<usize>>; 2],
}

impl Spans {
    /// Ranges whose starts and ends never fall, within `size`.
    pub fn new(size: [usize; 2], c: usize, windows: [Vec<Range<usize>>; 2]) -> Spans {
        let covers = [0, 1].map(|axis| {
            let mut covers = vec![0..0; size[axis]];
            for (i, window) in windows[axis].iter().enumerate() {
                for p in window.clone() {
                    covers[p] = if covers[p].is_empty() { i..i + 1 } else { covers[p].start..i + 1 };
                }
            }
            covers
        });
        Spans { size, c, windows, covers }
    }

    fn out(&self) -> [usize; 2] {
        [self.windows[0].len(), self.windows[1].len()]
    }

    /// The sums of all windows, each divided by its own of `divisors`.
    pub fn means<T: Float>(&self, n: usize, x: SendPtr<T>, divisors: &[T], out: SendPtr<T>) {
        let ([h, w], [oh, ow], c) = (self.size, self.out(), self.c);
        Taps::rows(n, oh, w * c * h.div_ceil(oh), |rows| {
            for row in rows {
                // SAFETY: rows of the tensors; each output row is written by one task.
                unsafe {
                    let x = x.get().add(row / oh * h * w * c);
                    let divisors = &divisors[row % oh * ow..][..ow];
                    row_means::<T>(self, row % oh, x, divisors, out.get().add(row * ow * c));
                }
            }
        });
    }

    /// The gradient: each input gets its share, `factors` of them, of the windows that cover it.
    pub fn spread<T: Float>(&self, n: usize, g: SendPtr<T>, factors: &[T], dx: SendPtr<T>) {
        let ([h, w], [oh, ow], c) = (self.size, self.out(), self.c);
        Taps::rows(n, h, w * c, |rows| {
            for row in rows {
                // SAFETY: as in `means`.
                unsafe {
                    let g = g.get().add(row / h * oh * ow * c);
                    row_shares::<T>(self, row % h, g, factors, dx.get().add(row * w * c));
                }
            }
        });
    }
}

multiversion! {
    fn row_means<T: Float>(of: &Spans, row: usize, x: *const T, divisors: &[T], out: *mut T) {
        let (w, c) = (of.size[1], of.c);
        for (o, cols) in of.windows[1].iter().enumerate() {
            lanes!(c, at, N => {
                let mut total = [T::default(); N];
                // A row at a time, so that the error of a large window grows with its side.
                for y in of.windows[0][row].clone() {
                    let mut sum = [T::default(); N];
                    for p in cols.clone() {
                        // SAFETY: positions are within the image, and `N` channels from `at` are there.
                        let v: [T; N] = unsafe { some(x.add((y * w + p) * c + at)) };
                        for l in 0..N {
                            sum[l] += v[l];
                        }
                    }
                    for l in 0..N {
                        total[l] += sum[l];
                    }
                }
                for l in 0..N {
                    total[l] = total[l] / divisors[o];
                }
                // SAFETY: as above, in the output's row.
                unsafe { out.add(o * c + at).cast::<[T; N]>().write_unaligned(total) };
            });
        }
    }
}

multiversion! {
    fn row_shares<T: Float>(of: &Spans, row: usize, g: *const T, factors: &[T], dx: *mut T) {
        let (ow, c) = (of.windows[1].len(), of.c);
        for (p, cols) in of.covers[1].iter().enumerate() {
            lanes!(c, at, N => {
                let mut total = [T::default(); N];
                for y in of.covers[0][row].clone() {
                    for o in cols.clone() {
                        let factor = factors[y * ow + o];
                        // SAFETY: outputs are within the image, and `N` channels from `at` are there.
                        let g: [T; N] = unsafe { some(g.add((y * ow + o) * c + at)) };
                        for l in 0..N {
                            total[l] += g[l] * factor;
                        }
                    }
                }
                // SAFETY: as above, in the row.
                unsafe { dx.add(p * c + at).cast::<[T; N]>().write_unaligned(total) };
            });
        }
    }
}
