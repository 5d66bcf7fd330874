//! Sums of outer products, on the calling thread: gradients of weights, a few rows after the other.

use super::GemmElement;
use super::gemm::kernel_of;
use super::micro::{self, Epilogue, Tile};

/// Packs `count` rows of `m` adjacent elements, `ld` apart, as positions `first` and on of `positions`.
///
/// # Safety
/// `rows` holds them, and `out` has room for `m * positions` elements.
pub unsafe fn pack_rows<T: GemmElement>(
    (rows, ld, count): (*const T, usize, usize),
    m: usize,
    first: usize,
    positions: usize,
    out: *mut T,
) {
    let kernel = kernel_of::<T>();
    let height = kernel.height(m);
    for i in (0..m).step_by(height) {
        let h = height.min(m - i);
        (kernel.pack)(rows.add(i), 1, ld as isize, h, count, h, out.add(i * positions + first * h));
    }
}

/// `C (+)= A^T B` for several A with one B: each A is `positions` rows of `m` elements as [`pack_rows`] left
/// them, with its C of `m` rows of `n`; B is as many rows of `n`, `ldb` apart.
///
/// # Safety
/// The operands hold them, and rows of B hold `n` elements rounded up to the kernel's width; no C overlaps
/// an operand.
pub unsafe fn add_products<T: GemmElement>(
    lefts: &[(*const T, usize, *mut T)],
    (b, ldb): (*const T, usize),
    n: usize,
    positions: usize,
    add: bool,
) {
    let kernel = kernel_of::<T>();
    let nr = kernel.nr;
    for j in (0..n).step_by(nr) {
        for &(a, m, c) in lefts {
            let height = kernel.height(m);
            for i in (0..m).step_by(height) {
                let h = height.min(m - i);
                let next = c.wrapping_add((i + h) * n + j);
                for r in 0..h {
                    micro::prefetch(next.wrapping_add(r * n));
                    micro::prefetch(next.wrapping_add(r * n + nr / 2));
                }
                (kernel.tile)(&Tile {
                    kc: positions,
                    a: a.add(i * positions),
                    rsa: 1,
                    csa: h as isize,
                    b: b.add(j),
                    ldb: ldb as isize,
                    c: c.add(i * n + j),
                    ldc: n as isize,
                    m: h,
                    n: nr.min(n - j),
                    alpha: T::ONE,
                    beta: if add { T::ONE } else { T::ZERO },
                    epilogue: Epilogue::NONE,
                });
            }
        }
    }
}
