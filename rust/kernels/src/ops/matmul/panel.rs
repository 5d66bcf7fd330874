//! Products of rows with one packed panel, on the calling thread: what a step of a recurrent layer
//! is made of.

use super::GemmElement;
use super::gemm::{KC, Output, kernel_of};
use super::micro::{self, Epilogue, Tile};
use super::pack::PackedB;
use std::ops::Range;

/// `C (+)= A B` for `m` rows of A, `lda` apart with adjacent elements, and a panel of B of the
/// kernel's width, position by position. `n`, at most that width, is how many columns C has;
/// its rows are `ldc` apart.
///
/// # Safety
/// A holds `m` rows of `k`, the panel `k` rows of the width, C `m` rows of `n`; C overlaps neither.
pub unsafe fn rows_by_panel<T: GemmElement>(
    [m, n, k]: [usize; 3],
    a: *const T,
    lda: usize,
    panel: *const T,
    c: *mut T,
    ldc: usize,
    add: bool,
) {
    if m == 0 {
        return;
    }
    let kernel = kernel_of::<T>();
    let nr = kernel.nr;
    let height = kernel.height(m);
    for p0 in (0..k).step_by(KC) {
        let kc = KC.min(k - p0);
        let b = panel.add(p0 * nr);
        for i in (0..m).step_by(height) {
            let h = height.min(m - i);
            // Each strip brings its share of what follows nearer, whichever panel that is.
            let next = b.wrapping_add(nr * kc);
            for p in kc * i / m..kc * (i + h) / m {
                micro::prefetch(next.wrapping_add(p * nr));
                micro::prefetch(next.wrapping_add(p * nr + nr / 2));
            }
            (kernel.tile)(&Tile {
                kc,
                a: a.add(i * lda + p0),
                rsa: lda as isize,
                csa: 1,
                b,
                ldb: nr as isize,
                c: c.add(i * ldc),
                ldc: ldc as isize,
                m: h,
                n,
                alpha: T::ONE,
                beta: if add || p0 > 0 { T::ONE } else { T::ZERO },
                epilogue: Epilogue::NONE,
            });
        }
    }
}

/// `C = A B + beta C` for `m` rows of A, `lda` apart with adjacent elements, and some panels of B (the
/// columns `panels` times the kernel's width), whose rows go to where `out` says; its columns are
/// adjacent. The bits are those of [`super::gemm_prepacked`].
///
/// # Safety
/// A holds `m` rows of `b.k()`, C `m` rows of `b.n()`; C overlaps neither; `out.beta` is zero or one.
pub unsafe fn rows_by_packed<T: GemmElement>(
    m: usize,
    a: *const T,
    lda: usize,
    b: &PackedB<T>,
    panels: Range<usize>,
    out: Output<T>,
) {
    let kernel = kernel_of::<T>();
    let (nr, n, k) = (kernel.nr, b.n(), b.k());
    let height = kernel.height(m);
    let padded = n.next_multiple_of(nr);
    for j in panels {
        for p0 in (0..k).step_by(KC) {
            let kc = KC.min(k - p0);
            for i in (0..m).step_by(height) {
                (kernel.tile)(&Tile {
                    kc,
                    a: a.add(i * lda + p0),
                    rsa: lda as isize,
                    csa: 1,
                    b: b.ptr().add(p0 * padded + j * nr * kc),
                    ldb: nr as isize,
                    c: out.ptr.wrapping_offset(i as isize * out.rs + (j * nr) as isize),
                    ldc: out.rs,
                    m: height.min(m - i),
                    n: nr.min(n - j * nr),
                    alpha: out.alpha,
                    beta: if p0 > 0 { T::ONE } else { out.beta },
                    epilogue: if p0 + kc == k { out.epilogue.at(i, j * nr) } else { Epilogue::NONE },
                });
            }
        }
    }
}
