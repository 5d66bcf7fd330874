//! Conversions between element types.

use crate::dtype::{DType, Element};
use crate::for_all_types;
use crate::ops::elementwise::engine::{Kernel, Params};
use crate::ops::elementwise::kernel::kernel1;
use crate::simd::half::narrow;
use crate::simd::math::Real;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// The kernel that converts `from` to `to`.
pub(super) fn kernel(to: DType, from: DType) -> Kernel {
    use DType::*;
    match (from, to) {
        // Training in half precision lives on these four; the processor has instructions for some.
        (F16, F32) => half_to_float,
        (F32, F16) => float_to_half,
        (BF16, F32) => kernel1!(map1, u16 => u32, |_p, a| (a as u32) << 16),
        (F32, BF16) => kernel1!(map1, u32 => u16, |_p, a| {
            // To the nearest, ties to even; a NaN keeps its sign and stays one.
            let rounded = a.wrapping_add(0x7fff + ((a >> 16) & 1)) >> 16;
            if a & 0x7fff_ffff > 0x7f80_0000 { (a >> 16) as u16 | 0x40 } else { rounded as u16 }
        }),
        (F32, F64) => kernel1!(map1, f32 => f64, |_p, a| a as f64),
        (F64, F32) => kernel1!(map1, f64 => f32, |_p, a| a as f32),
        (I64, F32) => kernel1!(map1, i64 => f32, |_p, a| a as f32),
        (I64, F64) => kernel1!(map1, i64 => f64, |_p, a| a as f64),
        (I32, F32) => kernel1!(map1, i32 => f32, |_p, a| a as f32),
        (I32, F64) => kernel1!(map1, i32 => f64, |_p, a| a as f64),
        (U8, F32) => kernel1!(map1, u8 => f32, |_p, a| a as f32),
        (Bool, F32) => kernel1!(map1, u8 => f32, |_p, a| a as f32),
        (Bool, F64) => kernel1!(map1, u8 => f64, |_p, a| a as f64),
        // Adding the constant rounds to an integer in the low bits, which vectorises without AVX-512.
        (F32, I64) => kernel1!(map1_rare, f32 => i64,
            |_p, a| ((a as f64).trunc() + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i64,
            rare |r| r.vabs() >= 2_251_799_813_685_248.0 || r.is_nan(), r as i64),
        (F32, Bool) => kernel1!(map1, f32 => u8, |_p, a| (a != 0.0) as u8),
        (F32, U8) => kernel1!(map1, f32 => u8, |_p, a| a as i64 as u8),
        _ => for_all_types!(to, D => for_all_types!(from, S => convert::<D, S> as Kernel)),
    }
}

fn convert<D: Element, S: Element>(out: *mut u8, ins: &[*const u8; 3], _: &Params, n: usize) {
    // SAFETY: the engine passes n elements of these types.
    let (out, a) = unsafe {
        (
            std::slice::from_raw_parts_mut(out.cast::<D>(), n),
            std::slice::from_raw_parts(ins[0].cast::<S>(), n),
        )
    };
    for (o, a) in out.iter_mut().zip(a) {
        *o = D::from_scalar(a.to_scalar());
    }
}

fn half_to_float(out: *mut u8, ins: &[*const u8; 3], _: &Params, n: usize) {
    // SAFETY: the engine passes n elements of these types.
    let (out, a) = unsafe {
        (
            std::slice::from_raw_parts_mut(out.cast::<f32>(), n),
            std::slice::from_raw_parts(ins[0].cast::<f16>(), n),
        )
    };
    a.convert_to_f32_slice(out);
}

fn float_to_half(out: *mut u8, ins: &[*const u8; 3], p: &Params, n: usize) {
    // SAFETY: the engine passes n elements of these types.
    let done = unsafe {
        narrow(
            std::slice::from_raw_parts_mut(out.cast::<u16>(), n),
            std::slice::from_raw_parts(ins[0].cast::<f32>(), n),
        )
    };
    let rest = kernel1!(map1, f32 => u16, |_p, a| half_bits(a));
    // SAFETY: at most `n` are done.
    let (out, x) = unsafe { (out.add(2 * done), ins[0].add(4 * done)) };
    rest(out, &[x, x, x], p, n - done);
}

/// 1.5 * 2^52.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The nearest float16, ties to even, as bits; a NaN keeps its sign and stays one.
#[inline(always)]
fn half_bits(v: f32) -> u16 {
    let a = v.to_bits() & 0x7fff_ffff;
    let sign = (v.to_bits() >> 16) & 0x8000;
    // Rounded by an addition whose carry runs into the exponent, up to infinity.
    let rounded = a.wrapping_add(0xc800_0fff).wrapping_add((a >> 13) & 1) >> 13;
    // Below 2^-14 the addition of 1/2 shifts the digits to where they belong, and rounds.
    let small = (f32::from_bits(a) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let y = if a < 0x3880_0000 { small } else { rounded };
    let y = if a >= 0x4780_0000 { 0x7c00 } else { y };
    let y = if a > 0x7f80_0000 { 0x7e00 | ((a >> 13) & 0x3ff) } else { y };
    (y | sign) as u16
}
