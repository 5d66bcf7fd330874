//! A tensor: shared storage seen through a layout, as elements of one type.

use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, Result};
use crate::layout::{Layout, checked_numel};
use crate::storage::{Device, Storage};
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone)]
pub struct Tensor {
    storage: Arc<Storage>,
    layout: Layout,
    dtype: DType,
}

impl Tensor {
    /// Uninitialised, row-major, on the CPU. The caller writes every element before anyone reads.
    pub fn empty(op: &'static str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let bytes = checked_numel(op, shape)? * dtype.size();
        Ok(Tensor {
            storage: Arc::new(Storage::allocate(op, bytes)?),
            layout: Layout::contiguous(shape),
            dtype,
        })
    }

    pub fn zeros(op: &'static str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        let t = Tensor::empty(op, shape, dtype)?;
        // SAFETY: the storage holds at least numel elements; all-zero bytes are zero in every dtype.
        unsafe { std::ptr::write_bytes(t.storage.ptr(), 0, t.numel() * dtype.size()) };
        Ok(t)
    }

    /// A row-major tensor that holds a copy of `values`.
    pub fn from_slice<T: Element>(op: &'static str, values: &[T], shape: &[usize]) -> Result<Tensor> {
        if checked_numel(op, shape)? != values.len() {
            return Err(Error::shape(op, format!("shape {shape:?} does not hold {} values", values.len())));
        }
        let t = Tensor::empty(op, shape, T::DTYPE)?;
        // SAFETY: fresh storage of values.len() elements of T.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), t.ptr::<T>(), values.len()) };
        Ok(t)
    }

    /// A tensor without axes.
    pub fn scalar(op: &'static str, value: Scalar, dtype: DType) -> Result<Tensor> {
        crate::for_all_types!(dtype, T => Tensor::from_slice(op, &[T::from_scalar(value)], &[]))
    }

    /// Views `storage` through `layout`; an error if the layout reaches outside it.
    pub fn from_parts(
        op: &'static str,
        storage: Arc<Storage>,
        layout: Layout,
        dtype: DType,
    ) -> Result<Tensor> {
        let inside = || {
            let (mut lo, mut hi) = (layout.offset() as i128, layout.offset() as i128);
            for (&d, &s) in layout.shape().iter().zip(layout.strides()) {
                // Hostile strides overflow anything narrower; what overflows this lies outside too.
                let reach = (d as i128 - 1).checked_mul(s as i128)?;
                if reach < 0 { lo = lo.checked_add(reach)? } else { hi = hi.checked_add(reach)? }
            }
            Some(lo >= 0 && hi < (storage.len() / dtype.size()) as i128)
        };
        if !layout.shape().contains(&0) && inside() != Some(true) {
            return Err(Error::shape(
                op,
                format!(
                    "shape {:?} with strides {:?} and offset {} reaches outside the storage of {} bytes",
                    layout.shape(),
                    layout.strides(),
                    layout.offset(),
                    storage.len()
                ),
            ));
        }
        Ok(Tensor { storage, layout, dtype })
    }

    /// The same storage through another layout (one derived from this tensor's own).
    pub fn with_layout(&self, layout: Layout) -> Tensor {
        Tensor { storage: Arc::clone(&self.storage), layout, dtype: self.dtype }
    }

    #[inline]
    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }
    #[inline]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
    #[inline]
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    #[inline]
    pub fn shape(&self) -> &[usize] {
        self.layout.shape()
    }
    #[inline]
    pub fn strides(&self) -> &[isize] {
        self.layout.strides()
    }
    #[inline]
    pub fn ndim(&self) -> usize {
        self.layout.ndim()
    }
    #[inline]
    pub fn numel(&self) -> usize {
        self.layout.numel()
    }
    pub fn device(&self) -> Device {
        self.storage.device()
    }
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// The first element. Callers check the dtype (debug builds do too) and stay within the layout.
    #[inline]
    pub fn ptr<T: Element>(&self) -> *mut T {
        debug_assert_eq!(T::DTYPE, self.dtype);
        // SAFETY: the offset is within the storage, or the tensor is empty and never read.
        unsafe { self.storage.ptr().cast::<T>().add(self.layout.offset()) }
    }

    /// The addresses from its lowest element to its highest; none where there is no element.
    fn span(&self) -> Range<usize> {
        if self.numel() == 0 {
            return 0..0;
        }
        let (lo, hi) = self.layout.extent();
        let (base, size) = (self.storage.ptr() as usize, self.dtype.size() as isize);
        base.wrapping_add_signed(lo * size)..base.wrapping_add_signed(hi * size)
    }

    /// Whether the two may share memory: by address, since two storages may be lent the same memory.
    pub fn overlaps(&self, other: &Tensor) -> bool {
        // Memory of one's own is shared within the storage only, and need not be laid out to be compared.
        if self.channels_last().is_some() || other.channels_last().is_some() {
            return Arc::ptr_eq(&self.storage, &other.storage);
        }
        let (a, b) = (self.span(), other.span());
        a.start < b.end && b.start < a.end
    }

    /// Whether every element lies exactly where the other's does.
    pub fn coincides(&self, other: &Tensor) -> bool {
        let first = |t: &Tensor| t.storage.ptr().wrapping_add(t.layout.offset() * t.dtype.size());
        self.dtype == other.dtype
            && self.shape() == other.shape()
            && self.strides() == other.strides()
            && (Arc::ptr_eq(&self.storage, &other.storage) && self.layout == other.layout
                || first(self) == first(other))
    }

    /// The elements of a contiguous tensor.
    ///
    /// # Safety
    /// Nobody writes to the storage while the slice lives (kernels hold no slice beyond a call).
    pub unsafe fn as_slice<T: Element>(&self) -> &[T] {
        debug_assert!(self.is_contiguous());
        std::slice::from_raw_parts(self.ptr::<T>(), self.numel())
    }

    /// The elements of a fresh contiguous output.
    ///
    /// # Safety
    /// The storage is not reachable by anyone else while the slice lives.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn as_mut_slice<T: Element>(&self) -> &mut [T] {
        debug_assert!(self.is_contiguous());
        std::slice::from_raw_parts_mut(self.ptr::<T>(), self.numel())
    }

    /// An error of `op` unless the tensor is on the CPU.
    #[inline]
    pub fn expect_cpu(&self, op: &'static str) -> Result<()> {
        if self.device() == Device::Cpu {
            return Ok(());
        }
        Err(Error::device(op, "has no GPU kernel yet; move the tensor with .to(\"cpu\") first"))
    }

    /// An error of `op` unless the tensor may be written in place.
    pub fn expect_writable(&self, op: &'static str) -> Result<()> {
        if !self.storage.writable() {
            return Err(Error::runtime(op, "the tensor shares read-only memory; change a .clone() instead"));
        }
        if self.layout.may_overlap() {
            return Err(Error::runtime(
                op,
                "several elements of the tensor share one memory location (an expanded view); change a .clone() instead",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_that_overflows_lies_outside_its_storage() {
        let t = Tensor::zeros("zeros", &[4], DType::F32).unwrap();
        for strides in [[1isize << 62, 0], [isize::MAX, isize::MAX], [isize::MIN, 1], [0, -1], [2, 2]] {
            let layout = Layout::new([2, 2][..].into(), strides[..].into(), 0);
            let view = Tensor::from_parts("as_strided", Arc::clone(t.storage()), layout, DType::F32);
            assert!(view.is_err(), "{strides:?}");
        }
    }

    #[test]
    fn memory_lent_twice_is_known_to_overlap() {
        let mut lent = [1f32, 2.0, 3.0, 4.0];
        let start = lent.as_mut_ptr();
        let view = |first: usize| {
            // SAFETY: within the array, which outlives both storages.
            let storage = unsafe { Storage::foreign(start.add(first).cast(), 12, true, Box::new(())) };
            Tensor::from_parts("from_numpy", Arc::new(storage), Layout::contiguous(&[3]), DType::F32).unwrap()
        };
        let (a, b) = (view(0), view(1));
        assert!(a.overlaps(&b) && !a.coincides(&b) && a.coincides(&view(0)));
        crate::ops::copy::copy_into("copy_", &b, &a).unwrap();
        assert_eq!(lent, [1.0, 1.0, 2.0, 3.0]);
    }
}
