//! Conversions between element types.

use crate::dtype::{DType, Element};
use crate::for_all_types;
use crate::ops::elementwise::engine::{Kernel, Params};
use crate::ops::elementwise::kernel::kernel1;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// The kernel that converts `from` to `to`.
pub(super) fn kernel(to: DType, from: DType) -> Kernel {
    use DType::*;
    match (from, to) {
        // Training in half precision lives on these four; the processor has instructions for two.
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
        (F32, I64) => kernel1!(map1, f32 => i64, |_p, a| a as i64),
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

fn float_to_half(out: *mut u8, ins: &[*const u8; 3], _: &Params, n: usize) {
    // SAFETY: the engine passes n elements of these types.
    let (out, a) = unsafe {
        (
            std::slice::from_raw_parts_mut(out.cast::<f16>(), n),
            std::slice::from_raw_parts(ins[0].cast::<f32>(), n),
        )
    };
    out.convert_from_f32_slice(a);
}
