//! Dropout. The mask is not kept: the backward pass makes it again from (seed, offset).

use super::philox::{LANES, WORDS, blocks, fill_tiles, tile};
use crate::error::{Error, Result};
use crate::ops::copy;
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

multiversion! {
    fn mask_tiles<T: Real>(seed: u64, block: u64, out: &mut [T], x: &[T], limit: u32, scale: T) {
        let zero = T::default();
        for (t, (out, x)) in out.chunks_exact_mut(WORDS).zip(x.chunks_exact(WORDS)).enumerate() {
            let words = tile(seed, block.wrapping_add((t * LANES) as u64));
            for w in 0..4 {
                for l in 0..LANES {
                    let v = x[w * LANES + l] * scale;
                    out[w * LANES + l] = if words[w][l] >= limit { v } else { zero };
                }
            }
        }
    }
}

/// Zeros each element with probability `p` and scales the rest by `1 / (1 - p)`. Linear in `x`: the
/// gradient is the same call on the output's gradient.
pub fn dropout(seed: u64, offset: u64, x: &Tensor, p: f64) -> Result<Tensor> {
    let op = "dropout";
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::value(op, format!("the probability must lie between 0 and 1, got {p}")));
    }
    let x = copy::contiguous(op, x)?;
    for_float_types!(op, x.dtype(), T => {
        if p == 1.0 {
            return Tensor::zeros(op, x.shape(), x.dtype());
        }
        let out = Tensor::empty(op, x.shape(), x.dtype())?;
        // SAFETY: row-major, only read in this call.
        let from = unsafe { x.as_slice::<T>() };
        let limit = (p * 4_294_967_296.0).round().min(u32::MAX as f64) as u32;
        let scale = (1.0 / (1.0 - p)) as T;
        fill_tiles(&out, offset, WORDS, |block, out: &mut [T]| {
            let start = (block.wrapping_sub(offset) / LANES as u64) as usize * WORDS;
            let end = (start + out.len()).min(from.len());
            if end - start == out.len() {
                mask_tiles::<T>(seed, block, out, &from[start..end], limit, scale);
            } else {
                // The last tile is made in full, of an input that ends within it.
                let mut last = [T::default(); WORDS];
                last[..end - start].copy_from_slice(&from[start..end]);
                mask_tiles::<T>(seed, block, out, &last, limit, scale);
            }
        })?;
        Ok(out)
    })
}
