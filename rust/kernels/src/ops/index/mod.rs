//! Indexing: gather and scatter, rows by number, advanced indexing, masks, counting.
//!
//! Data movement treats an element as bytes of its width, so it serves all ten dtypes; adding
//! needs one of the compute types. Every index is checked before anything visible is written.

mod advanced;
mod gather;
mod mask;
mod put;
mod walk;

pub(crate) use advanced::zeros_parallel;
pub use advanced::{index_add, index_get, index_get_grad, index_put, index_select};
pub use gather::{gather, scatter, scatter_add, scatter_value};
pub use mask::{bincount, masked_fill, masked_select, nonzero, one_hot};
pub(crate) use mask::{check_fill, flat_nonzero};
pub(crate) use put::Accumulate;
pub(crate) use walk::{Walk, for_width, raw};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::tensor::Tensor;

/// Row-major int64 copies or views of an index tensor of any integer type.
pub(crate) fn int64_index(op: &'static str, index: &Tensor) -> Result<Tensor> {
    index.expect_cpu(op)?;
    if !index.dtype().is_int() {
        return Err(Error::dtype(
            op,
            format!(
                "the index must be int64 (or another integer type), got {}; convert it with .long()",
                index.dtype()
            ),
        ));
    }
    copy::contiguous(op, &copy::cast(op, index, DType::I64)?)
}

/// The error of an index outside its axis.
#[cold]
pub(crate) fn out_of_range(op: &'static str, index: i64, axis: usize, size: usize, negative: bool) -> Error {
    let low = if negative { -(size as i64) } else { 0 };
    let expected = if size == 0 {
        "the axis is empty".to_string()
    } else {
        format!("expected {low} to {}", size as i64 - 1)
    };
    Error::index(op, format!("index {index} is out of range for axis {axis} of size {size}: {expected}"))
}

#[cfg(test)]
mod tests;
