//! Indexing, joining and sorting.

use crate::args::{Number, T, opt_refs, refs, sizes, total};
use crate::door::{run, run1, run2, run3};
use crate::error::to_python;
use crate::tensor::{Meta, PyTensor};
use lectorium::Error;
use lectorium::ops::{index as ix, shape, sort as so};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Out2<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;
type Out3<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;

#[pyfunction]
fn gather<'py>(py: Python<'py>, x: T, dim: isize, index: T) -> Out<'py> {
    run1(py, index.0.numel(), || ix::gather(&x.0, dim, &index.0))
}
#[pyfunction]
fn scatter<'py>(py: Python<'py>, x: T, dim: isize, index: T, src: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::scatter(&x.0, dim, &index.0, &src.0))
}
#[pyfunction]
fn scatter_value<'py>(py: Python<'py>, x: T, dim: isize, index: T, value: Number) -> Out<'py> {
    run1(py, x.0.numel(), || ix::scatter_value(&x.0, dim, &index.0, value.0))
}
#[pyfunction]
fn scatter_add<'py>(py: Python<'py>, x: T, dim: isize, index: T, src: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::scatter_add(&x.0, dim, &index.0, &src.0))
}
#[pyfunction]
fn index_select<'py>(py: Python<'py>, x: T, dim: isize, index: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::index_select(&x.0, dim, &index.0))
}
#[pyfunction]
fn index_add<'py>(py: Python<'py>, x: T, dim: isize, index: T, src: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::index_add(&x.0, dim, &index.0, &src.0))
}
#[pyfunction]
fn index_get<'py>(py: Python<'py>, x: T, indices: Vec<Option<T>>) -> Out<'py> {
    run1(py, x.0.numel(), || ix::index_get(&x.0, &opt_refs(&indices)))
}
/// In place; counts the change.
#[pyfunction]
fn index_put_into(
    py: Python<'_>,
    dst: T,
    indices: Vec<Option<T>>,
    value: T,
    accumulate: bool,
) -> PyResult<()> {
    run(py, value.0.numel(), || ix::index_put(&dst.0, &opt_refs(&indices), &value.0, accumulate))
}
/// A copy of `x` with `value` written or added where the indices point.
#[pyfunction]
#[pyo3(signature = (x, value, indices, accumulate=false))]
fn index_put<'py>(py: Python<'py>, x: T, value: T, indices: Vec<Option<T>>, accumulate: bool) -> Out<'py> {
    run1(py, x.0.numel(), || {
        let out = lectorium::ops::copy::clone("index_put", &x.0)?;
        ix::index_put(&out, &opt_refs(&indices), &value.0, accumulate)?;
        Ok(out)
    })
}
#[pyfunction]
fn index_get_grad<'py>(py: Python<'py>, g: T, meta: &Bound<'py, Meta>, indices: Vec<Option<T>>) -> Out<'py> {
    let size = &meta.get().shape;
    run1(py, g.0.numel(), || ix::index_get_grad(&g.0, size, &opt_refs(&indices)))
}
#[pyfunction]
fn nonzero<'py>(py: Python<'py>, x: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::nonzero(&x.0))
}
#[pyfunction]
fn masked_fill<'py>(py: Python<'py>, x: T, mask: T, value: Number) -> Out<'py> {
    run1(py, x.0.numel(), || ix::masked_fill(&x.0, &mask.0, value.0))
}
#[pyfunction]
fn one_hot<'py>(py: Python<'py>, x: T, num_classes: i64) -> Out<'py> {
    run1(py, x.0.numel(), || ix::one_hot(&x.0, num_classes))
}
#[pyfunction]
fn bincount<'py>(py: Python<'py>, x: T, minlength: i64) -> Out<'py> {
    let minlength = sizes("bincount", &[minlength])?[0];
    run1(py, x.0.numel(), || ix::bincount(&x.0, minlength))
}

#[pyfunction]
fn cat<'py>(py: Python<'py>, tensors: Vec<T>, dim: isize) -> Out<'py> {
    run1(py, total(&tensors), || shape::cat(&refs(&tensors), dim))
}
#[pyfunction]
fn cat_part<'py>(py: Python<'py>, g: T, dim: isize, start: usize, length: usize) -> Out<'py> {
    run1(py, g.0.numel(), || shape::cat_part(&g.0, dim, start, length))
}
#[pyfunction]
fn pad_constant<'py>(py: Python<'py>, x: T, pads: Vec<(isize, isize)>, value: Number) -> Out<'py> {
    run1(py, x.0.numel(), || shape::pad_constant(&x.0, &pads, value.0))
}
fn pad_mode(py: Python<'_>, mode: &str) -> PyResult<shape::PadMode> {
    Ok(match mode {
        "reflect" => shape::PadMode::Reflect,
        "replicate" => shape::PadMode::Replicate,
        "circular" => shape::PadMode::Circular,
        other => {
            let text =
                format!("mode must be 'constant', 'reflect', 'replicate' or 'circular', got {other:?}");
            return Err(to_python(py, Error::value("pad", text)));
        }
    })
}
#[pyfunction]
fn pad_index<'py>(py: Python<'py>, x: T, pads: Vec<isize>, mode: &str) -> Out<'py> {
    let mode = pad_mode(py, mode)?;
    run1(py, x.0.numel(), || shape::pad_index(&x.0, &pads, mode))
}
#[pyfunction]
fn pad_index_grad<'py>(
    py: Python<'py>,
    g: T,
    meta: &Bound<'py, Meta>,
    pads: Vec<isize>,
    mode: &str,
) -> Out<'py> {
    let (mode, size) = (pad_mode(py, mode)?, &meta.get().shape);
    run1(py, g.0.numel(), || shape::pad_index_grad(&g.0, size, &pads, mode))
}
#[pyfunction]
fn flip<'py>(py: Python<'py>, x: T, dims: Vec<isize>) -> Out<'py> {
    run1(py, x.0.numel(), || shape::flip(&x.0, &dims))
}
#[pyfunction]
fn roll<'py>(py: Python<'py>, x: T, shifts: Vec<isize>, dims: Vec<isize>) -> Out<'py> {
    run1(py, x.0.numel(), || shape::roll(&x.0, &shifts, &dims))
}
#[pyfunction]
#[pyo3(signature = (x, diagonal=0))]
fn tril<'py>(py: Python<'py>, x: T, diagonal: i64) -> Out<'py> {
    run1(py, x.0.numel(), || shape::tril(&x.0, diagonal))
}
#[pyfunction]
#[pyo3(signature = (x, diagonal=0))]
fn triu<'py>(py: Python<'py>, x: T, diagonal: i64) -> Out<'py> {
    run1(py, x.0.numel(), || shape::triu(&x.0, diagonal))
}
#[pyfunction]
fn repeat_interleave<'py>(py: Python<'py>, x: T, repeats: i64, dim: isize) -> Out<'py> {
    let repeats = sizes("repeat_interleave", &[repeats])?[0];
    run1(py, x.0.numel(), || shape::repeat_interleave(&x.0, repeats, dim))
}

#[pyfunction]
fn sort<'py>(py: Python<'py>, x: T, dim: isize, descending: bool, stable: bool) -> Out2<'py> {
    run2(py, x.0.numel(), || so::sort(&x.0, dim, descending, stable))
}
#[pyfunction]
fn topk<'py>(py: Python<'py>, x: T, k: i64, dim: isize, largest: bool, sorted: bool) -> Out2<'py> {
    let k = sizes("topk", &[k])?[0];
    run2(py, x.0.numel(), || so::topk(&x.0, k, dim, largest, sorted))
}
#[pyfunction]
fn kthvalue<'py>(py: Python<'py>, x: T, k: i64, dim: isize) -> Out2<'py> {
    let k = sizes("kthvalue", &[k])?[0];
    run2(py, x.0.numel(), || so::kthvalue(&x.0, k, dim))
}
#[pyfunction]
fn median_dim<'py>(py: Python<'py>, x: T, dim: isize) -> Out2<'py> {
    run2(py, x.0.numel(), || so::median(&x.0, dim))
}
#[pyfunction]
fn unique<'py>(py: Python<'py>, x: T) -> Out3<'py> {
    run3(py, x.0.numel(), || so::unique(&x.0))
}
#[pyfunction]
fn searchsorted<'py>(py: Python<'py>, sorted_sequence: T, values: T, right: bool) -> Out<'py> {
    run1(py, values.0.numel(), || so::searchsorted(&sorted_sequence.0, &values.0, right))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(
        gather,
        scatter,
        scatter_value,
        scatter_add,
        index_select,
        index_add,
        index_get,
        index_put_into,
        index_put,
        index_get_grad,
        nonzero,
        masked_fill,
        one_hot,
        bincount,
        cat,
        cat_part,
        pad_constant,
        pad_index,
        pad_index_grad,
        flip,
        roll,
        tril,
        triu,
        repeat_interleave,
        sort,
        topk,
        kthvalue,
        median_dim,
        unique,
        searchsorted
    );
    Ok(())
}
