//! Python's index expressions: their basic part, and what is left for index tensors.

use crate::args::T;
use crate::tensor::{Meta, PyTensor};
use crate::view::{View, view};
use lectorium::{Dims, Error, Layout, Tensor, ops};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PySlice, PyTuple};

#[derive(Clone, PartialEq, Eq, Hash)]
enum Step {
    Select(usize, usize),
    Slice(usize, usize, usize, isize),
    Unsqueeze(usize),
}

/// The basic part of an index expression, ready to be applied to any tensor of the same shape.
#[pyclass(frozen, eq, hash, name = "BasicIndex", module = "lectorium._core")]
#[derive(PartialEq, Eq, Hash)]
pub struct BasicIndex {
    steps: Vec<Step>,
    /// What the steps were checked against.
    shape: Dims,
}

impl BasicIndex {
    fn apply(&self, layout: &Layout) -> Result<Layout, Error> {
        if layout.shape() != self.shape.as_slice() {
            let text = format!(
                "the index was made for shape {:?}, not for {:?}",
                self.shape.as_slice(),
                layout.shape()
            );
            return Err(Error::shape("index", text));
        }
        Ok(self.steps.iter().fold(layout.clone(), |l, step| match *step {
            Step::Select(axis, i) => l.select(axis, i),
            Step::Slice(axis, start, len, by) => l.slice(axis, start, len, by),
            Step::Unsqueeze(axis) => l.unsqueeze(axis),
        }))
    }
}

#[pymethods]
impl BasicIndex {
    /// Its steps as rows of numbers: 0, axis, index; 1, axis, start, length, step; 2, new axis.
    fn cuts(&self) -> Vec<Vec<i64>> {
        let row = |step: &Step| match *step {
            Step::Select(axis, i) => vec![0, axis as i64, i as i64],
            Step::Slice(axis, start, len, by) => vec![1, axis as i64, start as i64, len as i64, by as i64],
            Step::Unsqueeze(axis) => vec![2, axis as i64],
        };
        self.steps.iter().map(row).collect()
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
            if dtype == lectorium::DType::U8 {
                return Err(PyIndexError::new_err(
                    "index: a uint8 tensor could mean a mask or indices; say which with .bool() or .long()",
                ));
            }
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
    Ok((BasicIndex { steps, shape: inner.shape().into() }, any.then_some(advanced)))
}

/// First index, length and step. Negative steps are allowed: they are views too.
fn slice_parts(slice: &Bound<'_, PySlice>, size: usize) -> PyResult<(usize, usize, isize)> {
    let parts = slice.indices(size as isize)?;
    Ok((parts.start.max(0) as usize, parts.slicelength, parts.step))
}

/// The view that a basic index selects.
#[pyfunction]
pub fn basic_index<'py>(x: &Bound<'py, PyTensor>, index: &Bound<'py, BasicIndex>) -> View<'py> {
    view(x, |t| index.get().apply(t.layout()))
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
        ops::copy::copy_into("index", &out.with_layout(index.apply(out.layout())?), &g.0)?;
        Ok(out)
    })
}

/// A copy of `x` with `src` at the place that the index selects.
#[pyfunction]
pub fn basic_index_put<'py>(py: Python<'py>, x: T, src: T, index: &Bound<'py, BasicIndex>) -> View<'py> {
    let index = index.get();
    crate::door::run1(py, x.0.numel(), || {
        let out = ops::copy::clone("index", &x.0)?;
        ops::copy::copy_into("index", &out.with_layout(index.apply(out.layout())?), &src.0)?;
        Ok(out)
    })
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<BasicIndex>()?;
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(parse_index, basic_index, basic_index_grad, basic_index_put);
    Ok(())
}
