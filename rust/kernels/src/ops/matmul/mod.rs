//! Matrix products of tensors, and the GEMM that convolution and recurrent layers share.

mod blocks;
mod gemm;
mod linear;
mod micro;
#[cfg(target_arch = "x86_64")]
mod micro_avx2;
#[cfg(target_arch = "x86_64")]
mod micro_avx512;
#[cfg(target_arch = "aarch64")]
mod micro_neon;
mod micro_pack;
mod micro_scalar;
mod micro_vectors;
mod outer;
mod pack;
mod panel;
#[cfg(test)]
mod tests;
mod vectors;

pub(crate) use gemm::KC;
pub use gemm::{Output, gemm, gemm_operands, gemm_prepacked, kernel_of};
pub use linear::addmm_bias;
pub use micro::{Epilogue, Kernel};
pub(crate) use outer::{add_products, pack_rows};
pub use pack::{Operand, PackedB, Strided};
pub use panel::{rows_by_packed, rows_by_panel};
pub(crate) use vectors::ROWS;

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout, broadcast_shapes, checked_numel};
use crate::ops::copy;
use crate::parallel::{SendPtr, for_ranges};
use crate::simd::Level;
use crate::tensor::Tensor;
use std::ops::{Add, AddAssign, Mul};

/// The types that have micro-kernels: float32 and float64.
pub trait GemmElement: Element + Add<Output = Self> + Mul<Output = Self> + AddAssign {
    const ZERO: Self;
    const ONE: Self;
    /// The kernels of a level, which the machine must have.
    fn kernel(level: Level) -> &'static Kernel<Self>;
}

macro_rules! gemm_element {
    ($T:ty, $kernel:ident) => {
        impl GemmElement for $T {
            const ZERO: $T = 0.0;
            const ONE: $T = 1.0;
            fn kernel(level: Level) -> &'static Kernel<$T> {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => &micro_avx512::$kernel::KERNEL,
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => &micro_avx2::$kernel::KERNEL,
                    #[cfg(target_arch = "aarch64")]
                    Level::Neon => &micro_neon::$kernel::KERNEL,
                    _ => &micro_scalar::$kernel::KERNEL,
                }
            }
        }
    };
}
gemm_element!(f32, f32_kernel);
gemm_element!(f64, f64_kernel);

/// Products smaller than this (in multiplications) share the threads by whole matrices of a batch.
const SMALL_IN_A_BATCH: f64 = 4e6;

/// PyTorch's `matmul`: vectors, matrices, and batches of matrices whose leading axes broadcast.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    const OP: &str = "matmul";
    #[cfg(feature = "gpu")]
    if a.device() == crate::storage::Device::Gpu || b.device() == crate::storage::Device::Gpu {
        return crate::gpu::matmul(a, b);
    }
    a.expect_cpu(OP)?;
    b.expect_cpu(OP)?;
    if a.dtype() != b.dtype() {
        return Err(Error::dtype(
            OP,
            format!("expected one dtype, got {} and {}; convert one with .to(dtype)", a.dtype(), b.dtype()),
        ));
    }
    if a.ndim() == 0 || b.ndim() == 0 {
        return Err(Error::shape(
            OP,
            format!(
                "expected at least one axis each, got shapes {:?} and {:?}; multiply by a scalar with *",
                a.shape(),
                b.shape()
            ),
        ));
    }
    // A vector is a matrix of one row (left) or one column (right); that axis is dropped at the end.
    let left = if a.ndim() == 1 { a.layout().unsqueeze(0) } else { a.layout().clone() };
    let right = if b.ndim() == 1 { b.layout().unsqueeze(1) } else { b.layout().clone() };
    let (la, lb) = (left.ndim(), right.ndim());
    let (m, k, n) = (left.shape()[la - 2], left.shape()[la - 1], right.shape()[lb - 1]);
    if right.shape()[lb - 2] != k {
        return Err(Error::shape(
            OP,
            format!(
                "shapes {:?} and {:?} do not fit: the left one's last axis has {k}, the right one's {} axis {}; expected equal sizes",
                a.shape(),
                b.shape(),
                if b.ndim() == 1 { "only" } else { "second last" },
                right.shape()[lb - 2]
            ),
        ));
    }
    let batch = broadcast_shapes(OP, &left.shape()[..la - 2], &right.shape()[..lb - 2]).map_err(|_| {
        Error::shape(
            OP,
            format!(
                "the leading axes of shapes {:?} and {:?} do not broadcast: {:?} against {:?}; expected equal sizes or 1",
                a.shape(),
                b.shape(),
                &left.shape()[..la - 2],
                &right.shape()[..lb - 2]
            ),
        )
    })?;
    let mut shape: Dims = batch.clone();
    if a.ndim() > 1 {
        shape.push(m);
    }
    if b.ndim() > 1 {
        shape.push(n);
    }
    checked_numel(OP, &shape)?;
    let batched = |matrix: [usize; 2]| -> Dims { batch.iter().copied().chain(matrix).collect() };
    let (wide_a, wide_b) = (batched([m, k]), batched([k, n]));
    checked_numel(OP, &wide_a)?;
    checked_numel(OP, &wide_b)?;
    match a.dtype() {
        DType::F16 | DType::BF16 => {
            let wide = matmul(&copy::cast(OP, a, DType::F32)?, &copy::cast(OP, b, DType::F32)?)?;
            return copy::cast(OP, &wide, a.dtype());
        }
        DType::Bool => {
            return Err(Error::dtype(
                OP,
                "is not defined for bool; convert with .to(uint8) or .float() first",
            ));
        }
        _ => {}
    }
    let out = Tensor::empty(OP, &shape, a.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let p = Product { batch, m, k, n, left, right };
    match a.dtype() {
        DType::F32 => p.floats::<f32>(a, b, &out)?,
        DType::F64 => p.floats::<f64>(a, b, &out)?,
        DType::U8 => p.integers::<u8>(a, b, &out, wrapping_axpy_u8)?,
        DType::I8 => p.integers::<i8>(a, b, &out, wrapping_axpy_i8)?,
        DType::I16 => p.integers::<i16>(a, b, &out, wrapping_axpy_i16)?,
        DType::I32 => p.integers::<i32>(a, b, &out, wrapping_axpy_i32)?,
        _ => p.integers::<i64>(a, b, &out, wrapping_axpy_i64)?,
    }
    Ok(out)
}

/// The sizes and layouts of a checked product: `left` and `right` have at least two axes.
struct Product {
    batch: Dims,
    m: usize,
    k: usize,
    n: usize,
    left: Layout,
    right: Layout,
}

impl Product {
    /// Offsets of the operands' matrices, relative to their first element.
    fn offsets(&self, layout: &Layout) -> Vec<isize> {
        let lead = layout.ndim() - 2;
        let skip = self.batch.len() - lead;
        let mut offsets = vec![0isize];
        for (axis, &size) in self.batch.iter().enumerate() {
            let step = match axis.checked_sub(skip) {
                Some(own) if layout.shape()[own] != 1 => layout.strides()[own],
                _ => 0,
            };
            offsets = offsets.iter().flat_map(|&o| (0..size as isize).map(move |i| o + i * step)).collect();
        }
        offsets
    }

    fn floats<T: GemmElement>(&self, a: &Tensor, b: &Tensor, out: &Tensor) -> Result<()> {
        let Product { m, k, n, .. } = *self;
        let rest = |l: &Layout| (l.strides()[l.ndim() - 2], l.strides()[l.ndim() - 1]);
        let (rsb, csb) = rest(&self.right);
        let (pa, pb, pc) = (SendPtr(a.ptr::<T>()), SendPtr(b.ptr::<T>()), SendPtr(out.ptr::<T>()));
        let batches: usize = self.batch.iter().product();
        let one_b = self.right.shape()[..self.right.ndim() - 2].iter().all(|&d| d == 1);
        let covers = self.left.shape()[..self.left.ndim() - 2].iter().product::<usize>() == batches;
        // One matrix on the right: all rows on the left are one tall matrix, if they lie so.
        if one_b
            && covers
            && let Some(tall) = self.left.reshape(&[batches * m, k])
        {
            let (rsa, csa) = rest(&tall);
            let rows = batches * m;
            // SAFETY: the layouts stay within their storages; the output is fresh.
            unsafe {
                gemm(
                    rows,
                    n,
                    k,
                    T::ONE,
                    pa.get(),
                    rsa,
                    csa,
                    pb.get(),
                    rsb,
                    csb,
                    T::ZERO,
                    pc.get(),
                    n as isize,
                    1,
                )
            };
            return Ok(());
        }
        let (rsa, csa) = rest(&self.left);
        let (oa, ob) = (self.offsets(&self.left), self.offsets(&self.right));
        let one = |i: usize| {
            // SAFETY: as above; every matrix of the batch is its own part of the output.
            unsafe {
                let (a, b, c) = (pa.get().offset(oa[i]), pb.get().offset(ob[i]), pc.get().add(i * m * n));
                gemm(m, n, k, T::ONE, a, rsa, csa, b, rsb, csb, T::ZERO, c, n as isize, 1)
            }
        };
        let work = m as f64 * n as f64 * k as f64;
        if work >= SMALL_IN_A_BATCH {
            (0..batches).for_each(one);
        } else {
            let each = (5e5 / work.max(1.0)).ceil() as usize;
            for_ranges(batches, each, |range| range.for_each(&one));
        }
        Ok(())
    }

    /// Integers wrap around, as PyTorch's do.
    fn integers<T: Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
        out: &Tensor,
        axpy: fn(&mut [T], &[T], T),
    ) -> Result<()> {
        let Product { m, k, n, .. } = *self;
        // Rows of B adjacent; then C's row i gathers A[i, p] times row p.
        let matrix = |l: &Layout, rows: usize, cols: usize| {
            let shape: Dims = self.batch.iter().copied().chain([rows, cols]).collect();
            l.broadcast_to("matmul", &shape)
        };
        let b = copy::contiguous("matmul", &b.with_layout(matrix(&self.right, k, n)?))?;
        let a = copy::contiguous("matmul", &a.with_layout(matrix(&self.left, m, k)?))?;
        // SAFETY: inputs that nobody writes to while the call lasts.
        let (sa, sb) = unsafe { (a.as_slice::<T>(), b.as_slice::<T>()) };
        let pc = SendPtr(out.ptr::<T>());
        let batches: usize = self.batch.iter().product();
        let one = |row: usize| {
            let batch = row / m;
            // SAFETY: each task has its own row of the fresh output.
            let c = unsafe { std::slice::from_raw_parts_mut(pc.get().add(row * n), n) };
            c.fill(T::default());
            for (p, &x) in sa[row * k..(row + 1) * k].iter().enumerate() {
                let from = (batch * k + p) * n;
                axpy(c, &sb[from..from + n], x);
            }
        };
        let each = ((1 << 16) / (n * k).max(1)).max(1);
        for_ranges(batches * m, each, |range| range.for_each(&one));
        Ok(())
    }
}

macro_rules! wrapping_axpy {
    ($($name:ident $T:ty),*) => {$(
        crate::multiversion! {
            /// `y += x * a`, wrapping.
            fn $name(y: &mut [$T], x: &[$T], a: $T) {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = y.wrapping_add(x.wrapping_mul(a));
                }
            }
        }
    )*};
}
wrapping_axpy!(wrapping_axpy_u8 u8, wrapping_axpy_i8 i8, wrapping_axpy_i16 i16, wrapping_axpy_i32 i32, wrapping_axpy_i64 i64);
