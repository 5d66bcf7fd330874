//! Additive attention (Bahdanau et al. 2015) in one pass: scores, masked softmax and weighted sum.

mod query;
#[cfg(test)]
mod tests;

use crate::dtype::{Bool, DType};
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::ops::copy;
use crate::ops::softmax::float_input;
use crate::parallel::{SendPtr, for_each, one_thread_below_grain};
use crate::tensor::Tensor;
use query::{Sums, attend, attend_grad};

/// What attends to what, checked, contiguous and of one dtype: queries `[N, L, A]`, keys `[N, S, A]`, the
/// scores' direction `[A]`, values `[N, S, V]`, and what each query sees: `[N, 1 or L, S]`, none for all.
pub struct Inputs {
    query: Tensor,
    keys: Tensor,
    direction: Tensor,
    values: Tensor,
    mask: Option<Tensor>,
    sizes: Sizes,
}

#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    queries: usize,
    keys: usize,
    width: usize,
    values: usize,
}

const OP: &str = "additive_attention";

impl Inputs {
    pub fn new(
        query: &Tensor,
        keys: &Tensor,
        direction: &Tensor,
        values: &Tensor,
        mask: Option<&Tensor>,
    ) -> Result<Inputs> {
        let wrong = || {
            Error::shape(
                OP,
                format!(
                    "expected query [N, L, A], keys [N, S, A], one weight for each of A and values [N, S, V], \
                     got {:?}, {:?}, {:?} and {:?}",
                    query.shape(),
                    keys.shape(),
                    direction.shape(),
                    values.shape()
                ),
            )
        };
        let (&[n, queries, width], &[kn, s, kw], &[dw], &[vn, vs, v]) =
            (query.shape(), keys.shape(), direction.shape(), values.shape())
        else {
            return Err(wrong());
        };
        if (kn, kw, dw, vn, vs) != (n, width, width, n, s) {
            return Err(wrong());
        }
        let x = float_input(OP, query)?;
        let same = |t: &Tensor| -> Result<Tensor> {
            t.expect_cpu(OP)?;
            copy::contiguous(OP, &copy::cast(OP, t, x.dtype())?)
        };
        let mask = match mask {
            None => None,
            Some(m) => {
                m.expect_cpu(OP)?;
                let &[mn, rows, columns] = m.shape() else {
                    return Err(Inputs::wrong_mask(m, n, queries, s));
                };
                if mn != n || columns != s || (rows != 1 && rows != queries) {
                    return Err(Inputs::wrong_mask(m, n, queries, s));
                }
                Some(copy::contiguous(OP, &copy::cast(OP, m, DType::Bool)?)?)
            }
        };
        Ok(Inputs {
            keys: same(keys)?,
            direction: same(direction)?,
            values: same(values)?,
            query: x,
            mask,
            sizes: Sizes { n, queries, keys: s, width, values: v },
        })
    }

    fn wrong_mask(m: &Tensor, n: usize, queries: usize, keys: usize) -> Error {
        Error::shape(
            OP,
            format!("mask has shape {:?}, expected [{n}, {keys}] or [{n}, {queries}, {keys}]", m.shape()),
        )
    }

    /// Which keys query `l` of sample `i` sees; empty for all.
    fn seen(&self, i: usize, l: usize) -> &[Bool] {
        match &self.mask {
            None => &[],
            Some(m) => {
                let (rows, s) = (m.shape()[1], self.sizes.keys);
                let row = i * rows + if rows == 1 { 0 } else { l };
                // SAFETY: nobody writes during the call.
                let all = unsafe { m.as_slice::<Bool>() };
                &all[row * s..(row + 1) * s]
            }
        }
    }
}

/// The context `[N, L, V]` and the weights `[N, L, S]`; and `tanh(query + keys)` for the gradient.
pub fn additive_attention(inputs: &Inputs) -> Result<(Tensor, Tensor, Tensor)> {
    let Sizes { n, queries, keys, width, values } = inputs.sizes;
    let dtype = inputs.query.dtype();
    let context = Tensor::empty(OP, &[n, queries, values], dtype)?;
    let weights = Tensor::empty(OP, &[n, queries, keys], dtype)?;
    let bent = Tensor::empty(OP, &[n, queries, keys, width], dtype)?;
    let _one = one_thread_below_grain(n * queries * keys * (16 * width + values));
    for_float_types!(OP, dtype, T => {
        let (c, w, b) = (SendPtr(context.ptr::<T>()), SendPtr(weights.ptr::<T>()), SendPtr(bent.ptr::<T>()));
        for_each(n * queries, |i| {
            // SAFETY: each query has its own part of all outputs; nobody writes to the inputs.
            unsafe {
                let sample = i / queries;
                attend(
                    &inputs.query.as_slice::<T>()[i * width..][..width],
                    &inputs.keys.as_slice::<T>()[sample * keys * width..][..keys * width],
                    inputs.direction.as_slice::<T>(),
                    &inputs.values.as_slice::<T>()[sample * keys * values..][..keys * values],
                    inputs.seen(sample, i % queries),
                    std::slice::from_raw_parts_mut(b.get().add(i * keys * width), keys * width),
                    std::slice::from_raw_parts_mut(w.get().add(i * keys), keys),
                    std::slice::from_raw_parts_mut(c.get().add(i * values), values),
                );
            }
        });
    });
    Ok((context, weights, bent))
}

/// The gradients of query, keys, direction and, if wanted, values, from those of context and weights.
pub fn additive_attention_grad(
    context: Option<&Tensor>,
    weights_grad: Option<&Tensor>,
    inputs: &Inputs,
    weights: &Tensor,
    bent: &Tensor,
    wants_values: bool,
) -> Result<(Tensor, Tensor, Tensor, Option<Tensor>)> {
    let Sizes { n, queries, keys, width, values } = inputs.sizes;
    let dtype = inputs.query.dtype();
    let ready = |t: &Tensor, shape: &[usize]| -> Result<Tensor> {
        t.expect_cpu(OP)?;
        if t.shape() != shape {
            return Err(Error::shape(
                OP,
                format!("a gradient has shape {:?}, expected {shape:?} as the result", t.shape()),
            ));
        }
        copy::contiguous(OP, &copy::cast(OP, t, dtype)?)
    };
    let context = context.map(|t| ready(t, &[n, queries, values])).transpose()?;
    let given = weights_grad.map(|t| ready(t, &[n, queries, keys])).transpose()?;
    let (weights, bent) = (ready(weights, &[n, queries, keys])?, ready(bent, &[n, queries, keys, width])?);
    let dq = Tensor::empty(OP, &[n, queries, width], dtype)?;
    let dk = Tensor::empty(OP, &[n, keys, width], dtype)?;
    // Each sample has a sum of its own, which are added in their order.
    let own = Tensor::empty(OP, &[n, width], dtype)?;
    let dd = Tensor::zeros(OP, &[width], dtype)?;
    let dv = wants_values.then(|| Tensor::empty(OP, &[n, keys, values], dtype)).transpose()?;
    let scratch = Tensor::empty(OP, &[n, keys], dtype)?;
    let _one = one_thread_below_grain(n * queries * keys * (4 * width + 2 * values));
    for_float_types!(OP, dtype, T => {
        let (q, k, d) = (SendPtr(dq.ptr::<T>()), SendPtr(dk.ptr::<T>()), SendPtr(own.ptr::<T>()));
        let (v, spare) = (SendPtr(dv.as_ref().map_or(std::ptr::null_mut(), |t| t.ptr::<T>())), SendPtr(scratch.ptr::<T>()));
        for_each(n, |i| {
            // SAFETY: each sample has its own part of all outputs; nobody writes to the inputs.
            unsafe {
                let part = |p: *mut T, len: usize| std::slice::from_raw_parts_mut(p.add(i * len), len);
                let (into_keys, along, g) = (part(k.get(), keys * width), part(d.get(), width), part(spare.get(), keys));
                let mut into_values = (!v.get().is_null()).then(|| part(v.get(), keys * values));
                into_keys.fill(0.0);
                along.fill(0.0);
                into_values.iter_mut().for_each(|v| v.fill(0.0));
                for l in i * queries..(i + 1) * queries {
                    match &given {
                        None => g.fill(0.0),
                        Some(t) => g.copy_from_slice(&t.as_slice::<T>()[l * keys..][..keys]),
                    }
                    let mut sums = Sums {
                        query: std::slice::from_raw_parts_mut(q.get().add(l * width), width),
                        keys: into_keys,
                        direction: along,
                        values: into_values.as_deref_mut(),
                    };
                    attend_grad(
                        context.as_ref().map(|t| &t.as_slice::<T>()[l * values..][..values]),
                        g,
                        inputs.direction.as_slice::<T>(),
                        &inputs.values.as_slice::<T>()[i * keys * values..][..keys * values],
                        inputs.seen(i, l - i * queries),
                        &bent.as_slice::<T>()[l * keys * width..][..keys * width],
                        &weights.as_slice::<T>()[l * keys..][..keys],
                        &mut sums,
                    );
                }
            }
        });
        // SAFETY: every task wrote its part; the total is fresh.
        let (own, total) = unsafe { (own.as_slice::<T>(), dd.as_mut_slice::<T>()) };
        for part in own.chunks_exact(width.max(1)) {
            for (sum, v) in total.iter_mut().zip(part) {
                *sum += *v;
            }
        }
    });
    Ok((dq, dk, dd, dv))
}
