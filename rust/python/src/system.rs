//! Threads, memory, SIMD level and the GPU's switchboard.

use crate::args::T;
use crate::door::run1;
use crate::tensor::PyTensor;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// How many threads the kernels use.
///
/// At first the cores this process may use, or `LECTORIUM_NUM_THREADS`.
///
/// Example:
///     >>> before = lt.get_num_threads()
///     >>> lt.set_num_threads(2)
///     >>> lt.get_num_threads()
///     2
///     >>> lt.set_num_threads(before)
#[pyfunction]
fn get_num_threads() -> usize {
    lectorium::parallel::num_threads()
}

/// Sets how many threads the kernels use. Results do not depend on it.
///
/// Errors: ValueError below 1 or above the most threads there can be.
///
/// Example:
///     >>> lt.set_num_threads(0)
///     Traceback (most recent call last):
///     ValueError: set_num_threads: expected 1 to 256, got 0
#[pyfunction]
fn set_num_threads(n: i64) -> PyResult<()> {
    if n < 1 || n > lectorium::parallel::MAX_THREADS as i64 {
        return Err(PyValueError::new_err(format!(
            "set_num_threads: expected 1 to {}, got {n}",
            lectorium::parallel::MAX_THREADS
        )));
    }
    lectorium::parallel::set_num_threads(n as usize);
    Ok(())
}

#[pyfunction]
fn simd_level() -> &'static str {
    lectorium::simd::level().name()
}

#[pyfunction]
fn memory_stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let s = lectorium::memory::stats();
    let d = PyDict::new(py);
    for (name, value) in [
        ("in_use", s.in_use),
        ("peak", s.peak),
        ("cached", s.cached),
        ("limit", s.limit),
        ("hits", s.hits),
        ("misses", s.misses),
    ] {
        d.set_item(name, value)?;
    }
    Ok(d)
}

#[pyfunction]
fn memory_reset_peak() {
    lectorium::memory::reset_peak();
}

#[pyfunction]
fn memory_trim(keep: usize) {
    lectorium::memory::trim(keep);
}

#[pyfunction]
fn memory_set_limit(bytes: usize) {
    lectorium::memory::set_limit(bytes);
}

#[pyfunction]
fn gpu_is_available(py: Python<'_>) -> bool {
    #[cfg(feature = "gpu")]
    return py.detach(lectorium::gpu::is_available);
    #[cfg(not(feature = "gpu"))]
    {
        let _ = py;
        false
    }
}

#[pyfunction]
fn gpu_adapter_name(py: Python<'_>) -> Option<String> {
    #[cfg(feature = "gpu")]
    return py.detach(lectorium::gpu::adapter_name);
    #[cfg(not(feature = "gpu"))]
    {
        let _ = py;
        None
    }
}

#[pyfunction]
fn to_gpu(py: Python<'_>, x: T) -> PyResult<Bound<'_, PyTensor>> {
    #[cfg(feature = "gpu")]
    return run1(py, usize::MAX, || lectorium::gpu::upload("to", &x.0));
    #[cfg(not(feature = "gpu"))]
    run1(py, 0, || {
        Err(lectorium::Error::device("to", format!("this build has no GPU support ({})", x.0.device())))
    })
}

#[pyfunction]
fn to_cpu(py: Python<'_>, x: T) -> PyResult<Bound<'_, PyTensor>> {
    #[cfg(feature = "gpu")]
    if x.0.device() == lectorium::Device::Gpu {
        return run1(py, usize::MAX, || lectorium::gpu::download("to", &x.0));
    }
    run1(py, 0, || Ok(x.0))
}

#[pyfunction]
fn gpu_synchronize(py: Python<'_>) -> PyResult<()> {
    #[cfg(feature = "gpu")]
    return crate::door::run(py, usize::MAX, lectorium::gpu::synchronize);
    #[cfg(not(feature = "gpu"))]
    {
        let _ = py;
        Ok(())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(
        get_num_threads,
        set_num_threads,
        simd_level,
        memory_stats,
        memory_reset_peak,
        memory_trim,
        memory_set_limit,
        gpu_is_available,
        gpu_adapter_name,
        to_gpu,
        to_cpu,
        gpu_synchronize
    );
    Ok(())
}
