//! Joining, padding, mirroring and filling by position; views that the layout alone cannot name.

mod fill;
mod join;
mod pad;
mod pad_index;
mod view;

pub use fill::{eye, linspace, tril, triu};
pub use join::{cat, cat_part, flip, repeat_interleave, roll};
pub use pad::pad_constant;
pub use pad_index::{PadMode, pad_index, pad_index_grad};
pub use view::{as_strided_scatter_add, diagonal, unfold};

use super::index::{Walk, for_width};
use crate::layout::Layout;
use crate::multiversion;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;

/// Copies `x`, seen through `from`, into `dst` seen through `to`: one shape, one dtype, no shared
/// memory. Any strides, negative ones included.
pub(crate) fn copy_layout(dst: &Tensor, to: &Layout, x: &Tensor, from: &Layout) {
    if to.numel() == 0 {
        return;
    }
    let mut walk = Walk::new(to.shape(), [to.strides(), from.strides()]);
    let (inner, [ds, ss]) = walk.pop();
    let rows = walk.numel();
    let (d0, s0) = (to.offset() as isize, from.offset() as isize);
    for_width!(dst.dtype(), T => {
        let (d, s) = (SendPtr(dst.storage().ptr().cast::<T>()), SendPtr(x.storage().ptr().cast::<T>()));
        let piece = inner.min(GRAIN);
        let pieces = inner.div_ceil(piece);
        if pieces == 1 {
            return for_ranges(rows, (GRAIN / piece).max(1), |range| {
                walk.each(range, |_, [dr, sr]| {
                    // SAFETY: as below.
                    unsafe { copy_run(d.get().offset(d0 + dr), ds, s.get().offset(s0 + sr), ss, inner) }
                });
            });
        }
        for_ranges(rows * pieces, (GRAIN / piece).max(1), |range| {
            for task in range {
                let (row, start) = (task / pieces, (task % pieces * piece) as isize);
                let n = piece.min(inner - start as usize);
                let [dr, sr] = walk.at(row);
                // SAFETY: both offsets lie within layouts that lie within their storages; the
                // destination's elements are disjoint.
                unsafe {
                    let d = d.get().offset(d0 + dr + start * ds);
                    let s = s.get().offset(s0 + sr + start * ss);
                    copy_run(d, ds, s, ss, n);
                }
            }
        });
    });
}

multiversion! {
    fn reverse<T: Copy>(to: &mut [T], from: &[T]) {
        for (to, &from) in to.iter_mut().zip(from.iter().rev()) {
            *to = from;
        }
    }
}

/// # Safety
/// Both runs are valid and apart.
#[inline(always)]
unsafe fn copy_run<T: Copy>(d: *mut T, ds: isize, s: *const T, ss: isize, n: usize) {
    match (ds, ss) {
        (1, 1) => std::ptr::copy_nonoverlapping(s, d, n),
        (1, -1) => {
            reverse(std::slice::from_raw_parts_mut(d, n), std::slice::from_raw_parts(s.sub(n - 1), n));
        }
        (1, 0) => std::slice::from_raw_parts_mut(d, n).fill(*s),
        _ => {
            for i in 0..n as isize {
                *d.offset(i * ds) = *s.offset(i * ss);
            }
        }
    }
}

/// `(outer, size, inner)`: the products before, at and after an axis.
pub(crate) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// The bytes of a row-major tensor from its first element on.
pub(crate) fn bytes(t: &Tensor) -> SendPtr<u8> {
    // SAFETY: the offset is within the storage, or the tensor is empty and never read.
    SendPtr(unsafe { t.storage().ptr().add(t.layout().offset() * t.dtype().size()) })
}

#[cfg(test)]
mod tests;
