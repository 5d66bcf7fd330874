//! The largest or smallest few, and medians, without a full sort.

use super::key::{Item, Sortable, with_item};
use super::radix::Items;
use super::rows::{FirstError, Rows, pack, rows};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::parallel::{SendPtr, for_ranges};
use crate::tensor::Tensor;
use crate::{for_all_types, multiversion};

/// Elements a task looks at, at least.
const TASK: usize = 1 << 13;

/// Elements tested at once for a candidate.
const STRETCH: usize = 64;

multiversion! {
    fn any_below<T: Sortable>(values: &[T], descending: bool, limit: u64) -> bool {
        values.iter().fold(false, |any, v| any | (v.ordered(descending) < limit))
    }
}

/// The `k` largest (or smallest) along an axis and where they are; in order if `sorted`.
pub fn topk(x: &Tensor, k: usize, axis: isize, largest: bool, sorted: bool) -> Result<(Tensor, Tensor)> {
    let op = "topk";
    let r = rows(op, x, axis)?;
    if k > r.n {
        return Err(Error::index(op, format!("k is {k}, but the axis has {} elements", r.n)));
    }
    let (values, indices) = (r.output(op, k, x.dtype())?, r.output(op, k, DType::I64)?);
    if values.numel() > 0 {
        for_all_types!(x.dtype(), T => with_item!(T, r.n, I => {
            topk_rows::<T, I>(op, &r, k, largest, sorted, &values, &indices)
        }))?;
    }
    Ok((r.restore(op, values, x.ndim())?, r.restore(op, indices, x.ndim())?))
}

fn topk_rows<T: Sortable, I: Item>(
    op: &'static str,
    r: &Rows,
    k: usize,
    largest: bool,
    sorted: bool,
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let n = r.n;
    // Candidates gather here; whenever it is full the best k stay.
    let room = (2 * k + 64).min(n);
    let (src, to, places) =
        (SendPtr(r.x.ptr::<T>()), SendPtr(values.ptr::<T>()), SendPtr(indices.ptr::<i64>()));
    let failed = FirstError::default();
    for_ranges(r.rows, (TASK / n).max(1), |range| {
        let Some(mut items) = failed.note(Items::<I>::new(op, room)) else {
            return;
        };
        let items = items.as_mut();
        for row in range {
            // SAFETY: row `row` of each; one writer a row, and the input is only read.
            let (from, to, places) = unsafe {
                (
                    std::slice::from_raw_parts(src.get().add(row * n), n),
                    std::slice::from_raw_parts_mut(to.get().add(row * k), k),
                    std::slice::from_raw_parts_mut(places.get().add(row * k), k),
                )
            };
            pack(&from[..room], items, largest);
            let mut held = room;
            let mut limit = u64::MAX;
            if room < n {
                items.select_nth_unstable(k - 1);
                (held, limit) = (k, items[k - 1].key());
            }
            for (stretch, part) in from[room..].chunks(STRETCH).enumerate() {
                // Most stretches hold no candidate once the limit is tight.
                if !any_below(part, largest, limit) {
                    continue;
                }
                for (i, &v) in part.iter().enumerate() {
                    let key = v.ordered(largest);
                    // Of equal keys the earlier place wins, and it is here already.
                    if key < limit {
                        items[held] = I::pack(key, room + stretch * STRETCH + i);
                        held += 1;
                        if held == room {
                            items.select_nth_unstable(k - 1);
                            (held, limit) = (k, items[k - 1].key());
                        }
                    }
                }
            }
            if held > k {
                items[..held].select_nth_unstable(k - 1);
            }
            if sorted {
                items[..k].sort_unstable();
            }
            for ((to, place), item) in to.iter_mut().zip(places).zip(items.iter()) {
                *to = from[item.place()];
                *place = item.place() as i64;
            }
        }
    });
    failed.check()
}

/// The `k`-th smallest (from 1) along an axis, and where it is; the axis is dropped.
pub fn kthvalue(x: &Tensor, k: usize, axis: isize) -> Result<(Tensor, Tensor)> {
    let op = "kthvalue";
    let r = rows(op, x, axis)?;
    if k < 1 || k > r.n {
        return Err(Error::index(op, format!("k is {k}, expected 1 to {}", r.n)));
    }
    nth(op, x, &r, k - 1, false)
}

/// The lower median along an axis, and where it is; NaN if there is one. The axis is dropped.
pub fn median(x: &Tensor, axis: isize) -> Result<(Tensor, Tensor)> {
    let op = "median";
    let r = rows(op, x, axis)?;
    if r.n == 0 {
        return Err(Error::index(op, "the axis is empty, so it has no median"));
    }
    nth(op, x, &r, (r.n - 1) / 2, true)
}

fn nth(op: &'static str, x: &Tensor, r: &Rows, k: usize, nan_wins: bool) -> Result<(Tensor, Tensor)> {
    let (values, indices) = (r.output(op, 1, x.dtype())?, r.output(op, 1, DType::I64)?);
    if values.numel() > 0 {
        for_all_types!(x.dtype(), T => with_item!(T, r.n, I => {
            nth_rows::<T, I>(op, r, k, nan_wins, &values, &indices)
        }))?;
    }
    Ok((r.dropped(values, x.ndim()), r.dropped(indices, x.ndim())))
}

fn nth_rows<T: Sortable, I: Item>(
    op: &'static str,
    r: &Rows,
    k: usize,
    nan_wins: bool,
    values: &Tensor,
    indices: &Tensor,
) -> Result<()> {
    let n = r.n;
    let (src, to, places) =
        (SendPtr(r.x.ptr::<T>()), SendPtr(values.ptr::<T>()), SendPtr(indices.ptr::<i64>()));
    let failed = FirstError::default();
    for_ranges(r.rows, (TASK / n).max(1), |range| {
        let Some(mut items) = failed.note(Items::<I>::new(op, n)) else {
            return;
        };
        for row in range {
            // SAFETY: row `row` of the input, which is only read.
            let from = unsafe { std::slice::from_raw_parts(src.get().add(row * n), n) };
            let nan = if nan_wins { from.iter().position(|v| v.is_nan()) } else { None };
            let place = nan.unwrap_or_else(|| {
                let items = items.as_mut();
                pack(from, items, false);
                items.select_nth_unstable(k).1.place()
            });
            // SAFETY: one element a row, one writer each.
            unsafe {
                *to.get().add(row) = from[place];
                *places.get().add(row) = place as i64;
            }
        }
    });
    failed.check()
}
