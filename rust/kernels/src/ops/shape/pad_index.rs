//! Padding with the tensor's own elements: reflected, replicated or circular.

use crate::dtype::Element;
use crate::error::{Error, Result};
use crate::for_compute_types;
use crate::layout::{Dims, checked_numel};
use crate::memory::expect_room;
use crate::ops::copy;
use crate::ops::index::{Accumulate, for_width, raw};
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Where padding takes its elements from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// Mirrored at the edge, which is not repeated.
    Reflect,
    /// The edge, repeated.
    Replicate,
    /// From the other end.
    Circular,
}

/// For every padded axis, the source of each output index; leading axes are left alone.
struct Maps {
    /// Product of the axes that are not padded.
    lead: usize,
    /// Outermost padded axis first.
    maps: SmallVec<[Vec<usize>; 3]>,
    sizes: SmallVec<[usize; 3]>,
    shape: Dims,
    /// On the last axis: output `start .. end` is the source from `first` on, in order.
    body: (usize, usize, usize),
}

fn maps(op: &'static str, shape: &[usize], pads: &[isize], mode: PadMode) -> Result<Maps> {
    let n = pads.len() / 2;
    if !pads.len().is_multiple_of(2) || !(1..=3).contains(&n) || n > shape.len() {
        return Err(Error::shape(
            op,
            format!(
                "expected 2, 4 or 6 paddings (last axis first) for a tensor of shape {shape:?}, got {}",
                pads.len()
            ),
        ));
    }
    let mut out = Maps {
        lead: shape[..shape.len() - n].iter().product(),
        maps: SmallVec::new(),
        sizes: shape[shape.len() - n..].into(),
        shape: shape.into(),
        body: (0, 0, 0),
    };
    for axis in shape.len() - n..shape.len() {
        let pair = shape.len() - 1 - axis;
        let (left, right) = (pads[2 * pair], pads[2 * pair + 1]);
        let size = shape[axis] as isize;
        let refuse = |why: &str| {
            Err(Error::shape(op, format!("padding ({left}, {right}) on axis {axis} of size {size}: {why}")))
        };
        let total = size.checked_add(left).and_then(|t| t.checked_add(right));
        let Some(total) = total.filter(|&t| t >= 1) else {
            return refuse("nothing would be left, expected an output of at least 1");
        };
        if size == 0 {
            return refuse("an empty axis has nothing to pad with");
        }
        // Elements cropped by negative padding, and what is left of the axis.
        let (crop, kept) = ((-left).max(0), size + left.min(0) + right.min(0));
        match mode {
            PadMode::Reflect if left >= size || right >= size => {
                return refuse("reflect padding must be smaller than the axis");
            }
            PadMode::Circular if left > size || right > size || kept < 1 => {
                return refuse("circular padding must not be larger than the axis");
            }
            _ => {}
        }
        expect_room(op, checked_numel(op, &[total as usize])? * size_of::<usize>())?;
        let source = |i: isize| -> usize {
            let j = i - left;
            (match mode {
                PadMode::Replicate => j.clamp(0, size - 1),
                PadMode::Reflect => {
                    let j = j.abs();
                    if j >= size { 2 * (size - 1) - j } else { j }
                }
                PadMode::Circular => crop + (i - left.max(0)).rem_euclid(kept),
            }) as usize
        };
        out.maps.push((0..total).map(source).collect());
        out.shape[axis] = total as usize;
        if axis == shape.len() - 1 {
            let start = left.max(0).min(total);
            let end = (start + kept.max(0)).min(total);
            out.body = (start as usize, end as usize, crop.min(size) as usize);
        }
    }
    checked_numel(op, &out.shape)?;
    Ok(out)
}

impl Maps {
    fn widths(&self) -> (usize, usize) {
        (self.maps[self.maps.len() - 1].len(), self.sizes[self.sizes.len() - 1])
    }
    /// Rows of the output within one leading index.
    fn rows(&self) -> usize {
        self.maps[..self.maps.len() - 1].iter().map(Vec::len).product()
    }
    /// The source row (within one leading index) of output row `row`.
    fn source_row(&self, row: usize) -> usize {
        let (mut rest, mut out, mut step) = (row, 0, 1);
        for k in (0..self.maps.len() - 1).rev() {
            out += self.maps[k][rest % self.maps[k].len()] * step;
            rest /= self.maps[k].len();
            step *= self.sizes[k];
        }
        out
    }
    fn source_rows(&self) -> usize {
        self.sizes[..self.sizes.len() - 1].iter().product()
    }
}

/// Pads the last one, two or three axes; `pads` as PyTorch has it, last axis first.
pub fn pad_index(x: &Tensor, pads: &[isize], mode: PadMode) -> Result<Tensor> {
    let op = "pad";
    x.expect_cpu(op)?;
    let maps = maps(op, x.shape(), pads, mode)?;
    let x = copy::contiguous(op, x)?;
    let out = Tensor::empty(op, &maps.shape, x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let (width, size) = maps.widths();
    let (rows, source_rows) = (maps.rows(), maps.source_rows());
    let last = &maps.maps[maps.maps.len() - 1];
    let (start, end, first) = maps.body;
    for_width!(x.dtype(), T => {
        let (src, dst) = (SendPtr(raw::<T>(&x)), SendPtr(raw::<T>(&out)));
        for_ranges(maps.lead * rows, (GRAIN / width).max(1), |range| {
            for row in range {
                let from = row / rows * source_rows + maps.source_row(row % rows);
                // SAFETY: the maps stay within the source; each output row has one writer.
                unsafe {
                    let from = std::slice::from_raw_parts(src.get().add(from * size), size);
                    let to = std::slice::from_raw_parts_mut(dst.get().add(row * width), width);
                    to[start..end].copy_from_slice(&from[first..first + end - start]);
                    for i in (0..start).chain(end..width) {
                        to[i] = from[last[i]];
                    }
                }
            }
        });
    });
    Ok(out)
}

/// The gradient of [`pad_index`]: every element of `g` added to the place it came from.
pub fn pad_index_grad(g: &Tensor, input_shape: &[usize], pads: &[isize], mode: PadMode) -> Result<Tensor> {
    let op = "pad_backward";
    g.expect_cpu(op)?;
    let maps = maps(op, input_shape, pads, mode)?;
    if g.shape() != maps.shape.as_slice() {
        return Err(Error::shape(
            op,
            format!("the gradient has shape {:?}, expected {:?}", g.shape(), maps.shape.as_slice()),
        ));
    }
    let g = copy::contiguous(op, g)?;
    let out = Tensor::zeros(op, input_shape, g.dtype())?;
    for_compute_types!(op, g.dtype(), T => add_back::<T>(&maps, &g, &out));
    Ok(out)
}

fn add_back<T: Element + Accumulate>(maps: &Maps, g: &Tensor, out: &Tensor) {
    let (width, size) = maps.widths();
    let (rows, source_rows) = (maps.rows(), maps.source_rows());
    let last = &maps.maps[maps.maps.len() - 1];
    let (start, end, first) = maps.body;
    let (src, dst) = (SendPtr(g.ptr::<T>()), SendPtr(out.ptr::<T>()));
    let grain = (GRAIN / (rows * width).max(1)).max(1);
    // One task owns whole leading indices: rows of one may share their targets.
    for_ranges(maps.lead, grain, |range| {
        for lead in range {
            for row in 0..rows {
                // SAFETY: the maps stay within the source; a leading index has one task.
                unsafe {
                    let to = (lead * source_rows + maps.source_row(row)) * size;
                    let to = std::slice::from_raw_parts_mut(dst.get().add(to), size);
                    let from = std::slice::from_raw_parts(src.get().add((lead * rows + row) * width), width);
                    for (t, &v) in to[first..first + end - start].iter_mut().zip(&from[start..end]) {
                        *t = t.plus(v);
                    }
                    for i in (0..start).chain(end..width) {
                        to[last[i]] = to[last[i]].plus(from[i]);
                    }
                }
            }
        }
    });
}
