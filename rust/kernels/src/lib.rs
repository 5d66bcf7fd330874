//! Lectorium's kernels: tensors, their storage and every operation on them, without Python.
//!
//! Operations live in [`ops`], one file a family. They take and return [`Tensor`]s, check their
//! arguments once, and report an [`Error`] that names the operation. Nothing here panics on bad input.

pub mod channels_last;
pub mod dtype;
pub mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod layout;
pub mod memory;
pub mod ops;
mod packs;
pub mod parallel;
pub mod program;
pub mod simd;
pub mod storage;
pub mod tensor;
#[cfg(test)]
mod testing;

pub use dtype::{DType, Element, Scalar};
pub use error::{Error, Result};
pub use half;
pub use layout::{Dims, Layout, Strides};
pub use storage::{Device, Storage};
pub use tensor::Tensor;
