//! Distinct values, and binary search.

use super::key::{Item, Sortable, with_item};
use super::radix::{Items, sort_items};
use super::rows::pack;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::for_all_types;
use crate::ops::copy;
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;

/// The distinct values in ascending order; for each element (in its shape) which one it is; and how
/// often each appears. Every NaN is distinct, as in PyTorch.
pub fn unique(x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let op = "unique";
    let x = copy::contiguous(op, x)?;
    for_all_types!(x.dtype(), T => with_item!(T, x.numel(), I => unique_typed::<T, I>(op, &x)))
}

fn unique_typed<T: Sortable, I: Item>(op: &'static str, x: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
    let n = x.numel();
    // SAFETY: row-major, only read in this call.
    let from = unsafe { x.as_slice::<T>() };
    let (mut items, mut spare) = (Items::<I>::new(op, n)?, Items::<I>::new(op, n)?);
    let items = items.as_mut();
    pack(from, items, false);
    sort_items(items, spare.as_mut());
    let differs =
        |i: usize| i == 0 || items[i].key() != items[i - 1].key() || from[items[i].place()].is_nan();
    let count = (0..n).filter(|&i| differs(i)).count();
    let values = Tensor::empty(op, &[count], x.dtype())?;
    let inverse = Tensor::empty(op, x.shape(), DType::I64)?;
    let counts = Tensor::zeros(op, &[count], DType::I64)?;
    // SAFETY: fresh outputs.
    let (v, inv, c) =
        unsafe { (values.as_mut_slice::<T>(), inverse.as_mut_slice::<i64>(), counts.as_mut_slice::<i64>()) };
    let mut at = 0;
    for i in 0..n {
        let place = items[i].place();
        if differs(i) {
            v[at] = from[place];
            at += 1;
        }
        inv[place] = at as i64 - 1;
        c[at - 1] += 1;
    }
    Ok((values, inverse, counts))
}

/// Where each value would go in an ascending one-dimensional tensor so that it stays ascending:
/// before its equals, or after them if `right`. int64, in the shape of `values`.
pub fn searchsorted(sorted: &Tensor, values: &Tensor, right: bool) -> Result<Tensor> {
    let op = "searchsorted";
    if sorted.ndim() != 1 {
        return Err(Error::shape(
            op,
            format!("the sorted tensor must have one axis, got shape {:?}", sorted.shape()),
        ));
    }
    if sorted.dtype() != values.dtype() {
        return Err(Error::dtype(
            op,
            format!(
                "the sorted tensor is {}, the values {}; convert one of them",
                sorted.dtype(),
                values.dtype()
            ),
        ));
    }
    let (sorted, values) = (copy::contiguous(op, sorted)?, copy::contiguous(op, values)?);
    let out = Tensor::empty(op, values.shape(), DType::I64)?;
    for_all_types!(sorted.dtype(), T => search::<T>(&sorted, &values, right, &out));
    Ok(out)
}

#[allow(clippy::neg_cmp_op_on_partial_ord)]
fn search<T: Element>(sorted: &Tensor, values: &Tensor, right: bool, out: &Tensor) {
    // SAFETY: row-major, only read in this call.
    let (s, v) = unsafe { (sorted.as_slice::<T>(), values.as_slice::<T>()) };
    let to = SendPtr(out.ptr::<i64>());
    for_ranges(v.len(), GRAIN / 16, |range| {
        for i in range {
            let x = v[i];
            // Negated, so that NaN goes to the end.
            let at = if right { s.partition_point(|m| !(*m > x)) } else { s.partition_point(|m| !(*m >= x)) };
            // SAFETY: one writer an element.
            unsafe { *to.get().add(i) = at as i64 };
        }
    });
}
