//! Products of a few rows with a matrix, which is read once where it lies.

use super::GemmElement;
use super::blocks::Call;
use super::micro::{self, Tile};
use super::micro_vectors::{CHUNK, Dots};
use super::pack::Strided;
use crate::memory::{self, Block};
use crate::multiversion;
use crate::parallel::{GRAIN, SendPtr, for_each};
use std::ops::Range;

/// Rows up to which dot products beat packing B.
pub(crate) const ROWS: usize = 4;
/// Multiplications from which on several threads share the columns.
const PARALLEL: f64 = 2e5;
/// Positions that a task takes of long dot products that are too few to share the columns.
const STRETCH: usize = 1 << 13;

multiversion! {
    fn scaled_row<T: GemmElement>(row: &mut [T], b: &[T], by: T, beta: T) {
        let b = &b[..row.len()];
        if beta == T::ZERO {
            for j in 0..row.len() {
                row[j] = by * b[j];
            }
        } else {
            for j in 0..row.len() {
                row[j] = beta * row[j] + by * b[j];
            }
        }
    }
}

impl<T: GemmElement> Call<'_, T> {
    /// A few rows of A by B with its columns adjacent along K, or one row by B with its rows
    /// adjacent. False, with nothing done, for anything else.
    pub unsafe fn vectors(&self, x: Strided<T>, b: Strided<T>) -> bool {
        // Short sums pay for no horizontal additions.
        let by_dots = self.m <= ROWS && b.k == 1 && self.k >= 16;
        let by_rows = self.m == 1 && b.line == 1 && !(by_dots && self.n == 1);
        if !by_rows && !by_dots {
            return false;
        }
        let mut copied: Option<Block> = None;
        let (mut xs, mut ldx) = (x.ptr, x.line);
        if x.k != 1 && self.k > 1 {
            let Ok(block) = memory::allocate("matmul", self.m * self.k * size_of::<T>()) else {
                return false;
            };
            let to = block.as_ptr().cast::<T>();
            for i in 0..self.m {
                for p in 0..self.k {
                    *to.add(i * self.k + p) = *x.at(i, p);
                }
            }
            (xs, ldx) = (to, self.k as isize);
            copied = Some(block);
        }
        let xs = SendPtr(xs.cast_mut());
        // CHUNK is a whole number of vectors: where the columns are cut changes no sum.
        let one = |chunk: usize| {
            let cols = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.n);
            let n = cols.len();
            let mut acc = [T::ZERO; ROWS * CHUNK];
            let y = acc.as_mut_ptr();
            let from = b.at(cols.start, 0);
            // SAFETY: the columns lie within B and C, and each task has its own.
            unsafe {
                if by_rows {
                    (self.kernel.row_times_rows)(self.k, n, xs.get(), from, b.k, y);
                } else {
                    let (m, k) = (self.m, self.k);
                    (self.kernel.dots)(&Dots {
                        m,
                        n,
                        k,
                        x: xs.get(),
                        ldx,
                        b: from,
                        ldb: b.line,
                        y,
                        ldy: CHUNK,
                    });
                }
                for i in 0..self.m {
                    self.merge(acc.as_ptr().add(i * CHUNK), i, cols.clone());
                }
            }
        };
        let chunks = self.n.div_ceil(CHUNK);
        if !by_rows && chunks == 1 && self.k >= 8 * STRETCH {
            self.long_dots(xs, ldx, b);
        } else if self.m as f64 * self.n as f64 * self.k as f64 >= PARALLEL {
            for_each(chunks, one);
        } else {
            (0..chunks).for_each(one);
        }
        drop(copied);
        true
    }

    /// A few long dot products, in stretches that are added one after the other.
    unsafe fn long_dots(&self, x: SendPtr<T>, ldx: isize, b: Strided<T>) {
        let (m, n) = (self.m, self.n);
        let stretches = self.k.div_ceil(STRETCH);
        let mut sums = vec![T::ZERO; stretches * m * n];
        let to = SendPtr(sums.as_mut_ptr());
        for_each(stretches, |i| {
            let k = i * STRETCH..((i + 1) * STRETCH).min(self.k);
            // SAFETY: the stretch lies within the operands, and each task has its own sums.
            unsafe {
                let (x, y) = (x.get().add(k.start), to.get().add(i * m * n));
                let b_at = b.at(0, k.start);
                (self.kernel.dots)(&Dots { m, n, k: k.len(), x, ldx, b: b_at, ldb: b.line, y, ldy: n });
            }
        });
        let (all, later) = sums.split_at_mut(m * n);
        for sum in later.chunks(m * n) {
            all.iter_mut().zip(sum).for_each(|(a, &s)| *a += s);
        }
        for i in 0..m {
            self.merge(all.as_ptr().add(i * n), i, 0..n);
        }
    }

    /// A column by a row: nothing is summed. False, with nothing done, for anything else.
    pub unsafe fn outer(&self, a: Strided<T>, b: Strided<T>) -> bool {
        let o = &self.out;
        if self.k != 1 || b.line != 1 || o.cs != 1 {
            return false;
        }
        let each = (GRAIN / self.n).max(1);
        let to = SendPtr(o.ptr);
        let (a, b) = ((SendPtr(a.ptr.cast_mut()), a.line), SendPtr(b.ptr.cast_mut()));
        let (rs, n, alpha, beta) = (o.rs, self.n, o.alpha, o.beta);
        for_each(self.m.div_ceil(each), |task| {
            for i in task * each..((task + 1) * each).min(self.m) {
                // SAFETY: the row lies within C and belongs to this task; B is one row of `n`.
                unsafe {
                    let row = to.get().offset(i as isize * rs);
                    let by = alpha * *a.0.get().offset(i as isize * a.1);
                    let b = std::slice::from_raw_parts(b.get(), n);
                    scaled_row(std::slice::from_raw_parts_mut(row, n), b, by, beta);
                    micro::apply(&self.out.epilogue.at(i, 0), 0, row, n);
                }
            }
        });
        true
    }

    /// K is empty: C is only scaled, and the epilogue applied.
    pub unsafe fn without_product(&self) {
        let zeros = [T::ZERO; CHUNK];
        for i in 0..self.m {
            for j in (0..self.n).step_by(CHUNK) {
                self.merge(zeros.as_ptr(), i, j..(j + CHUNK).min(self.n));
            }
        }
    }

    /// Merges a computed run of row `i` (at most CHUNK columns) into C.
    unsafe fn merge(&self, acc: *const T, i: usize, cols: Range<usize>) {
        let o = &self.out;
        let n = cols.len();
        let start = o.ptr.wrapping_offset(i as isize * o.rs + cols.start as isize * o.cs);
        let mut local = [T::ZERO; CHUNK];
        let adjacent = o.cs == 1;
        if !adjacent && o.beta != T::ZERO {
            for j in 0..n {
                local[j] = *start.wrapping_offset(j as isize * o.cs);
            }
        }
        let t = Tile {
            kc: 0,
            a: std::ptr::null(),
            rsa: 0,
            csa: 0,
            b: std::ptr::null(),
            ldb: 0,
            c: if adjacent { start } else { local.as_mut_ptr() },
            ldc: 0,
            m: 1,
            n,
            alpha: o.alpha,
            beta: o.beta,
            epilogue: o.epilogue.at(i, cols.start),
        };
        micro::finish(&t, acc, n);
        if !adjacent {
            for j in 0..n {
                *start.wrapping_offset(j as isize * o.cs) = local[j];
            }
        }
    }
}
