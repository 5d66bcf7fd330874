//! A linear-chain conditional random field (Lafferty et al. 2001): the log likelihood of tags, its gradient
//! by forward-backward, and the best tags by Viterbi's algorithm.

mod chain;
#[cfg(test)]
mod tests;

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::ops::copy;
use crate::ops::softmax::float_input;
use crate::parallel::{SendPtr, for_each};
use crate::tensor::Tensor;
use chain::{Chain, Sums};

/// The scores of a chain, checked: what a sequence starts and ends with, and what follows what.
pub struct Scores<'a> {
    pub start: &'a Tensor,
    pub end: &'a Tensor,
    pub transitions: &'a Tensor,
}

/// Everything contiguous and of one dtype.
struct Ready {
    time: usize,
    n: usize,
    tags: usize,
    emissions: Tensor,
    start: Tensor,
    end: Tensor,
    transitions: Tensor,
    /// `transitions`, turned.
    turned: Tensor,
    lens: Vec<usize>,
}

impl Ready {
    fn new(op: &'static str, emissions: &Tensor, scores: &Scores<'_>, lengths: &[i64]) -> Result<Ready> {
        emissions.expect_cpu(op)?;
        let &[time, n, tags] = emissions.shape() else {
            return Err(Error::shape(
                op,
                format!("emissions has shape {:?}, expected [T, N, tags]", emissions.shape()),
            ));
        };
        if time * n * tags == 0 {
            return Err(Error::shape(
                op,
                format!("emissions has shape {:?} and no element; it must not be empty", emissions.shape()),
            ));
        }
        let x = float_input(op, emissions)?;
        let ready = |name: &str, t: &Tensor, shape: &[usize]| -> Result<Tensor> {
            t.expect_cpu(op)?;
            if t.shape() != shape {
                return Err(Error::shape(
                    op,
                    format!("{name} has shape {:?}, expected {shape:?} for {tags} tags", t.shape()),
                ));
            }
            copy::contiguous(op, &copy::cast(op, t, x.dtype())?)
        };
        if lengths.len() != n {
            return Err(Error::shape(op, format!("{} lengths for {n} sequences", lengths.len())));
        }
        if let Some(i) = lengths.iter().position(|&len| len < 1 || len > time as i64) {
            return Err(Error::value(
                op,
                format!("sequence {i} has length {}, expected 1 to {time}", lengths[i]),
            ));
        }
        let transitions = ready("transitions", scores.transitions, &[tags, tags])?;
        let turned = Tensor::empty(op, &[tags, tags], x.dtype())?;
        for_float_types!(op, x.dtype(), T => {
            // SAFETY: both hold `tags * tags` elements; one is fresh.
            unsafe { copy::transpose(turned.ptr::<T>(), tags, transitions.ptr::<T>(), tags, tags, tags) };
        });
        Ok(Ready {
            start: ready("start_transitions", scores.start, &[tags])?,
            end: ready("end_transitions", scores.end, &[tags])?,
            lens: lengths.iter().map(|&len| len as usize).collect(),
            emissions: x,
            transitions,
            turned,
            time,
            n,
            tags,
        })
    }

    /// Among NaN there is no highest score.
    fn expect_no_nan<T: Element>(&self, op: &'static str) -> Result<()> {
        let has = |row: &[T]| row.iter().any(|v| v.to_f64().is_nan());
        // SAFETY: `T` is the dtype, and nobody writes during the call.
        let [emissions, start, end, transitions] = unsafe {
            [&self.emissions, &self.start, &self.end, &self.transitions].map(|t| t.as_slice::<T>())
        };
        if let Some(name) = [("start", start), ("end", end), ("transitions", transitions)]
            .iter()
            .find_map(|(name, scores)| has(scores).then_some(*name))
        {
            return Err(Error::value(op, format!("the scores of {name} have NaN")));
        }
        for (i, &len) in self.lens.iter().enumerate() {
            if let Some(t) = (0..len).find(|t| has(&emissions[(t * self.n + i) * self.tags..][..self.tags])) {
                return Err(Error::value(op, format!("emissions of sequence {i} has NaN at time {t}")));
            }
        }
        Ok(())
    }

    /// The chain of sequence `i`.
    ///
    /// # Safety
    /// `T` is the dtype, and nobody writes to the tensors meanwhile.
    unsafe fn chain<T: Element>(&self, i: usize) -> Chain<'_, T> {
        Chain {
            first: self.emissions.ptr::<T>().add(i * self.tags),
            step: self.n * self.tags,
            len: self.lens[i],
            start: self.start.as_slice(),
            end: self.end.as_slice(),
            transitions: self.transitions.as_slice(),
            turned: self.turned.as_slice(),
        }
    }
}

/// The tags `[T, N]` of every sequence, one after another, checked within its length.
fn labels(op: &'static str, tags: &Tensor, ready: &Ready) -> Result<Vec<Vec<usize>>> {
    tags.expect_cpu(op)?;
    if !tags.dtype().is_int() {
        return Err(Error::dtype(
            op,
            format!("tags is {}, expected int64; convert with .long()", tags.dtype()),
        ));
    }
    if tags.shape() != [ready.time, ready.n] {
        return Err(Error::shape(
            op,
            format!(
                "tags has shape {:?}, expected [{}, {}] as the emissions",
                tags.shape(),
                ready.time,
                ready.n
            ),
        ));
    }
    let flat = copy::contiguous(op, &copy::cast(op, tags, DType::I64)?)?;
    // SAFETY: copied and checked before use.
    let flat = unsafe { flat.as_slice::<i64>() };
    let mut all = Vec::with_capacity(ready.n);
    for (i, &len) in ready.lens.iter().enumerate() {
        let mut own = Vec::with_capacity(len);
        for t in 0..len {
            let tag = flat[t * ready.n + i];
            if tag < 0 || tag >= ready.tags as i64 {
                let (most, tags) = (ready.tags - 1, ready.tags);
                return Err(Error::index(
                    op,
                    format!(
                        "tag {tag} of sequence {i} at time {t} is out of range for {tags} tags, expected 0 to {most}"
                    ),
                ));
            }
            own.push(tag as usize);
        }
        all.push(own);
    }
    Ok(all)
}

/// The log likelihood of each sequence's tags; and what the gradient needs: the forward variables
/// `[N, T, tags]` and the sums of their shifts, `[N, T]` in float64.
pub fn crf_log_likelihood(
    emissions: &Tensor,
    scores: Scores<'_>,
    tags: &Tensor,
    lengths: &[i64],
) -> Result<(Tensor, Tensor, Tensor)> {
    let op = "CRF";
    let ready = Ready::new(op, emissions, &scores, lengths)?;
    let labels = labels(op, tags, &ready)?;
    let (time, n, k) = (ready.time, ready.n, ready.tags);
    let dtype = ready.emissions.dtype();
    let out = Tensor::empty(op, &[n], dtype)?;
    let alpha = Tensor::empty(op, &[n, time, k], dtype)?;
    let shifts = Tensor::empty(op, &[n, time], DType::F64)?;
    let scratch = Tensor::empty(op, &[n, chain::SCRATCH, k], dtype)?;
    for_float_types!(op, dtype, T => {
        let (to, states) = (SendPtr(out.ptr::<T>()), SendPtr(alpha.ptr::<T>()));
        let (sums, spare) = (SendPtr(shifts.ptr::<f64>()), SendPtr(scratch.ptr::<T>()));
        for_each(n, |i| {
            // SAFETY: every sequence has its own part of all outputs.
            unsafe {
                let chain = ready.chain::<T>(i);
                let states = std::slice::from_raw_parts_mut(states.get().add(i * time * k), time * k);
                let sums = std::slice::from_raw_parts_mut(sums.get().add(i * time), time);
                let spare = std::slice::from_raw_parts_mut(spare.get().add(i * chain::SCRATCH * k), chain::SCRATCH * k);
                let all = chain::forward(chain, states, sums, spare);
                to.get().add(i).write((chain.score(&labels[i]) - all) as T);
            }
        });
    });
    Ok((copy::cast(op, &out, emissions.dtype())?, alpha, shifts))
}

/// The gradients of [`crf_log_likelihood`] for emissions, start, end and transitions.
pub fn crf_log_likelihood_grad(
    g: &Tensor,
    emissions: &Tensor,
    scores: Scores<'_>,
    tags: &Tensor,
    lengths: &[i64],
    alpha: &Tensor,
    shifts: &Tensor,
) -> Result<[Tensor; 4]> {
    let op = "CRF";
    let ready = Ready::new(op, emissions, &scores, lengths)?;
    let labels = labels(op, tags, &ready)?;
    let (time, n, k) = (ready.time, ready.n, ready.tags);
    let dtype = ready.emissions.dtype();
    let fits = alpha.shape() == [n, time, k] && alpha.dtype() == dtype && shifts.shape() == [n, time];
    if !fits || shifts.dtype() != DType::F64 || g.shape() != [n] {
        return Err(Error::shape(op, "the gradient or the forward variables are not those of this result"));
    }
    g.expect_cpu(op)?;
    let (alpha, shifts) = (copy::contiguous(op, alpha)?, copy::contiguous(op, shifts)?);
    let g = copy::contiguous(op, &copy::cast(op, g, dtype)?)?;
    let out = Tensor::empty(op, &[time, n, k], dtype)?;
    // Each sequence has sums of its own, which are added in their order.
    let own = Tensor::empty(op, &[n, k + 2, k], dtype)?;
    let total = Tensor::zeros(op, &[k + 2, k], dtype)?;
    let scratch = Tensor::empty(op, &[n, chain::SCRATCH, k], dtype)?;
    for_float_types!(op, dtype, T => {
        let (to, sums, spare) = (SendPtr(out.ptr::<T>()), SendPtr(own.ptr::<T>()), SendPtr(scratch.ptr::<T>()));
        for_each(n, |i| {
            // SAFETY: every sequence has its own part of all outputs.
            unsafe {
                let chain = ready.chain::<T>(i);
                let grads = Chain { first: to.get().add(i * k), ..chain };
                let factor = g.as_slice::<T>()[i];
                let own = std::slice::from_raw_parts_mut(sums.get().add(i * (k + 2) * k), (k + 2) * k);
                let spare = std::slice::from_raw_parts_mut(spare.get().add(i * chain::SCRATCH * k), chain::SCRATCH * k);
                let states = &alpha.as_slice::<T>()[i * time * k..(i + 1) * time * k];
                let shifts = &shifts.as_slice::<f64>()[i * time..(i + 1) * time];
                chain::backward(chain, grads.first, time, &labels[i], states, shifts, Sums::new(own, k), spare, factor);
            }
        });
        // SAFETY: every task wrote its part; the total is fresh.
        let (own, total) = unsafe { (own.as_slice::<T>(), total.as_mut_slice::<T>()) };
        for part in own.chunks_exact((k + 2) * k) {
            for (sum, v) in total.iter_mut().zip(part) {
                *sum += *v;
            }
        }
    });
    let cast = |t: &Tensor, like: &Tensor| copy::cast(op, t, like.dtype());
    let row = |first: usize, rows: usize, shape: &[usize]| -> Result<Tensor> {
        for_float_types!(op, dtype, T => {
            // SAFETY: nobody writes any more.
            let all = unsafe { total.as_slice::<T>() };
            Tensor::from_slice(op, &all[first * k..(first + rows) * k], shape)
        })
    };
    Ok([
        cast(&out, emissions)?,
        cast(&row(0, 1, &[k])?, scores.start)?,
        cast(&row(1, 1, &[k])?, scores.end)?,
        cast(&row(2, k, &[k, k])?, scores.transitions)?,
    ])
}

/// The tags of highest score of every sequence, with their score.
pub fn crf_decode(emissions: &Tensor, scores: Scores<'_>, lengths: &[i64]) -> Result<Vec<(Vec<i64>, f64)>> {
    let op = "CRF.decode";
    let ready = Ready::new(op, emissions, &scores, lengths)?;
    let mut found = vec![(Vec::new(), 0.0); ready.n];
    let to = SendPtr(found.as_mut_ptr());
    for_float_types!(op, ready.emissions.dtype(), T => {
        ready.expect_no_nan::<T>(op)?;
        // SAFETY: one element a task; the old value is dropped in place.
        for_each(ready.n, |i| unsafe { *to.get().add(i) = chain::viterbi(ready.chain::<T>(i)) });
    });
    Ok(found)
}
