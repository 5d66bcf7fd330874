//! Normalisations: batch, layer, group and local response.

mod batch;
mod batch_planes;
mod batch_rows;
mod group;
mod layer;
mod local_response;
mod rows;

pub use batch::{batch_norm, batch_norm_grad, batch_norm_inference, batch_norm_update_running};
pub use group::{group_norm, group_norm_grad};
pub use layer::{layer_norm, layer_norm_grad};
pub use local_response::{local_response_norm, local_response_norm_grad};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::tensor::Tensor;

/// An error unless `t` is a vector of `n` elements of `dtype`.
fn expect_vector(op: &'static str, name: &str, t: &Tensor, n: usize, what: &str, dtype: DType) -> Result<()> {
    t.expect_cpu(op)?;
    if t.shape() != [n] {
        return Err(Error::shape(
            op,
            format!("{name} has shape {:?}, expected [{n}] for {n} {what}", t.shape()),
        ));
    }
    expect_dtype(op, name, t, dtype)
}

fn expect_dtype(op: &'static str, name: &str, t: &Tensor, dtype: DType) -> Result<()> {
    if t.dtype() != dtype {
        return Err(Error::dtype(
            op,
            format!("{name} is {}, expected {dtype} as the input; convert one with .to()", t.dtype()),
        ));
    }
    Ok(())
}

/// The values of a vector, or `n` times `default`. Lengths are checked by the caller.
fn channel_vector<T: Float>(op: &'static str, t: Option<&Tensor>, n: usize, default: T) -> Result<Vec<T>> {
    match t {
        None => Ok(vec![default; n]),
        Some(t) => {
            let t = copy::contiguous(op, t)?;
            // SAFETY: nobody writes during the call; the dtype was checked.
            Ok(unsafe { t.as_slice::<T>() }.to_vec())
        }
    }
}
