//! Cells whose reset gate acts before the product: the GRU as Cho et al. (2014) wrote it, and MUT1 to
//! MUT3 of Jozefowicz et al. (2015). A step has two phases, `r * h` being the work of all threads.

use super::checks::{Checked, pointer};
use super::frame::{Num, Own, Turns, copy_rows, get, in_blocks, put};
use super::weights::Panels;
use super::{Kind, Outcome};
use crate::error::Result;
use crate::ops::elementwise::{Unary, unary};
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::{sigmoid, tanh};
use crate::simd::vector::{Float, Kernel, Vector, run};
use crate::tensor::Tensor;

/// Saved for each unit: r, z and the candidate n.
pub(super) const SLOTS: usize = 3;

/// What sets the four cells apart.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// Columns of r, z and n in the input, in units of the hidden size.
    pub x: [usize; 3],
    /// Rows of r and n in the weight, and of z where it has one.
    pub r: usize,
    pub n: usize,
    pub z: Option<usize>,
    pub products: usize,
    /// Whether z keeps the old state (the GRU) or takes the candidate.
    pub keeps: bool,
    /// Whether z sees tanh of the state.
    pub bent: bool,
}

pub(super) fn cell(kind: Kind) -> Cell {
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
