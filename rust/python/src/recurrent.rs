//! Recurrent layers over a sequence.

use crate::args::{T, sizes};
use crate::door::run;
use crate::error::to_python;
use crate::tensor::PyTensor;
use lectorium::ops::recurrent::{Back, Kind, Sequence, layer, sequence, sequence_grad};
use lectorium::{Error, Tensor};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

fn kind_of(py: Python<'_>, name: &str) -> PyResult<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let known = Kind::ALL.map(Kind::name).join(", ");
        to_python(
            py,
            Error::value("recurrent", format!("there is no kind {name:?}, expected one of {known}")),
        )
    })
}

fn optional(tensors: Vec<Option<T>>) -> Vec<Option<Tensor>> {
    tensors.into_iter().map(|t| t.map(|t| t.0)).collect()
}

/// What all of these functions take, as kernels want it.
struct Given {
    kind: Kind,
    state: Vec<Tensor>,
    weights: Vec<Option<Tensor>>,
    batch_sizes: Option<Vec<usize>>,
    reverse: bool,
}

impl Given {
    fn new(
        py: Python<'_>,
        kind: &str,
        state: Vec<T>,
        weights: Vec<Option<T>>,
        batch_sizes: Option<Vec<i64>>,
        reverse: bool,
    ) -> PyResult<Given> {
        let kind = kind_of(py, kind)?;
        let batch_sizes = batch_sizes.map(|s| sizes(kind.name(), &s)).transpose()?;
        let state = state.into_iter().map(|t| t.0).collect();
        Ok(Given { kind, state, weights: optional(weights), batch_sizes, reverse })
    }

    fn sequence<'a>(&'a self, x: &'a Tensor) -> Sequence<'a> {
        let Given { kind, state, weights, batch_sizes, reverse } = self;
        let batch_sizes = batch_sizes.as_deref();
        Sequence { kind: *kind, x, state, weights, batch_sizes, reverse: *reverse }
    }

    /// Every element of the gates is a sum over the state.
    fn work(&self, x: &Tensor) -> usize {
        let columns = self.state.first().and_then(|h| h.shape().last().copied()).unwrap_or(1);
        x.numel().saturating_mul(columns) / 16
    }
}

/// A few results, some of which may be missing.
fn tuple<'py>(
    py: Python<'py>,
    results: impl IntoIterator<Item = Option<Tensor>>,
) -> PyResult<Bound<'py, PyTuple>> {
    let wrapped: Vec<_> =
        results.into_iter().map(|t| t.map(|t| PyTensor::wrap(py, t)).transpose()).collect::<PyResult<_>>()?;
    PyTuple::new(py, wrapped)
}

/// The output, what the gradient needs if it is to be saved, and the final states.
#[pyfunction]
fn recurrent<'py>(
    py: Python<'py>,
    kind: &str,
    x: T,
    state: Vec<T>,
    weights: Vec<Option<T>>,
    batch_sizes: Option<Vec<i64>>,
    reverse: bool,
    save: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let given = Given::new(py, kind, state, weights, batch_sizes, reverse)?;
    let out = run(py, given.work(&x.0), || sequence(&given.sequence(&x.0), save))?;
    tuple(py, [Some(out.y), out.saved].into_iter().chain(out.state.into_iter().map(Some)))
}

/// A layer over its input where no gradient is wanted, for kinds with one product of the input: the output
/// and the final states.
#[pyfunction]
fn recurrent_layer<'py>(
    py: Python<'py>,
    kind: &str,
    x: T,
    state: Vec<T>,
    weights: Vec<Option<T>>,
    batch_sizes: Option<Vec<i64>>,
    reverse: bool,
) -> PyResult<Bound<'py, PyTuple>> {
    let given = Given::new(py, kind, state, weights, batch_sizes, reverse)?;
    // Every row meets both weights.
    let columns = x.0.shape().last().copied().unwrap_or(1).max(1);
    let weight = given.weights.iter().take(2).flatten().map(Tensor::numel).sum::<usize>();
    let work = (x.0.numel() / columns).saturating_mul(weight) / 16;
    let (y, after) = run(py, work, || layer(&given.sequence(&x.0)))?;
    tuple(py, [y].into_iter().chain(after).map(Some))
}

/// The gradients of the input, the states and the weights; None where nobody needs one.
#[pyfunction]
fn recurrent_grad<'py>(
    py: Python<'py>,
    kind: &str,
    x: T,
    state: Vec<T>,
    weights: Vec<Option<T>>,
    batch_sizes: Option<Vec<i64>>,
    reverse: bool,
    y: T,
    saved: Option<T>,
    g: Vec<Option<T>>,
    need: Vec<bool>,
) -> PyResult<Bound<'py, PyTuple>> {
    let given = Given::new(py, kind, state, weights, batch_sizes, reverse)?;
    let mut g = optional(g).into_iter();
    let (dy, dstate) = (g.next().flatten(), g.collect::<Vec<_>>());
    let out = run(py, given.work(&x.0), || {
        let saved = saved.as_ref().map(|t| &t.0);
        let back = Back { y: &y.0, saved, dy: dy.as_ref(), dstate: &dstate, need: &need };
        sequence_grad(&given.sequence(&x.0), &back)
    })?;
    tuple(py, [out.x].into_iter().chain(out.state).chain(out.weights))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(pyo3::wrap_pyfunction!(recurrent, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(recurrent_layer, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(recurrent_grad, m)?)
}
