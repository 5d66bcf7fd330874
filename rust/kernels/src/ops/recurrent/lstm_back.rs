//! The way back through the LSTM, its peepholes and the projection of its output.

use super::Gradients;
use super::carry::Carry;
use super::checks::{Checked, CheckedBack, pointer};
use super::frame::{Num, Own, Room, Turns, get, in_blocks, put, shift};
use super::lstm::{C, SLOTS, second_weight};
use super::weights::{Before, Panels, sums_of, weight_grad};
use crate::error::Result;
use crate::ops::matmul::Strided;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::tanh;
use crate::simd::vector::{Float, Kernel, Vector, run};
use crate::tensor::Tensor;

/// The way back through the gates of a task in one step.
struct Back<T> {
    rows: usize,
    /// Rows with a step before this one.
    went_on: usize,
    len: usize,
    h: usize,
    nr: usize,
    block: *const T,
    /// The block of the step before, and the initial c.
    earlier: *const T,
    c0: *const T,
    /// Null, or the output's gradient.
    dy: *const T,
    dh: *const T,
    dc: *mut T,
    dx: *mut T,
    dg: *mut T,
    ldg: usize,
    p: *const T,
    /// `[3][nr]`: sums of the peepholes' gradients.
    dp: *mut T,
    /// Null, or where the output before its projection goes.
    inner: *mut T,
}

impl<T: Float> Kernel<T> for Back<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Back { h, nr, .. } = self;
        let one = V::splat(T::UNIT);
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let earlier =
                if b < self.went_on { self.earlier.add((b * SLOTS + C) * nr) } else { self.c0.add(b * nr) };
            let mut u = 0;
            while u < self.len {
                let n = self.len - u;
                let i = V::load(block.add(u));
                let f = V::load(block.add(nr + u));
                let g = V::load(block.add(2 * nr + u));
                let o = V::load(block.add(3 * nr + u));
                let c = V::load(block.add(C * nr + u));
                let old = V::load(earlier.add(u));
                let mut dh = V::load(self.dh.add(b * nr + u));
                if !self.dy.is_null() {
                    dh = dh.add(get(self.dy.add(b * h + u), n));
                }
                let at = self.dc.add(b * nr + u);
                let bent = tanh(c);
                if !self.inner.is_null() {
                    put(o.mul(bent), self.inner.add(b * h + u), n);
                }
                let through = dh.mul(o);
                let d_o = dh.mul(bent).mul(o.mul(one.sub(o)));
                let mut dc = V::load(at).add(through.sub(through.mul(bent).mul(bent)));
                if !self.p.is_null() {
                    dc = d_o.mul_add(get(self.p.add(2 * h + u), n), dc);
                }
                let d_i = dc.mul(g).mul(i.mul(one.sub(i)));
                let d_f = dc.mul(old).mul(f.mul(one.sub(f)));
                let d_g = dc.mul(i).mul(one.sub(g.mul(g)));
                let mut dold = dc.mul(f);
                if !self.p.is_null() {
                    dold = d_i.mul_add(get(self.p.add(u), n), dold);
                    dold = d_f.mul_add(get(self.p.add(h + u), n), dold);
                    let sums = [d_i.mul(old), d_f.mul(old), d_o.mul(c)];
                    for s in 0..3 {
                        let at = self.dp.add(s * nr + u);
                        V::load(at).add(sums[s]).store(at);
                    }
                }
                dold.store(at);
                let gates = [d_i, d_f, d_g, d_o];
                for s in 0..4 {
                    put(gates[s], self.dx.add(b * 4 * h + s * h + u), n);
                    put(gates[s], self.dg.add(b * self.ldg + s * h + u), n);
                }
                u += V::LANES;
            }
        }
    }
}

pub(super) fn back<T: Num>(k: &Checked, b: &CheckedBack) -> Result<Gradients> {
    let (op, f) = (k.op, k.frame::<T>());
    let (h, r, nr) = (k.h, k.r, f.nr);
    let (projection, p) = second_weight(k);
    let saved = SendPtr(b.saved::<T>(op, &f, SLOTS)?);
    let dx = k.rows_of(4 * h)?;
    let dh0 = if b.need_state(0) { Some(k.state_of(r)?) } else { None };
    let dc0 = if b.need_state(1) { Some(k.state_of(h)?) } else { None };
    let panels = Panels::<T>::back(op, k.weight(0), 0..4 * h)?;
    let blocks = f.blocks::<T>(4 * h * r);
    let sums = Room::<T>::zeroed(op, blocks.len() * 3 * f.tasks * nr)?;
    // The gradients of the projected output, and what was projected.
    let mut projected = None;
    if let Some(w) = projection {
        let outputs = if b.need_weight(1) { Some(Room::<T>::new(op, f.total * h)?) } else { None };
        projected = Some((Panels::<T>::back(op, w, 0..r)?, Room::<T>::new(op, f.total * r)?, outputs));
    }
    let (dyp, dxp) = (SendPtr(pointer::<T>(b.dy.as_ref())), SendPtr(dx.ptr::<T>()));
    let (dcn, dc0p) = (SendPtr(pointer::<T>(b.dstate[1].as_ref())), SendPtr(pointer::<T>(dc0.as_ref())));
    let pp = SendPtr(pointer::<T>(p));
    in_blocks(&blocks, f.total * 4 * h * r, |f| {
        let steps = f.steps();
        // SAFETY: the states were checked to be of the batch.
        let (c0, dc) = unsafe {
            let c0 = k.state[1].ptr::<T>().add(f.lo * h);
            (Own::new(op, f, c0)?, Own::new(op, f, std::ptr::null())?)
        };
        let carry = Carry::new(op, f, b.dstate[0].as_ref(), dh0.as_ref(), r)?;
        let dg = Turns::<T>::empty(op, f, 4 * h)?;
        let mut inner = None;
        if let Some((panels, rows, outputs)) = &projected {
            inner = Some((panels, Turns::<T>::empty(op, f, r)?, Own::<T>::slots(op, f, 1)?, rows, outputs));
        }
        let (dcn, dc0p) = (SendPtr(shift(dcn.get(), f.lo * h)), SendPtr(shift(dc0p.get(), f.lo * h)));
        // SAFETY: the gates' gradients were written in the turn before.
        let receive = |turn: usize, task: usize| unsafe {
            carry.receive(turn, task, &panels, (dg.at(turn + 1).cast_const(), dg.ld), false)
        };
        let gates = |turn: usize, task: usize| {
            let later = carry.later(turn);
            let (units, first) = (f.units(task), f.units(task).start);
            // SAFETY: each task writes its own units.
            unsafe {
                let Some(s) = carry.step(turn) else {
                    return dc.give_rows(f, task, 0..later, shift(dc0p.get(), first));
                };
                let rows = f.rows[s];
                dc.give_rows(f, task, rows.min(later)..later, shift(dc0p.get(), first));
                dc.take_rows(f, task, later.min(rows)..rows, shift(dcn.get(), first));
                let (dh, dy, outputs) = match &inner {
                    None => {
                        (carry.own.at(task), shift(dyp.get(), f.start[s] * h + first), std::ptr::null_mut())
                    }
                    Some((panels, dh, own, _, outputs)) => {
                        let from = (dh.at(0).cast_const(), dh.ld);
                        panels.product(task, rows, f.width(task), from, (own.at(task), nr), false);
                        let outputs = outputs.as_ref().map(|o| o.at(f.start[s] * h + first));
                        (own.at(task), std::ptr::null_mut(), outputs.unwrap_or(std::ptr::null_mut()))
                    }
                };
                let earlier =
                    if s == 0 { saved.get() } else { saved.get().add(f.saved_at(s - 1, task, SLOTS)) };
                run(Back {
                    rows,
                    went_on: f.went_on(s),
                    len: units.len(),
                    h,
                    nr,
                    block: saved.get().add(f.saved_at(s, task, SLOTS)),
                    earlier,
                    c0: c0.at(task),
                    dy,
                    dh,
                    dc: dc.at(task),
                    dx: dxp.get().add(f.start[s] * 4 * h + first),
                    dg: dg.at(turn).add(first),
                    ldg: dg.ld,
                    p: shift(pp.get(), first),
                    dp: sums.at((f.index * f.tasks + task) * 3 * nr),
                    inner: outputs,
                });
            }
        };
        {
            let _small = f.one_thread_if_small(4 * h, r);
            match &inner {
                None => for_steps(steps + 1, f.tasks, |turn, task| {
                    receive(turn, task);
                    gates(turn, task);
                }),
                Some((_, dh, _, rows_out, _)) => for_steps(2 * (steps + 1), f.tasks, |phase, task| {
                    let (turn, first) = (phase / 2, task * nr);
                    if phase % 2 == 1 {
                        return gates(turn, task);
                    }
                    if first >= r {
                        return;
                    }
                    receive(turn, task);
                    let Some(s) = carry.step(turn) else { return };
                    let n = nr.min(r - first);
                    // SAFETY: as above.
                    unsafe {
                        for b in 0..f.rows[s] {
                            let from = carry.own.at(task).add(b * nr);
                            if !dyp.get().is_null() {
                                let dy = dyp.get().add((f.start[s] + b) * r + first);
                                for j in 0..n {
                                    *from.add(j) += *dy.add(j);
                                }
                            }
                            std::ptr::copy_nonoverlapping(from, dh.at(0).add(b * dh.ld + first), n);
                            let row = rows_out.at((f.start[s] + b) * r + first);
                            std::ptr::copy_nonoverlapping(from, row, n);
                        }
                    }
                }),
            }
        }
        Ok(())
    })?;
    let mut weights = vec![None, None];
    // SAFETY: the loop wrote all rows; the gradients are fresh.
    unsafe {
        if b.need_weight(0) {
            let dw = Tensor::empty(op, &[4 * h, r], T::DTYPE)?;
            let before = Before::new(&f, b.y.ptr::<T>(), k.state[0].ptr::<T>(), r);
            weight_grad([4 * h, r, f.total], dxp.get(), 4 * h, &before, dw.ptr::<T>());
            weights[0] = Some(dw);
        }
        if b.need_weight(1) {
            weights[1] = match &projected {
                Some((_, rows, Some(outputs))) => {
                    let dw = Tensor::empty(op, &[r, h], T::DTYPE)?;
                    let outputs = Strided { ptr: outputs.at(0).cast_const(), line: 1, k: h as isize };
                    weight_grad([r, h, f.total], rows.at(0), r, &outputs, dw.ptr::<T>());
                    Some(dw)
                }
                _ if p.is_some() => Some(sums_of(op, &f, &sums, blocks.len(), 3, 0..3)?),
                _ => None,
            };
        }
    }
    Ok(Gradients { x: b.need_x().then_some(dx), state: vec![dh0, dc0], weights })
}
