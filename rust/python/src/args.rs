//! What Python passes: tensors, numbers, dtypes.

use crate::dtype::PyDType;
use crate::tensor::PyTensor;
use lectorium::{DType, Scalar, Tensor};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};

/// A tensor argument: a handle of its own, so that nobody's borrow lasts while the GIL is away.
#[derive(Clone)]
pub struct T(pub Tensor);

impl<'a, 'py> FromPyObject<'a, 'py> for T {
    type Error = PyErr;
    #[inline]
    fn extract(obj: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match obj.cast::<PyTensor>() {
            Ok(t) => Ok(T(t.borrow().inner.clone())),
            Err(_) => Err(expected(&obj, "a Tensor")),
        }
    }
}

/// A tensor whose values `name` hands to the outside.
pub fn read(obj: &Bound<'_, PyAny>, name: &'static str) -> PyResult<T> {
    if let Ok(t) = obj.cast::<PyTensor>() {
        crate::tape::reads(t, name)?;
    }
    obj.extract()
}

fn expected(obj: &Bound<'_, PyAny>, what: &str) -> PyErr {
    let name = obj.get_type().name().map(|n| n.to_string()).unwrap_or_default();
    let hint = if name == "ndarray" { "; convert it with lectorium.from_numpy(array)" } else { "" };
    PyTypeError::new_err(format!("expected {what}, got {name}{hint}"))
}

/// A Python number, or something that stands for one (a NumPy scalar).
#[derive(Clone, Copy)]
pub struct Number(pub Scalar);

impl<'a, 'py> FromPyObject<'a, 'py> for Number {
    type Error = PyErr;
    fn extract(obj: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Some(n) = Number::plain(obj)? {
            return Ok(n);
        }
        // NumPy scalars and 0-dim tensors know themselves as Python numbers.
        if obj.hasattr("item")? && (obj.hasattr("ndim")? && obj.getattr("ndim")?.extract::<usize>()? == 0) {
            // Not asked again: an object may answer with itself.
            if let Some(n) = Number::plain(obj.call_method0("item")?.as_borrowed())? {
                return Ok(n);
            }
        }
        Err(expected(&obj, "a number"))
    }
}

impl Number {
    /// Python's own numbers.
    fn plain(obj: Borrowed<'_, '_, PyAny>) -> PyResult<Option<Number>> {
        if let Ok(f) = obj.cast::<PyFloat>() {
            return Ok(Some(Number(Scalar::Float(f.value()))));
        }
        if let Ok(b) = obj.cast::<PyBool>() {
            return Ok(Some(Number(Scalar::Bool(b.is_true()))));
        }
        if obj.cast::<PyInt>().is_ok() {
            let value: i64 = obj.extract().map_err(|_| {
                PyOverflowError::new_err(format!("the integer {} does not fit in int64", *obj))
            })?;
            return Ok(Some(Number(Scalar::Int(value))));
        }
        Ok(None)
    }
}

/// A tensor or a number.
#[derive(Clone)]
pub enum Arg {
    Tensor(Tensor),
    Scalar(Scalar),
}

impl<'a, 'py> FromPyObject<'a, 'py> for Arg {
    type Error = PyErr;
    #[inline]
    fn extract(obj: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(t) = obj.cast::<PyTensor>() {
            return Ok(Arg::Tensor(t.borrow().inner.clone()));
        }
        match Number::extract(obj) {
            Ok(n) => Ok(Arg::Scalar(n.0)),
            Err(e) if e.is_instance_of::<PyOverflowError>(obj.py()) => Err(e),
            Err(_) => Err(expected(&obj, "a Tensor or a number")),
        }
    }
}

impl Arg {
    pub fn operand(&self) -> lectorium::ops::elementwise::Operand<'_> {
        use lectorium::ops::elementwise::Operand;
        match self {
            Arg::Tensor(t) => Operand::Tensor(t),
            Arg::Scalar(s) => Operand::Scalar(*s),
        }
    }
    pub fn numel(&self) -> usize {
        match self {
            Arg::Tensor(t) => t.numel(),
            Arg::Scalar(_) => 1,
        }
    }
}

/// A dtype argument.
#[derive(Clone, Copy)]
pub struct D(pub DType);

impl<'a, 'py> FromPyObject<'a, 'py> for D {
    type Error = PyErr;
    fn extract(obj: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(d) = obj.cast::<PyDType>() {
            return Ok(D(d.get().0));
        }
        // Python's own types, as PyTorch takes them.
        let py = obj.py();
        if obj.is(py.get_type::<PyFloat>()) {
            return Ok(D(DType::F64));
        }
        if obj.is(py.get_type::<PyInt>()) {
            return Ok(D(DType::I64));
        }
        if obj.is(py.get_type::<PyBool>()) {
            return Ok(D(DType::Bool));
        }
        Err(PyTypeError::new_err(format!(
            "expected a dtype such as lectorium.float32, got {}",
            obj.repr().map(|r| r.to_string()).unwrap_or_default()
        )))
    }
}

/// An axis, several, or none (all).
pub struct Axes(pub Vec<isize>);

impl<'a, 'py> FromPyObject<'a, 'py> for Axes {
    type Error = PyErr;
    fn extract(obj: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if obj.is_none() {
            return Ok(Axes(Vec::new()));
        }
        if let Ok(axis) = obj.extract::<isize>() {
            return Ok(Axes(vec![axis]));
        }
        obj.extract::<Vec<isize>>().map(Axes).map_err(|_| expected(&obj, "an axis or a tuple of axes"))
    }
}

/// A list of sizes; negative ones are refused by name.
pub fn sizes(op: &'static str, shape: &[i64]) -> PyResult<Vec<usize>> {
    shape
        .iter()
        .map(|&d| {
            usize::try_from(d).map_err(|_| {
                pyo3::exceptions::PyValueError::new_err(format!(
                    "{op}: sizes must not be negative, got {d} in {shape:?}"
                ))
            })
        })
        .collect()
}

/// How many elements that makes.
pub fn volume(size: &[usize]) -> usize {
    size.iter().fold(1usize, |n, &d| n.saturating_mul(d))
}

/// What kernels take of a list of tensors.
pub fn refs(list: &[T]) -> Vec<&Tensor> {
    list.iter().map(|t| &t.0).collect()
}

/// As [`refs`], where some may be missing.
pub fn opt_refs(list: &[Option<T>]) -> Vec<Option<&Tensor>> {
    list.iter().map(|t| t.as_ref().map(|t| &t.0)).collect()
}

/// The elements of all tensors of a list.
pub fn total(list: &[T]) -> usize {
    list.iter().map(|t| t.0.numel()).sum()
}
