//! Chains of elementwise instructions, run over blocks small enough to stay in the first cache.

use super::instr::{Arg, Cut};
use super::micro::{Micro, weight};
use super::parse::Meta;
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Dims;
use crate::memory;
use crate::ops::elementwise::engine::{Arg as Number, Cost, Kernel, Params, base_of};
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::collections::HashSet;
use std::ops::Range;

/// Elements of a block.
const BLOCK: usize = 512;

#[derive(Clone, Copy)]
enum Place {
    Unused,
    /// Scratch memory.
    Register(usize),
    /// A value from outside the chain.
    Load(usize),
    /// A result that others want to see.
    Store(usize),
    /// A number in every element.
    Splat(usize),
}

struct Op {
    kernel: Kernel,
    params: Params,
    ins: [Place; 3],
    out: Place,
}

/// A result of a chain that others want to see.
pub(super) struct Store {
    pub slot: usize,
    pub dtype: DType,
    /// The value that it is a part of, and which part.
    pub part_of: Option<(usize, Vec<Cut>)>,
}

/// A chain of elementwise instructions of one shape.
pub(super) struct Group {
    pub shape: Dims,
    ops: Vec<Op>,
    pub loads: Vec<usize>,
    load_sizes: Vec<usize>,
    pub stores: Vec<Store>,
    /// Values that this chain makes room for, because it writes the first part of them.
    pub opens: Vec<usize>,
    registers: usize,
    /// One block of each number, eight bytes an element at most.
    splats: Vec<Vec<u64>>,
    weight: usize,
    /// Bytes between buffers: a few more than a block has, so that they do not share lines of the cache.
    buffer: usize,
}

impl Group {
    pub fn new(chain: Vec<(Micro, usize)>, shape: Dims, metas: &[Meta], seen: &HashSet<usize>) -> Group {
        let mut g = Group {
            shape,
            ops: Vec::new(),
            loads: Vec::new(),
            load_sizes: Vec::new(),
            stores: Vec::new(),
            opens: Vec::new(),
            registers: 0,
            splats: Vec::new(),
            weight: chain.iter().map(|(m, _)| weight(m.cost)).sum(),
            buffer: 0,
        };
        let last_use = |slot: usize| chain.iter().rposition(|(m, _)| m.args.contains(&Arg::Slot(slot)));
        let mut places: Vec<(usize, Place)> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        for (at, (m, out)) in chain.iter().enumerate() {
            let mut op =
                Op { kernel: m.kernel, params: m.params, ins: [Place::Unused; 3], out: Place::Unused };
            for (k, arg) in m.args.iter().enumerate().take(3) {
                op.ins[k] = match arg {
                    Arg::Missing => Place::Unused,
                    Arg::Slot(s) => match places.iter().find(|(slot, _)| slot == s) {
                        Some((_, place)) => *place,
                        None => {
                            g.loads.push(*s);
                            g.load_sizes.push(metas[*s].dtype.size());
                            let place = Place::Load(g.loads.len() - 1);
                            places.push((*s, place));
                            place
                        }
                    },
                    Arg::Number(value) => {
                        let Number::Scalar(word, size) = Number::scalar(*value, m.reads[k]) else {
                            unreachable!("a number becomes a word")
                        };
                        if m.cost == Cost::Frequent {
                            op.params.rows.once |= 1 << k;
                        }
                        g.splats.push(splat(word, size));
                        Place::Splat(g.splats.len() - 1)
                    }
                };
            }
            op.out = if seen.contains(out) {
                g.stores.push(Store { slot: *out, dtype: metas[*out].dtype, part_of: None });
                Place::Store(g.stores.len() - 1)
            } else {
                // Never the register of an operand: a kernel's output overlaps none.
                Place::Register(free.pop().unwrap_or_else(|| {
                    g.registers += 1;
                    g.registers - 1
                }))
            };
            places.push((*out, op.out));
            for s in m.args.iter() {
                if let Arg::Slot(s) = s
                    && last_use(*s) == Some(at)
                    && let Some((_, Place::Register(r))) = places.iter().find(|(slot, _)| slot == s)
                    && !free.contains(r)
                {
                    free.push(*r);
                }
            }
            g.ops.push(op);
        }
        let slots = chain.iter().flat_map(|(m, out)| {
            m.args.iter().filter_map(|a| if let Arg::Slot(s) = a { Some(*s) } else { None }).chain([*out])
        });
        let widest = slots.map(|s| metas[s].dtype.size()).max().unwrap_or(8);
        g.buffer = BLOCK * widest + 64;
        g
    }

    /// Bytes that a run needs besides its operands.
    pub fn scratch(&self) -> usize {
        (self.registers + self.loads.len() + self.stores.len()) * self.buffer
    }

    /// Runs the chain. `lanes` are its values from outside, `into` where it writes. Given `scratch`
    /// memory it stays on this thread.
    pub fn run(&self, lanes: &[Lane], into: &[Lane], scratch: Option<*mut u8>) -> Result<()> {
        let n: usize = self.shape.iter().product();
        let flat = lanes.iter().chain(into).all(|l| l.flat);
        // Whole rows to a block, or pieces of one.
        let cols = if flat { n } else { self.shape[self.shape.len() - 1] };
        let per_block = (BLOCK / cols).max(1);
        let cut = Cuts { cols, pieces: cols.div_ceil(BLOCK), per_block, rows: n / cols };
        let blocks = if cut.pieces > 1 { cut.rows * cut.pieces } else { cut.rows.div_ceil(per_block) };
        if let Some(space) = scratch {
            self.blocks(0..blocks, lanes, into, &cut, space);
            return Ok(());
        }
        let grain = (GRAIN / (BLOCK.min(n) * self.weight.max(1))).max(1);
        let failed = std::sync::Mutex::new(None);
        for_ranges(blocks, grain, |range| match memory::allocate("scan", self.scratch().max(8)) {
            Ok(space) => self.blocks(range, lanes, into, &cut, space.as_ptr()),
            Err(e) => *failed.lock().unwrap_or_else(|p| p.into_inner()) = Some(e),
        });
        failed.into_inner().unwrap_or_else(|p| p.into_inner()).map_or(Ok(()), Err)
    }

    /// Some of the blocks.
    fn blocks(&self, range: Range<usize>, lanes: &[Lane], into: &[Lane], cut: &Cuts, space: *mut u8) {
        let Cuts { cols, pieces, per_block, rows } = *cut;
        let buffer = |i: usize| space.wrapping_add(i * self.buffer);
        let mut held: SmallVec<[usize; 8]> = SmallVec::from_elem(0, lanes.len());
        for block in range {
            let (row, col, len) = if pieces > 1 {
                let col = block % pieces * BLOCK;
                (block / pieces, col, BLOCK.min(cols - col))
            } else {
                (block * per_block, 0, per_block.min(rows - block * per_block) * cols)
            };
            let start = row * cols + col;
            let mut from: SmallVec<[*const u8; 8]> = SmallVec::new();
            for (i, lane) in lanes.iter().enumerate() {
                let size = self.load_sizes[i];
                from.push(if lane.flat {
                    lane.ptr.get().wrapping_add(start * size)
                } else if len <= cols && lane.col == 1 {
                    lane.ptr.get().wrapping_offset((row as isize * lane.row + col as isize) * size as isize)
                } else {
                    let to = buffer(self.registers + i);
                    // A row that serves all stays where it is.
                    if lane.row != 0 || pieces > 1 || held[i] < len {
                        // SAFETY: the rows lie within the lane, and a buffer holds a block.
                        unsafe { lane.gather(row, col, cols, len, size, to) };
                        held[i] = len;
                    }
                    to
                });
            }
            // Rows that lie apart are written through a buffer, if there are several.
            let mut to: SmallVec<[*mut u8; 8]> = SmallVec::new();
            for (i, lane) in into.iter().enumerate() {
                let size = self.stores[i].dtype.size() as isize;
                to.push(if lane.flat {
                    lane.ptr.get().wrapping_offset(start as isize * size)
                } else if len <= cols {
                    lane.ptr.get().wrapping_offset((row as isize * lane.row + col as isize) * size)
                } else {
                    buffer(self.registers + lanes.len() + i)
                });
            }
            for op in &self.ops {
                let place = |p: Place| -> *mut u8 {
                    match p {
                        Place::Unused => std::ptr::null_mut(),
                        Place::Register(r) => buffer(r),
                        Place::Load(i) => from[i].cast_mut(),
                        Place::Store(i) => to[i],
                        Place::Splat(i) => self.splats[i].as_ptr().cast_mut().cast(),
                    }
                };
                let ins = op.ins.map(|p| place(p).cast_const());
                (op.kernel)(place(op.out), &ins, &op.params, len);
            }
            for (i, lane) in into.iter().enumerate().filter(|(_, l)| !l.flat && len > cols) {
                let size = self.stores[i].dtype.size();
                for r in 0..len / cols {
                    // SAFETY: rows of the store, of which this task writes its own.
                    unsafe {
                        let at = lane.ptr.get().offset((row + r) as isize * lane.row * size as isize);
                        std::ptr::copy_nonoverlapping(to[i].add(r * cols * size), at, cols * size);
                    }
                }
            }
        }
    }
}

/// A block of one element.
fn splat(word: u64, size: usize) -> Vec<u64> {
    let mut block = vec![0u64; BLOCK * size.max(1) / 8 + 1];
    for i in 0..BLOCK {
        // SAFETY: the block has room for BLOCK elements; an element starts its word.
        unsafe {
            let to = block.as_mut_ptr().cast::<u8>().add(i * size);
            std::ptr::copy_nonoverlapping((&raw const word).cast::<u8>(), to, size);
        }
    }
    block
}

/// How a chain's elements are cut into blocks: whole rows, or pieces of one.
struct Cuts {
    cols: usize,
    pieces: usize,
    per_block: usize,
    rows: usize,
}

/// A value from outside as rows of the chain's last axis.
#[derive(Clone)]
pub(super) struct Lane {
    ptr: SendPtr<u8>,
    flat: bool,
    row: isize,
    col: isize,
}

impl Lane {
    pub fn flat(t: &Tensor) -> Lane {
        Lane { ptr: SendPtr(base_of(t)), flat: true, row: 0, col: 1 }
    }

    /// None where the leading axes are not one axis of rows, or the last one strides.
    pub fn of(t: &Tensor, shape: &[usize]) -> Option<Lane> {
        if t.shape() == shape && t.is_contiguous() {
            return Some(Lane::flat(t));
        }
        let layout = t.layout().broadcast_to("scan", shape).ok()?;
        let strides = layout.strides();
        let last = shape.len().checked_sub(1)?;
        let col = if shape[last] == 1 { 0 } else { strides[last] };
        if col != 0 && col != 1 {
            return None;
        }
        let mut row: Option<(isize, usize)> = None;
        for axis in (0..last).rev().filter(|&a| shape[a] != 1) {
            row = match row {
                None => Some((strides[axis], shape[axis])),
                Some((step, count)) if strides[axis] == step * count as isize => {
                    Some((step, count * shape[axis]))
                }
                _ => return None,
            };
        }
        let row = row.map_or(0, |(step, _)| step);
        Some(Lane { ptr: SendPtr(base_of(t)), flat: false, row, col })
    }

    pub fn ptr(&self) -> *mut u8 {
        self.ptr.get()
    }

    /// The same rows of a tensor of the same layout, so many bytes further on.
    #[inline]
    pub fn moved(&self, bytes: isize) -> Lane {
        Lane { ptr: SendPtr(self.ptr.get().wrapping_offset(bytes)), ..*self }
    }

    /// Copies `len` elements from a row and column on into `to`.
    unsafe fn gather(&self, row: usize, col: usize, cols: usize, len: usize, size: usize, to: *mut u8) {
        let mut done = 0;
        let (mut row, mut col) = (row, col);
        while done < len {
            let run = (cols - col).min(len - done);
            let from =
                self.ptr.get().offset((row as isize * self.row + col as isize * self.col) * size as isize);
            let at = to.add(done * size);
            if self.col == 1 {
                std::ptr::copy_nonoverlapping(from, at, run * size);
            } else {
                match size {
                    1 => fill::<u8>(from, at, run),
                    2 => fill::<u16>(from, at, run),
                    4 => fill::<u32>(from, at, run),
                    _ => fill::<u64>(from, at, run),
                }
            }
            done += run;
            (row, col) = (row + 1, 0);
        }
    }
}

/// `n` times the element at `from`.
unsafe fn fill<W: Copy>(from: *const u8, to: *mut u8, n: usize) {
    std::slice::from_raw_parts_mut(to.cast::<W>(), n).fill(*from.cast::<W>());
}
