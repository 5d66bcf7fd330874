//! Values as unsigned integers in the same order.

use crate::dtype::{Bool, Element};
use half::{bf16, f16};

/// A key with an element's place below it; compares by key, then by place.
pub(super) trait Item: Copy + Ord + Send + Sync + 'static {
    /// Bits of the key, above the place.
    const KEY_BITS: u32;
    fn pack(key: u64, place: usize) -> Self;
    fn place(self) -> usize;
    fn key(self) -> u64;
}

impl Item for u64 {
    const KEY_BITS: u32 = 32;
    #[inline(always)]
    fn pack(key: u64, place: usize) -> u64 {
        (key << 32) | place as u64
    }
    #[inline(always)]
    fn place(self) -> usize {
        self as u32 as usize
    }
    #[inline(always)]
    fn key(self) -> u64 {
        self >> 32
    }
}

impl Item for u128 {
    const KEY_BITS: u32 = 64;
    #[inline(always)]
    fn pack(key: u64, place: usize) -> u128 {
        ((key as u128) << 64) | place as u128
    }
    #[inline(always)]
    fn place(self) -> usize {
        self as u64 as usize
    }
    #[inline(always)]
    fn key(self) -> u64 {
        (self >> 64) as u64
    }
}

/// An element type that has an order.
pub(super) trait Sortable: Element {
    /// Bits of the key.
    const BITS: u32;
    fn key(self) -> u64;
    fn is_nan(self) -> bool;

    /// The key for ascending or descending order.
    #[inline(always)]
    fn ordered(self, descending: bool) -> u64 {
        let flip = if descending { u64::MAX >> (64 - Self::BITS) } else { 0 };
        self.key() ^ flip
    }
}

macro_rules! sortable_int {
    ($($t:ty, $bits:expr, |$v:ident| $key:expr);* $(;)?) => {$(
        impl Sortable for $t {
            const BITS: u32 = $bits;
            #[inline(always)]
            fn key(self) -> u64 {
                let $v = self;
                $key
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }
        }
    )*};
}
sortable_int!(
    Bool, 32, |v| v.0 as u64;
    u8, 32, |v| v as u64;
    i8, 32, |v| (v as i32 as u32 ^ 0x8000_0000) as u64;
    i16, 32, |v| (v as i32 as u32 ^ 0x8000_0000) as u64;
    i32, 32, |v| (v as u32 ^ 0x8000_0000) as u64;
    i64, 64, |v| v as u64 ^ (1 << 63);
);

impl Sortable for f32 {
    const BITS: u32 = 32;
    #[inline(always)]
    fn key(self) -> u64 {
        // The two zeros share a key. (Not by arithmetic: it would flush denormals here.)
        let bits = if self.to_bits() == 1 << 31 { 0 } else { self.to_bits() };
        let flip = ((bits as i32 >> 31) as u32) | 0x8000_0000;
        (if self.is_nan() { u32::MAX } else { bits ^ flip }) as u64
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
}

impl Sortable for f64 {
    const BITS: u32 = 64;
    #[inline(always)]
    fn key(self) -> u64 {
        let bits = if self.to_bits() == 1 << 63 { 0 } else { self.to_bits() };
        let flip = ((bits as i64 >> 63) as u64) | (1 << 63);
        if self.is_nan() { u64::MAX } else { bits ^ flip }
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}

macro_rules! sortable_half {
    ($($t:ty),*) => {$(
        impl Sortable for $t {
            const BITS: u32 = 32;
            #[inline(always)]
            fn key(self) -> u64 {
                Sortable::key(self.to_f32())
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
        }
    )*};
}
sortable_half!(f16, bf16);

/// Runs `$body` with `$I` standing for the item type that holds `$T`'s keys and `$n` places.
macro_rules! with_item {
    ($T:ty, $n:expr, $I:ident => $body:expr) => {
        if <$T as Sortable>::BITS == 32 && $n <= u32::MAX as usize {
            type $I = u64;
            $body
        } else {
            type $I = u128;
            $body
        }
    };
}
pub(super) use with_item;
