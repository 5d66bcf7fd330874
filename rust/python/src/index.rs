//! Indexing, joining, sorting, random numbers and optimizer steps.

use crate::args::{D, Number, T, sizes};
use crate::door::{run, run1, run2, run3};
use crate::error::to_python;
use crate::tensor::{Meta, PyTensor};
use lectorium::ops::random::{self, Generator};
use lectorium::ops::{index as ix, optim, shape, sort as so};
use lectorium::{Error, Tensor};
use pyo3::prelude::*;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;
type Out2<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;
type Out3<'py> = PyResult<(Bound<'py, PyTensor>, Bound<'py, PyTensor>, Bound<'py, PyTensor>)>;

fn refs(list: &[T]) -> Vec<&Tensor> {
    list.iter().map(|t| &t.0).collect()
}

fn opt_refs(list: &[Option<T>]) -> Vec<Option<&Tensor>> {
    list.iter().map(|t| t.as_ref().map(|t| &t.0)).collect()
}

fn total(list: &[T]) -> usize {
    list.iter().map(|t| t.0.numel()).sum()
}

#[pyfunction]
fn gather<'py>(py: Python<'py>, x: T, dim: isize, index: T) -> Out<'py> {
    run1(py, index.0.numel(), || ix::gather(&x.0, dim, &index.0))
}
#[pyfunction]
fn scatter<'py>(py: Python<'py>, x: T, dim: isize, index: T, src: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::scatter(&x.0, dim, &index.0, &src.0))
}
#[pyfunction]
fn scatter_value<'py>(py: Python<'py>, x: T, dim: isize, index: T, value: Number) -> Out<'py> {
    run1(py, x.0.numel(), || ix::scatter_value(&x.0, dim, &index.0, value.0))
}
#[pyfunction]
fn scatter_add<'py>(py: Python<'py>, x: T, dim: isize, index: T, src: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::scatter_add(&x.0, dim, &index.0, &src.0))
}
#[pyfunction]
fn index_select<'py>(py: Python<'py>, x: T, dim: isize, index: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::index_select(&x.0, dim, &index.0))
}
#[pyfunction]
fn index_add<'py>(py: Python<'py>, x: T, dim: isize, index: T, src: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::index_add(&x.0, dim, &index.0, &src.0))
}
#[pyfunction]
fn index_get<'py>(py: Python<'py>, x: T, indices: Vec<Option<T>>) -> Out<'py> {
    run1(py, x.0.numel(), || ix::index_get(&x.0, &opt_refs(&indices)))
}
/// In place; counts the change.
#[pyfunction]
fn index_put_into(
    py: Python<'_>,
    dst: T,
    indices: Vec<Option<T>>,
    value: T,
    accumulate: bool,
) -> PyResult<()> {
    run(py, value.0.numel(), || {
        ix::index_put(&dst.0, &opt_refs(&indices), &value.0, accumulate)?;
        dst.0.storage().bump_version();
        Ok(())
    })
}
/// A copy of `x` with `value` written or added where the indices point.
#[pyfunction]
#[pyo3(signature = (x, value, indices, accumulate=false))]
fn index_put<'py>(py: Python<'py>, x: T, value: T, indices: Vec<Option<T>>, accumulate: bool) -> Out<'py> {
    run1(py, x.0.numel(), || {
        let out = lectorium::ops::copy::clone("index_put", &x.0)?;
        ix::index_put(&out, &opt_refs(&indices), &value.0, accumulate)?;
        Ok(out)
    })
}
#[pyfunction]
fn index_get_grad<'py>(py: Python<'py>, g: T, meta: &Bound<'py, Meta>, indices: Vec<Option<T>>) -> Out<'py> {
    let size = &meta.get().shape;
    run1(py, g.0.numel(), || ix::index_get_grad(&g.0, size, &opt_refs(&indices)))
}
#[pyfunction]
fn nonzero<'py>(py: Python<'py>, x: T) -> Out<'py> {
    run1(py, x.0.numel(), || ix::nonzero(&x.0))
}
#[pyfunction]
fn masked_fill<'py>(py: Python<'py>, x: T, mask: T, value: Number) -> Out<'py> {
    run1(py, x.0.numel(), || ix::masked_fill(&x.0, &mask.0, value.0))
}
#[pyfunction]
fn one_hot<'py>(py: Python<'py>, x: T, num_classes: i64) -> Out<'py> {
    run1(py, x.0.numel(), || ix::one_hot(&x.0, num_classes))
}
#[pyfunction]
fn bincount<'py>(py: Python<'py>, x: T, minlength: i64) -> Out<'py> {
    let minlength = sizes("bincount", &[minlength])?[0];
    run1(py, x.0.numel(), || ix::bincount(&x.0, minlength))
}

#[pyfunction]
fn cat<'py>(py: Python<'py>, tensors: Vec<T>, dim: isize) -> Out<'py> {
    run1(py, total(&tensors), || shape::cat(&refs(&tensors), dim))
}
#[pyfunction]
fn pad_constant<'py>(py: Python<'py>, x: T, pads: Vec<(isize, isize)>, value: Number) -> Out<'py> {
    run1(py, x.0.numel(), || shape::pad_constant(&x.0, &pads, value.0))
}
fn pad_mode(py: Python<'_>, mode: &str) -> PyResult<shape::PadMode> {
    Ok(match mode {
        "reflect" => shape::PadMode::Reflect,
        "replicate" => shape::PadMode::Replicate,
        "circular" => shape::PadMode::Circular,
        other => {
            let text =
                format!("mode must be 'constant', 'reflect', 'replicate' or 'circular', got {other:?}");
            return Err(to_python(py, Error::value("pad", text)));
        }
    })
}
#[pyfunction]
fn pad_index<'py>(py: Python<'py>, x: T, pads: Vec<isize>, mode: &str) -> Out<'py> {
    let mode = pad_mode(py, mode)?;
    run1(py, x.0.numel(), || shape::pad_index(&x.0, &pads, mode))
}
#[pyfunction]
fn pad_index_grad<'py>(
    py: Python<'py>,
    g: T,
    meta: &Bound<'py, Meta>,
    pads: Vec<isize>,
    mode: &str,
) -> Out<'py> {
    let (mode, size) = (pad_mode(py, mode)?, &meta.get().shape);
    run1(py, g.0.numel(), || shape::pad_index_grad(&g.0, size, &pads, mode))
}
#[pyfunction]
fn flip<'py>(py: Python<'py>, x: T, dims: Vec<isize>) -> Out<'py> {
    run1(py, x.0.numel(), || shape::flip(&x.0, &dims))
}
#[pyfunction]
fn roll<'py>(py: Python<'py>, x: T, shifts: Vec<isize>, dims: Vec<isize>) -> Out<'py> {
    run1(py, x.0.numel(), || shape::roll(&x.0, &shifts, &dims))
}
#[pyfunction]
#[pyo3(signature = (x, diagonal=0))]
fn tril<'py>(py: Python<'py>, x: T, diagonal: i64) -> Out<'py> {
    run1(py, x.0.numel(), || shape::tril(&x.0, diagonal))
}
#[pyfunction]
#[pyo3(signature = (x, diagonal=0))]
fn triu<'py>(py: Python<'py>, x: T, diagonal: i64) -> Out<'py> {
    run1(py, x.0.numel(), || shape::triu(&x.0, diagonal))
}
#[pyfunction]
fn repeat_interleave<'py>(py: Python<'py>, x: T, repeats: i64, dim: isize) -> Out<'py> {
    let repeats = sizes("repeat_interleave", &[repeats])?[0];
    run1(py, x.0.numel(), || shape::repeat_interleave(&x.0, repeats, dim))
}

#[pyfunction]
fn sort<'py>(py: Python<'py>, x: T, dim: isize, descending: bool, stable: bool) -> Out2<'py> {
    run2(py, x.0.numel(), || so::sort(&x.0, dim, descending, stable))
}
#[pyfunction]
fn topk<'py>(py: Python<'py>, x: T, k: i64, dim: isize, largest: bool, sorted: bool) -> Out2<'py> {
    let k = sizes("topk", &[k])?[0];
    run2(py, x.0.numel(), || so::topk(&x.0, k, dim, largest, sorted))
}
#[pyfunction]
fn kthvalue<'py>(py: Python<'py>, x: T, k: i64, dim: isize) -> Out2<'py> {
    let k = sizes("kthvalue", &[k])?[0];
    run2(py, x.0.numel(), || so::kthvalue(&x.0, k, dim))
}
#[pyfunction]
fn median_dim<'py>(py: Python<'py>, x: T, dim: isize) -> Out2<'py> {
    run2(py, x.0.numel(), || so::median(&x.0, dim))
}
#[pyfunction]
fn unique<'py>(py: Python<'py>, x: T) -> Out3<'py> {
    run3(py, x.0.numel(), || so::unique(&x.0))
}
#[pyfunction]
fn searchsorted<'py>(py: Python<'py>, sorted_sequence: T, values: T, right: bool) -> Out<'py> {
    run1(py, values.0.numel(), || so::searchsorted(&sorted_sequence.0, &values.0, right))
}

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

fn volume(size: &[usize]) -> usize {
    size.iter().fold(1usize, |n, &d| n.saturating_mul(d))
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
fn dropout<'py>(py: Python<'py>, x: T, p: f64, seed: u64, offset: u64) -> Out<'py> {
    run1(py, x.0.numel(), || random::dropout(seed, offset, &x.0, p))
}

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
    m.add_class::<PyGenerator>()?;
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(
        gather,
        scatter,
        scatter_value,
        scatter_add,
        index_select,
        index_add,
        index_get,
        index_put_into,
        index_put,
        index_get_grad,
        nonzero,
        masked_fill,
        one_hot,
        bincount,
        cat,
        pad_constant,
        pad_index,
        pad_index_grad,
        flip,
        roll,
        tril,
        triu,
        repeat_interleave,
        sort,
        topk,
        kthvalue,
        median_dim,
        unique,
        searchsorted,
        uniform,
        normal,
        exponential,
        randint,
        randperm,
        bernoulli,
        multinomial,
        dropout,
        sgd_step,
        adam_step,
        rmsprop_step,
        adagrad_step,
        adadelta_step,
        grad_norm,
        scale_all
    );
    Ok(())
}
