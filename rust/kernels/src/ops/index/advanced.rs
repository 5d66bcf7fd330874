//! Advanced indexing `x[i, :, j]` with index tensors and masks; rows by number.

use super::put::{Add, Combine, Set, combine_run};
use super::{Walk, flat_nonzero, for_width, int64_index, nonzero, out_of_range, raw};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::for_compute_types;
use crate::layout::{Dims, Layout, broadcast_shapes, normalize_axis};
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// An indexed layout, resolved: element `[o, b, a]` of the result lies at
/// `before(o) + offsets[b] + after(a)`.
struct Plan {
    before: (Dims, SmallVec<[isize; 6]>),
    middle: Dims,
    after: (Dims, SmallVec<[isize; 6]>),
    /// int64, one for each element of `middle`.
    offsets: Tensor,
    /// Whether the offsets are known to differ (they come from one mask).
    distinct: bool,
}

/// What of an index list falls on which axis of `layout` (whose axes may have been folded for a mask).
struct Indexed {
    layout: Layout,
    index: SmallVec<[(usize, Tensor); 4]>,
    /// The axis each layout axis was before folding, for messages.
    name: SmallVec<[usize; 6]>,
    /// Index tensors given, and whether a mask is among them.
    given: usize,
    masked: bool,
}

impl Plan {
    fn shape(&self) -> Dims {
        self.before.0.iter().chain(&self.middle).chain(&self.after.0).copied().collect()
    }
}

/// Folds axes `axis .. axis + n` into one where their strides allow it.
fn fold(layout: &Layout, axis: usize, n: usize) -> Option<Layout> {
    let (shape, strides) = (layout.shape(), layout.strides());
    let fits = (axis..axis + n - 1).all(|a| strides[a] == strides[a + 1] * shape[a + 1] as isize);
    fits.then(|| {
        let mut new_shape: Dims = shape.into();
        let mut new_strides: SmallVec<[isize; 6]> = strides.into();
        new_shape[axis + n - 1] = shape[axis..axis + n].iter().product();
        new_shape.drain(axis..axis + n - 1);
        new_strides.drain(axis..axis + n - 1);
        Layout::new(new_shape, new_strides, layout.offset())
    })
}

/// Assigns each index to its axis and turns masks into int64 indices.
fn assign(op: &'static str, layout: &Layout, indices: &[Option<&Tensor>]) -> Result<Indexed> {
    let mut out = Indexed {
        layout: layout.clone(),
        index: SmallVec::new(),
        name: (0..layout.ndim()).collect(),
        given: 0,
        masked: false,
    };
    let mut axis = 0;
    let mut used = 0;
    for index in indices {
        let Some(t) = index else {
            axis += 1;
            used += 1;
            continue;
        };
        t.expect_cpu(op)?;
        out.given += 1;
        out.masked |= t.dtype() == DType::Bool;
        if t.dtype() != DType::Bool {
            out.index.push((axis, int64_index(op, t)?));
            axis += 1;
            used += 1;
            continue;
        }
        let m = t.ndim();
        if m == 0 {
            // A single bool adds an axis of size 0 or 1.
            let n = flat_nonzero(op, t)?.numel();
            if axis > out.layout.ndim() {
                return Err(too_many(op, axis, layout));
            }
            out.layout = out.layout.unsqueeze(axis);
            out.name.insert(axis, used);
            out.index.push((axis, Tensor::zeros(op, &[n], DType::I64)?));
            axis += 1;
            continue;
        }
        used += m;
        if axis + m > out.layout.ndim() {
            return Err(too_many(op, used, layout));
        }
        let there = &out.layout.shape()[axis..axis + m];
        if there != t.shape() {
            return Err(Error::index(
                op,
                format!(
                    "the mask of shape {:?} does not fit the tensor of shape {:?} at axis {}: expected a mask of shape {there:?}",
                    t.shape(),
                    layout.shape(),
                    used - m,
                ),
            ));
        }
        if let Some(folded) = fold(&out.layout, axis, m) {
            out.layout = folded;
            out.name.drain(axis + 1..axis + m);
            out.index.push((axis, flat_nonzero(op, t)?));
            axis += 1;
        } else {
            let places = nonzero(t)?;
            for j in 0..m {
                out.index.push((axis, places.with_layout(places.layout().select(1, j))));
                axis += 1;
            }
        }
    }
    if axis > out.layout.ndim() {
        return Err(too_many(op, used, layout));
    }
    Ok(out)
}

#[cold]
fn too_many(op: &'static str, count: usize, layout: &Layout) -> Error {
    Error::index(
        op,
        format!(
            "too many indices: {count} for a tensor of {} axes with shape {:?}",
            layout.ndim(),
            layout.shape()
        ),
    )
}

/// Adds `index * stride` to the offsets (or sets them), checking every index.
fn add_offsets(
    op: &'static str,
    index: &Tensor,
    offsets: &Tensor,
    (axis, size, stride): (usize, usize, isize),
    negative: bool,
    first: bool,
) -> Result<()> {
    let n = index.numel();
    let bad = AtomicBool::new(false);
    // SAFETY: `index` is row-major int64, and nothing in this call writes to it.
    let index = unsafe { index.as_slice::<i64>() };
    let out = SendPtr(offsets.ptr::<i64>());
    for_ranges(n, GRAIN, |range| {
        // SAFETY: ranges are disjoint parts of the fresh offsets.
        let out = unsafe { std::slice::from_raw_parts_mut(out.get().add(range.start), range.len()) };
        let mut any = false;
        for (o, &i) in out.iter_mut().zip(&index[range]) {
            let i = if negative && i < 0 { i.wrapping_add(size as i64) } else { i };
            any |= i as u64 >= size as u64;
            *o = i.wrapping_mul(stride as i64).wrapping_add(if first { 0 } else { *o });
        }
        if any {
            bad.store(true, Relaxed);
        }
    });
    if bad.load(Relaxed) {
        let low = if negative { -(size as i64) } else { 0 };
        let culprit = index.iter().copied().find(|&i| i < low || i >= size as i64).unwrap_or_default();
        return Err(out_of_range(op, culprit, axis, size, negative));
    }
    Ok(())
}

fn plan(op: &'static str, indexed: Indexed, negative: bool) -> Result<Plan> {
    let Indexed { layout, index, name, given, masked } = indexed;
    let mut middle: Dims = SmallVec::new();
    for (_, t) in &index {
        middle = broadcast_shapes(op, &middle, t.shape()).map_err(|_| {
            let shapes: Vec<_> = index.iter().map(|(_, t)| format!("{:?}", t.shape())).collect();
            Error::index(
                op,
                format!("index tensors of shapes {} do not broadcast together", shapes.join(", ")),
            )
        })?;
    }
    let n = crate::layout::checked_numel(op, &middle)?;
    let offsets = if index.is_empty() {
        Tensor::zeros(op, &[n], DType::I64)?
    } else {
        Tensor::empty(op, &[n], DType::I64)?
    };
    for (k, (axis, t)) in index.iter().enumerate() {
        let t = copy::contiguous(op, &t.with_layout(t.layout().broadcast_to(op, &middle)?))?;
        let place = (name[*axis], layout.shape()[*axis], layout.strides()[*axis]);
        add_offsets(op, &t, &offsets, place, negative, k == 0)?;
    }
    let is_indexed = |a: usize| index.iter().any(|(axis, _)| *axis == a);
    let (first, last) = match (index.first(), index.last()) {
        (Some(f), Some(l)) => (f.0, l.0),
        _ => (0, 0),
    };
    let adjacent = index.is_empty() || last - first + 1 == index.len();
    let mut out = Plan {
        before: Default::default(),
        middle,
        after: Default::default(),
        offsets,
        distinct: masked && given == 1,
    };
    for a in (0..layout.ndim()).filter(|&a| !is_indexed(a)) {
        let side = if adjacent && a < first { &mut out.before } else { &mut out.after };
        side.0.push(layout.shape()[a]);
        side.1.push(layout.strides()[a]);
    }
    crate::layout::checked_numel(op, &out.shape())?;
    Ok(out)
}

/// Reads the planned elements of `x` into a new tensor.
fn read(op: &'static str, x: &Tensor, plan: &Plan) -> Result<Tensor> {
    let out = Tensor::empty(op, &plan.shape(), x.dtype())?;
    if out.numel() == 0 {
        return Ok(out);
    }
    for_width!(x.dtype(), T => read_typed::<T>(x, plan, &out));
    Ok(out)
}

fn read_typed<T: Copy>(x: &Tensor, plan: &Plan, out: &Tensor) {
    let before = Walk::new(&plan.before.0, [&plan.before.1]);
    let mut after = Walk::new(&plan.after.0, [&plan.after.1]);
    let (run, [step]) = after.pop();
    let (no, nb, na) = (before.numel(), plan.offsets.numel(), after.numel());
    // SAFETY: row-major int64 that this call owns.
    let offsets = unsafe { plan.offsets.as_slice::<i64>() };
    let (src, dst) = (SendPtr(raw::<T>(x)), SendPtr(raw::<T>(out)));
    if run == 1 && na == 1 {
        // Single elements: the index list is the inner loop.
        for_ranges(no * nb, GRAIN, |range| {
            let mut at = range.start;
            while at < range.end {
                let (o, b) = (at / nb, at % nb);
                let n = (nb - b).min(range.end - at);
                // SAFETY: offsets were checked against the layout; ranges of `out` are disjoint.
                unsafe {
                    let base = src.get().offset(before.at(o)[0]);
                    let to = std::slice::from_raw_parts_mut(dst.get().add(at), n);
                    for (d, &off) in to.iter_mut().zip(&offsets[b..b + n]) {
                        *d = *base.offset(off as isize);
                    }
                }
                at += n;
            }
        });
        return;
    }
    for_ranges(no * nb * na, (GRAIN / run).max(1), |range| {
        let (mut a, mut b, mut o) = (range.start % na, range.start / na % nb, range.start / na / nb);
        let mut base = before.at(o)[0];
        for row in range {
            // SAFETY: as above; each row of `out` has one writer.
            unsafe {
                let from = src.get().offset(base + offsets[b] as isize + after.at(a)[0]);
                let to = dst.get().add(row * run);
                if step == 1 {
                    std::ptr::copy_nonoverlapping(from, to, run);
                } else {
                    for i in 0..run {
                        *to.add(i) = *from.offset(i as isize * step);
                    }
                }
            }
            a += 1;
            if a == na {
                a = 0;
                b += 1;
                if b == nb {
                    b = 0;
                    o += 1;
                    base = before.at(o)[0];
                }
            }
        }
    });
}

/// Combines `value` (already of `dst`'s dtype, sharing no memory with it) into the planned elements.
fn write<T: Copy + Send + Sync, C: Combine<T>>(
    op: &'static str,
    dst: &Tensor,
    plan: &Plan,
    value: &Tensor,
) -> Result<()> {
    let from = value.layout().broadcast_to(op, &plan.shape())?;
    if from.numel() == 0 {
        return Ok(());
    }
    let (v_before, rest) = from.strides().split_at(plan.before.0.len());
    let (v_middle, v_after) = rest.split_at(plan.middle.len());
    let before = Walk::new(&plan.before.0, [&plan.before.1, v_before]);
    let middle = Walk::new(&plan.middle, [v_middle]);
    let mut after = Walk::new(&plan.after.0, [&plan.after.1, v_after]);
    let (run, [ds, ss]) = after.pop();
    let (no, nb, na) = (before.numel(), plan.offsets.numel(), after.numel());
    // SAFETY: row-major int64 that this call owns.
    let offsets = unsafe { plan.offsets.as_slice::<i64>() };
    let (to, from) = (SendPtr(raw::<T>(dst)), SendPtr(raw::<T>(value)));
    let each = run * na;
    let one = each == 1;
    if let (true, (_, [vs]), 0) = (one || plan.distinct, middle.clone().pop(), middle.dims_above()) {
        // Stretches of the index list, whole where a target may come twice.
        let vs = if nb == 1 { 0 } else { vs };
        let piece = if plan.distinct { (GRAIN / each).max(1).min(nb) } else { nb };
        let pieces = nb.div_ceil(piece);
        for_ranges(no * pieces, (GRAIN / (piece * each)).max(1), |range| {
            for task in range {
                let (o, start) = (task / pieces, task % pieces * piece);
                let [d0, s0] = before.at(o);
                let part = &offsets[start..(start + piece).min(nb)];
                // SAFETY: offsets were checked against the layout; a target belongs to one task.
                unsafe {
                    let (d, s) = (to.get().offset(d0), from.get().offset(s0 + start as isize * vs));
                    for (b, &off) in part.iter().enumerate() {
                        let (d, s) = (d.offset(off as isize), s.offset(b as isize * vs));
                        if one {
                            *d = C::combine(*d, *s);
                            continue;
                        }
                        after.each(0..na, |_, [da, sa]| {
                            combine_run::<T, C>(d.offset(da), ds, s.offset(sa), ss, run)
                        });
                    }
                }
            }
        });
        return Ok(());
    }
    // Equal targets must be written in the order of their indices. So each task takes the targets
    // of one bucket, whole, and walks the list in order.
    let buckets = if each < 16 { 1 } else { (nb * each / GRAIN).clamp(1, 16) };
    let grain = (GRAIN / (nb * each).div_ceil(buckets).max(1)).max(1);
    for_ranges(no * buckets, grain, |range| {
        for task in range {
            let (o, bucket) = (task / buckets, task % buckets);
            let [d0, s0] = before.at(o);
            for (b, &off) in offsets.iter().enumerate() {
                if buckets > 1 && bucket_of(off, buckets) != bucket {
                    continue;
                }
                let s1 = s0 + middle.at(b)[0];
                for a in 0..na {
                    let [da, sa] = after.at(a);
                    // SAFETY: offsets were checked against the layout; a target belongs to one task.
                    unsafe {
                        let d = to.get().offset(d0 + off as isize + da);
                        combine_run::<T, C>(d, ds, from.get().offset(s1 + sa), ss, run);
                    }
                }
            }
        }
    });
    Ok(())
}

#[inline]
fn bucket_of(offset: i64, buckets: usize) -> usize {
    let mixed = (offset as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    ((mixed * buckets as u64) >> 32) as usize
}

fn combine(op: &'static str, dst: &Tensor, plan: &Plan, value: &Tensor, accumulate: bool) -> Result<()> {
    if accumulate {
        for_compute_types!(op, dst.dtype(), T => write::<T, Add>(op, dst, plan, value))
    } else {
        for_width!(dst.dtype(), T => write::<T, Set>(op, dst, plan, value))
    }
}

/// `x[indices]`: one entry an axis from the first on, `None` for a full slice. Index tensors
/// broadcast together; a mask takes as many axes as it has.
pub fn index_get(x: &Tensor, indices: &[Option<&Tensor>]) -> Result<Tensor> {
    let op = "index";
    x.expect_cpu(op)?;
    let plan = plan(op, assign(op, x.layout(), indices)?, true)?;
    read(op, x, &plan)
}

/// `dst[indices] = value`, or `+=` where `accumulate`; of equal targets the last one wins.
pub fn index_put(dst: &Tensor, indices: &[Option<&Tensor>], value: &Tensor, accumulate: bool) -> Result<()> {
    let op = "index_put";
    dst.expect_cpu(op)?;
    value.expect_cpu(op)?;
    dst.expect_writable(op)?;
    let plan = plan(op, assign(op, dst.layout(), indices)?, true)?;
    let shape = plan.shape();
    if value.layout().broadcast_to(op, &shape).is_err() {
        // PyTorch lets a value drop leading axes of size 1.
        let extra = value.ndim().saturating_sub(shape.len());
        let axes: SmallVec<[usize; 6]> = (0..extra).collect();
        let droppable = extra > 0 && value.shape()[..extra].iter().all(|&d| d == 1);
        let squeezed = value.with_layout(value.layout().squeeze(&axes));
        if droppable && squeezed.layout().broadcast_to(op, &shape).is_ok() {
            return put(op, dst, &plan, &squeezed, accumulate);
        }
        return Err(Error::shape(
            op,
            format!("a value of shape {:?} does not broadcast to the indexed shape {shape:?}", value.shape()),
        ));
    }
    put(op, dst, &plan, value, accumulate)
}

fn put(op: &'static str, dst: &Tensor, plan: &Plan, value: &Tensor, accumulate: bool) -> Result<()> {
    let mut value = copy::cast(op, value, dst.dtype())?;
    if value.overlaps(dst) {
        value = copy::clone(op, &value)?;
    }
    combine(op, dst, plan, &value, accumulate)?;
    dst.storage().bump_version();
    Ok(())
}

/// The gradient of [`index_get`]: zeros with `g` added at the indexed places.
pub fn index_get_grad(g: &Tensor, input_shape: &[usize], indices: &[Option<&Tensor>]) -> Result<Tensor> {
    let op = "index_backward";
    g.expect_cpu(op)?;
    let out = zeros_parallel(op, input_shape, g.dtype())?;
    let plan = plan(op, assign(op, out.layout(), indices)?, true)?;
    if plan.shape().as_slice() != g.shape() {
        return Err(Error::shape(
            op,
            format!(
                "the gradient has shape {:?}, expected the indexed shape {:?}",
                g.shape(),
                plan.shape().as_slice()
            ),
        ));
    }
    combine(op, &out, &plan, g, true)?;
    Ok(out)
}

/// Zeros, written by several threads where the tensor is large.
pub(crate) fn zeros_parallel(op: &'static str, shape: &[usize], dtype: DType) -> Result<Tensor> {
    let out = Tensor::empty(op, shape, dtype)?;
    let bytes = out.numel() * dtype.size();
    let to = SendPtr(out.storage().ptr());
    for_ranges(bytes, 1 << 18, |range| {
        // SAFETY: disjoint ranges of the fresh storage.
        unsafe { std::ptr::write_bytes(to.get().add(range.start), 0, range.len()) }
    });
    Ok(out)
}

/// A row-major tensor seen with one axis.
fn flat(t: &Tensor) -> Tensor {
    let strides = SmallVec::from_elem(1, 1);
    t.with_layout(Layout::new(SmallVec::from_elem(t.numel(), 1), strides, t.layout().offset()))
}

/// The plan of a one-dimensional index on one axis.
fn rows_plan(op: &'static str, layout: &Layout, axis: isize, index: &Tensor) -> Result<Plan> {
    let axis = normalize_axis(op, axis, layout.ndim())?;
    if index.ndim() > 1 {
        return Err(Error::index(
            op,
            format!(
                "the index must have one axis, got shape {:?}; flatten it with .flatten()",
                index.shape()
            ),
        ));
    }
    let index = int64_index(op, index)?;
    let index = flat(&index);
    let layout = if layout.ndim() == 0 { layout.unsqueeze(0) } else { layout.clone() };
    let name = (0..layout.ndim()).collect();
    plan(
        op,
        Indexed { layout, index: SmallVec::from_iter([(axis, index)]), name, given: 1, masked: false },
        false,
    )
}

/// The rows (along `axis`) that a one-dimensional index names: on axis 0, an embedding's lookup.
pub fn index_select(x: &Tensor, axis: isize, index: &Tensor) -> Result<Tensor> {
    let op = "index_select";
    x.expect_cpu(op)?;
    let plan = rows_plan(op, x.layout(), axis, index)?;
    let out = read(op, x, &plan)?;
    if x.ndim() == 0 && out.numel() == 1 {
        return Ok(out.with_layout(Layout::contiguous(&[])));
    }
    Ok(out)
}

/// A copy of `x` with row `i` of `src` added to row `index[i]`.
pub fn index_add(x: &Tensor, axis: isize, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let op = "index_add";
    x.expect_cpu(op)?;
    src.expect_cpu(op)?;
    if src.dtype() != x.dtype() {
        return Err(Error::dtype(
            op,
            format!("src is {}, the tensor {}; convert one of them", src.dtype(), x.dtype()),
        ));
    }
    let plan = rows_plan(op, x.layout(), axis, index)?;
    let want = plan.shape();
    let src = if x.ndim() == 0 && src.ndim() == 0 { flat(src) } else { src.clone() };
    if src.shape() != want.as_slice() {
        return Err(Error::shape(
            op,
            format!(
                "src has shape {:?}, expected {:?} (the tensor's shape with the index's length on axis {axis})",
                src.shape(),
                want.as_slice()
            ),
        ));
    }
    let out = copy::clone(op, x)?;
    // The copy is row-major whatever `x` was, so the offsets are made for it.
    let plan = if x.is_contiguous() { plan } else { rows_plan(op, out.layout(), axis, index)? };
    combine(op, &out, &plan, &src, true)?;
    Ok(out)
}
