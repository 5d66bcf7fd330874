//! The loop's work: whole instructions, products with packed weights, and chains of elementwise
//! instructions that run over blocks small enough to stay in the first cache.

use super::instr::{Arg, Cut, Instr, Kern};
use super::micro::{Micro, micro, weight};
use super::parse::Meta;
use super::schedule::Source;
use crate::dtype::DType;
use crate::error::Result;
use crate::layout::Dims;
use crate::memory;
use crate::ops::copy;
use crate::ops::elementwise::Binary;
use crate::ops::elementwise::engine::{Arg as Number, Cost, Kernel, Params};
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::collections::HashSet;

/// Elements of a block.
const BLOCK: usize = 512;

pub(super) enum Node {
    Whole(Instr),
    /// A product whose right side is one for all steps.
    Product(Instr),
    Group(Group),
}

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
    shape: Dims,
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
}

/// Puts the instructions of the loop in order, and makes chains of what is elementwise.
pub(super) fn nodes(
    instrs: Vec<Instr>,
    metas: &[Meta],
    home: &[Option<Source>],
    keep: &HashSet<usize>,
) -> Vec<Node> {
    let instrs = with_bias(instrs, metas, home, keep);
    let n = instrs.len();
    let maker = super::schedule::made_by(&instrs);
    let mut waits: Vec<HashSet<usize>> =
        instrs.iter().map(|i| i.reads().filter_map(|s| maker.get(&s).copied()).collect()).collect();
    let mut micros: Vec<Option<Micro>> = instrs.iter().map(|i| fusable(i, metas)).collect();
    let key = |i: usize| {
        let s = instrs[i].makes().next().unwrap_or(0);
        let read = instrs[i].reads().last().map_or(DType::F32, |s| metas[s].dtype);
        (metas[s].shape.clone(), read)
    };
    let mut done = vec![false; n];
    let mut out = Vec::new();
    let finish = |i: usize, done: &mut Vec<bool>, waits: &mut Vec<HashSet<usize>>| {
        done[i] = true;
        for w in waits.iter_mut() {
            w.remove(&i);
        }
    };
    while let Some(first) = (0..n).find(|&i| !done[i] && waits[i].is_empty()) {
        // Whole instructions first, so that chains grow as long as they can.
        if let Some(i) = (0..n).find(|&i| !done[i] && waits[i].is_empty() && micros[i].is_none()) {
            finish(i, &mut done, &mut waits);
            out.push(whole(instrs[i].clone(), metas, home));
            continue;
        }
        let shape = key(first);
        let mut members = Vec::new();
        while let Some(i) =
            (0..n).find(|&i| !done[i] && waits[i].is_empty() && micros[i].is_some() && key(i) == shape)
        {
            finish(i, &mut done, &mut waits);
            members.push(i);
        }
        let chain: Vec<(Micro, usize)> =
            members.iter().filter_map(|&i| Some((micros[i].take()?, instrs[i].makes().next()?))).collect();
        let inside: HashSet<usize> = members.iter().copied().collect();
        let seen: HashSet<usize> = (0..n)
            .filter(|i| !inside.contains(i))
            .flat_map(|i| instrs[i].reads())
            .chain(keep.iter().copied())
            .collect();
        out.push(Node::Group(Group::new(chain, shape.0, metas, &seen)));
    }
    in_place_parts(&mut out, &instrs, metas, keep);
    out
}

/// Lets products add the bias that follows them.
fn with_bias(
    mut instrs: Vec<Instr>,
    metas: &[Meta],
    home: &[Option<Source>],
    keep: &HashSet<usize>,
) -> Vec<Instr> {
    let maker = super::schedule::made_by(&instrs);
    let mut gone = HashSet::new();
    for i in 0..instrs.len() {
        let (Kern::Binary(Binary::Add), [Arg::Slot(a), Arg::Slot(b)]) =
            (&instrs[i].kern, &instrs[i].args[..])
        else {
            continue;
        };
        for (product, bias) in [(*a, *b), (*b, *a)] {
            let used: usize = instrs.iter().flat_map(Instr::reads).filter(|&s| s == product).count();
            let Some(&m) = maker.get(&product) else { continue };
            let fits = used == 1
                && !keep.contains(&product)
                && home[bias] == Some(Source::Constant)
                && metas[bias].shape[..]
                    == metas[product].shape[metas[product].shape.len().saturating_sub(1)..]
                && metas[bias].dtype == metas[product].dtype
                && matches!(instrs[m].args.get(2), None | Some(Arg::Missing))
                && is_product(&instrs[m], metas, home);
            if fits {
                let mut with = instrs[m].clone();
                with.args.truncate(2);
                with.args.push(Arg::Slot(bias));
                with.outs = instrs[i].outs.clone();
                instrs[i] = with;
                gone.insert(m);
                break;
            }
        }
    }
    instrs.into_iter().enumerate().filter(|(i, _)| !gone.contains(i)).map(|(_, instr)| instr).collect()
}

/// Lets chains write their results where they are put together.
fn in_place_parts(nodes: &mut Vec<Node>, instrs: &[Instr], metas: &[Meta], keep: &HashSet<usize>) {
    let mut j = 0;
    while j < nodes.len() {
        if let Some(moves) = parts_of(&nodes[j], &nodes[..j], instrs, metas, keep) {
            let Node::Whole(instr) = nodes.remove(j) else {
                unreachable!("parts are of a whole instruction")
            };
            let Some(whole) = instr.makes().next() else { continue };
            let first = moves.iter().map(|m| m.0).min().unwrap_or(0);
            for (group, store, cuts) in moves {
                let Node::Group(g) = &mut nodes[group] else { continue };
                g.stores[store].part_of = Some((whole, cuts));
                if group == first && !g.opens.contains(&whole) {
                    g.opens.push(whole);
                }
            }
            continue;
        }
        j += 1;
    }
}

/// Of an instruction that puts parts side by side: which chain and store makes each part.
fn parts_of(
    node: &Node,
    before: &[Node],
    instrs: &[Instr],
    metas: &[Meta],
    keep: &HashSet<usize>,
) -> Option<Vec<(usize, usize, Vec<Cut>)>> {
    let Node::Whole(instr) = node else { return None };
    let Kern::Assemble { parts, covered: true, shape } = &instr.kern else { return None };
    let last = shape.len() - 1;
    let mut moves = Vec::new();
    for (arg, cuts) in instr.args.iter().zip(parts) {
        let (Arg::Slot(s), [Cut::Slice(axis, _, _, 1)]) = (arg, &cuts[..]) else { return None };
        let used = instrs.iter().flat_map(Instr::reads).filter(|r| r == s).count();
        if *axis != last || used != 1 || keep.contains(s) || metas[*s].shape.len() != shape.len() {
            return None;
        }
        let place = before.iter().enumerate().find_map(|(i, node)| match node {
            Node::Group(g) => {
                g.stores.iter().position(|st| st.slot == *s && st.part_of.is_none()).map(|k| (i, k))
            }
            _ => None,
        });
        let (group, store) = place?;
        moves.push((group, store, cuts.clone()));
    }
    Some(moves)
}

fn fusable(instr: &Instr, metas: &[Meta]) -> Option<Micro> {
    let out = &metas[instr.makes().next()?].shape;
    if out.iter().product::<usize>() == 0 {
        return None;
    }
    micro(instr, metas)
}

fn whole(instr: Instr, metas: &[Meta], home: &[Option<Source>]) -> Node {
    if is_product(&instr, metas, home) { Node::Product(instr) } else { Node::Whole(instr) }
}

/// Whether it is a product with a right side that is worth packing.
fn is_product(instr: &Instr, metas: &[Meta], home: &[Option<Source>]) -> bool {
    let constant =
        |a: &Arg| matches!(a, Arg::Slot(s) if home[*s] == Some(Source::Constant)) || *a == Arg::Missing;
    let (Some(Arg::Slot(a)), Some(Arg::Slot(b))) = (instr.args.first(), instr.args.get(1)) else {
        return false;
    };
    let (a, b) = (&metas[*a], &metas[*b]);
    let rows: usize = a.shape[..a.shape.len().saturating_sub(1)].iter().product();
    instr.kern.is_product()
        && instr.args[1..].iter().all(constant)
        && b.shape.len() == 2
        && !a.shape.is_empty()
        && rows > crate::ops::matmul::ROWS
        && !b.shape.contains(&0)
        && matches!(a.dtype, DType::F32 | DType::F64)
}

impl Group {
    fn new(chain: Vec<(Micro, usize)>, shape: Dims, metas: &[Meta], seen: &HashSet<usize>) -> Group {
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
        g
    }

    /// Runs the chain. `loads` are its values from outside, `stores` the tensors to write, whose rows
    /// may lie apart.
    pub fn run(&self, loads: &[Tensor], stores: &[Tensor]) -> Result<()> {
        let n: usize = self.shape.iter().product();
        let mut copies: SmallVec<[Tensor; 4]> = SmallVec::new();
        let mut lanes: SmallVec<[Lane; 8]> = SmallVec::new();
        for t in loads {
            lanes.push(match Lane::of(t, &self.shape) {
                Some(lane) => lane,
                None => {
                    let full = t.with_layout(t.layout().broadcast_to("scan", &self.shape)?);
                    copies.push(copy::contiguous("scan", &full)?);
                    Lane::flat(&copies[copies.len() - 1])
                }
            });
        }
        let into: SmallVec<[Lane; 8]> = stores
            .iter()
            .map(|t| Lane::of(t, &self.shape).unwrap_or_else(|| unreachable!("stores are rows")))
            .collect();
        let flat = lanes.iter().chain(&into).all(|l| l.flat);
        // Whole rows to a block, or pieces of one.
        let cols = if flat { n } else { self.shape[self.shape.len() - 1] };
        let per_block = (BLOCK / cols).max(1);
        let pieces = cols.div_ceil(BLOCK);
        let rows = n / cols;
        let blocks = if pieces > 1 { rows * pieces } else { rows.div_ceil(per_block) };
        let scratch = self.registers + loads.len() + stores.len();
        let grain = (GRAIN / (BLOCK.min(n) * self.weight.max(1))).max(1);
        let failed = std::sync::Mutex::new(None);
        for_ranges(blocks, grain, |range| {
            let space = match memory::allocate("scan", (scratch * BLOCK * 8).max(8)) {
                Ok(space) => space,
                Err(e) => {
                    *failed.lock().unwrap_or_else(|p| p.into_inner()) = Some(e);
                    return;
                }
            };
            let buffer = |i: usize| space.as_ptr().wrapping_add(i * BLOCK * 8);
            let mut held = vec![0usize; loads.len()];
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
                        lane.ptr
                            .get()
                            .wrapping_offset((row as isize * lane.row + col as isize) * size as isize)
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
                        buffer(self.registers + loads.len() + i)
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
        });
        match failed.into_inner().unwrap_or_else(|p| p.into_inner()) {
            Some(e) => Err(e),
            None => Ok(()),
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

/// A value from outside as rows of the chain's last axis.
struct Lane {
    ptr: SendPtr<u8>,
    flat: bool,
    row: isize,
    col: isize,
}

impl Lane {
    fn flat(t: &Tensor) -> Lane {
        Lane { ptr: SendPtr(crate::ops::elementwise::engine::base_of(t)), flat: true, row: 0, col: 1 }
    }

    /// None where the leading axes are not one axis of rows, or the last one strides.
    fn of(t: &Tensor, shape: &[usize]) -> Option<Lane> {
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
        Some(Lane { ptr: SendPtr(crate::ops::elementwise::engine::base_of(t)), flat: false, row, col })
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

impl Kern {
    /// Whether the left operand of a product is transposed on the right (a linear layer's weight).
    pub fn transposes(&self) -> bool {
        matches!(self, Kern::Linear)
    }
}
