//! The way back through the cells whose reset gate acts before the product, in two phases a step as
//! forward.

use super::Gradients;
use super::carry::Carry;
use super::checks::{Checked, CheckedBack, pointer};
use super::frame::{Num, Own, Room, Turns, get, in_blocks, put, shift};
use super::gated::{SLOTS, cell};
use super::weights::{Before, Panels, weight_grad};
use crate::error::Result;
use crate::ops::matmul::Strided;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::tanh;
use crate::simd::vector::{Float, Kernel, Vector, run};
use crate::tensor::Tensor;

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
