//! Optimizer steps, each over all parameters at once.

use crate::args::{T, opt_refs, refs, total};
use crate::door::run;
use lectorium::ops::optim;
use pyo3::prelude::*;

#[pyfunction]
#[pyo3(signature = (params, grads, bufs, first, *, lr, momentum, dampening, weight_decay, nesterov, maximize))]
fn sgd_step(
    py: Python<'_>,
    params: Vec<T>,
    grads: Vec<T>,
    bufs: Vec<Option<T>>,
    first: Vec<bool>,
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    maximize: bool,
) -> PyResult<()> {
    let spec = optim::SgdSpec { lr, momentum, dampening, weight_decay, nesterov, maximize };
    run(py, total(&params), || optim::sgd(&refs(&params), &refs(&grads), &opt_refs(&bufs), &first, &spec))
}

#[pyfunction]
#[pyo3(signature = (params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps, *, lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize))]
fn adam_step(
    py: Python<'_>,
    params: Vec<T>,
    grads: Vec<T>,
    exp_avgs: Vec<T>,
    exp_avg_sqs: Vec<T>,
    max_exp_avg_sqs: Vec<Option<T>>,
    steps: Vec<f64>,
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
    amsgrad: bool,
    maximize: bool,
) -> PyResult<()> {
    let spec = optim::AdamSpec { lr, beta1, beta2, eps, weight_decay, decoupled, amsgrad, maximize };
    run(py, total(&params), || {
        optim::adam(
            &refs(&params),
            &refs(&grads),
            &refs(&exp_avgs),
            &refs(&exp_avg_sqs),
            &opt_refs(&max_exp_avg_sqs),
            &steps,
            &spec,
        )
    })
}

#[pyfunction]
#[pyo3(signature = (params, grads, square_avgs, momentum_bufs, grad_avgs, *, lr, alpha, eps, weight_decay, momentum, centered, maximize))]
fn rmsprop_step(
    py: Python<'_>,
    params: Vec<T>,
    grads: Vec<T>,
    square_avgs: Vec<T>,
    momentum_bufs: Vec<T>,
    grad_avgs: Vec<T>,
    lr: f64,
    alpha: f64,
    eps: f64,
    weight_decay: f64,
    momentum: f64,
    centered: bool,
    maximize: bool,
) -> PyResult<()> {
    let spec = optim::RmspropSpec { lr, alpha, eps, weight_decay, momentum, centered, maximize };
    run(py, total(&params), || {
        optim::rmsprop(
            &refs(&params),
            &refs(&grads),
            &refs(&square_avgs),
            &refs(&momentum_bufs),
            &refs(&grad_avgs),
            &spec,
        )
    })
}

#[pyfunction]
#[pyo3(signature = (params, grads, sums, steps, *, lr, lr_decay, weight_decay, eps, maximize))]
fn adagrad_step(
    py: Python<'_>,
    params: Vec<T>,
    grads: Vec<T>,
    sums: Vec<T>,
    steps: Vec<f64>,
    lr: f64,
    lr_decay: f64,
    weight_decay: f64,
    eps: f64,
    maximize: bool,
) -> PyResult<()> {
    let spec = optim::AdagradSpec { lr, lr_decay, weight_decay, eps, maximize };
    run(py, total(&params), || optim::adagrad(&refs(&params), &refs(&grads), &refs(&sums), &steps, &spec))
}

#[pyfunction]
#[pyo3(signature = (params, grads, square_avgs, acc_deltas, *, lr, rho, eps, weight_decay, maximize))]
fn adadelta_step(
    py: Python<'_>,
    params: Vec<T>,
    grads: Vec<T>,
    square_avgs: Vec<T>,
    acc_deltas: Vec<T>,
    lr: f64,
    rho: f64,
    eps: f64,
    weight_decay: f64,
    maximize: bool,
) -> PyResult<()> {
    let spec = optim::AdadeltaSpec { lr, rho, eps, weight_decay, maximize };
    run(py, total(&params), || {
        optim::adadelta(&refs(&params), &refs(&grads), &refs(&square_avgs), &refs(&acc_deltas), &spec)
    })
}

/// The norm of all gradients seen as one vector.
#[pyfunction]
fn grad_norm(py: Python<'_>, grads: Vec<T>, p: f64) -> PyResult<f64> {
    run(py, total(&grads), || optim::grad_norm(&refs(&grads), p))
}

/// Multiplies every gradient in place.
#[pyfunction]
fn scale_all(py: Python<'_>, grads: Vec<T>, factor: f64) -> PyResult<()> {
    run(py, total(&grads), || optim::scale_all(&refs(&grads), factor))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(sgd_step, adam_step, rmsprop_step, adagrad_step, adadelta_step, grad_norm, scale_all);
    Ok(())
}
