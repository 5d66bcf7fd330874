//! The way back through the layer-normalised LSTM, in three phases a step as forward.

use super::Gradients;
use super::carry::Carry;
use super::checks::{Checked, CheckedBack, pointer};
use super::frame::{Frame, Num, Own, Room, Turns, get, put, shift};
use super::layer_norm::{C, NORMAL, SCALES, SLOTS, Shares, UNIT};
use super::weights::{Before, Panels, sums_of, weight_grad};
use crate::error::Result;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::tanh;
use crate::simd::vector::{Kernel, Vector, run};
use crate::tensor::Tensor;

/// Kept between the phases for each unit: the gradients of o and of the normalised c, then those of the
/// normalised products.
const KEPT: usize = 6;

/// What the three phases of a task have in common: pointers are to its first unit in the first row.
#[derive(Clone, Copy)]
struct Part<'a, T> {
    f: &'a Frame,
    rows: usize,
    len: usize,
    block: *const T,
    kept: *mut T,
    shares: &'a Shares<T>,
    phase: usize,
    task: usize,
}

/// Through the output and the normalisation of c.
struct Exit<'a, T> {
    part: Part<'a, T>,
    /// Null, or the output's gradient.
    dy: *const T,
    dh: *const T,
    gain: *const T,
    bias: *const T,
    /// `[2][nr]`: sums of the gradients of gain and bias.
    sums: *mut T,
}

impl<T: Num> Kernel<T> for Exit<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let p = self.part;
        let (h, nr, one) = (p.f.h, p.f.nr, V::splat(T::UNIT));
        for b in 0..p.rows {
            let (block, kept) = (p.block.add(b * SLOTS * nr), p.kept.add(b * KEPT * nr));
            let (mut sum, mut product) = (V::splat(T::default()), V::splat(T::default()));
            let mut u = 0;
            while u < p.len {
                let n = p.len - u;
                let (o, unit) = (V::load(block.add(3 * nr + u)), V::load(block.add(NORMAL * nr + u)));
                let gain = get::<V>(self.gain.add(u), n);
                let bent = tanh(unit.mul_add(gain, get(self.bias.add(u), n)));
                let mut dh = get::<V>(self.dh.add(b * nr + u), n);
                if !self.dy.is_null() {
                    dh = dh.add(get(self.dy.add(b * h + u), n));
                }
                let through = dh.mul(o);
                through.mul(bent).mul(one.sub(o)).store(kept.add(u));
                let d = through.sub(through.mul(bent).mul(bent));
                let terms = [d.mul(unit), d];
                for s in 0..2 {
                    let at = self.sums.add(s * nr + u);
                    V::load(at).add(terms[s]).store(at);
                }
                let d = d.mul(gain);
                d.store(kept.add(nr + u));
                sum = sum.add(d);
                product = d.mul_add(unit, product);
                u += V::LANES;
            }
            *p.shares.at(p.phase, b, p.task) = [sum.sum(), product.sum()];
        }
    }
}

/// Through c and the gates.
struct Gates<'a, T> {
    part: Part<'a, T>,
    /// Rows with a step before this one, the block of that step, and the initial c.
    went_on: usize,
    earlier: *const T,
    c0: *const T,
    dc: *mut T,
    dx: *mut T,
    gain: *const T,
    /// `[4][nr]`: sums of the gradients of the gain.
    sums: *mut T,
}

impl<T: Num> Kernel<T> for Gates<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let p = self.part;
        let (h, nr, one) = (p.f.h, p.f.nr, V::splat(T::UNIT));
        for b in 0..p.rows {
            let (block, kept) = (p.block.add(b * SLOTS * nr), p.kept.add(b * KEPT * nr));
            let earlier =
                if b < self.went_on { self.earlier.add((b * SLOTS + C) * nr) } else { self.c0.add(b * nr) };
            let [mean, along] = p.shares.means(p.phase - 1, b, h);
            let (mean, along) = (V::splat(mean), V::splat(along));
            let scale = V::splat(*block.add(SCALES * nr + 1));
            let (mut sum, mut product) = (V::splat(T::default()), V::splat(T::default()));
            let mut u = 0;
            while u < p.len {
                let n = p.len - u;
                let (i, f) = (V::load(block.add(u)), V::load(block.add(nr + u)));
                let g = V::load(block.add(2 * nr + u));
                let (d_o, d) = (V::load(kept.add(u)), V::load(kept.add(nr + u)));
                let unit = V::load(block.add(NORMAL * nr + u));
                let at = self.dc.add(b * nr + u);
                let dc = d.sub(mean).sub(unit.mul(along)).mul_add(scale, V::load(at));
                dc.mul(f).store(at);
                let d_i = dc.mul(g).mul(i.mul(one.sub(i)));
                let d_f = dc.mul(V::load(earlier.add(u))).mul(f.mul(one.sub(f)));
                let d_g = dc.mul(i).mul(one.sub(g.mul(g)));
                let gates = [d_i, d_f, d_g, d_o];
                for s in 0..4 {
                    put(gates[s], self.dx.add(b * 4 * h + s * h + u), n);
                    let unit = V::load(block.add((UNIT + s) * nr + u));
                    let at = self.sums.add(s * nr + u);
                    gates[s].mul_add(unit, V::load(at)).store(at);
                    // Zero beyond the last unit, as the gain is.
                    let d = gates[s].mul(get(self.gain.add(s * h + u), n));
                    d.store(kept.add((2 + s) * nr + u));
                    sum = sum.add(d);
                    product = d.mul_add(unit, product);
                }
                u += V::LANES;
            }
            *p.shares.at(p.phase, b, p.task) = [sum.sum(), product.sum()];
        }
    }
}

/// Through the normalisation of the products.
struct Products<'a, T> {
    part: Part<'a, T>,
    dg: *mut T,
    ldg: usize,
    /// The same in rows of `4 * h`, for the weight; or null.
    rows_of_dg: *mut T,
}

impl<T: Num> Kernel<T> for Products<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let p = self.part;
        let (h, nr) = (p.f.h, p.f.nr);
        for b in 0..p.rows {
            let (block, kept) = (p.block.add(b * SLOTS * nr), p.kept.add(b * KEPT * nr));
            let [mean, along] = p.shares.means(p.phase - 1, b, 4 * h);
            let scale = V::splat(*block.add(SCALES * nr));
            let mut u = 0;
            while u < p.len {
                let n = p.len - u;
                for s in 0..4 {
                    let unit = V::load(block.add((UNIT + s) * nr + u));
                    let d = V::load(kept.add((2 + s) * nr + u));
                    let d = d.sub(V::splat(mean)).sub(unit.mul(V::splat(along))).mul(scale);
                    put(d, self.dg.add(b * self.ldg + s * h + u), n);
                    if !self.rows_of_dg.is_null() {
                        put(d, self.rows_of_dg.add(b * 4 * h + s * h + u), n);
                    }
                }
                u += V::LANES;
            }
        }
    }
}

pub(super) fn back<T: Num>(k: &Checked, b: &CheckedBack) -> Result<Gradients> {
    let (op, f, h) = (k.op, k.frame::<T>(), k.h);
    let nr = f.nr;
    let saved = SendPtr(b.saved::<T>(op, &f, SLOTS)?);
    let dx = k.rows_of(4 * h)?;
    let dh0 = if b.need_state(0) { Some(k.state_of(h)?) } else { None };
    let dc0 = if b.need_state(1) { Some(k.state_of(h)?) } else { None };
    let panels = Panels::<T>::back(op, k.weight(0), 0..4 * h)?;
    // SAFETY: the states were checked to be of the batch.
    let (c0, dc) = unsafe { (Own::new(op, &f, k.state[1].ptr::<T>())?, Own::new(op, &f, std::ptr::null())?) };
    let carry = Carry::new(op, &f, b.dstate[0].as_ref(), dh0.as_ref(), h)?;
    let (kept, shares) = (Own::<T>::slots(op, &f, KEPT)?, Shares::<T>::new(op, &f)?);
    let dg = Turns::<T>::empty(op, &f, 4 * h)?;
    let products = if b.need_weight(0) { Some(Room::<T>::new(op, f.total * 4 * h)?) } else { None };
    let (gain_sums, exit_sums) =
        (Room::<T>::zeroed(op, 4 * f.tasks * nr)?, Room::<T>::zeroed(op, 2 * f.tasks * nr)?);
    let (dyp, dxp) = (SendPtr(pointer::<T>(b.dy.as_ref())), SendPtr(dx.ptr::<T>()));
    let (dcn, dc0p) = (SendPtr(pointer::<T>(b.dstate[1].as_ref())), SendPtr(pointer::<T>(dc0.as_ref())));
    let [gain_hh, gain] = [1, 2].map(|i| SendPtr(k.weight(i).ptr::<T>()));
    let none = Room::<T>::zeroed(op, h)?;
    let bias = SendPtr(k.weights[3].as_ref().map_or(none.at(0), |t| t.ptr::<T>()));
    let turns = |phase: usize, task: usize| {
        let (turn, len, first) = (phase / 3, f.units(task).len(), f.units(task).start);
        let (rows, later) = (carry.rows(turn), carry.later(turn));
        // SAFETY: each task writes its own units of this phase; what it reads of others was written in
        // the phase before.
        unsafe {
            if phase.is_multiple_of(3) {
                carry.receive(turn, task, &panels, (dg.at(0).cast_const(), dg.ld), false);
                dc.give_rows(&f, task, rows.min(later)..later, shift(dc0p.get(), first));
                dc.take_rows(&f, task, later.min(rows)..rows, shift(dcn.get(), first));
            }
            let Some(s) = carry.step(turn) else { return };
            let block = saved.get().add(f.saved_at(s, task, SLOTS)).cast_const();
            let part = Part { f: &f, rows, len, block, kept: kept.at(task), shares: &shares, phase, task };
            match phase % 3 {
                0 => run(Exit {
                    part,
                    dy: shift(dyp.get(), f.start[s] * h + first),
                    dh: carry.own.at(task),
                    gain: gain.get().add(first),
                    bias: bias.get().add(first),
                    sums: exit_sums.at(task * 2 * nr),
                }),
                1 => run(Gates {
                    part,
                    went_on: f.went_on(s),
                    earlier: match s {
                        0 => saved.get(),
                        _ => saved.get().add(f.saved_at(s - 1, task, SLOTS)),
                    },
                    c0: c0.at(task),
                    dc: dc.at(task),
                    dx: dxp.get().add(f.start[s] * 4 * h + first),
                    gain: gain_hh.get().add(first),
                    sums: gain_sums.at(task * 4 * nr),
                }),
                _ => {
                    let at = f.start[s] * 4 * h + first;
                    let rows_of_dg = products.as_ref().map_or(std::ptr::null_mut(), |room| room.at(at));
                    run(Products { part, dg: dg.at(0).add(first), ldg: dg.ld, rows_of_dg })
                }
            }
        }
    };
    {
        let _small = f.one_thread_if_small(4 * h, h);
        for_steps(3 * (f.steps() + 1), f.tasks, turns);
    }
    let mut weights = vec![None, None, None, None];
    if let Some(products) = &products {
        let dw = Tensor::empty(op, &[4 * h, h], T::DTYPE)?;
        let before = Before::new(&f, b.y.ptr::<T>(), k.state[0].ptr::<T>(), h);
        // SAFETY: the loop wrote all rows; the gradient is fresh.
        unsafe { weight_grad([4 * h, h, f.total], products.at(0), 4 * h, &before, dw.ptr::<T>()) };
        weights[0] = Some(dw);
    }
    if b.need_weight(1) {
        weights[1] = Some(sums_of(op, &f, &gain_sums, 1, 4, 0..4)?);
    }
    for i in 0..2 {
        if b.need_weight(2 + i) && k.weights[2 + i].is_some() {
            weights[2 + i] = Some(sums_of(op, &f, &exit_sums, 1, 2, i..i + 1)?);
        }
    }
    Ok(Gradients { x: b.need_x().then_some(dx), state: vec![dh0, dc0], weights })
}
