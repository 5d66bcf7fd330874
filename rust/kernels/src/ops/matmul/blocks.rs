//! One product cut into tasks and tiles.

use super::GemmElement;
use super::gemm::{KC, Output};
use super::micro::{self, Epilogue, Kernel, Tile};
use super::pack::{Operand, Strided};
use crate::memory;
use crate::parallel::{for_each, num_threads};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Rows of A in a block: 252 KiB of the second cache when packed.
const MC: usize = 252;
/// Multiplications below which one thread is faster (about 10 us).
const PARALLEL: f64 = 1e6;
/// Columns from which on packing A pays, and strips up to which B is read in place if it can be.
const PACK_A_FROM: usize = 256;
const B_IN_PLACE: usize = 2;
/// Elements of C up to which nothing is packed.
const SMALL: usize = 32 * 64;
/// Bytes of packed B that do not stay in the second cache: panels are prefetched.
const FAR: usize = 2 << 20;

/// Where B comes from: packed for the columns and positions at hand, or not yet.
#[derive(Clone, Copy)]
pub(super) enum From<'a, T> {
    Packed(*const T),
    Operand(&'a dyn Operand<T>),
}

// SAFETY: the packed panels are only read.
unsafe impl<T> Sync for From<'_, T> {}

/// Room on the stack for one panel of B or one strip of A.
#[repr(align(64))]
pub(super) struct Panel(MaybeUninit<[u64; KC * 16]>);

/// One product, without B.
pub(super) struct Call<'a, T: 'static> {
    pub kernel: &'a Kernel<T>,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: &'a dyn Operand<T>,
    pub out: Output<T>,
    /// Rows of a strip: all strips but the last have as many.
    height: usize,
    /// Strips of a block of rows.
    strips: usize,
}

impl<'a, T: GemmElement> Call<'a, T> {
    /// `m` is not zero.
    pub fn new(
        kernel: &'a Kernel<T>,
        m: usize,
        n: usize,
        k: usize,
        a: &'a dyn Operand<T>,
        out: Output<T>,
    ) -> Call<'a, T> {
        // Even heights: eight and eight rows are faster than fourteen and two.
        let height = kernel.height(m);
        let all = m.div_ceil(height);
        let strips = all.div_ceil(all.div_ceil(MC / height));
        Call { kernel, m, n, k, a, out, height, strips }
    }

    pub fn row_blocks(&self) -> usize {
        self.m.div_ceil(self.height * self.strips)
    }

    /// A small product straight from where A and B lie, without any workspace. False, with nothing
    /// done, for others.
    pub unsafe fn in_place(&self, a: Strided<T>, b: Strided<T>) -> bool {
        let nr = self.kernel.nr;
        let fits = b.line == 1 && (self.kernel.masked || self.n.is_multiple_of(nr)) && self.k <= KC;
        if !fits || self.m.saturating_mul(self.n) > SMALL {
            return false;
        }
        for j in (0..self.n).step_by(nr) {
            for i in (0..self.m).step_by(self.height) {
                let (rows, cols) = (i..(i + self.height).min(self.m), j..(j + nr).min(self.n));
                self.tile((a.at(i, 0), a.line, a.k), (b.at(j, 0), b.k), rows, cols, &(0..self.k));
            }
        }
        true
    }

    /// All rows of some columns and positions.
    pub unsafe fn tiles(&self, cols: Range<usize>, ks: Range<usize>, b: From<'_, T>) {
        let panels = cols.len().div_ceil(self.kernel.nr);
        let row_blocks = self.row_blocks();
        let work = self.m as f64 * cols.len() as f64 * ks.len() as f64;
        if work < PARALLEL {
            for block in 0..row_blocks {
                self.block(block, 0..panels, &cols, &ks, b);
            }
            return;
        }
        let panels_each = self.panels_each(panels, work);
        let col_blocks = panels.div_ceil(panels_each);
        for_each(row_blocks * col_blocks, |task| {
            // Neighbours, which mostly meet one thread, share panels of B; the last block of rows is small.
            let (block, first) = (task % row_blocks, task / row_blocks * panels_each);
            // SAFETY: the ranges lie within the operands; each task writes its own part of C.
            unsafe { self.block(block, first..(first + panels_each).min(panels), &cols, &ks, b) }
        });
    }

    /// How many panels a task takes: besides blocks of rows there are ranges of panels where those are too
    /// few to keep all threads busy, or would leave some with less to do than others. How C is cut has no
    /// influence on its elements.
    fn panels_each(&self, panels: usize, work: f64) -> usize {
        let (rows, threads) = (self.row_blocks(), num_threads());
        let wanted = (3 * threads).min((2.0 * work / PARALLEL) as usize);
        let least = wanted.div_ceil(rows).min(panels);
        // What the busiest thread does, in panels; a task packs its rows anew.
        let longest = |ranges: &usize| {
            let each = panels.div_ceil(*ranges);
            (rows * panels.div_ceil(each)).div_ceil(threads) * (2 * each + 1)
        };
        let ranges = (least..=(2 * least).min(panels)).min_by_key(longest).unwrap_or(least);
        panels.div_ceil(ranges)
    }

    /// A block of rows against some panels of B.
    unsafe fn block(
        &self,
        block: usize,
        panels: Range<usize>,
        cols: &Range<usize>,
        ks: &Range<usize>,
        b: From<'_, T>,
    ) {
        let (nr, height) = (self.kernel.nr, self.height);
        let first = block * self.strips * height;
        let rows = first..(first + self.strips * height).min(self.m);
        let padded = cols.len().next_multiple_of(nr);
        // Few columns do not pay for packing A, unless its rows fall on the same lines of the cache.
        let strided = self.a.strided();
        let crowded =
            |a: &Strided<T>| a.k == 1 && (a.line.unsigned_abs() * size_of::<T>()).is_multiple_of(2048);
        let in_place = strided.filter(|a| {
            let width = panels.len() * nr;
            width <= 2 * nr || (width <= PACK_A_FROM && !(crowded(a) && rows.len() > 4))
        });
        let space = match in_place {
            Some(_) => None,
            None => memory::allocate("matmul", rows.len() * KC.min(ks.len()) * size_of::<T>()).ok(),
        };
        let space = space.as_ref().map(|s| s.as_ptr().cast::<T>());
        let (mut strip, mut panel) = (Panel(MaybeUninit::uninit()), Panel(MaybeUninit::uninit()));
        let (strip, panel) = (strip.0.as_mut_ptr().cast::<T>(), panel.0.as_mut_ptr().cast::<T>());
        // Few rows read B too seldom to pay for packing it.
        let b_in_place = match b {
            From::Operand(b) if rows.len() <= B_IN_PLACE * self.kernel.mr => {
                b.strided().filter(|b| b.line == 1)
            }
            _ => None,
        };
        let far = matches!(b, From::Packed(_)) && padded * ks.len() * size_of::<T>() >= FAR;
        for p0 in (0..ks.len()).step_by(KC) {
            let kc = KC.min(ks.len() - p0);
            let now = ks.start + p0..ks.start + p0 + kc;
            if let Some(to) = space {
                for i in (0..rows.len()).step_by(height) {
                    let h = height.min(rows.len() - i);
                    self.a.pack(rows.start + i..rows.start + i + h, now.clone(), h, to.add(i * kc));
                }
            }
            for j in panels.clone() {
                let c = cols.start + j * nr..(cols.start + (j + 1) * nr).min(cols.end);
                let b = match (b, b_in_place) {
                    (From::Packed(b), _) => (b.add(p0 * padded + j * nr * kc), nr as isize),
                    (_, Some(b)) if self.kernel.masked || c.len() == nr => (b.at(c.start, now.start), b.k),
                    (From::Operand(b), _) => {
                        b.pack(c.clone(), now.clone(), nr, panel);
                        (panel.cast_const(), nr as isize)
                    }
                };
                for i in (0..rows.len()).step_by(height) {
                    let h = height.min(rows.len() - i);
                    let at = rows.start + i..rows.start + i + h;
                    if far {
                        // The next panel follows this one; each strip brings its share of it nearer.
                        let next = b.0.wrapping_add(nr * kc);
                        for p in kc * i / rows.len()..kc * (i + h) / rows.len() {
                            micro::prefetch(next.wrapping_add(p * nr));
                            micro::prefetch(next.wrapping_add(p * nr + nr / 2));
                        }
                    }
                    let a = match (space, strided) {
                        (Some(space), _) => (space.add(i * kc).cast_const(), 1, h as isize),
                        (None, Some(a)) => (a.at(at.start, now.start), a.line, a.k),
                        (None, None) => {
                            self.a.pack(at.clone(), now.clone(), h, strip);
                            (strip.cast_const(), 1, h as isize)
                        }
                    };
                    self.tile(a, b, at, c.clone(), &now);
                }
            }
        }
    }

    /// One tile of C over one block of K; A as (first element, row stride, column stride), B as
    /// (first element, row stride).
    unsafe fn tile(
        &self,
        a: (*const T, isize, isize),
        b: (*const T, isize),
        rows: Range<usize>,
        cols: Range<usize>,
        ks: &Range<usize>,
    ) {
        let o = &self.out;
        let c = o.ptr.wrapping_offset(rows.start as isize * o.rs + cols.start as isize * o.cs);
        let mut t = Tile {
            kc: ks.len(),
            a: a.0,
            rsa: a.1,
            csa: a.2,
            b: b.0,
            ldb: b.1,
            c,
            ldc: o.rs,
            m: rows.len(),
            n: cols.len(),
            alpha: o.alpha,
            beta: if ks.start == 0 { o.beta } else { T::ONE },
            epilogue: if ks.end == self.k { o.epilogue.at(rows.start, cols.start) } else { Epilogue::NONE },
        };
        if o.cs == 1 || t.n == 1 {
            return (self.kernel.tile)(&t);
        }
        // Columns apart in memory: by way of a tile on the stack.
        let mut local = [T::ZERO; 14 * 32];
        let nr = self.kernel.nr;
        let element = |i: usize, j: usize| c.wrapping_offset(i as isize * o.rs + j as isize * o.cs);
        if t.beta != T::ZERO {
            for i in 0..t.m {
                for j in 0..t.n {
                    local[i * nr + j] = *element(i, j);
                }
            }
        }
        (t.c, t.ldc) = (local.as_mut_ptr(), nr as isize);
        (self.kernel.tile)(&t);
        for i in 0..t.m {
            for j in 0..t.n {
                *element(i, j) = local[i * nr + j];
            }
        }
    }
}
