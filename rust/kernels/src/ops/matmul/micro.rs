//! The micro-kernel: one register tile of C, written once over a vector type and compiled for
//! every instruction set (`micro_*.rs`).

use super::GemmElement;
use super::micro_vectors::Dots;

/// A vector register of one instruction set.
///
/// # Safety
/// Implementors' methods may use instructions that only the level's own functions may execute.
pub(super) unsafe trait Lanes: Copy {
    type T: GemmElement;
    /// Which of the lanes take part in a load or store; empty where the level has no masks.
    type Mask: Copy;
    const LANES: usize;
    /// Whether loads honour the mask, so that a narrow panel of B need not be padded.
    const MASKED: bool;
    unsafe fn zero() -> Self;
    unsafe fn splat(x: Self::T) -> Self;
    /// The mask of the first `n` lanes.
    unsafe fn mask(n: usize) -> Self::Mask;
    unsafe fn load(p: *const Self::T, mask: Self::Mask) -> Self;
    /// A load of all lanes.
    unsafe fn load_all(p: *const Self::T) -> Self;
    unsafe fn store_all(self, p: *mut Self::T);
    /// Stores the first `n` lanes; `mask` is `mask(n)`.
    unsafe fn store(self, p: *mut Self::T, mask: Self::Mask, n: usize);
    unsafe fn add(self, other: Self) -> Self;
    /// Lanes below zero become zero; NaN stays.
    unsafe fn relu(self) -> Self;
    /// `self + a * b`, fused where the level can.
    unsafe fn mul_add(self, a: Self, b: Self) -> Self;
    /// Side of the squares that `transpose` takes, at most 8.
    const BLOCK: usize;
    /// Element (l, p) of a square, at `lines[l] + p`, goes to `out[p * width + l]`; written in whole
    /// rows of `BLOCK`, p ascending.
    unsafe fn transpose(lines: [*const Self::T; 8], out: *mut Self::T, width: usize);
}

/// What happens to C after the last block of K.
#[derive(Clone, Copy)]
pub struct Epilogue<T> {
    /// Added to every row of C (one value a column); null for none.
    pub col_bias: *const T,
    /// Added to every column of C (one value a row); null for none.
    pub row_bias: *const T,
    /// Whether values below zero become zero at last; NaN stays.
    pub relu: bool,
}

// SAFETY: the biases are only read; whoever calls a GEMM keeps them alive.
unsafe impl<T> Send for Epilogue<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Epilogue<T> {}

impl<T> Epilogue<T> {
    pub const NONE: Epilogue<T> =
        Epilogue { col_bias: std::ptr::null(), row_bias: std::ptr::null(), relu: false };

    pub fn is_none(&self) -> bool {
        self.col_bias.is_null() && self.row_bias.is_null() && !self.relu
    }

    /// The epilogue of the part of C that starts at a row and a column.
    pub(super) fn at(mut self, row: usize, col: usize) -> Epilogue<T> {
        if !self.col_bias.is_null() {
            self.col_bias = self.col_bias.wrapping_add(col);
        }
        if !self.row_bias.is_null() {
            self.row_bias = self.row_bias.wrapping_add(row);
        }
        self
    }

    /// The epilogue of the transposed C.
    pub(super) fn transposed(self) -> Epilogue<T> {
        Epilogue { col_bias: self.row_bias, row_bias: self.col_bias, relu: self.relu }
    }
}

/// One tile: `C = alpha * A B + beta * C`, then the epilogue.
#[derive(Clone, Copy)]
pub(super) struct Tile<T> {
    pub kc: usize,
    /// Element (i, p) lies at `i * rsa + p * csa`.
    pub a: *const T,
    pub rsa: isize,
    pub csa: isize,
    /// Row p lies at `p * ldb`; its columns are adjacent.
    pub b: *const T,
    pub ldb: isize,
    /// Row i lies at `i * ldc`; its columns are adjacent.
    pub c: *mut T,
    pub ldc: isize,
    /// Rows, 1 to the kernel's `mr`, and columns, 1 to its `nr`.
    pub m: usize,
    pub n: usize,
    pub alpha: T,
    pub beta: T,
    pub epilogue: Epilogue<T>,
}

/// The kernels of one level for one element type.
pub struct Kernel<T: 'static> {
    /// Rows and columns of the largest tile.
    pub mr: usize,
    pub nr: usize,
    /// Whether a panel of B narrower than `nr` may be read in place.
    pub(super) masked: bool,
    pub(super) tile: unsafe fn(&Tile<T>),
    /// `y[j] = sum_p x[p] B[p * ldb + j]`, columns adjacent: (k, n, x, b, ldb, y).
    pub(super) row_times_rows: unsafe fn(usize, usize, *const T, *const T, isize, *mut T),
    /// `y[i * ldy + j] = sum_p x[i * ldx + p] B[p + j * ldb]`: dot products.
    pub(super) dots: unsafe fn(&Dots<T>),
    /// Packs a panel, see [`super::pack::Operand::pack`]: (from, line, k stride, lines, positions, width, out).
    pub(super) pack: unsafe fn(*const T, isize, isize, usize, usize, usize, *mut T),
}

impl<T> Kernel<T> {
    /// The rows of a tile where `m` of them go into the fewest, as even as can be.
    pub(super) fn height(&self, m: usize) -> usize {
        m.div_ceil(m.div_ceil(self.mr))
    }
}

/// Asks for the cache line of `p`, which may be any address, into the second cache.
#[inline(always)]
pub(super) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast())
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// The body of every tile: `MR` rows of `NV` vectors, A packed in strips of `MR` or strided.
#[inline(always)]
pub(super) unsafe fn tile<V: Lanes, const MR: usize, const NV: usize, const PACKED: bool>(t: &Tile<V::T>) {
    let lanes = V::LANES;
    let mut acc = [[V::zero(); NV]; MR];
    let mut masks = [V::mask(lanes); NV];
    masks[NV - 1] = V::mask(t.n - (NV - 1) * lanes);
    let (mut a, mut b) = (t.a, t.b);
    let (rsa, csa) = if PACKED { (1, MR as isize) } else { (t.rsa, t.csa) };
    for _ in 0..t.kc {
        let mut bv = [V::zero(); NV];
        for j in 0..NV {
            bv[j] = V::load(b.add(j * lanes), masks[j]);
        }
        for i in 0..MR {
            let ai = V::splat(*a.offset(i as isize * rsa));
            for j in 0..NV {
                acc[i][j] = acc[i][j].mul_add(ai, bv[j]);
            }
        }
        a = a.wrapping_offset(csa);
        b = b.wrapping_offset(t.ldb);
    }
    let e = &t.epilogue;
    let last = t.n - (NV - 1) * lanes;
    let fresh = t.beta == V::T::ZERO;
    // What is added has to be loaded, by whole vectors or under a mask.
    let loads = V::MASKED || last == lanes;
    if t.alpha == V::T::ONE
        && e.row_bias.is_null()
        && (loads || (fresh && e.col_bias.is_null()))
        && (fresh || t.beta == V::T::ONE)
    {
        if !fresh {
            for i in 0..MR {
                let c = t.c.offset(i as isize * t.ldc);
                for j in 0..NV {
                    acc[i][j] = acc[i][j].add(V::load(c.add(j * lanes), masks[j]));
                }
            }
        }
        if !e.col_bias.is_null() {
            for j in 0..NV {
                let bias = V::load(e.col_bias.add(j * lanes), masks[j]);
                for i in 0..MR {
                    acc[i][j] = acc[i][j].add(bias);
                }
            }
        }
        if e.relu {
            for i in 0..MR {
                for j in 0..NV {
                    acc[i][j] = acc[i][j].relu();
                }
            }
        }
        for i in 0..MR {
            let c = t.c.offset(i as isize * t.ldc);
            for j in 0..NV {
                acc[i][j].store(c.add(j * lanes), masks[j], if j == NV - 1 { last } else { lanes });
            }
        }
    } else {
        let mut out = std::mem::MaybeUninit::<[[V; NV]; MR]>::uninit();
        let p = out.as_mut_ptr().cast::<V::T>();
        for i in 0..MR {
            for j in 0..NV {
                acc[i][j].store_all(p.add((i * NV + j) * lanes));
            }
        }
        finish(t, p, NV * lanes);
    }
}

/// Merges a computed tile (rows of `width`) into C where that is more than a store or an addition.
#[inline(never)]
pub(super) unsafe fn finish<T: GemmElement>(t: &Tile<T>, acc: *const T, width: usize) {
    let e = &t.epilogue;
    for i in 0..t.m {
        let row = t.c.offset(i as isize * t.ldc);
        let acc = std::slice::from_raw_parts(acc.add(i * width), t.n);
        if t.beta == T::ZERO {
            // C may hold anything, NaN too: it is not read.
            for j in 0..t.n {
                *row.add(j) = t.alpha * acc[j];
            }
        } else {
            for j in 0..t.n {
                *row.add(j) = t.beta * *row.add(j) + t.alpha * acc[j];
            }
        }
        apply(e, i, row, t.n);
    }
}

/// The epilogue on a run of row `i` of C.
pub(super) unsafe fn apply<T: GemmElement>(e: &Epilogue<T>, i: usize, row: *mut T, n: usize) {
    if !e.col_bias.is_null() {
        for j in 0..n {
            *row.add(j) += *e.col_bias.add(j);
        }
    }
    if !e.row_bias.is_null() {
        let bias = *e.row_bias.add(i);
        for j in 0..n {
            *row.add(j) += bias;
        }
    }
    if e.relu {
        for j in 0..n {
            let v = *row.add(j);
            *row.add(j) = if v < T::ZERO { T::ZERO } else { v };
        }
    }
}

/// The functions of one level for one element type, and their table.
macro_rules! micro_kernels {
    ($module:ident, $T:ty, $V:ty, $nr:expr, [$($m:literal)*] $(, $feature:literal)?) => {
        pub(in crate::ops::matmul) mod $module {
            use super::*;
            use crate::ops::matmul::micro::{self, Kernel, Lanes, Tile};
            use crate::ops::matmul::micro_vectors::{self, Dots};
            use crate::ops::matmul::micro_pack;

            $(#[target_feature(enable = $feature)])?
            unsafe fn tile<const MR: usize, const NV: usize, const PACKED: bool>(t: &Tile<$T>) {
                micro::tile::<$V, MR, NV, PACKED>(t)
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn row_times_rows(k: usize, n: usize, x: *const $T, b: *const $T, ldb: isize, y: *mut $T) {
                micro_vectors::row_times_rows::<$V>(k, n, x, b, ldb, y)
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn dots(d: &Dots<$T>) {
                micro_vectors::dots::<$V>(d)
            }
            $(#[target_feature(enable = $feature)])?
            unsafe fn pack(from: *const $T, line: isize, k: isize, n: usize, kc: usize, width: usize, out: *mut $T) {
                micro_pack::pack::<$V>(from, line, k, n, kc, width, out)
            }

            /// By rows; then narrow strided, narrow packed, wide strided, wide packed.
            static TILES: &[[unsafe fn(&Tile<$T>); 4]] =
                &[$([tile::<$m, 1, false>, tile::<$m, 1, true>, tile::<$m, 2, false>, tile::<$m, 2, true>]),*];

            unsafe fn any_tile(t: &Tile<$T>) {
                let wide = t.n > <$V>::LANES;
                let packed = t.rsa == 1 && t.csa == t.m as isize;
                TILES[t.m - 1][wide as usize * 2 + packed as usize](t)
            }

            pub static KERNEL: Kernel<$T> = Kernel {
                mr: [$($m),*].len(),
                nr: $nr,
                masked: <$V as Lanes>::MASKED,
                tile: any_tile,
                row_times_rows,
                dots,
                pack,
            };
        }
    };
}
pub(super) use micro_kernels;
