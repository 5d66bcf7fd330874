//! From what Python recorded to instructions: the list of what a program can contain.

use super::instr::{Arg, Cut, Draw, Fold, Instr, Kern};
use crate::dtype::{DType, Scalar};
use crate::error::{Error, Result};
use crate::layout::{Dims, normalize_axis};
use crate::ops::activation::Activation;
use crate::ops::elementwise::{Binary, Unary};
use smallvec::SmallVec;

/// What is known of a value beforehand.
#[derive(Clone, Debug)]
pub struct Meta {
    pub shape: Dims,
    pub dtype: DType,
}

/// An argument of a recorded call.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Slot(usize),
    None,
    Number(Scalar),
    Ints(Vec<i64>),
    Table(Vec<Vec<i64>>),
    DType(DType),
}

/// The error that says that `name` (with what is special about it) cannot be recorded.
fn unknown(name: &str, why: &str) -> Error {
    Error::runtime("scan", format!("{name}{why}"))
}

struct Call<'a> {
    name: &'a str,
    args: &'a [Value],
    metas: &'a [Meta],
}

impl Call<'_> {
    fn odd(&self) -> Error {
        unknown(self.name, " with these arguments")
    }
    fn number(&self, i: usize) -> Result<Scalar> {
        match self.args.get(i) {
            Some(Value::Number(s)) => Ok(*s),
            _ => Err(self.odd()),
        }
    }
    fn float(&self, i: usize) -> Result<f64> {
        self.number(i).map(Scalar::to_f64)
    }
    fn int(&self, i: usize) -> Result<i64> {
        match self.number(i)? {
            Scalar::Float(_) => Err(self.odd()),
            s => Ok(s.to_i64()),
        }
    }
    fn flag(&self, i: usize) -> bool {
        matches!(self.args.get(i), Some(Value::Number(s)) if s.to_f64() != 0.0)
    }
    fn maybe(&self, i: usize) -> Result<Option<Scalar>> {
        match self.args.get(i) {
            None | Some(Value::None) => Ok(None),
            _ => self.number(i).map(Some),
        }
    }
    fn dtype(&self, i: usize) -> Result<Option<DType>> {
        match self.args.get(i) {
            None | Some(Value::None) => Ok(None),
            Some(Value::DType(d)) => Ok(Some(*d)),
            _ => Err(self.odd()),
        }
    }
    /// One axis or several; none for all.
    fn axes(&self, i: usize) -> Result<Vec<isize>> {
        match self.args.get(i) {
            None | Some(Value::None) => Ok(Vec::new()),
            Some(Value::Number(_)) => Ok(vec![self.int(i)? as isize]),
            Some(Value::Ints(v)) => Ok(v.iter().map(|&a| a as isize).collect()),
            _ => Err(self.odd()),
        }
    }
    fn ints(&self, i: usize) -> Result<&[i64]> {
        match self.args.get(i) {
            Some(Value::Ints(v)) => Ok(v),
            _ => Err(self.odd()),
        }
    }
    fn table(&self, i: usize) -> Result<&[Vec<i64>]> {
        match self.args.get(i) {
            Some(Value::Table(v)) => Ok(v),
            Some(Value::Ints(v)) if v.is_empty() => Ok(&[]),
            _ => Err(self.odd()),
        }
    }
    fn meta(&self, i: usize) -> Result<&Meta> {
        match self.args.get(i) {
            Some(Value::Slot(s)) => Ok(&self.metas[*s]),
            _ => Err(self.odd()),
        }
    }
    /// An axis of argument 0, counted from the front.
    fn axis(&self, i: usize) -> Result<usize> {
        normalize_axis("scan", self.int(i)? as isize, self.meta(0)?.shape.len())
    }
    fn cuts(&self, i: usize) -> Result<Vec<Cut>> {
        let one = |row: &Vec<i64>| match row[..] {
            [0, axis, i] => Ok(Cut::Select(axis as usize, i as usize)),
            [1, axis, start, len, by] => {
                Ok(Cut::Slice(axis as usize, start as usize, len as usize, by as isize))
            }
            [2, axis] => Ok(Cut::Unsqueeze(axis as usize)),
            _ => Err(self.odd()),
        };
        self.table(i)?.iter().map(one).collect()
    }
}

fn activation(name: &str, c: &Call, at: usize) -> Result<Option<Activation>> {
    let f = |i: usize| c.float(at + i);
    Ok(Some(match name {
        "leaky_relu" => Activation::LeakyRelu(f(0)?),
        "elu" => Activation::Elu(f(0)?),
        "celu" => Activation::Celu(f(0)?),
        "selu" => Activation::Selu,
        "gelu" => Activation::Gelu,
        "gelu_tanh" => Activation::GeluTanh,
        "silu" => Activation::Silu,
        "mish" => Activation::Mish,
        "softplus" => Activation::Softplus(f(0)?, f(1)?),
        "hardtanh" => Activation::Hardtanh(f(0)?, f(1)?),
        "hardswish" => Activation::Hardswish,
        "hardsigmoid" => Activation::Hardsigmoid,
        "softsign" => Activation::Softsign,
        "tanhshrink" => Activation::Tanhshrink,
        "softshrink" => Activation::Softshrink(f(0)?),
        "hardshrink" => Activation::Hardshrink(f(0)?),
        "logsigmoid" => Activation::LogSigmoid,
        "threshold" => Activation::Threshold(f(0)?, f(1)?),
        _ => return Ok(None),
    }))
}

/// The instruction of a recorded call, or an error that names the operation.
pub(super) fn instr(name: &str, args: &[Value], outs: &[Option<usize>], metas: &[Meta]) -> Result<Instr> {
    let c = Call { name, args, metas };
    let out = outs.iter().flatten().next().map(|&s| &metas[s]).ok_or_else(|| c.odd())?;
    // How many of the arguments are operands.
    let (kern, operands) = kern(&c, out)?;
    let arg = |v: &Value| match v {
        Value::Slot(s) => Ok(Arg::Slot(*s)),
        Value::Number(s) => Ok(Arg::Number(*s)),
        Value::None => Ok(Arg::Missing),
        _ => Err(c.odd()),
    };
    let mut list = operands
        .iter()
        .map(|&i| args.get(i).map_or(Ok(Arg::Missing), arg))
        .collect::<Result<SmallVec<[Arg; 4]>>>()?;
    // A number in the place of a whole tensor has no kernel, except in arithmetic.
    let arithmetic = matches!(kern, Kern::Binary(_) | Kern::Scaled { .. } | Kern::Where | Kern::Lerp);
    if !arithmetic && list.iter().any(|a| matches!(a, Arg::Number(_))) {
        return Err(c.odd());
    }
    if matches!(kern, Kern::Dropout { .. } | Kern::Bernoulli { .. }) {
        list.truncate(1);
    }
    Ok(Instr { kern, args: list, outs: outs.into() })
}

/// The kernel of a call, and which of its arguments are operands.
fn kern(c: &Call, out: &Meta) -> Result<(Kern, SmallVec<[usize; 4]>)> {
    let name = c.name;
    let first = |n: usize| (0..n).collect::<SmallVec<[usize; 4]>>();
    if let Some(op) = Unary::from_name(name).filter(|&op| op != Unary::Logsigmoid) {
        return Ok((Kern::Unary(op), first(1)));
    }
    if let Some(act) = activation(name, c, 1)? {
        return Ok((Kern::Activation(act), first(1)));
    }
    if let Some(stem) = name.strip_suffix("_grad")
        && let Some(act) = activation(stem, c, 2)?
    {
        return Ok((Kern::ActivationGrad(act), first(2)));
    }
    if matches!(name, "add" | "sub")
        && let Some(alpha) = c.maybe(2)?
        && alpha.to_f64() != 1.0
    {
        return Ok((Kern::Scaled { alpha, sub: name == "sub" }, first(2)));
    }
    if let Some(op) = Binary::from_name(name) {
        return Ok((Kern::Binary(op), first(2)));
    }
    let axes_at = |i: usize| -> Result<Vec<isize>> {
        let n = c.meta(0)?.shape.len() as isize;
        let given = c.axes(i)?;
        // Numbered from the front; none for all.
        Ok(if given.is_empty() {
            (0..n).collect()
        } else {
            given.iter().map(|&a| if a < 0 { a + n } else { a }).collect()
        })
    };
    let fold = |fold: Fold, dtype: bool| -> Result<_> {
        let dtype = if dtype { c.dtype(3)? } else { None };
        let axes = axes_at(1)?;
        Ok((Kern::Fold { fold, axes, keepdim: c.flag(2), dtype }, first(1)))
    };
    let shape = out.shape.clone();
    let along = |i: usize| c.axis(i).map(|a| a as isize);
    let optional = |i: usize| c.maybe(i)?.map(|_| along(i)).transpose();
    Ok(match name {
        "relu_grad" => (Kern::ReluGrad, first(2)),
        "sigmoid_grad" => (Kern::SigmoidGrad, first(2)),
        "tanh_grad" => (Kern::TanhGrad, first(2)),
        "where" => (Kern::Where, first(3)),
        "clamp" => (Kern::Clamp(c.maybe(1)?, c.maybe(2)?), first(1)),
        "lerp" => (Kern::Lerp, first(3)),
        "addcmul" => (Kern::Addcmul(c.number(3)?), first(3)),
        "addcdiv" => (Kern::Addcdiv(c.number(3)?), first(3)),
        "squared_error" => (Kern::SquaredError, first(2)),
        "squared_error_grad" => (Kern::SquaredErrorGrad, first(3)),
        "bce_logits" => (Kern::BceLogits, first(2)),
        "bce_logits_grad" => (Kern::BceLogitsGrad, first(3)),
        "cast" => match c.dtype(1)? {
            Some(dtype) if dtype == c.meta(0)?.dtype => (Kern::Same, first(1)),
            Some(dtype) => (Kern::Cast(dtype), first(1)),
            None => return Err(c.odd()),
        },
        "clone" | "contiguous" => (Kern::Same, first(1)),
        "matmul" => (Kern::Matmul, first(2)),
        "linear" => (Kern::Linear, first(3)),
        "reshape" | "view" | "squeeze" | "unsqueeze" => (Kern::Reshape(shape), first(1)),
        "expand" => (Kern::Expand(shape), first(1)),
        "permute" => {
            let n = c.meta(0)?.shape.len();
            let axes = c.ints(1)?.iter().map(|&a| normalize_axis("scan", a as isize, n));
            (Kern::Permute(axes.collect::<Result<_>>()?), first(1))
        }
        "transpose" => {
            let mut axes: SmallVec<[usize; 6]> = (0..c.meta(0)?.shape.len()).collect();
            if !axes.is_empty() {
                axes.swap(c.axis(1)?, c.axis(2)?);
            }
            (Kern::Permute(axes), first(1))
        }
        "narrow" | "cat_part" => {
            let (axis, start) = (c.axis(1)?, c.int(2)?);
            let start = if start < 0 { start + c.meta(0)?.shape[axis] as i64 } else { start } as usize;
            (Kern::View(vec![Cut::Slice(axis, start, shape[axis], 1)]), first(1))
        }
        "basic_index" => (Kern::View(c.cuts(1)?), first(1)),
        "basic_index_grad" => (Kern::Assemble { shape, parts: vec![c.cuts(2)?], covered: false }, first(1)),
        "pad_constant" => {
            let pads: Vec<(isize, isize)> = c
                .table(1)?
                .iter()
                .map(|row| match row[..] {
                    [a, b] => Ok((a as isize, b as isize)),
                    _ => Err(c.odd()),
                })
                .collect::<Result<_>>()?;
            let value = c.number(2)?;
            let from = &c.meta(0)?.shape;
            if value.to_f64() == 0.0 && pads.iter().all(|&(a, b)| a >= 0 && b >= 0) {
                let grown = pads.iter().enumerate().filter(|&(_, &p)| p != (0, 0));
                let cuts: Vec<Cut> =
                    grown.map(|(axis, &(a, _))| Cut::Slice(axis, a as usize, from[axis], 1)).collect();
                if cuts.is_empty() {
                    return Ok((Kern::Same, first(1)));
                }
                return Ok((Kern::Assemble { shape, parts: vec![cuts], covered: false }, first(1)));
            }
            (Kern::Pad(pads, value), first(1))
        }
        "cat" => {
            let n = c.args.len() - 1;
            let axis = normalize_axis("scan", c.int(n)? as isize, shape.len())?;
            let (mut parts, mut start) = (Vec::new(), 0);
            for i in 0..n {
                let part = c.meta(i)?;
                if part.shape.len() != shape.len() || part.dtype != out.dtype {
                    return Ok((Kern::Cat(axis), first(n)));
                }
                parts.push(vec![Cut::Slice(axis, start, part.shape[axis], 1)]);
                start += part.shape[axis];
            }
            (Kern::Assemble { shape, parts, covered: true }, first(n))
        }
        "sum" => fold(Fold::Sum, true)?,
        "mean" => fold(Fold::Mean, true)?,
        "prod" => fold(Fold::Prod, true)?,
        "amax" => fold(Fold::Amax, false)?,
        "amin" => fold(Fold::Amin, false)?,
        "any" => fold(Fold::Any, false)?,
        "all" => fold(Fold::All, false)?,
        "logsumexp" => fold(Fold::Logsumexp, false)?,
        "norm_p" => (Kern::Norm { p: c.float(1)?, axes: axes_at(2)?, keepdim: c.flag(3) }, first(1)),
        "var" => (Kern::Var { axes: axes_at(1)?, keepdim: c.flag(2), correction: c.float(3)? }, first(1)),
        "sum_to" => (Kern::SumTo(shape, out.dtype), first(1)),
        "cumsum" => (Kern::Cumsum(along(1)?, c.dtype(2)?), first(1)),
        "cumsum_reverse" => (Kern::CumsumReverse(along(1)?), first(1)),
        "softmax" => (Kern::Softmax(along(1)?), first(1)),
        "log_softmax" => (Kern::LogSoftmax(along(1)?), first(1)),
        "softmax_grad" => (Kern::SoftmaxGrad(along(2)?), first(2)),
        "log_softmax_grad" => (Kern::LogSoftmaxGrad(along(2)?), first(2)),
        "layer_norm" => {
            (Kern::LayerNorm { axes: c.int(1)? as usize, eps: c.float(4)? }, [0, 2, 3].into_iter().collect())
        }
        "layer_norm_grad" => {
            let need: Vec<bool> = c.ints(6)?.iter().map(|&v| v != 0).collect();
            let need = need.try_into().map_err(|_| c.odd())?;
            (Kern::LayerNormGrad { axes: c.int(2)? as usize, need }, [0, 1, 3, 4, 5].into_iter().collect())
        }
        "dropout" => (Kern::Dropout { p: c.float(1)?, offset: c.int(3)? as u64 }, first(1)),
        "uniform" | "normal" | "exponential" => {
            let draw = match name {
                "uniform" => Draw::Uniform,
                "normal" => Draw::Normal,
                _ => Draw::Exponential,
            };
            let b = c.maybe(2)?.map_or(0.0, Scalar::to_f64);
            let kern =
                Kern::Draw { draw, shape, dtype: out.dtype, a: c.float(1)?, b, offset: c.int(0)? as u64 };
            (kern, first(0))
        }
        "bernoulli" => (Kern::Bernoulli { offset: c.int(1)? as u64 }, first(1)),
        "zeros_of" => (Kern::Zeros(shape, out.dtype), first(0)),
        "index_select" => (Kern::IndexSelect(along(1)?), [0, 2].into_iter().collect()),
        "index_get_grad" => {
            // One index tensor, behind whole axes.
            let axis = c.args.len() - 3;
            if c.args[2..2 + axis].iter().any(|a| *a != Value::None) || c.meta(2 + axis)?.dtype == DType::Bool
            {
                return Err(unknown("index", " by several tensors or by a mask"));
            }
            (Kern::IndexRows { shape, axis }, [0, 2 + axis].into_iter().collect())
        }
        "gather" => (Kern::Gather(along(1)?), [0, 2].into_iter().collect()),
        "scatter_add" => (Kern::ScatterAdd(along(1)?), [0, 2, 3].into_iter().collect()),
        "masked_fill" => (Kern::MaskedFill(c.number(2)?), first(2)),
        "max_dim" => (Kern::MaxDim { axis: along(1)?, keepdim: c.flag(2) }, first(1)),
        "min_dim" => (Kern::MinDim { axis: along(1)?, keepdim: c.flag(2) }, first(1)),
        "argmax" => (Kern::Argmax { axis: optional(1)?, keepdim: c.flag(2) }, first(1)),
        "argmin" => (Kern::Argmin { axis: optional(1)?, keepdim: c.flag(2) }, first(1)),
        "one_hot" => (Kern::OneHot(c.int(1)?), first(1)),
        "flip" => (Kern::Flip(c.axes(1)?), first(1)),
        "roll" => (Kern::Roll(c.axes(1)?, c.axes(2)?), first(1)),
        "tril" => (Kern::Tril(c.maybe(1)?.map_or(0, Scalar::to_i64)), first(1)),
        "triu" => (Kern::Triu(c.maybe(1)?.map_or(0, Scalar::to_i64)), first(1)),
        "repeat_interleave" => (Kern::RepeatInterleave(c.int(1)? as usize, along(2)?), first(1)),
        _ => return Err(unknown(name, "")),
    })
}
