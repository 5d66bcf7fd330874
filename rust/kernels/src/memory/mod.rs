//! The buffer pool: outputs and workspaces are reused, because a fresh page costs more to touch
//! than most kernels take to fill it.
//!
//! Free blocks lie in one stack a size class: the youngest is taken first, because its pages are the
//! likeliest to be in the cache. Where a class is empty a block up to a quarter larger will do. Beyond
//! the bound the block that has waited longest of all goes back to the system. Small blocks have
//! stacks of their own in each thread, without a lock. Every block is 64-byte aligned. Counters are
//! read by `lt.memory.stats()`.

mod classes;
mod small;

use crate::error::{Error, Result};
use classes::{Free, size_class};
use small::{Small, small};
use std::alloc::{Layout, alloc, dealloc};
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
    fn an_impossible_size_is_an_error() {
        assert!(matches!(allocate("empty", usize::MAX / 2), Err(Error::Memory { .. })));
        assert!(matches!(allocate("empty", 1 << 46), Err(Error::Memory { .. })));
    }
}
