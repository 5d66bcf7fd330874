//! Turning flat indices into memory offsets.

use crate::dtype::Element;
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Runs the body with `$T` standing for the unsigned integer as wide as the dtype's elements.
macro_rules! for_width {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $T = u8;
                $body
            }
            2 => {
                type $T = u16;
                $body
            }
            4 => {
                type $T = u32;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}
pub(crate) use for_width;

/// The first element, seen as a type of the same width.
#[inline]
pub(crate) fn raw<T>(t: &Tensor) -> *mut T {
    debug_assert_eq!(std::mem::size_of::<T>(), t.dtype().size());
    // SAFETY: the offset is within the storage, or the tensor is empty and never read.
    unsafe { t.storage().ptr().cast::<T>().add(t.layout().offset()) }
}

/// The bits of a scalar converted to the tensor's dtype, as an integer of its width.
pub(crate) fn bits<T: Copy, E: Element>(value: E) -> T {
    debug_assert_eq!(std::mem::size_of::<T>(), std::mem::size_of::<E>());
    // SAFETY: both are plain data of one size.
    unsafe { std::mem::transmute_copy(&value) }
}

/// Axes of one shape seen through `K` sets of strides, with neighbours folded into one axis where
/// all of them allow it.
#[derive(Clone)]
pub(crate) struct Walk<const K: usize> {
    /// Outermost first.
    dims: SmallVec<[(usize, [isize; K]); 6]>,
}

impl<const K: usize> Walk<K> {
    pub fn new(shape: &[usize], strides: [&[isize]; K]) -> Walk<K> {
        let mut dims: SmallVec<[(usize, [isize; K]); 6]> = SmallVec::new();
        for (axis, &size) in shape.iter().enumerate() {
            if size == 1 {
                continue;
            }
            let step: [isize; K] = std::array::from_fn(|k| strides[k][axis]);
            match dims.last_mut() {
                Some((outer, outer_step))
                    if (0..K).all(|k| outer_step[k] == step[k].wrapping_mul(size as isize)) =>
                {
                    *outer *= size;
                    *outer_step = step;
                }
                _ => dims.push((size, step)),
            }
        }
        Walk { dims }
    }

    pub fn numel(&self) -> usize {
        self.dims.iter().map(|d| d.0).product()
    }

    /// The offsets of flat (row-major) index `i`.
    #[inline]
    pub fn at(&self, i: usize) -> [isize; K] {
        let mut out = [0isize; K];
        let mut rest = i;
        for (d, &(size, step)) in self.dims.iter().enumerate().rev() {
            let here = if d == 0 {
                rest
            } else {
                let q = rest / size;
                let r = rest - q * size;
                rest = q;
                r
            };
            for k in 0..K {
                out[k] += here as isize * step[k];
            }
        }
        out
    }

    /// Calls `f(i, offsets)` for each flat index of a range, stepping instead of dividing.
    #[inline(always)]
    pub fn each(&self, range: std::ops::Range<usize>, mut f: impl FnMut(usize, [isize; K])) {
        if range.is_empty() {
            return;
        }
        let Some(&(size, step)) = self.dims.last() else {
            return range.for_each(|i| f(i, [0; K]));
        };
        let mut i = range.start;
        while i < range.end {
            // A stretch of the innermost axis.
            let mut at = self.at(i);
            let end = range.end.min(i + size - i % size);
            while i < end {
                f(i, at);
                i += 1;
                for k in 0..K {
                    at[k] += step[k];
                }
            }
        }
    }

    /// How many axes lie outside the innermost one.
    pub fn dims_above(&self) -> usize {
        self.dims.len().saturating_sub(1)
    }

    /// Takes the innermost axis off: its size and steps (size 1 where there is none).
    pub fn pop(&mut self) -> (usize, [isize; K]) {
        self.dims.pop().unwrap_or((1, [1; K]))
    }
}
