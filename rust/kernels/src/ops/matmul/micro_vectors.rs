//! Products of a few rows with a matrix read in place, over any level's vectors.

use super::GemmElement;
use super::gemm::KC;
use super::micro::Lanes;

/// Vectors of a dot product summed before they join its total.
const BLOCK_OF_LANES: usize = 128;
/// Columns that [`row_times_rows`] takes at most.
pub(super) const CHUNK: usize = 256;

/// Dot products of `m` rows with `n` columns, both adjacent in memory along K.
#[derive(Clone, Copy)]
pub(super) struct Dots<T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub x: *const T,
    pub ldx: isize,
    pub b: *const T,
    pub ldb: isize,
    pub y: *mut T,
    pub ldy: usize,
}

/// Rows by four columns at a time; every sum is the same however they are grouped.
#[inline(always)]
pub(super) unsafe fn dots<V: Lanes>(d: &Dots<V::T>) {
    let mut j = 0;
    while j < d.n {
        let mut part = Dots { b: d.b.wrapping_offset(j as isize * d.ldb), y: d.y.add(j), ..*d };
        let wide = d.n - j >= 4;
        let mut i = 0;
        while i < d.m {
            part.x = d.x.wrapping_offset(i as isize * d.ldx);
            part.y = d.y.add(i * d.ldy + j);
            let rows = (d.m - i).min(4);
            match (rows, wide) {
                (4, true) => dots_tile::<V, 4, 4>(&part),
                (3, true) => dots_tile::<V, 3, 4>(&part),
                (2, true) => dots_tile::<V, 2, 4>(&part),
                (1, true) => dots_tile::<V, 1, 4>(&part),
                (4, false) => dots_tile::<V, 4, 1>(&part),
                (3, false) => dots_tile::<V, 3, 1>(&part),
                (2, false) => dots_tile::<V, 2, 1>(&part),
                _ => dots_tile::<V, 1, 1>(&part),
            }
            i += rows;
        }
        j += if wide { 4 } else { 1 };
    }
}

#[inline(always)]
unsafe fn dots_tile<V: Lanes, const ROWS: usize, const COLS: usize>(d: &Dots<V::T>) {
    let mut total = [[V::zero(); COLS]; ROWS];
    let full = d.k - d.k % V::LANES;
    let mut p = 0;
    let block = BLOCK_OF_LANES * V::LANES;
    // One sum alone would wait for each addition: four of its blocks go side by side.
    while ROWS * COLS == 1 && p + 4 * block <= full {
        let mut acc = [V::zero(); 4];
        for p in (p..p + block).step_by(V::LANES) {
            for i in 0..4 {
                let (x, b) = (V::load_all(d.x.add(p + i * block)), V::load_all(d.b.add(p + i * block)));
                acc[i] = acc[i].mul_add(x, b);
            }
        }
        for i in 0..4 {
            total[0][0] = total[0][0].add(acc[i]);
        }
        p += 4 * block;
    }
    while p < full {
        // A block's sum is added to the total: long sums stay accurate.
        let end = full.min(p + block);
        let mut acc = [[V::zero(); COLS]; ROWS];
        while p < end {
            let mut x = [V::zero(); ROWS];
            for r in 0..ROWS {
                x[r] = V::load_all(d.x.offset(r as isize * d.ldx).add(p));
            }
            for c in 0..COLS {
                let b = V::load_all(d.b.offset(c as isize * d.ldb).add(p));
                for r in 0..ROWS {
                    acc[r][c] = acc[r][c].mul_add(x[r], b);
                }
            }
            p += V::LANES;
        }
        for r in 0..ROWS {
            for c in 0..COLS {
                total[r][c] = total[r][c].add(acc[r][c]);
            }
        }
    }
    for r in 0..ROWS {
        for c in 0..COLS {
            let mut lanes = [V::T::ZERO; 16];
            total[r][c].store_all(lanes.as_mut_ptr());
            let mut width = V::LANES;
            while width > 1 {
                width /= 2;
                for l in 0..width {
                    lanes[l] += lanes[l + width];
                }
            }
            let mut tail = V::T::ZERO;
            for p in full..d.k {
                tail += *d.x.offset(r as isize * d.ldx).add(p) * *d.b.offset(c as isize * d.ldb).add(p);
            }
            *d.y.add(r * d.ldy + c) = lanes[0] + tail;
        }
    }
}

/// Row vector times a matrix whose rows are adjacent in memory, at most CHUNK columns.
#[inline(always)]
pub(super) unsafe fn row_times_rows<V: Lanes>(
    k: usize,
    n: usize,
    x: *const V::T,
    b: *const V::T,
    ldb: isize,
    y: *mut V::T,
) {
    const ROWS: usize = 8;
    for j in 0..n {
        *y.add(j) = V::T::ZERO;
    }
    // Blocks of K are summed apart: long sums stay accurate.
    let mut part = [V::T::ZERO; CHUNK];
    for start in (0..k).step_by(KC) {
        let end = k.min(start + KC);
        part[..n].fill(V::T::ZERO);
        for p in (start..end).step_by(ROWS) {
            let (x, b) = (x.add(p), b.wrapping_offset(p as isize * ldb));
            match end - p {
                0..ROWS => {
                    for r in 0..end - p {
                        add_rows::<V, 1>(
                            n,
                            x.add(r),
                            b.wrapping_offset(r as isize * ldb),
                            ldb,
                            part.as_mut_ptr(),
                        );
                    }
                }
                _ => add_rows::<V, ROWS>(n, x, b, ldb, part.as_mut_ptr()),
            }
        }
        for j in 0..n {
            *y.add(j) += part[j];
        }
    }
}

/// `y += x[r] * row r` for a few rows.
#[inline(always)]
unsafe fn add_rows<V: Lanes, const ROWS: usize>(
    n: usize,
    x: *const V::T,
    b: *const V::T,
    ldb: isize,
    y: *mut V::T,
) {
    let full = n - n % V::LANES;
    let mut xs = [V::zero(); ROWS];
    for r in 0..ROWS {
        xs[r] = V::splat(*x.add(r));
    }
    for j in (0..full).step_by(V::LANES) {
        let mut sum = V::load_all(y.add(j));
        for r in 0..ROWS {
            sum = sum.mul_add(xs[r], V::load_all(b.offset(r as isize * ldb).add(j)));
        }
        sum.store_all(y.add(j));
    }
    for j in full..n {
        for r in 0..ROWS {
            *y.add(j) += *x.add(r) * *b.offset(r as isize * ldb).add(j);
        }
    }
}
