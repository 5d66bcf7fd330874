//! Python's view of the kernels: the `lectorium._core` module. One line a function, no logic.

mod args;
mod basic_index;
mod dlpack;
mod door;
mod dtype;
mod elementwise;
mod error;
mod exchange;
mod index;
mod linear;
mod optim;
mod program;
mod random;
mod recurrent;
mod reduce;
mod sequence;
mod system;
mod tape;
mod tensor;
mod view;
mod walk;

use pyo3::prelude::*;

#[pymodule]
fn _core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    let problem = lectorium::simd::request_error().or_else(lectorium::ops::conv::request_error);
    if let Some(problem) = problem {
        return Err(pyo3::exceptions::PyImportError::new_err(problem));
    }
    m.add("fused", true)?;
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("ShapeError", error::shape_error(py)?)?;
    m.add_class::<tensor::PyTensor>()?;
    m.add_class::<dtype::PyDType>()?;
    for d in lectorium::DType::ALL {
        m.add(d.name(), dtype::object(py, d)?)?;
    }
    m.add_function(pyo3::wrap_pyfunction!(dtype::promote_types, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(tensor::is_grad_enabled, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(tensor::set_grad_enabled, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(tensor::needs_grad, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(tensor::version_sum, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(tensor::meta, m)?)?;
    tape::register(m)?;
    m.add_function(pyo3::wrap_pyfunction!(walk::walk_back, m)?)?;
    view::register(m)?;
    basic_index::register(m)?;
    elementwise::register(m)?;
    reduce::register(m)?;
    sequence::register(m)?;
    linear::register(m)?;
    index::register(m)?;
    random::register(m)?;
    recurrent::register(m)?;
    optim::register(m)?;
    program::register(m)?;
    exchange::register(m)?;
    dlpack::register(m)?;
    system::register(m)
}
