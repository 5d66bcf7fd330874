//! One operand of an elementwise loop: where its elements lie, and how a piece of it is staged.

use crate::layout::Strides;
use crate::multiversion;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Elements of a staging buffer.
pub(super) const CHUNK: usize = 1024;
/// Elements beyond them that a block of writes may touch.
pub(super) const SLACK: usize = 8;
/// One operand (or the output) of a collapsed loop nest.
pub(super) struct Lane {
    pub ptr: *mut u8,
    pub size: usize,
    pub strides: Strides,
    /// Element `i` lies at `ptr + i`.
    pub linear: bool,
    /// Element `i` equals element `i % period`.
    pub period: usize,
    /// Shares memory with the output.
    pub alias: bool,
}

// SAFETY: lanes point into storages that the operation's tensors keep alive; tasks write disjoint parts.
unsafe impl Sync for Lane {}

#[inline]
pub(crate) fn base(t: &Tensor) -> *mut u8 {
    // SAFETY: the offset is within the storage (or the tensor is empty and never read).
    unsafe { t.storage().ptr().add(t.layout().offset() * t.dtype().size()) }
}

pub(super) fn flat_lane(ptr: *mut u8, size: usize, n: usize, stride: isize) -> Lane {
    let period = if stride == 0 { 1 } else { n };
    Lane { ptr, size, strides: SmallVec::from_slice(&[stride]), linear: stride == 1, period, alias: false }
}

pub(super) fn strided_lane(t: &Tensor, strides: Strides) -> Lane {
    Lane { ptr: base(t), size: t.dtype().size(), strides, linear: false, period: 0, alias: false }
}

macro_rules! by_size {
    ($size:expr, $W:ident => $body:expr) => {
        match $size {
            1 => {
                type $W = u8;
                $body
            }
            2 => {
                type $W = u16;
                $body
            }
            4 => {
                type $W = u32;
                $body
            }
            _ => {
                type $W = u64;
                $body
            }
        }
    };
}

impl Lane {
    /// Copies elements `start..start + n` (indices wrap at the period) into `buffer`.
    pub fn gather(&self, shape: &[usize], start: usize, n: usize, buffer: *mut u8) {
        by_size!(self.size, W => {
            let buffer = buffer.cast::<W>();
            // Whole periods are read once and then repeated within the buffer.
            let once = n.min(self.period);
            self.walk(shape, start, once, |src, stride, at, len| {
                // SAFETY: `walk` stays within the storage, and the buffer holds CHUNK + SLACK elements, n <= CHUNK.
                unsafe { read_run(src.cast::<W>(), stride, buffer.add(at), len) }
            });
            let mut have = once;
            while have < n {
                let more = have.min(n - have);
                // SAFETY: the parts are disjoint and within the buffer; `have` is a multiple of the period.
                unsafe { std::ptr::copy_nonoverlapping(buffer, buffer.add(have), more) };
                have += more;
            }
        });
    }

    /// Copies `n` elements of `buffer` to elements `start..start + n`.
    pub fn scatter(&self, shape: &[usize], start: usize, n: usize, buffer: *const u8) {
        by_size!(self.size, W => {
            let buffer = buffer.cast::<W>();
            self.walk(shape, start, n, |dst, stride, at, len| {
                // SAFETY: as in `gather`; the output's elements are distinct.
                unsafe { write_run(buffer.add(at), dst.cast::<W>(), stride, len) }
            });
        });
    }

    /// Calls `f(pointer, stride in elements, position, length)` for each run of the last axis.
    fn walk(&self, shape: &[usize], start: usize, n: usize, mut f: impl FnMut(*mut u8, isize, usize, usize)) {
        let last = shape.len() - 1;
        let (inner, stride) = (shape[last], self.strides[last]);
        let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, shape.len());
        let (mut rest, mut offset) = (start, 0isize);
        for axis in (0..=last).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
            offset += index[axis] as isize * self.strides[axis];
        }
        let mut done = 0;
        while done < n {
            let len = (inner - index[last]).min(n - done);
            // SAFETY: the offset is that of an element.
            f(unsafe { self.ptr.offset(offset * self.size as isize) }, stride, done, len);
            done += len;
            // To the start of the next row.
            offset -= index[last] as isize * stride;
            index[last] = 0;
            for axis in (0..last).rev() {
                index[axis] += 1;
                offset += self.strides[axis];
                if index[axis] < shape[axis] {
                    break;
                }
                offset -= index[axis] as isize * self.strides[axis];
                index[axis] = 0;
            }
        }
    }
}

multiversion! {
    fn spread<W: Copy>(dst: &mut [MaybeUninit<W>], value: W) {
        dst.fill(MaybeUninit::new(value));
    }
}

#[inline]
unsafe fn read_run<W: Copy>(src: *const W, stride: isize, dst: *mut W, n: usize) {
    match stride {
        1 => std::ptr::copy_nonoverlapping(src, dst, n),
        // Short runs are written in whole blocks; what goes too far is overwritten by the next run,
        // or falls into the buffer's slack.
        0 if n < 64 => {
            (0..n).step_by(SLACK).for_each(|i| dst.add(i).cast::<[W; SLACK]>().write_unaligned([*src; SLACK]))
        }
        0 => spread(std::slice::from_raw_parts_mut(dst.cast::<MaybeUninit<W>>(), n), *src),
        _ => (0..n).for_each(|i| *dst.add(i) = *src.offset(i as isize * stride)),
    }
}

#[inline]
unsafe fn write_run<W: Copy>(src: *const W, dst: *mut W, stride: isize, n: usize) {
    match stride {
        1 => std::ptr::copy_nonoverlapping(src, dst, n),
        _ => (0..n).for_each(|i| *dst.offset(i as isize * stride) = *src.add(i)),
    }
}
