//! Functions of one tensor.

use super::engine::{Cost, Kernel, Params};
use super::kernel::kernel1;
use super::{Num, Operand, apply, compute_type, float_type};
use crate::dtype::{Bool, DType};
use crate::error::{Error, Result};
use crate::simd::math::{self, Real};
use crate::tensor::Tensor;
use crate::{for_compute_types, for_float_types};

macro_rules! unary_ops {
    ($($variant:ident => $name:literal),* $(,)?) => {
        /// A function of one element, by PyTorch's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Unary {
            $($variant),*
        }

        impl Unary {
            pub const ALL: &'static [Unary] = &[$(Unary::$variant),*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Unary::$variant => $name),*
                }
            }

            pub fn from_name(name: &str) -> Option<Unary> {
                match name {
                    $($name => Some(Unary::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

unary_ops! {
    Neg => "neg", Abs => "abs", Sign => "sign", Exp => "exp", Exp2 => "exp2", Expm1 => "expm1",
    Log => "log", Log2 => "log2", Log10 => "log10", Log1p => "log1p", Sqrt => "sqrt",
    Rsqrt => "rsqrt", Reciprocal => "reciprocal", Square => "square", Sin => "sin", Cos => "cos",
    Tan => "tan", Asin => "asin", Acos => "acos", Atan => "atan", Sinh => "sinh", Cosh => "cosh",
    Tanh => "tanh", Asinh => "asinh", Acosh => "acosh", Atanh => "atanh", Sigmoid => "sigmoid",
    Relu => "relu", Erf => "erf", Erfc => "erfc", Erfinv => "erfinv", Lgamma => "lgamma",
    Digamma => "digamma", Floor => "floor", Ceil => "ceil", Round => "round", Trunc => "trunc",
    Frac => "frac", Isnan => "isnan", Isinf => "isinf", Isfinite => "isfinite",
    Signbit => "signbit", LogicalNot => "logical_not", BitwiseNot => "bitwise_not",
    Logit => "logit", Logsigmoid => "logsigmoid",
}

/// What an op does with integers and bool.
#[derive(PartialEq)]
enum Kind {
    /// Keeps the type.
    Keeps,
    /// Keeps the type and the values of integers (rounding).
    Rounds,
    /// Computes in the default float type.
    Float,
    /// Gives bool.
    Predicate,
}

fn kind(op: Unary) -> Kind {
    use Unary::*;
    match op {
        Neg | Abs | Sign | Square | Relu | BitwiseNot => Kind::Keeps,
        Floor | Ceil | Round | Trunc | Frac => Kind::Rounds,
        Isnan | Isinf | Isfinite | Signbit | LogicalNot => Kind::Predicate,
        _ => Kind::Float,
    }
}

/// Applies `op` to every element. Float functions of integers and bool compute in the default float
/// type. With `out` (of the same shape; `x` itself will do) the result is written there and `out`
/// returned; bumps no version: the caller does.
pub fn unary(op: Unary, x: &Tensor, out: Option<&Tensor>) -> Result<Tensor> {
    let name = op.name();
    #[cfg(feature = "gpu")]
    if x.device() == crate::storage::Device::Gpu && op == Unary::Relu && out.is_none() {
        return crate::gpu::unary(name, x);
    }
    x.expect_cpu(name)?;
    let (reads, writes, result) = match kind(op) {
        Kind::Float => {
            let result = float_type(x.dtype());
            let t = compute_type(result);
            (t, t, result)
        }
        Kind::Predicate => (compute_type(x.dtype()), DType::Bool, DType::Bool),
        _ => {
            let t = compute_type(x.dtype());
            (t, t, x.dtype())
        }
    };
    if x.dtype() == DType::Bool {
        let instead = match op {
            Unary::Neg => Some("use logical_not (~) instead"),
            Unary::Relu | Unary::Frac | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => {
                Some("convert it first, for example with .float()")
            }
            _ => None,
        };
        if let Some(instead) = instead {
            return Err(Error::dtype(name, format!("is not defined for a bool tensor; {instead}")));
        }
    }
    let (kernel, cost) = kernel_of(op, reads)?;
    apply(name, kernel, &Params::default(), &[Operand::Tensor(x)], reads, writes, result, cost, out)
}

/// The kernel of `op` on a compute type.
pub(crate) fn kernel_of(op: Unary, dtype: DType) -> Result<(Kernel, Cost)> {
    let name = op.name();
    /// A kernel for all compute types.
    macro_rules! any {
        ($O:ty, |$a:ident: $T:ident| $e:expr) => {
            for_compute_types!(name, dtype, $T => kernel1!(map1, $T => $O, |_p, $a| $e))
        };
    }
    /// A kernel for floats.
    macro_rules! float {
        ($how:ident, |$a:ident: $T:ident| $e:expr) => {
            for_float_types!(name, dtype, $T => kernel1!($how, $T => $T, |_p, $a| $e))
        };
    }
    /// A predicate that is constant for integers.
    macro_rules! predicate {
        ($int:expr, |$a:ident: $T:ident| $e:expr) => {
            match dtype {
                DType::F32 | DType::F64 => {
                    for_float_types!(name, dtype, $T => kernel1!(map1, $T => Bool, |_p, $a| Bool::new($e)))
                }
                _ => for_compute_types!(name, dtype, $T => kernel1!(plain1, $T => Bool, |_p, _a| Bool::new($int))),
            }
        };
    }
    /// Rounding, which leaves integers alone.
    macro_rules! rounds {
        ($int:expr, |$a:ident: $T:ident| $e:expr) => {
            match dtype {
                DType::F32 | DType::F64 => {
                    for_float_types!(name, dtype, $T => kernel1!(map1, $T => $T, |_p, $a| $e))
                }
                DType::Bool => return Err(Error::dtype(name, "is not defined for a bool tensor")),
                _ => for_compute_types!(name, dtype, $T => kernel1!(plain1, $T => $T, |_p, a| if $int { a } else { <$T>::default() })),
            }
        };
    }
    use Cost::{Cheap, Frequent, Heavy, Scalar as Library};
    Ok(match op {
        Unary::Neg => (any!(T, |a: T| a.n_neg()), Cheap),
        Unary::Abs => (any!(T, |a: T| a.n_abs()), Cheap),
        Unary::Sign => (any!(T, |a: T| a.n_sign()), Cheap),
        Unary::Square => (any!(T, |a: T| a.n_mul(a)), Cheap),
        // Written so that NaN stays.
        Unary::Relu => (
            for_compute_types!(name, dtype, T => kernel1!(over1, T => T, |_p, a| if a < T::default() { T::default() } else { a })),
            Frequent,
        ),
        Unary::BitwiseNot => (
            match dtype {
                DType::Bool => kernel1!(map1, Bool => Bool, |_p, a| Bool(a.0 ^ 1)),
                DType::U8 => kernel1!(map1, u8 => u8, |_p, a| !a),
                DType::I32 => kernel1!(map1, i32 => i32, |_p, a| !a),
                DType::I64 => kernel1!(map1, i64 => i64, |_p, a| !a),
                other => return Err(Error::dtype(name, format!("expected bool or integers, got {other}"))),
            },
            Cheap,
        ),
        Unary::LogicalNot => (any!(Bool, |a: T| Bool::new(a == T::default())), Cheap),
        Unary::Isnan => (predicate!(false, |a: T| a.is_nan()), Cheap),
        Unary::Isinf => (predicate!(false, |a: T| a.vabs() == T::INF), Cheap),
        Unary::Isfinite => (predicate!(true, |a: T| a.vabs() < T::INF), Cheap),
        Unary::Signbit => (
            match dtype {
                DType::F32 => kernel1!(map1, f32 => Bool, |_p, a| Bool((a.to_bits() >> 31) as u8)),
                DType::F64 => kernel1!(map1, f64 => Bool, |_p, a| Bool((a.to_bits() >> 63) as u8)),
                _ => any!(Bool, |a: T| Bool::new(a < T::default())),
            },
            Cheap,
        ),
        Unary::Floor => (rounds!(true, |a: T| a.floor()), Cheap),
        Unary::Ceil => (rounds!(true, |a: T| a.ceil()), Cheap),
        Unary::Round => (rounds!(true, |a: T| a.round_ties_even()), Cheap),
        Unary::Trunc => (rounds!(true, |a: T| a.trunc()), Cheap),
        Unary::Frac => (rounds!(false, |a: T| a - a.trunc()), Cheap),
        Unary::Sqrt => (float!(map1, |a: T| a.sqrt()), Cheap),
        Unary::Rsqrt => (float!(map1, |a: T| 1.0 / a.sqrt()), Cheap),
        Unary::Reciprocal => (float!(map1, |a: T| 1.0 / a), Cheap),
        Unary::Exp => (float!(map1, |a: T| a.vexp()), Heavy),
        Unary::Exp2 => (float!(map1, |a: T| a.vexp2()), Heavy),
        Unary::Expm1 => (float!(map1, |a: T| a.vexpm1()), Heavy),
        Unary::Log => (float!(map1, |a: T| a.vln()), Heavy),
        Unary::Log2 => (float!(map1, |a: T| a.vlog2()), Heavy),
        Unary::Log10 => (float!(map1, |a: T| a.vlog10()), Heavy),
        Unary::Log1p => (float!(map1, |a: T| a.vlog1p()), Heavy),
        Unary::Tanh => (float!(map1, |a: T| a.vtanh()), Heavy),
        Unary::Sigmoid => (float!(map1, |a: T| a.vsigmoid()), Heavy),
        Unary::Erf => (float!(map1, |a: T| a.verf()), Heavy),
        Unary::Erfc => (float!(map1, |a: T| a.verfc()), Heavy),
        Unary::Logsigmoid => (float!(map1, |a: T| -(-a).vsoftplus()), Heavy),
        Unary::Logit => (float!(map1, |a: T| (a / (1.0 - a)).vln()), Heavy),
        Unary::Sin => (
            for_float_types!(name, dtype, T => kernel1!(map1_rare, T => T, |_p, a| a.vsin(),
                rare |r| r.vabs() > T::TRIG_LIMIT || r.is_nan(), r.sin())),
            Heavy,
        ),
        Unary::Cos => (
            for_float_types!(name, dtype, T => kernel1!(map1_rare, T => T, |_p, a| a.vcos(),
                rare |r| r.vabs() > T::TRIG_LIMIT || r.is_nan(), r.cos())),
            Heavy,
        ),
        // By way of float64: the library's float32 versions are up to 5 ulp off.
        Unary::Tan => (float!(plain1, |a: T| (a as f64).tan() as T), Library),
        Unary::Asin => (float!(plain1, |a: T| (a as f64).asin() as T), Library),
        Unary::Acos => (float!(plain1, |a: T| (a as f64).acos() as T), Library),
        Unary::Atan => (float!(plain1, |a: T| (a as f64).atan() as T), Library),
        Unary::Sinh => (float!(plain1, |a: T| (a as f64).sinh() as T), Library),
        Unary::Cosh => (float!(plain1, |a: T| (a as f64).cosh() as T), Library),
        Unary::Asinh => (float!(plain1, |a: T| (a as f64).asinh() as T), Library),
        Unary::Acosh => (float!(plain1, |a: T| (a as f64).acosh() as T), Library),
        Unary::Atanh => (float!(plain1, |a: T| (a as f64).atanh() as T), Library),
        Unary::Erfinv => (float!(plain1, |a: T| math::erfinv(a as f64) as T), Library),
        Unary::Lgamma => (float!(plain1, |a: T| libm::lgamma(a as f64) as T), Library),
        Unary::Digamma => (float!(plain1, |a: T| math::digamma(a as f64) as T), Library),
    })
}
