//! The one door between Python and the kernels: releases the GIL, maps errors, stops panics.

use crate::error::to_python;
use crate::tensor::PyTensor;
use lectorium::parallel::watched;
use lectorium::{Error, Result, Tensor};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// Elements below which a kernel keeps the GIL: letting go and coming back beside a busy Python
/// thread can cost milliseconds, more than the kernel.
const GIL_GRAIN: usize = 1 << 15;

/// Lets Python's signal handlers run; whether one raised something, which is then in `raised`.
fn signalled(raised: &Mutex<Option<PyErr>>) -> bool {
    // None in a thread that is still here when Python has gone.
    match Python::try_attach(|py| py.check_signals()) {
        Some(Err(e)) => {
            *raised.lock().unwrap_or_else(|p| p.into_inner()) = Some(e);
            true
        }
        Some(Ok(())) | None => false,
    }
}

/// Runs a kernel over about `work` elements.
#[inline]
pub fn run<R: Send>(py: Python<'_>, work: usize, kernel: impl FnOnce() -> Result<R> + Send) -> PyResult<R> {
    let guarded = || catch_unwind(AssertUnwindSafe(kernel));
    let outcome = if work < GIL_GRAIN {
        guarded()
    } else {
        // A long kernel stops when a signal's handler raises, and nobody sees its results.
        let raised = Mutex::new(None);
        let outcome = py.detach(|| watched(&|| signalled(&raised), guarded));
        if let Some(e) = raised.into_inner().unwrap_or_else(|p| p.into_inner()) {
            return Err(e);
        }
        py.check_signals()?;
        outcome
    };
    match outcome {
        Ok(result) => result.map_err(|e| to_python(py, e)),
        Err(panic) => {
            // What a kernel has no other way to report: no room to reorder its input.
            let panic = match panic.downcast::<Error>() {
                Ok(error) => return Err(to_python(py, *error)),
                Err(panic) => panic,
            };
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("unknown cause");
            Err(PyRuntimeError::new_err(format!(
                "a kernel failed in a way that is a bug of lectorium: {text}"
            )))
        }
    }
}

/// As [`run`], for kernels with one tensor as result.
#[inline]
pub fn run1(
    py: Python<'_>,
    work: usize,
    kernel: impl FnOnce() -> Result<Tensor> + Send,
) -> PyResult<Bound<'_, PyTensor>> {
    PyTensor::wrap(py, run(py, work, kernel)?)
}

/// As [`run`], for kernels with two tensors as result.
pub fn run2<'py>(
    py: Python<'py>,
    work: usize,
    kernel: impl FnOnce() -> Result<(Tensor, Tensor)> + Send,
) -> PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)> {
    let (a, b) = run(py, work, kernel)?;
    Ok((PyTensor::wrap(py, a)?, PyTensor::wrap(py, b)?))
}

/// As [`run`], for kernels with three tensors as result.
pub fn run3<'py>(
    py: Python<'py>,
    work: usize,
    kernel: impl FnOnce() -> Result<(Tensor, Tensor, Tensor)> + Send,
) -> PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>, Bound<'py, PyTensor>)> {
    let (a, b, c) = run(py, work, kernel)?;
    Ok((PyTensor::wrap(py, a)?, PyTensor::wrap(py, b)?, PyTensor::wrap(py, c)?))
}
