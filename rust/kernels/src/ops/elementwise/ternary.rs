//! Selection, clamping and functions of three operands.

use super::engine::{self, Cost, Kernel, Params};
use super::kernel::{kernel1, kernel2, kernel3};
use super::{Num, Operand, apply, compute_type, promote, result_type};
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::for_compute_types;
use crate::for_float_types;
use crate::ops::copy;
use crate::simd::math::Real;
use crate::tensor::Tensor;

/// `a` where `cond` (bool) is true, else `b`; all three broadcast.
pub fn where_(cond: &Tensor, a: Operand, b: Operand) -> Result<Tensor> {
    let op = "where";
    if cond.dtype() != DType::Bool {
        return Err(Error::dtype(
            op,
            format!("expected a bool condition, got {}; compare it first, for example x != 0", cond.dtype()),
        ));
    }
    let dtype = result_type(&[a, b]);
    for operand in [a, b] {
        if let Operand::Scalar(s) = operand {
            promote::check_fits(op, s, dtype)?;
        }
    }
    let (a, b) = (promote::ready(op, a, dtype)?, promote::ready(op, b, dtype)?);
    engine::run(
        op,
        select_kernel(dtype),
        &Params::default(),
        &[engine::Arg::Tensor(cond), a.arg(dtype), b.arg(dtype)],
        dtype,
        Cost::Cheap,
        None,
    )
}

/// The second operand where the first, a bool, holds, else the third.
pub(crate) fn select_kernel(dtype: DType) -> Kernel {
    // A matter of bits: one kernel a size.
    macro_rules! select {
        ($W:ty) => {
            kernel3!(u8, $W, $W => $W, |_p, c, a, b| if c != 0 { a } else { b })
        };
    }
    match dtype.size() {
        1 => select!(u8),
        2 => select!(u16),
        4 => select!(u32),
        _ => select!(u64),
    }
}

/// Limits every element to `min..=max`; NaN stays, and a NaN bound gives NaN.
pub fn clamp(x: &Tensor, min: Option<Scalar>, max: Option<Scalar>) -> Result<Tensor> {
    let op = "clamp";
    x.expect_cpu(op)?;
    let mut operands: smallvec::SmallVec<[Operand; 3]> = smallvec::smallvec![Operand::Tensor(x)];
    operands.extend([min, max].into_iter().flatten().map(Operand::Scalar));
    if operands.len() == 1 {
        return Err(Error::value(op, "expected min, max or both"));
    }
    let dtype = result_type(&operands);
    let t = compute_type(dtype);
    if [min, max].into_iter().flatten().any(|s| s.to_f64().is_nan()) {
        return copy::full(op, x.shape(), Scalar::Float(f64::NAN), dtype);
    }
    // Integer bounds beyond the type's range stop at its ends.
    let (lowest, highest) = match dtype {
        DType::Bool => (0, 1),
        DType::U8 => (0, 255),
        DType::I8 => (-128, 127),
        DType::I16 => (-32768, 32767),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        _ => (i64::MIN, i64::MAX),
    };
    let params = Params {
        f: [min.map_or(f64::NEG_INFINITY, Scalar::to_f64), max.map_or(f64::INFINITY, Scalar::to_f64)],
        i: [
            min.map_or(lowest, |s| s.to_i64().clamp(lowest, highest)),
            max.map_or(highest, |s| s.to_i64().clamp(lowest, highest)),
        ],
        ..Params::default()
    };
    let kernel: Kernel = match t {
        DType::F32 | DType::F64 => for_float_types!(op, t, T => kernel1!(map1, T => T,
            |p, a| a.at_least(p.f[0] as T).at_most(p.f[1] as T))),
        DType::Bool => {
            return Err(Error::dtype(op, "is not defined for bool; convert first, for example with .long()"));
        }
        _ => for_compute_types!(op, t, T => kernel1!(map1, T => T,
            |p, a| a.n_max(<T as Num>::param(0.0, p.i[0])).n_min(<T as Num>::param(0.0, p.i[1])))),
    };
    apply(op, kernel, &params, &[Operand::Tensor(x)], t, t, dtype, Cost::Cheap, None)
}

/// `start + weight * (end - start)`, exact at both ends; floats only.
pub fn lerp(start: &Tensor, end: &Tensor, weight: Operand) -> Result<Tensor> {
    let op = "lerp";
    let mut operands: smallvec::SmallVec<[Operand; 3]> =
        smallvec::smallvec![Operand::Tensor(start), Operand::Tensor(end)];
    if let Operand::Tensor(_) = weight {
        operands.push(weight);
    }
    let dtype = result_type(&operands);
    let t = compute_type(dtype);
    // From the nearer end.
    macro_rules! mix {
        ($a:ident, $b:ident, $w:expr) => {{
            let w = $w;
            let near = $a + w * ($b - $a);
            let far = $b - ($b - $a) * (1.0 - w);
            if w.vabs() < 0.5 { near } else { far }
        }};
    }
    let (a, b) = (Operand::Tensor(start), Operand::Tensor(end));
    if let Operand::Scalar(w) = weight {
        let params = Params { f: [w.to_f64(), 0.0], ..Params::default() };
        let kernel: Kernel =
            for_float_types!(op, t, T => kernel2!(map2, T, T => T, |p, a, b| mix!(a, b, p.f[0] as T)));
        return apply(op, kernel, &params, &[a, b], t, t, dtype, Cost::Cheap, None);
    }
    let kernel: Kernel = for_float_types!(op, t, T => kernel3!(T, T, T => T, |_p, a, b, w| mix!(a, b, w)));
    apply(op, kernel, &Params::default(), &[a, b, weight], t, t, dtype, Cost::Cheap, None)
}

/// `x + value * a * b`.
pub fn addcmul(x: &Tensor, a: &Tensor, b: &Tensor, value: Scalar) -> Result<Tensor> {
    let op = "addcmul";
    let operands = [Operand::Tensor(x), Operand::Tensor(a), Operand::Tensor(b)];
    let dtype = result_type(&operands);
    if value.category() == 2 && !dtype.is_float() {
        return Err(Error::dtype(
            op,
            format!("value is a float but the result is {dtype}; expected an integer value"),
        ));
    }
    let t = compute_type(dtype);
    let params = Params { f: [value.to_f64(), 0.0], i: [value.to_i64(), 0], ..Params::default() };
    let kernel: Kernel = for_compute_types!(op, t, T => kernel3!(T, T, T => T,
        |p, x, a, b| x.n_add(<T as Num>::param(p.f[0], p.i[0]).n_mul(a).n_mul(b))));
    apply(op, kernel, &params, &operands, t, t, dtype, Cost::Cheap, None)
}

/// `x + value * a / b`; floats only.
pub fn addcdiv(x: &Tensor, a: &Tensor, b: &Tensor, value: Scalar) -> Result<Tensor> {
    let op = "addcdiv";
    let operands = [Operand::Tensor(x), Operand::Tensor(a), Operand::Tensor(b)];
    let dtype = result_type(&operands);
    let t = compute_type(dtype);
    let params = Params { f: [value.to_f64(), 0.0], ..Params::default() };
    let kernel: Kernel =
        for_float_types!(op, t, T => kernel3!(T, T, T => T, |p, x, a, b| x + (p.f[0] as T) * (a / b)));
    apply(op, kernel, &params, &operands, t, t, dtype, Cost::Cheap, None)
}
