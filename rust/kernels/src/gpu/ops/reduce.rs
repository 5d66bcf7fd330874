//! Sums on the device.

use super::elementwise::zeros;
use super::{GROUP, MAX_RANK, check_rank, expect_gpu, merge, push_dims, push_strides, unsupported_dtype};
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::context;
use crate::gpu::recorder::{Dispatch, Shader};
use crate::gpu::transfer::{buffer_of, empty};
use crate::layout::{Dims, Strides, normalize_axes};
use crate::tensor::Tensor;

/// Elements one workgroup, or one thread, sums before partial sums are summed in turn.
const GROUP_CHUNK: usize = 16 * GROUP;
const THREAD_CHUNK: usize = 64;

/// The sum of float32 over some axes (all of them if none is given).
pub fn sum(x: &Tensor, axes: &[isize], keepdim: bool) -> Result<Tensor> {
    let op = "sum";
    expect_gpu(op, &[("the input", x)])?;
    let axes = normalize_axes(op, axes, x.ndim(), true)?;
    if x.dtype() != DType::F32 {
        // Sums of integers are int64, which the device does not have.
        return Err(unsupported_dtype(op, "float32", x.dtype()));
    }
    let ctx = context::get(op)?;
    let pick = |reduced: bool| -> (Dims, Strides) {
        (0..x.ndim()).filter(|a| axes.contains(a) == reduced).map(|a| (x.shape()[a], x.strides()[a])).unzip()
    };
    let ((kept, kept_strides), (reduced, reduced_strides)) = (pick(false), pick(true));
    let shape: Dims = (0..x.ndim())
        .filter(|a| keepdim || !axes.contains(a))
        .map(|a| if axes.contains(&a) { 1 } else { x.shape()[a] })
        .collect();
    let outputs: usize = kept.iter().product();
    let mut extent: usize = reduced.iter().product();
    if outputs == 0 || extent == 0 {
        return zeros(ctx, op, &shape, DType::F32);
    }

    let (mut kept, mut kept_strides) = merge_one(&kept, &kept_strides);
    let (mut reduced, mut reduced_strides) = merge_one(&reduced, &reduced_strides);
    check_rank(op, kept.len() + reduced.len(), MAX_RANK)?;
    let mut input = x.clone();
    loop {
        // Along memory, and enough of it, a workgroup sums; else each thread has an output.
        let along =
            reduced_strides.last().is_some_and(|s| s.unsigned_abs() == 1) && extent > 2 * THREAD_CHUNK;
        let most = if along { GROUP_CHUNK } else { THREAD_CHUNK };
        // Partial sums of equal length, so that none is left with a few elements.
        let chunks = extent.div_ceil(most);
        let chunk = extent.div_ceil(chunks);
        let chunks = extent.div_ceil(chunk);
        let jobs = outputs.saturating_mul(chunks);
        let out = if chunks == 1 {
            empty(ctx, op, &shape, DType::F32)?
        } else {
            empty(ctx, op, &[jobs], DType::F32)?
        };
        let dims: Dims = kept.iter().chain(&reduced).copied().collect();
        let strides: Strides = kept_strides.iter().chain(&reduced_strides).copied().collect();
        let mut params = vec![
            outputs as u32,
            extent as u32,
            chunk as u32,
            chunks as u32,
            input.layout().offset() as u32,
            kept.len() as u32,
            dims.len() as u32,
            0,
        ];
        push_dims(&mut params, &dims, MAX_RANK);
        push_strides(&mut params, &strides, MAX_RANK);
        let (entry, groups) =
            if along { ("sum_by_group", jobs) } else { ("sum_by_thread", jobs.div_ceil(GROUP)) };
        ctx.recorder().dispatch(
            ctx,
            op,
            &Dispatch {
                shader: Shader::Reduce,
                entry,
                constants: &[],
                inputs: &[buffer_of(op, &input)?],
                output: buffer_of(op, &out)?,
                params: &params,
                groups,
            },
        )?;
        if chunks == 1 {
            return Ok(out);
        }
        // Next the partial sums, which lie as the kernels write them.
        let (outer, inner) = if along { (chunks as isize, 1) } else { (1, outputs as isize) };
        (kept, kept_strides) = (Dims::from_slice(&[outputs]), Strides::from_slice(&[outer]));
        (reduced, reduced_strides) = (Dims::from_slice(&[chunks]), Strides::from_slice(&[inner]));
        extent = chunks;
        input = out;
    }
}

fn merge_one(shape: &[usize], strides: &[isize]) -> (Dims, Strides) {
    let (dims, mut merged) = merge(shape, &[strides]);
    (dims, merged.pop().unwrap_or_default())
}
