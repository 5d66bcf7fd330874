//! Random numbers.

use crate::args::{D, T, sizes, volume};
use crate::door::{run1, run2};
use crate::tensor::PyTensor;
use lectorium::ops::random::{self, Generator};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;

/// The state of a stream of random numbers.
#[pyclass(frozen, subclass, weakref, name = "_Generator", module = "lectorium._core")]
pub struct PyGenerator(Generator);

#[pymethods]
impl PyGenerator {
    #[new]
    fn new(seed: u64) -> PyGenerator {
        PyGenerator(Generator::new(seed))
    }
    fn _seed(&self) -> u64 {
        self.0.seed()
    }
    fn _set_seed(&self, seed: u64) {
        self.0.set_seed(seed);
    }
    /// Seed and offset.
    fn _state(&self) -> [u64; 2] {
        self.0.state()
    }
    fn _set_state(&self, state: [u64; 2]) {
        self.0.set_state(state);
    }
    /// Counter space for `numel` dropout decisions, as (seed, offset).
    fn _reserve_dropout(&self, numel: usize) -> (u64, u64) {
        self.0.reserve(random::dropout_offset_blocks(numel))
    }
}

#[pyfunction]
fn uniform<'py>(
    py: Python<'py>,
    r#gen: &Bound<'py, PyGenerator>,
    size: Vec<i64>,
    dtype: D,
    lo: f64,
    hi: f64,
) -> Out<'py> {
    let (g, size) = (&r#gen.get().0, sizes("rand", &size)?);
    run1(py, volume(&size), || random::uniform(g, &size, dtype.0, lo, hi))
}
#[pyfunction]
fn normal<'py>(
    py: Python<'py>,
    r#gen: &Bound<'py, PyGenerator>,
    size: Vec<i64>,
    dtype: D,
    mean: f64,
    std: f64,
) -> Out<'py> {
    let (g, size) = (&r#gen.get().0, sizes("randn", &size)?);
    run1(py, volume(&size), || random::normal(g, &size, dtype.0, mean, std))
}
#[pyfunction]
fn exponential<'py>(
    py: Python<'py>,
    r#gen: &Bound<'py, PyGenerator>,
    size: Vec<i64>,
    dtype: D,
    rate: f64,
) -> Out<'py> {
    let (g, size) = (&r#gen.get().0, sizes("exponential", &size)?);
    run1(py, volume(&size), || random::exponential(g, &size, dtype.0, rate))
}
#[pyfunction]
fn randint<'py>(
    py: Python<'py>,
    r#gen: &Bound<'py, PyGenerator>,
    size: Vec<i64>,
    lo: i64,
    hi: i64,
    dtype: D,
) -> Out<'py> {
    let (g, size) = (&r#gen.get().0, sizes("randint", &size)?);
    run1(py, volume(&size), || random::randint(g, &size, lo, hi, dtype.0))
}
#[pyfunction]
fn randperm<'py>(py: Python<'py>, r#gen: &Bound<'py, PyGenerator>, n: i64) -> Out<'py> {
    let (g, n) = (&r#gen.get().0, sizes("randperm", &[n])?[0]);
    run1(py, n, || random::randperm(g, n))
}
#[pyfunction]
fn bernoulli<'py>(py: Python<'py>, r#gen: &Bound<'py, PyGenerator>, p: T) -> Out<'py> {
    let g = &r#gen.get().0;
    run1(py, p.0.numel(), || random::bernoulli(g, &p.0))
}
#[pyfunction]
fn multinomial<'py>(
    py: Python<'py>,
    r#gen: &Bound<'py, PyGenerator>,
    probs: T,
    n: i64,
    replacement: bool,
) -> Out<'py> {
    let (g, n) = (&r#gen.get().0, sizes("multinomial", &[n])?[0]);
    run1(py, probs.0.numel(), || random::multinomial(g, &probs.0, n, replacement))
}
#[pyfunction]
fn dropout<'py>(
    py: Python<'py>,
    x: T,
    p: f64,
    seed: u64,
    offset: u64,
) -> PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)> {
    run2(py, x.0.numel(), || random::dropout(seed, offset, &x.0, p))
}
#[pyfunction]
fn dropout_grad<'py>(py: Python<'py>, g: T, mask: T, p: f64) -> Out<'py> {
    run1(py, g.0.numel(), || random::dropout_grad(&g.0, &mask.0, p))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyGenerator>()?;
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(uniform, normal, exponential, randint, randperm, bernoulli, multinomial, dropout, dropout_grad);
    Ok(())
}
