//! C = alpha * A B + beta * C: the blocking and what runs in parallel.
//!
//! Every element of C is summed in the same order, whatever the blocks, the tiles and the threads:
//! within a block of KC positions one after the other, then block after block.

use super::GemmElement;
use super::micro::{self, Epilogue, Kernel, Tile};
use super::pack::{Operand, PackedB, Strided, pack_b};
use crate::memory::{self, Block};
use crate::parallel::{SendPtr, for_each, num_threads};
use std::mem::MaybeUninit;
use std::ops::Range;

/// Positions of K in a block: a panel of B (32 KiB) stays in the first cache, and no sum grows
/// longer than this before it is added to C.
pub(super) const KC: usize = 256;
/// Rows of A in a block, packed: 252 KiB of the second cache.
const MC: usize = 252;
/// Columns and bytes of B packed at once.
const NC: usize = 4096;
const B_BYTES: usize = 4 << 20;
/// Multiplications below which one thread is faster.
const PARALLEL: f64 = 1e6;
/// Multiplications below which packing all of B does not pay.
const SMALL: f64 = 64.0 * 64.0 * 64.0;
/// Columns of a matrix-vector product computed at once, on the stack.
const CHUNK: usize = 256;

/// The kernels of this machine's level.
pub fn kernel_of<T: GemmElement>() -> &'static Kernel<T> {
    T::kernel(crate::simd::level())
}

/// C and what to do with it.
#[derive(Clone, Copy)]
pub struct Output<T> {
    pub alpha: T,
    /// Zero: C is written without being read.
    pub beta: T,
    pub ptr: *mut T,
    pub rs: isize,
    pub cs: isize,
    pub epilogue: Epilogue<T>,
}

// SAFETY: tasks write disjoint parts; whoever calls a GEMM keeps the memory alive.
unsafe impl<T> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Output<T> {}

/// `C = alpha * A B + beta * C` for any strides; with `beta` zero C is not read. Large products run
/// in parallel. Never fails: without memory for workspaces it is only slower.
///
/// # Safety
/// A (m x k), B (k x n) and C (m x n) are valid at their strides; C overlaps neither A nor B, nor itself.
pub unsafe fn gemm<T: GemmElement>(
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    a: *const T,
    rsa: isize,
    csa: isize,
    b: *const T,
    rsb: isize,
    csb: isize,
    beta: T,
    c: *mut T,
    rsc: isize,
    csc: isize,
) {
    let a = Strided { ptr: a, line: rsa, k: csa };
    let b = Strided { ptr: b, line: csb, k: rsb };
    let out = Output { alpha, beta, ptr: c, rs: rsc, cs: csc, epilogue: Epilogue::NONE };
    gemm_operands(m, n, k, &a, &b, out)
}

/// [`gemm`] with operands that pack themselves, and an epilogue.
///
/// # Safety
/// As for [`gemm`]; the operands hold `m` and `n` lines by `k`, the epilogue's biases `n` and `m` values.
pub unsafe fn gemm_operands<T: GemmElement>(
    m: usize,
    n: usize,
    k: usize,
    a: &dyn Operand<T>,
    b: &dyn Operand<T>,
    out: Output<T>,
) {
    gemm_on(kernel_of::<T>(), m, n, k, a, b, out)
}

/// [`gemm_operands`] with B packed beforehand.
///
/// # Safety
/// As for [`gemm_operands`], with `m` lines by `b.k()` in `a`.
pub unsafe fn gemm_prepacked<T: GemmElement>(m: usize, a: &dyn Operand<T>, b: &PackedB<T>, out: Output<T>) {
    let (n, k) = (b.n(), b.k());
    let kernel = kernel_of::<T>();
    let call = Call { kernel, m, n, k, a, out };
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        return call.without_product();
    }
    call.tiles(0..n, 0..k, b.ptr());
}

/// [`gemm_operands`] with the kernels of a given level.
pub(super) unsafe fn gemm_on<T: GemmElement>(
    kernel: &Kernel<T>,
    m: usize,
    n: usize,
    k: usize,
    a: &dyn Operand<T>,
    b: &dyn Operand<T>,
    mut out: Output<T>,
) {
    if m == 0 || n == 0 {
        return;
    }
    // Tiles have adjacent columns; a single row or column has any stride one likes.
    if (out.cs != 1 && out.rs == 1 && m > 1) || (n == 1 && m > 1) {
        (out.rs, out.cs) = (out.cs, out.rs);
        out.epilogue = out.epilogue.transposed();
        return gemm_on(kernel, n, m, k, b, a, out);
    }
    let call = Call { kernel, m, n, k, a, out };
    if k == 0 {
        return call.without_product();
    }
    if m == 1 {
        if let (Some(x), Some(b)) = (a.strided(), b.strided()) {
            if call.vector(x, b) {
                return;
            }
        }
    }
    let work = m as f64 * n as f64 * k as f64;
    if work <= SMALL {
        return call.panelwise(b);
    }
    let nr = kernel.nr;
    let nc = n.min(NC);
    let ks = (B_BYTES / (nc.next_multiple_of(nr) * KC * size_of::<T>())).max(1) * KC;
    let bytes = nc.next_multiple_of(nr) * ks.min(k) * size_of::<T>();
    let Ok(space) = memory::allocate("matmul", bytes) else {
        return call.panelwise(b);
    };
    for j0 in (0..n).step_by(nc) {
        let cols = j0..(j0 + nc).min(n);
        for p0 in (0..k).step_by(ks) {
            let positions = p0..(p0 + ks).min(k);
            pack_b(b, nr, cols.clone(), positions.clone(), space.as_ptr().cast());
            call.tiles(cols.clone(), positions, space.as_ptr().cast());
        }
    }
}

/// Room on the stack for one panel of B or one strip of A.
#[repr(align(64))]
struct Panel(MaybeUninit<[u64; KC * 16]>);

/// One product: all but B, which comes packed or not.
struct Call<'a, T: 'static> {
    kernel: &'a Kernel<T>,
    m: usize,
    n: usize,
    k: usize,
    a: &'a dyn Operand<T>,
    out: Output<T>,
}

impl<T: GemmElement> Call<'_, T> {
    /// One tile of C: rows from `i` on, columns from `j` on, one block of K.
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
        (t.c, t.ldc) = (local.as_mut_ptr(), nr as isize);
        if t.beta != T::ZERO {
            for i in 0..t.m {
                for j in 0..t.n {
                    local[i * nr + j] = *element(i, j);
                }
            }
            t.c = local.as_mut_ptr();
        }
        (self.kernel.tile)(&t);
        for i in 0..t.m {
            for j in 0..t.n {
                *element(i, j) = local[i * nr + j];
            }
        }
    }

    /// K is empty: C is only scaled.
    unsafe fn without_product(&self) {
        let mut row = [T::ZERO; CHUNK];
        for i in 0..self.m {
            for j in (0..self.n).step_by(CHUNK) {
                self.merge(&mut row, [T::ZERO; CHUNK].as_ptr(), i, j..(j + CHUNK).min(self.n));
            }
        }
    }

    /// Merges a computed run of row `i` into C.
    unsafe fn merge(&self, local: &mut [T; CHUNK], acc: *const T, i: usize, cols: Range<usize>) {
        let o = &self.out;
        let element = |j: usize| o.ptr.wrapping_offset(i as isize * o.rs + (cols.start + j) as isize * o.cs);
        let n = cols.len();
        if o.beta != T::ZERO {
            for j in 0..n {
                local[j] = *element(j);
            }
        }
        let t = Tile {
            kc: 0,
            a: std::ptr::null(),
            rsa: 0,
            csa: 0,
            b: std::ptr::null(),
            ldb: 0,
            c: local.as_mut_ptr(),
            ldc: 0,
            m: 1,
            n,
            alpha: o.alpha,
            beta: o.beta,
            epilogue: o.epilogue.at(i, cols.start),
        };
        micro::finish(&t, acc, n);
        for j in 0..n {
            *element(j) = local[j];
        }
    }

    /// A single row of A: no panels, B is read once where it lies. False if its strides fit neither way.
    unsafe fn vector(&self, x: Strided<T>, b: Strided<T>) -> bool {
        let by_rows = b.line == 1;
        if !by_rows && b.k != 1 {
            return false;
        }
        let mut copied: Option<Block> = None;
        let mut xs = x.ptr;
        if x.k != 1 && self.k > 1 {
            let Ok(block) = memory::allocate("matmul", self.k * size_of::<T>()) else { return false };
            let to = block.as_ptr().cast::<T>();
            for p in 0..self.k {
                *to.add(p) = *x.at(0, p);
            }
            xs = to;
            copied = Some(block);
        }
        let xs = SendPtr(xs.cast_mut());
        // The pieces' width is a whole number of vectors, so that cutting changes no sum.
        let one = |chunk: usize| {
            let cols = chunk * CHUNK..((chunk + 1) * CHUNK).min(self.n);
            let (mut acc, mut local) = ([T::ZERO; CHUNK], [T::ZERO; CHUNK]);
            let from = b.at(cols.start, 0);
            // SAFETY: the columns lie within B and C, and each task has its own.
            unsafe {
                if by_rows {
                    (self.kernel.row_times_rows)(self.k, cols.len(), xs.get(), from, b.k, acc.as_mut_ptr());
                } else {
                    (self.kernel.row_times_cols)(
                        self.k,
                        cols.len(),
                        xs.get(),
                        from,
                        b.line,
                        acc.as_mut_ptr(),
                    );
                }
                self.merge(&mut local, acc.as_ptr(), 0, cols);
            }
        };
        let chunks = self.n.div_ceil(CHUNK);
        if self.n as f64 * self.k as f64 >= PARALLEL / 8.0 {
            for_each(chunks, one);
        } else {
            (0..chunks).for_each(one);
        }
        drop(copied);
        true
    }

    /// Heights of the strips that `rows` rows fall into: all but the last equal.
    fn strip(&self, rows: usize) -> usize {
        rows.div_ceil(rows.div_ceil(self.kernel.mr))
    }

    /// One thread, no workspace but the stack: for small products, and for want of memory.
    unsafe fn panelwise(&self, b: &dyn Operand<T>) {
        let (nr, height) = (self.kernel.nr, self.strip(self.m));
        let (mut panel, mut strip) = (Panel(MaybeUninit::uninit()), Panel(MaybeUninit::uninit()));
        let (panel, strip) = (panel.0.as_mut_ptr().cast::<T>(), strip.0.as_mut_ptr().cast::<T>());
        let a = self.a.strided();
        let in_place = b.strided().filter(|b| b.line == 1);
        for p0 in (0..self.k).step_by(KC) {
            let ks = p0..(p0 + KC).min(self.k);
            for j0 in (0..self.n).step_by(nr) {
                let cols = j0..(j0 + nr).min(self.n);
                let b = match in_place {
                    Some(b) if self.kernel.masked || cols.len() == nr => (b.at(j0, p0), b.k),
                    _ => {
                        b.pack(cols.clone(), ks.clone(), nr, panel);
                        (panel.cast_const(), nr as isize)
                    }
                };
                for i0 in (0..self.m).step_by(height) {
                    let rows = i0..(i0 + height).min(self.m);
                    let a = match a {
                        Some(a) => (a.at(i0, p0), a.line, a.k),
                        None => {
                            self.a.pack(rows.clone(), ks.clone(), rows.len(), strip);
                            (strip.cast_const(), 1, rows.len() as isize)
                        }
                    };
                    self.tile(a, b, rows, cols.clone(), &ks);
                }
            }
        }
    }

    /// All rows of some columns and positions, with that part of B packed.
    unsafe fn tiles(&self, cols: Range<usize>, ks: Range<usize>, b: *const T) {
        let nr = self.kernel.nr;
        let panels = cols.len().div_ceil(nr);
        let work = self.m as f64 * cols.len() as f64 * ks.len() as f64;
        // Blocks of rows, then ranges of panels where these are too few to keep all threads busy.
        // How C is cut has no influence on its elements.
        let wanted = if work < PARALLEL { 1 } else { 3 * num_threads() };
        let height = self.strip(self.m);
        let strips = self.m.div_ceil(height);
        let strips_each = strips.min((MC / height).max(1));
        let row_blocks = strips.div_ceil(strips_each);
        let panels_each = panels.div_ceil(wanted.div_ceil(row_blocks).min(panels));
        let col_blocks = panels.div_ceil(panels_each);
        let b = SendPtr(b.cast_mut());
        let one = |task: usize| {
            let (rb, cb) = (task / col_blocks, task % col_blocks);
            let rows = rb * strips_each * height..((rb + 1) * strips_each * height).min(self.m);
            let range = cb * panels_each..((cb + 1) * panels_each).min(panels);
            // SAFETY: the ranges lie within the operands; each task writes its own part of C.
            unsafe { self.block(rows, height, range, &cols, &ks, b.get()) }
        };
        let tasks = row_blocks * col_blocks;
        if wanted == 1 { (0..tasks).for_each(one) } else { for_each(tasks, one) }
    }

    /// A block of rows against some panels of B.
    unsafe fn block(
        &self,
        rows: Range<usize>,
        height: usize,
        panels: Range<usize>,
        cols: &Range<usize>,
        ks: &Range<usize>,
        b: *const T,
    ) {
        let nr = self.kernel.nr;
        let padded = cols.len().next_multiple_of(nr);
        // Few columns do not pay for packing A.
        let in_place = self.a.strided().filter(|_| panels.len() * nr <= 256);
        let space = match in_place {
            Some(_) => None,
            None => memory::allocate("matmul", rows.len() * KC.min(ks.len()) * size_of::<T>()).ok(),
        };
        let mut strip = Panel(MaybeUninit::uninit());
        for p0 in (0..ks.len()).step_by(KC) {
            let kc = KC.min(ks.len() - p0);
            let now = ks.start + p0..ks.start + p0 + kc;
            if let Some(space) = &space {
                let to = space.as_ptr().cast::<T>();
                for i in (0..rows.len()).step_by(height) {
                    let h = height.min(rows.len() - i);
                    self.a.pack(rows.start + i..rows.start + i + h, now.clone(), h, to.add(i * kc));
                }
            }
            for panel in panels.clone() {
                let c = cols.start + panel * nr..(cols.start + (panel + 1) * nr).min(cols.end);
                let b = b.add(p0 * padded + panel * nr * kc);
                for i in (0..rows.len()).step_by(height) {
                    let h = height.min(rows.len() - i);
                    let at = rows.start + i..rows.start + i + h;
                    let a = match (&space, self.a.strided()) {
                        (Some(space), _) => {
                            (space.as_ptr().cast::<T>().add(i * kc).cast_const(), 1, h as isize)
                        }
                        (None, Some(a)) => (a.at(at.start, now.start), a.line, a.k),
                        (None, None) => {
                            let to = strip.0.as_mut_ptr().cast::<T>();
                            self.a.pack(at.clone(), now.clone(), h, to);
                            (to.cast_const(), 1, h as isize)
                        }
                    };
                    self.tile(a, (b, nr as isize), at, c.clone(), &now);
                }
            }
        }
    }
}
