//! The GPU through wgpu: Vulkan, Metal and DirectX 12, found at run time.
//!
//! Operations are recorded into one encoder and run when somebody reads a result
//! ([`download`]), waits ([`synchronize`]), or 256 of them have gathered. Buffers come from a
//! pool, pipelines are made once. Nothing here panics: every fault of the device or its driver is
//! an [`Error`](crate::Error) of the operation that met it.
//!
//! Elements live there as words of 32 bits: float32 and int32 as they are, bool as 0 or 1, int64
//! as an int32 whose range was checked. float64 and the storage types stay on the CPU.
//!
//! Environment: `LECTORIUM_GPU=off` says there is no device; `LECTORIUM_GPU_IMMEDIATES=off` sends
//! parameters in a uniform buffer also where immediates would do.

mod buffer;
mod context;
mod ops;
mod recorder;
#[cfg(test)]
mod tests;
mod transfer;

pub use buffer::Buffer;
pub use ops::{binary, contiguous, matmul, sum, unary};
pub use transfer::{download, upload};

use crate::error::Result;
use std::sync::atomic::Ordering::Relaxed;

/// Whether tensors can be moved to a GPU (or to a software driver that stands for one).
/// `LECTORIUM_GPU=off` makes it false. The adapter is chosen at the first call.
pub fn is_available() -> bool {
    context::usable("is_available").is_ok()
}

/// The name of the device and of what drives it, for example `llvmpipe (LLVM 15.0.6) over vulkan`.
pub fn adapter_name() -> Option<String> {
    context::usable("adapter_name").ok().map(|c| c.name.clone())
}

/// Runs everything recorded and waits for it.
pub fn synchronize() -> Result<()> {
    let Some(ctx) = context::existing("synchronize")? else { return Ok(()) };
    ctx.wait("synchronize")
}

/// Counters of the device's work and memory since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of buffers that tensors hold.
    pub allocated: usize,
    /// Bytes of buffers kept for reuse.
    pub cached: usize,
    /// Buffers that came from the pool, and those that had to be made.
    pub reused: usize,
    pub created: usize,
    pub dispatches: usize,
    /// Times the encoder was closed and handed over, and submissions to the queue.
    pub flushes: usize,
    pub submits: usize,
}

pub fn stats() -> Stats {
    let Some(ctx) = context::peek() else { return Stats::default() };
    let c = &ctx.counters;
    let (cached, reused, created) = ctx.pool_stats();
    Stats {
        allocated: c.allocated.load(Relaxed),
        cached,
        reused,
        created,
        dispatches: c.dispatches.load(Relaxed),
        flushes: c.flushes.load(Relaxed),
        submits: c.submits.load(Relaxed),
    }
}
