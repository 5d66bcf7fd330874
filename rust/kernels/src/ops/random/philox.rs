//! Philox4x32-10, sixteen blocks at a time.

use crate::error::Result;
use crate::ops::shape::bytes;
use crate::parallel::{SendPtr, for_ranges};
use crate::tensor::Tensor;

/// Blocks made together: one AVX-512 register a word.
pub(super) const LANES: usize = 16;
/// 32-bit words of a tile.
pub(super) const WORDS: usize = 4 * LANES;
/// Tiles a task makes.
const TASK: usize = 256;

/// Word `w` of block `l` at `[w][l]`.
pub(super) type Tile = [[u32; LANES]; 4];

/// The blocks with counters `block .. block + 16` of the stream that `seed` names.
#[inline(always)]
pub(super) fn tile(seed: u64, block: u64) -> Tile {
    // Words sit in 64-bit lanes whose upper halves are garbage: the multiply looks at lower halves
    // only, so nothing is widened or narrowed between rounds.
    let mut c = [[0u64; LANES]; 4];
    for l in 0..LANES {
        let at = block.wrapping_add(l as u64);
        c[0][l] = at;
        c[1][l] = at >> 32;
    }
    let (mut k0, mut k1) = (seed as u32, (seed >> 32) as u32);
    for _ in 0..10 {
        for l in 0..LANES {
            let a = (c[0][l] & 0xffff_ffff) * 0xD251_1F53;
            let b = (c[2][l] & 0xffff_ffff) * 0xCD9E_8D57;
            c[0][l] = (b >> 32) ^ c[1][l] ^ k0 as u64;
            c[1][l] = b;
            c[2][l] = (a >> 32) ^ c[3][l] ^ k1 as u64;
            c[3][l] = a;
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    let mut words: Tile = [[0; LANES]; 4];
    for w in 0..4 {
        for l in 0..LANES {
            words[w][l] = c[w][l] as u32;
        }
    }
    words
}

/// Blocks that `n` elements take, `per_tile` to a tile.
pub(super) fn blocks(n: usize, per_tile: usize) -> u64 {
    (n.div_ceil(per_tile) * LANES) as u64
}

/// Fills a fresh output tile by tile: `f(tiles, first block, output)` gets whole tiles' worth of
/// elements, but for the last tile of the tensor, which is made in full on the side.
pub(super) fn fill_tiles<T: Copy + Default, F>(out: &Tensor, offset: u64, per_tile: usize, f: F) -> Result<()>
where
    F: Fn(u64, &mut [T]) + Sync,
{
    debug_assert!(per_tile <= WORDS && std::mem::size_of::<T>() == out.dtype().size());
    let n = out.numel();
    let to: SendPtr<u8> = bytes(out);
    for_ranges(n, TASK * per_tile, |range| {
        let block = offset.wrapping_add((range.start / per_tile * LANES) as u64);
        let whole = range.len() / per_tile * per_tile;
        // SAFETY: ranges are disjoint parts of the fresh output.
        let part =
            unsafe { std::slice::from_raw_parts_mut(to.get().cast::<T>().add(range.start), range.len()) };
        let (head, tail) = part.split_at_mut(whole);
        f(block, head);
        if !tail.is_empty() {
            let mut last = [T::default(); WORDS];
            f(block.wrapping_add((whole / per_tile * LANES) as u64), &mut last[..per_tile]);
            tail.copy_from_slice(&last[..tail.len()]);
        }
    });
    Ok(())
}
