//! Activation functions and their derivatives.

use super::elementwise::engine::{Cost, Kernel, Params};
use super::elementwise::kernel::{kernel1, kernel2};
use super::elementwise::{Operand, apply, compute_type, result_type};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::simd::math::Real;
use crate::tensor::Tensor;

/// An activation function with its parameters, in PyTorch's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    LeakyRelu(f64),
    Elu(f64),
    Celu(f64),
    Selu,
    Gelu,
    GeluTanh,
    Silu,
    Mish,
    /// beta, threshold
    Softplus(f64, f64),
    /// min, max
    Hardtanh(f64, f64),
    Hardswish,
    Hardsigmoid,
    Softsign,
    Tanhshrink,
    Softshrink(f64),
    Hardshrink(f64),
    LogSigmoid,
    /// threshold, value
    Threshold(f64, f64),
}

use Activation::*;

const SELU_ALPHA: f64 = 1.6732632423543772;
const SELU_SCALE: f64 = 1.0507009873554805;
/// `sqrt(2 / pi)` and the cubic term of the tanh form of GELU.
const GELU_BETA: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
const GELU_KAPPA: f64 = 0.044715;
/// `1 / sqrt(2 pi)`.
const NORMAL_PEAK: f64 = 0.3989422804014327;

impl Activation {
    /// PyTorch's name in `nn.functional`.
    pub const fn name(self) -> &'static str {
        match self {
            LeakyRelu(_) => "leaky_relu",
            Elu(_) => "elu",
            Celu(_) => "celu",
            Selu => "selu",
            Gelu | GeluTanh => "gelu",
            Silu => "silu",
            Mish => "mish",
            Softplus(..) => "softplus",
            Hardtanh(..) => "hardtanh",
            Hardswish => "hardswish",
            Hardsigmoid => "hardsigmoid",
            Softsign => "softsign",
            Tanhshrink => "tanhshrink",
            Softshrink(_) => "softshrink",
            Hardshrink(_) => "hardshrink",
            LogSigmoid => "logsigmoid",
            Threshold(..) => "threshold",
        }
    }

    pub(crate) fn params(self) -> [f64; 2] {
        match self {
            LeakyRelu(a) | Softshrink(a) | Hardshrink(a) => [a, 0.0],
            // Scale and slope of the negative side: `f0 * expm1(x * f1)`.
            Elu(a) => [a, 1.0],
            Celu(a) => [a, 1.0 / a],
            Softplus(a, b) | Hardtanh(a, b) | Threshold(a, b) => [a, b],
            _ => [0.0, 0.0],
        }
    }

    fn check(self) -> Result<()> {
        match self {
            Celu(0.0) => Err(Error::value(self.name(), "alpha is zero, expected any other number")),
            Softshrink(l) if l < 0.0 || l.is_nan() => {
                Err(Error::value(self.name(), format!("lambda is {l}, expected 0 or more")))
            }
            Softplus(0.0, _) => Err(Error::value(self.name(), "beta is zero, expected any other number")),
            Hardtanh(lo, hi) if lo > hi => {
                Err(Error::value(self.name(), format!("min {lo} is above max {hi}")))
            }
            _ => Ok(()),
        }
    }
}

fn expect_float(op: &'static str, x: &Tensor) -> Result<DType> {
    x.expect_cpu(op)?;
    if x.dtype().is_float() {
        return Ok(x.dtype());
    }
    Err(Error::dtype(
        op,
        format!("expected a floating point tensor, got {}; convert with .float()", x.dtype()),
    ))
}

/// `act(x)`.
pub fn activation(act: Activation, x: &Tensor) -> Result<Tensor> {
    let op = act.name();
    let dtype = expect_float(op, x)?;
    act.check()?;
    let t = compute_type(dtype);
    let (kernel, cost) = forward_kernel(act, t)?;
    let params = Params { f: act.params(), ..Params::default() };
    apply(op, kernel, &params, &[Operand::Tensor(x)], t, t, dtype, cost, None)
}

pub(crate) fn forward_kernel(act: Activation, dtype: DType) -> Result<(Kernel, Cost)> {
    macro_rules! float {
        (|$p:ident, $x:ident, $T:ident| $e:expr) => {
            for_float_types!(act.name(), dtype, $T => kernel1!(map1, $T => $T, |$p, $x| $e))
        };
    }
    use Cost::{Cheap, Heavy};
    Ok(match act {
        LeakyRelu(_) => (float!(|p, x, T| if x > 0.0 { x } else { x * p.f[0] as T }), Cheap),
        Elu(_) | Celu(_) => (
            float!(|p, x, T| {
                let low = p.f[0] as T * (x.at_most(0.0) * p.f[1] as T).vexpm1();
                if x > 0.0 { x } else { low }
            }),
            Heavy,
        ),
        Selu => (
            float!(|_p, x, T| {
                let low = (SELU_SCALE * SELU_ALPHA) as T * x.at_most(0.0).vexpm1();
                if x > 0.0 { SELU_SCALE as T * x } else { low }
            }),
            Heavy,
        ),
        Gelu => (float!(|_p, x, T| x * x.vcdf()), Heavy),
        GeluTanh => (
            float!(|_p, x, T| {
                let inner = GELU_BETA as T * (x + GELU_KAPPA as T * x * x * x);
                0.5 * x * (1.0 + inner.vtanh())
            }),
            Heavy,
        ),
        Silu => (float!(|_p, x, T| x / (1.0 + (-x).vexp())), Heavy),
        Mish => (
            float!(|_p, x, T| {
                // tanh(ln(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2)
                let e = x.at_most(20.0).vexp();
                let n = e * (e + 2.0);
                x * (n / (n + 2.0))
            }),
            Heavy,
        ),
        Softplus(..) => (
            float!(|p, x, T| {
                let beta = p.f[0] as T;
                let y = (x * beta).vsoftplus() / beta;
                if x * beta > p.f[1] as T { x } else { y }
            }),
            Heavy,
        ),
        Hardtanh(..) => (float!(|p, x, T| x.at_least(p.f[0] as T).at_most(p.f[1] as T)), Cheap),
        Hardswish => (float!(|_p, x, T| x * ((x + 3.0).at_least(0.0).at_most(6.0) / 6.0)), Cheap),
        Hardsigmoid => (float!(|_p, x, T| (x + 3.0).at_least(0.0).at_most(6.0) / 6.0), Cheap),
        Softsign => (float!(|_p, x, T| x / (1.0 + x.vabs())), Cheap),
        Tanhshrink => (float!(|_p, x, T| x - x.vtanh()), Heavy),
        Softshrink(_) => (
            float!(|p, x, T| {
                let l = p.f[0] as T;
                let low = if x < -l { x + l } else { x * 0.0 };
                if x > l { x - l } else { low }
            }),
            Cheap,
        ),
        Hardshrink(_) => (
            float!(|p, x, T| {
                let l = p.f[0] as T;
                if x >= -l && x <= l { 0.0 } else { x }
            }),
            Cheap,
        ),
        LogSigmoid => (float!(|_p, x, T| -(-x).vsoftplus()), Heavy),
        Threshold(..) => (float!(|p, x, T| if x <= p.f[0] as T { p.f[1] as T } else { x }), Cheap),
    })
}

/// `g * act'(x)`, with `x` the activation's input.
pub fn activation_grad(act: Activation, g: &Tensor, x: &Tensor) -> Result<Tensor> {
    let op = act.name();
    act.check()?;
    let dtype = grad_type(op, g, x)?;
    let t = compute_type(dtype);
    let (kernel, cost) = backward_kernel(act, t)?;
    let params = Params { f: act.params(), ..Params::default() };
    apply(op, kernel, &params, &[Operand::Tensor(g), Operand::Tensor(x)], t, t, dtype, cost, None)
}

fn grad_type(op: &'static str, g: &Tensor, x: &Tensor) -> Result<DType> {
    expect_float(op, g)?;
    expect_float(op, x)?;
    Ok(result_type(&[Operand::Tensor(g), Operand::Tensor(x)]))
}

pub(crate) fn backward_kernel(act: Activation, dtype: DType) -> Result<(Kernel, Cost)> {
    macro_rules! float {
        (|$p:ident, $g:ident, $x:ident, $T:ident| $e:expr) => {
            for_float_types!(act.name(), dtype, $T => kernel2!(map2, $T, $T => $T, |$p, $g, $x| $e))
        };
    }
    use Cost::{Cheap, Heavy};
    Ok(match act {
        LeakyRelu(_) => (float!(|p, g, x, T| if x > 0.0 { g } else { g * p.f[0] as T }), Cheap),
        Elu(_) | Celu(_) => (
            float!(|p, g, x, T| {
                let low = g * ((p.f[0] * p.f[1]) as T * (x.at_most(0.0) * p.f[1] as T).vexp());
                if x > 0.0 { g } else { low }
            }),
            Heavy,
        ),
        Selu => (
            float!(|_p, g, x, T| {
                let low = (SELU_SCALE * SELU_ALPHA) as T * x.at_most(0.0).vexp();
                g * if x > 0.0 { SELU_SCALE as T } else { low }
            }),
            Heavy,
        ),
        Gelu => (
            float!(|_p, g, x, T| {
                let cdf = x.vcdf();
                let pdf = NORMAL_PEAK as T * (-0.5 * x * x).vexp();
                g * (cdf + x * pdf)
            }),
            Heavy,
        ),
        GeluTanh => (
            float!(|_p, g, x, T| {
                let t = (GELU_BETA as T * (x + GELU_KAPPA as T * x * x * x)).vtanh();
                let slope = GELU_BETA as T * (1.0 + 3.0 * GELU_KAPPA as T * x * x);
                g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
            }),
            Heavy,
        ),
        Silu => (
            float!(|_p, g, x, T| {
                let s = x.vsigmoid();
                g * s * (1.0 + x * (1.0 - s))
            }),
            Heavy,
        ),
        Mish => (
            float!(|_p, g, x, T| {
                let e = x.at_most(20.0).vexp();
                let n = e * (e + 2.0);
                let t = n / (n + 2.0);
                g * (t + x * (e / (1.0 + e)) * (1.0 - t * t))
            }),
            Heavy,
        ),
        Softplus(..) => (
            float!(|p, g, x, T| {
                let z = x * p.f[0] as T;
                g * if z > p.f[1] as T { 1.0 } else { z.vsigmoid() }
            }),
            Heavy,
        ),
        Hardtanh(..) => {
            (float!(|p, g, x, T| if x <= p.f[0] as T || x >= p.f[1] as T { 0.0 } else { g }), Cheap)
        }
        Hardswish => (
            float!(|_p, g, x, T| {
                let inside = g * (x / 3.0 + 0.5);
                let low = if x <= -3.0 { 0.0 } else { inside };
                if x >= 3.0 { g } else { low }
            }),
            Cheap,
        ),
        Hardsigmoid => (float!(|_p, g, x, T| if x > -3.0 && x < 3.0 { g / 6.0 } else { 0.0 }), Cheap),
        Softsign => (
            float!(|_p, g, x, T| {
                let d = 1.0 + x.vabs();
                g / (d * d)
            }),
            Cheap,
        ),
        Tanhshrink => (
            float!(|_p, g, x, T| {
                let t = x.vtanh();
                g * t * t
            }),
            Heavy,
        ),
        Softshrink(_) | Hardshrink(_) => {
            (float!(|p, g, x, T| if x >= -(p.f[0] as T) && x <= p.f[0] as T { 0.0 } else { g }), Cheap)
        }
        LogSigmoid => (float!(|_p, g, x, T| g * (-x).vsigmoid()), Heavy),
        Threshold(..) => (float!(|p, g, x, T| if x <= p.f[0] as T { 0.0 } else { g }), Cheap),
    })
}

/// Runs a kernel of the gradient and the forward pass's output.
macro_rules! from_output {
    ($(#[$meta:meta])* $name:ident, $kernel:ident, $op:literal, |$g:ident, $y:ident, $T:ident| $e:expr) => {
        pub(crate) fn $kernel(dtype: DType) -> Result<Kernel> {
            Ok(for_float_types!($op, dtype, $T => kernel2!(map2, $T, $T => $T, |_p, $g, $y| $e)))
        }
        $(#[$meta])*
        pub fn $name(g: &Tensor, y: &Tensor) -> Result<Tensor> {
            #[cfg(feature = "gpu")]
            if $op == "relu" && [g, y].iter().any(|t| t.device() == crate::storage::Device::Gpu) {
                return crate::gpu::binary("relu_grad", g, y);
            }
            let dtype = grad_type($op, g, y)?;
            let t = compute_type(dtype);
            apply($op, $kernel(t)?, &Params::default(), &[Operand::Tensor(g), Operand::Tensor(y)], t, t, dtype, Cost::Cheap, None)
        }
    };
}

from_output!(
    /// `g` where relu's output `y` is positive, else 0.
    relu_grad, relu_grad_kernel, "relu", |g, y, T| if y <= 0.0 { 0.0 } else { g }
);
from_output!(
    /// From sigmoid's output `y`.
    sigmoid_grad, sigmoid_grad_kernel, "sigmoid", |g, y, T| g * (y * (1.0 - y))
);
from_output!(
    /// From tanh's output `y`.
    tanh_grad, tanh_grad_kernel, "tanh", |g, y, T| g * (1.0 - y * y)
);
