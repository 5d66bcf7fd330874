//! Device memory, pooled by size class.

use super::context::{self, Context};
use crate::error::{Error, Result};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Unused bytes kept; beyond it the buffer that has waited longest goes back to the driver.
const CACHE_LIMIT: usize = 512 << 20;
const SMALLEST: usize = 256;

/// What a buffer is for; the pool never mixes them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Tensors: read and written by kernels and copies.
    Storage,
    /// The way back: copied to by the device, mapped by the CPU.
    Readback,
}

struct Free {
    raw: wgpu::Buffer,
    /// The last epoch that used it.
    used: u64,
    /// When it came back, for the choice of what to let go.
    since: u64,
}

/// Free buffers by role and size class, in each the oldest first.
#[derive(Default)]
pub(super) struct Pool {
    free: HashMap<(Role, u64), VecDeque<Free>>,
    clock: u64,
    pub cached: usize,
    pub reused: usize,
    pub created: usize,
}

impl Pool {
    /// A free buffer that no work of epoch `before` or later uses.
    fn take(&mut self, role: Role, size: usize, before: u64) -> Option<wgpu::Buffer> {
        let free = self.free.get_mut(&(role, size as u64))?;
        // The youngest is the likeliest to be warm, the oldest to be in no pending work.
        let found = if free.back()?.used < before {
            free.pop_back()
        } else if free.front()?.used < before {
            free.pop_front()
        } else {
            None
        };
        self.cached -= found.as_ref().map_or(0, |_| size);
        self.reused += found.is_some() as usize;
        found.map(|f| f.raw)
    }

    /// Keeps a buffer; returns those that no longer fit, to be dropped outside the lock.
    fn give(&mut self, raw: wgpu::Buffer, role: Role, used: u64) -> Vec<wgpu::Buffer> {
        self.clock += 1;
        self.cached += raw.size() as usize;
        self.free.entry((role, raw.size())).or_default().push_back(Free { raw, used, since: self.clock });
        let mut excess = Vec::new();
        while self.cached > CACHE_LIMIT {
            let oldest = self.free.values_mut().filter(|f| !f.is_empty()).min_by_key(|f| f[0].since);
            let Some(gone) = oldest.and_then(VecDeque::pop_front) else { break };
            self.cached -= gone.raw.size() as usize;
            excess.push(gone.raw);
        }
        excess
    }

    fn clear(&mut self) -> Vec<wgpu::Buffer> {
        self.cached = 0;
        self.free.drain().flat_map(|(_, free)| free).map(|f| f.raw).collect()
    }
}

/// A piece of device memory that returns to the pool when dropped. Empty tensors have none.
pub struct Buffer {
    raw: Option<wgpu::Buffer>,
    role: Role,
    /// Bytes its tensor would take on the CPU: layouts are checked against these, whatever the
    /// width of a word on the device.
    size: usize,
    /// The last epoch that read or wrote it, and the last that wrote it.
    used: AtomicU64,
    written: AtomicU64,
}

impl Buffer {
    /// As many bytes as its elements take on the CPU: those that layouts are checked against.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The wgpu buffer; an error of `op` for an empty one, which no kernel may touch.
    pub(super) fn raw(&self, op: &'static str) -> Result<&wgpu::Buffer> {
        self.raw.as_ref().ok_or_else(|| Error::runtime(op, "an empty GPU buffer cannot be read or written"))
    }

    /// Lets go of the memory instead of pooling it, when it may be in a state nobody can use.
    pub(super) fn discard(mut self) {
        self.raw = None;
    }

    pub(super) fn mark_read(&self, epoch: u64) {
        self.used.store(epoch, Relaxed);
    }

    pub(super) fn mark_written(&self, epoch: u64) {
        self.used.store(epoch, Relaxed);
        self.written.store(epoch, Relaxed);
    }

    /// The epoch whose work makes its content.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(raw) = self.raw.take() else { return };
        if context::is_forked_child() {
            // The driver's locks may be held by threads that the fork left behind.
            return std::mem::forget(raw);
        }
        let Some(ctx) = context::peek() else { return };
        if self.role == Role::Storage {
            ctx.counters.allocated.fetch_sub(raw.size() as usize, Relaxed);
        }
        let excess = ctx.pool().give(raw, self.role, self.used.load(Relaxed));
        drop(excess);
    }
}

// Storage promises as much for all it holds.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Buffer>();
};

/// Rounds up to a size class: four steps between powers of two, never beyond `limit`.
fn size_class(bytes: usize, limit: usize) -> usize {
    if bytes <= SMALLEST {
        return SMALLEST;
    }
    let step = (1usize << (usize::BITS - 1 - (bytes - 1).leading_zeros())) / 4;
    bytes.div_ceil(step).saturating_mul(step).min(limit / 4 * 4).max(bytes)
}

impl Context {
    /// A buffer of `words` words for a tensor of `size` bytes, with undefined content. It takes part
    /// in no work of epoch `before` or later.
    pub fn allocate(
        &self,
        op: &'static str,
        role: Role,
        words: usize,
        size: usize,
        before: u64,
    ) -> Result<Buffer> {
        let buffer = |raw| Buffer { raw, role, size, used: AtomicU64::new(0), written: AtomicU64::new(0) };
        if words == 0 {
            return Ok(buffer(None));
        }
        let mut limit = self.limits.max_buffer_size;
        if role == Role::Storage {
            // Kernels bind whole buffers and count elements in int32.
            limit = limit.min(self.limits.max_storage_buffer_binding_size).min((i32::MAX as u64) * 4);
        }
        let limit = limit as usize;
        let bytes = words.saturating_mul(4);
        if bytes > limit {
            return Err(Error::memory(
                op,
                format!(
                    "a tensor of {bytes} bytes does not fit the {limit} bytes that {} allows one buffer; \
                     split it, or use the CPU",
                    self.name
                ),
            ));
        }
        let class = size_class(bytes, limit);
        let mut raw = self.pool().take(role, class, before);
        if raw.is_none() {
            let made = self.create_buffer(op, role, class);
            raw = Some(match made {
                Err(Error::Memory { .. }) => {
                    // What waits in the pool, or for work to end, may be enough.
                    self.wait(op)?;
                    let kept = self.pool().clear();
                    drop(kept);
                    self.wait_for(op, None)?;
                    self.create_buffer(op, role, class)?
                }
                made => made?,
            });
            self.pool().created += 1;
        }
        if role == Role::Storage {
            self.counters.allocated.fetch_add(class, Relaxed);
        }
        Ok(buffer(raw))
    }

    fn create_buffer(&self, op: &'static str, role: Role, size: usize) -> Result<wgpu::Buffer> {
        use wgpu::BufferUsages as Usage;
        let usage = match role {
            Role::Storage => Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
            Role::Readback => Usage::MAP_READ | Usage::COPY_DST,
        };
        self.scoped(op, || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: size as u64,
                usage,
                mapped_at_creation: false,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn size_classes_waste_at_most_a_quarter_and_respect_the_limit() {
        assert_eq!(size_class(1, 1 << 20), 256);
        assert_eq!(size_class(257, 1 << 20), 320);
        assert_eq!(size_class(320, 1 << 20), 320);
        assert_eq!(size_class(1000, 1 << 20), 1024);
        assert_eq!(size_class(1025, 1 << 20), 1280);
        assert_eq!(size_class((1 << 20) - 4, (1 << 20) - 1), (1 << 20) - 4);
        for bytes in (4..100_000).step_by(52) {
            let class = size_class(bytes, 1 << 30);
            assert!(
                class >= bytes && class.is_multiple_of(4) && (bytes <= 256 || class * 4 <= bytes * 5 + 16),
                "{bytes} {class}"
            );
        }
    }
}
