//! How a reduction walks a strided tensor: kept axes, reduced axes, both merged where strides allow.

use crate::dtype::DType;
use crate::error::Result;
use crate::layout::{Dims, normalize_axes};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Size and stride of one merged axis.
pub(crate) type Axis = (usize, isize);
pub(crate) type Axes = SmallVec<[Axis; 6]>;

pub(crate) struct Plan {
    /// Axes of the output, in its order.
    pub kept: Axes,
    /// Axes that vanish, the smallest step last. Never empty.
    pub reduced: Axes,
    pub outputs: usize,
    /// Elements behind each output.
    pub count: usize,
    pub shape: Dims,
    /// Whether the last kept axis takes smaller steps than any reduced one, so that whole rows of
    /// outputs are best accumulated side by side.
    pub by_rows: bool,
}

/// Joins neighbours that are one axis in memory; drops axes of size 1.
fn merge(axes: impl Iterator<Item = Axis>) -> Axes {
    let mut out: Axes = SmallVec::new();
    for (size, stride) in axes.filter(|a| a.0 != 1) {
        match out.last_mut() {
            Some(last) if last.1 == stride.wrapping_mul(size as isize) => *last = (last.0 * size, stride),
            _ => out.push((size, stride)),
        }
    }
    out
}

impl Plan {
    pub fn new(op: &'static str, x: &Tensor, axes: &[isize], keepdim: bool) -> Result<Plan> {
        let gone = normalize_axes(op, axes, x.ndim(), true)?;
        let mut shape = Dims::new();
        let (mut kept, mut reduced) = (Axes::new(), Axes::new());
        for (i, (&size, &stride)) in x.shape().iter().zip(x.strides()).enumerate() {
            if gone.contains(&i) {
                reduced.push((size, stride));
                if keepdim {
                    shape.push(1);
                }
            } else {
                kept.push((size, stride));
                shape.push(size);
            }
        }
        let count = reduced.iter().map(|a| a.0).product();
        let outputs = kept.iter().map(|a| a.0).product();
        // The order of a reduction is free: largest steps outside, repeated elements outermost.
        reduced.sort_by_key(|a| std::cmp::Reverse(if a.1 == 0 { usize::MAX } else { a.1.unsigned_abs() }));
        let (kept, mut reduced) = (merge(kept.into_iter()), merge(reduced.into_iter()));
        if reduced.is_empty() {
            reduced.push((1, isize::MAX));
        }
        let by_rows = match (kept.last(), reduced.last()) {
            (Some(k), Some(r)) => k.1 != 0 && (r.1 == 0 || k.1.unsigned_abs() < r.1.unsigned_abs()),
            _ => false,
        };
        Ok(Plan { kept, reduced, outputs, count, shape, by_rows })
    }
}

/// The dtype that arithmetic on a stored dtype happens in.
pub(crate) fn compute_type(dtype: DType) -> DType {
    match dtype {
        DType::I8 | DType::I16 => DType::I32,
        DType::F16 | DType::BF16 => DType::F32,
        other => other,
    }
}

/// Counts through axes, keeping the offset of the current position.
pub(crate) struct Odometer<'a> {
    axes: &'a [Axis],
    index: SmallVec<[usize; 6]>,
    pub offset: isize,
}

impl<'a> Odometer<'a> {
    /// At the `position`-th index in row-major order.
    #[inline(always)]
    pub fn at(axes: &'a [Axis], position: usize) -> Odometer<'a> {
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, axes.len());
        let (mut rest, mut offset) = (position, 0isize);
        for i in (0..axes.len()).rev() {
            // An empty axis has no position: nothing is read there.
            let size = axes[i].0.max(1);
            index[i] = rest % size;
            rest /= size;
            offset += index[i] as isize * axes[i].1;
        }
        Odometer { axes, index, offset }
    }

    /// To the next index; past the last one back to the first.
    #[inline(always)]
    pub fn step(&mut self) {
        for i in (0..self.axes.len()).rev() {
            let (size, stride) = self.axes[i];
            self.index[i] += 1;
            self.offset += stride;
            if self.index[i] < size {
                return;
            }
            self.offset -= stride * size as isize;
            self.index[i] = 0;
        }
    }
}
