//! The recurrent layer that also sees its state of k steps ago: `h' = tanh(x + W h_1 + W_skip h_k)`. Its
//! state is the last k of them, the newest first.

use super::checks::{Checked, CheckedBack, pointer};
use super::frame::{Frame, Num, Own, Room, Turns, copy_rows, shift};
use super::rnn::{Ahead, Back};
use super::weights::{Before, Panels, weight_grad};
use super::{Gradients, Kind, Outcome};
use crate::error::Result;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::vector::run;
use crate::tensor::Tensor;

/// Where in a ring of `lag + 1` states the one lies that is `ago` steps older than that made by step `s`.
fn place(s: usize, ago: usize, lag: usize) -> usize {
    (s + lag + 1 - ago) % (lag + 1)
}

pub(super) fn ahead<T: Num>(k: &Checked) -> Result<Outcome> {
    let (op, f, h, lag) = (k.op, k.frame::<T>(), k.h, k.state.len());
    let y = k.rows_of(h)?;
    let finals = k.state.iter().map(|_| k.state_of(h)).collect::<Result<Vec<_>>>()?;
    let scratch = Own::<T>::slots(op, &f, 1)?;
    let (near, far) = (Panels::<T>::gates(op, k.weight(0), 1)?, Panels::<T>::gates(op, k.weight(1), 1)?);
    let ld = f.padded(h);
    let ring = Room::<T>::new(op, f.batch.saturating_mul((lag + 1) * ld))?;
    let at = |place: usize| ring.at(place * f.batch * ld);
    let pointers = |all: &[Tensor]| all.iter().map(|t| SendPtr(t.ptr::<T>())).collect::<Vec<_>>();
    let (initial, last) = (pointers(&k.state), pointers(&finals));
    // The states of rows that begin with step `s`, as far as a task owns their columns.
    let begin = |s: usize, first: usize, n: usize| {
        for (ago, from) in initial.iter().enumerate() {
            // SAFETY: the ring and the states hold the batch's rows.
            unsafe {
                let to = at(place(s, ago + 1, lag)).add(first);
                copy_rows(from.get().add(first), h, to, ld, f.went_on(s)..f.rows[s], n);
            }
        }
    };
    begin(0, 0, h);
    let (xp, yp) = (SendPtr(k.x.ptr::<T>()), SendPtr(y.ptr::<T>()));
    let _small = f.one_thread_if_small(2 * h, h);
    for_steps(f.steps(), f.tasks, |s, task| {
        let (rows, n, first) = (f.rows[s], f.units(task).len(), f.units(task).start);
        // SAFETY: each task writes its own units of this step; those of the states were written before.
        unsafe {
            let to = (scratch.at(task), f.nr);
            near.product(task, rows, f.width(task), (at(place(s, 1, lag)), ld), to, false);
            far.product(task, rows, f.width(task), (at(place(s, lag, lag)), ld), to, true);
            run(Ahead {
                kind: Kind::RnnTanh,
                rows,
                len: n,
                h,
                nr: f.nr,
                x: xp.get().add(f.start[s] * h + first),
                block: scratch.at(task),
                old: std::ptr::null(),
                y: yp.get().add(f.start[s] * h + first),
                next: at(place(s, 0, lag)).add(first),
                ldn: ld,
            });
            for (ago, to) in last.iter().enumerate() {
                let from = at(place(s, ago, lag)).add(first);
                copy_rows(from, ld, to.get().add(first), h, f.go_on(s)..rows, n);
            }
            if s + 1 < f.steps() {
                begin(s + 1, first, n);
            }
        }
    });
    Ok(Outcome { y, state: finals, saved: None })
}

/// For each row the state that the skip weight was multiplied with.
fn skipped<T: Num>(f: &Frame, y: *mut T, initial: &[SendPtr<T>], h: usize) -> Before<T> {
    let lag = initial.len();
    let mut rows = vec![initial[0]; f.total];
    // Steps that each row of the batch has had.
    let mut had = vec![0; f.batch];
    for s in 0..f.steps() {
        for b in 0..f.rows[s] {
            rows[f.start[s] + b] = SendPtr(match had[b] < lag {
                true => initial[lag - 1 - had[b]].get().wrapping_add(b * h),
                false => y.wrapping_add((f.start[s - lag] + b) * h),
            });
            had[b] += 1;
        }
    }
    Before::of(rows)
}

pub(super) fn back<T: Num>(k: &Checked, b: &CheckedBack) -> Result<Gradients> {
    let (op, f, h, lag) = (k.op, k.frame::<T>(), k.h, k.state.len());
    let (nr, steps) = (f.nr, f.steps());
    let dx = k.rows_of(h)?;
    let mut dstate = Vec::with_capacity(lag);
    for i in 0..lag {
        dstate.push(if b.need_state(i) { Some(k.state_of(h)?) } else { None });
    }
    let (near, far) = (Panels::<T>::back(op, k.weight(0), 0..h)?, Panels::<T>::back(op, k.weight(1), 0..h)?);
    // The gradients of the states in the ring.
    let ring = (0..=lag).map(|_| Own::<T>::slots(op, &f, 1)).collect::<Result<Vec<_>>>()?;
    let dg = Turns::<T>::empty(op, &f, h)?;
    let pointers =
        |all: &[Option<Tensor>]| all.iter().map(|t| SendPtr(pointer::<T>(t.as_ref()))).collect::<Vec<_>>();
    let (last, first_of) = (pointers(&b.dstate), pointers(&dstate));
    let (dyp, dxp) = (SendPtr(pointer::<T>(b.dy.as_ref())), SendPtr(dx.ptr::<T>()));
    let yp = SendPtr(b.y.ptr::<T>());
    let turns = |turn: usize, task: usize| {
        let (n, first, width) = (f.units(task).len(), f.units(task).start, f.width(task));
        let step = (steps - 1).checked_sub(turn);
        let rows = step.map_or(0, |s| f.rows[s]);
        // SAFETY: each task writes its own units; the gates' gradients were written in the turn before.
        unsafe {
            if turn > 0 {
                let (s, from) = (steps - turn, (dg.at(turn + 1).cast_const(), dg.ld));
                let later = f.rows[s];
                let block = |ago: usize| ring[place(s, ago, lag)].at(task);
                near.product(task, later, width, from, (block(1), nr), true);
                far.product(task, later, width, from, (block(lag), nr), true);
                for (ago, to) in first_of.iter().enumerate() {
                    let to = shift(to.get(), first);
                    copy_rows(block(ago + 1), nr, to, h, rows.min(later)..later, n);
                }
            }
            let Some(s) = step else { return };
            for (ago, from) in last.iter().enumerate() {
                let own = &ring[place(s, ago, lag)];
                own.take_rows(&f, task, f.go_on(s)..rows, shift(from.get(), first));
            }
            let (at, dh) = (f.start[s] * h + first, ring[place(s, 0, lag)].at(task));
            run(Back {
                kind: Kind::RnnTanh,
                rows,
                len: n,
                h,
                nr,
                out: yp.get().add(at),
                ldo: h,
                dy: shift(dyp.get(), at),
                dh,
                dx: dxp.get().add(at),
                dg: dg.at(turn).add(first),
                ldg: dg.ld,
            });
            // This place in the ring is that of an older state now.
            std::ptr::write_bytes(dh, 0, rows * nr);
        }
    };
    {
        let _small = f.one_thread_if_small(2 * h, h);
        for_steps(steps + 1, f.tasks, turns);
    }
    let initial: Vec<_> = k.state.iter().map(|t| SendPtr(t.ptr::<T>())).collect();
    let mut weights = vec![None, None];
    for (i, dw) in weights.iter_mut().enumerate() {
        if b.need_weight(i) {
            let grad = Tensor::empty(op, &[h, h], T::DTYPE)?;
            let before = match i {
                0 => Before::new(&f, yp.get(), initial[0].get(), h),
                _ => skipped(&f, yp.get(), &initial, h),
            };
            // SAFETY: the loop wrote all rows; the gradient is fresh.
            unsafe { weight_grad([h, h, f.total], dxp.get(), h, &before, grad.ptr::<T>()) };
            *dw = Some(grad);
        }
    }
    Ok(Gradients { x: b.need_x().then_some(dx), state: dstate, weights })
}
