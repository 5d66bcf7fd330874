//! Tensors to the device and back.

use super::buffer::{Buffer, Role};
use super::context::{self, Context};
use crate::dtype::{Bool, DType};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::ops::copy;
use crate::storage::{Device, Storage};
use crate::tensor::Tensor;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc;
use std::time::Duration;

/// A new row-major tensor on the device with undefined content.
pub(super) fn empty(ctx: &Context, op: &'static str, shape: &[usize], dtype: DType) -> Result<Tensor> {
    let words = crate::layout::checked_numel(op, shape)?;
    let buffer = ctx.allocate(op, Role::Storage, words, words * dtype.size(), u64::MAX)?;
    wrap(op, buffer, shape, dtype)
}

fn wrap(op: &'static str, buffer: Buffer, shape: &[usize], dtype: DType) -> Result<Tensor> {
    Tensor::from_parts(op, Arc::new(Storage::gpu(buffer)), Layout::contiguous(shape), dtype)
}

/// The buffer of a tensor on the device.
pub(super) fn buffer_of<'a>(op: &'static str, t: &'a Tensor) -> Result<&'a Buffer> {
    t.storage().gpu_buffer().ok_or_else(|| {
        Error::device(op, "expected a tensor on the gpu, got one on the cpu; move it with .to(\"gpu\") first")
    })
}

/// A copy of a CPU tensor on the device; a tensor already there is itself.
pub fn upload(op: &'static str, t: &Tensor) -> Result<Tensor> {
    if t.device() == Device::Gpu {
        return Ok(t.clone());
    }
    let way_out = match t.dtype() {
        DType::F32 | DType::I32 | DType::I64 | DType::Bool => None,
        DType::F64 | DType::F16 | DType::BF16 => Some("float()"),
        DType::U8 | DType::I8 | DType::I16 => Some("float() or .int()"),
    };
    if let Some(way_out) = way_out {
        return Err(Error::dtype(
            op,
            format!(
                "expected float32, int32, int64 or bool for the gpu, got {}; convert with .{way_out} first, or stay on the cpu",
                t.dtype()
            ),
        ));
    }
    let ctx = context::get(op)?;
    let t = copy::contiguous(op, t)?;
    let n = t.numel();
    // Only a buffer that pending work leaves alone: the write runs before all of it.
    let buffer = ctx.allocate(op, Role::Storage, n, n * t.dtype().size(), ctx.epoch.load(SeqCst))?;
    if n > 0 {
        let words;
        // SAFETY: the source is contiguous and of the dtype matched; it is not written meanwhile
        // (and if another thread does, garbage values are what it gets).
        let bytes = unsafe {
            match t.dtype() {
                DType::I64 => {
                    words = narrow(op, t.as_slice::<i64>())?;
                    as_bytes(&words)
                }
                DType::Bool => {
                    words = t.as_slice::<Bool>().iter().map(|b| b.get() as i32).collect();
                    as_bytes(&words)
                }
                DType::I32 => as_bytes(t.as_slice::<i32>()),
                _ => as_bytes(t.as_slice::<f32>()),
            }
        };
        ctx.recorder().upload(ctx, op, &buffer, bytes)?;
    }
    wrap(op, buffer, t.shape(), t.dtype())
}

fn narrow(op: &'static str, values: &[i64]) -> Result<Vec<i32>> {
    values
        .iter()
        .map(|&v| {
            i32::try_from(v).map_err(|_| {
                Error::value(
                    op,
                    format!(
                        "int64 is kept as int32 on the gpu, and {v} does not fit; keep the tensor on the cpu"
                    ),
                )
            })
        })
        .collect()
}

/// The bytes of plain numbers of four bytes.
fn as_bytes<T: Copy>(values: &[T]) -> &[u8] {
    // SAFETY: the callers pass f32 and i32, which have no padding.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(values)) }
}

/// A row-major copy on the CPU of a tensor on the device, whatever its layout; waits for the work
/// that makes it. A CPU tensor is itself.
pub fn download(op: &'static str, t: &Tensor) -> Result<Tensor> {
    if t.device() == Device::Cpu {
        return Ok(t.clone());
    }
    let ctx = context::get(op)?;
    let out = Tensor::empty(op, t.shape(), t.dtype())?;
    if t.numel() == 0 {
        return Ok(out);
    }
    let t = super::contiguous(op, t)?;
    let from = t.layout().offset() * 4;
    ctx.read(op, buffer_of(op, &t)?, from, t.numel() * 4, |bytes| {
        let words = bytes.chunks_exact(4).map(|w| i32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
        // SAFETY: `out` is fresh and has as many elements as there are words.
        unsafe {
            match t.dtype() {
                DType::I64 => {
                    out.as_mut_slice::<i64>().iter_mut().zip(words).for_each(|(o, w)| *o = w as i64)
                }
                DType::Bool => {
                    out.as_mut_slice::<Bool>().iter_mut().zip(words).for_each(|(o, w)| *o = Bool::new(w != 0))
                }
                _ => std::ptr::copy_nonoverlapping(bytes.as_ptr(), out.storage().ptr(), bytes.len()),
            }
        }
    })?;
    Ok(out)
}

impl Context {
    /// Runs what is pending and calls `f` with bytes of a buffer.
    fn read(
        &self,
        op: &'static str,
        from: &Buffer,
        offset: usize,
        bytes: usize,
        f: impl FnOnce(&[u8]),
    ) -> Result<()> {
        let staging = self.allocate(op, Role::Readback, bytes / 4, bytes, u64::MAX)?;
        let done = self.read_through(op, from, offset, &staging, bytes, f);
        if done.is_err() {
            // It may still be mapped, or about to be.
            staging.discard();
        }
        done
    }

    fn read_through(
        &self,
        op: &'static str,
        from: &Buffer,
        offset: usize,
        staging: &Buffer,
        bytes: usize,
        f: impl FnOnce(&[u8]),
    ) -> Result<()> {
        // The lock is not held while we wait.
        let submitted = self.recorder().read_back(self, op, from, offset, staging, bytes)?;
        let raw = staging.raw(op)?;
        let failed =
            |e: &dyn std::fmt::Display| Error::runtime(op, format!("reading from the GPU failed: {e}"));
        let (tell, told) = mpsc::channel();
        self.scoped(op, || {
            raw.slice(..bytes as u64).map_async(wgpu::MapMode::Read, move |mapped| drop(tell.send(mapped)));
        })?;
        let mapped = loop {
            self.wait_for(op, submitted.clone())?;
            // Another thread's poll may be the one that calls back, a little later.
            match told.recv_timeout(Duration::from_millis(20)) {
                Ok(mapped) => break mapped,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => break Err(wgpu::BufferAsyncError),
            }
        };
        self.check(op)?;
        mapped.map_err(|e| failed(&e))?;
        let view =
            self.scoped(op, || raw.slice(..bytes as u64).get_mapped_range())?.map_err(|e| failed(&e))?;
        f(&view);
        drop(view);
        self.scoped(op, || raw.unmap())
    }
}
