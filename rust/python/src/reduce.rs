//! Reductions, scans, softmax, normalisation and losses.

use crate::args::{Axes, D, T, sizes, volume};
use crate::door::{run, run1, run2, run3};
use crate::tensor::{Meta, PyTensor};
use lectorium::ops::loss::{self, Reduction};
use lectorium::ops::{norm, reduce, scan, softmax as soft};
use lectorium::{Error, Tensor};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Out2<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;
type Out3<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;
type Grads<'py> =
    PyResult<(Option<Bound<'py, PyTensor>>, Option<Bound<'py, PyTensor>>, Option<Bound<'py, PyTensor>>)>;

macro_rules! with_dtype {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        #[pyo3(signature = (x, dim=Axes(Vec::new()), keepdim=false, dtype=None))]
        fn $name<'py>(py: Python<'py>, x: T, dim: Axes, keepdim: bool, dtype: Option<D>) -> Out<'py> {
            run1(py, x.0.numel(), || reduce::$name(&x.0, &dim.0, keepdim, dtype.map(|d| d.0)))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

macro_rules! over_axes {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        #[pyo3(signature = (x, dim=Axes(Vec::new()), keepdim=false))]
        fn $name<'py>(py: Python<'py>, x: T, dim: Axes, keepdim: bool) -> Out<'py> {
            run1(py, x.0.numel(), || reduce::$name(&x.0, &dim.0, keepdim))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

macro_rules! with_indices {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        #[pyo3(signature = (x, dim, keepdim=false))]
        fn $name<'py>(py: Python<'py>, x: T, dim: isize, keepdim: bool) -> Out2<'py> {
            run2(py, x.0.numel(), || reduce::$name(&x.0, dim, keepdim))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

macro_rules! arg {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        #[pyo3(signature = (x, dim=None, keepdim=false))]
        fn $name<'py>(py: Python<'py>, x: T, dim: Option<isize>, keepdim: bool) -> Out<'py> {
            run1(py, x.0.numel(), || reduce::$name(&x.0, dim, keepdim))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

#[pyfunction]
fn var<'py>(py: Python<'py>, x: T, dim: Axes, keepdim: bool, correction: f64) -> Out<'py> {
    run1(py, x.0.numel(), || reduce::var(&x.0, &dim.0, keepdim, correction))
}

#[pyfunction]
fn norm_p<'py>(py: Python<'py>, x: T, p: f64, dim: Axes, keepdim: bool) -> Out<'py> {
    run1(py, x.0.numel(), || reduce::norm(&x.0, p, &dim.0, keepdim))
}

#[pyfunction]
#[pyo3(signature = (x, dim=Axes(Vec::new())))]
fn count_nonzero<'py>(py: Python<'py>, x: T, dim: Axes) -> Out<'py> {
    run1(py, x.0.numel(), || reduce::count_nonzero(&x.0, &dim.0))
}

/// Undoes broadcasting and promotion: sums and casts `g` to the shape and dtype of `meta`.
#[pyfunction]
fn sum_to<'py>(g: &Bound<'py, PyTensor>, meta: &Bound<'py, Meta>) -> Out<'py> {
    let meta = meta.get();
    let inner = {
        let t = g.borrow();
        if t.inner.shape() == meta.shape.as_slice() && t.inner.dtype() == meta.dtype {
            drop(t);
            return Ok(g.clone());
        }
        t.inner.clone()
    };
    run1(g.py(), inner.numel(), || {
        let summed = reduce::sum_to_shape(&inner, &meta.shape)?;
        lectorium::ops::copy::cast("sum_to", &summed, meta.dtype)
    })
}

macro_rules! scans {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        #[pyo3(signature = (x, dim, dtype=None))]
        fn $name<'py>(py: Python<'py>, x: T, dim: isize, dtype: Option<D>) -> Out<'py> {
            run1(py, x.0.numel(), || scan::$name(&x.0, dim, dtype.map(|d| d.0)))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

macro_rules! scans2 {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        fn $name<'py>(py: Python<'py>, x: T, dim: isize) -> Out2<'py> {
            run2(py, x.0.numel(), || scan::$name(&x.0, dim))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

macro_rules! along {
    ($m:expr; $($module:ident :: $name:ident),*) => {$({
        #[pyfunction]
        fn $name<'py>(py: Python<'py>, x: T, dim: isize) -> Out<'py> {
            run1(py, x.0.numel(), || $module::$name(&x.0, dim))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

macro_rules! softmax_grads {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        fn $name<'py>(py: Python<'py>, g: T, y: T, dim: isize) -> Out<'py> {
            run1(py, y.0.numel(), || soft::$name(&g.0, &y.0, dim))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

fn opt(t: &Option<T>) -> Option<&Tensor> {
    t.as_ref().map(|t| &t.0)
}

fn grads<'py>(
    py: Python<'py>,
    work: usize,
    kernel: impl FnOnce() -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>), Error> + Send,
) -> Grads<'py> {
    let (a, b, c) = run(py, work, kernel)?;
    let wrap = |t: Option<Tensor>| t.map(|t| PyTensor::wrap(py, t)).transpose();
    Ok((wrap(a)?, wrap(b)?, wrap(c)?))
}

#[pyfunction]
#[pyo3(signature = (x, weight, bias, eps, relu=false))]
fn batch_norm<'py>(
    py: Python<'py>,
    x: T,
    weight: Option<T>,
    bias: Option<T>,
    eps: f64,
    relu: bool,
) -> Out3<'py> {
    run3(py, x.0.numel(), || norm::batch_norm(&x.0, opt(&weight), opt(&bias), eps, relu))
}

#[pyfunction]
#[pyo3(signature = (x, weight, bias, running_mean, running_var, eps, relu=false))]
#[allow(clippy::too_many_arguments)]
fn batch_norm_inference<'py>(
    py: Python<'py>,
    x: T,
    weight: Option<T>,
    bias: Option<T>,
    running_mean: T,
    running_var: T,
    eps: f64,
    relu: bool,
) -> Out<'py> {
    let (mean, var) = (&running_mean.0, &running_var.0);
    run1(py, x.0.numel(), || norm::batch_norm_inference(&x.0, opt(&weight), opt(&bias), mean, var, eps, relu))
}

#[pyfunction]
fn batch_norm_update_running(
    py: Python<'_>,
    running_mean: T,
    running_var: T,
    mean: T,
    rstd: T,
    momentum: f64,
    eps: f64,
    n: usize,
) -> PyResult<()> {
    run(py, 0, || {
        norm::batch_norm_update_running(&running_mean.0, &running_var.0, &mean.0, &rstd.0, momentum, eps, n)
    })
}

#[pyfunction]
#[pyo3(signature = (g, x, weight, bias, mean, rstd, need, relu=false))]
#[allow(clippy::too_many_arguments)]
fn batch_norm_grad<'py>(
    py: Python<'py>,
    g: T,
    x: T,
    weight: Option<T>,
    bias: Option<T>,
    mean: T,
    rstd: T,
    need: [bool; 3],
    relu: bool,
) -> Grads<'py> {
    grads(py, x.0.numel(), || {
        norm::batch_norm_grad(&g.0, &x.0, opt(&weight), opt(&bias), &mean.0, &rstd.0, need, relu)
    })
}

#[pyfunction]
fn layer_norm<'py>(
    py: Python<'py>,
    x: T,
    axes: usize,
    weight: Option<T>,
    bias: Option<T>,
    eps: f64,
) -> Out3<'py> {
    run3(py, x.0.numel(), || norm::layer_norm(&x.0, axes, opt(&weight), opt(&bias), eps))
}

#[pyfunction]
fn layer_norm_grad<'py>(
    py: Python<'py>,
    g: T,
    x: T,
    axes: usize,
    weight: Option<T>,
    mean: T,
    rstd: T,
    need: [bool; 3],
) -> Grads<'py> {
    grads(py, x.0.numel(), || norm::layer_norm_grad(&g.0, &x.0, axes, opt(&weight), &mean.0, &rstd.0, need))
}

#[pyfunction]
fn group_norm<'py>(
    py: Python<'py>,
    x: T,
    groups: usize,
    weight: Option<T>,
    bias: Option<T>,
    eps: f64,
) -> Out3<'py> {
    run3(py, x.0.numel(), || norm::group_norm(&x.0, groups, opt(&weight), opt(&bias), eps))
}

#[pyfunction]
fn group_norm_grad<'py>(
    py: Python<'py>,
    g: T,
    x: T,
    groups: usize,
    weight: Option<T>,
    mean: T,
    rstd: T,
    need: [bool; 3],
) -> Grads<'py> {
    grads(py, x.0.numel(), || norm::group_norm_grad(&g.0, &x.0, groups, opt(&weight), &mean.0, &rstd.0, need))
}

#[pyfunction]
fn local_response_norm<'py>(py: Python<'py>, x: T, size: usize, alpha: f64, beta: f64, k: f64) -> Out2<'py> {
    run2(py, x.0.numel(), || norm::local_response_norm(&x.0, size, alpha, beta, k))
}

#[pyfunction]
fn local_response_norm_grad<'py>(
    py: Python<'py>,
    g: T,
    x: T,
    y: T,
    denom: T,
    size: usize,
    alpha: f64,
    beta: f64,
) -> Out<'py> {
    run1(py, x.0.numel(), || norm::local_response_norm_grad(&g.0, &x.0, &y.0, &denom.0, size, alpha, beta))
}

fn reduction(py: Python<'_>, name: &str) -> PyResult<Reduction> {
    Reduction::from_name(name).ok_or_else(|| {
        let text = format!("reduction must be 'none', 'mean' or 'sum', got {name:?}");
        crate::error::to_python(py, Error::value("loss", text))
    })
}

#[pyfunction]
fn cross_entropy<'py>(
    py: Python<'py>,
    x: T,
    target: T,
    weight: Option<T>,
    ignore_index: i64,
    label_smoothing: f64,
    reduce: &str,
) -> Out2<'py> {
    let how = reduction(py, reduce)?;
    run2(py, x.0.numel(), || {
        loss::cross_entropy(&x.0, &target.0, opt(&weight), ignore_index, label_smoothing, how)
    })
}

#[pyfunction]
fn cross_entropy_grad<'py>(
    py: Python<'py>,
    g: T,
    log_probs: T,
    target: T,
    weight: Option<T>,
    ignore_index: i64,
    label_smoothing: f64,
    reduce: &str,
) -> Out<'py> {
    let how = reduction(py, reduce)?;
    run1(py, log_probs.0.numel(), || {
        loss::cross_entropy_grad(
            &g.0,
            &log_probs.0,
            &target.0,
            opt(&weight),
            ignore_index,
            label_smoothing,
            how,
        )
    })
}

#[pyfunction]
fn nll_loss<'py>(
    py: Python<'py>,
    x: T,
    target: T,
    weight: Option<T>,
    ignore_index: i64,
    reduce: &str,
) -> Out<'py> {
    let how = reduction(py, reduce)?;
    run1(py, x.0.numel(), || loss::nll_loss(&x.0, &target.0, opt(&weight), ignore_index, how))
}

#[pyfunction]
fn nll_loss_grad<'py>(
    py: Python<'py>,
    g: T,
    meta: &Bound<'py, Meta>,
    target: T,
    weight: Option<T>,
    ignore_index: i64,
    reduce: &str,
) -> Out<'py> {
    let how = reduction(py, reduce)?;
    let meta = meta.get();
    run1(py, target.0.numel(), || {
        // Only its shape and dtype are read.
        let like = Tensor::scalar("nll_loss", lectorium::Scalar::Int(0), meta.dtype)?;
        let like = like.with_layout(like.layout().broadcast_to("nll_loss", &meta.shape)?);
        loss::nll_loss_grad(&g.0, &like, &target.0, opt(&weight), ignore_index, how)
    })
}

/// Zeros of a meta's shape and dtype.
#[pyfunction]
fn zeros_of<'py>(py: Python<'py>, meta: &Bound<'py, Meta>) -> Out<'py> {
    let meta = meta.get();
    run1(py, meta.shape.iter().product(), || Tensor::zeros("zeros", &meta.shape, meta.dtype))
}

#[pyfunction]
fn zeros<'py>(py: Python<'py>, size: Vec<i64>, dtype: D) -> Out<'py> {
    let size = sizes("zeros", &size)?;
    run1(py, volume(&size), || Tensor::zeros("zeros", &size, dtype.0))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Meta>()?;
    with_dtype!(m; sum, mean, prod);
    over_axes!(m; amax, amin, any, all, logsumexp);
    with_indices!(m; max_dim, min_dim);
    arg!(m; argmax, argmin);
    scans!(m; cumsum, cumprod);
    scans2!(m; cummax, cummin);
    along!(m; scan::logcumsumexp, scan::cumsum_reverse, soft::softmax, soft::log_softmax);
    softmax_grads!(m; softmax_grad, log_softmax_grad);
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(
        var,
        norm_p,
        count_nonzero,
        sum_to,
        batch_norm,
        batch_norm_inference,
        batch_norm_update_running,
        batch_norm_grad,
        layer_norm,
        layer_norm_grad,
        group_norm,
        group_norm_grad,
        local_response_norm,
        local_response_norm_grad,
        cross_entropy,
        cross_entropy_grad,
        nll_loss,
        nll_loss_grad,
        zeros_of,
        zeros
    );
    Ok(())
}
