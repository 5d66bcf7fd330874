//! RMSprop, Adagrad and Adadelta.

use super::group::{Piece, Real, check_len, decayed, group};
use crate::error::Result;
use crate::multiversion;
use crate::tensor::Tensor;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RmspropSpec {
    pub lr: f64,
    pub alpha: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub momentum: f64,
    pub centered: bool,
    pub maximize: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdagradSpec {
    pub lr: f64,
    pub lr_decay: f64,
    pub weight_decay: f64,
    pub eps: f64,
    pub maximize: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AdadeltaSpec {
    pub lr: f64,
    pub rho: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
}

/// Sign and decay of a gradient.
#[derive(Clone, Copy)]
struct Gradient<T> {
    sign: T,
    decay: T,
}

impl<T: Real> Gradient<T> {
    fn new(maximize: bool, weight_decay: f64) -> Gradient<T> {
        Gradient { sign: T::of(if maximize { -1.0 } else { 1.0 }), decay: T::of(weight_decay) }
    }
    #[inline(always)]
    fn of(self, g: T, p: T) -> T {
        decayed(g * self.sign, self.decay, p)
    }
}

#[derive(Clone, Copy)]
struct Rms<T> {
    gradient: Gradient<T>,
    lr: T,
    alpha: T,
    fresh: T,
    far: bool,
    eps: T,
    momentum: T,
}

/// The running mean of squares, then the gradient's root mean square.
#[inline(always)]
fn rms<T: Real>(g: T, square: &mut T, c: &Rms<T>) -> T {
    *square = *square * c.alpha + c.fresh * g * g;
    square.sqrt() + c.eps
}

#[inline(always)]
fn rms_centered<T: Real>(g: T, square: &mut T, mean: &mut T, c: &Rms<T>) -> T {
    *square = *square * c.alpha + c.fresh * g * g;
    let gap = g - *mean;
    *mean = if c.far { g - gap * (T::of(1.0) - c.fresh) } else { *mean + c.fresh * gap };
    (*square - *mean * *mean).sqrt() + c.eps
}

multiversion! {
    fn rms_plain<T: Real>(p: &mut [T], g: &[T], square: &mut [T], c: Rms<T>) {
        for ((p, &g), s) in p.iter_mut().zip(g).zip(square) {
            let g = c.gradient.of(g, *p);
            *p = *p - c.lr * g / rms(g, s, &c);
        }
    }
}

multiversion! {
    fn rms_mean<T: Real>(p: &mut [T], g: &[T], square: &mut [T], mean: &mut [T], c: Rms<T>) {
        for (((p, &g), s), m) in p.iter_mut().zip(g).zip(square).zip(mean) {
            let g = c.gradient.of(g, *p);
            *p = *p - c.lr * g / rms_centered(g, s, m, &c);
        }
    }
}

multiversion! {
    fn rms_momentum<T: Real>(p: &mut [T], g: &[T], square: &mut [T], buf: &mut [T], c: Rms<T>) {
        for (((p, &g), s), b) in p.iter_mut().zip(g).zip(square).zip(buf) {
            let g = c.gradient.of(g, *p);
            *b = *b * c.momentum + g / rms(g, s, &c);
            *p = *p - c.lr * *b;
        }
    }
}

multiversion! {
    fn rms_both<T: Real>(p: &mut [T], g: &[T], square: &mut [T], buf: &mut [T], mean: &mut [T], c: Rms<T>) {
        for ((((p, &g), s), b), m) in p.iter_mut().zip(g).zip(square).zip(buf).zip(mean) {
            let g = c.gradient.of(g, *p);
            *b = *b * c.momentum + g / rms_centered(g, s, m, &c);
            *p = *p - c.lr * *b;
        }
    }
}

fn rmsprop_step<T: Real>(piece: Piece<T>, s: &RmspropSpec) {
    let c = Rms {
        gradient: Gradient::new(s.maximize, s.weight_decay),
        lr: T::of(s.lr),
        alpha: T::of(s.alpha),
        fresh: T::of(1.0 - s.alpha),
        far: 1.0 - s.alpha >= 0.5,
        eps: T::of(s.eps),
        momentum: T::of(s.momentum),
    };
    let square = piece.state(0);
    match (s.momentum > 0.0, s.centered) {
        (false, false) => rms_plain(piece.param, piece.grad, square, c),
        (false, true) => {
            let mean = piece.state(1);
            rms_mean(piece.param, piece.grad, square, mean, c)
        }
        (true, false) => {
            let buf = piece.state(1);
            rms_momentum(piece.param, piece.grad, square, buf, c)
        }
        (true, true) => {
            let (buf, mean) = (piece.state(1), piece.state(2));
            rms_both(piece.param, piece.grad, square, buf, mean, c)
        }
    }
}

/// A step of RMSprop. Momentum buffers are needed where momentum is above 0, gradient means where centered.
pub fn rmsprop(
    params: &[&Tensor],
    grads: &[&Tensor],
    square_avgs: &[&Tensor],
    momentum_bufs: &[&Tensor],
    grad_avgs: &[&Tensor],
    spec: &RmspropSpec,
) -> Result<()> {
    let op = "RMSprop.step";
    let n = params.len();
    check_len(op, "square_avg", square_avgs.len(), n)?;
    let moving = spec.momentum > 0.0;
    if moving {
        check_len(op, "momentum buffer", momentum_bufs.len(), n)?;
    }
    if spec.centered {
        check_len(op, "grad_avg", grad_avgs.len(), n)?;
    }
    let group = group(op, params, grads, |i| {
        let mut state = vec![("square_avg", square_avgs[i].clone())];
        if moving {
            state.push(("the momentum buffer", momentum_bufs[i].clone()));
        }
        if spec.centered {
            state.push(("grad_avg", grad_avgs[i].clone()));
        }
        state
    })?;
    group.update_all(|p| rmsprop_step::<f32>(p, spec), |p| rmsprop_step::<f64>(p, spec));
    Ok(())
}

multiversion! {
    fn adagrad_piece<T: Real>(p: &mut [T], g: &[T], sum: &mut [T], gradient: Gradient<T>, lr: T, eps: T) {
        for ((p, &g), s) in p.iter_mut().zip(g).zip(sum) {
            let g = gradient.of(g, *p);
            *s = *s + g * g;
            *p = *p - lr * g / (s.sqrt() + eps);
        }
    }
}

/// A step of Adagrad. `steps` counts from 1 for the first step.
pub fn adagrad(
    params: &[&Tensor],
    grads: &[&Tensor],
    sums: &[&Tensor],
    steps: &[f64],
    spec: &AdagradSpec,
) -> Result<()> {
    let op = "Adagrad.step";
    check_len(op, "sum", sums.len(), params.len())?;
    check_len(op, "step", steps.len(), params.len())?;
    let group = group(op, params, grads, |i| vec![("sum", sums[i].clone())])?;
    let rate = |i: usize| spec.lr / (1.0 + (steps[i] - 1.0) * spec.lr_decay);
    fn step<T: Real>(piece: Piece<T>, rate: f64, s: &AdagradSpec) {
        let sum = piece.state(0);
        let gradient = Gradient::new(s.maximize, s.weight_decay);
        adagrad_piece(piece.param, piece.grad, sum, gradient, T::of(rate), T::of(s.eps));
    }
    group.update_all(
        |p| {
            let rate = rate(p.index);
            step::<f32>(p, rate, spec)
        },
        |p| {
            let rate = rate(p.index);
            step::<f64>(p, rate, spec)
        },
    );
    Ok(())
}

multiversion! {
    fn adadelta_piece<T: Real>(p: &mut [T], g: &[T], square: &mut [T], acc: &mut [T], gradient: Gradient<T>, lr: T, rho: T, fresh: T, eps: T) {
        for (((p, &g), s), a) in p.iter_mut().zip(g).zip(square).zip(acc) {
            let g = gradient.of(g, *p);
            *s = *s * rho + fresh * g * g;
            let delta = (*a + eps).sqrt() / (*s + eps).sqrt() * g;
            *a = *a * rho + fresh * delta * delta;
            *p = *p - lr * delta;
        }
    }
}

/// A step of Adadelta.
pub fn adadelta(
    params: &[&Tensor],
    grads: &[&Tensor],
    square_avgs: &[&Tensor],
    acc_deltas: &[&Tensor],
    spec: &AdadeltaSpec,
) -> Result<()> {
    let op = "Adadelta.step";
    check_len(op, "square_avg", square_avgs.len(), params.len())?;
    check_len(op, "acc_delta", acc_deltas.len(), params.len())?;
    let group = group(op, params, grads, |i| {
        vec![("square_avg", square_avgs[i].clone()), ("acc_delta", acc_deltas[i].clone())]
    })?;
    fn step<T: Real>(piece: Piece<T>, s: &AdadeltaSpec) {
        let (square, acc) = (piece.state(0), piece.state(1));
        let gradient = Gradient::new(s.maximize, s.weight_decay);
        let (lr, rho, fresh, eps) = (T::of(s.lr), T::of(s.rho), T::of(1.0 - s.rho), T::of(s.eps));
        adadelta_piece(piece.param, piece.grad, square, acc, gradient, lr, rho, fresh, eps);
    }
    group.update_all(|p| step::<f32>(p, spec), |p| step::<f64>(p, spec));
    Ok(())
}
