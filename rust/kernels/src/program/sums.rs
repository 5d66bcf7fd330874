//! Gradients of weights, summed up in the loop: the products of some steps' rows while they are in the cache.

use super::bind::{Fixed, Now, Spot};
use super::env::absent;
use super::parse::Meta;
use super::schedule::Total;
use crate::dtype::DType;
use crate::error::Result;
use crate::memory::{self, Block};
use crate::ops::matmul::{GemmElement, KC, add_products, kernel_of, pack_rows};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// Bytes of the values that are kept for it.
const BYTES: usize = 288 << 10;

/// One value of the loop and all that it is multiplied with.
pub(super) struct Sum {
    right: Fixed,
    /// Columns, and rows of a step.
    n: usize,
    rows: usize,
    dtype: DType,
    /// Of each product: the total's number, the rows (None: ones), how many columns they have, and the sum.
    products: Vec<(usize, Option<Fixed>, usize, Tensor)>,
    /// Where the rows lie.
    _lefts: Vec<Spot>,
    space: Block,
}

/// The values of the loop that are kept for some steps.
pub(super) fn kept(totals: &[Total]) -> SmallVec<[usize; 4]> {
    let mut slots: SmallVec<[usize; 4]> = SmallVec::new();
    for total in totals {
        if let Total::Rows(_, right) = total
            && !slots.contains(right)
        {
            slots.push(*right);
        }
    }
    slots
}

/// Elements between rows of such a value: more than it has, so that they spread over the cache.
fn row(meta: &Meta) -> usize {
    let width = if meta.dtype == DType::F64 { kernel_of::<f64>().nr } else { kernel_of::<f32>().nr };
    meta.shape[1].next_multiple_of(width) + 16
}

/// For how many steps they are kept.
pub(super) fn steps(slots: &[usize], metas: &[Meta]) -> usize {
    let bytes: usize =
        slots.iter().map(|&s| metas[s].shape[0] * row(&metas[s]) * metas[s].dtype.size()).sum();
    let rows = slots.iter().map(|&s| metas[s].shape[0]).max().unwrap_or(1);
    (BYTES / bytes.max(1)).min(KC / rows).max(1)
}

/// Memory for one.
pub(super) fn room(meta: &Meta, steps: usize) -> Result<(Tensor, Spot)> {
    let (rows, columns) = (meta.shape[0], meta.shape[1]);
    let all = Tensor::empty("scan", &[steps, rows, row(meta)], meta.dtype)?;
    let first = all.with_layout(all.layout().slice(2, 0, columns, 1).select(0, 0));
    let spot = Spot::new([first.clone(), first], 0, all.strides()[0]);
    Ok((all, spot))
}

impl Sum {
    pub fn new(
        slot: usize,
        right: &Spot,
        meta: &Meta,
        steps: usize,
        totals: &[Total],
        left: impl Fn(usize) -> Result<Spot>,
    ) -> Result<Sum> {
        let (rows, n) = (meta.shape[0], meta.shape[1]);
        let (mut products, mut lefts) = (Vec::new(), Vec::new());
        for (number, total) in totals.iter().enumerate() {
            match total {
                Total::Rows(Some(s), r) if *r == slot => {
                    let spot = left(*s)?;
                    let m = spot.layout().shape()[1];
                    let fixed = Fixed::matrix(&spot, m).ok_or_else(absent)?;
                    products.push((number, Some(fixed), m, Tensor::empty("scan", &[m, n], meta.dtype)?));
                    lefts.push(spot);
                }
                Total::Rows(None, r) if *r == slot => {
                    products.push((number, None, 1, Tensor::empty("scan", &[n], meta.dtype)?));
                }
                _ => {}
            }
        }
        let columns: usize = products.iter().map(|(_, _, m, _)| m).sum();
        let space = memory::allocate("scan", (columns * rows * steps * meta.dtype.size()).max(8))?;
        let right = Fixed::matrix(right, n).ok_or_else(absent)?;
        Ok(Sum { right, n, rows, dtype: meta.dtype, products, _lefts: lefts, space })
    }

    /// Adds the products of these steps, which follow one another; the first ones are what there is.
    pub fn add(&self, steps: &[Now]) {
        let first = steps[0].i == 0;
        match self.dtype {
            DType::F64 => self.add_in::<f64>(steps, 1.0, first),
            _ => self.add_in::<f32>(steps, 1.0, first),
        }
    }

    fn add_in<T: GemmElement>(&self, steps: &[Now], one: T, first: bool) {
        let positions = steps.len() * self.rows;
        let mut lefts: SmallVec<[(*const T, usize, *mut T); 4]> = SmallVec::new();
        let mut at = self.space.as_ptr().cast::<T>();
        for (_, left, m, sum) in &self.products {
            for (i, &now) in steps.iter().enumerate() {
                // SAFETY: the space holds the columns of all products at all positions.
                unsafe {
                    match left {
                        Some(left) => {
                            let from = (left.at(now).ptr().cast::<T>().cast_const(), left.row, self.rows);
                            pack_rows(from, *m, i * self.rows, positions, at);
                        }
                        None => std::slice::from_raw_parts_mut(at.add(i * self.rows), self.rows).fill(one),
                    }
                }
            }
            lefts.push((at.cast_const(), *m, sum.ptr::<T>()));
            at = at.wrapping_add(m * positions);
        }
        let right = (self.right.at(steps[0]).ptr().cast::<T>().cast_const(), self.right.row);
        // SAFETY: the rows of these steps follow one another, and have room up to the kernel's width.
        unsafe { add_products(&lefts, right, self.n, positions, !first) }
    }

    /// The sums and the numbers of their totals.
    pub fn done(self) -> impl Iterator<Item = (usize, Tensor)> {
        self.products.into_iter().map(|(number, _, _, sum)| (number, sum))
    }
}
