//! Elementwise operations, copies and fills on the device.

use super::{
    GROUP, MAX_RANK, check_rank, expect_gpu, merge, push_dims, push_strides, unsupported, unsupported_dtype,
};
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::buffer::Buffer;
use crate::gpu::context::{self, Context};
use crate::gpu::recorder::{Dispatch, Shader};
use crate::gpu::transfer::{buffer_of, empty};
use crate::layout::{Layout, broadcast_shapes};
use crate::tensor::Tensor;

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
    push_dims(&mut params, &dims, MAX_RANK);
    for strides in &strides {
        push_strides(&mut params, strides, MAX_RANK);
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

/// `add`, `sub`, `mul` or `div` with broadcasting and PyTorch's promotion, in float32, int32 or bool;
/// `relu_grad` of a gradient and relu's output in float32.
pub fn binary(op: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let known = ["add", "sub", "mul", "div", "relu_grad"];
    let which = known.iter().position(|&name| name == op).ok_or_else(|| unsupported(op))?;
    expect_gpu(op, &[("the first one", a), ("the second one", b)])?;
    let ctx = context::get(op)?;
    let mut dtype = a.dtype().promote(b.dtype());
    if op == "div" && !dtype.is_float() {
        dtype = DType::F32;
    }
    match dtype {
        other if op == "relu_grad" && (other != DType::F32 || a.dtype() != b.dtype()) => {
            return Err(unsupported_dtype(
                op,
                "float32",
                if a.dtype() == DType::F32 { b.dtype() } else { a.dtype() },
            ));
        }
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
pub(super) fn zeros(ctx: &Context, op: &'static str, shape: &[usize], dtype: DType) -> Result<Tensor> {
    elementwise(ctx, op, "fill", &[], &[], shape, dtype)
}
