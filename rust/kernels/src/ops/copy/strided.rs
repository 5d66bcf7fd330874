//! Copies of one type between any two layouts: whole runs where both sides have them, small square
//! blocks where one side runs across the other.

use crate::layout::{Dims, Strides};
use crate::multiversion;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Columns of a block that is turned by way of the first-level cache; its rows fill a cache line of
/// the source.
const COLUMNS: usize = 128;
/// Rows of a task.
const ROWS: usize = 256;
/// The side of a block that is copied as it lies.
const SQUARE: usize = 32;
/// The side of a tile that is turned in registers.
const TILE: usize = 8;

/// Copies `src` to `dst`, of the same shape and type, in memory that does not overlap.
pub(super) fn copy(dst: &Tensor, src: &Tensor) {
    let size = dst.dtype().size();
    let (shape, d, s) = collapse(dst, src);
    // SAFETY: the offsets are within the storages.
    let (to, from) = unsafe {
        (
            dst.storage().ptr().add(dst.layout().offset() * size),
            src.storage().ptr().add(src.layout().offset() * size),
        )
    };
    match size {
        1 => copy_words::<MaybeUninit<u8>>(to.cast(), from.cast(), &shape, &d, &s),
        2 => copy_words::<MaybeUninit<u16>>(to.cast(), from.cast(), &shape, &d, &s),
        4 => copy_words::<MaybeUninit<u32>>(to.cast(), from.cast(), &shape, &d, &s),
        _ => copy_words::<MaybeUninit<u64>>(to.cast(), from.cast(), &shape, &d, &s),
    }
}

/// The common shape with as few axes as possible, ordered by the destination's strides.
fn collapse(dst: &Tensor, src: &Tensor) -> (Dims, Strides, Strides) {
    let (mut shape, mut d, mut s) = (Dims::new(), Strides::new(), Strides::new());
    let mut order: SmallVec<[usize; 6]> = (0..dst.ndim()).filter(|&i| dst.shape()[i] != 1).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(dst.strides()[i].unsigned_abs()));
    for axis in order {
        let (n, ds, ss) = (dst.shape()[axis], dst.strides()[axis], src.strides()[axis]);
        if let Some(last) = shape.len().checked_sub(1)
            && d[last] == ds * n as isize
            && s[last] == ss * n as isize
        {
            (shape[last], d[last], s[last]) = (shape[last] * n, ds, ss);
        } else {
            shape.push(n);
            d.push(ds);
            s.push(ss);
        }
    }
    if shape.is_empty() {
        shape.push(1);
        d.push(1);
        s.push(1);
    }
    (shape, d, s)
}

/// Counts through outer axes with the offsets on both sides.
struct Walk<'a> {
    shape: &'a [usize],
    strides: [&'a [isize]; 2],
    index: SmallVec<[usize; 6]>,
    to: isize,
    from: isize,
}

impl<'a> Walk<'a> {
    fn at(mut i: usize, shape: &'a [usize], d: &'a [isize], s: &'a [isize]) -> Walk<'a> {
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, shape.len());
        let (mut to, mut from) = (0, 0);
        for axis in (0..shape.len()).rev() {
            index[axis] = i % shape[axis];
            i /= shape[axis];
            to += index[axis] as isize * d[axis];
            from += index[axis] as isize * s[axis];
        }
        Walk { shape, strides: [d, s], index, to, from }
    }

    /// To the next index; past the last one back to the first.
    fn step(&mut self) {
        for axis in (0..self.index.len()).rev() {
            self.index[axis] += 1;
            let wraps = self.index[axis] == self.shape[axis];
            let by = if wraps { 1 - self.shape[axis] as isize } else { 1 };
            self.to += by * self.strides[0][axis];
            self.from += by * self.strides[1][axis];
            if !wraps {
                return;
            }
            self.index[axis] = 0;
        }
    }
}

fn copy_words<W: Word>(dst: *mut W, src: *mut W, shape: &[usize], d: &[isize], s: &[isize]) {
    let (dst, src) = (SendPtr(dst), SendPtr(src));
    let last = shape.len() - 1;
    let n = shape[last];
    // The axis along which the source steps least.
    let near =
        (0..=last).filter(|&i| s[i] != 0).min_by_key(|&i| (s[i].unsigned_abs(), last - i)).unwrap_or(last);
    // Few columns are worth it where rows are adjacent and many (channels of a picture).
    let wide = n >= 4 || (d[last] == 1 && s[near] == 1 && shape[near] >= 64);
    if near == last || s[last] == 0 || shape[near] < 4 || !wide {
        let rows: usize = shape[..last].iter().product();
        if rows == 1 {
            return for_ranges(n, GRAIN, |range| {
                let at = range.start as isize;
                // SAFETY: the range lies within both rows; ranges are disjoint.
                unsafe {
                    copy_run(
                        dst.get().offset(at * d[last]),
                        d[last],
                        src.get().offset(at * s[last]),
                        s[last],
                        range.len(),
                    )
                }
            });
        }
        return for_ranges(rows, (GRAIN / n).max(1), |range| {
            let mut walk = Walk::at(range.start, &shape[..last], d, s);
            for _ in range {
                // SAFETY: both rows lie within their storages; destination rows are disjoint.
                unsafe {
                    copy_run(dst.get().offset(walk.to), d[last], src.get().offset(walk.from), s[last], n)
                }
                walk.step();
            }
        });
    }
    // Planes of (near, last), cut into tasks that go down a stretch of source rows side by side.
    let rest: SmallVec<[usize; 6]> = (0..last).filter(|&i| i != near).collect();
    let pick = |v: &[isize]| rest.iter().map(|&i| v[i]).collect::<Strides>();
    let outer: Dims = rest.iter().map(|&i| shape[i]).collect();
    let (outer_d, outer_s) = (pick(d), pick(s));
    let m = shape[near];
    let (down, across) = (m.div_ceil(ROWS), n.div_ceil(COLUMNS));
    let planes: usize = outer.iter().product();
    let plane = Plane { d_row: d[near], d_col: d[last], s_row: s[near], s_col: s[last] };
    for_ranges(planes * across * down, (GRAIN / (ROWS.min(m) * COLUMNS.min(n))).max(1), |range| {
        for task in range {
            let walk = Walk::at(task / (across * down), &outer, &outer_d, &outer_s);
            let (row, col) = (task % down * ROWS, task / down % across * COLUMNS);
            // SAFETY: the task's part lies within both storages; parts are disjoint.
            unsafe {
                let (to, from) = plane.at(dst.get().offset(walk.to), src.get().offset(walk.from), row, col);
                copy_part::<W>(to, from, plane, ROWS.min(m - row), COLUMNS.min(n - col));
            }
        }
    });
}

/// Strides of a two-dimensional copy.
#[derive(Clone, Copy)]
struct Plane {
    d_row: isize,
    d_col: isize,
    s_row: isize,
    s_col: isize,
}

impl Plane {
    /// The addresses of an element.
    ///
    /// # Safety
    /// It lies within both.
    #[inline]
    unsafe fn at<W>(self, dst: *mut W, src: *const W, row: usize, col: usize) -> (*mut W, *const W) {
        let (r, c) = (row as isize, col as isize);
        (dst.offset(r * self.d_row + c * self.d_col), src.offset(r * self.s_row + c * self.s_col))
    }
}

#[inline]
unsafe fn copy_run<W: Word>(dst: *mut W, d: isize, src: *const W, s: isize, n: usize) {
    match (d, s) {
        (1, 1) => std::ptr::copy_nonoverlapping(src, dst, n),
        (1, 0) => std::slice::from_raw_parts_mut(dst, n).fill(*src),
        (1, _) => (0..n).for_each(|i| *dst.add(i) = *src.offset(i as isize * s)),
        _ => (0..n).for_each(|i| *dst.offset(i as isize * d) = *src.offset(i as isize * s)),
    }
}

/// Copies `rows` x `cols` elements, at most a task's, block by block.
unsafe fn copy_part<W: Word>(dst: *mut W, src: *const W, p: Plane, rows: usize, cols: usize) {
    if p.d_col != 1 || p.s_row != 1 {
        for row in (0..rows).step_by(SQUARE) {
            for col in (0..cols).step_by(SQUARE) {
                for r in row..rows.min(row + SQUARE) {
                    let (to, from) = p.at(dst, src, r, col);
                    copy_run(to, p.d_col, from, p.s_col, SQUARE.min(cols - col));
                }
            }
        }
        return;
    }
    match cols {
        1 => weave::<W, 1>(dst, p.d_row, src, p.s_col, rows),
        2 => weave::<W, 2>(dst, p.d_row, src, p.s_col, rows),
        3 => weave::<W, 3>(dst, p.d_row, src, p.s_col, rows),
        _ => {
            for row in (0..rows).step_by(LINE / size_of::<W>()) {
                let (to, from) = p.at(dst, src, row, 0);
                turn::<W>(to, p.d_row, from, p.s_col, (rows - row).min(LINE / size_of::<W>()), cols);
            }
        }
    }
}

/// As [`turn`] of a few columns.
#[inline]
unsafe fn weave<W: Word, const N: usize>(dst: *mut W, d: isize, src: *const W, s: isize, rows: usize) {
    for r in 0..rows as isize {
        for c in 0..N as isize {
            *dst.offset(r * d + c) = *src.offset(c * s + r);
        }
    }
}

/// Bytes of a cache line.
const LINE: usize = 64;

multiversion! {
    /// `dst[r * d + c] = src[c * s + r]` for up to a cache line of rows and [`COLUMNS`] columns. The
    /// caller vouches for both.
    ///
    /// The source goes through a buffer: its rows, if far apart by a power of two, fall into few cache
    /// sets, so each of their lines is read once and whole. The destination's are written likewise.
    fn turn<W: Word>(dst: *mut W, d: isize, src: *const W, s: isize, rows: usize, cols: usize) {
        let side = LINE / size_of::<W>();
        let mut near = [W::BLANK; COLUMNS * LINE];
        for (c, line) in near.chunks_exact_mut(side).enumerate().take(cols) {
            // SAFETY: `rows` elements of one run of the source, at most a line.
            unsafe {
                let from = src.offset(c as isize * s);
                if rows == side {
                    let whole = from.cast::<[MaybeUninit<u8>; LINE]>().read_unaligned();
                    line.as_mut_ptr().cast::<[MaybeUninit<u8>; LINE]>().write_unaligned(whole);
                } else {
                    std::ptr::copy_nonoverlapping(from, line.as_mut_ptr(), rows);
                }
            }
        }
        for r0 in (0..rows).step_by(TILE) {
            for c0 in (0..cols).step_by(TILE) {
                let mut tile = [[W::BLANK; TILE]; TILE];
                for c in 0..TILE {
                    let at = (c0 + c) * side + r0;
                    tile[c].copy_from_slice(&near[at..at + TILE]);
                }
                let mut turned = [[W::BLANK; TILE]; TILE];
                for r in 0..TILE {
                    for c in 0..TILE {
                        turned[r][c] = tile[c][r];
                    }
                }
                let whole = c0 + TILE <= cols;
                for (r, line) in turned.iter().enumerate().take(rows - r0) {
                    // SAFETY: within the block, along the destination's row.
                    unsafe {
                        let to = dst.offset((r0 + r) as isize * d).add(c0);
                        if whole {
                            to.cast::<[W; TILE]>().write_unaligned(*line);
                        } else {
                            std::ptr::copy_nonoverlapping(line.as_ptr(), to, cols - c0);
                        }
                    }
                }
            }
        }
    }
}

/// Turns a `rows` x `cols` matrix, whose rows lie `from_step` apart, into a `cols` x `rows` one with rows
/// `to_step` apart, on this thread.
///
/// # Safety
/// Both hold as many elements, and do not overlap.
pub(crate) unsafe fn transpose<T: Copy>(
    dst: *mut T,
    to_step: usize,
    src: *const T,
    from_step: usize,
    rows: usize,
    cols: usize,
) {
    let p = Plane { d_row: to_step as isize, d_col: 1, s_row: 1, s_col: from_step as isize };
    for c in (0..rows).step_by(COLUMNS) {
        let (to, from) = p.at(dst.cast::<MaybeUninit<T>>(), src.cast(), 0, c);
        copy_part(to, from, p, cols, COLUMNS.min(rows - c));
    }
}

/// A machine word that is moved without a look at it, so that it may also be a blank.
trait Word: Copy {
    const BLANK: Self;
}
impl<T: Copy> Word for MaybeUninit<T> {
    const BLANK: Self = MaybeUninit::uninit();
}
