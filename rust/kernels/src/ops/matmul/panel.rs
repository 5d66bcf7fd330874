//! Products of rows with one packed panel, on the calling thread: what a step of a recurrent layer
//! is made of.

use super::GemmElement;
use super::gemm::{KC, kernel_of};
use super::micro::{self, Epilogue, Tile};

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
    let height = m.div_ceil(m.div_ceil(kernel.mr));
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
