//! Connectionist temporal classification (Graves et al. 2006): the loss, its gradient and the decoders.

mod beam;
mod lattice;
#[cfg(test)]
mod tests;

pub use beam::{Path, ctc_beam_decode, ctc_greedy_decode};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::for_float_types;
use crate::ops::copy;
use crate::ops::softmax::float_input;
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::tensor::Tensor;
use lattice::{Lattice, Rows};

/// Checks log probabilities `[T, N, C]` and the blank; returns the three sizes.
fn sizes(op: &'static str, log_probs: &Tensor, blank: i64) -> Result<(usize, usize, usize)> {
    log_probs.expect_cpu(op)?;
    let &[time, n, classes] = log_probs.shape() else {
        return Err(Error::shape(
            op,
            format!("log_probs has shape {:?}, expected [T, N, C] or [T, C]", log_probs.shape()),
        ));
    };
    if time * n * classes == 0 {
        return Err(Error::shape(
            op,
            format!("log_probs has shape {:?} and no element; it must not be empty", log_probs.shape()),
        ));
    }
    if blank < 0 || blank >= classes as i64 {
        let most = classes - 1;
        return Err(Error::value(
            op,
            format!("blank is {blank}, expected 0 to {most}, one of the {classes} classes of log_probs"),
        ));
    }
    Ok((time, n, classes))
}

/// Checks one length a sample, each from 0 to `most`, which is the size of `of`.
fn lengths(
    op: &'static str,
    name: &str,
    given: &[i64],
    n: usize,
    most: usize,
    of: &str,
) -> Result<Vec<usize>> {
    if given.len() != n {
        return Err(Error::shape(
            op,
            format!("{name} has {} entries, expected {n}, one for each sample", given.len()),
        ));
    }
    match given.iter().position(|&len| len < 0 || len > most as i64) {
        None => Ok(given.iter().map(|&len| len as usize).collect()),
        Some(i) => Err(Error::value(
            op,
            format!("{name}[{i}] is {}, expected 0 to {most}, the size of {of}", given[i]),
        )),
    }
}

/// The labels of every sample, checked.
struct Labels {
    all: Vec<usize>,
    /// Where each sample's labels begin, and one past the last.
    starts: Vec<usize>,
}

impl Labels {
    fn new(
        op: &'static str,
        targets: &Tensor,
        given: &[i64],
        n: usize,
        classes: usize,
        blank: i64,
    ) -> Result<Labels> {
        targets.expect_cpu(op)?;
        if !targets.dtype().is_int() {
            return Err(Error::dtype(
                op,
                format!("targets is {}, expected int64 labels; convert with .long()", targets.dtype()),
            ));
        }
        let shape = targets.shape();
        let wide = match *shape {
            [_] => None,
            [rows, wide] if rows == n => Some(wide),
            _ => {
                return Err(Error::shape(
                    op,
                    format!("targets has shape {shape:?}, expected [{n}, S] or [sum(target_lengths)]"),
                ));
            }
        };
        let most = wide.unwrap_or(shape[0]);
        let lens = lengths(op, "target_lengths", given, n, most, "targets along its last axis")?;
        let total: usize = lens.iter().sum();
        if wide.is_none() && total != shape[0] {
            return Err(Error::shape(
                op,
                format!(
                    "targets has {} labels, but target_lengths sum to {total}; concatenated targets hold just the \
                     labels of all samples",
                    shape[0]
                ),
            ));
        }
        let targets = copy::contiguous(op, &copy::cast(op, targets, DType::I64)?)?;
        // SAFETY: a copy is taken; whoever writes meanwhile races knowingly, and the copy is checked.
        let flat = unsafe { targets.as_slice::<i64>() };
        let (mut all, mut starts) = (Vec::with_capacity(total), vec![0]);
        for (sample, &len) in lens.iter().enumerate() {
            let first = wide.map_or(all.len(), |wide| sample * wide);
            for (at, &label) in flat[first..first + len].iter().enumerate() {
                if label < 0 || label >= classes as i64 {
                    let most = classes - 1;
                    return Err(Error::index(
                        op,
                        format!(
                            "label {at} of sample {sample} is {label}, out of range for {classes} classes, \
                             expected 0 to {most} without the blank {blank}"
                        ),
                    ));
                }
                if label == blank {
                    return Err(Error::value(
                        op,
                        format!(
                            "label {at} of sample {sample} is {label}, which is the blank; targets hold labels \
                             only: choose another blank, or drop it from the targets"
                        ),
                    ));
                }
                all.push(label as usize);
            }
            starts.push(all.len());
        }
        Ok(Labels { all, starts })
    }

    fn of(&self, sample: usize) -> &[usize] {
        &self.all[self.starts[sample]..self.starts[sample + 1]]
    }

    /// The floats of a row of states: a state before the first, and two after the last.
    fn pitch(&self) -> usize {
        let longest = self.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        (longest + 3).next_multiple_of(16)
    }
}

/// Samples that one task takes.
fn group(time: usize, pitch: usize, n: usize) -> usize {
    (GRAIN / 16 / (time * pitch)).clamp(1, n)
}

/// The loss of each sample, infinity where no alignment is possible; and what the gradient needs: the
/// forward variables `[N, T, 2, pitch]` and the sums of their shifts, `[N, T]` in float64.
pub fn ctc_loss(
    log_probs: &Tensor,
    targets: &Tensor,
    input_lengths: &[i64],
    target_lengths: &[i64],
    blank: i64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let op = "ctc_loss";
    let (time, n, classes) = sizes(op, log_probs, blank)?;
    let lens = lengths(op, "input_lengths", input_lengths, n, time, "log_probs along its axis of time")?;
    let labels = Labels::new(op, targets, target_lengths, n, classes, blank)?;
    let x = float_input(op, log_probs)?;
    let pitch = labels.pitch();
    let losses = Tensor::empty(op, &[n], x.dtype())?;
    let alpha = Tensor::empty(op, &[n, time, 2, pitch], x.dtype())?;
    let shifts = Tensor::empty(op, &[n, time], DType::F64)?;
    for_float_types!(op, x.dtype(), T => {
        let scratch = Tensor::empty(op, &[n, lattice::SCRATCH, pitch], x.dtype())?;
        let (from, to, sums) = (SendPtr(x.ptr::<T>()), SendPtr(losses.ptr::<T>()), SendPtr(shifts.ptr::<f64>()));
        let (states, spare) = (SendPtr(alpha.ptr::<T>()), SendPtr(scratch.ptr::<T>()));
        let each = group(time, pitch, n);
        for_each(n.div_ceil(each), |task| {
            for i in task * each..((task + 1) * each).min(n) {
                // SAFETY: every sample has its own part of all outputs.
                unsafe {
                    let rows = Rows { first: from.get().add(i * classes), step: n * classes };
                    let lattice = Lattice { rows, len: lens[i], classes, blank: blank as usize, labels: labels.of(i), pitch };
                    let loss = lattice::forward(
                        lattice,
                        states.get().add(i * time * 2 * pitch),
                        std::slice::from_raw_parts_mut(sums.get().add(i * time), time),
                        std::slice::from_raw_parts_mut(spare.get().add(i * lattice::SCRATCH * pitch), lattice::SCRATCH * pitch),
                    );
                    to.get().add(i).write(loss as T);
                }
            }
        });
    });
    Ok((copy::cast(op, &losses, log_probs.dtype())?, alpha, shifts))
}

/// The gradient of [`ctc_loss`] for log probabilities that came from a softmax: that part of softmax's
/// own derivative which vanishes in the sum over classes is included, as in PyTorch. `g`: one factor a sample.
#[allow(clippy::too_many_arguments)]
pub fn ctc_loss_grad(
    g: &Tensor,
    log_probs: &Tensor,
    targets: &Tensor,
    input_lengths: &[i64],
    target_lengths: &[i64],
    blank: i64,
    zero_infinity: bool,
    alpha: &Tensor,
    shifts: &Tensor,
) -> Result<Tensor> {
    let op = "ctc_loss_grad";
    let (time, n, classes) = sizes(op, log_probs, blank)?;
    let lens = lengths(op, "input_lengths", input_lengths, n, time, "log_probs along its axis of time")?;
    let labels = Labels::new(op, targets, target_lengths, n, classes, blank)?;
    let x = float_input(op, log_probs)?;
    let pitch = labels.pitch();
    let fits = alpha.shape() == [n, time, 2, pitch] && alpha.dtype() == x.dtype();
    if !fits || shifts.shape() != [n, time] || shifts.dtype() != DType::F64 || g.shape() != [n] {
        return Err(Error::shape(op, "the gradient or the forward variables are not those of this loss"));
    }
    g.expect_cpu(op)?;
    let (alpha, shifts) = (copy::contiguous(op, alpha)?, copy::contiguous(op, shifts)?);
    let g = copy::contiguous(op, &copy::cast(op, g, DType::F64)?)?;
    let out = Tensor::empty(op, x.shape(), x.dtype())?;
    for_float_types!(op, x.dtype(), T => {
        let scratch = Tensor::empty(op, &[n, lattice::SCRATCH, pitch], x.dtype())?;
        let (from, to, spare) = (SendPtr(x.ptr::<T>()), SendPtr(out.ptr::<T>()), SendPtr(scratch.ptr::<T>()));
        let (states, sums, factors) = (SendPtr(alpha.ptr::<T>()), SendPtr(shifts.ptr::<f64>()), SendPtr(g.ptr::<f64>()));
        let each = group(time, pitch, n);
        for_each(n.div_ceil(each), |task| {
            for i in task * each..((task + 1) * each).min(n) {
                // SAFETY: every sample has its own rows of the output and its own scratch.
                unsafe {
                    let rows = Rows { first: from.get().add(i * classes), step: n * classes };
                    let grads = Rows { first: to.get().add(i * classes), step: n * classes };
                    let lattice = Lattice { rows, len: lens[i], classes, blank: blank as usize, labels: labels.of(i), pitch };
                    lattice::backward(
                        lattice,
                        grads,
                        time,
                        states.get().add(i * time * 2 * pitch),
                        std::slice::from_raw_parts(sums.get().add(i * time), time),
                        std::slice::from_raw_parts_mut(spare.get().add(i * lattice::SCRATCH * pitch), lattice::SCRATCH * pitch),
                        *factors.get().add(i) as T,
                        zero_infinity,
                    );
                }
            }
        });
    });
    copy::cast(op, &out, log_probs.dtype())
}
