//! Operands of a GEMM: how a panel of one gets into the order that micro-kernels read.

use super::GemmElement;
use super::gemm::{KC, kernel_of};
use crate::error::Result;
use crate::memory::{self, Block};
use crate::parallel::{SendPtr, for_each};
use std::ops::Range;
use std::sync::Arc;

/// An operand as the core sees it: lines (rows of A or columns of B) by K. Convolution implements
/// it to gather patches, so that no matrix of patches ever exists.
pub trait Operand<T>: Sync {
    /// Writes a panel: line `lines.start + l` at position `ks.start + p` goes to
    /// `out[p * width + l]`; the lines missing up to `width` become zeros.
    ///
    /// # Safety
    /// `out` is valid for `ks.len() * width` writes, the ranges lie within the operand, and
    /// `lines.len() <= width`.
    unsafe fn pack(&self, lines: Range<usize>, ks: Range<usize>, width: usize, out: *mut T);

    /// Where the elements lie if they lie at fixed strides.
    fn strided(&self) -> Option<Strided<T>> {
        None
    }
}

/// A matrix in memory: line `l`, position `p` at `l * line + p * k`.
#[derive(Clone, Copy, Debug)]
pub struct Strided<T> {
    pub ptr: *const T,
    pub line: isize,
    pub k: isize,
}

// SAFETY: only read; whoever calls a GEMM keeps the memory alive.
unsafe impl<T> Send for Strided<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Strided<T> {}

impl<T> Strided<T> {
    #[inline]
    pub(super) fn at(&self, line: usize, p: usize) -> *const T {
        self.ptr.wrapping_offset(line as isize * self.line + p as isize * self.k)
    }
}

impl<T: GemmElement> Operand<T> for Strided<T> {
    unsafe fn pack(&self, lines: Range<usize>, ks: Range<usize>, width: usize, out: *mut T) {
        let pack = kernel_of::<T>().pack;
        pack(self.at(lines.start, ks.start), self.line, self.k, lines.len(), ks.len(), width, out)
    }

    fn strided(&self) -> Option<Strided<T>> {
        Some(*self)
    }
}

/// B in panels of the kernel's width, ready for every block of K: weights that serve many calls.
pub struct PackedB<T> {
    block: Arc<Block>,
    k: usize,
    n: usize,
    _type: std::marker::PhantomData<T>,
}

impl<T: GemmElement> PackedB<T> {
    /// Packs `b` (its lines are the `n` columns).
    ///
    /// # Safety
    /// `b` holds `n` lines by `k`.
    pub unsafe fn new(op: &'static str, b: &dyn Operand<T>, k: usize, n: usize) -> Result<PackedB<T>> {
        Ok(PackedB::of(Arc::new(PackedB::pack(op, b, k, n)?), k, n))
    }

    /// The memory of a packed B.
    ///
    /// # Safety
    /// As for [`PackedB::new`].
    pub(crate) unsafe fn pack(op: &'static str, b: &dyn Operand<T>, k: usize, n: usize) -> Result<Block> {
        let block = memory::allocate(op, PackedB::<T>::bytes(k, n))?;
        pack_b(b, kernel_of::<T>().nr, 0..n, 0..k, block.as_ptr().cast());
        Ok(block)
    }

    /// What [`PackedB::pack`] made of a B of `n` lines by `k`.
    pub(crate) fn of(block: Arc<Block>, k: usize, n: usize) -> PackedB<T> {
        PackedB { block, k, n, _type: std::marker::PhantomData }
    }

    pub(crate) fn bytes(k: usize, n: usize) -> usize {
        let columns = n.next_multiple_of(kernel_of::<T>().nr);
        columns.saturating_mul(k).saturating_mul(size_of::<T>())
    }

    pub fn k(&self) -> usize {
        self.k
    }
    pub fn n(&self) -> usize {
        self.n
    }
    pub(super) fn ptr(&self) -> *const T {
        self.block.as_ptr().cast()
    }
}

/// Packs columns `cols` at positions `ks` of B: blocks of KC, in each the panels side by side, so
/// that panel j of the block at p starts at `p * padded columns + j * width * the block's length`.
pub(super) unsafe fn pack_b<T: GemmElement>(
    b: &dyn Operand<T>,
    nr: usize,
    cols: Range<usize>,
    ks: Range<usize>,
    out: *mut T,
) {
    let panels = cols.len().div_ceil(nr);
    let blocks = ks.len().div_ceil(KC);
    let out = SendPtr(out);
    let one = |task: usize| {
        let (block, panel) = (task / panels, task % panels);
        let (p0, j0) = (block * KC, panel * nr);
        let (p1, j1) = ((p0 + KC).min(ks.len()), (j0 + nr).min(cols.len()));
        let at = p0 * panels * nr + panel * nr * (p1 - p0);
        // SAFETY: the ranges lie within the operand, and each task has its own part of `out`.
        unsafe {
            b.pack(cols.start + j0..cols.start + j1, ks.start + p0..ks.start + p1, nr, out.get().add(at))
        }
    };
    // Several panels a task: one alone is a few microseconds.
    let tasks = panels * blocks;
    let group = 4;
    for_each(tasks.div_ceil(group), |g| (g * group..((g + 1) * group).min(tasks)).for_each(&one));
}
