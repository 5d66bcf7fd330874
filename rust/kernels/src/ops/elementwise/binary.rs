//! Functions of two operands.

use super::engine::{Cost, Kernel, Params};
use super::kernel::{kernel1, kernel2};
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
        return apply(name, kernel, &Params::default(), &[a], reads, writes, result, Cost::Cheap, out);
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
pub(crate) fn power_kernel(e: f64, dtype: DType) -> Option<Kernel> {
    macro_rules! float {
        (|$a:ident: $T:ident| $e:expr) => {
            match dtype {
                DType::F32 => {
                    type $T = f32;
                    Some(kernel1!(map1, $T => $T, |_p, $a| $e))
                }
                DType::F64 => {
                    type $T = f64;
                    Some(kernel1!(map1, $T => $T, |_p, $a| $e))
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

/// Adding it to a float64 rounds to an integer, whose bits are then the low bits of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// `x^y` for positive finite `x` and finite `y`: `2^(y log2 x)` in float64, with polynomials that are
/// off by 4e-12 and 2e-9, so that nearly every result is rounded correctly.
#[inline(always)]
fn powf32(x: f32, y: f32) -> f32 {
    // x = 2^e * m with m in [sqrt(1/2), sqrt(2)); log2(m) is odd in (m - 1) / (m + 1).
    let shifted = (x as f64).to_bits().wrapping_sub(0x3fe6_a09e_667f_3bcd);
    let e = ((shifted as i64 >> 52) as i32) as f64;
    let m = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff).wrapping_add(0x3fe6_a09e_667f_3bcd));
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut p = 0.3407282336857403f64;
    p = p.mul_add(z, 0.4116728121205137);
    p = p.mul_add(z, 0.5770835835935749);
    p = p.mul_add(z, 0.9617966733474556);
    p = p.mul_add(z, 2.8853900817900864);
    let t = (p.mul_add(s, e) * y as f64).at_least(-200.0).at_most(200.0);
    let n = t + ROUND;
    let f = t - (n - ROUND);
    let mut p = 0.00015353360944691326f64;
    p = p.mul_add(f, 0.0013398874742723292);
    p = p.mul_add(f, 0.00961843736415741);
    p = p.mul_add(f, 0.05550332470086383);
    p = p.mul_add(f, 0.24022647913533268);
    p = p.mul_add(f, 0.693147202855722);
    p = p.mul_add(f, 1.0);
    f64::from_bits(p.to_bits().wrapping_add(n.to_bits() << 52)) as f32
}

/// By way of float64, off by 3e-9 before the last rounding.
#[inline(always)]
fn atan2f32(y: f32, x: f32) -> f32 {
    let (ay, ax) = (y.vabs() as f64, x.vabs() as f64);
    let steep = ay > ax;
    let (low, high) = if steep { (ax, ay) } else { (ay, ax) };
    let q = low / high;
    // 0 / 0 lies on an axis, inf / inf half way between two.
    let q = if high == 0.0 { 0.0 } else { q };
    let q = if low == f64::INFINITY { 1.0 } else { q };
    let z = q * q;
    let mut p = -0.0017936178064012845f64;
    p = p.mul_add(z, 0.010914589309069913);
    p = p.mul_add(z, -0.03117781750646686);
    p = p.mul_add(z, 0.05795756791133115);
    p = p.mul_add(z, -0.08403449031569579);
    p = p.mul_add(z, 0.10952185418560802);
    p = p.mul_add(z, -0.14264241633558486);
    p = p.mul_add(z, 0.199985482825709);
    p = p.mul_add(z, -0.3333329908919034);
    let a = (p * z).mul_add(q, q);
    let a = if steep { std::f64::consts::FRAC_PI_2 - a } else { a };
    let a = if x.to_bits() >> 31 == 1 { std::f64::consts::PI - a } else { a };
    let a = (a as f32).with_sign_of(y);
    if x.is_nan() || y.is_nan() { f32::NAN } else { a }
}

/// The kernel of `op` on a compute type; `Gt` and `Ge` are `Lt` and `Le` with their sides exchanged.
pub(crate) fn kernel_of(op: Binary, name: &'static str, dtype: DType) -> Result<(Kernel, Cost)> {
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
    use Cost::{Cheap, Frequent, Heavy, Scalar as Library};
    Ok(match op {
        Binary::Add => (same!(over2, n_add), Frequent),
        Binary::Sub => (same!(over2, n_sub), Frequent),
        Binary::Mul => (same!(over2, n_mul), Frequent),
        Binary::Div => (float!(over2, |a, b, T| a / b), Frequent),
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
        Binary::Atan2 if dtype == DType::F32 => {
            (kernel2!(map2, f32, f32 => f32, |_p, a, b| atan2f32(a, b)), Heavy)
        }
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
    let params = Params {
        f: [sign as f64 * alpha.to_f64(), 0.0],
        i: [alpha.to_i64().wrapping_mul(sign), 0],
        ..Params::default()
    };
    let t = compute_type(common);
    apply(name, scaled_kernel(t)?, &params, &[a, b], t, t, common, Cost::Frequent, out)
}

/// `a + p * b`, with `p` the first parameter.
pub(crate) fn scaled_kernel(dtype: DType) -> Result<Kernel> {
    Ok(for_compute_types!("add", dtype, T => kernel2!(over2, T, T => T,
        |p, a, b| a.n_add(<T as Num>::param(p.f[0], p.i[0]).n_mul(b)))))
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
