//! Dropout. What stayed is kept as a bit an element, for the backward pass: making the numbers again
//! costs several times the pass over memory.

use super::philox::{LANES, WORDS, blocks, fill_tiles, tile};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use crate::{for_float_types, multiversion};

/// Elements whose decisions are one tile of random numbers, and the blocks that it takes: a tensor may
/// be masked in parts that begin at multiples.
pub(crate) const DROPOUT_TILE: usize = WORDS;
pub(crate) const DROPOUT_BLOCKS: usize = LANES;

/// Blocks of counter space that dropout takes of a generator.
pub fn dropout_offset_blocks(numel: usize) -> u64 {
    blocks(numel, WORDS)
}

/// Multiplication and zero, for the two float types.
pub(super) trait Real: Copy + Default + std::ops::Mul<Output = Self> {}
impl Real for f32 {}
impl Real for f64 {}

/// Bits of a word of the mask, and words of a tile: element `i` is bit `i % 32` of word `i / 32`.
const BITS: usize = 32;
const PARTS: usize = WORDS / BITS;

multiversion! {
    fn mask_tiles<T: Real>(seed: u64, block: u64, out: &mut [T], x: &[T], mask: &mut [[u32; PARTS]], limit: u32, scale: T) {
        let zero = T::default();
        let (out, x) = (out.as_chunks_mut::<WORDS>().0, x.as_chunks::<WORDS>().0);
        for (t, ((out, x), mask)) in out.iter_mut().zip(x).zip(mask).enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            // One loop over all words: of two the compiler makes gathers.
            let words = words.as_flattened();
            for i in 0..WORDS {
                let v = x[i] * scale;
                out[i] = if words[i] >= limit { v } else { zero };
            }
            for (part, words) in mask.iter_mut().zip(words.as_chunks::<BITS>().0) {
                let mut bits = 0;
                for i in 0..BITS {
                    bits |= u32::from(words[i] >= limit) << i;
                }
                *part = bits;
            }
        }
    }
}

multiversion! {
    fn apply_mask<T: Real>(mask: &[[u8; 4]], g: &[T], out: &mut [T], scale: T) {
        let zero = T::default();
        for ((out, g), &bits) in out.chunks_mut(BITS).zip(g.chunks(BITS)).zip(mask) {
            let bits = u32::from_ne_bytes(bits);
            if let (Ok(out), Ok(g)) = (<&mut [T; BITS]>::try_from(&mut *out), <&[T; BITS]>::try_from(g)) {
                for i in 0..BITS {
                    let v = g[i] * scale;
                    out[i] = if bits & (1 << i) != 0 { v } else { zero };
                }
            } else {
                for i in 0..g.len() {
                    out[i] = if bits & (1 << i) != 0 { g[i] * scale } else { zero };
                }
            }
        }
    }
}

fn check(op: &'static str, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::value(op, format!("the probability must lie between 0 and 1, got {p}")))
}

/// Zeros each element with probability `p` and scales the rest by `1 / (1 - p)`. Also the mask, whose
/// gradient is [`dropout_grad`].
pub fn dropout(seed: u64, offset: u64, x: &Tensor, p: f64) -> Result<(Tensor, Tensor)> {
    let op = "dropout";
    check(op, p)?;
    let x = copy::contiguous(op, x)?;
    let size = [x.numel().div_ceil(WORDS) * WORDS / 8];
    for_float_types!(op, x.dtype(), T => {
        if p == 1.0 {
            return Ok((Tensor::zeros(op, x.shape(), x.dtype())?, Tensor::zeros(op, &size, DType::U8)?));
        }
        let (out, mask) = (Tensor::empty(op, x.shape(), x.dtype())?, Tensor::empty(op, &size, DType::U8)?);
        // SAFETY: row-major, only read in this call.
        let from = unsafe { x.as_slice::<T>() };
        let to = SendPtr(mask.ptr::<u8>().cast::<[u32; PARTS]>());
        let limit = (p * 4_294_967_296.0).round().min(u32::MAX as f64) as u32;
        let scale = (1.0 / (1.0 - p)) as T;
        fill_tiles(&out, offset, WORDS, |block, out: &mut [T]| {
            let first = (block.wrapping_sub(offset) / LANES as u64) as usize;
            let start = first * WORDS;
            let end = (start + out.len()).min(from.len());
            // SAFETY: the mask has room for whole tiles, and each call has its own.
            let mask = unsafe { std::slice::from_raw_parts_mut(to.get().add(first), out.len() / WORDS) };
            if end - start == out.len() {
                mask_tiles::<T>(seed, block, out, &from[start..end], mask, limit, scale);
            } else {
                // The last tile is made in full, of an input that ends within it.
                let mut last = [T::default(); WORDS];
                last[..end - start].copy_from_slice(&from[start..end]);
                mask_tiles::<T>(seed, block, out, &last, mask, limit, scale);
            }
        })?;
        Ok((out, mask))
    })
}

/// `g` where [`dropout`] with this mask let its input through, scaled as there, else zeros.
pub fn dropout_grad(g: &Tensor, mask: &Tensor, p: f64) -> Result<Tensor> {
    let op = "dropout";
    check(op, p)?;
    let (g, mask) = (copy::contiguous(op, g)?, copy::contiguous(op, mask)?);
    let size = [g.numel().div_ceil(WORDS) * WORDS / 8];
    if mask.dtype() != DType::U8 || mask.shape() != size {
        let text = format!(
            "expected a mask of {size:?} bytes for a gradient of {} elements, got {} of shape {:?}",
            g.numel(),
            mask.dtype(),
            mask.shape()
        );
        return Err(Error::shape(op, text));
    }
    for_float_types!(op, g.dtype(), T => {
        let out = Tensor::empty(op, g.shape(), g.dtype())?;
        // SAFETY: both are row-major, and only read in this call.
        let (from, bits) = unsafe { (g.as_slice::<T>(), mask.ptr::<u8>().cast::<[u8; 4]>()) };
        let (to, bits) = (SendPtr(out.ptr::<T>()), SendPtr(bits));
        let scale = if p == 1.0 { 0.0 } else { (1.0 / (1.0 - p)) as T };
        for_ranges(from.len(), GRAIN, |range| {
            // SAFETY: the ranges are disjoint and start at whole words of the mask, which covers all elements.
            let (out, bits) = unsafe {
                (
                    std::slice::from_raw_parts_mut(to.get().add(range.start), range.len()),
                    std::slice::from_raw_parts(bits.get().add(range.start / BITS), range.len().div_ceil(BITS)),
                )
            };
            apply_mask::<T>(bits, &from[range], out, scale);
        });
        Ok(out)
    })
}
