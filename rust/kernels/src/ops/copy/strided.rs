//! Copies of one type between any two layouts: whole runs where both sides have them, small square
//! blocks where one side runs across the other.

use crate::layout::{Dims, Strides};
use crate::multiversion;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// The side of a block: its rows on both sides stay in the first-level cache.
const BLOCK: usize = 32;
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
        1 => copy_words::<u8>(to.cast(), from.cast(), &shape, &d, &s),
        2 => copy_words::<u16>(to.cast(), from.cast(), &shape, &d, &s),
        4 => copy_words::<u32>(to.cast(), from.cast(), &shape, &d, &s),
        _ => copy_words::<u64>(to.cast(), from.cast(), &shape, &d, &s),
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

/// The offsets of outer index `i` on both sides.
fn offsets(mut i: usize, shape: &[usize], d: &[isize], s: &[isize]) -> (isize, isize) {
    let (mut to, mut from) = (0, 0);
    for axis in (0..shape.len()).rev() {
        let k = (i % shape[axis]) as isize;
        i /= shape[axis];
        to += k * d[axis];
        from += k * s[axis];
    }
    (to, from)
}

fn copy_words<W: Word>(dst: *mut W, src: *mut W, shape: &[usize], d: &[isize], s: &[isize]) {
    let (dst, src) = (SendPtr(dst), SendPtr(src));
    let last = shape.len() - 1;
    let n = shape[last];
    // The axis along which the source steps least.
    let near =
        (0..=last).filter(|&i| s[i] != 0).min_by_key(|&i| (s[i].unsigned_abs(), last - i)).unwrap_or(last);
    if near == last || s[last] == 0 || shape[near] < 4 || n < 4 {
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
            for row in range {
                let (to, from) = offsets(row, &shape[..last], d, s);
                // SAFETY: both rows lie within their storages; destination rows are disjoint.
                unsafe { copy_run(dst.get().offset(to), d[last], src.get().offset(from), s[last], n) }
            }
        });
    }
    // Planes of (near, last), cut into strips of BLOCK rows of the destination.
    let rest: SmallVec<[usize; 6]> = (0..last).filter(|&i| i != near).collect();
    let pick = |v: &[isize]| rest.iter().map(|&i| v[i]).collect::<Strides>();
    let outer: Dims = rest.iter().map(|&i| shape[i]).collect();
    let (outer_d, outer_s) = (pick(d), pick(s));
    let m = shape[near];
    let strips = m.div_ceil(BLOCK);
    let planes: usize = outer.iter().product();
    let plane = Plane { d_row: d[near], d_col: d[last], s_row: s[near], s_col: s[last] };
    for_ranges(planes * strips, (GRAIN / (BLOCK.min(m) * n)).max(1), |range| {
        for task in range {
            let (to, from) = offsets(task / strips, &outer, &outer_d, &outer_s);
            let row = task % strips * BLOCK;
            // SAFETY: the strip lies within both storages; strips are disjoint.
            unsafe {
                let to = dst.get().offset(to + row as isize * plane.d_row);
                let from = src.get().offset(from + row as isize * plane.s_row);
                copy_strip::<W>(to, from, plane, BLOCK.min(m - row), n);
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

#[inline]
unsafe fn copy_run<W: Copy>(dst: *mut W, d: isize, src: *const W, s: isize, n: usize) {
    match (d, s) {
        (1, 1) => std::ptr::copy_nonoverlapping(src, dst, n),
        (1, 0) => std::slice::from_raw_parts_mut(dst.cast::<std::mem::MaybeUninit<W>>(), n)
            .fill(std::mem::MaybeUninit::new(*src)),
        (1, _) => (0..n).for_each(|i| *dst.add(i) = *src.offset(i as isize * s)),
        _ => (0..n).for_each(|i| *dst.offset(i as isize * d) = *src.offset(i as isize * s)),
    }
}

/// Copies `rows` x `cols` elements, block by block.
unsafe fn copy_strip<W: Word>(dst: *mut W, src: *const W, p: Plane, rows: usize, cols: usize) {
    let dense = p.d_col == 1 && p.s_row == 1;
    for col in (0..cols).step_by(BLOCK) {
        let width = BLOCK.min(cols - col);
        let (dst, src) = (dst.offset(col as isize * p.d_col), src.offset(col as isize * p.s_col));
        if dense && rows == BLOCK && width == BLOCK {
            turn_block::<W>(dst, p.d_row, src, p.s_col);
            continue;
        }
        for r in 0..rows as isize {
            copy_run(dst.offset(r * p.d_row), p.d_col, src.offset(r * p.s_row), p.s_col, width);
        }
    }
}

multiversion! {
    /// `dst[r * d + c] = src[c * s + r]` for a whole block. The caller vouches for both.
    fn turn_block<W: Word>(dst: *mut W, d: isize, src: *const W, s: isize) {
        for r0 in (0..BLOCK).step_by(TILE) {
            for c0 in (0..BLOCK).step_by(TILE) {
                let mut tile = [[W::default(); TILE]; TILE];
                for (c, line) in tile.iter_mut().enumerate() {
                    // SAFETY: within the block; TILE elements run along the source's row.
                    *line = unsafe { src.offset((c0 + c) as isize * s).add(r0).cast::<[W; TILE]>().read_unaligned() };
                }
                let mut turned = [[W::default(); TILE]; TILE];
                for r in 0..TILE {
                    for c in 0..TILE {
                        turned[r][c] = tile[c][r];
                    }
                }
                for (r, line) in turned.iter().enumerate() {
                    // SAFETY: as above, along the destination's row.
                    unsafe { dst.offset((r0 + r) as isize * d).add(c0).cast::<[W; TILE]>().write_unaligned(*line) };
                }
            }
        }
    }
}

/// A machine word that is moved without a look at it.
trait Word: Copy + Default {}
impl<W: Copy + Default> Word for W {}
