//! Size classes, and the free blocks of each.

use super::{ALIGN, SMALL, system_free};
use std::collections::VecDeque;
use std::ptr::NonNull;

/// Rounds up to a size class: eight steps between powers of two, so at most 12.5 % is wasted.
pub(super) fn size_class(bytes: usize) -> usize {
    if bytes <= SMALL {
        return bytes.max(1).div_ceil(ALIGN) * ALIGN;
    }
    let step = (1usize << (usize::BITS - 1 - (bytes - 1).leading_zeros())) / 8;
    bytes.div_ceil(step) * step
}

/// The number of a size class above [`SMALL`], counted from 0.
fn class_number(size: usize) -> usize {
    let power = (size - 1).ilog2();
    (power - SMALL.ilog2()) as usize * 8 + ((size - 1) >> (power - 3)) - 8
}

/// The size of the class with this number.
fn class_bytes(number: usize) -> usize {
    (number % 8 + 9) << (number as u32 / 8 + SMALL.ilog2() - 3)
}

/// A free block, and when it was put by.
struct Kept {
    ptr: NonNull<u8>,
    tick: u64,
}

/// Free blocks above [`SMALL`], by size class; in each the oldest is in front.
pub(super) struct Free {
    classes: Vec<VecDeque<Kept>>,
    pub(super) bytes: usize,
    tick: u64,
}

impl Free {
    pub(super) fn new() -> Free {
        Free {
            classes: (0..=class_number(usize::MAX / 4)).map(|_| VecDeque::new()).collect(),
            bytes: 0,
            tick: 0,
        }
    }

    /// The youngest block of a class, or of the next ones that are at most a quarter larger.
    pub(super) fn take(&mut self, size: usize) -> Option<(NonNull<u8>, usize)> {
        let mut number = class_number(size);
        while let Some(class) = self.classes.get_mut(number) {
            let found = class_bytes(number);
            if found > size + size / 4 {
                break;
            }
            if let Some(kept) = class.pop_back() {
                self.bytes -= found;
                return Some((kept.ptr, found));
            }
            number += 1;
        }
        None
    }

    pub(super) fn put(&mut self, ptr: NonNull<u8>, size: usize) {
        self.tick += 1;
        self.classes[class_number(size)].push_back(Kept { ptr, tick: self.tick });
        self.bytes += size;
    }

    /// Gives blocks back, the longest waiting first, until at most `keep` bytes are left.
    pub(super) fn trim(&mut self, keep: usize) {
        while self.bytes > keep {
            let oldest = (0..self.classes.len())
                .filter_map(|number| Some((self.classes[number].front()?.tick, number)))
                .min();
            let Some((_, number)) = oldest else { return };
            if let Some(kept) = self.classes[number].pop_front() {
                let size = class_bytes(number);
                self.bytes -= size;
                system_free(kept.ptr, size);
            }
        }
    }
}

// SAFETY: the pool owns its free blocks; nobody else points into them.
unsafe impl Send for Free {}

#[cfg(test)]
mod tests {
    use super::super::system_alloc;
    use super::*;

    #[test]
    fn size_classes_waste_at_most_an_eighth() {
        for bytes in [1, 64, 65, 40_000, 65_536, 65_537, 1_000_003, 51 << 20] {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(ALIGN));
            assert!(bytes < 1024 || class as f64 <= bytes as f64 * 1.126, "{bytes} -> {class}");
            assert_eq!(size_class(class), class);
        }
    }

    #[test]
    fn numbers_of_size_classes_count_up_without_gaps() {
        let mut size = SMALL + 1;
        for number in 0..200 {
            let class = size_class(size);
            assert_eq!((class_number(class), class_bytes(number)), (number, class));
            size = class + 1;
        }
    }

    fn block(size: usize) -> NonNull<u8> {
        system_alloc(size).unwrap()
    }

    #[test]
    fn the_youngest_block_of_a_class_is_taken_first_and_the_oldest_of_all_given_back() {
        let (a, b) = (size_class(100_000), size_class(200_000));
        let mut free = Free::new();
        let (first, other, second) = (block(a), block(b), block(a));
        free.put(first, a);
        free.put(other, b);
        free.put(second, a);
        assert_eq!(free.take(a), Some((second, a)));
        free.put(second, a);
        free.trim(a + b);
        assert_eq!(free.bytes, a + b);
        assert_eq!(free.take(a), Some((second, a)));
        assert_eq!(free.take(a), None);
        free.put(second, a);
        free.trim(0);
        assert_eq!(free.bytes, 0);
    }

    #[test]
    fn a_block_up_to_a_quarter_larger_is_reused() {
        let mut free = Free::new();
        let large = size_class(120_000);
        let ptr = block(large);
        free.put(ptr, large);
        assert_eq!(free.take(size_class(90_000)), None);
        assert_eq!(free.take(size_class(100_000)), Some((ptr, large)));
        system_free(ptr, large);
    }
}
