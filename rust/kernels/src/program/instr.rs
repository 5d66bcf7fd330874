//! The instructions of a recorded step, and how each is computed as a whole.

use super::Ends;
use super::parse::Meta;
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout};
use crate::ops::activation::{self, Activation};
use crate::ops::elementwise::{self, Binary, Operand, Unary};
use crate::ops::random::Generator;
use crate::ops::{copy, index, matmul, norm, random, reduce, scan, shape, softmax};
use crate::tensor::Tensor;
use smallvec::SmallVec;

/// A part of a basic index.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cut {
    Select(usize, usize),
    Slice(usize, usize, usize, isize),
    Unsqueeze(usize),
}

impl Cut {
    /// The same cut of a tensor with one more axis in front.
    pub fn shifted(&self) -> Cut {
        match *self {
            Cut::Select(axis, i) => Cut::Select(axis + 1, i),
            Cut::Slice(axis, start, len, by) => Cut::Slice(axis + 1, start, len, by),
            Cut::Unsqueeze(axis) => Cut::Unsqueeze(axis + 1),
        }
    }
}

pub(super) fn cut(layout: &Layout, cuts: &[Cut]) -> Layout {
    cuts.iter().fold(layout.clone(), |l, cut| match *cut {
        Cut::Select(axis, i) => l.select(axis, i),
        Cut::Slice(axis, start, len, by) => l.slice(axis, start, len, by),
        Cut::Unsqueeze(axis) => l.unsqueeze(axis),
    })
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fold {
    Sum,
    Mean,
    Amax,
    Amin,
    Prod,
    Any,
    All,
    Logsumexp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Draw {
    Uniform,
    Normal,
    Exponential,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kern {
    Unary(Unary),
    Binary(Binary),
    Scaled {
        alpha: Scalar,
        sub: bool,
    },
    Activation(Activation),
    ActivationGrad(Activation),
    ReluGrad,
    SigmoidGrad,
    TanhGrad,
    Where,
    Clamp(Option<Scalar>, Option<Scalar>),
    Lerp,
    Addcmul(Scalar),
    Addcdiv(Scalar),
    SquaredError,
    SquaredErrorGrad,
    BceLogits,
    BceLogitsGrad,
    Cast(DType),
    /// The value itself: copies need not be made of what nothing changes.
    Same,
    Matmul,
    Linear,
    Reshape(Dims),
    Permute(SmallVec<[usize; 6]>),
    Expand(Dims),
    View(Vec<Cut>),
    /// A tensor of this shape with each operand where its cuts select; zero elsewhere.
    Assemble {
        shape: Dims,
        parts: Vec<Vec<Cut>>,
        covered: bool,
    },
    Pad(Vec<(isize, isize)>, Scalar),
    Cat(usize),
    Fold {
        fold: Fold,
        axes: Vec<isize>,
        keepdim: bool,
        dtype: Option<DType>,
    },
    Norm {
        p: f64,
        axes: Vec<isize>,
        keepdim: bool,
    },
    Var {
        axes: Vec<isize>,
        keepdim: bool,
        correction: f64,
    },
    SumTo(Dims, DType),
    Cumsum(isize, Option<DType>),
    CumsumReverse(isize),
    Softmax(isize),
    LogSoftmax(isize),
    SoftmaxGrad(isize),
    LogSoftmaxGrad(isize),
    LayerNorm {
        axes: usize,
        eps: f64,
    },
    LayerNormGrad {
        axes: usize,
        need: [bool; 3],
    },
    Dropout {
        p: f64,
        offset: u64,
    },
    Draw {
        draw: Draw,
        shape: Dims,
        dtype: DType,
        a: f64,
        b: f64,
        offset: u64,
    },
    Bernoulli {
        offset: u64,
    },
    Zeros(Dims, DType),
    IndexSelect(isize),
    /// Rows of zeros with gradients added where the indices point, along an axis.
    IndexRows {
        shape: Dims,
        axis: usize,
    },
    Gather(isize),
    ScatterAdd(isize),
    MaskedFill(Scalar),
    MaxDim {
        axis: isize,
        keepdim: bool,
    },
    MinDim {
        axis: isize,
        keepdim: bool,
    },
    Argmax {
        axis: Option<isize>,
        keepdim: bool,
    },
    Argmin {
        axis: Option<isize>,
        keepdim: bool,
    },
    OneHot(i64),
    Flip(Vec<isize>),
    Roll(Vec<isize>, Vec<isize>),
    Tril(i64),
    Triu(i64),
    RepeatInterleave(usize, isize),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Arg {
    Slot(usize),
    Number(Scalar),
    Missing,
}

/// One instruction: what to compute from which values, into which.
#[derive(Clone, Debug)]
pub(super) struct Instr {
    pub kern: Kern,
    pub args: SmallVec<[Arg; 4]>,
    pub outs: SmallVec<[Option<usize>; 3]>,
}

/// An argument at run time.
#[derive(Clone)]
pub(super) enum In {
    Tensor(Tensor),
    Number(Scalar),
    Missing,
}

/// Where the random numbers of this step come from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dice {
    pub seed: u64,
    pub offset: u64,
}

pub(super) type Made = SmallVec<[Option<Tensor>; 3]>;

impl Instr {
    pub fn reads(&self) -> impl Iterator<Item = usize> + '_ {
        self.args.iter().filter_map(|a| match a {
            Arg::Slot(s) => Some(*s),
            _ => None,
        })
    }

    pub fn makes(&self) -> impl Iterator<Item = usize> + '_ {
        self.outs.iter().flatten().copied()
    }
}

fn fail(what: &str) -> Error {
    Error::runtime("scan", format!("an instruction has no {what}"))
}

impl In {
    fn operand(&self) -> Result<Operand<'_>> {
        match self {
            In::Tensor(t) => Ok(Operand::Tensor(t)),
            In::Number(s) => Ok(Operand::Scalar(*s)),
            In::Missing => Err(fail("operand")),
        }
    }
    pub fn tensor(&self) -> Result<&Tensor> {
        match self {
            In::Tensor(t) => Ok(t),
            _ => Err(fail("tensor")),
        }
    }
    fn maybe(&self) -> Option<&Tensor> {
        self.tensor().ok()
    }
}

impl Kern {
    /// Draws random numbers.
    pub fn is_random(&self) -> bool {
        matches!(self, Kern::Dropout { .. } | Kern::Draw { .. } | Kern::Bernoulli { .. })
    }

    /// Computes nothing: another layout on the same memory, or at worst a copy.
    pub fn is_view(&self) -> bool {
        use Kern::*;
        matches!(self, Same | Reshape(_) | Permute(_) | Expand(_) | View(_))
    }

    /// Each element of the result is made of the operands' elements at its place.
    pub fn is_elementwise(&self) -> bool {
        use Kern::*;
        matches!(
            self,
            Unary(_)
                | Binary(_)
                | Scaled { .. }
                | Activation(_)
                | ActivationGrad(_)
                | ReluGrad
                | SigmoidGrad
                | TanhGrad
                | Where
                | Clamp(..)
                | Lerp
                | Addcmul(_)
                | Addcdiv(_)
                | SquaredError
                | SquaredErrorGrad
                | BceLogits
                | BceLogitsGrad
                | Cast(_)
                | Same
                | MaskedFill(_)
        )
    }

    pub fn is_product(&self) -> bool {
        matches!(self, Kern::Matmul | Kern::Linear)
    }

    /// Computes the instruction from whole tensors.
    pub fn run(&self, args: &[In], dice: Dice) -> Result<Made> {
        use Kern::*;
        let t = |i: usize| args[i].tensor();
        let o = |i: usize| args[i].operand();
        let generator = |offset: u64| {
            let g = Generator::new(dice.seed);
            g.set_state([dice.seed, dice.offset.wrapping_add(offset)]);
            g
        };
        let made = match self {
            Unary(op) => elementwise::unary(*op, t(0)?, None)?,
            Binary(op) => elementwise::binary(*op, o(0)?, o(1)?, None)?,
            Scaled { alpha, sub } => elementwise::add_scaled(o(0)?, o(1)?, *alpha, *sub, None)?,
            Activation(act) => activation::activation(*act, t(0)?)?,
            ActivationGrad(act) => activation::activation_grad(*act, t(0)?, t(1)?)?,
            ReluGrad => activation::relu_grad(t(0)?, t(1)?)?,
            SigmoidGrad => activation::sigmoid_grad(t(0)?, t(1)?)?,
            TanhGrad => activation::tanh_grad(t(0)?, t(1)?)?,
            Where => elementwise::where_(t(0)?, o(1)?, o(2)?)?,
            Clamp(low, high) => elementwise::clamp(t(0)?, *low, *high)?,
            Lerp => elementwise::lerp(t(0)?, t(1)?, o(2)?)?,
            Addcmul(value) => elementwise::addcmul(t(0)?, t(1)?, t(2)?, *value)?,
            Addcdiv(value) => elementwise::addcdiv(t(0)?, t(1)?, t(2)?, *value)?,
            SquaredError => elementwise::squared_error(t(0)?, t(1)?)?,
            SquaredErrorGrad => elementwise::squared_error_grad(t(0)?, t(1)?, t(2)?)?,
            BceLogits => elementwise::bce_logits(t(0)?, t(1)?)?,
            BceLogitsGrad => elementwise::bce_logits_grad(t(0)?, t(1)?, t(2)?)?,
            Cast(dtype) => copy::cast("to", t(0)?, *dtype)?,
            Same => t(0)?.clone(),
            Matmul => matmul::matmul(t(0)?, t(1)?)?,
            Linear => matmul::addmm_bias(t(0)?, t(1)?, args[2].maybe(), false)?,
            Reshape(shape) => reshape(t(0)?, shape)?,
            Permute(axes) => t(0)?.with_layout(t(0)?.layout().permute(axes)),
            Expand(shape) => t(0)?.with_layout(t(0)?.layout().broadcast_to("expand", shape)?),
            View(cuts) => t(0)?.with_layout(cut(t(0)?.layout(), cuts)),
            Assemble { shape, parts, covered } => {
                let dtype = t(0)?.dtype();
                let out = if *covered {
                    Tensor::empty("scan", shape, dtype)?
                } else {
                    Tensor::zeros("scan", shape, dtype)?
                };
                for (i, cuts) in parts.iter().enumerate() {
                    copy::copy_into("scan", &out.with_layout(cut(out.layout(), cuts)), t(i)?)?;
                }
                out
            }
            Pad(pads, value) => shape::pad_constant(t(0)?, pads, *value)?,
            Cat(axis) => {
                let tensors = args.iter().map(In::tensor).collect::<Result<SmallVec<[&Tensor; 4]>>>()?;
                shape::cat(&tensors, *axis as isize)?
            }
            Fold { fold, axes, keepdim, dtype } => {
                let x = t(0)?;
                match fold {
                    self::Fold::Sum => reduce::sum(x, axes, *keepdim, *dtype)?,
                    self::Fold::Mean => reduce::mean(x, axes, *keepdim, *dtype)?,
                    self::Fold::Prod => reduce::prod(x, axes, *keepdim, *dtype)?,
                    self::Fold::Amax => reduce::amax(x, axes, *keepdim)?,
                    self::Fold::Amin => reduce::amin(x, axes, *keepdim)?,
                    self::Fold::Any => reduce::any(x, axes, *keepdim)?,
                    self::Fold::All => reduce::all(x, axes, *keepdim)?,
                    self::Fold::Logsumexp => reduce::logsumexp(x, axes, *keepdim)?,
                }
            }
            SumTo(shape, dtype) => copy::cast("sum_to", &reduce::sum_to_shape(t(0)?, shape)?, *dtype)?,
            Norm { p, axes, keepdim } => reduce::norm(t(0)?, *p, axes, *keepdim)?,
            Var { axes, keepdim, correction } => reduce::var(t(0)?, axes, *keepdim, *correction)?,
            Cumsum(axis, dtype) => scan::cumsum(t(0)?, *axis, *dtype)?,
            CumsumReverse(axis) => scan::cumsum_reverse(t(0)?, *axis)?,
            Softmax(axis) => softmax::softmax(t(0)?, *axis)?,
            LogSoftmax(axis) => softmax::log_softmax(t(0)?, *axis)?,
            SoftmaxGrad(axis) => softmax::softmax_grad(t(0)?, t(1)?, *axis)?,
            LogSoftmaxGrad(axis) => softmax::log_softmax_grad(t(0)?, t(1)?, *axis)?,
            LayerNorm { axes, eps } => {
                let (y, mean, rstd) = norm::layer_norm(t(0)?, *axes, args[1].maybe(), args[2].maybe(), *eps)?;
                return Ok([Some(y), Some(mean), Some(rstd)].into_iter().collect());
            }
            LayerNormGrad { axes, need } => {
                let (dx, dw, db) =
                    norm::layer_norm_grad(t(0)?, t(1)?, *axes, args[2].maybe(), t(3)?, t(4)?, *need)?;
                return Ok([dx, dw, db].into_iter().collect());
            }
            Dropout { p, offset } => {
                random::dropout(dice.seed, dice.offset.wrapping_add(*offset), t(0)?, *p)?.0
            }
            Draw { draw, shape, dtype, a, b, offset } => {
                let g = generator(*offset);
                match draw {
                    self::Draw::Uniform => random::uniform(&g, shape, *dtype, *a, *b)?,
                    self::Draw::Normal => random::normal(&g, shape, *dtype, *a, *b)?,
                    self::Draw::Exponential => random::exponential(&g, shape, *dtype, *a)?,
                }
            }
            Bernoulli { offset } => random::bernoulli(&generator(*offset), t(0)?)?,
            Zeros(shape, dtype) => Tensor::zeros("scan", shape, *dtype)?,
            IndexSelect(axis) => index::index_select(t(0)?, *axis, t(1)?)?,
            IndexRows { shape, axis } => {
                let mut indices: SmallVec<[Option<&Tensor>; 4]> = SmallVec::from_elem(None, *axis);
                indices.push(Some(t(1)?));
                index::index_get_grad(t(0)?, shape, &indices)?
            }
            Gather(axis) => index::gather(t(0)?, *axis, t(1)?)?,
            ScatterAdd(axis) => index::scatter_add(t(0)?, *axis, t(1)?, t(2)?)?,
            MaskedFill(value) => index::masked_fill(t(0)?, t(1)?, *value)?,
            MaxDim { axis, keepdim } => return pair(reduce::max_dim(t(0)?, *axis, *keepdim)?),
            MinDim { axis, keepdim } => return pair(reduce::min_dim(t(0)?, *axis, *keepdim)?),
            Argmax { axis, keepdim } => reduce::argmax(t(0)?, *axis, *keepdim)?,
            Argmin { axis, keepdim } => reduce::argmin(t(0)?, *axis, *keepdim)?,
            OneHot(classes) => index::one_hot(t(0)?, *classes)?,
            Flip(axes) => shape::flip(t(0)?, axes)?,
            Roll(shifts, axes) => shape::roll(t(0)?, shifts, axes)?,
            Tril(diagonal) => shape::tril(t(0)?, *diagonal)?,
            Triu(diagonal) => shape::triu(t(0)?, *diagonal)?,
            RepeatInterleave(times, axis) => shape::repeat_interleave(t(0)?, *times, *axis)?,
        };
        Ok(std::iter::once(Some(made)).collect())
    }
}

fn pair((a, b): (Tensor, Tensor)) -> Result<Made> {
    Ok([Some(a), Some(b)].into_iter().collect())
}

/// The same elements in another shape, copied where strides do not allow a view.
pub(super) fn reshape(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    match t.layout().reshape(shape) {
        Some(layout) => Ok(t.with_layout(layout)),
        None => Ok(copy::contiguous("reshape", t)?.with_layout(Layout::contiguous(shape))),
    }
}

/// Joins sums of tensors that are zero but for one part (what flows back through `chunk`): parts
/// that do not meet are put side by side instead of being added.
pub(super) fn join_parts(mut instrs: Vec<Instr>, metas: &[Meta], ends: &Ends) -> Vec<Instr> {
    let mut uses = vec![0usize; metas.len()];
    instrs.iter().flat_map(Instr::reads).chain(ends.reads()).for_each(|s| uses[s] += 1);
    let mut maker: Vec<Option<usize>> = vec![None; metas.len()];
    let mut gone = vec![false; instrs.len()];
    for i in 0..instrs.len() {
        if let (Kern::Binary(Binary::Add), [Arg::Slot(a), Arg::Slot(b)]) =
            (&instrs[i].kern, &instrs[i].args[..])
            && let (Some(ia), Some(ib)) = (maker[*a], maker[*b])
            && ia != ib
            && uses[*a] == 1
            && uses[*b] == 1
            && let Some(kern) = joined(&instrs[ia].kern, &instrs[ib].kern)
        {
            let args = instrs[ia].args.iter().chain(&instrs[ib].args).cloned().collect();
            instrs[i].kern = kern;
            instrs[i].args = args;
            (gone[ia], gone[ib]) = (true, true);
        }
        instrs[i].makes().for_each(|s| maker[s] = Some(i));
    }
    instrs.into_iter().zip(gone).filter(|(_, gone)| !gone).map(|(i, _)| i).collect()
}

fn joined(a: &Kern, b: &Kern) -> Option<Kern> {
    let (Kern::Assemble { shape, parts: pa, .. }, Kern::Assemble { shape: other, parts: pb, .. }) = (a, b)
    else {
        return None;
    };
    if shape != other {
        return None;
    }
    let parts: Vec<Vec<Cut>> = pa.iter().chain(pb).cloned().collect();
    // One slice each, of one axis.
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let mut along = None;
    for cuts in &parts {
        let (axis, start, len) = match cuts[..] {
            [Cut::Slice(axis, start, len, 1)] => (axis, start, len),
            [Cut::Select(axis, i)] => (axis, i, 1),
            _ => return None,
        };
        if *along.get_or_insert(axis) != axis {
            return None;
        }
        ranges.push((start, start + len));
    }
    ranges.sort_unstable();
    if ranges.windows(2).any(|w| w[0].1 > w[1].0) {
        return None;
    }
    let whole: usize = ranges.iter().map(|(start, end)| end - start).sum();
    Some(Kern::Assemble { covered: whole == shape[along?], shape: shape.clone(), parts })
}
