//! Shapes, strides and the views that need no copy.

use crate::error::{Error, Result};
use smallvec::SmallVec;

pub type Dims = SmallVec<[usize; 6]>;
pub type Strides = SmallVec<[isize; 6]>;

/// Where each element of a tensor lies in its storage, in elements.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    shape: Dims,
    strides: Strides,
    offset: usize,
}

// By hand, because a derived clone copies the lists an element at a time.
impl Clone for Layout {
    #[inline]
    fn clone(&self) -> Layout {
        Layout {
            shape: Dims::from_slice(&self.shape),
            strides: Strides::from_slice(&self.strides),
            offset: self.offset,
        }
    }
}

/// The number of elements of a shape; an error where the product overflows what memory can address.
pub fn checked_numel(op: &'static str, shape: &[usize]) -> Result<usize> {
    let mut n: usize = 1;
    // A zero anywhere makes the product zero, whatever overflows beside it.
    if shape.contains(&0) {
        return Ok(0);
    }
    for &d in shape {
        n = n.checked_mul(d).filter(|&n| n <= (isize::MAX as usize) / 16).ok_or_else(|| {
            Error::memory(
                op,
                format!("a tensor of shape {shape:?} has more elements than memory can address"),
            )
        })?;
    }
    Ok(n)
}

/// Row-major strides of a shape.
pub fn contiguous_strides(shape: &[usize]) -> Strides {
    let mut strides: Strides = SmallVec::from_elem(1, shape.len());
    let mut step: isize = 1;
    for i in (0..shape.len()).rev() {
        strides[i] = step;
        step = step.wrapping_mul(shape[i].max(1) as isize);
    }
    strides
}

/// The shape that `a` and `b` broadcast to.
pub fn broadcast_shapes(op: &'static str, a: &[usize], b: &[usize]) -> Result<Dims> {
    let n = a.len().max(b.len());
    let mut out: Dims = SmallVec::from_elem(1, n);
    for i in 0..n {
        let x = if i + a.len() >= n { a[i + a.len() - n] } else { 1 };
        let y = if i + b.len() >= n { b[i + b.len() - n] } else { 1 };
        out[i] = match (x, y) {
            _ if x == y => x,
            (1, _) => y,
            (_, 1) => x,
            _ => {
                return Err(Error::shape(
                    op,
                    format!(
                        "shapes {a:?} and {b:?} do not broadcast: axis {i} has {x} and {y}, expected equal sizes or 1"
                    ),
                ));
            }
        };
    }
    Ok(out)
}

/// A Python axis (negative counts from the end) of a tensor of `ndim` axes.
pub fn normalize_axis(op: &'static str, axis: isize, ndim: usize) -> Result<usize> {
    // As in PyTorch a tensor without axes takes 0 and -1.
    let n = ndim.max(1) as isize;
    if axis < -n || axis >= n {
        return Err(Error::index(
            op,
            format!("axis {axis} is out of range, expected {} to {} for {ndim} axes", -n, n - 1),
        ));
    }
    Ok(if axis < 0 { axis + n } else { axis } as usize)
}

/// Distinct axes, normalised and sorted. An empty list means all of them where `empty_is_all`.
pub fn normalize_axes(
    op: &'static str,
    axes: &[isize],
    ndim: usize,
    empty_is_all: bool,
) -> Result<SmallVec<[usize; 6]>> {
    if axes.is_empty() && empty_is_all {
        return Ok((0..ndim).collect());
    }
    let mut out: SmallVec<[usize; 6]> = SmallVec::new();
    for &axis in axes {
        let a = normalize_axis(op, axis, ndim)?;
        if out.contains(&a) {
            return Err(Error::value(op, format!("axis {a} appears twice in {axes:?}")));
        }
        if ndim > 0 {
            out.push(a);
        }
    }
    out.sort_unstable();
    Ok(out)
}

impl Layout {
    pub fn contiguous(shape: &[usize]) -> Layout {
        Layout { shape: Dims::from_slice(shape), strides: contiguous_strides(shape), offset: 0 }
    }

    pub fn new(shape: Dims, strides: Strides, offset: usize) -> Layout {
        debug_assert_eq!(shape.len(), strides.len());
        Layout { shape, strides, offset }
    }

    #[inline]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    #[inline]
    pub fn strides(&self) -> &[isize] {
        &self.strides
    }
    #[inline]
    pub fn offset(&self) -> usize {
        self.offset
    }
    #[inline]
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }
    #[inline]
    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    pub fn is_contiguous(&self) -> bool {
        let mut step: isize = 1;
        for i in (0..self.shape.len()).rev() {
            if self.shape[i] == 0 {
                return true;
            }
            if self.shape[i] != 1 {
                if self.strides[i] != step {
                    return false;
                }
                step *= self.shape[i] as isize;
            }
        }
        true
    }

    /// The lowest and one past the highest element reached, relative to the storage's start.
    pub fn extent(&self) -> (isize, isize) {
        let (mut lo, mut hi) = (self.offset as isize, self.offset as isize);
        for (&d, &s) in self.shape.iter().zip(&self.strides) {
            if d == 0 {
                return (self.offset as isize, self.offset as isize);
            }
            let reach = (d as isize - 1) * s;
            if reach < 0 { lo += reach } else { hi += reach }
        }
        (lo, hi + 1)
    }

    /// Whether two different indices may reach the same element.
    pub fn may_overlap(&self) -> bool {
        let mut axes: SmallVec<[(usize, usize); 6]> = self
            .shape
            .iter()
            .zip(&self.strides)
            .filter(|&(&d, _)| d > 1)
            .map(|(&d, &s)| (s.unsigned_abs(), d))
            .collect();
        if self.numel() <= 1 {
            return false;
        }
        axes.sort_unstable();
        let mut reach = 0;
        for (step, d) in axes {
            if step <= reach {
                return true;
            }
            reach += step * (d - 1);
        }
        false
    }

    pub fn permute(&self, axes: &[usize]) -> Layout {
        Layout {
            shape: axes.iter().map(|&a| self.shape[a]).collect(),
            strides: axes.iter().map(|&a| self.strides[a]).collect(),
            offset: self.offset,
        }
    }

    /// Broadcasts to `shape`: axes of size 1, and new leading axes, get stride 0.
    pub fn broadcast_to(&self, op: &'static str, shape: &[usize]) -> Result<Layout> {
        let n = shape.len();
        let fits = n >= self.ndim()
            && (0..self.ndim()).all(|i| {
                let (have, want) = (self.shape[i], shape[i + n - self.ndim()]);
                have == want || have == 1
            });
        if !fits {
            return Err(Error::shape(
                op,
                format!("shape {:?} does not broadcast to {shape:?}", self.shape.as_slice()),
            ));
        }
        let lead = n - self.ndim();
        let strides = (0..n)
            .map(|i| if i < lead || self.shape[i - lead] != shape[i] { 0 } else { self.strides[i - lead] })
            .collect();
        Ok(Layout { shape: shape.into(), strides, offset: self.offset })
    }

    /// The same elements in another shape without a copy, where strides allow it.
    pub fn reshape(&self, shape: &[usize]) -> Option<Layout> {
        if self.numel() == 0 || self.is_contiguous() {
            return Some(Layout {
                shape: shape.into(),
                strides: contiguous_strides(shape),
                offset: self.offset,
            });
        }
        // Walk both shapes from the back; each group of old axes that is contiguous within itself
        // may be cut into new axes of the same product (PyTorch's computeStride).
        let mut strides: Strides = SmallVec::from_elem(0, shape.len());
        let mut view = shape.len() as isize - 1;
        let mut base = *self.strides.last()?;
        let (mut tensor_numel, mut view_numel) = (1usize, 1usize);
        for i in (0..self.ndim()).rev() {
            tensor_numel *= self.shape[i];
            let group_ends =
                i == 0 || (self.shape[i - 1] != 1 && self.strides[i - 1] != tensor_numel as isize * base);
            if group_ends {
                while view >= 0 && (view_numel < tensor_numel || shape[view as usize] == 1) {
                    strides[view as usize] = view_numel as isize * base;
                    view_numel *= shape[view as usize];
                    view -= 1;
                }
                if view_numel != tensor_numel {
                    return None;
                }
                if i > 0 {
                    base = self.strides[i - 1];
                    tensor_numel = 1;
                    view_numel = 1;
                }
            }
        }
        (view == -1).then(|| Layout { shape: shape.into(), strides, offset: self.offset })
    }

    /// `start..stop` by `step` (not zero; may be negative) along an axis; bounds already clamped.
    pub fn slice(&self, axis: usize, start: usize, len: usize, step: isize) -> Layout {
        let mut out = self.clone();
        if len > 0 {
            out.offset = (out.offset as isize + start as isize * self.strides[axis]) as usize;
        }
        out.shape[axis] = len;
        out.strides[axis] = self.strides[axis].wrapping_mul(step);
        out
    }

    /// Drops an axis at one index (already in range).
    pub fn select(&self, axis: usize, index: usize) -> Layout {
        let mut out = self.slice(axis, index, 1, 1);
        out.shape.remove(axis);
        out.strides.remove(axis);
        out
    }

    pub fn unsqueeze(&self, axis: usize) -> Layout {
        let mut out = self.clone();
        let stride = if axis < self.ndim() { self.shape[axis] as isize * self.strides[axis] } else { 1 };
        out.shape.insert(axis, 1);
        out.strides.insert(axis, stride);
        out
    }

    /// Drops the named axes, which have size 1.
    pub fn squeeze(&self, axes: &[usize]) -> Layout {
        let keep: SmallVec<[usize; 6]> = (0..self.ndim()).filter(|i| !axes.contains(i)).collect();
        self.permute(&keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_layout_reshapes_only_within_its_groups() {
        let t = Layout::contiguous(&[4, 6]).permute(&[1, 0]);
        assert!(t.reshape(&[24]).is_none());
        assert_eq!(t.reshape(&[2, 3, 4]).unwrap().strides(), &[3, 1, 6]);
    }

    #[test]
    fn overflow_is_an_error_and_a_zero_axis_is_not() {
        assert!(checked_numel("empty", &[usize::MAX, 2]).is_err());
        assert_eq!(checked_numel("empty", &[usize::MAX, 2, 0]).unwrap(), 0);
    }

    #[test]
    fn expanded_axes_overlap_and_slices_do_not() {
        let l = Layout::contiguous(&[3, 1]);
        assert!(l.broadcast_to("expand", &[3, 4]).unwrap().may_overlap());
        assert!(!Layout::contiguous(&[8, 8]).slice(1, 1, 3, 2).may_overlap());
    }
}
