//! The loop's products: weights packed once for all steps, and the parts of the batch side by side.

use super::env::{Env, absent};
use super::fuse::Node;
use super::group::Lane;
use super::instr::{Arg, reshape};
use super::steps::{Left, Loop};
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise::{Binary, binary};
use crate::ops::matmul::{
    Epilogue, GemmElement, Output, PackedB, Strided, gemm_prepacked, kernel_of, rows_by_packed,
};
use crate::ops::{copy, shape};
use crate::parallel::for_each;
use crate::tensor::Tensor;
use std::ops::Range;
use std::sync::Mutex;

/// A constant right side of a product, packed once.
pub(super) enum Packed {
    Single(PackedB<f32>, Option<Tensor>),
    Double(PackedB<f64>, Option<Tensor>),
}

impl Packed {
    /// Rows and columns of the right side.
    pub fn sizes(&self) -> (usize, usize) {
        match self {
            Packed::Single(b, _) => (b.k(), b.n()),
            Packed::Double(b, _) => (b.k(), b.n()),
        }
    }

    /// Panels that the columns are packed in.
    pub fn panels(&self) -> usize {
        match self {
            Packed::Single(b, _) => b.n().div_ceil(kernel_of::<f32>().nr),
            Packed::Double(b, _) => b.n().div_ceil(kernel_of::<f64>().nr),
        }
    }

    /// The product of a value, in place of `out` or added to it.
    pub fn multiply(&self, x: &Tensor, out: &Tensor, add: bool) -> Result<()> {
        match self {
            Packed::Single(b, bias) => multiply(x, b, bias.as_ref(), out, add),
            Packed::Double(b, bias) => multiply(x, b, bias.as_ref(), out, add),
        }
    }

    /// The product of `m` rows on this thread, or some panels of it. Rows are given with the elements from one
    /// to the next; their columns are adjacent.
    pub fn rows(&self, m: usize, x: (&Lane, usize), out: (&Lane, usize), panels: Range<usize>, add: bool) {
        match self {
            Packed::Single(b, bias) => rows(m, x, b, bias.as_ref(), out, panels, add),
            Packed::Double(b, bias) => rows(m, x, b, bias.as_ref(), out, panels, add),
        }
    }
}

impl Env<'_> {
    fn packs(&self, nodes: &[Node]) -> Result<Vec<Option<Packed>>> {
        let one = |node: &Node| -> Result<Option<Packed>> {
            let (Node::Product(instr) | Node::Ahead(instr)) = node else { return Ok(None) };
            let Arg::Slot(right) = instr.args[1] else { return Ok(None) };
            let w = self.whole(right)?;
            let bias = match instr.args.get(2) {
                Some(Arg::Slot(s)) => Some(copy::contiguous("linear", self.whole(*s)?)?),
                _ => None,
            };
            Ok(Some(match w.dtype() {
                DType::F32 => Packed::Single(pack(w, instr.kern.transposes())?, bias),
                _ => Packed::Double(pack(w, instr.kern.transposes())?, bias),
            }))
        };
        nodes.iter().map(one).collect()
    }

    /// Runs the steps, in reverse order if asked to, with `carried` at the start.
    pub fn body(&mut self, carried: Vec<Tensor>, reverse: bool) -> Result<Left> {
        let plan = self.plan;
        let parts = &plan.body;
        // Few rows have products of another kind, which are not packed: each variant has its own nodes.
        let packs = parts.variants.iter().map(|v| self.packs(&v.nodes)).collect::<Result<Vec<_>>>()?;
        self.make_room(reverse)?;
        let env = &*self;
        let one = |(rows, number): &(Option<Range<usize>>, usize)| -> Result<Left> {
            let variant = &parts.variants[*number];
            let mut part = Loop::new(env, rows.clone(), &variant.metas, reverse);
            let start = carried.iter().map(|t| part.mine(t.clone())).collect();
            part.run(&variant.nodes, &packs[*number], start)
        };
        if let [all] = &parts.ranges[..] {
            return one(all);
        }
        let done: Vec<Mutex<Option<Result<Left>>>> = parts.ranges.iter().map(|_| Mutex::new(None)).collect();
        for_each(parts.ranges.len(), |i| {
            let left = one(&parts.ranges[i]);
            *done[i].lock().unwrap_or_else(|p| p.into_inner()) = Some(left);
        });
        let mut lefts = Vec::new();
        for left in done {
            lefts.push(left.into_inner().unwrap_or_else(|p| p.into_inner()).ok_or_else(absent)??);
        }
        // Rows of carried values stand side by side; shares of totals are added in order.
        let mut all = Left { carried: Vec::new(), sums: Vec::new() };
        for i in 0..plan.carries.len() {
            let rows: Vec<&Tensor> = lefts.iter().map(|l| &l.carried[i]).collect();
            all.carried.push(shape::cat(&rows, 0)?);
        }
        for i in 0..plan.totals.len() {
            let mut sum: Option<Tensor> = None;
            for share in lefts.iter().filter_map(|l| l.sums[i].as_ref()) {
                sum = Some(match sum {
                    None => share.clone(),
                    Some(have) => binary(Binary::Add, (&have).into(), share.into(), Some(&have))?,
                });
            }
            all.sums.push(sum);
        }
        Ok(all)
    }
}

fn pack<T: GemmElement>(w: &Tensor, transposed: bool) -> Result<PackedB<T>> {
    let (line, k) = if transposed { (0, 1) } else { (1, 0) };
    let right = Strided { ptr: w.ptr::<T>().cast_const(), line: w.strides()[line], k: w.strides()[k] };
    // SAFETY: the layout stays within its storage.
    unsafe { PackedB::new("scan", &right, w.shape()[k], w.shape()[line]) }
}

fn to<T: GemmElement>(ptr: *mut T, row: usize, bias: Option<&Tensor>, add: bool) -> Output<T> {
    let col_bias = bias.map_or(std::ptr::null(), |b| b.ptr::<T>().cast_const());
    let epilogue = Epilogue { col_bias, ..Epilogue::NONE };
    Output { alpha: T::ONE, beta: if add { T::ONE } else { T::ZERO }, ptr, rs: row as isize, cs: 1, epilogue }
}

fn rows<T: GemmElement>(
    m: usize,
    (x, row): (&Lane, usize),
    b: &PackedB<T>,
    bias: Option<&Tensor>,
    (out, out_row): (&Lane, usize),
    panels: Range<usize>,
    add: bool,
) {
    let out = to(out.ptr().cast::<T>(), out_row, bias, add);
    // SAFETY: the lanes hold so many rows of either matrix; the output is nobody else's.
    unsafe { rows_by_packed(m, x.ptr().cast::<T>().cast_const(), row, b, panels, out) }
}

fn multiply<T: GemmElement>(
    x: &Tensor,
    b: &PackedB<T>,
    bias: Option<&Tensor>,
    out: &Tensor,
    add: bool,
) -> Result<()> {
    let (k, n) = (b.k(), b.n());
    let rows = out.numel() / n;
    let x = reshape(x, &[rows, k])?;
    let left = Strided { ptr: x.ptr::<T>().cast_const(), line: x.strides()[0], k: x.strides()[1] };
    let row = out.layout().reshape(&[rows, n]).map_or(n as isize, |l| l.strides()[0]);
    let out = to(out.ptr::<T>(), row as usize, bias, add);
    // SAFETY: the layouts stay within their storages; the output has adjacent columns and is nobody else's.
    unsafe { gemm_prepacked(rows, &left, b, out) };
    Ok(())
}
