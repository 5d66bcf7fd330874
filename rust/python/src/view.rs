//! Views: new layouts on the same memory, and Python's index expressions.

use crate::args::{T, sizes};
use crate::error::to_python;
use crate::tensor::{Meta, PyTensor};
use lectorium::layout::{Strides, normalize_axis};
use lectorium::{Error, Layout, Tensor, ops};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PySlice, PyTuple};

type View<'py> = PyResult<Bound<'py, PyTensor>>;

fn view<'py>(x: &Bound<'py, PyTensor>, layout: impl FnOnce(&Tensor) -> Result<Layout, Error>) -> View<'py> {
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

#[derive(Clone)]
enum Step {
    Select(usize, usize),
    Slice(usize, usize, usize, isize),
    Unsqueeze(usize),
}

/// The basic part of an index expression, ready to be applied to any tensor of the same shape.
#[pyclass(frozen, name = "BasicIndex", module = "lectorium._core")]
pub struct BasicIndex {
    steps: Vec<Step>,
}

impl BasicIndex {
    fn apply(&self, layout: &Layout) -> Layout {
        self.steps.iter().fold(layout.clone(), |l, step| match *step {
            Step::Select(axis, i) => l.select(axis, i),
            Step::Slice(axis, start, len, by) => l.slice(axis, start, len, by),
            Step::Unsqueeze(axis) => l.unsqueeze(axis),
        })
    }
}

/// The index tensor of each axis, None for a whole axis.
type Advanced<'py> = Vec<Option<Bound<'py, PyTensor>>>;

/// Splits an index into its basic part and, if there is one, the advanced part: a list with a
/// tensor for each indexed axis of the basic result and None for the others.
#[pyfunction]
pub fn parse_index<'py>(
    x: &Bound<'py, PyTensor>,
    index: &Bound<'py, PyAny>,
) -> PyResult<(BasicIndex, Option<Advanced<'py>>)> {
    let py = x.py();
    let inner = x.borrow().inner.clone();
    let single;
    let items: Vec<Bound<'py, PyAny>> = match index.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter().collect(),
        Err(_) => {
            single = index.clone();
            vec![single]
        }
    };
    // What each item is, so that the Ellipsis knows how many axes it stands for.
    let mut prepared = Vec::with_capacity(items.len());
    let (mut consumed, mut ellipses) = (0usize, 0usize);
    for item in items {
        let item = if item.cast::<PyTensor>().is_ok()
            || item.is_none()
            || item.cast::<PySlice>().is_ok()
            || item.cast::<PyEllipsis>().is_ok()
            || (item.cast::<PyInt>().is_ok() && item.cast::<PyBool>().is_err())
        {
            item
        } else if item.cast::<PyBool>().is_ok() {
            return Err(PyIndexError::new_err(
                "index: a single True or False is not supported as an index; use a bool tensor, or None for a new axis",
            ));
        } else if item.hasattr("__index__")? && !item.hasattr("shape")? {
            item.call_method0("__index__")?
        } else if item.cast::<pyo3::types::PyList>().is_ok() || item.hasattr("__array__")? {
            let made = py.import("lectorium")?.call_method1("tensor", (item,))?;
            let empty_floats = {
                let t = made.cast::<PyTensor>()?.borrow();
                t.inner.numel() == 0 && t.inner.dtype().is_float()
            };
            // `[]` says nothing about its type.
            if empty_floats { made.call_method0("long")? } else { made }
        } else {
            return Err(PyTypeError::new_err(format!(
                "index: expected an int, slice, None, ..., or a tensor or list of ints or bools, got {}",
                item.get_type().name()?
            )));
        };
        if item.cast::<PyEllipsis>().is_ok() {
            ellipses += 1;
        } else if let Ok(t) = item.cast::<PyTensor>() {
            let t = t.borrow();
            consumed += if t.inner.dtype() == lectorium::DType::Bool { t.inner.ndim() } else { 1 };
        } else if !item.is_none() {
            consumed += 1;
        }
        prepared.push(item);
    }
    if ellipses > 1 {
        return Err(PyIndexError::new_err("index: only one ... is allowed"));
    }
    if consumed > inner.ndim() {
        return Err(PyIndexError::new_err(format!(
            "index: {consumed} indices for a tensor of {} axes (shape {:?})",
            inner.ndim(),
            inner.shape()
        )));
    }
    let skip = inner.ndim() - consumed;
    let (mut steps, mut advanced) = (Vec::new(), Vec::new());
    // `axis` counts axes of the result so far, `source` those of the tensor.
    let (mut axis, mut source, mut any) = (0usize, 0usize, false);
    for item in &prepared {
        if item.is_none() {
            steps.push(Step::Unsqueeze(axis));
            advanced.push(None);
            axis += 1;
        } else if item.cast::<PyEllipsis>().is_ok() {
            advanced.extend((0..skip).map(|_| None));
            axis += skip;
            source += skip;
        } else if let Ok(t) = item.cast::<PyTensor>() {
            let (dtype, ndim) = {
                let t = t.borrow();
                (t.inner.dtype(), t.inner.ndim())
            };
            if dtype.is_float() {
                return Err(PyIndexError::new_err(format!(
                    "index: tensors used as indices must be int or bool, got {dtype}"
                )));
            }
            any = true;
            let taken = if dtype == lectorium::DType::Bool { ndim } else { 1 };
            advanced.push(Some(t.clone()));
            axis += taken;
            source += taken;
        } else if let Ok(slice) = item.cast::<PySlice>() {
            let size = inner.shape()[source];
            let (start, len, step) = slice_parts(slice, size)?;
            steps.push(Step::Slice(axis, start, len, step));
            advanced.push(None);
            axis += 1;
            source += 1;
        } else {
            let size = inner.shape()[source] as i64;
            let i: i64 = item.extract()?;
            if i < -size || i >= size {
                return Err(PyIndexError::new_err(format!(
                    "index: {i} is out of range for axis {source} with size {size}"
                )));
            }
            steps.push(Step::Select(axis, if i < 0 { i + size } else { i } as usize));
            source += 1;
        }
    }
    Ok((BasicIndex { steps }, any.then_some(advanced)))
}

/// First index, length and step. Negative steps are allowed: they are views too.
fn slice_parts(slice: &Bound<'_, PySlice>, size: usize) -> PyResult<(usize, usize, isize)> {
    let parts = slice.indices(size as isize)?;
    Ok((parts.start.max(0) as usize, parts.slicelength, parts.step))
}

/// The view that a basic index selects.
#[pyfunction]
pub fn basic_index<'py>(x: &Bound<'py, PyTensor>, index: &Bound<'py, BasicIndex>) -> View<'py> {
    view(x, |t| Ok(index.get().apply(t.layout())))
}

/// Zeros of the shape of `meta` with `g` at the place that the index selects.
#[pyfunction]
pub fn basic_index_grad<'py>(
    py: Python<'py>,
    g: T,
    meta: &Bound<'py, Meta>,
    index: &Bound<'py, BasicIndex>,
) -> View<'py> {
    let (shape, index) = (&meta.get().shape, index.get());
    crate::door::run1(py, shape.iter().product(), || {
        let out = Tensor::zeros("index", shape, g.0.dtype())?;
        ops::copy::copy_into("index", &out.with_layout(index.apply(out.layout())), &g.0)?;
        Ok(out)
    })
}

/// A copy of `x` with `src` at the place that the index selects.
#[pyfunction]
pub fn basic_index_put<'py>(py: Python<'py>, x: T, src: T, index: &Bound<'py, BasicIndex>) -> View<'py> {
    let index = index.get();
    crate::door::run1(py, x.0.numel(), || {
        let out = ops::copy::clone("index", &x.0)?;
        ops::copy::copy_into("index", &out.with_layout(index.apply(out.layout())), &src.0)?;
        Ok(out)
    })
}

macro_rules! register {
    ($m:expr, $($f:ident),*) => { $($m.add_function(pyo3::wrap_pyfunction!($f, $m)?)?;)* };
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<BasicIndex>()?;
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
        as_strided_scatter_add,
        parse_index,
        basic_index,
        basic_index_grad,
        basic_index_put
    );
    Ok(())
}
