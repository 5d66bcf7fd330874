//! The buffer pool: outputs and workspaces are reused, because a fresh page costs more to touch
//! than most kernels take to fill it.
//!
//! Free blocks lie in one stack a size class: the youngest is taken first, because its pages are the
//! likeliest to be in the cache. Where a class is empty a block up to a quarter larger will do. Beyond
//! the bound the block that has waited longest of all goes back to the system. Small blocks have
//! stacks of their own in each thread, without a lock. Every block is 64-byte aligned. Counters are
//! read by `lt.memory.stats()`.

use crate::error::{Error, Result};
use std::alloc::{Layout, alloc, dealloc};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock};

pub const ALIGN: usize = 64;
/// Up to this size free blocks stay with the thread that dropped them.
const SMALL: usize = 32 * 1024;
/// Free bytes of small blocks that a thread keeps.
const SMALL_LIMIT: usize = 1 << 20;
/// From here on a block is worth huge pages.
const HUGE: usize = 2 << 20;
/// Free bytes kept by default; beyond it the block that has waited longest goes back.
const DEFAULT_LIMIT: usize = 1 << 30;

/// Bytes in use and kept, and how often the pool could serve.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub in_use: usize,
    pub peak: usize,
    pub cached: usize,
    pub limit: usize,
    pub hits: usize,
    pub misses: usize,
}

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static HITS: AtomicUsize = AtomicUsize::new(0);
static MISSES: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(DEFAULT_LIMIT);

/// A free block, and when it was put by.
struct Kept {
    ptr: NonNull<u8>,
    tick: u64,
}

/// Free blocks above [`SMALL`], by size class; in each the oldest is in front.
struct Free {
    classes: Vec<VecDeque<Kept>>,
    bytes: usize,
    tick: u64,
}

impl Free {
    fn new() -> Free {
        Free {
            classes: (0..=class_number(usize::MAX / 4)).map(|_| VecDeque::new()).collect(),
            bytes: 0,
            tick: 0,
        }
    }

    /// The youngest block of a class, or of the next ones that are at most a quarter larger.
    fn take(&mut self, size: usize) -> Option<(NonNull<u8>, usize)> {
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

    fn put(&mut self, ptr: NonNull<u8>, size: usize) {
        self.tick += 1;
        self.classes[class_number(size)].push_back(Kept { ptr, tick: self.tick });
        self.bytes += size;
    }

    /// Gives blocks back, the longest waiting first, until at most `keep` bytes are left.
    fn trim(&mut self, keep: usize) {
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

/// Behind a pointer so that a forked child can start afresh: another thread of the parent may have
/// held the lock at the moment of the fork.
static POOL: AtomicPtr<Mutex<Free>> = AtomicPtr::new(std::ptr::null_mut());

fn pool() -> MutexGuard<'static, Free> {
    let mut p = POOL.load(std::sync::atomic::Ordering::Acquire);
    if p.is_null() {
        crate::parallel::install_fork_guard();
        let fresh = Box::into_raw(Box::new(Mutex::new(Free::new())));
        p = match POOL.compare_exchange(
            std::ptr::null_mut(),
            fresh,
            std::sync::atomic::Ordering::AcqRel,
            std::sync::atomic::Ordering::Acquire,
        ) {
            Ok(_) => fresh,
            Err(theirs) => {
                // SAFETY: `fresh` was never published.
                drop(unsafe { Box::from_raw(fresh) });
                theirs
            }
        };
    }
    // SAFETY: a published pool is never freed (a fork leaks the parent's copy in the child).
    unsafe { &*p }.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// For the child of a fork: forget the parent's free lists and their lock.
pub(crate) fn after_fork_in_child() {
    POOL.store(std::ptr::null_mut(), Relaxed);
}

/// Rounds up to a size class: eight steps between powers of two, so at most 12.5 % is wasted.
fn size_class(bytes: usize) -> usize {
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

/// A thread's free small blocks: a stack for each multiple of [`ALIGN`]. The first word of a free
/// block points to the next one.
struct Small {
    heads: [*mut u8; SMALL / ALIGN],
    bytes: usize,
}

thread_local! {
    static SMALL_FREE: RefCell<Small> =
        const { RefCell::new(Small { heads: [std::ptr::null_mut(); SMALL / ALIGN], bytes: 0 }) };
}

impl Small {
    fn take(&mut self, size: usize) -> Option<NonNull<u8>> {
        let head = &mut self.heads[size / ALIGN - 1];
        let ptr = NonNull::new(*head)?;
        // SAFETY: a block in the list is free, aligned and holds the next one's address.
        *head = unsafe { ptr.cast::<*mut u8>().read() };
        self.bytes -= size;
        Some(ptr)
    }

    /// Keeps a block, or says that there are enough.
    fn put(&mut self, ptr: NonNull<u8>, size: usize) -> bool {
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

    fn clear(&mut self) {
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
fn small<R>(f: impl FnOnce(&mut Small) -> R) -> Option<R> {
    SMALL_FREE.try_with(|free| f(&mut free.borrow_mut())).ok()
}

/// A block of memory that returns to the pool when dropped. Its content is undefined at first.
#[derive(Debug)]
pub struct Block {
    ptr: NonNull<u8>,
    size: usize,
}

// SAFETY: a block owns its memory; access is governed by the storage that holds it.
unsafe impl Send for Block {}
// SAFETY: as above; a shared block hands out raw pointers only.
unsafe impl Sync for Block {}

impl Block {
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }
    /// Usable bytes: at least what was asked for.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// A block of at least `bytes` bytes, or a memory error that names `op`.
pub fn allocate(op: &'static str, bytes: usize) -> Result<Block> {
    let failed = || Error::memory(op, format!("could not allocate {bytes} bytes"));
    if bytes > isize::MAX as usize / 2 {
        return Err(failed());
    }
    let size = size_class(bytes);
    let served = |ptr, size| {
        let now = IN_USE.fetch_add(size, Relaxed) + size;
        // Mostly it is below the peak, and looking is cheaper than writing.
        if now > PEAK.load(Relaxed) {
            PEAK.fetch_max(now, Relaxed);
        }
        Ok(Block { ptr, size })
    };
    if size <= SMALL {
        if let Some(Some(ptr)) = small(|free| free.take(size)) {
            return served(ptr, size);
        }
    } else if let Some((ptr, size)) = pool().take(size) {
        HITS.fetch_add(1, Relaxed);
        return served(ptr, size);
    } else {
        MISSES.fetch_add(1, Relaxed);
    }
    let ptr = system_alloc(size).or_else(|| {
        trim(0);
        system_alloc(size)
    });
    served(ptr.ok_or_else(failed)?, size)
}

fn block_layout(size: usize) -> Layout {
    let align = if size >= HUGE { HUGE } else { ALIGN };
    Layout::from_size_align(size, align).expect("size is below isize::MAX / 2")
}

fn system_alloc(size: usize) -> Option<NonNull<u8>> {
    if size >= LARGE && IN_USE.load(Relaxed).saturating_add(size) > machine() {
        return None;
    }
    // SAFETY: the layout has a non-zero size.
    let ptr = NonNull::new(unsafe { alloc(block_layout(size)) })?;
    #[cfg(target_os = "linux")]
    if size >= HUGE {
        // SAFETY: advice on memory just allocated; failure is harmless.
        unsafe { libc::madvise(ptr.as_ptr().cast(), size, libc::MADV_HUGEPAGE) };
    }
    Some(ptr)
}

/// From here on a request is held against what the machine has.
const LARGE: usize = 1 << 30;

/// The memory of the machine, or of the container. Linux promises what it does not have and then
/// kills the process: more than this is refused, so that a typing error in a shape is an exception.
fn machine() -> usize {
    static BYTES: OnceLock<usize> = OnceLock::new();
    #[cfg(target_os = "linux")]
    return *BYTES.get_or_init(|| {
        // SAFETY: an all-zero sysinfo is valid; the call fills it in.
        let (failed, info) = unsafe {
            let mut info: libc::sysinfo = std::mem::zeroed();
            (libc::sysinfo(&mut info) != 0, info)
        };
        let units = (info.totalram as usize).saturating_add(info.totalswap as usize);
        let all =
            if failed || units == 0 { usize::MAX } else { units.saturating_mul(info.mem_unit as usize) };
        // The limit of either version of control groups; the word "max" is none.
        ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse().ok())
            .fold(all, usize::min)
    });
    #[allow(unreachable_code)]
    *BYTES.get_or_init(|| usize::MAX)
}

/// A memory error of `op` unless a plain list of so many bytes is within reason: where the system
/// allocator fails, a list ends the process.
pub(crate) fn expect_room(op: &'static str, bytes: usize) -> Result<()> {
    if bytes < LARGE || IN_USE.load(Relaxed).saturating_add(bytes) <= machine() {
        return Ok(());
    }
    Err(Error::memory(op, format!("could not allocate {bytes} bytes")))
}

fn system_free(ptr: NonNull<u8>, size: usize) {
    // SAFETY: allocated by `system_alloc` with the same size.
    unsafe { dealloc(ptr.as_ptr(), block_layout(size)) }
}

impl Drop for Block {
    fn drop(&mut self) {
        IN_USE.fetch_sub(self.size, Relaxed);
        if self.size <= SMALL {
            if small(|free| free.put(self.ptr, self.size)) != Some(true) {
                system_free(self.ptr, self.size);
            }
            return;
        }
        let limit = LIMIT.load(Relaxed);
        if self.size > limit {
            return system_free(self.ptr, self.size);
        }
        let mut free = pool();
        free.put(self.ptr, self.size);
        free.trim(limit);
    }
}

/// Gives free blocks back to the system until at most `keep` bytes are cached. Of the small ones it
/// reaches those of the calling thread.
pub fn trim(keep: usize) {
    pool().trim(keep);
    if keep == 0 {
        small(Small::clear);
    }
}

/// How many free bytes the pool may keep.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Relaxed);
    trim(bytes);
}

pub fn stats() -> Stats {
    Stats {
        in_use: IN_USE.load(Relaxed),
        peak: PEAK.load(Relaxed),
        cached: pool().bytes,
        limit: LIMIT.load(Relaxed),
        hits: HITS.load(Relaxed),
        misses: MISSES.load(Relaxed),
    }
}

/// Lets `peak` start again from what is in use now.
pub fn reset_peak() {
    PEAK.store(IN_USE.load(Relaxed), Relaxed);
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(matches!(allocate("empty", usize::MAX / 2), Err(Error::Memory { .. })));
        assert!(matches!(allocate("empty", 1 << 46), Err(Error::Memory { .. })));
    }
}
