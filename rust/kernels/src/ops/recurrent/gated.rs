//! Cells whose reset gate acts before the product: the GRU as Cho et al. (2014) wrote it, and MUT1 to
//! MUT3 of Jozefowicz et al. (2015). A step has two phases, `r * h` being the work of all threads.

use super::carry::Carry;
use super::checks::{Checked, CheckedBack, pointer};
use super::frame::{Num, Own, Room, Turns, copy_rows, get, in_blocks, put, shift};
use super::weights::{Before, Panels, weight_grad};
use super::{Gradients, Kind, Outcome};
use crate::error::Result;
use crate::ops::elementwise::{Unary, unary};
use crate::ops::matmul::Strided;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::{sigmoid, tanh};
use crate::simd::vector::{Float, Kernel, Vector, run};
use crate::tensor::Tensor;

/// Saved for each unit: r, z and the candidate n.
const SLOTS: usize = 3;

/// What sets the four cells apart.
#[derive(Clone, Copy)]
struct Cell {
    /// Columns of r, z and n in the input, in units of the hidden size.
    x: [usize; 3],
    /// Rows of r and n in the weight, and of z where it has one.
    r: usize,
    n: usize,
    z: Option<usize>,
    products: usize,
    /// Whether z keeps the old state (the GRU) or takes the candidate.
    keeps: bool,
    /// Whether z sees tanh of the state.
    bent: bool,
}

fn cell(kind: Kind) -> Cell {
    let mut_ = Cell { x: [1, 0, 2], r: 1, n: 2, z: Some(0), products: 3, keeps: false, bent: false };
    match kind {
        Kind::Mut1 => Cell { r: 0, n: 1, z: None, products: 2, ..mut_ },
        Kind::Mut2 => mut_,
        Kind::Mut3 => Cell { bent: true, ..mut_ },
        _ => Cell { x: [0, 1, 2], r: 0, z: Some(1), keeps: true, ..mut_ },
    }
}

/// The gates r and z of a task: pointers are to its first unit in the first row.
struct Gates<T> {
    rows: usize,
    len: usize,
    h: usize,
    nr: usize,
    x: [*const T; 3],
    /// `[rows][SLOTS][nr]`: products on entry, gates on exit.
    block: *mut T,
    /// Whether there is a product of z.
    z: bool,
    old: *const T,
    /// `r * h`
    reset: *mut T,
    ld: usize,
}

impl<T: Float> Kernel<T> for Gates<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Gates { h, nr, ld, .. } = self;
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let mut u = 0;
            while u < self.len {
                let len = self.len - u;
                let (r, mut z) = (V::load(block.add(u)), get::<V>(self.x[1].add(b * 3 * h + u), len));
                if self.z {
                    z = z.add(V::load(block.add(nr + u)));
                }
                let r = sigmoid(r.add(get(self.x[0].add(b * 3 * h + u), len)));
                r.store(block.add(u));
                sigmoid(z).store(block.add(nr + u));
                r.mul(V::load(self.old.add(b * ld + u))).store(self.reset.add(b * ld + u));
                u += V::LANES;
            }
        }
    }
}

/// The candidate and the new state of a task.
struct Update<T> {
    rows: usize,
    len: usize,
    h: usize,
    nr: usize,
    x: *const T,
    block: *mut T,
    keeps: bool,
    old: *const T,
    y: *mut T,
    next: *mut T,
    ld: usize,
    /// Null, or where tanh of the new state goes.
    bent: *mut T,
}

impl<T: Float> Kernel<T> for Update<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let Update { h, nr, ld, .. } = self;
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let mut u = 0;
            while u < self.len {
                let len = self.len - u;
                let at = block.add(2 * nr + u);
                let n = tanh(V::load(at).add(get(self.x.add(b * 3 * h + u), len)));
                n.store(at);
                let (z, old) = (V::load(block.add(nr + u)), V::load(self.old.add(b * ld + u)));
                let out = match self.keeps {
                    true => z.mul_add(old.sub(n), n),
                    false => z.mul_add(n.sub(old), old),
                };
                out.store(self.next.add(b * ld + u));
                put(out, self.y.add(b * h + u), len);
                if !self.bent.is_null() {
                    tanh(out).store(self.bent.add(b * ld + u));
                }
                u += V::LANES;
            }
        }
    }
}

pub(super) fn ahead<T: Num>(k: &Checked, save: bool) -> Result<Outcome> {
    let (op, f, h, cell) = (k.op, k.frame::<T>(), k.h, cell(k.kind));
    let nr = f.nr;
    let (y, hn) = (k.rows_of(h)?, k.state_of(h)?);
    let saved = if save { Some(k.room_to_save::<T>(&f, SLOTS)?) } else { None };
    let panels = Panels::<T>::gates(op, k.weight(0), cell.products)?;
    let bent0 = if cell.bent { Some(unary(Unary::Tanh, &k.state[0], None)?) } else { None };
    let (xp, yp) = (SendPtr(k.x.ptr::<T>()), SendPtr(y.ptr::<T>()));
    let (hp, sp) = (SendPtr(hn.ptr::<T>()), SendPtr(pointer::<T>(saved.as_ref())));
    let weights = cell.products * h * h;
    in_blocks(&f.blocks::<T>(weights), f.total * weights, |f| {
        let scratch = if save { None } else { Some(Own::<T>::slots(op, f, SLOTS)?) };
        let at = |t: &Tensor| t.ptr::<T>().wrapping_add(f.lo * h);
        // SAFETY: the state was checked to be of the batch.
        let (state, bent) = unsafe {
            let bent = bent0.as_ref().map(|t| Turns::<T>::new(op, f, at(t), h)).transpose()?;
            (Turns::new(op, f, at(&k.state[0]), h)?, bent)
        };
        let reset = Turns::<T>::empty(op, f, h)?;
        let hp = SendPtr(hp.get().wrapping_add(f.lo * h));
        let _small = f.one_thread_if_small(h, 2 * h);
        for_steps(2 * f.steps(), f.tasks, |phase, task| {
            let s = phase / 2;
            let (rows, units, first) = (f.rows[s], f.units(task), f.units(task).start);
            let block = match &scratch {
                Some(own) => own.at(task),
                None => sp.get().wrapping_add(f.saved_at(s, task, SLOTS)),
            };
            // SAFETY: each task writes its own units of this phase; what it reads of others was written in
            // the phase before.
            unsafe {
                let (old, next) = (state.at(s), state.at(s + 1).add(first));
                let product = |gate: usize, from: *const T, slot: usize| {
                    let to = (block.add(slot * nr), SLOTS * nr);
                    panels.product(
                        task * cell.products + gate,
                        rows,
                        f.width(task),
                        (from, state.ld),
                        to,
                        false,
                    );
                };
                let x = cell.x.map(|g| xp.get().add((f.start[s] * 3 + g) * h + first).cast_const());
                if phase.is_multiple_of(2) {
                    product(cell.r, old, 0);
                    if let Some(z) = cell.z {
                        product(z, bent.as_ref().map_or(old, |bent| bent.at(s)), 1);
                    }
                    run(Gates {
                        rows,
                        len: units.len(),
                        h,
                        nr,
                        x,
                        block,
                        z: cell.z.is_some(),
                        old: old.add(first),
                        reset: reset.at(0).add(first),
                        ld: state.ld,
                    });
                } else {
                    product(cell.n, reset.at(0), 2);
                    run(Update {
                        rows,
                        len: units.len(),
                        h,
                        nr,
                        x: x[2],
                        block,
                        keeps: cell.keeps,
                        old: old.add(first),
                        y: yp.get().add(f.start[s] * h + first),
                        next,
                        ld: state.ld,
                        bent: bent.as_ref().map_or(std::ptr::null_mut(), |bent| bent.at(s + 1).add(first)),
                    });
                    copy_rows(next, state.ld, hp.get().add(first), h, f.go_on(s)..rows, units.len());
                }
            }
        });
        Ok(())
    })?;
    Ok(Outcome { y, state: vec![hn], saved })
}

/// The way back through the new state: the gradients of z and n.
struct BackUpdate<T> {
    rows: usize,
    /// Rows with a step before this one: their old state is an output.
    went_on: usize,
    len: usize,
    h: usize,
    nr: usize,
    block: *const T,
    keeps: bool,
    earlier: *const T,
    h0: *const T,
    /// Null, or the output's gradient.
    dy: *const T,
    dh: *mut T,
    dx: [*mut T; 3],
    dz: *mut T,
    dn: *mut T,
    ld: usize,
}

impl<T: Float> Kernel<T> for BackUpdate<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let BackUpdate { h, nr, ld, .. } = self;
        let one = V::splat(T::UNIT);
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let earlier = if b < self.went_on { self.earlier } else { self.h0 }.add(b * h);
            let mut u = 0;
            while u < self.len {
                let len = self.len - u;
                let (z, n) = (V::load(block.add(nr + u)), V::load(block.add(2 * nr + u)));
                let old = get::<V>(earlier.add(u), len);
                let carried = self.dh.add(b * nr + u);
                let mut dh = V::load(carried);
                if !self.dy.is_null() {
                    dh = dh.add(get(self.dy.add(b * h + u), len));
                }
                let by_z = dh.mul(z);
                let by_rest = dh.sub(by_z);
                let (keep, new, apart) = match self.keeps {
                    true => (by_z, by_rest, old.sub(n)),
                    false => (by_rest, by_z, n.sub(old)),
                };
                keep.store(carried);
                let d_z = by_z.mul(one.sub(z)).mul(apart);
                let d_n = new.sub(new.mul(n).mul(n));
                put(d_z, self.dx[1].add(b * 3 * h + u), len);
                put(d_n, self.dx[2].add(b * 3 * h + u), len);
                put(d_z, self.dz.add(b * ld + u), len);
                put(d_n, self.dn.add(b * ld + u), len);
                u += V::LANES;
            }
        }
    }
}

/// The way back through r.
struct BackReset<T> {
    rows: usize,
    went_on: usize,
    len: usize,
    h: usize,
    nr: usize,
    block: *const T,
    earlier: *const T,
    h0: *const T,
    /// The gradients of `r * h` and, or null, of `tanh(h)`.
    dreset: *const T,
    dbent: *const T,
    dh: *mut T,
    dx: *mut T,
    dr: *mut T,
    ld: usize,
    /// Rows that the weights were multiplied with, as far as they are not outputs; or null.
    reset: *mut T,
    bent: *mut T,
}

impl<T: Float> Kernel<T> for BackReset<T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let BackReset { h, nr, ld, .. } = self;
        let one = V::splat(T::UNIT);
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let earlier = if b < self.went_on { self.earlier } else { self.h0 }.add(b * h);
            let mut u = 0;
            while u < self.len {
                let len = self.len - u;
                let r = V::load(block.add(u));
                let old = get::<V>(earlier.add(u), len);
                let dreset = V::load(self.dreset.add(b * nr + u));
                let carried = self.dh.add(b * nr + u);
                let through = dreset.mul(r);
                let mut dh = V::load(carried).add(through);
                let d_r = through.mul(one.sub(r)).mul(old);
                if !self.dbent.is_null() {
                    let bent = tanh(old);
                    let dbent = V::load(self.dbent.add(b * nr + u));
                    dh = dh.add(dbent.sub(dbent.mul(bent).mul(bent)));
                    if !self.bent.is_null() {
                        put(bent, self.bent.add(b * h + u), len);
                    }
                }
                dh.store(carried);
                put(d_r, self.dx.add(b * 3 * h + u), len);
                put(d_r, self.dr.add(b * ld + u), len);
                if !self.reset.is_null() {
                    put(r.mul(old), self.reset.add(b * h + u), len);
                }
                u += V::LANES;
            }
        }
    }
}

pub(super) fn back<T: Num>(k: &Checked, b: &CheckedBack) -> Result<Gradients> {
    let (op, f, h, cell) = (k.op, k.frame::<T>(), k.h, cell(k.kind));
    let nr = f.nr;
    let saved = SendPtr(b.saved::<T>(op, &f, SLOTS)?);
    let dx = k.rows_of(3 * h)?;
    let dh0 = if b.need_state(0) { Some(k.state_of(h)?) } else { None };
    let part = |row: usize| Panels::<T>::back(op, k.weight(0), row * h..(row + 1) * h);
    let (of_r, of_n, of_z) = (part(cell.r)?, part(cell.n)?, cell.z.map(part).transpose()?);
    let rows_of_weights = |wanted: bool| -> Result<Option<Room<T>>> {
        if wanted && b.need_weight(0) { Ok(Some(Room::new(op, f.total * h)?)) } else { Ok(None) }
    };
    let (resets, bents) = (rows_of_weights(true)?, rows_of_weights(cell.bent)?);
    let (dyp, dxp) = (SendPtr(pointer::<T>(b.dy.as_ref())), SendPtr(dx.ptr::<T>()));
    let (yp, h0) = (SendPtr(b.y.ptr::<T>()), SendPtr(k.state[0].ptr::<T>()));
    let elements = cell.products * h * h;
    in_blocks(&f.blocks::<T>(elements), f.total * elements, |f| {
        let carry = Carry::new(op, f, b.dstate[0].as_ref(), dh0.as_ref(), h)?;
        let (dr, dz, dn) =
            (Turns::<T>::empty(op, f, h)?, Turns::<T>::empty(op, f, h)?, Turns::<T>::empty(op, f, h)?);
        let dreset = Own::<T>::slots(op, f, 1)?;
        let dbent = if cell.bent { Some(Own::<T>::slots(op, f, 1)?) } else { None };
        let h0 = SendPtr(h0.get().wrapping_add(f.lo * h));
        let turns = |phase: usize, task: usize| {
            let (turn, units, first) = (phase / 2, f.units(task), f.units(task).start);
            // SAFETY: each task writes its own units of this phase; what it reads of others was written in
            // the phase before.
            unsafe {
                if phase.is_multiple_of(2) {
                    carry.receive(turn, task, &of_r, (dr.at(0).cast_const(), dr.ld), true);
                }
                let Some(s) = carry.step(turn) else { return };
                let (rows, went_on, at) = (f.rows[s], f.went_on(s), f.start[s] * h + first);
                let earlier = if s == 0 { h0.get() } else { yp.get().add(f.start[s - 1] * h) }.add(first);
                let block = saved.get().add(f.saved_at(s, task, SLOTS)).cast_const();
                let dx = cell.x.map(|g| dxp.get().add((f.start[s] * 3 + g) * h + first));
                if phase.is_multiple_of(2) {
                    return run(BackUpdate {
                        rows,
                        went_on,
                        len: units.len(),
                        h,
                        nr,
                        block,
                        keeps: cell.keeps,
                        earlier,
                        h0: h0.get().add(first),
                        dy: shift(dyp.get(), at),
                        dh: carry.own.at(task),
                        dx,
                        dz: dz.at(0).add(first),
                        dn: dn.at(0).add(first),
                        ld: dz.ld,
                    });
                }
                let width = f.width(task);
                of_n.product(task, rows, width, (dn.at(0), dn.ld), (dreset.at(task), nr), false);
                if let Some(of_z) = &of_z {
                    let (to, add) = match &dbent {
                        Some(own) => (own.at(task), false),
                        None => (carry.own.at(task), true),
                    };
                    of_z.product(task, rows, width, (dz.at(0), dz.ld), (to, nr), add);
                }
                run(BackReset {
                    rows,
                    went_on,
                    len: units.len(),
                    h,
                    nr,
                    block,
                    earlier,
                    h0: h0.get().add(first),
                    dreset: dreset.at(task),
                    dbent: dbent.as_ref().map_or(std::ptr::null(), |own| own.at(task)),
                    dh: carry.own.at(task),
                    dx: dx[0],
                    dr: dr.at(0).add(first),
                    ld: dr.ld,
                    reset: resets.as_ref().map_or(std::ptr::null_mut(), |room| room.at(at)),
                    bent: bents.as_ref().map_or(std::ptr::null_mut(), |room| room.at(at)),
                });
            }
        };
        let _small = f.one_thread_if_small(h, h);
        for_steps(2 * (f.steps() + 1), f.tasks, turns);
        Ok(())
    })?;
    let mut weights = vec![None];
    if let Some(resets) = &resets {
        let dw = Tensor::empty(op, &[cell.products * h, h], T::DTYPE)?;
        let rows = |room: &Room<T>| Strided { ptr: room.at(0).cast_const(), line: 1, k: h as isize };
        let before = Before::new(&f, yp.get(), h0.get(), h);
        let part = |gate: usize, row: usize| {
            (dxp.get().wrapping_add(gate * h), dw.ptr::<T>().wrapping_add(row * h * h))
        };
        // SAFETY: the loop wrote all rows; the gradient is fresh.
        unsafe {
            let (from, to) = part(cell.x[0], cell.r);
            weight_grad([h, h, f.total], from, 3 * h, &before, to);
            if let Some(z) = cell.z {
                let (from, to) = part(cell.x[1], z);
                match &bents {
                    Some(bents) => weight_grad([h, h, f.total], from, 3 * h, &rows(bents), to),
                    None => weight_grad([h, h, f.total], from, 3 * h, &before, to),
                }
            }
            let (from, to) = part(cell.x[2], cell.n);
            weight_grad([h, h, f.total], from, 3 * h, &rows(resets), to);
        }
        weights[0] = Some(dw);
    }
    Ok(Gradients { x: b.need_x().then_some(dx), state: vec![dh0], weights })
}
