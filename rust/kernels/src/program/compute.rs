//! Instructions computed from whole tensors.

use super::instr::{Dice, Draw as From, Fold as Of, In, Kern, Made, cut, reshape};
use crate::error::Result;
use crate::ops::random::Generator;
use crate::ops::{activation, copy, elementwise, index, matmul, norm, random, reduce, scan, shape, softmax};
use crate::tensor::Tensor;
use smallvec::SmallVec;

impl Kern {
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
                    Of::Sum => reduce::sum(x, axes, *keepdim, *dtype)?,
                    Of::Mean => reduce::mean(x, axes, *keepdim, *dtype)?,
                    Of::Prod => reduce::prod(x, axes, *keepdim, *dtype)?,
                    Of::Amax => reduce::amax(x, axes, *keepdim)?,
                    Of::Amin => reduce::amin(x, axes, *keepdim)?,
                    Of::Any => reduce::any(x, axes, *keepdim)?,
                    Of::All => reduce::all(x, axes, *keepdim)?,
                    Of::Logsumexp => reduce::logsumexp(x, axes, *keepdim)?,
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
                    From::Uniform => random::uniform(&g, shape, *dtype, *a, *b)?,
                    From::Normal => random::normal(&g, shape, *dtype, *a, *b)?,
                    From::Exponential => random::exponential(&g, shape, *dtype, *a)?,
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
