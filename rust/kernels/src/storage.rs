//! The memory behind tensors: untyped bytes, a version counter and what keeps them alive.

use crate::channels_last::ChannelsLast;
use crate::error::Result;
use crate::memory::{self, Block};
use crate::packs::Packs;
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

thread_local! {
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// How many in-place changes this thread has counted.
pub fn changes() -> u64 {
    CHANGES.with(Cell::get)
}

/// Where a tensor lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    Cpu,
    Gpu,
}

impl Device {
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Gpu => "gpu",
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

enum Bytes {
    /// From the pool, which may have given more than the `len` bytes asked for.
    Block { block: Block, len: usize },
    /// Lent by somebody else (NumPy, DLPack), who is kept alive.
    Foreign { ptr: *mut u8, len: usize, writable: bool, _owner: Box<dyn Any + Send + Sync> },
    /// Pictures with the channels last, until somebody asks for row-major memory.
    Pictures(Box<ChannelsLast>),
    #[cfg(feature = "gpu")]
    Gpu(crate::gpu::Buffer),
}

// SAFETY: foreign memory is kept alive by its owner, which is Send and Sync; it is only reached by
// raw pointers. Two threads that race get garbage values.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

/// A run of bytes that tensors view. Reached by raw pointers, never reallocated.
pub struct Storage {
    bytes: Bytes,
    version: AtomicU64,
    /// Whether somebody outside may write to it without telling (NumPy, DLPack).
    exported: AtomicBool,
    packs: Packs,
}

impl Storage {
    fn from_bytes(bytes: Bytes, exported: bool) -> Storage {
        Storage {
            bytes,
            version: AtomicU64::new(0),
            exported: AtomicBool::new(exported),
            packs: Packs::default(),
        }
    }

    /// Uninitialised CPU memory from the pool.
    pub fn allocate(op: &'static str, bytes: usize) -> Result<Storage> {
        Ok(Storage::from_bytes(Bytes::Block { block: memory::allocate(op, bytes)?, len: bytes }, false))
    }

    /// Memory lent by `owner`, which is dropped with the storage.
    ///
    /// # Safety
    /// `ptr` must be valid for reads (and, if `writable`, writes) of `len` bytes while `owner` lives.
    pub unsafe fn foreign(
        ptr: *mut u8,
        len: usize,
        writable: bool,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Storage {
        Storage::from_bytes(Bytes::Foreign { ptr, len, writable, _owner: owner }, true)
    }

    pub(crate) fn from_channels_last(held: ChannelsLast) -> Storage {
        Storage::from_bytes(Bytes::Pictures(Box::new(held)), false)
    }

    pub(crate) fn channels_last(&self) -> Option<&ChannelsLast> {
        match &self.bytes {
            Bytes::Pictures(held) => Some(held),
            _ => None,
        }
    }

    #[cfg(feature = "gpu")]
    pub fn gpu(buffer: crate::gpu::Buffer) -> Storage {
        Storage::from_bytes(Bytes::Gpu(buffer), false)
    }

    #[cfg(feature = "gpu")]
    pub fn gpu_buffer(&self) -> Option<&crate::gpu::Buffer> {
        match &self.bytes {
            Bytes::Gpu(buffer) => Some(buffer),
            _ => None,
        }
    }

    pub fn device(&self) -> Device {
        match &self.bytes {
            #[cfg(feature = "gpu")]
            Bytes::Gpu(_) => Device::Gpu,
            _ => Device::Cpu,
        }
    }

    /// The first byte in row-major CPU memory, which pictures with the channels last are brought
    /// into first; null for a GPU storage, whose ops never come here.
    #[inline]
    pub fn ptr(&self) -> *mut u8 {
        match &self.bytes {
            Bytes::Block { block, .. } => block.as_ptr(),
            Bytes::Foreign { ptr, .. } => *ptr,
            Bytes::Pictures(held) => held.plain(),
            #[cfg(feature = "gpu")]
            Bytes::Gpu(_) => std::ptr::null_mut(),
        }
    }

    pub fn len(&self) -> usize {
        match &self.bytes {
            Bytes::Block { len, .. } | Bytes::Foreign { len, .. } => *len,
            Bytes::Pictures(held) => held.len(),
            #[cfg(feature = "gpu")]
            Bytes::Gpu(buffer) => buffer.size(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn writable(&self) -> bool {
        !matches!(&self.bytes, Bytes::Foreign { writable: false, .. })
    }

    /// Counts in-place changes, shared by all views.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    #[inline]
    pub fn bump_version(&self) {
        self.version.fetch_add(1, Relaxed);
        CHANGES.with(|c| c.set(c.get().wrapping_add(1)));
    }

    pub(crate) fn packs(&self) -> &Packs {
        &self.packs
    }

    pub fn exported(&self) -> bool {
        self.exported.load(Relaxed)
    }

    pub fn mark_exported(&self) {
        self.exported.store(true, Relaxed);
    }
}
