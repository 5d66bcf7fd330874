//! The layer-normalised LSTM (Ba et al. 2016): `W h` is normalised over all gates together, and so is c on
//! its way to h. A row's statistics are the work of all threads: a step has three phases.

use super::Outcome;
use super::checks::{Checked, pointer};
use super::frame::{Frame, Num, Own, Room, Turns, copy_rows, get, put};
use super::weights::Panels;
use crate::dtype::Element;
use crate::error::Result;
use crate::parallel::{SendPtr, for_steps};
use crate::simd::gates::{sigmoid, tanh};
use crate::simd::vector::{Kernel, Vector, run};

/// Saved for each unit: the four gates, their normalised products, c, and c normalised; then two numbers
/// a row, one over the standard deviations of the products and of c.
pub(super) const SLOTS: usize = 11;
pub(super) const UNIT: usize = 4;
pub(super) const C: usize = 8;
pub(super) const NORMAL: usize = 9;
pub(super) const SCALES: usize = 10;
/// Added to a variance.
const EPS: f64 = 1e-5;

/// Sums over a row that tasks make for each other: `[row][task][2]`, twice, for neighbouring phases.
pub(super) struct Shares<T> {
    room: Room<T>,
    batch: usize,
    tasks: usize,
}

impl<T: Num> Shares<T> {
    pub fn new(op: &'static str, f: &Frame) -> Result<Shares<T>> {
        let room = Room::new(op, 4 * f.batch * f.tasks)?;
        Ok(Shares { room, batch: f.batch, tasks: f.tasks })
    }

    pub fn at(&self, phase: usize, b: usize, task: usize) -> *mut [T; 2] {
        self.room.at(2 * (((phase % 2) * self.batch + b) * self.tasks + task)).cast()
    }

    /// The means over `n` elements of the two quantities.
    pub unsafe fn means(&self, phase: usize, b: usize, n: usize) -> [T; 2] {
        let (mut x, mut y) = (0.0, 0.0);
        for task in 0..self.tasks {
            let [p, q] = *self.at(phase, b, task);
            (x, y) = (x + p.to_f64(), y + q.to_f64());
        }
        [T::from_f64(x / n as f64), T::from_f64(y / n as f64)]
    }

    /// The mean, and one over the standard deviation, of shares that are means and sums of squared
    /// distances from them; `count` elements a unit.
    unsafe fn moments(&self, phase: usize, b: usize, f: &Frame, count: usize) -> [T; 2] {
        let (mut n, mut mean, mut square) = (0.0, 0.0, 0.0);
        for task in 0..self.tasks {
            let [m, s] = *self.at(phase, b, task);
            let more = (count * f.units(task).len()) as f64;
            let apart = m.to_f64() - mean;
            square += s.to_f64() + apart * apart * n * more / (n + more);
            n += more;
            mean += apart * more / n;
        }
        [T::from_f64(mean), T::from_f64(1.0 / (square / n + EPS).sqrt())]
    }
}

/// The mean of some runs of `len` elements, `step` apart, and the sum of squared distances from it.
#[inline(always)]
unsafe fn spread<V: Vector>(from: *const V::Elem, runs: usize, step: usize, len: usize) -> [V::Elem; 2] {
    let mut sum = V::splat(V::Elem::default());
    for r in 0..runs {
        let mut u = 0;
        while u < len {
            sum = sum.add(get(from.add(r * step + u), len - u));
            u += V::LANES;
        }
    }
    let mean = V::Elem::from_f64(sum.sum().to_f64() / (runs * len) as f64);
    let mut square = V::splat(V::Elem::default());
    for r in 0..runs {
        let mut u = 0;
        while u < len {
            let n = (len - u).min(V::LANES);
            let x = V::splat(mean).load_lanes(V::mask(0, n), from.add(r * step + u)).sub(V::splat(mean));
            square = x.mul_add(x, square);
            u += V::LANES;
        }
    }
    [mean, square.sum()]
}

/// Statistics of the products of a task's rows.
struct Spread<'a, T> {
    rows: usize,
    len: usize,
    nr: usize,
    block: *const T,
    shares: &'a Shares<T>,
    phase: usize,
    task: usize,
}

impl<T: Num> Kernel<T> for Spread<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        for b in 0..self.rows {
            let from = self.block.add((b * SLOTS + UNIT) * self.nr);
            *self.shares.at(self.phase, b, self.task) = spread::<V>(from, 4, self.nr, self.len);
        }
    }
}

/// The gates and the new c of a task: pointers are to its first unit in the first row.
struct Gates<'a, T> {
    f: &'a Frame,
    rows: usize,
    len: usize,
    x: *const T,
    block: *mut T,
    c: *mut T,
    gain: *const T,
    shares: &'a Shares<T>,
    phase: usize,
    task: usize,
}

impl<T: Num> Kernel<T> for Gates<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let (h, nr) = (self.f.h, self.f.nr);
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let x = self.x.add(b * 4 * h);
            let [mean, scale] = self.shares.moments(self.phase - 1, b, self.f, 4);
            *block.add(SCALES * nr) = scale;
            let (mean, scale) = (V::splat(mean), V::splat(scale));
            let mut u = 0;
            while u < self.len {
                let n = self.len - u;
                let mut gates = [V::splat(T::default()); 4];
                for g in 0..4 {
                    let at = block.add((UNIT + g) * nr + u);
                    let unit = V::load(at).sub(mean).mul(scale);
                    unit.store(at);
                    let gain = get::<V>(self.gain.add(g * h + u), n);
                    gates[g] = unit.mul_add(gain, get(x.add(g * h + u), n));
                }
                let [i, f, g, o] = gates;
                let (i, f, g, o) = (sigmoid(i), sigmoid(f), tanh(g), sigmoid(o));
                let c = self.c.add(b * nr + u);
                let new = f.mul_add(V::load(c), i.mul(g));
                new.store(c);
                new.store(block.add(C * nr + u));
                let saved = [i, f, g, o];
                for s in 0..4 {
                    saved[s].store(block.add(s * nr + u));
                }
                u += V::LANES;
            }
            *self.shares.at(self.phase, b, self.task) = spread::<V>(block.add(C * nr), 1, nr, self.len);
        }
    }
}

/// The output of a task.
struct Exit<'a, T> {
    f: &'a Frame,
    rows: usize,
    len: usize,
    block: *mut T,
    gain: *const T,
    bias: *const T,
    y: *mut T,
    next: *mut T,
    ldn: usize,
    shares: &'a Shares<T>,
    phase: usize,
}

impl<T: Num> Kernel<T> for Exit<'_, T> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Elem = T>>(self) {
        let (h, nr) = (self.f.h, self.f.nr);
        for b in 0..self.rows {
            let block = self.block.add(b * SLOTS * nr);
            let [mean, scale] = self.shares.moments(self.phase - 1, b, self.f, 1);
            *block.add(SCALES * nr + 1) = scale;
            let mut u = 0;
            while u < self.len {
                let n = self.len - u;
                let unit = V::load(block.add(C * nr + u)).sub(V::splat(mean)).mul(V::splat(scale));
                unit.store(block.add(NORMAL * nr + u));
                let bent = tanh(unit.mul_add(get(self.gain.add(u), n), get(self.bias.add(u), n)));
                let out = bent.mul(V::load(block.add(3 * nr + u)));
                out.store(self.next.add(b * self.ldn + u));
                put(out, self.y.add(b * h + u), n);
                u += V::LANES;
            }
        }
    }
}

pub(super) fn ahead<T: Num>(k: &Checked, save: bool) -> Result<Outcome> {
    let (op, f, h) = (k.op, k.frame::<T>(), k.h);
    let nr = f.nr;
    let (y, hn, cn) = (k.rows_of(h)?, k.state_of(h)?, k.state_of(h)?);
    let saved = if save { Some(k.room_to_save::<T>(&f, SLOTS)?) } else { None };
    let scratch = if save { None } else { Some(Own::<T>::slots(op, &f, SLOTS)?) };
    let panels = Panels::<T>::gates(op, k.weight(0), 4)?;
    let shares = Shares::<T>::new(op, &f)?;
    // SAFETY: the states were checked to be of the batch.
    let (state, c) =
        unsafe { (Turns::new(op, &f, k.state[0].ptr::<T>(), h)?, Own::new(op, &f, k.state[1].ptr::<T>())?) };
    let (xp, yp) = (SendPtr(k.x.ptr::<T>()), SendPtr(y.ptr::<T>()));
    let (hp, cp) = (SendPtr(hn.ptr::<T>()), SendPtr(cn.ptr::<T>()));
    let sp = SendPtr(pointer::<T>(saved.as_ref()));
    let [gain_hh, gain] = [1, 2].map(|i| SendPtr(k.weight(i).ptr::<T>()));
    let none = Room::<T>::zeroed(op, h)?;
    let bias = SendPtr(k.weights[3].as_ref().map_or(none.at(0), |t| t.ptr::<T>()));
    let _small = f.one_thread_if_small(h, 4 * h);
    for_steps(3 * f.steps(), f.tasks, |phase, task| {
        let s = phase / 3;
        let (rows, len, first) = (f.rows[s], f.units(task).len(), f.units(task).start);
        let block = match &scratch {
            Some(own) => own.at(task),
            None => sp.get().wrapping_add(f.saved_at(s, task, SLOTS)),
        };
        let shares = &shares;
        // SAFETY: each task writes its own units of this phase; what it reads of others was written in
        // the phase before.
        unsafe {
            match phase % 3 {
                0 => {
                    for g in 0..4 {
                        let to = (block.add((UNIT + g) * nr), SLOTS * nr);
                        let from = (state.at(s).cast_const(), state.ld);
                        panels.product(task * 4 + g, rows, f.width(task), from, to, false);
                    }
                    run(Spread { rows, len, nr, block, shares, phase, task });
                }
                1 => {
                    let x = xp.get().add(f.start[s] * 4 * h + first).cast_const();
                    let gain = gain_hh.get().add(first).cast_const();
                    run(Gates { f: &f, rows, len, x, block, c: c.at(task), gain, shares, phase, task });
                }
                _ => {
                    let next = state.at(s + 1).add(first);
                    run(Exit {
                        f: &f,
                        rows,
                        len,
                        block,
                        gain: gain.get().add(first),
                        bias: bias.get().add(first),
                        y: yp.get().add(f.start[s] * h + first),
                        next,
                        ldn: state.ld,
                        shares,
                        phase,
                    });
                    let ended = f.go_on(s)..rows;
                    c.give_rows(&f, task, ended.clone(), cp.get().add(first));
                    copy_rows(next, state.ld, hp.get().add(first), h, ended, len);
                }
            }
        }
    });
    Ok(Outcome { y, state: vec![hn, cn], saved })
}
