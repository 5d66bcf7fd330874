//! The instructions of a recorded step.

use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::layout::{Dims, Layout};
use crate::ops::activation::Activation;
use crate::ops::copy;
use crate::ops::elementwise::{Binary, Operand, Unary};
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
    pub fn operand(&self) -> Result<Operand<'_>> {
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
    pub fn maybe(&self) -> Option<&Tensor> {
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
}

/// The same elements in another shape, copied where strides do not allow a view.
pub(super) fn reshape(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    match t.layout().reshape(shape) {
        Some(layout) => Ok(t.with_layout(layout)),
        None => Ok(copy::contiguous("reshape", t)?.with_layout(Layout::contiguous(shape))),
    }
}
