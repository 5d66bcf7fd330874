//! One query's part of additive attention, and of its gradient.

use crate::dtype::Bool;
use crate::multiversion;
use crate::simd::math::Real;

#[inline(always)]
fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let (ac, ar) = a.as_chunks::<16>();
    let (bc, br) = b.as_chunks::<16>();
    let mut lanes = [T::ZERO; 16];
    for (a, b) in ac.iter().zip(bc) {
        for j in 0..16 {
            lanes[j] = a[j].fma(b[j], lanes[j]);
        }
    }
    let mut sum = lanes.iter().fold(T::ZERO, |sum, &v| sum + v);
    for (&a, &b) in ar.iter().zip(br) {
        sum = sum + a * b;
    }
    sum
}

/// `to += factor * from`
#[inline(always)]
fn accumulate<T: Real>(to: &mut [T], factor: T, from: &[T]) {
    let from = &from[..to.len()];
    for j in 0..to.len() {
        to[j] = from[j].fma(factor, to[j]);
    }
}

multiversion! {
    /// One query: `tanh(query + key)` of each key that it sees into `bent`, its weights and its context.
    pub(super) fn attend<T: Real>(query: &[T], keys: &[T], direction: &[T], values: &[T], seen: &[Bool], bent: &mut [T], weights: &mut [T], context: &mut [T]) {
        let (a, v) = (query.len(), context.len());
        let mut top = -T::INF;
        for s in 0..weights.len() {
            let bent = &mut bent[s * a..][..a];
            if !seen.is_empty() && !seen[s].get() {
                bent.fill(T::ZERO);
                weights[s] = -T::INF;
                continue;
            }
            let key = &keys[s * a..][..a];
            for j in 0..a {
                bent[j] = (query[j] + key[j]).vtanh();
            }
            let score = dot(bent, direction);
            weights[s] = score;
            top = if score > top { score } else { top };
        }
        let mut sum = T::ZERO;
        for w in weights.iter_mut() {
            *w = if *w == -T::INF { T::ZERO } else { (*w - top).vexp() };
            sum = sum + *w;
        }
        // A query that sees nothing attends to nothing.
        let scale = if sum == T::ZERO { T::ZERO } else { T::ONE / sum };
        context.fill(T::ZERO);
        for s in 0..weights.len() {
            weights[s] = weights[s] * scale;
            if seen.is_empty() || seen[s].get() {
                accumulate(context, weights[s], &values[s * v..][..v]);
            }
        }
    }
}

/// The gradients of one sample; those of keys, values and the direction are added to.
pub(super) struct Sums<'a, T> {
    pub query: &'a mut [T],
    pub keys: &'a mut [T],
    pub direction: &'a mut [T],
    pub values: Option<&'a mut [T]>,
}

multiversion! {
    /// The gradients of one query. `g`: that of its weights, which is changed.
    pub(super) fn attend_grad<T: Real>(context: Option<&[T]>, g: &mut [T], direction: &[T], values: &[T], seen: &[Bool], bent: &[T], weights: &[T], to: &mut Sums<'_, T>) {
        let a = direction.len();
        if let Some(context) = context {
            let v = context.len();
            for s in 0..weights.len() {
                if seen.is_empty() || seen[s].get() {
                    g[s] = g[s] + dot(context, &values[s * v..][..v]);
                    if let Some(values) = &mut to.values {
                        accumulate(&mut values[s * v..][..v], weights[s], context);
                    }
                }
            }
        }
        let mean = dot(g, weights);
        to.query.fill(T::ZERO);
        for s in 0..weights.len() {
            if !seen.is_empty() && !seen[s].get() {
                continue;
            }
            let score = weights[s] * (g[s] - mean);
            let (bent, key) = (&bent[s * a..][..a], &mut to.keys[s * a..][..a]);
            let (query, along) = (&mut to.query[..a], &mut to.direction[..a]);
            for j in 0..a {
                let d = score * direction[j] * (T::ONE - bent[j] * bent[j]);
                query[j] = query[j] + d;
                key[j] = key[j] + d;
                along[j] = bent[j].fma(score, along[j]);
            }
        }
    }
}
