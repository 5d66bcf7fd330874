//! Each thread's small free blocks, without a lock.

use super::{ALIGN, SMALL, SMALL_LIMIT, system_free};
use std::cell::RefCell;
use std::ptr::NonNull;

/// A thread's free small blocks: a stack for each multiple of [`ALIGN`]. The first word of a free
/// block points to the next one.
pub(super) struct Small {
    heads: [*mut u8; SMALL / ALIGN],
    pub(super) bytes: usize,
}

thread_local! {
    static SMALL_FREE: RefCell<Small> =
        const { RefCell::new(Small { heads: [std::ptr::null_mut(); SMALL / ALIGN], bytes: 0 }) };
}

impl Small {
    pub(super) fn take(&mut self, size: usize) -> Option<NonNull<u8>> {
        let head = &mut self.heads[size / ALIGN - 1];
        let ptr = NonNull::new(*head)?;
        // SAFETY: a block in the list is free, aligned and holds the next one's address.
        *head = unsafe { ptr.cast::<*mut u8>().read() };
        self.bytes -= size;
        Some(ptr)
    }

    /// Keeps a block, or says that there are enough.
    pub(super) fn put(&mut self, ptr: NonNull<u8>, size: usize) -> bool {
        if self.bytes + size > SMALL_LIMIT {
            return false;
        }
        let head = &mut self.heads[size / ALIGN - 1];
        // SAFETY: nobody uses the block any more, and it has room for a pointer.
        unsafe { ptr.cast::<*mut u8>().write(*head) };
        *head = ptr.as_ptr();
        self.bytes += size;
        true
    }

    pub(super) fn clear(&mut self) {
        for number in 0..self.heads.len() {
            let size = (number + 1) * ALIGN;
            while let Some(ptr) = self.take(size) {
                system_free(ptr, size);
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Runs on this thread's small blocks; None where the thread is coming to its end.
pub(super) fn small<R>(f: impl FnOnce(&mut Small) -> R) -> Option<R> {
    SMALL_FREE.try_with(|free| f(&mut free.borrow_mut())).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{Block, allocate, trim};
    use super::*;

    #[test]
    fn a_thread_keeps_a_bounded_number_of_small_blocks() {
        std::thread::spawn(|| {
            let blocks: Vec<Block> = (0..200).map(|_| allocate("empty", SMALL).unwrap()).collect();
            drop(blocks);
            assert_eq!(small(|free| free.bytes), Some(SMALL_LIMIT));
            let again = allocate("empty", SMALL).unwrap();
            assert_eq!(small(|free| free.bytes), Some(SMALL_LIMIT - SMALL));
            drop(again);
            trim(0);
            assert_eq!(small(|free| free.bytes), Some(0));
        })
        .join()
        .unwrap();
    }
}
