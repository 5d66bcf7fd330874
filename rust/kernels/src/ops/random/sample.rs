//! Permutations and draws from given probabilities.

use super::Generator;
use super::dist::{below, exponential, uniform, wide};
use super::philox::{LANES, WORDS, blocks, tile};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::layout::Layout;
use crate::ops::{copy, sort};
use crate::parallel::{GRAIN, SendPtr, for_ranges};
use crate::tensor::Tensor;

/// The numbers `0 .. n` in random order (int64), by Fisher and Yates.
pub fn randperm(generator: &Generator, n: usize) -> Result<Tensor> {
    let op = "randperm";
    let out = Tensor::empty(op, &[n], DType::I64)?;
    let (seed, offset) = generator.reserve(blocks(n, WORDS / 2));
    // SAFETY: a fresh output.
    let order = unsafe { out.as_mut_slice::<i64>() };
    for (i, v) in order.iter_mut().enumerate() {
        *v = i as i64;
    }
    // Draw `t` decides about place n - 1 - t.
    for start in (0..n).step_by(WORDS / 2) {
        let words = tile(seed, offset.wrapping_add((start / (WORDS / 2) * LANES) as u64));
        for t in start..(start + WORDS / 2).min(n) {
            let (w, l) = ((t - start) / LANES, (t - start) % LANES);
            let i = n - 1 - t;
            let j = below(wide(words[2 * w][l], words[2 * w + 1][l]), i as u64 + 1);
            order.swap(i, j as usize);
        }
    }
    Ok(out)
}

/// `n` classes drawn by the weights in each row of `probs` (`[rows, classes]` or `[classes]`): int64
/// `[rows, n]` or `[n]`. Weights need not add up to 1.
pub fn multinomial(generator: &Generator, probs: &Tensor, n: usize, replacement: bool) -> Result<Tensor> {
    let op = "multinomial";
    if !(1..=2).contains(&probs.ndim()) {
        return Err(Error::shape(op, format!("expected one or two axes, got shape {:?}", probs.shape())));
    }
    if n == 0 {
        return Err(Error::value(op, "expected to draw at least one sample, got 0"));
    }
    let p = copy::contiguous(op, probs)?;
    let classes = p.shape()[p.ndim() - 1];
    let rows = if p.ndim() == 2 { p.shape()[0] } else { 1 };
    if rows > 0 && classes == 0 {
        return Err(Error::value(op, "there are no classes to draw from"));
    }
    let out = for_float_types!(op, p.dtype(), T => {
        // SAFETY: row-major, only read in this call.
        let weights = unsafe { p.as_slice::<T>() };
        for row in weights.chunks_exact(classes.max(1)) {
            check_row(op, row, n, replacement)?;
        }
        if replacement {
            with_replacement::<T>(op, generator, weights, rows, classes, n)?
        } else {
            without_replacement::<T>(generator, &p, weights, n)?
        }
    });
    Ok(if p.ndim() == 1 { out.with_layout(Layout::contiguous(&[n])) } else { out })
}

fn check_row<T: Element>(op: &'static str, row: &[T], n: usize, replacement: bool) -> Result<()> {
    let mut positive = 0;
    for w in row.iter().map(|w| w.to_f64()) {
        if !(w >= 0.0 && w.is_finite()) {
            return Err(Error::value(op, format!("weights must be finite and not negative, got {w}")));
        }
        positive += (w > 0.0) as usize;
    }
    if positive == 0 {
        return Err(Error::value(op, "the weights of a row add up to 0"));
    }
    if !replacement && positive < n {
        return Err(Error::value(
            op,
            format!(
                "cannot draw {n} samples from {positive} classes with a positive weight; pass replacement=True"
            ),
        ));
    }
    Ok(())
}

fn with_replacement<T: Element>(
    op: &'static str,
    generator: &Generator,
    weights: &[T],
    rows: usize,
    classes: usize,
    n: usize,
) -> Result<Tensor> {
    let out = Tensor::empty(op, &[rows, n], DType::I64)?;
    let drawn = uniform(generator, &[rows, n], DType::F64, 0.0, 1.0)?;
    // SAFETY: tensors of this call.
    let u = unsafe { drawn.as_slice::<f64>() };
    let to = SendPtr(out.ptr::<i64>());
    for_ranges(rows, (GRAIN / (classes + n)).max(1), |range| {
        let mut sums = vec![0f64; classes];
        for row in range {
            let mut total = 0.0;
            for (sum, w) in sums.iter_mut().zip(&weights[row * classes..(row + 1) * classes]) {
                total += w.to_f64();
                *sum = total;
            }
            // The last class with a weight: rounding may leave a draw past every sum.
            let last = sums.partition_point(|&s| s < total);
            for i in 0..n {
                let x = u[row * n + i] * total;
                let class = sums.partition_point(|&s| s <= x).min(last);
                // SAFETY: one writer a row.
                unsafe { *to.get().add(row * n + i) = class as i64 };
            }
        }
    });
    Ok(out)
}

/// The `n` classes that are first when each waits exponentially, by its weight.
fn without_replacement<T: Element>(
    generator: &Generator,
    p: &Tensor,
    weights: &[T],
    n: usize,
) -> Result<Tensor> {
    let wait = exponential(generator, p.shape(), DType::F64, 1.0)?;
    // SAFETY: a fresh tensor.
    let times = unsafe { wait.as_mut_slice::<f64>() };
    for (t, w) in times.iter_mut().zip(weights) {
        // Weight 0 waits for ever.
        *t /= w.to_f64();
    }
    let (_, order) = sort::topk(&wait, n, -1, false, true)?;
    Ok(order)
}
