//! Matrix products, convolutions and pooling.

use crate::args::{T, sizes};
use crate::door::{run1, run2};
use crate::error::to_python;
use crate::tensor::{Meta, PyTensor};
use lectorium::Error;
use lectorium::ops::conv::{self, ConvSpec};
use lectorium::ops::matmul as mm;
use lectorium::ops::pool::{self, PoolSpec};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Out2<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;

/// Products of this many multiply-adds and more run without the GIL.
fn work_of(a: &lectorium::Tensor, b: &lectorium::Tensor) -> usize {
    a.numel().saturating_mul(b.shape().last().copied().unwrap_or(1)) / 16
}

#[pyfunction]
fn matmul<'py>(py: Python<'py>, x: T, y: T) -> Out<'py> {
    run1(py, work_of(&x.0, &y.0), || mm::matmul(&x.0, &y.0))
}

/// `x wᵀ + b`, and its ReLU if wanted.
#[pyfunction]
#[pyo3(signature = (x, w, b=None, relu=false))]
fn linear<'py>(py: Python<'py>, x: T, w: T, b: Option<T>, relu: bool) -> Out<'py> {
    let work = x.0.numel().saturating_mul(w.0.shape().first().copied().unwrap_or(1)) / 16;
    run1(py, work, || mm::addmm_bias(&x.0, &w.0, b.as_ref().map(|b| &b.0), relu))
}

fn pair(py: Python<'_>, op: &'static str, what: &str, v: [i64; 2], least: i64) -> PyResult<[usize; 2]> {
    if v.iter().any(|&x| x < least) {
        let text = format!("{what} must be {least} or more, got {v:?}");
        return Err(to_python(py, Error::value(op, text)));
    }
    Ok([v[0] as usize, v[1] as usize])
}

/// Stride, padding, dilation and groups of a convolution.
#[pyclass(frozen, name = "ConvSpec", module = "lectorium._core")]
pub struct PyConvSpec(ConvSpec);

#[pymethods]
impl PyConvSpec {
    #[new]
    fn new(
        py: Python<'_>,
        stride: [i64; 2],
        padding: [i64; 2],
        dilation: [i64; 2],
        groups: i64,
    ) -> PyResult<PyConvSpec> {
        let op = "conv2d";
        if groups < 1 {
            return Err(to_python(py, Error::value(op, format!("groups must be 1 or more, got {groups}"))));
        }
        Ok(PyConvSpec(ConvSpec {
            stride: pair(py, op, "stride", stride, 1)?,
            padding: pair(py, op, "padding", padding, 0)?,
            dilation: pair(py, op, "dilation", dilation, 1)?,
            groups: groups as usize,
        }))
    }
}

#[pyfunction]
#[pyo3(signature = (x, w, b, spec, relu=false))]
fn conv2d<'py>(
    py: Python<'py>,
    x: T,
    w: T,
    b: Option<T>,
    spec: &Bound<'py, PyConvSpec>,
    relu: bool,
) -> Out<'py> {
    let (spec, run) = (spec.get().0, if relu { conv::conv2d_relu } else { conv::conv2d });
    run1(py, x.0.numel().saturating_mul(16), || run(&x.0, &w.0, b.as_ref().map(|b| &b.0), spec))
}

#[pyfunction]
fn conv2d_input_grad<'py>(
    py: Python<'py>,
    g: T,
    w: T,
    size: Vec<i64>,
    spec: &Bound<'py, PyConvSpec>,
) -> Out<'py> {
    let (spec, size) = (spec.get().0, sizes("conv2d", &size)?);
    run1(py, g.0.numel().saturating_mul(16), || conv::conv2d_input_grad(&g.0, &w.0, &size, spec))
}

#[pyfunction]
fn conv2d_weight_grad<'py>(
    py: Python<'py>,
    g: T,
    x: T,
    size: Vec<i64>,
    spec: &Bound<'py, PyConvSpec>,
) -> Out<'py> {
    let (spec, size) = (spec.get().0, sizes("conv2d", &size)?);
    run1(py, g.0.numel().saturating_mul(16), || conv::conv2d_weight_grad(&g.0, &x.0, &size, spec))
}

/// Kernel, stride, padding, dilation and ceil_mode of a pooling.
#[pyclass(frozen, name = "PoolSpec", module = "lectorium._core")]
pub struct PyPoolSpec(PoolSpec);

#[pymethods]
impl PyPoolSpec {
    #[new]
    fn new(
        py: Python<'_>,
        kernel: [i64; 2],
        stride: [i64; 2],
        padding: [i64; 2],
        dilation: [i64; 2],
        ceil_mode: bool,
    ) -> PyResult<PyPoolSpec> {
        let op = "pool2d";
        Ok(PyPoolSpec(PoolSpec {
            kernel: pair(py, op, "kernel_size", kernel, 1)?,
            stride: pair(py, op, "stride", stride, 1)?,
            padding: pair(py, op, "padding", padding, 0)?,
            dilation: pair(py, op, "dilation", dilation, 1)?,
            ceil_mode,
        }))
    }
}

#[pyfunction]
fn max_pool2d<'py>(py: Python<'py>, x: T, spec: &Bound<'py, PyPoolSpec>) -> Out2<'py> {
    let spec = spec.get().0;
    run2(py, x.0.numel(), || pool::max_pool2d(&x.0, spec))
}

#[pyfunction]
fn max_pool2d_grad<'py>(py: Python<'py>, g: T, indices: T, meta: &Bound<'py, Meta>) -> Out<'py> {
    let shape = &meta.get().shape;
    run1(py, g.0.numel(), || pool::max_pool2d_grad(&g.0, &indices.0, shape))
}

#[pyfunction]
fn max_pool2d_gather<'py>(py: Python<'py>, x: T, indices: T) -> Out<'py> {
    run1(py, x.0.numel(), || pool::max_pool2d_gather(&x.0, &indices.0))
}

#[pyfunction]
fn max_pool2d_offsets<'py>(py: Python<'py>, x: T, spec: &Bound<'py, PyPoolSpec>) -> Out2<'py> {
    let spec = spec.get().0;
    run2(py, x.0.numel(), || pool::max_pool2d_offsets(&x.0, spec))
}

#[pyfunction]
fn max_pool2d_offsets_grad<'py>(
    py: Python<'py>,
    g: T,
    offsets: T,
    meta: &Bound<'py, Meta>,
    spec: &Bound<'py, PyPoolSpec>,
) -> Out<'py> {
    let (spec, shape) = (spec.get().0, &meta.get().shape);
    run1(py, shape.iter().product(), || pool::max_pool2d_offsets_grad(&g.0, &offsets.0, shape, spec))
}

#[pyfunction]
fn max_pool2d_offsets_gather<'py>(
    py: Python<'py>,
    x: T,
    offsets: T,
    spec: &Bound<'py, PyPoolSpec>,
) -> Out<'py> {
    let spec = spec.get().0;
    run1(py, x.0.numel(), || pool::max_pool2d_offsets_gather(&x.0, &offsets.0, spec))
}

#[pyfunction]
fn avg_pool2d<'py>(
    py: Python<'py>,
    x: T,
    spec: &Bound<'py, PyPoolSpec>,
    count_include_pad: bool,
    divisor_override: Option<i64>,
) -> Out<'py> {
    let spec = spec.get().0;
    run1(py, x.0.numel(), || pool::avg_pool2d(&x.0, spec, count_include_pad, divisor_override))
}

#[pyfunction]
fn avg_pool2d_grad<'py>(
    py: Python<'py>,
    g: T,
    meta: &Bound<'py, Meta>,
    spec: &Bound<'py, PyPoolSpec>,
    count_include_pad: bool,
    divisor_override: Option<i64>,
) -> Out<'py> {
    let (spec, shape) = (spec.get().0, &meta.get().shape);
    run1(py, g.0.numel(), || pool::avg_pool2d_grad(&g.0, shape, spec, count_include_pad, divisor_override))
}

#[pyfunction]
fn adaptive_avg_pool2d<'py>(py: Python<'py>, x: T, size: [i64; 2]) -> Out<'py> {
    let size = pair(py, "adaptive_avg_pool2d", "output_size", size, 0)?;
    run1(py, x.0.numel(), || pool::adaptive_avg_pool2d(&x.0, size))
}

#[pyfunction]
fn adaptive_avg_pool2d_grad<'py>(py: Python<'py>, g: T, meta: &Bound<'py, Meta>) -> Out<'py> {
    let shape = &meta.get().shape;
    run1(py, g.0.numel(), || pool::adaptive_avg_pool2d_grad(&g.0, shape))
}

#[pyfunction]
fn adaptive_max_pool2d<'py>(py: Python<'py>, x: T, size: [i64; 2]) -> Out2<'py> {
    let size = pair(py, "adaptive_max_pool2d", "output_size", size, 0)?;
    run2(py, x.0.numel(), || pool::adaptive_max_pool2d(&x.0, size))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyConvSpec>()?;
    m.add_class::<PyPoolSpec>()?;
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(
        matmul,
        linear,
        conv2d,
        conv2d_input_grad,
        conv2d_weight_grad,
        max_pool2d,
        max_pool2d_grad,
        max_pool2d_gather,
        max_pool2d_offsets,
        max_pool2d_offsets_grad,
        max_pool2d_offsets_gather,
        avg_pool2d,
        avg_pool2d_grad,
        adaptive_avg_pool2d,
        adaptive_avg_pool2d_grad,
        adaptive_max_pool2d
    );
    Ok(())
}
