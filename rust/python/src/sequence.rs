//! Losses, decoders and attention, of sequences.

use crate::args::T;
use crate::door::{run, run1, run3};
use crate::tensor::PyTensor;
use lectorium::ops::attention::{self, Inputs};
use lectorium::ops::crf::{self, Scores};
use lectorium::ops::ctc;
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Out3<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;

/// Labels and their score.
type Path = (Vec<i64>, f64);

fn plain(path: ctc::Path) -> Path {
    (path.labels, path.score)
}

#[pyfunction]
fn ctc_loss<'py>(
    py: Python<'py>,
    log_probs: T,
    targets: T,
    input_lengths: Vec<i64>,
    target_lengths: Vec<i64>,
    blank: i64,
) -> Out3<'py> {
    run3(py, log_probs.0.numel(), || {
        ctc::ctc_loss(&log_probs.0, &targets.0, &input_lengths, &target_lengths, blank)
    })
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn ctc_loss_grad<'py>(
    py: Python<'py>,
    g: T,
    log_probs: T,
    targets: T,
    input_lengths: Vec<i64>,
    target_lengths: Vec<i64>,
    blank: i64,
    zero_infinity: bool,
    alpha: T,
    shifts: T,
) -> Out<'py> {
    run1(py, log_probs.0.numel(), || {
        let (x, labels, lens) = (&log_probs.0, &targets.0, (&input_lengths, &target_lengths));
        ctc::ctc_loss_grad(&g.0, x, labels, lens.0, lens.1, blank, zero_infinity, &alpha.0, &shifts.0)
    })
}

#[pyfunction]
fn ctc_greedy_decode(
    py: Python<'_>,
    log_probs: T,
    input_lengths: Vec<i64>,
    blank: i64,
) -> PyResult<Vec<Path>> {
    let paths = run(py, log_probs.0.numel(), || ctc::ctc_greedy_decode(&log_probs.0, &input_lengths, blank))?;
    Ok(paths.into_iter().map(plain).collect())
}

#[pyfunction]
fn ctc_beam_decode(
    py: Python<'_>,
    log_probs: T,
    input_lengths: Vec<i64>,
    beam_width: i64,
    blank: i64,
    top_paths: i64,
) -> PyResult<Vec<Vec<Path>>> {
    let work = log_probs.0.numel().saturating_mul(beam_width.max(1) as usize);
    let found =
        run(py, work, || ctc::ctc_beam_decode(&log_probs.0, &input_lengths, beam_width, blank, top_paths))?;
    Ok(found.into_iter().map(|paths| paths.into_iter().map(plain).collect()).collect())
}

fn scores<'a>(start: &'a T, end: &'a T, transitions: &'a T) -> Scores<'a> {
    Scores { start: &start.0, end: &end.0, transitions: &transitions.0 }
}

#[pyfunction]
fn crf_log_likelihood<'py>(
    py: Python<'py>,
    emissions: T,
    start: T,
    end: T,
    transitions: T,
    tags: T,
    lengths: Vec<i64>,
) -> Out3<'py> {
    let work = emissions.0.numel().saturating_mul(start.0.numel());
    run3(py, work, || {
        crf::crf_log_likelihood(&emissions.0, scores(&start, &end, &transitions), &tags.0, &lengths)
    })
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn crf_log_likelihood_grad<'py>(
    py: Python<'py>,
    g: T,
    emissions: T,
    start: T,
    end: T,
    transitions: T,
    tags: T,
    lengths: Vec<i64>,
    alpha: T,
    shifts: T,
) -> PyResult<Vec<Bound<'py, PyTensor>>> {
    let work = emissions.0.numel().saturating_mul(start.0.numel());
    let grads = run(py, work, || {
        let scores = scores(&start, &end, &transitions);
        crf::crf_log_likelihood_grad(&g.0, &emissions.0, scores, &tags.0, &lengths, &alpha.0, &shifts.0)
    })?;
    grads.into_iter().map(|t| PyTensor::wrap(py, t)).collect()
}

#[pyfunction]
fn crf_decode(
    py: Python<'_>,
    emissions: T,
    start: T,
    end: T,
    transitions: T,
    lengths: Vec<i64>,
) -> PyResult<Vec<Path>> {
    let work = emissions.0.numel().saturating_mul(start.0.numel());
    run(py, work, || crf::crf_decode(&emissions.0, scores(&start, &end, &transitions), &lengths))
}

fn opt(t: &Option<T>) -> Option<&lectorium::Tensor> {
    t.as_ref().map(|t| &t.0)
}

#[pyfunction]
fn additive_attention<'py>(
    py: Python<'py>,
    query: T,
    keys: T,
    direction: T,
    values: T,
    mask: Option<T>,
) -> Out3<'py> {
    let work = keys.0.numel().saturating_mul(4);
    run3(py, work, || {
        let inputs = Inputs::new(&query.0, &keys.0, &direction.0, &values.0, opt(&mask))?;
        attention::additive_attention(&inputs)
    })
}

/// The gradients of query, keys, direction and values.
type AttentionGrads<'py> =
    (Bound<'py, PyTensor>, Bound<'py, PyTensor>, Bound<'py, PyTensor>, Option<Bound<'py, PyTensor>>);

#[pyfunction]
#[allow(clippy::too_many_arguments)]
fn additive_attention_grad<'py>(
    py: Python<'py>,
    context_grad: Option<T>,
    weights_grad: Option<T>,
    query: T,
    keys: T,
    direction: T,
    values: T,
    mask: Option<T>,
    weights: T,
    bent: T,
    wants_values: bool,
) -> PyResult<AttentionGrads<'py>> {
    let work = keys.0.numel().saturating_mul(4);
    let (q, k, d, v) = run(py, work, || {
        let inputs = Inputs::new(&query.0, &keys.0, &direction.0, &values.0, opt(&mask))?;
        let (given, made) = ((opt(&context_grad), opt(&weights_grad)), (&weights.0, &bent.0));
        attention::additive_attention_grad(given.0, given.1, &inputs, made.0, made.1, wants_values)
    })?;
    let values = v.map(|v| PyTensor::wrap(py, v)).transpose()?;
    Ok((PyTensor::wrap(py, q)?, PyTensor::wrap(py, k)?, PyTensor::wrap(py, d)?, values))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(
        ctc_loss,
        ctc_loss_grad,
        ctc_greedy_decode,
        ctc_beam_decode,
        crf_log_likelihood,
        crf_log_likelihood_grad,
        crf_decode,
        additive_attention,
        additive_attention_grad
    );
    Ok(())
}
