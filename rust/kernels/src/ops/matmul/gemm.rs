//! C = alpha * A B + beta * C: the entry points and which way a product goes.

use super::GemmElement;
use super::blocks::{Call, From};
use super::micro::{Epilogue, Kernel};
use super::pack::{Operand, PackedB, Strided, pack_b};
use super::vectors::ROWS;
use crate::memory;

/// Positions of K in a block: a panel of B (32 KiB) stays in the first cache, and no sum grows
/// longer than this before it is added to C.
pub(crate) const KC: usize = 256;
/// Columns and bytes of B packed at once.
const NC: usize = 4096;
const B_BYTES: usize = 4 << 20;

/// The kernels of this machine's level.
pub fn kernel_of<T: GemmElement>() -> &'static Kernel<T> {
    T::kernel(crate::simd::level())
}

/// C and what to do with it.
#[derive(Clone, Copy)]
pub struct Output<T> {
    pub alpha: T,
    /// Zero: C is written without being read.
    pub beta: T,
    pub ptr: *mut T,
    pub rs: isize,
    pub cs: isize,
    pub epilogue: Epilogue<T>,
}

// SAFETY: tasks write disjoint parts; whoever calls a GEMM keeps the memory alive.
unsafe impl<T> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Output<T> {}

/// `C = alpha * A B + beta * C` for any strides; with `beta` zero C is not read. Large products run
/// in parallel. Never fails: without memory for workspaces it is only slower.
///
/// # Safety
/// A (m x k), B (k x n) and C (m x n) are valid at their strides; C overlaps neither A nor B, nor itself.
pub unsafe fn gemm<T: GemmElement>(
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    a: *const T,
    rsa: isize,
    csa: isize,
    b: *const T,
    rsb: isize,
    csb: isize,
    beta: T,
    c: *mut T,
    rsc: isize,
    csc: isize,
) {
    let a = Strided { ptr: a, line: rsa, k: csa };
    let b = Strided { ptr: b, line: csb, k: rsb };
    let out = Output { alpha, beta, ptr: c, rs: rsc, cs: csc, epilogue: Epilogue::NONE };
    gemm_operands(m, n, k, &a, &b, out)
}

/// [`gemm`] with operands that pack themselves, and an epilogue.
///
/// # Safety
/// As for [`gemm`]; the operands hold `m` and `n` lines by `k`, the epilogue's biases `n` and `m` values.
pub unsafe fn gemm_operands<T: GemmElement>(
    m: usize,
    n: usize,
    k: usize,
    a: &dyn Operand<T>,
    b: &dyn Operand<T>,
    out: Output<T>,
) {
    gemm_on(kernel_of::<T>(), m, n, k, a, b, out)
}

/// [`gemm_operands`] with B packed beforehand.
///
/// # Safety
/// As for [`gemm_operands`], with `m` lines by `b.k()` in `a`.
pub unsafe fn gemm_prepacked<T: GemmElement>(m: usize, a: &dyn Operand<T>, b: &PackedB<T>, out: Output<T>) {
    let (n, k) = (b.n(), b.k());
    if m == 0 || n == 0 {
        return;
    }
    let call = Call::new(kernel_of::<T>(), m, n, k, a, out);
    if k == 0 {
        return call.without_product();
    }
    call.tiles(0..n, 0..k, From::Packed(b.ptr()));
}

/// [`gemm_operands`] with the kernels of a given level.
///
/// The order in which an element's sum is taken depends on the sizes and strides only: one after the
/// other within a block of KC, then block after block (or by lanes, for a few rows of dot products).
pub(super) unsafe fn gemm_on<T: GemmElement>(
    kernel: &Kernel<T>,
    m: usize,
    n: usize,
    k: usize,
    a: &dyn Operand<T>,
    b: &dyn Operand<T>,
    out: Output<T>,
) {
    if m == 0 || n == 0 {
        return;
    }
    let call = Call::new(kernel, m, n, k, a, out);
    if k == 0 {
        return call.without_product();
    }
    // A few rows, or a few columns seen as rows of the transposed product: nothing is packed.
    let strided = (a.strided(), b.strided());
    if let (Some(sa), Some(sb)) = strided {
        if call.outer(sa, sb) || (m <= ROWS && call.vectors(sa, sb)) {
            return;
        }
        if n <= ROWS && Call::new(kernel, n, m, k, b, out.transposed()).vectors(sb, sa) {
            return;
        }
        if out.cs == 1 && call.in_place(sa, sb) {
            return;
        }
    }
    // Tiles have adjacent columns.
    if out.cs != 1 && out.rs == 1 {
        return gemm_on(kernel, n, m, k, b, a, out.transposed());
    }
    // One block of rows: each panel of B serves one task only, which packs it where it stays hot.
    if call.row_blocks() == 1 {
        return call.tiles(0..n, 0..k, From::Operand(b));
    }
    let nr = kernel.nr;
    let nc = n.min(NC);
    let ks = (B_BYTES / (nc.next_multiple_of(nr) * KC * size_of::<T>())).max(1) * KC;
    let bytes = nc.next_multiple_of(nr) * ks.min(k) * size_of::<T>();
    let Ok(space) = memory::allocate("matmul", bytes) else {
        return call.tiles(0..n, 0..k, From::Operand(b));
    };
    for j0 in (0..n).step_by(nc) {
        let cols = j0..(j0 + nc).min(n);
        for p0 in (0..k).step_by(ks) {
            let positions = p0..(p0 + ks).min(k);
            pack_b(b, nr, cols.clone(), positions.clone(), space.as_ptr().cast());
            call.tiles(cols.clone(), positions, From::Packed(space.as_ptr().cast()));
        }
    }
}

impl<T> Output<T> {
    /// The same memory as the transposed matrix.
    fn transposed(mut self) -> Output<T> {
        (self.rs, self.cs) = (self.cs, self.rs);
        self.epilogue = self.epilogue.transposed();
        self
    }
}
