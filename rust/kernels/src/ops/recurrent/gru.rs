//! The GRU with its reset gate after the product, as in cuDNN and PyTorch. Gates r, z, n:
//! `n = tanh(x_n + r * (W_n h + b_n))`, `h' = n + z * (h - n)`.

use super::carry::Carry;
use super::checks::{Checked, CheckedBack, pointer};
use super::frame::{Num, Own, Room, Turns, copy_rows, get, in_blocks, put, shift};
use super::weights::{Before, Panels, sums_of, weight_grad};
use super::{Gradients, Outcome};
use crate::error::Result;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::{sigmoid, tanh};
use crate::simd::vector::{Float, Kernel, Vector, run};
use crate::tensor::Tensor;

/// Saved for each unit: the three gates, and what r was multiplied with.
const SLOTS: usize = 4;

/// A step's pass over the gates of a task: pointers are to its first unit in the first row.
struct Ahead<T> {
    rows: usize,
    len: usize,
    h: usize,
    nr: usize,
    x: *const T,
    /// `[rows][SLOTS][nr]`: the products of r, z, none and n on entry, what is saved on exit.
    block: *mut T,
    old: *const T,
    y: *mut T,
    next: *mut T,
    ldn: usize,
    /// Null, or the biases of the products.
    bias: *const T,
}

impl<T: Float> Kernel<T> for Ahead<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Ahead { h, nr, .. } = self;
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let x = self.x.add(b * 3 * h);
            let mut u = 0;
            while u < self.len {
                let len = self.len - u;
                let (at_r, at_z, at_n) = (block.add(u), block.add(nr + u), block.add(2 * nr + u));
                let at_p = block.add(3 * nr + u);
                let (mut r, mut z, mut p) = (V::load(at_r), V::load(at_z), V::load(at_p));
                if !self.bias.is_null() {
                    r = r.add(get(self.bias.add(u), len));
                    z = z.add(get(self.bias.add(h + u), len));
                    p = p.add(get(self.bias.add(2 * h + u), len));
                }
                let r = sigmoid(r.add(get(x.add(u), len)));
                let z = sigmoid(z.add(get(x.add(h + u), len)));
                let n = tanh(r.mul_add(p, get(x.add(2 * h + u), len)));
                let out = z.mul_add(V::load(self.old.add(b * self.ldn + u)).sub(n), n);
                r.store(at_r);
                z.store(at_z);
                n.store(at_n);
                p.store(at_p);
                out.store(self.next.add(b * self.ldn + u));
                put(out, self.y.add(b * h + u), len);
                u += V::LANES;
            }
        }
    }
}

pub(super) fn ahead<T: Num>(k: &Checked, save: bool) -> Result<Outcome> {
    let (op, f, h) = (k.op, k.frame::<T>(), k.h);
    let nr = f.nr;
    let (y, hn) = (k.rows_of(h)?, k.state_of(h)?);
    let saved = if save { Some(k.room_to_save::<T>(&f, SLOTS)?) } else { None };
    let panels = Panels::<T>::gates(op, k.weight(0), 3)?;
    let (xp, yp) = (SendPtr(k.x.ptr::<T>()), SendPtr(y.ptr::<T>()));
    let (hp, sp) = (SendPtr(hn.ptr::<T>()), SendPtr(pointer::<T>(saved.as_ref())));
    let bias = SendPtr(pointer::<T>(k.weights[1].as_ref()));
    in_blocks(&f.blocks::<T>(3 * h * h), f.total * 3 * h * h, |f| {
        let scratch = if save { None } else { Some(Own::<T>::slots(op, f, SLOTS)?) };
        // SAFETY: the state was checked to be of the batch.
        let state = unsafe { Turns::new(op, f, k.state[0].ptr::<T>().add(f.lo * h), h)? };
        let hp = SendPtr(hp.get().wrapping_add(f.lo * h));
        let _small = f.one_thread_if_small(h, 3 * h);
        for_steps(f.steps(), f.tasks, |s, task| {
            let (rows, units, first) = (f.rows[s], f.units(task), f.units(task).start);
            let block = match &scratch {
                Some(own) => own.at(task),
                None => sp.get().wrapping_add(f.saved_at(s, task, SLOTS)),
            };
            // SAFETY: each task writes its own units of this step; those of the state were written before.
            unsafe {
                let (old, next) = (state.at(s), state.at(s + 1).add(first));
                for (gate, slot) in [(0, 0), (1, 1), (2, 3)] {
                    let to = (block.add(slot * nr), SLOTS * nr);
                    let from = (old.cast_const(), state.ld);
                    panels.product(task * 3 + gate, rows, f.width(task), from, to, false);
                }
                run(Ahead {
                    rows,
                    len: units.len(),
                    h,
                    nr,
                    x: xp.get().add(f.start[s] * 3 * h + first),
                    block,
                    old: old.add(first),
                    y: yp.get().add(f.start[s] * h + first),
                    next,
                    ldn: state.ld,
                    bias: shift(bias.get(), first),
                });
                copy_rows(next, state.ld, hp.get().add(first), h, f.go_on(s)..rows, units.len());
            }
        });
        Ok(())
    })?;
    Ok(Outcome { y, state: vec![hn], saved })
}

/// The way back through the gates of a task in one step.
struct Back<T> {
    rows: usize,
    /// Rows with a step before this one: their old state is an output.
    went_on: usize,
    len: usize,
    h: usize,
    nr: usize,
    block: *const T,
    earlier: *const T,
    h0: *const T,
    /// Null, or the output's gradient.
    dy: *const T,
    dh: *mut T,
    dx: *mut T,
    dg: *mut T,
    ldg: usize,
    /// The gradient of n's product, row-major.
    dp: *mut T,
    /// `[3][nr]`: sums of the gradients of the products.
    sums: *mut T,
}

impl<T: Float> Kernel<T> for Back<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Back { h, nr, .. } = self;
        let one = V::splat(T::UNIT);
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let earlier = if b < self.went_on { self.earlier } else { self.h0 }.add(b * h);
            let mut u = 0;
            while u < self.len {
                let len = self.len - u;
                let (r, z) = (V::load(block.add(u)), V::load(block.add(nr + u)));
                let (n, p) = (V::load(block.add(2 * nr + u)), V::load(block.add(3 * nr + u)));
                let old = get::<V>(earlier.add(u), len);
                let carried = self.dh.add(b * nr + u);
                let mut dh = V::load(carried);
                if !self.dy.is_null() {
                    dh = dh.add(get(self.dy.add(b * h + u), len));
                }
                let through = dh.mul(z);
                through.store(carried);
                let d_z = dh.mul(old.sub(n)).mul(z.mul(one.sub(z)));
                let d_n = dh.sub(through).mul(one.sub(n.mul(n)));
                let d_p = d_n.mul(r);
                let d_r = d_p.mul(p).mul(one.sub(r));
                let (inputs, products) = ([d_r, d_z, d_n], [d_r, d_z, d_p]);
                for g in 0..3 {
                    put(inputs[g], self.dx.add(b * 3 * h + g * h + u), len);
                    put(products[g], self.dg.add(b * self.ldg + g * h + u), len);
                    let at = self.sums.add(g * nr + u);
                    V::load(at).add(products[g]).store(at);
                }
                put(d_p, self.dp.add(b * h + u), len);
                u += V::LANES;
            }
        }
    }
}

pub(super) fn back<T: Num>(k: &Checked, b: &CheckedBack) -> Result<Gradients> {
    let (op, f, h) = (k.op, k.frame::<T>(), k.h);
    let nr = f.nr;
    let saved = SendPtr(b.saved::<T>(op, &f, SLOTS)?);
    let dx = k.rows_of(3 * h)?;
    let dh0 = if b.need_state(0) { Some(k.state_of(h)?) } else { None };
    let panels = Panels::<T>::back(op, k.weight(0), 0..3 * h)?;
    let dp = Room::<T>::new(op, f.total * h)?;
    let blocks = f.blocks::<T>(3 * h * h);
    let sums = Room::<T>::zeroed(op, blocks.len() * 3 * f.tasks * nr)?;
    let (dyp, dxp) = (SendPtr(pointer::<T>(b.dy.as_ref())), SendPtr(dx.ptr::<T>()));
    let (yp, h0) = (SendPtr(b.y.ptr::<T>()), SendPtr(k.state[0].ptr::<T>()));
    in_blocks(&blocks, f.total * 3 * h * h, |f| {
        let carry = Carry::new(op, f, b.dstate[0].as_ref(), dh0.as_ref(), h)?;
        let dg = Turns::<T>::empty(op, f, 3 * h)?;
        let h0 = SendPtr(h0.get().wrapping_add(f.lo * h));
        let _small = f.one_thread_if_small(3 * h, h);
        for_steps(f.steps() + 1, f.tasks, |turn, task| {
            let (units, first) = (f.units(task), f.units(task).start);
            // SAFETY: each task writes its own units; the gates' gradients were written in the turn before.
            unsafe {
                carry.receive(turn, task, &panels, (dg.at(turn + 1).cast_const(), dg.ld), true);
                let Some(s) = carry.step(turn) else { return };
                let at = f.start[s] * h + first;
                let earlier = if s == 0 { h0.get() } else { yp.get().add(f.start[s - 1] * h) };
                run(Back {
                    rows: f.rows[s],
                    went_on: f.went_on(s),
                    len: units.len(),
                    h,
                    nr,
                    block: saved.get().add(f.saved_at(s, task, SLOTS)),
                    earlier: earlier.add(first),
                    h0: h0.get().add(first),
                    dy: shift(dyp.get(), at),
                    dh: carry.own.at(task),
                    dx: dxp.get().add(f.start[s] * 3 * h + first),
                    dg: dg.at(turn).add(first),
                    ldg: dg.ld,
                    dp: dp.at(at),
                    sums: sums.at((f.index * f.tasks + task) * 3 * nr),
                });
            }
        });
        Ok(())
    })?;
    let mut weights = vec![None, None];
    if b.need_weight(0) {
        let dw = Tensor::empty(op, &[3 * h, h], T::DTYPE)?;
        let before = Before::new(&f, yp.get(), h0.get(), h);
        // SAFETY: the loop wrote all rows; the gradient is fresh.
        unsafe {
            weight_grad([2 * h, h, f.total], dxp.get(), 3 * h, &before, dw.ptr::<T>());
            weight_grad([h, h, f.total], dp.at(0), h, &before, dw.ptr::<T>().add(2 * h * h));
        }
        weights[0] = Some(dw);
    }
    if b.need_weight(1) && k.weights[1].is_some() {
        weights[1] = Some(sums_of(op, &f, &sums, blocks.len(), 3, 0..3)?);
    }
    Ok(Gradients { x: b.need_x().then_some(dx), state: vec![dh0], weights })
}
