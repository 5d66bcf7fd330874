//! Functions of two operands.

use super::engine::{Cost, Kernel, Params};
use super::kernel::kernel2;
use super::{Num, Operand, apply, compute_type, float_type, promote, result_type};
use crate::dtype::{Bool, DType, Scalar};
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::simd::math::Real;
use crate::tensor::Tensor;
use crate::{for_compute_types, for_float_types};

macro_rules! binary_ops {
    ($($variant:ident => $name:literal),* $(,)?) => {
        /// A function of two elements, by PyTorch's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Binary {
            $($variant),*
        }

        impl Binary {
            pub const ALL: &'static [Binary] = &[$(Binary::$variant),*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Binary::$variant => $name),*
                }
            }

            pub fn from_name(name: &str) -> Option<Binary> {
                match name {
                    $($name => Some(Binary::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

binary_ops! {
    Add => "add", Sub => "sub", Mul => "mul", Div => "div", FloorDivide => "floor_divide",
    Remainder => "remainder", Fmod => "fmod", Pow => "pow", Maximum => "maximum",
    Minimum => "minimum", Fmax => "fmax", Fmin => "fmin", Atan2 => "atan2", Hypot => "hypot",
    Copysign => "copysign", Logaddexp => "logaddexp", Eq => "eq", Ne => "ne", Lt => "lt",
    Le => "le", Gt => "gt", Ge => "ge", LogicalAnd => "logical_and", LogicalOr => "logical_or",
    LogicalXor => "logical_xor", BitwiseAnd => "bitwise_and", BitwiseOr => "bitwise_or",
    BitwiseXor => "bitwise_xor", BitwiseLeftShift => "bitwise_left_shift",
    BitwiseRightShift => "bitwise_right_shift",
}

impl Binary {
    fn is_comparison(self) -> bool {
        use Binary::*;
        matches!(self, Eq | Ne | Lt | Le | Gt | Ge)
    }
    fn is_logical(self) -> bool {
        matches!(self, Binary::LogicalAnd | Binary::LogicalOr | Binary::LogicalXor)
    }
    /// Of integers gives a float.
    fn is_float(self) -> bool {
        matches!(self, Binary::Div | Binary::Atan2 | Binary::Hypot | Binary::Copysign | Binary::Logaddexp)
    }
    fn divides(self) -> bool {
        matches!(self, Binary::FloorDivide | Binary::Remainder | Binary::Fmod)
    }
}

/// `op(a, b)` with broadcasting and promotion; comparisons give bool. With `out` (of the broadcast
/// shape; an operand itself will do) the result is written there and `out` returned; bumps no
/// version: the caller does.
pub fn binary(op: Binary, a: Operand, b: Operand, out: Option<&Tensor>) -> Result<Tensor> {
    let name = op.name();
    #[cfg(feature = "gpu")]
    if let Some(result) = on_gpu(name, a, b, out) {
        return result;
    }
    let common = result_type(&[a, b]);
    let (mut op, mut a, mut b) = (op, a, b);
    let (reads, writes, result) = if op.is_logical() {
        (DType::Bool, DType::Bool, DType::Bool)
    } else if op.is_comparison() {
        // A number that the tensor's type cannot hold is compared, not wrapped.
        let fits = [a, b].iter().all(|o| match o {
            Operand::Scalar(Scalar::Int(v)) if common == DType::U8 && *v < 0 => false,
            Operand::Scalar(s) => promote::check_fits(name, *s, common).is_ok(),
            _ => true,
        });
        (if fits { compute_type(common) } else { DType::I64 }, DType::Bool, DType::Bool)
    } else if op.is_float() {
        let result = float_type(common);
        (compute_type(result), compute_type(result), result)
    } else {
        (compute_type(common), compute_type(common), common)
    };
    if !op.is_comparison() && !op.is_logical() {
        check_domain(op, a, b, common)?;
    }
    // Two of the six comparisons are others with their sides exchanged.
    if matches!(op, Binary::Gt | Binary::Ge) {
        (a, b) = (b, a);
        op = if op == Binary::Gt { Binary::Lt } else { Binary::Le };
    }
    if op == Binary::Pow
        && let Operand::Scalar(e) = b
        && let Some(kernel) = power_kernel(e.to_f64(), reads)
    {
        return apply(name, kernel, &Params::default(), &[a, b], reads, writes, result, Cost::Cheap, out);
    }
    let (kernel, cost) = kernel_of(op, name, reads)?;
    apply(name, kernel, &Params::default(), &[a, b], reads, writes, result, cost, out)
}

/// What PyTorch refuses: bool arithmetic without a meaning, divisions of integers by zero,
/// negative powers of integers.
fn check_domain(op: Binary, a: Operand, b: Operand, common: DType) -> Result<()> {
    let name = op.name();
    for operand in [a, b] {
        if let Operand::Scalar(s) = operand
            && !op.is_float()
        {
            promote::check_fits(name, s, common)?;
        }
    }
    if common == DType::Bool {
        if op == Binary::Sub {
            return Err(Error::dtype(
                name,
                "bool tensors have no difference; use bitwise_xor (^) or logical_xor instead",
            ));
        }
        if op.divides() || matches!(op, Binary::Pow | Binary::BitwiseLeftShift | Binary::BitwiseRightShift) {
            return Err(Error::dtype(
                name,
                "is not defined for bool; convert first, for example with .long()",
            ));
        }
    }
    if op.divides() && !common.is_float() {
        let zero = match b {
            Operand::Scalar(s) => s.to_i64() == 0,
            Operand::Tensor(t) => has_zero(name, t)?,
        };
        if zero {
            return Err(Error::value(
                name,
                "ZeroDivisionError: an integer divisor is zero; use float tensors to get inf or nan",
            ));
        }
    }
    if op == Binary::Pow
        && !common.is_float()
        && let Operand::Scalar(e) = b
        && e.to_i64() < 0
    {
        return Err(Error::value(
            name,
            "integers to negative integer powers are not allowed; use a float base or exponent",
        ));
    }
    Ok(())
}

fn has_zero(op: &'static str, t: &Tensor) -> Result<bool> {
    let t = copy::cast(op, &copy::contiguous(op, t)?, DType::I64)?;
    // SAFETY: contiguous; nobody writes during the call.
    Ok(unsafe { t.as_slice::<i64>() }.contains(&0))
}

/// Powers that need no logarithm.
fn power_kernel(e: f64, dtype: DType) -> Option<Kernel> {
    macro_rules! float {
        (|$a:ident: $T:ident| $e:expr) => {
            match dtype {
                DType::F32 => {
                    type $T = f32;
                    Some(kernel2!(map2, $T, $T => $T, |_p, $a, _b| $e))
                }
                DType::F64 => {
                    type $T = f64;
                    Some(kernel2!(map2, $T, $T => $T, |_p, $a, _b| $e))
                }
                _ => None,
            }
        };
    }
    match e {
        2.0 => float!(|a: T| a * a),
        3.0 => float!(|a: T| a * a * a),
        // `pow(-inf, 0.5)` is inf and `pow(-0., 0.5)` is 0, other than with sqrt.
        0.5 => float!(|a: T| if a == -T::INF { T::INF } else { (a + 0.0).sqrt() }),
        -1.0 => float!(|a: T| 1.0 / a),
        -2.0 => float!(|a: T| 1.0 / (a * a)),
        1.0 => float!(|a: T| a),
        _ => None,
    }
}

/// `x^y` for positive finite `x` and finite `y`, through float64.
#[inline(always)]
fn powf32(x: f32, y: f32) -> f32 {
    ((x as f64).vln() * y as f64).vexp() as f32
}

fn kernel_of(op: Binary, name: &'static str, dtype: DType) -> Result<(Kernel, Cost)> {
    macro_rules! same {
        ($how:ident, $f:ident) => {
            for_compute_types!(name, dtype, T => kernel2!($how, T, T => T, |_p, a, b| a.$f(b)))
        };
    }
    macro_rules! compare {
        (|$a:ident, $b:ident| $e:expr) => {
            for_compute_types!(name, dtype, T => kernel2!(map2, T, T => Bool, |_p, $a, $b| Bool::new($e)))
        };
    }
    macro_rules! float {
        ($how:ident, |$a:ident, $b:ident, $T:ident| $e:expr) => {
            for_float_types!(name, dtype, $T => kernel2!($how, $T, $T => $T, |_p, $a, $b| $e))
        };
    }
    macro_rules! bits {
        (|$a:ident, $b:ident| $e:expr) => {
            match dtype {
                DType::Bool => kernel2!(map2, u8, u8 => u8, |_p, $a, $b| $e),
                DType::U8 => kernel2!(map2, u8, u8 => u8, |_p, $a, $b| $e),
                DType::I32 => kernel2!(map2, i32, i32 => i32, |_p, $a, $b| $e),
                DType::I64 => kernel2!(map2, i64, i64 => i64, |_p, $a, $b| $e),
                other => return Err(Error::dtype(name, format!("expected bool or integers, got {other}"))),
            }
        };
    }
    macro_rules! shift {
        (|$a:ident, $b:ident, $T:ident| $e:expr) => {
            match dtype {
                DType::U8 => {
                    type $T = u8;
                    kernel2!(map2, u8, u8 => u8, |_p, $a, $b| $e)
                }
                DType::I32 => {
                    type $T = i32;
                    kernel2!(map2, i32, i32 => i32, |_p, $a, $b| $e)
                }
                DType::I64 => {
                    type $T = i64;
                    kernel2!(map2, i64, i64 => i64, |_p, $a, $b| $e)
                }
                other => return Err(Error::dtype(name, format!("expected integers, got {other}"))),
            }
        };
    }
    use Cost::{Cheap, Heavy, Over, Scalar as Library};
    Ok(match op {
        Binary::Add => (same!(over2, n_add), Over),
        Binary::Sub => (same!(over2, n_sub), Over),
        Binary::Mul => (same!(over2, n_mul), Over),
        Binary::Div => (float!(over2, |a, b, T| a / b), Over),
        Binary::Maximum => (same!(map2, n_max), Cheap),
        Binary::Minimum => (same!(map2, n_min), Cheap),
        Binary::Fmax => (same!(map2, n_fmax), Cheap),
        Binary::Fmin => (same!(map2, n_fmin), Cheap),
        Binary::FloorDivide => (same!(plain2, n_floor_div), Library),
        Binary::Remainder => (same!(plain2, n_remainder), Library),
        Binary::Fmod => (same!(plain2, n_fmod), Library),
        Binary::Pow if dtype == DType::F32 => (
            kernel2!(map2_rare, f32, f32 => f32, |_p, a, b| powf32(a, b),
                rare |r, s| !(r > 0.0 && r < f32::INFINITY && s.vabs() < f32::INFINITY), r.powf(s)),
            Heavy,
        ),
        Binary::Pow => (same!(plain2, n_pow), Library),
        Binary::Atan2 => (float!(plain2, |a, b, T| a.atan2(b)), Library),
        Binary::Hypot => (float!(plain2, |a, b, T| a.hypot(b)), Library),
        Binary::Copysign => (float!(map2, |a, b, T| a.with_sign_of(b)), Cheap),
        Binary::Logaddexp => (
            float!(map2, |a, b, T| {
                let d = (a - b).vabs();
                // Equal infinities have no difference; NaN stays.
                let y = a.n_max(b) + (-d).vexp().vlog1p();
                if a == b && a.vabs() == T::INF { a } else { y }
            }),
            Heavy,
        ),
        Binary::Eq => (compare!(|a, b| a == b), Cheap),
        Binary::Ne => (compare!(|a, b| a != b), Cheap),
        Binary::Lt => (compare!(|a, b| a < b), Cheap),
        Binary::Le => (compare!(|a, b| a <= b), Cheap),
        Binary::Gt | Binary::Ge => unreachable!("exchanged by the caller"),
        Binary::LogicalAnd | Binary::BitwiseAnd => (bits!(|a, b| a & b), Cheap),
        Binary::LogicalOr | Binary::BitwiseOr => (bits!(|a, b| a | b), Cheap),
        Binary::LogicalXor | Binary::BitwiseXor => (bits!(|a, b| a ^ b), Cheap),
        // Shifts by the width or more, or by a negative number, move every bit out.
        Binary::BitwiseLeftShift => {
            (shift!(|a, b, T| if (b as u64) < T::BITS as u64 { a.wrapping_shl(b as u32) } else { 0 }), Cheap)
        }
        Binary::BitwiseRightShift => (
            shift!(|a, b, T| a.wrapping_shr(if (b as u64) < T::BITS as u64 {
                b as u32
            } else {
                T::BITS - 1
            })),
            Cheap,
        ),
    })
}

/// `a + alpha * b`, or `a - alpha * b` where `sub`.
pub fn add_scaled(a: Operand, b: Operand, alpha: Scalar, sub: bool, out: Option<&Tensor>) -> Result<Tensor> {
    let op = if sub { Binary::Sub } else { Binary::Add };
    let name = op.name();
    if alpha.to_f64() == 1.0 {
        return binary(op, a, b, out);
    }
    let common = result_type(&[a, b]);
    check_domain(op, a, b, common)?;
    if alpha.category() == 2 && !common.is_float() {
        return Err(Error::dtype(
            name,
            format!("alpha is a float but the result is {common}; expected an integer alpha"),
        ));
    }
    let sign = if sub { -1 } else { 1 };
    let params = Params { f: [sign as f64 * alpha.to_f64(), 0.0], i: [alpha.to_i64().wrapping_mul(sign), 0] };
    let t = compute_type(common);
    let kernel: Kernel = for_compute_types!(name, t, T => kernel2!(over2, T, T => T,
        |p, a, b| a.n_add(<T as Num>::param(p.f[0], p.i[0]).n_mul(b))));
    apply(name, kernel, &params, &[a, b], t, t, common, Cost::Over, out)
}

/// The GPU's answer, if an operand lives there. Numbers travel as tensors without axes.
#[cfg(feature = "gpu")]
fn on_gpu(name: &'static str, a: Operand, b: Operand, out: Option<&Tensor>) -> Option<Result<Tensor>> {
    use crate::storage::Device;
    let like = [a, b].into_iter().find_map(|o| match o {
        Operand::Tensor(t) if t.device() == Device::Gpu => Some(t.dtype()),
        _ => None,
    })?;
    let place = |o: Operand| match o {
        Operand::Tensor(t) => Ok(t.clone()),
        Operand::Scalar(s) => crate::gpu::upload(name, &Tensor::scalar(name, s, like)?),
    };
    if out.is_some() {
        let text = "changing a GPU tensor in place has no kernel yet; use the out-of-place form";
        return Some(Err(Error::device(name, text)));
    }
    Some(place(a).and_then(|a| crate::gpu::binary(name, &a, &place(b)?)))
}
