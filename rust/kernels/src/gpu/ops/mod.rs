//! The operations that have kernels on the device, one file a family as on the CPU.

mod elementwise;
mod matmul;
mod reduce;

pub use elementwise::{binary, contiguous, unary};
pub use matmul::matmul;
pub use reduce::sum;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, Strides};
use crate::storage::Device;
use crate::tensor::Tensor;

/// Threads of a workgroup.
const GROUP: usize = 256;
/// Axes that a kernel's parameters hold, after merging.
const MAX_RANK: usize = 8;

/// An error unless all the tensors are on the device, and kernels can number their elements.
fn expect_gpu(op: &'static str, tensors: &[(&str, &Tensor)]) -> Result<()> {
    if let Some((name, t)) = tensors.iter().find(|(_, t)| t.numel() > i32::MAX as usize) {
        return Err(Error::memory(
            op,
            format!(
                "on the gpu expected at most 2^31 - 1 elements, {name} has {} (expanded from fewer); split it",
                t.numel()
            ),
        ));
    }
    match tensors.iter().find(|(_, t)| t.device() != Device::Gpu) {
        None => Ok(()),
        Some((name, _)) => Err(Error::device(
            op,
            format!(
                "expected all tensors on the gpu, got {name} on the cpu; move it with .to(\"gpu\") first"
            ),
        )),
    }
}

fn unsupported(op: &'static str) -> Error {
    Error::device(op, "has no GPU kernel yet; move the tensor with .to(\"cpu\") first")
}

fn unsupported_dtype(op: &'static str, expected: &str, got: DType) -> Error {
    Error::dtype(
        op,
        format!(
            "on the gpu expected {expected}, got {got}; convert on the cpu first (.to(\"cpu\")), or compute there"
        ),
    )
}

/// Drops axes of size 1 and merges neighbours that every operand walks in one stride.
fn merge(shape: &[usize], strides: &[&[isize]]) -> (Dims, Vec<Strides>) {
    let mut dims = Dims::new();
    let mut merged = vec![Strides::new(); strides.len()];
    for axis in (0..shape.len()).filter(|&a| shape[a] != 1) {
        let fits = !dims.is_empty()
            && merged.iter().zip(strides).all(|(m, s)| m.last() == Some(&(s[axis] * shape[axis] as isize)));
        if fits {
            *dims.last_mut().unwrap_or(&mut 1) *= shape[axis];
        } else {
            dims.push(shape[axis]);
        }
        for (m, s) in merged.iter_mut().zip(strides) {
            if fits {
                m.pop();
            }
            m.push(s[axis]);
        }
    }
    (dims, merged)
}

fn check_rank(op: &'static str, rank: usize, most: usize) -> Result<()> {
    if rank <= most {
        return Ok(());
    }
    Err(Error::shape(
        op,
        format!(
            "on the gpu expected strided inputs that need at most {most} axes, got {rank}; make the inputs contiguous first"
        ),
    ))
}

/// Appends shapes as words, padded to the `n` that the kernel's struct holds. Extents were bounded by
/// what a buffer holds, so every value that counts fits 32 bits.
fn push_dims(params: &mut Vec<u32>, dims: &[usize], n: usize) {
    params.extend((0..n).map(|i| dims.get(i).map_or(0, |&d| d as u32)));
}

/// As [`push_dims`] for strides, which may be negative.
fn push_strides(params: &mut Vec<u32>, strides: &[isize], n: usize) {
    params.extend((0..n).map(|i| strides.get(i).map_or(0, |&s| s as i32 as u32)));
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn axes_merge_where_every_operand_walks_them_in_one_stride() {
        let (dims, strides) = merge(&[2, 1, 3, 4], &[&[12, 7, 4, 1], &[0, 0, 0, 0]]);
        assert_eq!((&dims[..], &strides[0][..], &strides[1][..]), (&[24][..], &[1][..], &[0][..]));
        let (dims, strides) = merge(&[2, 3, 4], &[&[12, 4, 1], &[4, 0, 1]]);
        assert_eq!(&dims[..], &[2, 3, 4]);
        assert_eq!(&strides[1][..], &[4, 0, 1]);
        assert_eq!(merge(&[1, 1], &[&[5, 5]]).0.len(), 0);
    }
}
