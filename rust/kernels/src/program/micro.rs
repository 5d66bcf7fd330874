//! The loops of elementwise instructions, to be run over blocks one after the other.

use super::instr::{Arg, Instr, Kern};
use super::parse::Meta;
use crate::dtype::DType;
use crate::ops::activation;
use crate::ops::elementwise::engine::{Cost, Kernel, Params};
use crate::ops::elementwise::{
    Binary, binary_kernel, power_kernel, scaled_kernel, select_kernel, unary_kernel,
};
use smallvec::SmallVec;

/// An elementwise instruction as a loop over contiguous operands of one float type.
pub(super) struct Micro {
    pub kernel: Kernel,
    pub params: Params,
    pub cost: Cost,
    pub args: SmallVec<[Arg; 4]>,
    /// The type of each operand.
    pub reads: [DType; 3],
}

/// The loop of `instr`, if it is elementwise over one float type.
pub(super) fn micro(instr: &Instr, metas: &[Meta]) -> Option<Micro> {
    let choice = matches!(instr.kern, Kern::Where) as usize;
    let mut types = instr.reads().skip(choice).map(|s| metas[s].dtype);
    let dtype = types.next()?;
    if !matches!(dtype, DType::F32 | DType::F64) || types.any(|d| d != dtype) {
        return None;
    }
    let mut m = Micro {
        kernel: select_kernel(dtype),
        params: Params::default(),
        cost: Cost::Cheap,
        args: instr.args.clone(),
        reads: [dtype; 3],
    };
    let mut heavy = |(kernel, cost): (Kernel, Cost)| (m.kernel, m.cost) = (kernel, cost);
    match &instr.kern {
        Kern::Unary(op) => heavy(unary_kernel(*op, dtype).ok()?),
        Kern::Activation(act) => {
            heavy(activation::forward_kernel(*act, dtype).ok()?);
            m.params.f = act.params();
        }
        Kern::ActivationGrad(act) => {
            heavy(activation::backward_kernel(*act, dtype).ok()?);
            m.params.f = act.params();
        }
        Kern::ReluGrad => m.kernel = activation::relu_grad_kernel(dtype).ok()?,
        Kern::SigmoidGrad => m.kernel = activation::sigmoid_grad_kernel(dtype).ok()?,
        Kern::TanhGrad => m.kernel = activation::tanh_grad_kernel(dtype).ok()?,
        Kern::Scaled { alpha, sub } => {
            m.kernel = scaled_kernel(dtype).ok()?;
            m.cost = Cost::Frequent;
            m.params.f = [if *sub { -alpha.to_f64() } else { alpha.to_f64() }, 0.0];
        }
        Kern::Binary(op) => {
            if let (Binary::Pow, Arg::Number(e)) = (op, &m.args[1])
                && let Some(kernel) = power_kernel(e.to_f64(), dtype)
            {
                m.kernel = kernel;
                m.args.truncate(1);
                return Some(m);
            }
            let (op, swap) = match op {
                Binary::Gt => (Binary::Lt, true),
                Binary::Ge => (Binary::Le, true),
                other => (*other, false),
            };
            if matches!(op, Binary::LogicalAnd | Binary::LogicalOr | Binary::LogicalXor) {
                return None;
            }
            (m.kernel, m.cost) = binary_kernel(op, op.name(), dtype).ok()?;
            if swap {
                m.args.swap(0, 1);
            }
        }
        Kern::Where if matches!(m.args[0], Arg::Slot(_)) => m.reads[0] = DType::Bool,
        _ => return None,
    }
    Some(m)
}

/// How many cheap operations an element is worth.
pub(super) fn weight(cost: Cost) -> usize {
    match cost {
        Cost::Cheap | Cost::Frequent => 1,
        Cost::Heavy => 4,
        Cost::Scalar => 16,
    }
}

/// Instructions of the step that its derivative had better run again than have their results kept: cheap
/// functions of what is kept anyway, for elementwise use.
pub(super) fn again(step: &[Instr], back: &[Instr], kept: &[usize], metas: &[Meta]) -> Vec<Instr> {
    let made: Vec<usize> = step.iter().flat_map(Instr::makes).collect();
    let cheap = |i: &Instr| micro(i, metas).is_some_and(|m| weight(m.cost) == 1);
    let elementwise =
        |s: usize| back.iter().filter(|i| i.reads().any(|r| r == s)).all(|i| micro(i, metas).is_some());
    let mut list = Vec::new();
    for instr in step {
        let wanted = instr.makes().all(|s| kept.contains(&s) && elementwise(s));
        // What the step did not make is an input, a state or a constant.
        if wanted && cheap(instr) && instr.reads().all(|s| kept.contains(&s) || !made.contains(&s)) {
            list.push(instr.clone());
        }
    }
    list
}
