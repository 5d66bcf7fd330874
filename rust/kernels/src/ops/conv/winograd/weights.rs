//! Weights between their layout outside, `[output channel][input channel][r * r]`, and transformed
//! panels `[a * a points][input channel][two vectors of output channels]`.

use super::points::Scheme;
use crate::simd::vector::{Kernel, Vector};
use std::ops::Range;

/// Input channels that are turned at once: they stay in the first-level cache.
const GROUP: usize = 16;

/// Floats of [`Panel::space`].
pub(super) const fn space(r: usize, lanes: usize) -> usize {
    GROUP * r * r * 2 * lanes
}

/// One panel of weights, of a convolution from `inputs` to `outputs` channels.
#[derive(Clone, Copy)]
pub(super) struct Panel<const M: usize, const R: usize, const A: usize> {
    pub inputs: usize,
    pub outputs: usize,
    /// The first output channel.
    pub output: usize,
    /// Transformed weights: `[a * a points][input channel - first][two vectors]`.
    pub u: *mut f32,
    pub u_step: usize,
    /// Workspace.
    pub space: *mut f32,
}

/// Transforms the weights of some input channels, `G g G'`.
pub(super) struct Pack<const M: usize, const R: usize, const A: usize> {
    pub panel: Panel<M, R, A>,
    pub channels: Range<usize>,
    pub w: *const f32,
    /// The weights are those of the convolution whose input's gradient this one computes: read with
    /// the two kinds of channels exchanged and the taps in reverse.
    pub flipped: bool,
}

impl<const M: usize, const R: usize, const A: usize> Kernel<f32> for Pack<M, R, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        let Panel { inputs, outputs, output, u, u_step, space } = self.panel;
        let width = 2 * V::LANES;
        let panel = (outputs - output).min(width);
        let taps = R * R;
        let mut first = self.channels.start;
        while first < self.channels.end {
            let n = (self.channels.end - first).min(GROUP);
            if self.flipped {
                for c in 0..n {
                    let from = self.w.add(((first + c) * outputs + output) * taps);
                    turn::<V>(from, taps, panel, taps, space.add(c * taps * width), width);
                }
            } else {
                let from = self.w.add((output * inputs + first) * taps);
                turn::<V>(from, inputs * taps, panel, n * taps, space, width);
            }
            let next = first + GROUP;
            for (c, half) in (0..n).flat_map(|c| [(c, 0), (c, 1)]) {
                // A share of what the next group reads.
                let line = c * 2 + half;
                if self.flipped {
                    let row = self.w.wrapping_add(((next + c) * outputs + output) * taps);
                    ask::<V, false>(row.wrapping_add(half * V::LANES * taps), V::LANES * taps);
                } else if line < panel {
                    ask::<V, false>(
                        self.w.wrapping_add(((output + line) * inputs + next) * taps),
                        GROUP * taps,
                    );
                }
                let from = space.add(c * taps * width + half * V::LANES);
                let mut rows = [[V::splat(0.0); A]; R];
                for y in 0..R {
                    let mut g = [V::splat(0.0); R];
                    for x in 0..R {
                        let tap = if self.flipped { taps - 1 - (y * R + x) } else { y * R + x };
                        g[x] = V::load(from.add(tap * width));
                    }
                    rows[y] = Scheme::<M, R, A>::values(g, true);
                }
                let to = u.add((first + c - self.channels.start) * width + half * V::LANES);
                for x in 0..A {
                    let mut column = [V::splat(0.0); R];
                    for y in 0..R {
                        column[y] = rows[y][x];
                    }
                    let column = Scheme::<M, R, A>::values(column, true);
                    for y in 0..A {
                        column[y].store(to.add((y * A + x) * u_step));
                    }
                }
            }
            first += n;
        }
    }
}

/// Transforms the sums of products of some input channels to the weight's gradient, `G' u G`.
pub(super) struct Unpack<const M: usize, const R: usize, const A: usize> {
    pub panel: Panel<M, R, A>,
    pub channels: Range<usize>,
    pub dw: *mut f32,
}

impl<const M: usize, const R: usize, const A: usize> Kernel<f32> for Unpack<M, R, A> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector<Elem = f32>>(self) {
        let Panel { inputs, outputs, output, u, u_step, space } = self.panel;
        let width = 2 * V::LANES;
        let panel = (outputs - output).min(width);
        let taps = R * R;
        let mut first = self.channels.start;
        while first < self.channels.end {
            let n = (self.channels.end - first).min(GROUP);
            for (c, half) in (0..n).flat_map(|c| [(c, 0), (c, 1)]) {
                // A share of what this group writes.
                let line = c * 2 + half;
                if line < panel {
                    ask::<V, true>(self.dw.wrapping_add(((output + line) * inputs + first) * taps), n * taps);
                }
                let from = u.add((first + c - self.channels.start) * width + half * V::LANES);
                let mut rows = [[V::splat(0.0); R]; A];
                for y in 0..A {
                    let mut u = [V::splat(0.0); A];
                    for x in 0..A {
                        u[x] = V::load(from.add((y * A + x) * u_step));
                    }
                    rows[y] = Scheme::<M, R, A>::sums(u, true);
                }
                let to = space.add(c * taps * width + half * V::LANES);
                for x in 0..R {
                    let mut column = [V::splat(0.0); A];
                    for y in 0..A {
                        column[y] = rows[y][x];
                    }
                    let taps: [V; R] = Scheme::<M, R, A>::sums(column, true);
                    for y in 0..R {
                        taps[y].store(to.add((y * R + x) * width));
                    }
                }
            }
            let to = self.dw.add((output * inputs + first) * taps);
            turn::<V>(space, width, n * taps, panel, to, inputs * taps);
            first += n;
        }
    }
}

/// Asks for the lines of some floats.
#[inline(always)]
unsafe fn ask<V: Vector<Elem = f32>, const WRITE: bool>(from: *const f32, floats: usize) {
    for at in (0..floats).step_by(16) {
        V::prefetch::<WRITE>(from.wrapping_add(at));
    }
}

/// Writes the transpose of a matrix, both with rows so many elements apart.
#[inline(always)]
unsafe fn turn<V: Vector<Elem = f32>>(
    from: *const f32,
    from_step: usize,
    rows: usize,
    columns: usize,
    to: *mut f32,
    to_step: usize,
) {
    for row in (0..rows).step_by(V::LANES) {
        let mut column = 0;
        if row + V::LANES <= rows {
            while column + 4 <= columns {
                let lines = V::columns(from.add(row * from_step + column), from_step);
                for j in 0..4 {
                    lines[j].store(to.add((column + j) * to_step + row));
                }
                column += 4;
            }
        }
        for (i, j) in (row..rows.min(row + V::LANES)).flat_map(|i| (column..columns).map(move |j| (i, j))) {
            *to.add(j * to_step + i) = *from.add(i * from_step + j);
        }
    }
}
