//! Memory shared with NumPy, both ways, without a copy.

use crate::error::to_python;
use crate::tensor::PyTensor;
use lectorium::{DType, Error, Layout, Storage, Strides, Tensor};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyBytes, PyDict, PyTuple};
use std::sync::Arc;

fn typestr(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::F16 => "<f2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::BF16 => return None,
    })
}

/// A tensor on the memory of an object with `__array_interface__`, which it keeps alive.
#[pyfunction]
pub fn from_array_interface<'py>(array: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTensor>> {
    let py = array.py();
    let fail = |e: Error| to_python(py, e);
    let interface = array.getattr("__array_interface__")?.cast_into::<PyDict>()?;
    let get = |key: &str| {
        interface
            .get_item(key)?
            .ok_or_else(|| PyTypeError::new_err(format!("from_numpy: the array has no {key}")))
    };
    let name: String = get("typestr")?.extract()?;
    let dtype = DType::ALL.into_iter().find(|&d| typestr(d) == Some(name.as_str())).ok_or_else(|| {
        PyTypeError::new_err(format!(
            "from_numpy: arrays of type {name:?} have no tensor dtype here; convert with array.astype('float32'), for example"
        ))
    })?;
    let shape: Vec<usize> = get("shape")?.extract()?;
    let (address, readonly): (usize, bool) = get("data")?.extract()?;
    let strides: Option<Vec<isize>> = match interface.get_item("strides")? {
        Some(s) if !s.is_none() => Some(s.extract()?),
        _ => None,
    };
    let size = dtype.size() as isize;
    if lectorium::layout::checked_numel("from_numpy", &shape).map_err(fail)? == 0 {
        return PyTensor::wrap(py, Tensor::empty("from_numpy", &shape, dtype).map_err(fail)?);
    }
    let layout = match strides {
        None => Layout::contiguous(&shape),
        Some(bytes) => {
            if bytes.len() != shape.len() {
                let text = format!("{} sizes but {} strides", shape.len(), bytes.len());
                return Err(fail(Error::value("from_numpy", text)));
            }
            if bytes.iter().zip(&shape).any(|(s, &d)| d > 1 && s % size != 0) {
                return Err(fail(Error::value(
                    "from_numpy",
                    "the array's strides are no multiples of its element size; use numpy.ascontiguousarray(array)",
                )));
            }
            let strides: Strides = bytes.iter().map(|s| s / size).collect();
            Layout::new(shape.as_slice().into(), strides, 0)
        }
    };
    if address % dtype.size() != 0 {
        return Err(fail(Error::value(
            "from_numpy",
            "the array's memory is not aligned to its element size; use array.copy()",
        )));
    }
    // The storage starts at the lowest element, which negative strides put before the first one.
    let (lo, hi) = layout.extent();
    let layout = Layout::new(layout.shape().into(), layout.strides().into(), (-lo) as usize);
    let start = (address as isize + lo * size) as usize as *mut u8;
    let len = ((hi - lo) * size) as usize;
    let owner: Py<PyAny> = array.clone().unbind();
    // SAFETY: the array's own description of its memory; the array lives as long as the storage.
    let storage = unsafe { Storage::foreign(start, len, !readonly, Box::new(owner)) };
    let tensor = Tensor::from_parts("from_numpy", Arc::new(storage), layout, dtype).map_err(fail)?;
    PyTensor::wrap(py, tensor)
}

/// What NumPy holds on to while an array shares a tensor's memory.
#[pyclass(frozen, name = "_ArrayHandle", module = "lectorium._core")]
pub struct ArrayHandle(Tensor);

#[pymethods]
impl ArrayHandle {
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let t = &self.0;
        let size = t.dtype().size();
        let d = PyDict::new(py);
        d.set_item("version", 3)?;
        d.set_item("shape", PyTuple::new(py, t.shape())?)?;
        d.set_item("strides", PyTuple::new(py, t.strides().iter().map(|s| s * size as isize))?)?;
        d.set_item("typestr", typestr(t.dtype()))?;
        let address = t.storage().ptr() as usize + t.layout().offset() * size;
        d.set_item("data", (address, !t.storage().writable()))?;
        Ok(d)
    }
}

/// An object that NumPy can view; the storage counts as exported from now on.
#[pyfunction]
pub fn array_handle(py: Python<'_>, x: &Bound<'_, PyAny>) -> PyResult<ArrayHandle> {
    let x = crate::args::read(x, "numpy")?;
    x.0.expect_cpu("numpy").map_err(|e| to_python(py, e))?;
    if typestr(x.0.dtype()).is_none() {
        return Err(PyTypeError::new_err("numpy: NumPy has no bfloat16; convert with .float() first"));
    }
    x.0.storage().mark_exported();
    Ok(ArrayHandle(x.0))
}

/// The bytes of a row-major tensor.
#[pyfunction]
pub fn to_bytes<'py>(py: Python<'py>, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let x = crate::args::read(x, "to_bytes")?;
    let t = lectorium::ops::copy::contiguous("to_bytes", &x.0).map_err(|e| to_python(py, e))?;
    let start = t.layout().offset() * t.dtype().size();
    // SAFETY: a contiguous tensor's elements lie within its storage.
    let bytes = unsafe {
        std::slice::from_raw_parts(t.storage().ptr().add(start).cast_const(), t.numel() * t.dtype().size())
    };
    Ok(PyBytes::new(py, bytes))
}

/// A tensor with a copy of `data`, which holds exactly its elements.
#[pyfunction]
pub fn from_bytes<'py>(
    py: Python<'py>,
    data: &[u8],
    size: Vec<i64>,
    dtype: crate::args::D,
) -> PyResult<Bound<'py, PyTensor>> {
    let size = crate::args::sizes("from_bytes", &size)?;
    let made = Tensor::empty("from_bytes", &size, dtype.0).and_then(|t| {
        if t.numel() * dtype.0.size() != data.len() {
            let text = format!("{} bytes do not hold shape {size:?} of {}", data.len(), dtype.0);
            return Err(Error::value("from_bytes", text));
        }
        let bool_bytes = dtype.0 == DType::Bool && data.iter().any(|&b| b > 1);
        if bool_bytes {
            return Err(Error::value("from_bytes", "a bool is a byte of 0 or 1; the data has others"));
        }
        // SAFETY: fresh storage of exactly data.len() bytes.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), t.storage().ptr(), data.len()) };
        Ok(t)
    });
    PyTensor::wrap(py, made.map_err(|e| to_python(py, e))?)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<ArrayHandle>()?;
    m.add_function(pyo3::wrap_pyfunction!(from_array_interface, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(to_bytes, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(from_bytes, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(array_handle, m)?)
}
