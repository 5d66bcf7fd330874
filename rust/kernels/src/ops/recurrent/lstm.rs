//! The LSTM (Gers et al. 2000), with peepholes (Gers et al. 2002), with a projected output (Sak et al.
//! 2014). Gates i, f, g, o.

use super::checks::{Checked, pointer};
use super::frame::{Num, Own, Turns, copy_rows, get, in_blocks, put, shift};
use super::weights::Panels;
use super::{Kind, Outcome};
use crate::error::Result;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::{sigmoid, tanh};
use crate::simd::vector::{Float, Kernel, Vector, run};
use crate::tensor::Tensor;

/// Saved for each unit: the four gates and the new c.
pub(super) const SLOTS: usize = 5;
pub(super) const C: usize = 4;

/// The projection of the output, and the peepholes: a kind has one of them at most.
pub(super) fn second_weight(k: &Checked) -> (Option<&Tensor>, Option<&Tensor>) {
    let weight = k.weights[1].as_ref();
    if k.kind == Kind::Lstm { (weight, None) } else { (None, weight) }
}

/// A step's pass over the gates of a task: pointers are to its first unit in the first row.
struct Ahead<T> {
    rows: usize,
    len: usize,
    h: usize,
    nr: usize,
    x: *const T,
    /// `[rows][SLOTS][nr]`: the products on entry, what is saved on exit.
    block: *mut T,
    c: *mut T,
    /// Null where the output is projected.
    y: *mut T,
    next: *mut T,
    ldn: usize,
    /// Null, or the weights of the peepholes.
    p: *const T,
}

impl<T: Float> Kernel<T> for Ahead<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Ahead { h, nr, .. } = self;
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let x = self.x.add(b * 4 * h);
            let mut u = 0;
            while u < self.len {
                let n = self.len - u;
                let mut gates = [V::splat(T::default()); 4];
                for g in 0..4 {
                    gates[g] = V::load(block.add(g * nr + u)).add(get(x.add(g * h + u), n));
                }
                let [mut i, mut f, g, mut o] = gates;
                let c = self.c.add(b * nr + u);
                let old = V::load(c);
                if !self.p.is_null() {
                    i = get::<V>(self.p.add(u), n).mul_add(old, i);
                    f = get::<V>(self.p.add(h + u), n).mul_add(old, f);
                }
                let (i_, f_, g_) = (sigmoid(i), sigmoid(f), tanh(g));
                let new = f_.mul_add(old, i_.mul(g_));
                if !self.p.is_null() {
                    o = get::<V>(self.p.add(2 * h + u), n).mul_add(new, o);
                }
                let o_ = sigmoid(o);
                let out = o_.mul(tanh(new));
                let saved = [i_, f_, g_, o_, new];
                for s in 0..SLOTS {
                    saved[s].store(block.add(s * nr + u));
                }
                new.store(c);
                out.store(self.next.add(b * self.ldn + u));
                if !self.y.is_null() {
                    put(out, self.y.add(b * h + u), n);
                }
                u += V::LANES;
            }
        }
    }
}

pub(super) fn ahead<T: Num>(k: &Checked, save: bool) -> Result<Outcome> {
    let (op, f) = (k.op, k.frame::<T>());
    let (h, r, nr) = (k.h, k.r, f.nr);
    let (projection, p) = second_weight(k);
    let y = k.rows_of(r)?;
    let (hn, cn) = (k.state_of(r)?, k.state_of(h)?);
    let saved = if save { Some(k.room_to_save::<T>(&f, SLOTS)?) } else { None };
    let panels = Panels::<T>::gates(op, k.weight(0), 4)?;
    let back_out = projection.map(|w| Panels::<T>::gates(op, w, 1)).transpose()?;
    let (xp, yp) = (SendPtr(k.x.ptr::<T>()), SendPtr(y.ptr::<T>()));
    let sp = SendPtr(pointer::<T>(saved.as_ref()));
    let pp = SendPtr(pointer::<T>(p));
    in_blocks(&f.blocks::<T>(4 * h * r), f.total * 4 * h * r, |f| {
        let scratch = if save { None } else { Some(Own::<T>::slots(op, f, SLOTS)?) };
        let at = |t: &Tensor, columns: usize| t.ptr::<T>().wrapping_add(f.lo * columns);
        // SAFETY: the states were checked to be of the batch.
        let (state, c) =
            unsafe { (Turns::new(op, f, at(&k.state[0], r), r)?, Own::new(op, f, at(&k.state[1], h))?) };
        // What the projection sees.
        let inner = back_out.as_ref().map(|_| Turns::<T>::empty(op, f, h)).transpose()?;
        let (hp, cp) = (SendPtr(at(&hn, r)), SendPtr(at(&cn, h)));
        let gates = |s: usize, task: usize| {
            let (rows, units, first) = (f.rows[s], f.units(task), f.units(task).start);
            let block = match &scratch {
                Some(own) => own.at(task),
                None => sp.get().wrapping_add(f.saved_at(s, task, SLOTS)),
            };
            let (next, ldn) = match &inner {
                Some(inner) => (inner.at(0), inner.ld),
                None => (state.at(s + 1), state.ld),
            };
            // SAFETY: each task writes its own units of this step; those of the state were written before.
            unsafe {
                for g in 0..4 {
                    let to = (block.add(g * nr), SLOTS * nr);
                    let from = (state.at(s).cast_const(), state.ld);
                    panels.product(task * 4 + g, rows, f.width(task), from, to, false);
                }
                run(Ahead {
                    rows,
                    len: units.len(),
                    h,
                    nr,
                    x: xp.get().add(f.start[s] * 4 * h + first),
                    block,
                    c: c.at(task),
                    y: if inner.is_some() {
                        std::ptr::null_mut()
                    } else {
                        yp.get().add(f.start[s] * h + first)
                    },
                    next: next.add(first),
                    ldn,
                    p: shift(pp.get(), first),
                });
                let ended = f.go_on(s)..rows;
                c.give_rows(f, task, ended.clone(), cp.get().add(first));
                if inner.is_none() {
                    copy_rows(next.add(first), ldn, hp.get().add(first), h, ended, units.len());
                }
            }
        };
        let _small = f.one_thread_if_small(r, 4 * h);
        match (&inner, &back_out) {
            (Some(inner), Some(panels)) => for_steps(2 * f.steps(), f.tasks, |phase, task| {
                let s = phase / 2;
                if phase.is_multiple_of(2) {
                    return gates(s, task);
                }
                let first = task * nr;
                if first >= r {
                    return;
                }
                let (n, rows) = (nr.min(r - first), f.rows[s]);
                // SAFETY: as above, of the output's columns.
                unsafe {
                    let to = yp.get().add(f.start[s] * r + first);
                    panels.product(task, rows, n, (inner.at(0).cast_const(), inner.ld), (to, r), false);
                    copy_rows(to, r, state.at(s + 1).add(first), state.ld, 0..rows, n);
                    copy_rows(to, r, hp.get().add(first), r, f.go_on(s)..rows, n);
                }
            }),
            _ => for_steps(f.steps(), f.tasks, gates),
        }
        Ok(())
    })?;
    Ok(Outcome { y, state: vec![hn, cn], saved })
}
