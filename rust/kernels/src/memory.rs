//! The buffer pool: outputs and workspaces are reused, because a fresh page costs more to touch
//! than most kernels take to fill it.
//!
//! Small blocks go straight to the allocator, larger ones are kept in size classes up to a bound.
//! Every block is 64-byte aligned. Counters are read by `lt.memory.stats()`.

use crate::error::{Error, Result};
use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock};

pub const ALIGN: usize = 64;
/// Below this the system's allocator is as fast as a free list.
const SMALL: usize = 32 * 1024;
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

#[derive(Default)]
struct Free {
    /// Kept blocks, oldest first.
    blocks: Vec<(usize, NonNull<u8>)>,
    bytes: usize,
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
        let fresh = Box::into_raw(Box::new(Mutex::new(Free::default())));
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
    let now = IN_USE.fetch_add(size, Relaxed) + size;
    let served = |ptr| {
        PEAK.fetch_max(now, Relaxed);
        Ok(Block { ptr, size })
    };
    if size > SMALL {
        let mut free = pool();
        // The youngest block of the class: its pages are the likeliest to be in the cache.
        if let Some(i) = free.blocks.iter().rposition(|b| b.0 == size) {
            let (_, ptr) = free.blocks.remove(i);
            free.bytes -= size;
            HITS.fetch_add(1, Relaxed);
            return served(ptr);
        }
        MISSES.fetch_add(1, Relaxed);
    }
    let ptr = system_alloc(size).or_else(|| {
        trim(0);
        system_alloc(size)
    });
    match ptr {
        Some(ptr) => served(ptr),
        None => {
            IN_USE.fetch_sub(size, Relaxed);
            Err(failed())
        }
    }
}

fn block_layout(size: usize) -> Layout {
    let align = if size >= HUGE { HUGE } else { ALIGN };
    Layout::from_size_align(size, align).expect("size is below isize::MAX / 2")
}

fn system_alloc(size: usize) -> Option<NonNull<u8>> {
    if size >= LARGE && IN_USE.load(Relaxed) > machine() {
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
        let limit = LIMIT.load(Relaxed);
        if self.size <= SMALL || self.size > limit {
            return system_free(self.ptr, self.size);
        }
        let mut free = pool();
        free.blocks.push((self.size, self.ptr));
        free.bytes += self.size;
        trim_locked(&mut free, limit);
    }
}

fn trim_locked(free: &mut Free, limit: usize) {
    let mut gone = 0;
    while free.bytes > limit {
        let (size, ptr) = free.blocks[gone];
        free.bytes -= size;
        gone += 1;
        system_free(ptr, size);
    }
    free.blocks.drain(..gone);
}

/// Gives free blocks back to the system until at most `keep` bytes are cached.
pub fn trim(keep: usize) {
    trim_locked(&mut pool(), keep);
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
    fn an_impossible_size_is_an_error() {
        assert!(matches!(allocate("empty", usize::MAX / 2), Err(Error::Memory { .. })));
        assert!(matches!(allocate("empty", 1 << 46), Err(Error::Memory { .. })));
    }
}
