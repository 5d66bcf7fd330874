//! Recurrent weights in panels, and their gradients.

use super::frame::{Frame, Num, Room};
use crate::error::Result;
use crate::memory::{self, Block};
use crate::ops::matmul::{Epilogue, Operand, Output, Strided, gemm_operands, kernel_of, rows_by_panel};
use crate::packs::Form;
use crate::parallel::{SendPtr, for_each};
use crate::tensor::Tensor;
use std::ops::Range;
use std::sync::Arc;

/// A weight in panels of the kernel's width over all positions of K.
pub(super) struct Panels<T> {
    block: Arc<Block>,
    k: usize,
    nr: usize,
    _type: std::marker::PhantomData<T>,
}

impl<T: Num> Panels<T> {
    /// Of `w` `[gates * h, k]`, for `h W^T`: panel `task * gates + gate` has the columns of the task's
    /// units in a gate.
    pub fn gates(op: &'static str, w: &Tensor, gates: usize) -> Result<Panels<T>> {
        let (h, k) = (w.shape()[0] / gates, w.shape()[1]);
        let nr = kernel_of::<T>().nr;
        let from = Strided { ptr: w.ptr::<T>().cast_const(), line: k as isize, k: 1 };
        let lines = |panel: usize| {
            let (task, gate) = (panel / gates, panel % gates);
            gate * h + task * nr..gate * h + ((task + 1) * nr).min(h)
        };
        let form = Form::new("recurrent", &[gates, h, k, size_of::<T>()]);
        Panels::pack(op, form, w, from, h.div_ceil(nr) * gates, k, lines)
    }

    /// Of some rows of the same weight, for `dgates W`: panel `task` has the task's columns of `w`.
    pub fn back(op: &'static str, w: &Tensor, rows: Range<usize>) -> Result<Panels<T>> {
        let n = w.shape()[1];
        let nr = kernel_of::<T>().nr;
        let ptr = w.ptr::<T>().wrapping_add(rows.start * n).cast_const();
        let from = Strided { ptr, line: 1, k: n as isize };
        let lines = |panel: usize| panel * nr..((panel + 1) * nr).min(n);
        let form = Form::new("recurrent back", &[rows.start, rows.len(), n, size_of::<T>()]);
        Panels::pack(op, form, w, from, n.div_ceil(nr), rows.len(), lines)
    }

    fn pack(
        op: &'static str,
        form: Form,
        w: &Tensor,
        from: Strided<T>,
        panels: usize,
        k: usize,
        lines: impl Fn(usize) -> Range<usize> + Sync,
    ) -> Result<Panels<T>> {
        let nr = kernel_of::<T>().nr;
        let bytes = panels.saturating_mul(k).saturating_mul(nr * size_of::<T>());
        let make = || -> Result<Block> {
            let block = memory::allocate(op, bytes)?;
            let to = SendPtr(block.as_ptr().cast::<T>());
            for_each(panels, |panel| {
                // SAFETY: the lines lie within the weight, and each panel has its own part of the block.
                unsafe { from.pack(lines(panel), 0..k, nr, to.get().add(panel * k * nr)) }
            });
            Ok(block)
        };
        let block = w.packed(form, bytes, make)?;
        Ok(Panels { block, k, nr, _type: std::marker::PhantomData })
    }

    /// `c (+)= a panel`: `m` rows of `a` to `n` columns.
    ///
    /// # Safety
    /// As for [`rows_by_panel`].
    pub unsafe fn product(
        &self,
        panel: usize,
        m: usize,
        n: usize,
        (a, lda): (*const T, usize),
        (c, ldc): (*mut T, usize),
        add: bool,
    ) {
        let b = self.block.as_ptr().cast::<T>().add(panel * self.k * self.nr);
        rows_by_panel([m, n, self.k], a, lda, b, c, ldc, add)
    }
}

/// The rows that a weight was multiplied with: for each row the one of the step before.
pub(super) struct Before<T> {
    rows: Vec<SendPtr<T>>,
}

impl<T: Num> Before<T> {
    /// The rows of the output, `columns` each, or of the initial state.
    pub fn new(f: &Frame, y: *const T, initial: *const T, columns: usize) -> Before<T> {
        let (y, initial) = (y.cast_mut(), initial.cast_mut());
        let mut rows = vec![SendPtr(initial); f.total];
        for s in 0..f.steps() {
            let went_on = f.went_on(s);
            for b in 0..f.rows[s] {
                rows[f.start[s] + b] = SendPtr(if b < went_on {
                    y.wrapping_add((f.start[s - 1] + b) * columns)
                } else {
                    initial.wrapping_add(b * columns)
                });
            }
        }
        Before { rows }
    }

    /// Other rows, one for each in memory.
    pub fn of(rows: Vec<SendPtr<T>>) -> Before<T> {
        Before { rows }
    }
}

impl<T: Num> Operand<T> for Before<T> {
    unsafe fn pack(&self, lines: Range<usize>, ks: Range<usize>, width: usize, out: *mut T) {
        let n = lines.len();
        if n < width {
            std::ptr::write_bytes(out, 0, ks.len() * width);
        }
        for (p, row) in self.rows[ks].iter().enumerate() {
            let (from, to) = (row.get().cast_const().add(lines.start), out.add(p * width));
            match n {
                32 => to.cast::<[T; 32]>().write_unaligned(from.cast::<[T; 32]>().read_unaligned()),
                16 => to.cast::<[T; 16]>().write_unaligned(from.cast::<[T; 16]>().read_unaligned()),
                _ => std::ptr::copy_nonoverlapping(from, to, n),
            }
        }
    }
}

/// `dgates^T before`, into `n` rows of a gradient `[.., columns]`: `dgates` points to the first of the
/// `n` columns in rows that are `ld` apart.
///
/// # Safety
/// The operands hold `k` rows; nobody else has `to`.
pub(super) unsafe fn weight_grad<T: Num>(
    [n, columns, k]: [usize; 3],
    dgates: *const T,
    ld: usize,
    before: &dyn Operand<T>,
    to: *mut T,
) {
    let left = Strided { ptr: dgates, line: 1, k: ld as isize };
    let out = Output {
        alpha: T::ONE,
        beta: T::ZERO,
        ptr: to,
        rs: columns as isize,
        cs: 1,
        epilogue: Epilogue::NONE,
    };
    gemm_operands(n, columns, k, &left, before, out)
}

/// Some of the `gates` vectors that the tasks of some blocks have summed up, `[blocks][tasks][gates][nr]`,
/// as one `[wanted * h]`.
pub(super) fn sums_of<T: Num>(
    op: &'static str,
    f: &Frame,
    sums: &Room<T>,
    blocks: usize,
    gates: usize,
    wanted: Range<usize>,
) -> Result<Tensor> {
    let out = Tensor::empty(op, &[wanted.len() * f.h], T::DTYPE)?;
    for task in 0..f.tasks {
        let units = f.units(task);
        for (i, gate) in wanted.clone().enumerate() {
            for unit in 0..units.len() {
                let of = |block: usize| ((block * f.tasks + task) * gates + gate) * f.nr + unit;
                // SAFETY: both hold this unit.
                unsafe {
                    let mut sum = *sums.at(of(0));
                    for block in 1..blocks {
                        sum += *sums.at(of(block));
                    }
                    *out.ptr::<T>().add(i * f.h + units.start + unit) = sum;
                }
            }
        }
    }
    Ok(out)
}
