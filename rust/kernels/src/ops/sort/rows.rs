//! Sorting along an axis.

use super::key::{Item, Sortable, with_item};
use super::radix::{Items, sort_items};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::for_all_types;
use crate::layout::{Layout, normalize_axis};
use crate::ops::copy;
use crate::parallel::{SendPtr, for_ranges};
use crate::tensor::Tensor;
use std::sync::Mutex;

/// Items a task sorts at least.
const TASK: usize = 1 << 12;

/// A tensor with one axis moved last, row-major; and the order of axes that moves it there.
pub(super) struct Rows {
    pub x: Tensor,
    pub order: Vec<usize>,
    pub n: usize,
    pub rows: usize,
}

pub(super) fn rows(op: &'static str, x: &Tensor, axis: isize) -> Result<Rows> {
    x.expect_cpu(op)?;
    let axis = normalize_axis(op, axis, x.ndim())?;
    let x = if x.ndim() == 0 { x.with_layout(x.layout().unsqueeze(0)) } else { x.clone() };
    let mut order: Vec<usize> = (0..x.ndim()).filter(|&a| a != axis).collect();
    order.push(axis);
    let moved = copy::contiguous(op, &x.with_layout(x.layout().permute(&order)))?;
    let n = x.shape()[axis];
    let rows = moved.shape()[..x.ndim() - 1].iter().product();
    Ok(Rows { x: moved, order, n, rows })
}

impl Rows {
    /// A row-major output with `k` elements a row.
    pub fn output(&self, op: &'static str, k: usize, dtype: DType) -> Result<Tensor> {
        let mut shape = self.x.shape().to_vec();
        let last = shape.len() - 1;
        shape[last] = k;
        Tensor::empty(op, &shape, dtype)
    }

    /// Moves the last axis back to its place.
    pub fn restore(&self, op: &'static str, out: Tensor, ndim: usize) -> Result<Tensor> {
        if ndim == 0 {
            return Ok(out.with_layout(Layout::contiguous(&[])));
        }
        let mut back = vec![0; self.order.len()];
        for (i, &a) in self.order.iter().enumerate() {
            back[a] = i;
        }
        copy::contiguous(op, &out.with_layout(out.layout().permute(&back)))
    }

    /// Drops the last axis, of size 1.
    pub fn dropped(&self, out: Tensor, ndim: usize) -> Tensor {
        if ndim == 0 {
            return out.with_layout(Layout::contiguous(&[]));
        }
        let last = out.ndim() - 1;
        out.with_layout(out.layout().squeeze(&[last]))
    }
}

/// The first error of several tasks.
#[derive(Default)]
pub(super) struct FirstError(Mutex<Option<Error>>);

impl FirstError {
    pub fn note<T>(&self, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(v) => Some(v),
            Err(e) => {
                self.0.lock().unwrap_or_else(|p| p.into_inner()).get_or_insert(e);
                None
            }
        }
    }
    pub fn check(self) -> Result<()> {
        self.0.into_inner().unwrap_or_else(|p| p.into_inner()).map_or(Ok(()), Err)
    }
}

/// Fills `items` from a row of values.
#[inline]
pub(super) fn pack<T: Sortable, I: Item>(values: &[T], items: &mut [I], descending: bool) {
    for (place, (item, &v)) in items.iter_mut().zip(values).enumerate() {
        *item = I::pack(v.ordered(descending), place);
    }
}

/// Values in order along an axis, and where each came from (int64). Always stable.
pub fn sort(x: &Tensor, axis: isize, descending: bool, _stable: bool) -> Result<(Tensor, Tensor)> {
    let op = "sort";
    let r = rows(op, x, axis)?;
    let (values, indices) = (r.output(op, r.n, x.dtype())?, r.output(op, r.n, DType::I64)?);
    if values.numel() > 0 {
        for_all_types!(x.dtype(), T => with_item!(T, r.n, I => sort_rows::<T, I>(op, &r, descending, &values, &indices)))?;
    }
    Ok((r.restore(op, values, x.ndim())?, r.restore(op, indices, x.ndim())?))
}

fn sort_rows<T: Sortable, I: Item>(
    op: &'static str,
    r: &Rows,
    descending: bool,
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let n = r.n;
    let (src, to, places) =
        (SendPtr(r.x.ptr::<T>()), SendPtr(values.ptr::<T>()), SendPtr(indices.ptr::<i64>()));
    let failed = FirstError::default();
    for_ranges(r.rows, (TASK / n).max(1), |range| {
        let Some((mut items, mut spare)) =
            failed.note(Items::<I>::new(op, n).and_then(|i| Ok((i, Items::<I>::new(op, n)?))))
        else {
            return;
        };
        let (items, spare) = (items.as_mut(), spare.as_mut());
        for row in range {
            // SAFETY: row `row` of each; one writer a row, and the input is only read.
            let (from, to, places) = unsafe {
                (
                    std::slice::from_raw_parts(src.get().add(row * n), n),
                    std::slice::from_raw_parts_mut(to.get().add(row * n), n),
                    std::slice::from_raw_parts_mut(places.get().add(row * n), n),
                )
            };
            pack(from, items, descending);
            sort_items(items, spare);
            for ((to, place), item) in to.iter_mut().zip(places).zip(items.iter()) {
                *to = from[item.place()];
                *place = item.place() as i64;
            }
        }
    });
    failed.check()
}
