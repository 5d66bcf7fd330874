//! Recurrent layers over a sequence.

use crate::args::{T, sizes};
use crate::door::run;
use crate::error::to_python;
use crate::tensor::PyTensor;
use lectorium::ops::recurrent::{Back, Kind, Layer, Sequence, layer, sequence, sequence_grad};
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

fn plain(tensors: Vec<T>) -> Vec<Tensor> {
    tensors.into_iter().map(|t| t.0).collect()
}

fn optional(tensors: Vec<Option<T>>) -> Vec<Option<Tensor>> {
    tensors.into_iter().map(|t| t.map(|t| t.0)).collect()
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
    let kind = kind_of(py, kind)?;
    let batch_sizes = batch_sizes.map(|s| sizes(kind.name(), &s)).transpose()?;
    let (state, weights) = (plain(state), optional(weights));
    let work = work_of(&x.0, &state);
    let out = run(py, work, || {
        let (state, weights, batch_sizes) = (&state, &weights, batch_sizes.as_deref());
        sequence(&Sequence { kind, x: &x.0, state, weights, batch_sizes, reverse }, save)
    })?;
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
    let kind = kind_of(py, kind)?;
    let batch_sizes = batch_sizes.map(|s| sizes(kind.name(), &s)).transpose()?;
    let (state, weights) = (plain(state), optional(weights));
    // Every row meets both weights.
    let columns = x.0.shape().last().copied().unwrap_or(1).max(1);
    let weight = weights.iter().take(2).flatten().map(Tensor::numel).sum::<usize>();
    let work = (x.0.numel() / columns).saturating_mul(weight) / 16;
    let (y, after) = run(py, work, || {
        let (state, weights, batch_sizes) = (&state, &weights, batch_sizes.as_deref());
        layer(&Layer { kind, x: &x.0, state, weights, batch_sizes, reverse })
    })?;
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
    let kind = kind_of(py, kind)?;
    let batch_sizes = batch_sizes.map(|s| sizes(kind.name(), &s)).transpose()?;
    let (state, weights, mut g) = (plain(state), optional(weights), optional(g).into_iter());
    let (dy, dstate) = (g.next().flatten(), g.collect::<Vec<_>>());
    let work = work_of(&x.0, &state);
    let out = run(py, work, || {
        let (state, weights, batch_sizes) = (&state, &weights, batch_sizes.as_deref());
        let sequence = Sequence { kind, x: &x.0, state, weights, batch_sizes, reverse };
        let saved = saved.as_ref().map(|t| &t.0);
        let back = Back { y: &y.0, saved, dy: dy.as_ref(), dstate: &dstate, need: &need };
        sequence_grad(&sequence, &back)
    })?;
    tuple(py, [out.x].into_iter().chain(out.state).chain(out.weights))
}

/// Every element of the gates is a sum over the state.
fn work_of(x: &Tensor, state: &[Tensor]) -> usize {
    let columns = state.first().and_then(|h| h.shape().last().copied()).unwrap_or(1);
    x.numel().saturating_mul(columns) / 16
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(pyo3::wrap_pyfunction!(recurrent, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(recurrent_layer, m)?)?;
    m.add_function(pyo3::wrap_pyfunction!(recurrent_grad, m)?)
}
