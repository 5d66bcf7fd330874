//! Stochastic gradient descent with momentum.

use super::group::{Piece, Real, check_len, decayed, group};
use crate::error::Result;
use crate::multiversion;
use crate::tensor::Tensor;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SgdSpec {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
}

multiversion! {
    fn plain<T: Real>(p: &mut [T], g: &[T], sign: T, decay: T, lr: T) {
        for (p, &g) in p.iter_mut().zip(g) {
            let g = decayed(g * sign, decay, *p);
            *p = *p - lr * g;
        }
    }
}

multiversion! {
    fn with_momentum<T: Real>(p: &mut [T], g: &[T], buf: &mut [T], sign: T, decay: T, lr: T, momentum: T, fresh: T, nesterov: bool) {
        for ((p, &g), b) in p.iter_mut().zip(g).zip(buf) {
            let g = decayed(g * sign, decay, *p);
            let moved = *b * momentum + fresh * g;
            *b = moved;
            let d = if nesterov { g + momentum * moved } else { moved };
            *p = *p - lr * d;
        }
    }
}

multiversion! {
    fn first_momentum<T: Real>(p: &mut [T], g: &[T], buf: &mut [T], sign: T, decay: T, lr: T, momentum: T, nesterov: bool) {
        for ((p, &g), b) in p.iter_mut().zip(g).zip(buf) {
            let g = decayed(g * sign, decay, *p);
            *b = g;
            let d = if nesterov { g + momentum * g } else { g };
            *p = *p - lr * d;
        }
    }
}

fn step<T: Real>(piece: Piece<T>, first: &[bool], s: &SgdSpec) {
    let sign = T::of(if s.maximize { -1.0 } else { 1.0 });
    let (decay, lr, momentum) = (T::of(s.weight_decay), T::of(s.lr), T::of(s.momentum));
    if s.momentum == 0.0 {
        return plain(piece.param, piece.grad, sign, decay, lr);
    }
    let buf = piece.state(0);
    if first[piece.index] {
        first_momentum(piece.param, piece.grad, buf, sign, decay, lr, momentum, s.nesterov);
    } else {
        let fresh = T::of(1.0 - s.dampening);
        with_momentum(piece.param, piece.grad, buf, sign, decay, lr, momentum, fresh, s.nesterov);
    }
}

/// A step of SGD. With momentum every parameter has a buffer; where `first`, the buffer is not read
/// but set to the gradient.
pub fn sgd(
    params: &[&Tensor],
    grads: &[&Tensor],
    momentum_bufs: &[Option<&Tensor>],
    first: &[bool],
    spec: &SgdSpec,
) -> Result<()> {
    let op = "SGD.step";
    let moving = spec.momentum != 0.0;
    if moving {
        check_len(op, "momentum buffer", momentum_bufs.iter().flatten().count(), params.len())?;
        check_len(op, "momentum buffer", momentum_bufs.len(), params.len())?;
        check_len(op, "first flag", first.len(), params.len())?;
    }
    let group = group(op, params, grads, |i| match momentum_bufs.get(i) {
        Some(Some(buf)) if moving => vec![("the momentum buffer", (*buf).clone())],
        _ => Vec::new(),
    })?;
    group.update_all(|p| step::<f32>(p, first, spec), |p| step::<f64>(p, first, spec));
    Ok(())
}
