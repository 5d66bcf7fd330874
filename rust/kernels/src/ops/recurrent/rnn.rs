//! Plain recurrent layers: `h' = f(x + W h)` with tanh or relu, and the residual `h' = h + tanh(x + W h)`.

use super::carry::Carry;
use super::checks::{Checked, CheckedBack, pointer};
use super::frame::{Num, Own, Turns, copy_rows, get, in_blocks, put, shift};
use super::weights::{Before, Panels, weight_grad};
use super::{Gradients, Kind, Outcome};
use crate::error::Result;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::tanh;
use crate::simd::vector::{Float, Kernel, Vector, run};
use crate::tensor::Tensor;

/// A step's pass over a task: pointers are to its first unit in the first row.
pub(super) struct Ahead<T> {
    pub kind: Kind,
    pub rows: usize,
    pub len: usize,
    pub h: usize,
    pub nr: usize,
    pub x: *const T,
    /// `[rows][nr]`: the product on entry, tanh on exit.
    pub block: *mut T,
    pub old: *const T,
    pub y: *mut T,
    pub next: *mut T,
    pub ldn: usize,
}

impl<T: Float> Kernel<T> for Ahead<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        for b in 0..self.rows {
            let mut u = 0;
            while u < self.len {
                let n = self.len - u;
                let block = self.block.add(b * self.nr + u);
                let sum = V::load(block).add(get(self.x.add(b * self.h + u), n));
                let out = match self.kind {
                    Kind::RnnRelu => sum.at_least(V::splat(T::default())),
                    Kind::ResidualRnn => {
                        let bent = tanh(sum);
                        bent.store(block);
                        bent.add(V::load(self.old.add(b * self.ldn + u)))
                    }
                    _ => tanh(sum),
                };
                out.store(self.next.add(b * self.ldn + u));
                put(out, self.y.add(b * self.h + u), n);
                u += V::LANES;
            }
        }
    }
}

pub(super) fn ahead<T: Num>(k: &Checked, save: bool) -> Result<Outcome> {
    let (op, f, h) = (k.op, k.frame::<T>(), k.h);
    let (y, hn) = (k.rows_of(h)?, k.state_of(h)?);
    let saved = if save && k.kind == Kind::ResidualRnn { Some(k.room_to_save::<T>(&f, 1)?) } else { None };
    let panels = Panels::<T>::gates(op, k.weight(0), 1)?;
    let (xp, yp) = (SendPtr(k.x.ptr::<T>()), SendPtr(y.ptr::<T>()));
    let (hp, sp) = (SendPtr(hn.ptr::<T>()), SendPtr(pointer::<T>(saved.as_ref())));
    in_blocks(&f.blocks::<T>(h * h), f.total * h * h, |f| {
        let scratch = if sp.get().is_null() { Some(Own::<T>::slots(op, f, 1)?) } else { None };
        // SAFETY: the state was checked to be of the batch.
        let state = unsafe { Turns::new(op, f, k.state[0].ptr::<T>().add(f.lo * h), h)? };
        let hp = SendPtr(hp.get().wrapping_add(f.lo * h));
        let _small = f.one_thread_if_small(h, h);
        for_steps(f.steps(), f.tasks, |s, task| {
            let (rows, units, first) = (f.rows[s], f.units(task), f.units(task).start);
            let block = match &scratch {
                Some(own) => own.at(task),
                None => sp.get().wrapping_add(f.saved_at(s, task, 1)),
            };
            // SAFETY: each task writes its own units of this step; those of the state were written before.
            unsafe {
                let (old, next) = (state.at(s), state.at(s + 1).add(first));
                panels.product(task, rows, f.width(task), (old.cast_const(), state.ld), (block, f.nr), false);
                run(Ahead {
                    kind: k.kind,
                    rows,
                    len: units.len(),
                    h,
                    nr: f.nr,
                    x: xp.get().add(f.start[s] * h + first),
                    block,
                    old: old.add(first),
                    y: yp.get().add(f.start[s] * h + first),
                    next,
                    ldn: state.ld,
                });
                copy_rows(next, state.ld, hp.get().add(first), h, f.go_on(s)..rows, units.len());
            }
        });
        Ok(())
    })?;
    Ok(Outcome { y, state: vec![hn], saved })
}

/// The way back through a task in one step.
pub(super) struct Back<T> {
    pub kind: Kind,
    pub rows: usize,
    pub len: usize,
    pub h: usize,
    pub nr: usize,
    /// What the activation gave.
    pub out: *const T,
    pub ldo: usize,
    /// Null, or the output's gradient.
    pub dy: *const T,
    pub dh: *mut T,
    pub dx: *mut T,
    pub dg: *mut T,
    pub ldg: usize,
}

impl<T: Float> Kernel<T> for Back<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        for b in 0..self.rows {
            let mut u = 0;
            while u < self.len {
                let n = self.len - u;
                let carried = self.dh.add(b * self.nr + u);
                let mut dh = V::load(carried);
                if !self.dy.is_null() {
                    dh = dh.add(get(self.dy.add(b * self.h + u), n));
                }
                let out = get::<V>(self.out.add(b * self.ldo + u), n);
                let d = match self.kind {
                    Kind::RnnRelu => dh.where_positive(out),
                    _ => dh.sub(dh.mul(out).mul(out)),
                };
                dh.store(carried);
                put(d, self.dx.add(b * self.h + u), n);
                put(d, self.dg.add(b * self.ldg + u), n);
                u += V::LANES;
            }
        }
    }
}

pub(super) fn back<T: Num>(k: &Checked, b: &CheckedBack) -> Result<Gradients> {
    let (op, f, h) = (k.op, k.frame::<T>(), k.h);
    let residual = k.kind == Kind::ResidualRnn;
    let saved = if residual { b.saved::<T>(op, &f, 1)? } else { std::ptr::null_mut() };
    let dx = k.rows_of(h)?;
    let dh0 = if b.need_state(0) { Some(k.state_of(h)?) } else { None };
    let panels = Panels::<T>::back(op, k.weight(0), 0..h)?;
    let (dyp, dxp) = (SendPtr(pointer::<T>(b.dy.as_ref())), SendPtr(dx.ptr::<T>()));
    let (yp, saved) = (SendPtr(b.y.ptr::<T>()), SendPtr(saved));
    in_blocks(&f.blocks::<T>(h * h), f.total * h * h, |f| {
        let carry = Carry::new(op, f, b.dstate[0].as_ref(), dh0.as_ref(), h)?;
        let dg = Turns::<T>::empty(op, f, h)?;
        let _small = f.one_thread_if_small(h, h);
        for_steps(f.steps() + 1, f.tasks, |turn, task| {
            let (units, first) = (f.units(task), f.units(task).start);
            // SAFETY: each task writes its own units; the gates' gradients were written in the turn before.
            unsafe {
                carry.receive(turn, task, &panels, (dg.at(turn + 1).cast_const(), dg.ld), residual);
                let Some(s) = carry.step(turn) else { return };
                let at = f.start[s] * h + first;
                let (out, ldo) = match residual {
                    true => (saved.get().add(f.saved_at(s, task, 1)), f.nr),
                    false => (yp.get().add(at), h),
                };
                run(Back {
                    kind: k.kind,
                    rows: f.rows[s],
                    len: units.len(),
                    h,
                    nr: f.nr,
                    out,
                    ldo,
                    dy: shift(dyp.get(), at),
                    dh: carry.own.at(task),
                    dx: dxp.get().add(at),
                    dg: dg.at(turn).add(first),
                    ldg: dg.ld,
                });
            }
        });
        Ok(())
    })?;
    let mut weights = vec![None];
    if b.need_weight(0) {
        let dw = Tensor::empty(op, &[h, h], T::DTYPE)?;
        let before = Before::new(&f, b.y.ptr::<T>(), k.state[0].ptr::<T>(), h);
        // SAFETY: the loop wrote all rows; the gradient is fresh.
        unsafe { weight_grad([h, h, f.total], dxp.get(), h, &before, dw.ptr::<T>()) };
        weights[0] = Some(dw);
    }
    Ok(Gradients { x: b.need_x().then_some(dx), state: vec![dh0], weights })
}
