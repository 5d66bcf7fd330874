//! Elementwise functions, activations, copies and creation.

use crate::args::{Arg, D, Number, T, sizes, volume};
use crate::door::run1;
use crate::dtype::{self, PyDType};
use crate::error::to_python;
use crate::tensor::PyTensor;
use lectorium::ops::activation::{self, Activation};
use lectorium::ops::elementwise::{self, Binary, Unary};
use lectorium::ops::{copy, shape};
use lectorium::{Error, Scalar, Tensor};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

type Out<'py> = PyResult<Bound<'py, PyTensor>>;

macro_rules! unary {
    ($m:expr; $($name:ident => $op:ident),* $(,)?) => {$({
        #[pyfunction]
        #[pyo3(signature = (x, *, out=None))]
        fn $name<'py>(py: Python<'py>, x: T, out: Option<T>) -> Out<'py> {
            run1(py, x.0.numel(), || elementwise::unary(Unary::$op, &x.0, out.as_ref().map(|o| &o.0)))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

macro_rules! binary {
    ($m:expr; $($name:ident => $op:ident),* $(,)?) => {$({
        #[pyfunction]
        #[pyo3(signature = (x, y, *, out=None))]
        fn $name<'py>(py: Python<'py>, x: Arg, y: Arg, out: Option<T>) -> Out<'py> {
            run1(py, x.numel().max(y.numel()), || {
                elementwise::binary(Binary::$op, x.operand(), y.operand(), out.as_ref().map(|o| &o.0))
            })
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

/// Activations with their parameters: the function and `name_grad(g, x)`.
macro_rules! activations {
    ($m:expr; $($name:ident, $grad:ident ($($p:ident),*) => $act:expr),* $(,)?) => {$({
        #[pyfunction]
        fn $name<'py>(py: Python<'py>, x: T $(, $p: f64)*) -> Out<'py> {
            run1(py, x.0.numel(), || activation::activation($act, &x.0))
        }
        #[pyfunction]
        fn $grad<'py>(py: Python<'py>, g: T, x: T $(, $p: f64)*) -> Out<'py> {
            run1(py, x.0.numel(), || activation::activation_grad($act, &g.0, &x.0))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
        $m.add_function(pyo3::wrap_pyfunction!($grad, $m)?)?;
    })*};
}

macro_rules! grad_of_output {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        fn $name<'py>(py: Python<'py>, g: T, y: T) -> Out<'py> {
            run1(py, y.0.numel(), || activation::$name(&g.0, &y.0))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

macro_rules! scaled {
    ($m:expr; $($name:ident => $sub:literal),*) => {$({
        /// `x ± alpha * y`.
        #[pyfunction]
        #[pyo3(signature = (x, y, alpha=Number(Scalar::Int(1)), *, out=None))]
        fn $name<'py>(py: Python<'py>, x: Arg, y: Arg, alpha: Number, out: Option<T>) -> Out<'py> {
            run1(py, x.numel().max(y.numel()), || {
                let out = out.as_ref().map(|o| &o.0);
                if alpha.0 == Scalar::Int(1) {
                    let op = if $sub { Binary::Sub } else { Binary::Add };
                    return elementwise::binary(op, x.operand(), y.operand(), out);
                }
                elementwise::add_scaled(x.operand(), y.operand(), alpha.0, $sub, out)
            })
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

#[pyfunction]
#[pyo3(name = "where")]
fn where_<'py>(py: Python<'py>, condition: T, x: Arg, y: Arg) -> Out<'py> {
    run1(py, condition.0.numel().max(x.numel()).max(y.numel()), || {
        elementwise::where_(&condition.0, x.operand(), y.operand())
    })
}

#[pyfunction]
#[pyo3(signature = (x, min=None, max=None))]
fn clamp<'py>(py: Python<'py>, x: T, min: Option<Number>, max: Option<Number>) -> Out<'py> {
    run1(py, x.0.numel(), || elementwise::clamp(&x.0, min.map(|n| n.0), max.map(|n| n.0)))
}

#[pyfunction]
fn lerp<'py>(py: Python<'py>, x: T, end: T, weight: Arg) -> Out<'py> {
    run1(py, x.0.numel().max(weight.numel()), || elementwise::lerp(&x.0, &end.0, weight.operand()))
}

/// Losses of pairs: the function and `name_grad(g, x, y)`.
macro_rules! pair_losses {
    ($m:expr; $($name:ident, $grad:ident),*) => {$({
        #[pyfunction]
        fn $name<'py>(py: Python<'py>, x: T, y: T) -> Out<'py> {
            run1(py, x.0.numel().max(y.0.numel()), || elementwise::$name(&x.0, &y.0))
        }
        #[pyfunction]
        fn $grad<'py>(py: Python<'py>, g: T, x: T, y: T) -> Out<'py> {
            run1(py, g.0.numel(), || elementwise::$grad(&g.0, &x.0, &y.0))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
        $m.add_function(pyo3::wrap_pyfunction!($grad, $m)?)?;
    })*};
}

macro_rules! ternary {
    ($m:expr; $($name:ident),*) => {$({
        #[pyfunction]
        fn $name<'py>(py: Python<'py>, x: T, a: T, b: T, value: Number) -> Out<'py> {
            run1(py, x.0.numel(), || elementwise::$name(&x.0, &a.0, &b.0, value.0))
        }
        $m.add_function(pyo3::wrap_pyfunction!($name, $m)?)?;
    })*};
}

/// The dtype that a set of tensors and numbers computes in: a number decides only between kinds.
///
/// Example:
///     >>> lt.result_type(lt.ones(2, dtype=lt.float16), 3.5)
///     lectorium.float16
///     >>> lt.result_type(lt.ones(2, dtype=lt.int8), 3.5)
///     lectorium.float32
#[pyfunction]
#[pyo3(signature = (*args))]
fn result_type<'py>(py: Python<'py>, args: Vec<Arg>) -> PyResult<Bound<'py, PyDType>> {
    let operands: Vec<_> = args.iter().map(Arg::operand).collect();
    dtype::object(py, elementwise::result_type(&operands))
}

/// A cast and/or a copy; the tensor itself if neither is needed.
#[pyfunction]
fn cast<'py>(py: Python<'py>, x: T, dtype: D) -> Out<'py> {
    run1(py, x.0.numel(), || copy::cast("to", &x.0, dtype.0))
}

#[pyfunction]
fn clone<'py>(py: Python<'py>, x: T) -> Out<'py> {
    run1(py, x.0.numel(), || copy::clone("clone", &x.0))
}

#[pyfunction]
fn contiguous<'py>(py: Python<'py>, x: T) -> Out<'py> {
    run1(py, x.0.numel(), || copy::contiguous("contiguous", &x.0))
}

/// A copy of pictures `[N, C, …]` whose memory has the channels last; nothing else shows it.
#[pyfunction]
fn channels_last<'py>(py: Python<'py>, x: T) -> Out<'py> {
    run1(py, x.0.numel(), || {
        if x.0.ndim() < 2 {
            let text = format!("expected [N, C, ...], got shape {:?}", x.0.shape());
            return Err(Error::shape("channels_last", text));
        }
        x.0.expect_cpu("channels_last")?;
        let rows = copy::clone("channels_last", &x.0.to_channels_last("channels_last")?)?;
        Ok(Tensor::from_channels_last(rows, x.0.shape()))
    })
}

/// Whether the memory has the channels last at this moment.
#[pyfunction]
fn is_channels_last(x: T) -> bool {
    x.0.channels_last().is_some()
}

/// Writes `src` (broadcast, cast) into `dst` and counts the change.
#[pyfunction]
fn copy_into(py: Python<'_>, dst: T, src: T) -> PyResult<()> {
    crate::door::run(py, dst.0.numel(), || {
        copy::copy_into("copy_", &dst.0, &src.0)?;
        dst.0.storage().bump_version();
        Ok(())
    })
}

/// Sets every element and counts the change.
#[pyfunction]
fn fill_into(py: Python<'_>, dst: T, value: Number) -> PyResult<()> {
    crate::door::run(py, dst.0.numel(), || {
        copy::fill("fill_", &dst.0, value.0)?;
        dst.0.storage().bump_version();
        Ok(())
    })
}

#[pyfunction]
fn empty<'py>(py: Python<'py>, size: Vec<i64>, dtype: D) -> Out<'py> {
    let size = sizes("empty", &size)?;
    // A bool is a byte of 0 or 1: what happened to lie there is neither.
    if dtype.0 == lectorium::DType::Bool {
        return run1(py, volume(&size), || Tensor::zeros("empty", &size, dtype.0));
    }
    run1(py, 0, || Tensor::empty("empty", &size, dtype.0))
}

#[pyfunction]
fn full<'py>(py: Python<'py>, size: Vec<i64>, value: Number, dtype: D) -> Out<'py> {
    let size = sizes("full", &size)?;
    run1(py, volume(&size), || copy::full("full", &size, value.0, dtype.0))
}

#[pyfunction]
fn arange<'py>(py: Python<'py>, start: Number, end: Number, step: Number, dtype: D) -> Out<'py> {
    let n = range_length(start.0, end.0, step.0).map_err(|e| to_python(py, e))?;
    run1(py, n, || copy::arange("arange", start.0, step.0, n, dtype.0))
}

fn range_length(start: Scalar, end: Scalar, step: Scalar) -> Result<usize, Error> {
    let wrong =
        |why: &str| Error::value("arange", format!("{why}: start {start:?}, end {end:?}, step {step:?}"));
    if step.to_f64() == 0.0 {
        return Err(wrong("step must not be 0"));
    }
    let n = match (start, end, step) {
        (Scalar::Int(a), Scalar::Int(b), Scalar::Int(s)) => {
            let (span, s) = (b as i128 - a as i128, s as i128);
            if span.signum() * s.signum() < 0 {
                return Err(wrong("the step leads away from the end"));
            }
            (span.abs() + s.abs() - 1) / s.abs()
        }
        _ => {
            let n = ((end.to_f64() - start.to_f64()) / step.to_f64()).ceil();
            if !n.is_finite() {
                return Err(wrong("start, end and step must be finite"));
            }
            if n < 0.0 {
                return Err(wrong("the step leads away from the end"));
            }
            n as i128
        }
    };
    usize::try_from(n).map_err(|_| wrong("too many values"))
}

#[pyfunction]
fn linspace<'py>(py: Python<'py>, start: f64, end: f64, steps: i64, dtype: D) -> Out<'py> {
    let steps = sizes("linspace", &[steps])?[0];
    run1(py, steps, || shape::linspace(start, end, steps, dtype.0))
}

#[pyfunction]
fn eye<'py>(py: Python<'py>, n: i64, m: i64, dtype: D) -> Out<'py> {
    let size = sizes("eye", &[n, m])?;
    run1(py, size[0].saturating_mul(size[1]), || shape::eye(size[0], size[1], dtype.0))
}

/// A row-major tensor from a flat list of Python numbers.
#[pyfunction]
fn from_numbers<'py>(py: Python<'py>, values: &Bound<'py, PyTuple>, size: Vec<i64>, dtype: D) -> Out<'py> {
    let size = sizes("tensor", &size)?;
    let numbers = values.iter().map(|v| Ok(v.extract::<Number>()?.0)).collect::<PyResult<Vec<_>>>()?;
    run1(py, 0, || {
        lectorium::for_all_types!(dtype.0, E => {
            let typed: Vec<E> = numbers.iter().map(|&n| <E as lectorium::Element>::from_scalar(n)).collect();
            Tensor::from_slice("tensor", &typed, &size)
        })
    })
}

/// The dtype of tensors made of Python floats, and of ``zeros``, ``rand`` and such: float32 at first.
///
/// Example:
///     >>> lt.get_default_dtype()
///     lectorium.float32
#[pyfunction]
fn get_default_dtype(py: Python<'_>) -> PyResult<Bound<'_, PyDType>> {
    dtype::object(py, elementwise::default_float())
}

#[pyfunction]
fn set_default_dtype(py: Python<'_>, dtype: D) -> PyResult<()> {
    use lectorium::DType;
    if !matches!(dtype.0, DType::F32 | DType::F64) {
        let text = format!("the default must be float32 or float64, got {}", dtype.0);
        return Err(to_python(py, Error::dtype("set_default_dtype", text)));
    }
    elementwise::set_default_float(dtype.0);
    Ok(())
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    unary!(m; neg => Neg, abs => Abs, sign => Sign, exp => Exp, exp2 => Exp2, expm1 => Expm1, log => Log,
        log2 => Log2, log10 => Log10, log1p => Log1p, sqrt => Sqrt, rsqrt => Rsqrt, reciprocal => Reciprocal,
        square => Square, sin => Sin, cos => Cos, tan => Tan, asin => Asin, acos => Acos, atan => Atan,
        sinh => Sinh, cosh => Cosh, tanh => Tanh, asinh => Asinh, acosh => Acosh, atanh => Atanh,
        sigmoid => Sigmoid, relu => Relu, erf => Erf, erfc => Erfc, erfinv => Erfinv, lgamma => Lgamma,
        digamma => Digamma, floor => Floor, ceil => Ceil, round => Round, trunc => Trunc, frac => Frac,
        isnan => Isnan, isinf => Isinf, isfinite => Isfinite, signbit => Signbit, logical_not => LogicalNot,
        bitwise_not => BitwiseNot, logit => Logit);
    binary!(m; mul => Mul, div => Div, floor_divide => FloorDivide, remainder => Remainder, fmod => Fmod,
        pow => Pow, maximum => Maximum, minimum => Minimum, fmax => Fmax, fmin => Fmin, atan2 => Atan2,
        hypot => Hypot, copysign => Copysign, logaddexp => Logaddexp, eq => Eq, ne => Ne, lt => Lt, le => Le,
        gt => Gt, ge => Ge, logical_and => LogicalAnd, logical_or => LogicalOr, logical_xor => LogicalXor,
        bitwise_and => BitwiseAnd, bitwise_or => BitwiseOr, bitwise_xor => BitwiseXor,
        bitwise_left_shift => BitwiseLeftShift, bitwise_right_shift => BitwiseRightShift);
    scaled!(m; add => false, sub => true);
    activations!(m;
        leaky_relu, leaky_relu_grad(slope) => Activation::LeakyRelu(slope),
        elu, elu_grad(alpha) => Activation::Elu(alpha),
        celu, celu_grad(alpha) => Activation::Celu(alpha),
        selu, selu_grad() => Activation::Selu,
        gelu, gelu_grad() => Activation::Gelu,
        gelu_tanh, gelu_tanh_grad() => Activation::GeluTanh,
        silu, silu_grad() => Activation::Silu,
        mish, mish_grad() => Activation::Mish,
        softplus, softplus_grad(beta, threshold) => Activation::Softplus(beta, threshold),
        hardtanh, hardtanh_grad(min, max) => Activation::Hardtanh(min, max),
        hardswish, hardswish_grad() => Activation::Hardswish,
        hardsigmoid, hardsigmoid_grad() => Activation::Hardsigmoid,
        softsign, softsign_grad() => Activation::Softsign,
        tanhshrink, tanhshrink_grad() => Activation::Tanhshrink,
        softshrink, softshrink_grad(lambd) => Activation::Softshrink(lambd),
        hardshrink, hardshrink_grad(lambd) => Activation::Hardshrink(lambd),
        logsigmoid, logsigmoid_grad() => Activation::LogSigmoid,
        threshold, threshold_grad(limit, value) => Activation::Threshold(limit, value),
    );
    grad_of_output!(m; relu_grad, sigmoid_grad, tanh_grad);
    ternary!(m; addcmul, addcdiv);
    pair_losses!(m; squared_error, squared_error_grad, bce_logits, bce_logits_grad);
    macro_rules! plain { ($($f:ident),*) => { $(m.add_function(pyo3::wrap_pyfunction!($f, m)?)?;)* } }
    plain!(
        where_,
        clamp,
        lerp,
        result_type,
        cast,
        clone,
        contiguous,
        channels_last,
        is_channels_last,
        copy_into,
        fill_into,
        empty,
        full,
        arange,
        linspace,
        eye,
        from_numbers,
        get_default_dtype,
        set_default_dtype
    );
    Ok(())
}
