//! Views: new layouts on the same memory.

use crate::args::{T, sizes};
use crate::error::to_python;
use crate::tensor::{Meta, PyTensor};
use lectorium::layout::{Strides, normalize_axis};
use lectorium::{Error, Layout, Tensor, ops};
use pyo3::prelude::*;

pub type View<'py> = PyResult<Bound<'py, PyTensor>>;

/// The tensor with another layout.
pub fn view<'py>(
    x: &Bound<'py, PyTensor>,
    layout: impl FnOnce(&Tensor) -> Result<Layout, Error>,
) -> View<'py> {
    let inner = x.borrow().inner.clone();
    let layout = layout(&inner).map_err(|e| to_python(x.py(), e))?;
    PyTensor::wrap_view(x, inner.with_layout(layout))
}

/// A shape with at most one -1, made whole.
fn infer_shape(op: &'static str, x: &Tensor, shape: &[i64]) -> Result<Vec<usize>, Error> {
    let numel = x.numel();
    let wrong = || {
        Error::shape(
            op,
            format!("shape {shape:?} does not hold the {numel} elements of shape {:?}", x.shape()),
        )
    };
    let mut known = 1usize;
    let mut inferred = None;
    for (i, &d) in shape.iter().enumerate() {
        match d {
            -1 if inferred.is_none() => inferred = Some(i),
            -1 => return Err(Error::value(op, format!("only one size can be -1, got {shape:?}"))),
            d if d < 0 => {
                return Err(Error::value(op, format!("sizes must not be negative, got {d} in {shape:?}")));
            }
            d => known = known.checked_mul(d as usize).ok_or_else(wrong)?,
        }
    }
    let mut out: Vec<usize> = shape.iter().map(|&d| d.max(0) as usize).collect();
    if let Some(i) = inferred {
        if known == 0 {
            return Err(Error::value(op, format!("-1 is ambiguous in {shape:?}: another size is 0")));
        }
        out[i] = numel / known;
        known *= out[i];
    }
    if known == numel { Ok(out) } else { Err(wrong()) }
}

/// A view where strides allow it, else a row-major copy.
#[pyfunction]
pub fn reshape<'py>(x: &Bound<'py, PyTensor>, shape: Vec<i64>) -> View<'py> {
    let inner = x.borrow().inner.clone();
    let shape = infer_shape("reshape", &inner, &shape).map_err(|e| to_python(x.py(), e))?;
    match inner.layout().reshape(&shape) {
        Some(layout) => PyTensor::wrap_view(x, inner.with_layout(layout)),
        None => crate::door::run1(x.py(), inner.numel(), move || {
            let copy = ops::copy::contiguous("reshape", &inner)?;
            Ok(copy.with_layout(Layout::contiguous(&shape)))
        }),
    }
}

/// As `reshape`, but never a copy.
#[pyfunction]
#[pyo3(name = "view")]
pub fn view_<'py>(x: &Bound<'py, PyTensor>, shape: Vec<i64>) -> View<'py> {
    view(x, |t| {
        let shape = infer_shape("view", t, &shape)?;
        t.layout().reshape(&shape).ok_or_else(|| {
            Error::shape(
                "view",
                format!(
                    "shape {:?} with strides {:?} cannot be seen as {shape:?} without a copy; use .reshape(...)",
                    t.shape(),
                    t.strides()
                ),
            )
        })
    })
}

#[pyfunction]
pub fn permute<'py>(x: &Bound<'py, PyTensor>, dims: Vec<isize>) -> View<'py> {
    view(x, |t| {
        if dims.len() != t.ndim() {
            return Err(Error::value("permute", format!("expected {} axes, got {dims:?}", t.ndim())));
        }
        let mut axes = Vec::with_capacity(dims.len());
        for &d in &dims {
            let axis = normalize_axis("permute", d, t.ndim())?;
            if axes.contains(&axis) {
                return Err(Error::value("permute", format!("axis {axis} appears twice in {dims:?}")));
            }
            axes.push(axis);
        }
        Ok(t.layout().permute(&axes))
    })
}

#[pyfunction]
pub fn transpose<'py>(x: &Bound<'py, PyTensor>, dim0: isize, dim1: isize) -> View<'py> {
    view(x, |t| {
        let (a, b) =
            (normalize_axis("transpose", dim0, t.ndim())?, normalize_axis("transpose", dim1, t.ndim())?);
        let mut axes: Vec<usize> = (0..t.ndim()).collect();
        if t.ndim() > 0 {
            axes.swap(a, b);
        }
        Ok(t.layout().permute(&axes))
    })
}

/// Broadcasts; -1 keeps a size.
#[pyfunction]
pub fn expand<'py>(x: &Bound<'py, PyTensor>, shape: Vec<i64>) -> View<'py> {
    view(x, |t| {
        let lead = shape.len().saturating_sub(t.ndim());
        let mut full = Vec::with_capacity(shape.len());
        for (i, &d) in shape.iter().enumerate() {
            full.push(match d {
                -1 if i >= lead => t.shape()[i - lead],
                d if d < 0 => {
                    return Err(Error::value(
                        "expand",
                        format!("size {d} of axis {i} is not allowed in {shape:?}"),
                    ));
                }
                d => d as usize,
            });
        }
        lectorium::layout::checked_numel("expand", &full)?;
        t.layout().broadcast_to("expand", &full)
    })
}

/// Drops axes of size 1: all, or those named that have it.
#[pyfunction]
#[pyo3(signature = (x, dims=None))]
pub fn squeeze<'py>(x: &Bound<'py, PyTensor>, dims: Option<crate::args::Axes>) -> View<'py> {
    view(x, |t| {
        let named: Vec<usize> = match dims {
            None => (0..t.ndim()).collect(),
            Some(dims) => lectorium::layout::normalize_axes("squeeze", &dims.0, t.ndim(), false)?.to_vec(),
        };
        let drop: Vec<usize> = named.into_iter().filter(|&i| i < t.ndim() && t.shape()[i] == 1).collect();
        Ok(t.layout().squeeze(&drop))
    })
}

#[pyfunction]
pub fn unsqueeze<'py>(x: &Bound<'py, PyTensor>, dim: isize) -> View<'py> {
    view(x, |t| Ok(t.layout().unsqueeze(normalize_axis("unsqueeze", dim, t.ndim() + 1)?)))
}

/// Any strides over the storage, checked against its size.
#[pyfunction]
#[pyo3(signature = (x, size, stride, storage_offset=None))]
pub fn as_strided<'py>(
    x: &Bound<'py, PyTensor>,
    size: Vec<i64>,
    stride: Vec<i64>,
    storage_offset: Option<i64>,
) -> View<'py> {
    let inner = x.borrow().inner.clone();
    let shape = sizes("as_strided", &size)?;
    let offset = match storage_offset {
        None => inner.layout().offset(),
        Some(o) => sizes("as_strided", &[o])?[0],
    };
    let made = (|| {
        lectorium::layout::checked_numel("as_strided", &shape)?;
        if shape.len() != stride.len() {
            return Err(Error::value(
                "as_strided",
                format!("{} sizes but {} strides", shape.len(), stride.len()),
            ));
        }
        if stride.iter().any(|&s| s < 0) {
            return Err(Error::value("as_strided", format!("strides must not be negative, got {stride:?}")));
        }
        let mut reach = offset as u128;
        for (&d, &s) in shape.iter().zip(&stride) {
            reach += (d.saturating_sub(1) as u128) * s as u128;
        }
        if reach > isize::MAX as u128 {
            return Err(Error::shape("as_strided", "the strides reach outside the storage"));
        }
        let strides: Strides = stride.iter().map(|&s| s as isize).collect();
        let layout = Layout::new(shape.as_slice().into(), strides, offset);
        Tensor::from_parts("as_strided", inner.storage().clone(), layout, inner.dtype())
    })();
    PyTensor::wrap_view(x, made.map_err(|e| to_python(x.py(), e))?)
}

#[pyfunction]
#[pyo3(signature = (x, offset=0, dim1=0, dim2=1))]
pub fn diagonal<'py>(x: &Bound<'py, PyTensor>, offset: i64, dim1: isize, dim2: isize) -> View<'py> {
    let inner = x.borrow().inner.clone();
    let made = ops::shape::diagonal(&inner, offset as isize, dim1, dim2).map_err(|e| to_python(x.py(), e))?;
    PyTensor::wrap_view(x, made)
}

#[pyfunction]
pub fn unfold<'py>(x: &Bound<'py, PyTensor>, dimension: isize, size: i64, step: i64) -> View<'py> {
    let inner = x.borrow().inner.clone();
    let parts = sizes("unfold", &[size, step])?;
    let made = ops::shape::unfold(&inner, dimension, parts[0], parts[1]).map_err(|e| to_python(x.py(), e))?;
    PyTensor::wrap_view(x, made)
}

/// `length` indices of an axis from `start`, as a view.
#[pyfunction]
pub fn narrow<'py>(x: &Bound<'py, PyTensor>, dim: isize, start: i64, length: i64) -> View<'py> {
    view(x, |t| {
        let axis = normalize_axis("narrow", dim, t.ndim())?;
        let size =
            *t.shape().get(axis).ok_or_else(|| Error::index("narrow", "the tensor has no axes"))? as i64;
        let first = if start < 0 { start + size } else { start };
        if first < 0 || length < 0 || first.checked_add(length).is_none_or(|end| end > size) {
            let text = format!("start {start} and length {length} reach outside axis {axis} of size {size}");
            return Err(Error::index("narrow", text));
        }
        Ok(t.layout().slice(axis, first as usize, length as usize, 1))
    })
}

/// Zeros of the shape of `meta` with `g` on a diagonal.
#[pyfunction]
pub fn diagonal_grad<'py>(
    py: Python<'py>,
    g: T,
    meta: &Bound<'py, Meta>,
    offset: i64,
    dim1: isize,
    dim2: isize,
) -> View<'py> {
    let shape = &meta.get().shape;
    crate::door::run1(py, shape.iter().product(), || {
        let out = Tensor::zeros("diagonal", shape, g.0.dtype())?;
        ops::copy::copy_into("diagonal", &ops::shape::diagonal(&out, offset as isize, dim1, dim2)?, &g.0)?;
        Ok(out)
    })
}

/// `extent` zeros with each element of `g` added where the strides put it.
#[pyfunction]
pub fn as_strided_scatter_add<'py>(
    py: Python<'py>,
    g: T,
    extent: usize,
    offset: usize,
    stride: Vec<isize>,
) -> View<'py> {
    crate::door::run1(py, extent, || ops::shape::as_strided_scatter_add(&g.0, extent, offset, &stride))
}

macro_rules! register {
    ($m:expr, $($f:ident),*) => { $($m.add_function(pyo3::wrap_pyfunction!($f, $m)?)?;)* };
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    register!(
        m,
        reshape,
        view_,
        permute,
        transpose,
        expand,
        squeeze,
        unsqueeze,
        as_strided,
        diagonal,
        unfold,
        narrow,
        diagonal_grad,
        as_strided_scatter_add
    );
    Ok(())
}
