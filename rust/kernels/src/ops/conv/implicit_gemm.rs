//! Convolution as a matrix product whose right side, the patches, exists only as a panel of two
//! vectors of pixels at a time, in the first-level cache. Any stride, padding and dilation; made
//! for small weights and planes of many pixels.
//!
//! Pixels lie in the vectors' lanes. A panel is filled by masked loads, one per row of output pixels
//! that a vector touches, from the input itself or, with padding or a horizontal stride, from a
//! padded copy whose columns are sorted by their remainder so that steps become neighbours.

use super::Geometry;
use super::patches::valid_range;
use crate::error::Result;
use crate::memory;
use crate::parallel::{SendPtr, for_each};
use crate::simd::vector::{Float, Kernel, Vector, run};
use std::ops::Range;

/// Taps of a panel: it stays in the first-level cache, and sums longer than this are added in parts.
const CHUNK: usize = 256;
/// Pixels of a task, at least one image's row.
const TASK_PIXELS: usize = 1024;
/// The most runs of pixels in one vector.
const MAX_RUNS: usize = 16;

/// Where the patches are read from: the image, or a padded copy of some of its rows.
#[derive(Clone, Copy)]
struct Source {
    copied: bool,
    /// Elements from a row, and from a channel, to the next.
    pitch: usize,
    plane: usize,
    /// Columns of each remainder.
    columns: usize,
    /// Input rows that a band of output rows needs.
    rows: usize,
}

/// One convolution, prepared: what all tasks share.
struct Plan<'a, T> {
    geo: &'a Geometry,
    source: Source,
    /// Output rows of a task.
    band: usize,
    /// Where tap `k = (c, i, j)` of the first patch lies in the source.
    taps: Vec<usize>,
    /// Rows of weights a tile takes, per block of output channels.
    blocks: Vec<Range<usize>>,
    /// `[group][block][tap][row]`
    weights: *const T,
    bias: Option<*const T>,
}

// SAFETY: the pointers are read only, and outlive the call.
unsafe impl<T> Sync for Plan<'_, T> {}

/// Which weight multiplies tap `(c, i, j)` for output `o` of a group.
#[derive(Clone, Copy)]
pub(super) enum Weights {
    /// `w[group, o, c, i, j]`
    Forward,
    /// `w[group, c, o, -i, -j]`: the input's gradient as a convolution of the output's.
    Flipped,
}

/// Splits `rows` evenly into blocks of at most `max`.
fn even_blocks(rows: usize, max: usize) -> Vec<Range<usize>> {
    let size = rows.div_ceil(rows.div_ceil(max).max(1)).max(1);
    (0..rows).step_by(size).map(|r| r..(r + size).min(rows)).collect()
}

/// The convolution that `geo` describes, written to `out`.
///
/// # Safety
/// The pointers are the contiguous tensors of `geo`, the weights in the order that `kind` says;
/// `bias`, if any, has `o` elements.
pub(super) unsafe fn forward<T: Float>(
    op: &'static str,
    geo: &Geometry,
    kind: Weights,
    x: *const T,
    w: *const T,
    bias: Option<*const T>,
    out: *mut T,
) -> Result<()> {
    let [stride, dilation] = [geo.spec.stride, geo.spec.dilation];
    let taps = geo.kh * geo.kw;
    let k = geo.cg * taps;
    let copied = geo.spec.padding != [0, 0] || stride[1] != 1;
    // Bands of equal height.
    let bands = geo.oh.div_ceil((TASK_PIXELS / geo.ow).clamp(1, geo.oh));
    let band = geo.oh.div_ceil(bands);
    let source = if copied {
        let width = (geo.ow - 1) * stride[1] + (geo.kw - 1) * dilation[1] + 1;
        let columns = width.div_ceil(stride[1]);
        let pitch = columns * stride[1];
        let rows = (band - 1) * stride[0] + (geo.kh - 1) * dilation[0] + 1;
        Source { copied, pitch, plane: rows * pitch, columns, rows }
    } else {
        Source { copied, pitch: geo.w, plane: geo.h * geo.w, columns: geo.w, rows: geo.h }
    };
    let mut offsets = Vec::with_capacity(k);
    for c in 0..geo.cg {
        for (i, j) in (0..geo.kh).flat_map(|i| (0..geo.kw).map(move |j| (i, j))) {
            let right = j * dilation[1];
            let column = if copied { right % stride[1] * source.columns + right / stride[1] } else { right };
            offsets.push(c * source.plane + i * dilation[0] * source.pitch + column);
        }
    }
    let rows = run(MaxRows(std::marker::PhantomData::<T>));
    let blocks = even_blocks(geo.og, rows);
    let packed = memory::allocate(op, geo.o * k * size_of::<T>())?;
    let weights = packed.as_ptr().cast::<T>();
    for group in 0..geo.spec.groups {
        for block in &blocks {
            let (at, m) = (weights.add((group * geo.og + block.start) * k), block.len());
            for (row, o) in block.clone().enumerate() {
                for c in 0..geo.cg {
                    for tap in 0..taps {
                        let from = match kind {
                            Weights::Forward => ((group * geo.og + o) * geo.cg + c) * taps + tap,
                            Weights::Flipped => ((group * geo.cg + c) * geo.og + o) * taps + taps - 1 - tap,
                        };
                        *at.add((c * taps + tap) * m + row) = *w.add(from);
                    }
                }
            }
        }
    }
    let plan = Plan { geo, source, band, taps: offsets, blocks, weights, bias };
    let copy = if copied { source.plane * geo.cg } else { 0 };
    // One workspace for all tasks would tie its size to their number: each takes its own.
    let panel = CHUNK.min(k) * 2 * run(Lanes(std::marker::PhantomData::<T>));
    let (x, out) = (SendPtr(x.cast_mut()), SendPtr(out));
    let failure = super::Failure::default();
    for_each(geo.n * geo.spec.groups * bands, |task| {
        let Some(space) = failure.allocate::<T>(op, copy + panel) else { return };
        let (panel, copied) = (space.as_ptr().cast::<T>(), space.as_ptr().cast::<T>().add(panel));
        let (rest, band) = (task / bands, task % bands);
        let (image, group) = (rest / geo.spec.groups, rest % geo.spec.groups);
        run(Band { plan: &plan, x: x.get(), out: out.get(), image, group, band, panel, copied });
    });
    failure.check()
}

/// The rows a tile of two vectors may have.
struct MaxRows<T>(std::marker::PhantomData<T>);
impl<T: Float> Kernel<T> for MaxRows<T> {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) -> usize {
        V::ROWS
    }
}

struct Lanes<T>(std::marker::PhantomData<T>);
impl<T: Float> Kernel<T> for Lanes<T> {
    type Output = usize;
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) -> usize {
        V::LANES
    }
}

/// Some rows of one image's output, for one group.
struct Band<'a, T> {
    plan: &'a Plan<'a, T>,
    x: *const T,
    out: *mut T,
    image: usize,
    group: usize,
    band: usize,
    panel: *mut T,
    copied: *mut T,
}

/// Pixels of one vector, as runs within rows of the output: lane `i` of a run is `offset + i` in
/// the source.
struct Runs<V: Vector> {
    count: usize,
    runs: [(V::Mask, isize); MAX_RUNS],
}

impl<V: Vector> Runs<V> {
    /// The runs of `pixels`, counted from the band's first; lanes beyond them stay unset.
    #[inline(always)]
    unsafe fn of(pixels: Range<usize>, ow: usize, step: usize) -> Self {
        let mut runs = [(V::mask(0, 0), 0); MAX_RUNS];
        let (mut count, mut at) = (0, pixels.start);
        while at < pixels.end {
            let (row, col) = (at / ow, at % ow);
            let len = (ow - col).min(pixels.end - at);
            let lane = at - pixels.start;
            runs[count] = (V::mask(lane, len), (row * step + col) as isize - lane as isize);
            count += 1;
            at += len;
        }
        Runs { count, runs }
    }

    /// `R` is the number of runs; zero stands for any.
    #[inline(always)]
    unsafe fn load<const R: usize>(&self, base: *const V::Elem) -> V {
        let mut v = V::splat(V::Elem::default());
        for i in 0..if R == 0 { self.count } else { R } {
            let (mask, offset) = self.runs[i];
            v = v.load_lanes(mask, base.wrapping_offset(offset));
        }
        v
    }
}

impl<T: Float> Kernel<T> for Band<'_, T> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Plan { geo, source, band, .. } = *self.plan;
        let (y0, y1) = (self.band * band, ((self.band + 1) * band).min(geo.oh));
        let x = self.x.add((self.image * geo.c + self.group * geo.cg) * geo.h * geo.w);
        let base = if source.copied {
            copy_padded(geo, &source, x, y0, self.copied);
            self.copied.cast_const()
        } else {
            x.add(y0 * geo.spec.stride[0] * source.pitch)
        };
        let k = self.plan.taps.len();
        let plane = geo.oh * geo.ow;
        let out = self.out.add((self.image * geo.o + self.group * geo.og) * plane + y0 * geo.ow);
        let pixels = (y1 - y0) * geo.ow;
        for first in (0..pixels).step_by(2 * V::LANES) {
            let (middle, end) = ((first + V::LANES).min(pixels), (first + 2 * V::LANES).min(pixels));
            let step = geo.spec.stride[0] * source.pitch;
            let a = Runs::<V>::of(first..middle, geo.ow, step);
            let b = Runs::<V>::of(middle..end, geo.ow, step);
            let mut done = 0;
            // At least once: without taps the output is the bias.
            loop {
                let chunk = done..(done + CHUNK).min(k);
                let taps = &self.plan.taps[chunk.clone()];
                let two = b.count > 0;
                fill::<V>(taps, base, &a, self.panel, if two { 2 } else { 1 });
                if two {
                    fill::<V>(taps, base, &b, self.panel.add(V::LANES), 2);
                }
                for block in &self.plan.blocks {
                    let o = self.group * geo.og + block.start;
                    let tile = Tile {
                        weights: self.plan.weights.add(o * k + done * block.len()),
                        panel: self.panel,
                        taps: taps.len(),
                        bias: if done == 0 { self.plan.bias.map(|b| b.add(o)) } else { None },
                        add: done > 0,
                        out: out.add(block.start * plane + first),
                        plane,
                        lanes: end - first,
                    };
                    if two { tile.rows::<V, 2>(block.len()) } else { tile.rows::<V, 1>(block.len()) }
                }
                done = chunk.end;
                if done == k {
                    break;
                }
            }
        }
    }
}

/// Writes one vector of patches for each tap, `columns` vectors apart.
#[inline(always)]
unsafe fn fill<V: Vector>(
    taps: &[usize],
    base: *const V::Elem,
    runs: &Runs<V>,
    to: *mut V::Elem,
    columns: usize,
) {
    #[inline(always)]
    unsafe fn exactly<V: Vector, const R: usize>(
        taps: &[usize],
        base: *const V::Elem,
        runs: &Runs<V>,
        mut to: *mut V::Elem,
        step: usize,
    ) {
        for &tap in taps {
            runs.load::<R>(base.add(tap)).store(to);
            to = to.add(step);
        }
    }
    let step = columns * V::LANES;
    match runs.count {
        1 => exactly::<V, 1>(taps, base, runs, to, step),
        2 => exactly::<V, 2>(taps, base, runs, to, step),
        3 => exactly::<V, 3>(taps, base, runs, to, step),
        _ => exactly::<V, 0>(taps, base, runs, to, step),
    }
}

/// A tile of outputs: some channels of one panel of pixels.
struct Tile<T> {
    weights: *const T,
    panel: *const T,
    taps: usize,
    bias: Option<*const T>,
    /// Whether to add to what `out` holds.
    add: bool,
    out: *mut T,
    plane: usize,
    lanes: usize,
}

impl<T: Float> Tile<T> {
    #[inline(always)]
    unsafe fn rows<V: Vector<Elem = T>, const N: usize>(&self, rows: usize) {
        macro_rules! pick {
            ($($m:literal)*) => {
                match rows {
                    $($m if $m <= V::ROWS => self.compute::<V, $m, N>(),)*
                    _ => unreachable!("blocks have at most V::ROWS rows"),
                }
            };
        }
        pick!(1 2 3 4 5 6 7 8 9 10 11 12)
    }

    #[inline(always)]
    unsafe fn compute<V: Vector<Elem = T>, const M: usize, const N: usize>(&self) {
        let mut acc = [[V::splat(T::default()); N]; M];
        if let Some(bias) = self.bias {
            for m in 0..M {
                acc[m] = [V::splat(*bias.add(m)); N];
            }
        }
        let (mut w, mut p) = (self.weights, self.panel);
        for _ in 0..self.taps {
            let mut b = [V::splat(T::default()); N];
            for n in 0..N {
                b[n] = V::load(p.add(n * V::LANES));
            }
            for m in 0..M {
                let a = V::splat(*w.add(m));
                for n in 0..N {
                    acc[m][n] = a.mul_add(b[n], acc[m][n]);
                }
            }
            w = w.add(M);
            p = p.add(N * V::LANES);
        }
        for m in 0..M {
            for n in 0..N {
                let (out, v) = (self.out.add(m * self.plane + n * V::LANES), acc[m][n]);
                let lanes = self.lanes - n * V::LANES;
                if lanes >= V::LANES {
                    if self.add { v.add(V::load(out)) } else { v }.store(out);
                } else {
                    let mask = V::mask(0, lanes);
                    let before = if self.add { v.load_lanes(mask, out) } else { v };
                    if self.add { v.add(before) } else { v }.store_lanes(mask, out);
                }
            }
        }
    }
}

/// Copies the input rows that the output rows from `y0` on need, with zeros for the padding, the
/// columns sorted by their remainder modulo the stride.
#[inline(always)]
unsafe fn copy_padded<T: Float>(geo: &Geometry, source: &Source, x: *const T, y0: usize, to: *mut T) {
    let [stride, padding] = [geo.spec.stride, geo.spec.padding];
    let top = (y0 * stride[0]) as isize - padding[0] as isize;
    for c in 0..geo.cg {
        for row in 0..source.rows {
            let y = top + row as isize;
            let to = to.add(c * source.plane + row * source.pitch);
            if y < 0 || y >= geo.h as isize {
                std::slice::from_raw_parts_mut(to, source.pitch).fill(T::default());
                continue;
            }
            let x = x.add((c * geo.h + y as usize) * geo.w);
            for remainder in 0..stride[1] {
                let to = std::slice::from_raw_parts_mut(to.add(remainder * source.columns), source.columns);
                let left = remainder as isize - padding[1] as isize;
                let valid = valid_range(source.columns, geo.w, stride[1], left);
                to[..valid.start].fill(T::default());
                to[valid.end..].fill(T::default());
                let from = x.wrapping_offset((valid.start * stride[1]) as isize + left);
                for (i, to) in to[valid].iter_mut().enumerate() {
                    *to = *from.add(i * stride[1]);
                }
            }
        }
    }
}
