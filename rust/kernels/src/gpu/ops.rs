//! The operations that have kernels on the device.

use super::buffer::Buffer;
use super::context::{self, Context};
use super::recorder::{Dispatch, Shader};
use super::transfer::{buffer_of, empty};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout, Strides, broadcast_shapes, normalize_axes};
use crate::storage::Device;
use crate::tensor::Tensor;

/// Threads of a workgroup.
const GROUP: usize = 256;
/// Axes that a kernel's parameters hold, after merging.
const MAX_RANK: usize = 8;
const MAX_BATCH_RANK: usize = 4;
/// Elements one workgroup, or one thread, sums before partial sums are summed in turn.
const GROUP_CHUNK: usize = 16 * GROUP;
const THREAD_CHUNK: usize = 64;
/// Rows and columns of matmul's tile.
const TILE: usize = 64;

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

/// The words of shapes or strides, padded to the `n` that the kernel's struct holds. Extents were
/// bounded by what a buffer holds, so every value that is used fits.
fn words<T: Copy + TryInto<i64>>(values: &[T], n: usize) -> impl Iterator<Item = u32> {
    let padded: Vec<u32> = values
        .iter()
        .map(|&v| v.try_into().unwrap_or(0) as u32)
        .chain(std::iter::repeat(0))
        .take(n)
        .collect();
    padded.into_iter()
}

fn elementwise(
    ctx: &Context,
    op: &'static str,
    entry: &'static str,
    constants: &[(&'static str, u32)],
    inputs: &[&Tensor],
    shape: &[usize],
    dtype: DType,
) -> Result<Tensor> {
    let out = empty(ctx, op, shape, dtype)?;
    let n = out.numel();
    if n == 0 {
        return Ok(out);
    }
    let layouts: Vec<Layout> =
        inputs.iter().map(|t| t.layout().broadcast_to(op, shape)).collect::<Result<_>>()?;
    let (dims, strides) = merge(shape, &layouts.iter().map(Layout::strides).collect::<Vec<_>>());
    check_rank(op, dims.len(), MAX_RANK)?;
    let offset = |i: usize| layouts.get(i).map_or(0, |l| l.offset() as u32);
    let mut params = vec![n as u32, dims.len() as u32, offset(0), offset(1)];
    params.extend(words(&dims, MAX_RANK));
    for strides in &strides {
        params.extend(words(strides, MAX_RANK));
    }
    let buffers: Vec<&Buffer> = inputs.iter().map(|t| buffer_of(op, t)).collect::<Result<_>>()?;
    let groups = n.div_ceil(GROUP);
    ctx.recorder().dispatch(
        ctx,
        op,
        &Dispatch {
            shader: Shader::Elementwise,
            entry,
            constants,
            inputs: &buffers,
            output: buffer_of(op, &out)?,
            params: &params,
            groups,
        },
    )?;
    Ok(out)
}

/// How the kernels number the dtypes of words.
fn code(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::Bool => 2,
        _ => 1,
    }
}

/// `add`, `sub`, `mul` or `div` with broadcasting and PyTorch's promotion, in float32, int32 or bool.
pub fn binary(op: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let which =
        ["add", "sub", "mul", "div"].iter().position(|&name| name == op).ok_or_else(|| unsupported(op))?;
    expect_gpu(op, &[("the first one", a), ("the second one", b)])?;
    let ctx = context::get(op)?;
    let mut dtype = a.dtype().promote(b.dtype());
    if op == "div" && !dtype.is_float() {
        dtype = DType::F32;
    }
    match dtype {
        DType::F32 | DType::I32 => {}
        DType::Bool if op != "sub" => {}
        // Sums and products of what int32 holds may need int64.
        other => return Err(unsupported_dtype(op, "operands that give float32 or int32", other)),
    }
    let shape = broadcast_shapes(op, a.shape(), b.shape())?;
    let constants = [
        ("A_TYPE", code(a.dtype())),
        ("B_TYPE", code(b.dtype())),
        ("TYPE", code(dtype)),
        ("OP", which as u32),
    ];
    elementwise(ctx, op, "binary", &constants, &[a, b], &shape, dtype)
}

/// `relu` of float32 or int32; NaN stays NaN.
pub fn unary(op: &'static str, x: &Tensor) -> Result<Tensor> {
    if op != "relu" {
        return Err(unsupported(op));
    }
    expect_gpu(op, &[("the input", x)])?;
    if x.dtype() == DType::Bool {
        return Err(unsupported_dtype(op, "float32 or an integer type", x.dtype()));
    }
    let ctx = context::get(op)?;
    elementwise(ctx, op, "unary", &[("TYPE", code(x.dtype())), ("OP", 1)], &[x], x.shape(), x.dtype())
}

/// The tensor itself if it is row-major, else a row-major copy on the device.
pub fn contiguous(op: &'static str, x: &Tensor) -> Result<Tensor> {
    expect_gpu(op, &[("the input", x)])?;
    if x.is_contiguous() {
        return Ok(x.clone());
    }
    let ctx = context::get(op)?;
    elementwise(ctx, op, "unary", &[("TYPE", code(x.dtype())), ("OP", 0)], &[x], x.shape(), x.dtype())
}

/// Zeros of any dtype: all bits are zero in each.
fn zeros(ctx: &Context, op: &'static str, shape: &[usize], dtype: DType) -> Result<Tensor> {
    elementwise(ctx, op, "fill", &[], &[], shape, dtype)
}

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
        params.extend(words(&dims, MAX_RANK));
        params.extend(words(&strides, MAX_RANK));
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
    params.extend(words(&a_strides, 2));
    params.extend(words(&b_strides, 2));
    params.extend(words(&dims, MAX_BATCH_RANK));
    params.extend(words(&lead[0], MAX_BATCH_RANK));
    params.extend(words(&lead[1], MAX_BATCH_RANK));
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
