//! Sorting items: comparisons for short rows, least-significant-digit radix for long ones.

use super::key::Item;
use crate::error::Result;
use crate::memory::{self, Block};
use crate::parallel::{SendPtr, for_each};

const DIGIT: u32 = 11;
const BUCKETS: usize = 1 << DIGIT;
/// Below this a comparison sort wins.
const SHORT: usize = 1024;
/// Items a task counts and moves; a long row is shared among threads.
const CHUNK: usize = 1 << 16;

/// A pooled workspace of items.
pub(super) struct Items<I> {
    block: Block,
    len: usize,
    _item: std::marker::PhantomData<I>,
}

impl<I: Item> Items<I> {
    pub fn new(op: &'static str, len: usize) -> Result<Items<I>> {
        let bytes = len.saturating_mul(std::mem::size_of::<I>());
        Ok(Items { block: memory::allocate(op, bytes)?, len, _item: std::marker::PhantomData })
    }

    /// The items; their content is what was last written there.
    pub fn as_mut(&mut self) -> &mut [I] {
        // SAFETY: the block is aligned to 64 bytes, large enough and owned; any bits are an item.
        unsafe { std::slice::from_raw_parts_mut(self.block.as_ptr().cast::<I>(), self.len) }
    }
}

/// Sorts `items`, using `spare` (as long); the result is in `items`. Items of one key keep their order
/// if they come in the order of their places.
pub(super) fn sort_items<I: Item>(items: &mut [I], spare: &mut [I]) {
    let n = items.len();
    if n <= SHORT || n > u32::MAX as usize {
        items.sort_unstable();
        return;
    }
    let chunk = CHUNK.max(n.div_ceil(64));
    let chunks = n.div_ceil(chunk);
    let mut counts = vec![0u32; chunks * BUCKETS];
    let (mut from, mut to) = (&mut *items, &mut *spare);
    let mut swapped = false;
    let place_bits = (std::mem::size_of::<I>() * 8) as u32 - I::KEY_BITS;
    debug_assert!(place_bits >= 32);
    // Digits in which all keys agree need no pass.
    let first = from[0].key();
    let differ = from.iter().fold(0, |d, i| d | (i.key() ^ first));
    for shift in (0..I::KEY_BITS).step_by(DIGIT as usize) {
        if (differ >> shift) & (BUCKETS as u64 - 1) == 0 {
            continue;
        }
        pass(from, to, shift, chunk, &mut counts);
        std::mem::swap(&mut from, &mut to);
        swapped = !swapped;
    }
    if swapped {
        to.copy_from_slice(from);
    }
}

/// One stable pass by the digit at `shift`.
fn pass<I: Item>(from: &[I], to: &mut [I], shift: u32, chunk: usize, counts: &mut [u32]) {
    let n = from.len();
    let chunks = n.div_ceil(chunk);
    let digit = |i: &I| (i.key() >> shift) as usize & (BUCKETS - 1);
    let places = SendPtr(counts.as_mut_ptr());
    // SAFETY: each task has its own row of counts.
    let row = |c: usize| unsafe { &mut *places.get().add(c * BUCKETS).cast::<[u32; BUCKETS]>() };
    for_each(chunks, |c| {
        let row = row(c);
        row.fill(0);
        from[c * chunk..((c + 1) * chunk).min(n)].iter().for_each(|i| row[digit(i)] += 1);
    });
    let mut at = 0u32;
    for bucket in 0..BUCKETS {
        for c in 0..chunks {
            let count = &mut row(c)[bucket];
            let here = *count;
            *count = at;
            at = at.wrapping_add(here);
        }
    }
    let out = SendPtr(to.as_mut_ptr());
    for_each(chunks, |c| {
        let row = row(c);
        for i in &from[c * chunk..((c + 1) * chunk).min(n)] {
            let place = &mut row[digit(i)];
            // SAFETY: the counts add up to `n` and give every item a place of its own.
            unsafe { *out.get().add(*place as usize) = *i };
            *place = place.wrapping_add(1);
        }
    });
}
