//! The linear layer: a product with the transposed weight, its bias added as tiles are finished.

use super::vectors::ROWS;
use super::{Epilogue, GemmElement, Output, PackedB, Strided, gemm_operands, gemm_prepacked};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout};
use crate::ops::copy;
use crate::packs::Form;
use crate::tensor::Tensor;

/// A linear layer: `x w^T + bias` for `x` of shape `[*, K]`, `w` of `[N, K]` and `bias` of `[N]`, and a
/// ReLU behind it if wanted.
pub fn addmm_bias(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, relu: bool) -> Result<Tensor> {
    const OP: &str = "linear";
    for t in [Some(x), Some(w), bias].into_iter().flatten() {
        t.expect_cpu(OP)?;
        if t.dtype() != x.dtype() {
            let what = if std::ptr::eq(t, w) { "weight" } else { "bias" };
            return Err(Error::dtype(
                OP,
                format!(
                    "expected one dtype, got {} for the input and {} for the {what}; convert one with .to(dtype)",
                    x.dtype(),
                    t.dtype()
                ),
            ));
        }
    }
    if w.ndim() != 2 || x.ndim() == 0 {
        return Err(Error::shape(
            OP,
            format!(
                "expected an input of shape [*, K] and a weight of shape [N, K], got {:?} and {:?}",
                x.shape(),
                w.shape()
            ),
        ));
    }
    let (n, k) = (w.shape()[0], w.shape()[1]);
    let lead = &x.shape()[..x.ndim() - 1];
    if x.shape()[x.ndim() - 1] != k {
        return Err(Error::shape(
            OP,
            format!(
                "input {:?} does not fit weight {:?}: the input's last axis has {}, the weight's {k}; expected equal sizes",
                x.shape(),
                w.shape(),
                x.shape()[x.ndim() - 1]
            ),
        ));
    }
    if let Some(b) = bias.filter(|b| b.shape() != [n]) {
        return Err(Error::shape(
            OP,
            format!("bias {:?} does not fit weight {:?}: expected shape [{n}]", b.shape(), w.shape()),
        ));
    }
    let shape: Dims = lead.iter().copied().chain([n]).collect();
    match x.dtype() {
        DType::F32 => linear::<f32>(OP, x, w, bias, relu, &shape),
        DType::F64 => linear::<f64>(OP, x, w, bias, relu, &shape),
        DType::F16 | DType::BF16 => {
            let wide = |t: &Tensor| copy::cast(OP, t, DType::F32);
            let bias = bias.map(wide).transpose()?;
            copy::cast(OP, &linear::<f32>(OP, &wide(x)?, &wide(w)?, bias.as_ref(), relu, &shape)?, x.dtype())
        }
        other => Err(Error::dtype(
            OP,
            format!("expected a floating point dtype, got {other}; convert with .float()"),
        )),
    }
}

fn linear<T: GemmElement>(
    op: &'static str,
    x: &Tensor,
    w: &Tensor,
    bias: Option<&Tensor>,
    relu: bool,
    shape: &[usize],
) -> Result<Tensor> {
    let out = Tensor::empty(op, shape, T::DTYPE)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let (n, k) = (w.shape()[0], w.shape()[1]);
    let rows = out.numel() / n;
    let (copied, flat);
    let x = match x.layout().reshape(&[rows, k]) {
        Some(layout) => {
            flat = layout;
            x
        }
        None => {
            copied = copy::contiguous(op, x)?;
            flat = Layout::contiguous(&[rows, k]);
            &copied
        }
    };
    let bias = bias.map(|b| copy::contiguous(op, b)).transpose()?;
    let left = Strided { ptr: x.ptr::<T>().cast_const(), line: flat.strides()[0], k: flat.strides()[1] };
    let right = Strided { ptr: w.ptr::<T>().cast_const(), line: w.strides()[0], k: w.strides()[1] };
    let col_bias = bias.as_ref().map_or(std::ptr::null(), |b| b.ptr::<T>().cast_const());
    let epilogue = Epilogue { col_bias, relu, ..Epilogue::NONE };
    let to = Output { alpha: T::ONE, beta: T::ZERO, ptr: out.ptr::<T>(), rs: n as isize, cs: 1, epilogue };
    // Thin products have kernels of their own, which add up in another order: the bits would depend on which call
    // comes first.
    if rows > ROWS && n > ROWS && w.is_contiguous() {
        let form = Form::new("linear", &[n, k, size_of::<T>()]);
        // SAFETY: the layout stays within its storage.
        let make = || unsafe { PackedB::pack(op, &right, k, n) };
        if let Some(block) = w.kept(form, PackedB::<T>::bytes(k, n), make)? {
            // SAFETY: the form is that of this weight; the output is fresh.
            unsafe { gemm_prepacked(rows, &left, &PackedB::of(block, k, n), to) };
            return Ok(out);
        }
    }
    // SAFETY: the layouts stay within their storages; the output is fresh.
    unsafe { gemm_operands(rows, n, k, &left, &right, to) };
    Ok(out)
}
