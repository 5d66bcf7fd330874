//! Adam, AdamW and their AMSGrad variants.

use super::group::{Piece, Real, check_len, decayed, group};
use crate::error::Result;
use crate::multiversion;
use crate::tensor::Tensor;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdamSpec {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    pub weight_decay: f64,
    /// AdamW: decay the parameter itself, not by way of the gradient.
    pub decoupled: bool,
    pub amsgrad: bool,
    pub maximize: bool,
}

/// What the inner loop needs, worked out in float64 once for each parameter.
#[derive(Clone, Copy)]
struct Factors<T> {
    sign: T,
    /// Of the gradient.
    decay: T,
    /// Of the parameter: 1 unless decoupled.
    keep: T,
    fresh1: T,
    /// `lerp` starts from its nearer end.
    far: bool,
    beta2: T,
    fresh2: T,
    step_size: T,
    root: T,
    eps: T,
}

impl<T: Real> Factors<T> {
    fn new(s: &AdamSpec, step: f64) -> Factors<T> {
        Factors {
            sign: T::of(if s.maximize { -1.0 } else { 1.0 }),
            decay: T::of(if s.decoupled { 0.0 } else { s.weight_decay }),
            keep: T::of(if s.decoupled { 1.0 - s.lr * s.weight_decay } else { 1.0 }),
            fresh1: T::of(1.0 - s.beta1),
            far: 1.0 - s.beta1 >= 0.5,
            beta2: T::of(s.beta2),
            fresh2: T::of(1.0 - s.beta2),
            step_size: T::of(s.lr / (1.0 - s.beta1.powf(step))),
            root: T::of((1.0 - s.beta2.powf(step)).sqrt()),
            eps: T::of(s.eps),
        }
    }
}

/// The moments, after which the parameter needs `max(second)` or `second` alone.
#[inline(always)]
fn moments<T: Real>(p: T, g: T, m: T, v: T, f: &Factors<T>) -> (T, T, T) {
    let g = decayed(g * f.sign, f.decay, p);
    let gap = g - m;
    let m = if f.far { g - gap * (T::of(1.0) - f.fresh1) } else { m + f.fresh1 * gap };
    let v = v * f.beta2 + f.fresh2 * g * g;
    (p * f.keep, m, v)
}

multiversion! {
    fn plain<T: Real>(p: &mut [T], g: &[T], m: &mut [T], v: &mut [T], f: Factors<T>) {
        for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let (kept, first, second) = moments(*p, g, *m, *v, &f);
            (*m, *v) = (first, second);
            *p = kept - f.step_size * first / (second.sqrt() / f.root + f.eps);
        }
    }
}

multiversion! {
    fn with_max<T: Real>(p: &mut [T], g: &[T], m: &mut [T], v: &mut [T], top: &mut [T], f: Factors<T>) {
        for ((((p, &g), m), v), top) in p.iter_mut().zip(g).zip(m).zip(v).zip(top) {
            let (kept, first, second) = moments(*p, g, *m, *v, &f);
            (*m, *v) = (first, second);
            // A NaN among the two stays, as in torch.maximum.
            let most = if *top > second || (*top).is_nan() { *top } else { second };
            *top = most;
            *p = kept - f.step_size * first / (most.sqrt() / f.root + f.eps);
        }
    }
}

fn step<T: Real>(piece: Piece<T>, steps: &[f64], spec: &AdamSpec) {
    let f = Factors::new(spec, steps[piece.index]);
    let (m, v) = (piece.state(0), piece.state(1));
    if spec.amsgrad {
        let top = piece.state(2);
        with_max(piece.param, piece.grad, m, v, top, f);
    } else {
        plain(piece.param, piece.grad, m, v, f);
    }
}

/// A step of Adam (or AdamW). `steps` counts from 1 for the first step.
pub fn adam(
    params: &[&Tensor],
    grads: &[&Tensor],
    exp_avgs: &[&Tensor],
    exp_avg_sqs: &[&Tensor],
    max_exp_avg_sqs: &[Option<&Tensor>],
    steps: &[f64],
    spec: &AdamSpec,
) -> Result<()> {
    let op = if spec.decoupled { "AdamW.step" } else { "Adam.step" };
    check_len(op, "exp_avg", exp_avgs.len(), params.len())?;
    check_len(op, "exp_avg_sq", exp_avg_sqs.len(), params.len())?;
    check_len(op, "step", steps.len(), params.len())?;
    if spec.amsgrad {
        check_len(op, "max_exp_avg_sq", max_exp_avg_sqs.iter().flatten().count(), params.len())?;
        check_len(op, "max_exp_avg_sq", max_exp_avg_sqs.len(), params.len())?;
    }
    let group = group(op, params, grads, |i| {
        let mut state = vec![("exp_avg", exp_avgs[i].clone()), ("exp_avg_sq", exp_avg_sqs[i].clone())];
        if let (true, Some(Some(top))) = (spec.amsgrad, max_exp_avg_sqs.get(i)) {
            state.push(("max_exp_avg_sq", (*top).clone()));
        }
        state
    })?;
    group.update_all(|p| step::<f32>(p, steps, spec), |p| step::<f64>(p, steps, spec));
    Ok(())
}
