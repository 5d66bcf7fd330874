//! Kernel errors as Python exceptions.

use lectorium::Error;
use pyo3::exceptions::{PyIndexError, PyMemoryError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

static SHAPE_ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

const SHAPE_ERROR_DOC: &str = "Shapes that do not fit together; a ValueError and a RuntimeError.

Example:
    >>> try:
    ...     lt.ones(2, 3) @ lt.ones(2, 3)
    ... except lt.ShapeError as error:
    ...     print(error)
    matmul: shapes [2, 3] and [2, 3] do not fit: ...
";

/// `ShapeError`, a ValueError and a RuntimeError (PyTorch code catches the latter).
pub fn shape_error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    let class = SHAPE_ERROR.get_or_try_init(py, || -> PyResult<Py<PyType>> {
        let bases = PyTuple::new(py, [py.get_type::<PyValueError>(), py.get_type::<PyRuntimeError>()])?;
        let body = PyDict::new(py);
        body.set_item("__module__", "lectorium")?;
        body.set_item("__doc__", SHAPE_ERROR_DOC)?;
        Ok(py.get_type::<PyType>().call1(("ShapeError", bases, body))?.cast_into::<PyType>()?.unbind())
    })?;
    Ok(class.bind(py))
}

pub fn to_python(py: Python<'_>, error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Shape { .. } => match shape_error(py) {
            Ok(class) => PyErr::from_type(class.clone(), text),
            Err(e) => e,
        },
        Error::DType { .. } => PyTypeError::new_err(text),
        Error::Index { .. } => PyIndexError::new_err(text),
        Error::Value { .. } => PyValueError::new_err(text),
        Error::Memory { .. } => PyMemoryError::new_err(text),
        Error::Device { .. } | Error::Runtime { .. } => PyRuntimeError::new_err(text),
    }
}
