//! Classification losses: softmax cross entropy and negative log likelihood.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::copy;
use crate::ops::reduce::float::Float;
use crate::ops::softmax::{float_input, log_softmax};
use crate::parallel::{GRAIN, SendPtr, for_each};
use crate::tensor::Tensor;
use crate::{for_float_types, memory, multiversion};
use std::ops::Range;

/// How the losses of samples combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    None,
    Mean,
    Sum,
}

impl Reduction {
    pub fn from_name(name: &str) -> Option<Reduction> {
        match name {
            "none" => Some(Reduction::None),
            "mean" => Some(Reduction::Mean),
            "sum" => Some(Reduction::Sum),
            _ => None,
        }
    }
}

/// Scores as `n` times `classes` times `inner`, one label for each of `n * inner` samples.
#[derive(Clone, Copy)]
struct Shape {
    n: usize,
    classes: usize,
    inner: usize,
}

impl Shape {
    fn samples(&self) -> usize {
        self.n * self.inner
    }
}

/// Everything a loss needs of its labels and weights, checked.
struct Labels {
    shape: Shape,
    target: Tensor,
    /// One weight a class, and their sum, as float64.
    weights: Option<Vec<f64>>,
    ignore_index: i64,
    smoothing: f64,
}

impl Labels {
    fn new(
        op: &'static str,
        input: &Tensor,
        target: &Tensor,
        weight: Option<&Tensor>,
        ignore_index: i64,
        smoothing: f64,
    ) -> Result<Labels> {
        input.expect_cpu(op)?;
        target.expect_cpu(op)?;
        if input.ndim() == 0 {
            return Err(Error::shape(
                op,
                "expected scores of shape [batch, classes, ...] or [classes], got a tensor without axes",
            ));
        }
        let dims = input.shape();
        let (n, classes, rest) =
            if dims.len() == 1 { (1, dims[0], &dims[1..]) } else { (dims[0], dims[1], &dims[2..]) };
        let expected: Vec<usize> =
            if dims.len() == 1 { vec![] } else { std::iter::once(n).chain(rest.iter().copied()).collect() };
        if target.shape() != expected.as_slice() {
            return Err(Error::shape(
                op,
                format!(
                    "target has shape {:?}, expected {expected:?} for scores of shape {dims:?}",
                    target.shape()
                ),
            ));
        }
        if !target.dtype().is_int() {
            return Err(Error::dtype(
                op,
                format!("target is {}, expected int64 class labels; convert with .long()", target.dtype()),
            ));
        }
        let weights = match weight {
            None => None,
            Some(w) => {
                w.expect_cpu(op)?;
                if w.shape() != [classes] {
                    return Err(Error::shape(
                        op,
                        format!("weight has shape {:?}, expected [{classes}], one weight a class", w.shape()),
                    ));
                }
                let w = copy::contiguous(op, &copy::cast(op, w, DType::F64)?)?;
                // SAFETY: nobody writes during the call.
                Some(unsafe { w.as_slice::<f64>() }.to_vec())
            }
        };
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::value(op, format!("label_smoothing is {smoothing}, expected 0 to 1")));
        }
        let target = copy::contiguous(op, &copy::cast(op, target, DType::I64)?)?;
        let labels = Labels {
            shape: Shape { n, classes, inner: rest.iter().product() },
            target,
            weights,
            ignore_index,
            smoothing,
        };
        labels.check(op)?;
        Ok(labels)
    }

    fn target(&self) -> &[i64] {
        // SAFETY: kernels hold the slice during one call; whoever writes meanwhile races knowingly,
        // and every use clamps labels into range.
        unsafe { self.target.as_slice::<i64>() }
    }

    fn check(&self, op: &'static str) -> Result<()> {
        let classes = self.shape.classes;
        let bad = |t: i64| t != self.ignore_index && (t < 0 || t >= classes as i64);
        match self.target().iter().position(|&t| bad(t)) {
            None => Ok(()),
            Some(at) => {
                let label = self.target()[at];
                let mut place = vec![0; self.target.ndim()];
                let mut rest = at;
                for (p, &d) in place.iter_mut().zip(self.target.shape()).rev() {
                    *p = rest % d;
                    rest /= d;
                }
                let most = classes as i64 - 1;
                Err(Error::index(
                    op,
                    format!(
                        "target {label} at position {place:?} is out of bounds for {classes} classes, \
                             expected 0 to {most} or ignore_index={}",
                        self.ignore_index
                    ),
                ))
            }
        }
    }

    /// The weight of a sample: that of its class, or 0 where it is ignored.
    #[inline]
    fn weight(&self, t: i64) -> f64 {
        if t == self.ignore_index {
            return 0.0;
        }
        match &self.weights {
            None => 1.0,
            Some(w) => w.get(t as usize).copied().unwrap_or(0.0),
        }
    }

    fn total_weight(&self) -> f64 {
        self.target().iter().map(|&t| self.weight(t)).sum()
    }

    /// What smoothing adds for every class: `smoothing / classes` times its weight, one entry a class.
    fn spread(&self) -> Vec<f64> {
        let each = self.smoothing / self.shape.classes as f64;
        (0..self.shape.classes).map(|c| each * self.weights.as_ref().map_or(1.0, |w| w[c])).collect()
    }
}

/// Samples that one task takes.
fn sample_group(s: Shape) -> usize {
    (GRAIN / s.classes.max(1)).clamp(64, 1 << 15)
}

/// The losses of all samples from log-probabilities, combined.
fn combine<T: Float>(
    op: &'static str,
    log_probs: &Tensor,
    labels: &Labels,
    reduction: Reduction,
) -> Result<Tensor> {
    let s = labels.shape;
    let samples = s.samples();
    let each = Tensor::empty(op, labels.target.shape(), T::DTYPE)?;
    let group = sample_group(s);
    let tasks = samples.div_ceil(group);
    let partial = memory::allocate(op, tasks * 8)?;
    let (lp, to, sums) =
        (SendPtr(log_probs.ptr::<T>()), SendPtr(each.ptr::<T>()), SendPtr(partial.as_ptr().cast::<f64>()));
    let (target, spread, sharp) = (labels.target(), labels.spread(), 1.0 - labels.smoothing);
    for_each(tasks, |task| {
        let mut total = 0.0;
        for i in task * group..((task + 1) * group).min(samples) {
            let t = target[i];
            let mut loss = 0.0;
            if t != labels.ignore_index {
                let at = i / s.inner * s.classes * s.inner + i % s.inner;
                let t = (t.max(0) as usize).min(s.classes - 1);
                // SAFETY: sample and class are in range of the scores, which are contiguous.
                unsafe {
                    loss = -sharp * labels.weight(t as i64) * (*lp.get().add(at + t * s.inner)).wide();
                    if labels.smoothing > 0.0 {
                        let mut smooth = 0.0;
                        for (c, w) in spread.iter().enumerate() {
                            smooth += w * (*lp.get().add(at + c * s.inner)).wide();
                        }
                        loss -= smooth;
                    }
                }
            }
            total += loss;
            // SAFETY: one output a sample.
            unsafe { to.get().add(i).write(T::narrow(loss)) };
        }
        // SAFETY: one partial sum a task.
        unsafe { sums.get().add(task).write(total) };
    });
    if reduction == Reduction::None {
        return Ok(each);
    }
    // SAFETY: every task wrote its sum.
    let total: f64 = unsafe { std::slice::from_raw_parts(sums.get(), tasks) }.iter().sum();
    let loss = if reduction == Reduction::Mean { total / labels.total_weight() } else { total };
    Tensor::from_slice(op, &[T::narrow(loss)], &[])
}

/// Softmax cross entropy of scores `[N, C, ...]` (or `[C]`) with class labels `[N, ...]`. Returns the
/// loss and the log-probabilities.
pub fn cross_entropy(
    logits: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    label_smoothing: f64,
    reduction: Reduction,
) -> Result<(Tensor, Tensor)> {
    let op = "cross_entropy";
    let labels = Labels::new(op, logits, target, weight, ignore_index, label_smoothing)?;
    let x = float_input(op, logits)?;
    let log_probs = log_softmax(&x, if x.ndim() == 1 { 0 } else { 1 })?;
    let loss = for_float_types!(op, x.dtype(), T => combine::<T>(op, &log_probs, &labels, reduction)?);
    Ok((copy::cast(op, &loss, logits.dtype())?, copy::cast(op, &log_probs, logits.dtype())?))
}

/// The factor of each sample's gradient: `g` per sample or one for all, over the total weight for a mean.
fn factors<T: Float>(op: &'static str, g: &Tensor, labels: &Labels, reduction: Reduction) -> Result<Vec<T>> {
    g.expect_cpu(op)?;
    let expected = if reduction == Reduction::None { labels.target.shape() } else { &[][..] };
    if g.shape() != expected {
        return Err(Error::shape(
            op,
            format!("the gradient has shape {:?}, expected {expected:?} as the loss", g.shape()),
        ));
    }
    let g = copy::contiguous(op, &copy::cast(op, g, T::DTYPE)?)?;
    // SAFETY: nobody writes during the call.
    let g = unsafe { g.as_slice::<T>() };
    Ok(match reduction {
        Reduction::None => g.to_vec(),
        Reduction::Sum => g.to_vec(),
        Reduction::Mean => vec![T::narrow(g[0].wide() / labels.total_weight())],
    })
}

multiversion! {
    /// `dx = exp(log_prob) * mass - spread` for the samples of one image's `columns` (`inner` > 1), or for
    /// images in rows (`inner` = 1); the label's own share is subtracted by the caller.
    fn spread_grad<T: Float>(lp: *const T, dx: *mut T, s: Shape, image: usize, columns: Range<usize>, scale: &[T], mass: &[T], spread: &[T]) {
        let w = columns.len();
        let (scale, mass) = (&scale[..w], &mass[..w]);
        // SAFETY: image, class and columns are in range; tasks have different samples.
        unsafe {
            if s.inner == 1 {
                let at = image * s.classes;
                let lp = std::slice::from_raw_parts(lp.add(at), s.classes);
                let dx = std::slice::from_raw_parts_mut(dx.add(at), s.classes);
                let (scale, mass) = (scale[0], mass[0]);
                if spread.is_empty() {
                    for j in 0..s.classes {
                        dx[j] = lp[j].exp() * mass;
                    }
                } else {
                    let spread = &spread[..s.classes];
                    for j in 0..s.classes {
                        dx[j] = lp[j].exp() * mass - spread[j] * scale;
                    }
                }
                return;
            }
            for c in 0..s.classes {
                let at = (image * s.classes + c) * s.inner + columns.start;
                let lp = std::slice::from_raw_parts(lp.add(at), w);
                let dx = std::slice::from_raw_parts_mut(dx.add(at), w);
                let share = if spread.is_empty() { T::ZERO } else { spread[c] };
                for j in 0..w {
                    dx[j] = lp[j].exp() * mass[j] - share * scale[j];
                }
            }
        }
    }
}

/// Samples of one image worked on side by side.
const WIDTH: usize = 256;

/// The gradient of [`cross_entropy`] for its scores, from the log-probabilities it returned.
pub fn cross_entropy_grad(
    g: &Tensor,
    log_probs: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    label_smoothing: f64,
    reduction: Reduction,
) -> Result<Tensor> {
    let op = "cross_entropy_grad";
    let labels = Labels::new(op, log_probs, target, weight, ignore_index, label_smoothing)?;
    let dtype = log_probs.dtype();
    let lp = float_input(op, log_probs)?;
    let s = labels.shape;
    let out = Tensor::empty(op, lp.shape(), lp.dtype())?;
    for_float_types!(op, lp.dtype(), T => {
        let factor = factors::<T>(op, g, &labels, reduction)?;
        let (spread, sharp) = (labels.spread(), 1.0 - label_smoothing);
        let spread_sum: f64 = spread.iter().sum();
        let spread: Vec<T> = if label_smoothing > 0.0 { spread.iter().map(|&v| T::narrow(v)).collect() } else { vec![] };
        let (from, to) = (SendPtr(lp.ptr::<T>()), SendPtr(out.ptr::<T>()));
        let (target, blocks) = (labels.target(), s.inner.div_ceil(WIDTH));
        let units = if s.classes == 0 { 0 } else { s.n * blocks };
        let group = (GRAIN / 4 / (s.classes * s.inner.min(WIDTH)).max(1)).clamp(1, units.max(1));
        for_each(units.div_ceil(group), |task| {
            let (mut scale, mut mass) = ([T::ZERO; WIDTH], [T::ZERO; WIDTH]);
            for unit in task * group..((task + 1) * group).min(units) {
                let (image, first) = (unit / blocks, unit % blocks * WIDTH);
                let columns = first..s.inner.min(first + WIDTH);
                for (j, column) in columns.clone().enumerate() {
                    let i = image * s.inner + column;
                    let f = factor[if factor.len() == 1 { 0 } else { i }];
                    let ignored = target[i] == ignore_index;
                    scale[j] = if ignored { T::ZERO } else { f };
                    mass[j] = if ignored { T::ZERO } else { f * T::narrow(sharp * labels.weight(target[i]) + if label_smoothing > 0.0 { spread_sum } else { 0.0 }) };
                }
                spread_grad(from.get(), to.get(), s, image, columns.clone(), &scale, &mass, &spread);
                for (j, column) in columns.enumerate() {
                    let t = target[image * s.inner + column];
                    let class = (t.max(0) as usize).min(s.classes - 1);
                    if t != ignore_index {
                        // SAFETY: sample and class are in range; one label a sample.
                        unsafe {
                            let p = to.get().add((image * s.classes + class) * s.inner + column);
                            *p -= scale[j] * T::narrow(sharp * labels.weight(class as i64));
                        }
                    }
                }
            }
        });
    });
    copy::cast(op, &out, dtype)
}

/// The negative of each label's log-probability, weighted and combined.
pub fn nll_loss(
    log_probs: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: Reduction,
) -> Result<Tensor> {
    let op = "nll_loss";
    let labels = Labels::new(op, log_probs, target, weight, ignore_index, 0.0)?;
    let x = float_input(op, log_probs)?;
    let loss = for_float_types!(op, x.dtype(), T => combine::<T>(op, &x, &labels, reduction)?);
    copy::cast(op, &loss, log_probs.dtype())
}

/// The gradient of [`nll_loss`] for its input, of which only shape and dtype matter.
pub fn nll_loss_grad(
    g: &Tensor,
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: Reduction,
) -> Result<Tensor> {
    let op = "nll_loss_grad";
    let labels = Labels::new(op, input, target, weight, ignore_index, 0.0)?;
    let s = labels.shape;
    let compute = if input.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let out = Tensor::zeros(op, input.shape(), compute)?;
    for_float_types!(op, compute, T => {
        let factor = factors::<T>(op, g, &labels, reduction)?;
        for (i, &t) in labels.target().iter().enumerate() {
            if t == ignore_index {
                continue;
            }
            let class = (t.max(0) as usize).min(s.classes - 1);
            let f = factor[if factor.len() == 1 { 0 } else { i }];
            // SAFETY: sample and class are in range of the fresh output.
            unsafe {
                let at = (i / s.inner * s.classes + class) * s.inner + i % s.inner;
                out.ptr::<T>().add(at).write(-f * T::narrow(labels.weight(t)));
            }
        }
    });
    copy::cast(op, &out, input.dtype())
}
