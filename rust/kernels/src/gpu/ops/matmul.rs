//! Matrix products on the device.

use super::elementwise::zeros;
use super::{check_rank, expect_gpu, merge, push_dims, push_strides, unsupported_dtype};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::gpu::context;
use crate::gpu::recorder::{Dispatch, Shader};
use crate::gpu::transfer::{buffer_of, empty};
use crate::layout::{Layout, Strides, broadcast_shapes};
use crate::tensor::Tensor;

const MAX_BATCH_RANK: usize = 4;
/// Rows and columns of the tile that a workgroup makes.
const TILE: usize = 64;

/// The matrix product of float32 as PyTorch's `matmul`: 1-D operands, batches and broadcasting.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let op = "matmul";
    expect_gpu(op, &[("the first one", a), ("the second one", b)])?;
    for t in [a, b] {
        if t.dtype() != DType::F32 {
            return Err(unsupported_dtype(op, "float32", t.dtype()));
        }
        if t.ndim() == 0 {
            return Err(Error::shape(
                op,
                "expected tensors of at least one axis, got one without axes; use mul instead",
            ));
        }
    }
    let ctx = context::get(op)?;
    // A vector is a row on the left and a column on the right; its axis is dropped at the end.
    let (a_layout, b_layout) = (
        if a.ndim() == 1 { a.layout().unsqueeze(0) } else { a.layout().clone() },
        if b.ndim() == 1 { b.layout().unsqueeze(1) } else { b.layout().clone() },
    );
    let (a_batch, a_matrix) = a_layout.shape().split_at(a_layout.ndim() - 2);
    let (b_batch, b_matrix) = b_layout.shape().split_at(b_layout.ndim() - 2);
    let (m, k, n) = (a_matrix[0], a_matrix[1], b_matrix[1]);
    if k != b_matrix[0] {
        return Err(Error::shape(
            op,
            format!(
                "the first tensor of shape {:?} has rows of {k}, the second of shape {:?} has columns of {}, expected the same",
                a.shape(),
                b.shape(),
                b_matrix[0]
            ),
        ));
    }
    let batch = broadcast_shapes(op, a_batch, b_batch)?;
    let mut shape = batch.clone();
    if a.ndim() > 1 {
        shape.push(m);
    }
    if b.ndim() > 1 {
        shape.push(n);
    }
    let batches = crate::layout::checked_numel(op, &batch)?;
    if k == 0 || batches == 0 || m == 0 || n == 0 {
        return zeros(ctx, op, &shape, DType::F32);
    }

    let split = |layout: &Layout, batch_shape: &[usize]| -> Result<(Strides, [isize; 2])> {
        let r = layout.ndim() - 2;
        let (lead, matrix) = layout.strides().split_at(r);
        let lead = Layout::new(batch_shape.into(), lead.into(), 0).broadcast_to(op, &batch)?;
        Ok((lead.strides().into(), [matrix[0], matrix[1]]))
    };
    let (a_lead, a_strides) = split(&a_layout, a_batch)?;
    let (b_lead, b_strides) = split(&b_layout, b_batch)?;
    let (dims, lead) = merge(&batch, &[&a_lead, &b_lead]);
    check_rank(op, dims.len() + 2, MAX_BATCH_RANK + 2)?;
    let out = empty(ctx, op, &shape, DType::F32)?;

    let mut params = vec![m as u32, n as u32, k as u32, batches as u32];
    params.extend([a_layout.offset() as u32, b_layout.offset() as u32, dims.len() as u32, 0]);
    push_strides(&mut params, &a_strides, 2);
    push_strides(&mut params, &b_strides, 2);
    push_dims(&mut params, &dims, MAX_BATCH_RANK);
    push_strides(&mut params, &lead[0], MAX_BATCH_RANK);
    push_strides(&mut params, &lead[1], MAX_BATCH_RANK);
    let columns = |strides: [isize; 2]| (strides[0].unsigned_abs() < strides[1].unsigned_abs()) as u32;
    let constants = [("A_COLUMNS", columns(a_strides)), ("B_COLUMNS", columns(b_strides))];
    let groups = m.div_ceil(TILE).saturating_mul(n.div_ceil(TILE)).saturating_mul(batches);
    ctx.recorder().dispatch(
        ctx,
        op,
        &Dispatch {
            shader: Shader::Matmul,
            entry: "matmul",
            constants: &constants,
            inputs: &[buffer_of(op, a)?, buffer_of(op, b)?],
            output: buffer_of(op, &out)?,
            params: &params,
            groups,
        },
    )?;
    Ok(out)
}
