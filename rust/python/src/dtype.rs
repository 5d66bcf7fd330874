//! `lectorium.dtype` and its ten values.

use lectorium::DType;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The type of a tensor's elements: ``lectorium.float32``, ``lectorium.int64`` …
///
/// Example:
///     >>> lt.dtype("float16") is lt.half
///     True
#[pyclass(frozen, eq, hash, name = "dtype", module = "lectorium")]
#[derive(PartialEq, Eq, Hash)]
pub struct PyDType(pub DType);

static VALUES: PyOnceLock<Vec<Py<PyDType>>> = PyOnceLock::new();

/// The one Python object of a dtype.
pub fn object(py: Python<'_>, dtype: DType) -> PyResult<Bound<'_, PyDType>> {
    let all = VALUES.get_or_try_init(py, || {
        DType::ALL.iter().map(|&d| Py::new(py, PyDType(d))).collect::<PyResult<Vec<_>>>()
    })?;
    Ok(all[dtype as usize].bind(py).clone())
}

#[pymethods]
impl PyDType {
    #[new]
    fn new(py: Python<'_>, name: &str) -> PyResult<Py<PyDType>> {
        match DType::from_name(name) {
            Some(d) => Ok(object(py, d)?.unbind()),
            None => Err(PyTypeError::new_err(format!(
                "dtype: {name:?} is none of {}",
                DType::ALL.map(DType::name).join(", ")
            ))),
        }
    }
    fn __repr__(&self) -> String {
        format!("lectorium.{}", self.0.name())
    }
    fn __reduce__<'py>(&self, py: Python<'py>) -> (Bound<'py, pyo3::types::PyType>, (&'static str,)) {
        (py.get_type::<PyDType>(), (self.0.name(),))
    }
    /// Its name without the package.
    ///
    /// Example:
    ///     >>> lt.float32.name
    ///     'float32'
    #[getter]
    fn name(&self) -> &'static str {
        self.0.name()
    }
    /// Bytes an element takes.
    ///
    /// Example:
    ///     >>> lt.float64.itemsize, lt.bfloat16.itemsize, lt.bool.itemsize
    ///     (8, 2, 1)
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }
    /// Whether it is a float; only floats carry gradients.
    ///
    /// Example:
    ///     >>> lt.bfloat16.is_floating_point, lt.int64.is_floating_point
    ///     (True, False)
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_float()
    }
}

/// The dtype of the result of an operation on tensors of these two dtypes.
///
/// Example:
///     >>> lt.promote_types(lt.int64, lt.float16), lt.promote_types(lt.uint8, lt.int8)
///     (lectorium.float16, lectorium.int16)
#[pyfunction]
#[pyo3(name = "promote_types")]
pub fn promote_types<'py>(
    py: Python<'py>,
    a: crate::args::D,
    b: crate::args::D,
) -> PyResult<Bound<'py, PyDType>> {
    object(py, a.0.promote(b.0))
}
