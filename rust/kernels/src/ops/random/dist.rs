//! Uniform numbers, integers, coin flips and waiting times.

use super::Generator;
use super::normal::{ln_f32, ln_f64};
use super::philox::{LANES, WORDS, blocks, fill_tiles, tile};
use crate::dtype::{DType, Element, Scalar};
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use crate::{for_all_types, for_float_types, multiversion};

/// 53 bits of two words.
#[inline(always)]
pub(super) fn wide(high: u32, low: u32) -> u64 {
    ((high as u64) << 32) | low as u64
}

multiversion! {
    fn uniform_f32(seed: u64, block: u64, out: &mut [f32], low: f32, span: f32, top: f32) {
        for (t, out) in out.as_chunks_mut::<WORDS>().0.iter_mut().enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            // One loop over all words: of two the compiler makes gathers.
            let words = words.as_flattened();
            for i in 0..WORDS {
                let u = (words[i] >> 8) as i32 as f32 * (1.0 / 16_777_216.0);
                let v = u * span + low;
                // Rounding may reach the upper end, which is not included.
                out[i] = if v > top { top } else { v };
            }
        }
    }
}

multiversion! {
    fn uniform_f64(seed: u64, block: u64, out: &mut [f64], low: f64, span: f64, top: f64) {
        for (t, out) in out.chunks_exact_mut(WORDS / 2).enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            for w in 0..2 {
                for l in 0..LANES {
                    let u = (wide(words[2 * w][l], words[2 * w + 1][l]) >> 11) as i64 as f64 * (1.0 / 9_007_199_254_740_992.0);
                    let v = u * span + low;
                    out[w * LANES + l] = if v > top { top } else { v };
                }
            }
        }
    }
}

/// Uniform numbers in `[low, high)`.
pub fn uniform(generator: &Generator, shape: &[usize], dtype: DType, low: f64, high: f64) -> Result<Tensor> {
    let op = "uniform";
    if !(low <= high && (high - low).is_finite()) {
        return Err(Error::value(
            op,
            format!("expected finite bounds with low <= high, got {low} and {high}"),
        ));
    }
    let out = Tensor::empty(op, shape, dtype)?;
    let n = out.numel();
    match dtype {
        DType::F32 => {
            let (low, end) = (low as f32, high as f32);
            let top = if end > low { end.next_down() } else { low };
            let (seed, offset) = generator.reserve(blocks(n, WORDS));
            fill_tiles(&out, offset, WORDS, |block, out| uniform_f32(seed, block, out, low, end - low, top))?;
        }
        DType::F64 => {
            let top = if high > low { high.next_down() } else { low };
            let (seed, offset) = generator.reserve(blocks(n, WORDS / 2));
            fill_tiles(&out, offset, WORDS / 2, |block, out| {
                uniform_f64(seed, block, out, low, high - low, top)
            })?;
        }
        other => return Err(not_float(op, other)),
    }
    Ok(out)
}

pub(super) fn not_float(op: &'static str, dtype: DType) -> Error {
    Error::dtype(
        op,
        format!("expected float32 or float64, got {dtype}; make float32 and convert it with .to()"),
    )
}

multiversion! {
    fn exponential_f32(seed: u64, block: u64, out: &mut [f32], scale: f32) {
        for (t, out) in out.as_chunks_mut::<WORDS>().0.iter_mut().enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            let words = words.as_flattened();
            for i in 0..WORDS {
                out[i] = -ln_f32(open_f32(words[i])) * scale;
            }
        }
    }
}

multiversion! {
    fn exponential_f64(seed: u64, block: u64, out: &mut [f64], scale: f64) {
        for (t, out) in out.chunks_exact_mut(WORDS / 2).enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            for w in 0..2 {
                for l in 0..LANES {
                    let u = wide(words[2 * w][l], words[2 * w + 1][l]);
                    out[w * LANES + l] = -ln_f64(open_f64(u)) * scale;
                }
            }
        }
    }
}

/// In (0, 1), from 32 bits: small values keep all their precision.
#[inline(always)]
pub(super) fn open_f32(word: u32) -> f32 {
    // As signed halves, since every level converts those in one instruction; both steps are exact
    // but for the last rounding.
    let u = (word >> 16) as i32 as f32 * (1.0 / 65_536.0)
        + ((word & 0xffff) as i32 as f32 + 0.5) * (1.0 / 4_294_967_296.0);
    if u < 1.0 { u } else { 1.0 - f32::EPSILON / 2.0 }
}

/// In (0, 1), from 64 bits.
#[inline(always)]
pub(super) fn open_f64(word: u64) -> f64 {
    ((word >> 12) as i64 as f64 + 0.5) * (1.0 / 4_503_599_627_370_496.0)
}

/// Exponentially distributed numbers, all above 0.
pub fn exponential(generator: &Generator, shape: &[usize], dtype: DType, rate: f64) -> Result<Tensor> {
    let op = "exponential";
    if rate.is_nan() || rate <= 0.0 {
        return Err(Error::value(op, format!("the rate must be positive, got {rate}")));
    }
    let out = Tensor::empty(op, shape, dtype)?;
    let n = out.numel();
    match dtype {
        DType::F32 => {
            let (seed, offset) = generator.reserve(blocks(n, WORDS));
            fill_tiles(&out, offset, WORDS, |block, out| {
                exponential_f32(seed, block, out, (1.0 / rate) as f32)
            })?;
        }
        DType::F64 => {
            let (seed, offset) = generator.reserve(blocks(n, WORDS / 2));
            fill_tiles(&out, offset, WORDS / 2, |block, out| exponential_f64(seed, block, out, 1.0 / rate))?;
        }
        other => return Err(not_float(op, other)),
    }
    Ok(out)
}

/// `floor(x * range / 2^64)`: uneven by at most `range / 2^64`.
#[inline(always)]
pub(super) fn below(x: u64, range: u64) -> u64 {
    ((x as u128 * range as u128) >> 64) as u64
}

multiversion! {
    fn randint_typed<T: Element>(seed: u64, block: u64, out: &mut [T], low: i64, range: u64) {
        for (t, out) in out.chunks_exact_mut(WORDS / 2).enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            for w in 0..2 {
                for l in 0..LANES {
                    let (high, small) = (words[2 * w][l] as u64, words[2 * w + 1][l] as u64);
                    // The same number either way; without the wide product it vectorises.
                    let drawn = if range >> 32 == 0 {
                        (high * range + ((small * range) >> 32)) >> 32
                    } else {
                        below((high << 32) | small, range)
                    };
                    out[w * LANES + l] = T::from_scalar(Scalar::Int(low.wrapping_add(drawn as i64)));
                }
            }
        }
    }
}

/// Integers in `[low, high)`, of any dtype that can hold them.
pub fn randint(generator: &Generator, shape: &[usize], low: i64, high: i64, dtype: DType) -> Result<Tensor> {
    let op = "randint";
    if low >= high {
        return Err(Error::value(op, format!("expected low < high, got {low} and {high}")));
    }
    let (least, most) = match dtype {
        DType::Bool => (0, 1),
        DType::U8 => (0, u8::MAX as i64),
        DType::I8 => (i8::MIN as i64, i8::MAX as i64),
        DType::I16 => (i16::MIN as i64, i16::MAX as i64),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        _ => (i64::MIN, i64::MAX),
    };
    if low < least || high - 1 > most {
        return Err(Error::value(
            op,
            format!("{dtype} does not hold all integers from {low} to {}", high - 1),
        ));
    }
    let range = high.wrapping_sub(low) as u64;
    let out = Tensor::empty(op, shape, dtype)?;
    let (seed, offset) = generator.reserve(blocks(out.numel(), WORDS / 2));
    for_all_types!(dtype, T => fill_tiles(&out, offset, WORDS / 2, |block, out: &mut [T]| {
        randint_typed::<T>(seed, block, out, low, range)
    }))?;
    Ok(out)
}

/// 1 with the probability that each element of `p` names, else 0; in `p`'s shape and dtype.
pub fn bernoulli(generator: &Generator, p: &Tensor) -> Result<Tensor> {
    let op = "bernoulli";
    let p = copy::contiguous(op, p)?;
    for_float_types!(op, p.dtype(), T => {
        // SAFETY: row-major, only read in this call.
        let probabilities = unsafe { p.as_slice::<T>() };
        // Folded without a branch first, so that the check vectorises.
        let fits = probabilities.iter().fold(true, |ok, &v| ok & (0.0..=1.0).contains(&v));
        if let Some(bad) = probabilities.iter().find(|&&v| !fits && !(0.0..=1.0).contains(&v)) {
            return Err(Error::value(op, format!("probabilities must lie between 0 and 1, got {bad}")));
        }
        let drawn = uniform(generator, p.shape(), p.dtype(), 0.0, 1.0)?;
        let to = SendPtr(drawn.ptr::<T>());
        for_ranges(probabilities.len(), GRAIN, |range| {
            // SAFETY: disjoint ranges of a fresh tensor.
            let flags = unsafe { std::slice::from_raw_parts_mut(to.get().add(range.start), range.len()) };
            for (flag, &p) in flags.iter_mut().zip(&probabilities[range]) {
                *flag = if *flag < p { 1.0 } else { 0.0 };
            }
        });
        Ok(drawn)
    })
}
