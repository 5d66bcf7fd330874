//! The same instruction for all steps at once: values with an axis of steps in front.

use super::instr::{Arg, Cut, Fold, In, Instr, Kern, Made, reshape};
use super::parse::Meta;
use crate::error::Result;
use crate::layout::Dims;
use smallvec::SmallVec;

/// An instruction over sequences.
#[derive(Clone, Debug)]
pub(super) struct Batched {
    kern: Kern,
    pub args: SmallVec<[Arg; 4]>,
    /// Of each argument: the shape in which a step of it takes part, None where that is its own, or
    /// where it is one for all steps.
    fit: SmallVec<[Option<Dims>; 4]>,
    /// Whether an argument that is one for all steps must be repeated for each.
    repeat: SmallVec<[bool; 4]>,
    pub outs: SmallVec<[Option<usize>; 3]>,
    /// The shape of a step's result, where the kernel leaves another one.
    then: Option<Dims>,
}

/// The form of `instr` over sequences, where `varies` says which values are one; None where a kernel
/// cannot do that.
pub(super) fn batched(instr: &Instr, metas: &[Meta], varies: &dyn Fn(usize) -> bool) -> Option<Batched> {
    use Kern::*;
    let out = &metas[instr.outs.iter().flatten().next().copied()?].shape;
    let shape_of = |i: usize| match instr.args.get(i) {
        Some(Arg::Slot(s)) => Some(&metas[*s].shape),
        _ => None,
    };
    let seq = |i: usize| matches!(instr.args.get(i), Some(Arg::Slot(s)) if varies(*s));
    let n = instr.args.len();
    let mut b = Batched {
        kern: instr.kern.clone(),
        args: instr.args.clone(),
        fit: smallvec::smallvec![None; n],
        repeat: smallvec::smallvec![false; n],
        outs: instr.outs.clone(),
        then: None,
    };
    // Axes of one step count from the front; a negative one keeps its meaning.
    let later = |axis: isize| if axis < 0 { axis } else { axis + 1 };
    let grown = |shape: &Dims, steps: usize| -> Dims {
        std::iter::once(steps).chain(shape.iter().copied()).collect()
    };
    match &instr.kern {
        kern if kern.is_elementwise() => {
            // Tensors without axes take part in promotion differently: only where all types agree.
            let operands = if matches!(instr.kern, Where) { 1 } else { 0 };
            let mut types = instr.reads().skip(operands).map(|s| metas[s].dtype);
            if let Some(first) = types.next()
                && !matches!(instr.kern, MaskedFill(_))
                && types.any(|d| d != first)
            {
                return None;
            }
            for i in 0..n {
                if let Some(shape) = shape_of(i).filter(|s| seq(i) && s.len() < out.len()) {
                    let mut full: Dims = SmallVec::from_elem(1, out.len() - shape.len());
                    full.extend(shape.iter().copied());
                    b.fit[i] = Some(full);
                }
            }
        }
        Linear if seq(0) && !seq(1) && !seq(2) => {}
        Matmul => {
            let (x, y) = (shape_of(0)?.len(), shape_of(1)?.len());
            match (seq(0), seq(1)) {
                // A vector becomes a row of a matrix.
                (true, false) if y == 2 => {}
                (true, false) | (false, true) | (true, true) if x >= 2 && y >= 2 => {
                    for (i, len) in [x, y].into_iter().enumerate() {
                        let wide = x.max(y);
                        if seq(i) && len < wide {
                            let mut full: Dims = SmallVec::from_elem(1, wide - len);
                            full.extend(shape_of(i)?.iter().copied());
                            b.fit[i] = Some(full);
                        }
                    }
                }
                _ => return None,
            }
        }
        // The number of steps is filled in when it is known.
        Reshape(shape) => b.kern = Reshape(grown(shape, 0)),
        Expand(shape) => {
            let from = shape_of(0)?;
            let mut full: Dims = SmallVec::from_elem(1, shape.len() - from.len());
            full.extend(from.iter().copied());
            b.fit[0] = Some(full);
            b.kern = Expand(grown(shape, 0));
        }
        Permute(axes) => b.kern = Permute(std::iter::once(0).chain(axes.iter().map(|a| a + 1)).collect()),
        View(cuts) => b.kern = View(cuts.iter().map(Cut::shifted).collect()),
        Assemble { shape, parts, covered } => {
            b.kern = Assemble {
                shape: grown(shape, 0),
                parts: parts.iter().map(|cuts| cuts.iter().map(Cut::shifted).collect()).collect(),
                covered: *covered,
            };
            b.repeat.fill(true);
        }
        Pad(pads, value) => {
            b.kern = Pad(std::iter::once((0, 0)).chain(pads.iter().copied()).collect(), *value);
        }
        Cat(axis) => {
            b.kern = Cat(axis + 1);
            b.repeat.fill(true);
        }
        Kern::Fold { fold, axes, keepdim, dtype } => {
            // All axes of a step without axes would be all axes of the sequence.
            if axes.is_empty() {
                return None;
            }
            let axes = axes.iter().map(|&a| later(a)).collect();
            b.kern = Kern::Fold { fold: *fold, axes, keepdim: *keepdim, dtype: *dtype };
        }
        SumTo(shape, dtype) => {
            let from = shape_of(0)?;
            let mut full: Dims = SmallVec::from_elem(1, from.len() - shape.len());
            full.extend(shape.iter().copied());
            b.kern = SumTo(grown(&full, 0), *dtype);
            b.then = Some(shape.clone());
        }
        Norm { p, axes, keepdim } if !axes.is_empty() => {
            let axes = axes.iter().map(|&a| later(a)).collect();
            b.kern = Norm { p: *p, axes, keepdim: *keepdim };
        }
        Var { axes, keepdim, correction } if !axes.is_empty() => {
            let axes = axes.iter().map(|&a| later(a)).collect();
            b.kern = Var { axes, keepdim: *keepdim, correction: *correction };
        }
        Cumsum(axis, dtype) => b.kern = Cumsum(later(*axis), *dtype),
        CumsumReverse(axis) => b.kern = CumsumReverse(later(*axis)),
        Softmax(axis) => b.kern = Softmax(later(*axis)),
        LogSoftmax(axis) => b.kern = LogSoftmax(later(*axis)),
        SoftmaxGrad(axis) => {
            b.kern = SoftmaxGrad(later(*axis));
            b.repeat.fill(true);
        }
        LogSoftmaxGrad(axis) => {
            b.kern = LogSoftmaxGrad(later(*axis));
            b.repeat.fill(true);
        }
        LayerNorm { .. } if seq(0) && !seq(1) && !seq(2) => {}
        IndexSelect(0) if !seq(0) && seq(1) && shape_of(1)?.len() == 1 => {
            b.kern = IndexSelect(0);
            b.then = Some(out.clone());
        }
        Gather(axis) => {
            b.kern = Gather(later(*axis));
            b.repeat.fill(true);
        }
        Flip(axes) => b.kern = Flip(axes.iter().map(|&a| later(a)).collect()),
        OneHot(_) => {}
        _ => return None,
    }
    Some(b)
}

impl Batched {
    /// Computes it for `steps` steps. Arguments that vary have the axis of steps in front.
    pub fn run(&self, args: &[In], varies: &[bool], steps: usize) -> Result<Made> {
        let mut ready: SmallVec<[In; 4]> = SmallVec::new();
        for (i, arg) in args.iter().enumerate() {
            let In::Tensor(t) = arg else {
                ready.push(arg.clone());
                continue;
            };
            let with_steps =
                |shape: &[usize]| -> Dims { std::iter::once(steps).chain(shape.iter().copied()).collect() };
            ready.push(In::Tensor(match &self.fit[i] {
                Some(shape) if varies[i] => reshape(t, &with_steps(shape))?,
                _ if self.repeat[i] && !varies[i] => {
                    t.with_layout(t.layout().broadcast_to("scan", &with_steps(t.shape()))?)
                }
                _ => t.clone(),
            }));
        }
        let kern = match &self.kern {
            Kern::Reshape(shape) => Kern::Reshape(known(shape, steps)),
            Kern::Expand(shape) => Kern::Expand(known(shape, steps)),
            Kern::SumTo(shape, dtype) => Kern::SumTo(known(shape, steps), *dtype),
            Kern::Assemble { shape, parts, covered } => {
                Kern::Assemble { shape: known(shape, steps), parts: parts.clone(), covered: *covered }
            }
            Kern::IndexSelect(axis) => {
                let index = args[1].tensor()?;
                ready[1] = In::Tensor(reshape(index, &[index.numel()])?);
                Kern::IndexSelect(*axis)
            }
            other => other.clone(),
        };
        let mut made = kern.run(&ready, Default::default())?;
        if let Kern::LayerNorm { .. } = kern {
            // Means and deviations of all rows in one list.
            for t in made[1..].iter_mut().flatten() {
                *t = reshape(t, &[steps, t.numel() / steps])?;
            }
        }
        if let Some(shape) = &self.then
            && let Some(first) = made[0].take()
        {
            let full: Dims = std::iter::once(steps).chain(shape.iter().copied()).collect();
            made[0] = Some(reshape(&first, &full)?);
        }
        Ok(made)
    }
}

fn known(shape: &Dims, steps: usize) -> Dims {
    let mut full = shape.clone();
    full[0] = steps;
    full
}

/// What the steps' contributions to a gradient add up to, computed at once.
pub(super) fn total(
    kern: &Kern,
    args: &[In],
    varies: &[bool],
    steps: usize,
) -> Result<crate::tensor::Tensor> {
    use crate::ops::{matmul, reduce};
    let full = |i: usize| -> Result<crate::tensor::Tensor> {
        let t = args[i].tensor()?;
        if varies[i] {
            return Ok(t.clone());
        }
        let shape: Dims = std::iter::once(steps).chain(t.shape().iter().copied()).collect();
        Ok(t.with_layout(t.layout().broadcast_to("scan", &shape)?))
    };
    match kern {
        Kern::Matmul => {
            // The sum over steps of a_t b_t is one product: [M, T K] by [T K, N].
            let (a, b) = (full(0)?, full(1)?);
            let a = a.with_layout(a.layout().permute(&[1, 0, 2]));
            let (m, k, n) = (a.shape()[0], a.shape()[2], b.shape()[2]);
            matmul::matmul(&reshape(&a, &[m, steps * k])?, &reshape(&b, &[steps * k, n])?)
        }
        Kern::Fold { fold: Fold::Sum, axes, dtype, .. } => {
            let axes: Vec<isize> =
                std::iter::once(0).chain(axes.iter().map(|&a| if a < 0 { a } else { a + 1 })).collect();
            reduce::sum(&full(0)?, &axes, false, *dtype)
        }
        _ => reduce::sum(&full(0)?, &[0], false, None),
    }
}
