//! Pictures held with the channels last: `[n, positions, c]` in memory where users see `[n, c, …]`.
//!
//! Convolutions and what stands between them are fastest in this order. It is invisible: strides
//! and views answer as for row-major memory, and [`Storage::ptr`](crate::Storage::ptr) reorders
//! once, for good, when a kernel asks that does not know about it. Kernels that do know ask
//! [`Tensor::channels_last`] first.

use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Layout;
use crate::ops::copy;
use crate::storage::Storage;
use crate::tensor::Tensor;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// The bytes of a storage in one order or the other, never both for longer than the reordering takes.
pub(crate) struct ChannelsLast {
    /// `[n, positions, c]`, row-major; gone once `plain` is there.
    rows: Mutex<Option<Tensor>>,
    plain: OnceLock<Tensor>,
    n: usize,
    c: usize,
    len: usize,
}

impl ChannelsLast {
    fn rows(&self) -> MutexGuard<'_, Option<Tensor>> {
        self.rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The memory in row-major order. Unwinds with the [`Error`](crate::Error) if there is no room
    /// for the copy: whoever calls a kernel turns it back into one.
    pub fn plain(&self) -> *mut u8 {
        let plain = self.plain.get_or_init(|| {
            let mut rows = self.rows();
            let held = rows.as_ref().expect("held in one order or the other");
            let (p, c) = (held.shape()[1], held.shape()[2]);
            let shape = [self.n, c, p];
            let seen = Layout::new(shape[..].into(), [(c * p) as isize, 1, c as isize][..].into(), 0);
            match copy::clone("contiguous", &held.with_layout(seen)) {
                Ok(plain) => {
                    *rows = None;
                    plain
                }
                Err(e) => std::panic::panic_any(e),
            }
        });
        plain.storage().ptr()
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

/// `[n, positions, c]` of a shape `[n, c, …]`.
fn rows_shape(shape: &[usize]) -> [usize; 3] {
    [shape[0], shape[2..].iter().product(), shape[1]]
}

impl Tensor {
    /// The memory as rows of channels `[n, positions, c]`, row-major, if it is held in this order.
    pub fn channels_last(&self) -> Option<Tensor> {
        let held = self.storage().channels_last()?;
        let shape = self.shape();
        // Axes behind the channels may be cut and joined: the order of their elements stays.
        let whole = shape.len() >= 2
            && (shape[0], shape[1]) == (held.n, held.c)
            && self.layout().offset() == 0
            && self.numel() * self.dtype().size() == held.len
            && self.is_contiguous();
        let rows = if whole { held.rows().clone() } else { None };
        rows.filter(|rows| rows.dtype() == self.dtype())
    }

    /// A tensor of shape `[n, c, …]` whose memory is `rows`, `[n, positions, c]`: a fresh result,
    /// row-major and shared with nobody.
    pub fn from_channels_last(rows: Tensor, shape: &[usize]) -> Tensor {
        debug_assert!(rows.is_contiguous() && rows.shape() == rows_shape(shape));
        let [n, positions, c] = rows_shape(shape);
        let dtype = rows.dtype();
        if positions == 1 || c == 1 || rows.numel() == 0 {
            // Both orders are one.
            return rows.with_layout(Layout::contiguous(shape));
        }
        let len = rows.numel() * dtype.size();
        let held = ChannelsLast { rows: Mutex::new(Some(rows)), plain: OnceLock::new(), n, c, len };
        let storage = Arc::new(Storage::from_channels_last(held));
        Tensor::from_parts("channels_last", storage, Layout::contiguous(shape), dtype)
            .expect("a row-major layout of all elements")
    }

    /// The elements of a tensor of two axes or more as rows of channels: its own memory if it is
    /// held so, else a copy.
    pub fn to_channels_last(&self, op: &'static str) -> Result<Tensor> {
        if let Some(rows) = self.channels_last() {
            return Ok(rows);
        }
        let [n, positions, c] = rows_shape(self.shape());
        let x = copy::contiguous(op, self)?;
        let offset = x.layout().offset();
        let step = [(c * positions) as isize, 1, positions as isize];
        let seen = Layout::new([n, positions, c][..].into(), step[..].into(), offset);
        copy::contiguous(op, &x.with_layout(seen))
    }

    /// Uninitialised rows of channels for a result of shape `[n, c, …]`.
    pub fn empty_rows(op: &'static str, shape: &[usize], dtype: DType) -> Result<Tensor> {
        Tensor::empty(op, &rows_shape(shape), dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> (Tensor, Vec<f32>) {
        let (n, c, p) = (2, 3, 4);
        let plain: Vec<f32> = (0..n * c * p).map(|i| i as f32).collect();
        let x = Tensor::from_slice("test", &plain, &[n, c, 2, 2]).unwrap();
        let rows = x.to_channels_last("test").unwrap();
        (Tensor::from_channels_last(rows, &[n, c, 2, 2]), plain)
    }

    #[test]
    fn the_order_of_memory_is_invisible() {
        let (x, plain) = picture();
        assert!(x.channels_last().is_some());
        assert!(x.is_contiguous() && x.strides() == [12, 4, 2, 1]);
        // SAFETY: nobody writes.
        assert_eq!(unsafe { x.as_slice::<f32>() }, plain);
        assert!(x.channels_last().is_none());
    }

    #[test]
    fn a_view_made_before_the_reordering_sees_what_is_written_after_it() {
        let (x, plain) = picture();
        let view = x.with_layout(Layout::contiguous(&[24]));
        copy::fill("fill_", &x, crate::Scalar::Float(7.0)).unwrap();
        // SAFETY: nobody writes.
        assert_eq!(unsafe { view.as_slice::<f32>() }, vec![7.0; plain.len()]);
    }

    #[test]
    fn axes_behind_the_channels_may_be_joined() {
        let (x, _) = picture();
        assert!(x.with_layout(Layout::contiguous(&[2, 3, 4])).channels_last().is_some());
        assert!(x.with_layout(Layout::contiguous(&[2, 3, 1, 4])).channels_last().is_some());
        assert!(x.with_layout(Layout::contiguous(&[2, 12])).channels_last().is_none());
        assert!(x.with_layout(Layout::contiguous(&[6, 4])).channels_last().is_none());
    }

    #[test]
    fn threads_that_ask_at_once_get_one_memory() {
        for _ in 0..50 {
            let (x, _) = picture();
            let seen: Vec<usize> = std::thread::scope(|s| {
                let ask = || s.spawn(|| x.ptr::<f32>() as usize);
                [ask(), ask(), ask()].map(|t| t.join().unwrap()).to_vec()
            });
            assert!(seen.windows(2).all(|w| w[0] == w[1]));
        }
    }
}
