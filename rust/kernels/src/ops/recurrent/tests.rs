use super::*;
use crate::error::Error;
use crate::ops::copy;
use crate::parallel::set_num_threads;
use crate::testing::{thread_count, values};

fn random(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_slice("test", &values(shape.iter().product(), seed), shape).unwrap()
}

fn to_f64(t: &Tensor) -> Vec<f64> {
    let t = copy::cast("test", &copy::contiguous("test", t).unwrap(), DType::F64).unwrap();
    // SAFETY: nobody writes to the test's tensor.
    unsafe { t.as_slice::<f64>() }.to_vec()
}

fn all_f64(ts: &[Tensor]) -> Vec<Vec<f64>> {
    ts.iter().map(to_f64).collect()
}

/// A sequence with its gradients from outside.
struct Case {
    kind: Kind,
    projected: bool,
    h: usize,
    x: Tensor,
    state: Vec<Tensor>,
    weights: Vec<Option<Tensor>>,
    sizes: Vec<usize>,
    packed: bool,
    reverse: bool,
    dy: Tensor,
    dstate: Vec<Option<Tensor>>,
}

impl Case {
    fn new(kind: Kind, projected: bool, h: usize, sizes: &[usize], packed: bool, reverse: bool) -> Case {
        let (gates, products) = kind.gates();
        let (batch, total) = (sizes[0], sizes.iter().sum());
        let r = if projected { h.div_ceil(2) } else { h };
        let lead = if packed { vec![total] } else { vec![sizes.len(), batch] };
        let rows = |n: usize, seed| random(&[lead.as_slice(), &[n]].concat(), seed);
        let columns = match kind {
            Kind::Lstm | Kind::PeepholeLstm | Kind::LayerNormLstm => vec![r, h],
            Kind::SkipRnn => vec![h; 3],
            _ => vec![h],
        };
        let states = |seed: u64| -> Vec<Tensor> {
            columns.iter().zip(seed..).map(|(&n, seed)| random(&[batch, n], seed)).collect()
        };
        let mut weights = vec![Some(random(&[products * h, r], 3))];
        match kind {
            Kind::Lstm => weights.push(projected.then(|| random(&[r, h], 4))),
            Kind::PeepholeLstm | Kind::Gru => weights.push(Some(random(&[3 * h], 4))),
            Kind::SkipRnn => weights.push(Some(random(&[h, h], 4))),
            Kind::LayerNormLstm => {
                weights.extend([(4 * h, 4), (h, 5), (h, 6)].map(|(n, seed)| Some(random(&[n], seed))))
            }
            _ => {}
        }
        let (x, dy) = (rows(gates * h, 1), rows(r, 2));
        let dstate = states(20).into_iter().map(Some).collect();
        let sizes = sizes.to_vec();
        Case { kind, projected, h, x, state: states(10), weights, sizes, packed, reverse, dy, dstate }
    }

    fn name(&self) -> String {
        let Case { kind, projected, h, sizes, packed, reverse, .. } = self;
        format!("{kind:?} projected {projected} h {h} {sizes:?} packed {packed} reverse {reverse}")
    }

    fn sequence(&self) -> Sequence<'_> {
        Sequence {
            kind: self.kind,
            x: &self.x,
            state: &self.state,
            weights: &self.weights,
            batch_sizes: self.packed.then_some(&self.sizes),
            reverse: self.reverse,
        }
    }

    fn cast(&self, dtype: DType) -> Case {
        let one = |t: &Tensor| copy::cast("test", t, dtype).unwrap();
        let some = |ts: &[Option<Tensor>]| ts.iter().map(|t| t.as_ref().map(one)).collect::<Vec<_>>();
        Case {
            x: one(&self.x),
            state: self.state.iter().map(one).collect(),
            weights: some(&self.weights),
            dy: one(&self.dy),
            dstate: some(&self.dstate),
            sizes: self.sizes.clone(),
            ..*self
        }
    }

    fn gradients(&self) -> Gradients {
        let s = self.sequence();
        let out = sequence(&s, true).unwrap();
        let need = vec![true; 1 + self.state.len() + self.weights.len()];
        let (saved, dy) = (out.saved.as_ref(), Some(&self.dy));
        sequence_grad(&s, &Back { y: &out.y, saved, dy, dstate: &self.dstate, need: &need }).unwrap()
    }

    /// What the gradients are those of.
    fn loss(&self) -> f64 {
        let out = sequence(&self.sequence(), false).unwrap();
        let dot =
            |a: &Tensor, b: &Tensor| -> f64 { to_f64(a).iter().zip(to_f64(b)).map(|(x, y)| x * y).sum() };
        let ends = out.state.iter().zip(&self.dstate).map(|(s, d)| dot(s, d.as_ref().unwrap()));
        dot(&out.y, &self.dy) + ends.sum::<f64>()
    }

    /// Everything that has a gradient, in their order.
    fn parts(&mut self) -> Vec<Option<&mut Tensor>> {
        let states = self.state.iter_mut().map(Some);
        std::iter::once(Some(&mut self.x))
            .chain(states)
            .chain(self.weights.iter_mut().map(Option::as_mut))
            .collect()
    }
}

/// The product of rows `from .. from + n` of a matrix with a vector.
fn times(w: &[f64], from: usize, n: usize, x: &[f64]) -> Vec<f64> {
    let k = x.len();
    (from..from + n).map(|i| (0..k).map(|j| w[i * k + j] * x[j]).sum()).collect()
}

fn normal(x: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let var = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    x.iter().map(|v| (v - mean) / (var + 1e-5).sqrt()).collect()
}

fn sig(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A step of one row, as the papers have it.
fn step(kind: Kind, h: usize, x: &[f64], state: &mut Vec<Vec<f64>>, w: &[Vec<f64>]) -> Vec<f64> {
    let old = state[0].clone();
    let each = |f: &dyn Fn(usize) -> f64| (0..h).map(f).collect::<Vec<f64>>();
    let new = match kind {
        Kind::RnnTanh | Kind::RnnRelu | Kind::ResidualRnn | Kind::SkipRnn => {
            let mut a = times(&w[0], 0, h, &old);
            if kind == Kind::SkipRnn {
                let far = times(&w[1], 0, h, &state[state.len() - 1]);
                a.iter_mut().zip(far).for_each(|(a, b)| *a += b);
            }
            each(&|u| match kind {
                Kind::RnnRelu => (a[u] + x[u]).max(0.0),
                Kind::ResidualRnn => old[u] + (a[u] + x[u]).tanh(),
                _ => (a[u] + x[u]).tanh(),
            })
        }
        Kind::Lstm | Kind::PeepholeLstm | Kind::LayerNormLstm => {
            let mut a = times(&w[0], 0, 4 * h, &old);
            if kind == Kind::LayerNormLstm {
                a = normal(&a).iter().zip(&w[1]).map(|(a, g)| a * g).collect();
            }
            let peep = |at: usize, c: f64| if kind == Kind::PeepholeLstm { w[1][at] * c } else { 0.0 };
            let c = state[1].clone();
            let gate = |g: usize, u: usize| a[g * h + u] + x[g * h + u];
            let new = each(&|u| {
                let (i, f) = (sig(gate(0, u) + peep(u, c[u])), sig(gate(1, u) + peep(h + u, c[u])));
                f * c[u] + i * gate(2, u).tanh()
            });
            let bent = match kind {
                Kind::LayerNormLstm => {
                    let unit = normal(&new);
                    each(&|u| (unit[u] * w[2][u] + w[3][u]).tanh())
                }
                _ => each(&|u| new[u].tanh()),
            };
            let out = each(&|u| sig(gate(3, u) + peep(2 * h + u, new[u])) * bent[u]);
            state[1] = new;
            if kind == Kind::Lstm && w.len() > 1 { times(&w[1], 0, old.len(), &out) } else { out }
        }
        Kind::Gru => {
            let a: Vec<f64> = times(&w[0], 0, 3 * h, &old).iter().zip(&w[1]).map(|(a, b)| a + b).collect();
            each(&|u| {
                let (r, z) = (sig(a[u] + x[u]), sig(a[h + u] + x[h + u]));
                let n = (x[2 * h + u] + r * a[2 * h + u]).tanh();
                (1.0 - z) * n + z * old[u]
            })
        }
        Kind::GruResetBefore => {
            let (r, z) = (times(&w[0], 0, h, &old), times(&w[0], h, h, &old));
            let n = times(&w[0], 2 * h, h, &each(&|u| sig(r[u] + x[u]) * old[u]));
            each(&|u| {
                let z = sig(z[u] + x[h + u]);
                (1.0 - z) * (n[u] + x[2 * h + u]).tanh() + z * old[u]
            })
        }
        Kind::Mut1 | Kind::Mut2 | Kind::Mut3 => {
            let first = if kind == Kind::Mut1 { 0 } else { h };
            let seen = if kind == Kind::Mut3 { each(&|u| old[u].tanh()) } else { old.clone() };
            let z = if kind == Kind::Mut1 { vec![0.0; h] } else { times(&w[0], 0, h, &seen) };
            let r = times(&w[0], first, h, &old);
            let n = times(&w[0], first + h, h, &each(&|u| sig(r[u] + x[h + u]) * old[u]));
            each(&|u| {
                let z = sig(z[u] + x[u]);
                (n[u] + x[2 * h + u]).tanh() * z + old[u] * (1.0 - z)
            })
        }
    };
    if kind == Kind::SkipRnn {
        state.insert(0, new.clone());
        state.pop();
    } else {
        state[0] = new.clone();
    }
    new
}

/// Each row of the batch on its own: the output and the final states.
fn oracle(case: &Case) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (x, w) = (to_f64(&case.x), case.weights.iter().flatten().map(to_f64).collect::<Vec<_>>());
    let initial = all_f64(&case.state);
    let (batch, r) = (case.sizes[0], case.dy.shape()[case.dy.ndim() - 1]);
    let columns = x.len() / case.sizes.iter().sum::<usize>();
    let mut y = vec![0.0; case.dy.numel()];
    let mut last = initial.clone();
    for b in 0..batch {
        let mut state: Vec<Vec<f64>> =
            initial.iter().map(|s| s[b * s.len() / batch..(b + 1) * s.len() / batch].to_vec()).collect();
        let mut steps: Vec<usize> = (0..case.sizes.len()).filter(|&t| b < case.sizes[t]).collect();
        if case.reverse {
            steps.reverse();
        }
        for t in steps {
            let row = case.sizes[..t].iter().sum::<usize>() + b;
            let out = step(case.kind, case.h, &x[row * columns..(row + 1) * columns], &mut state, &w);
            y[row * r..(row + 1) * r].copy_from_slice(&out);
        }
        for (all, own) in last.iter_mut().zip(&state) {
            let n = own.len();
            all[b * n..(b + 1) * n].copy_from_slice(own);
        }
    }
    (y, last)
}

fn close(got: &[f64], want: &[f64], bound: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= bound * (1.0 + w.abs()), "{what} at {i}: {g} instead of {w}");
    }
}

/// All kinds, at sizes that leave parts of vectors, panels and strips over.
fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    let shapes: [(usize, &[usize], bool); 9] = [
        (1, &[1], false),
        (5, &[3, 3], false),
        (7, &[1, 1, 1, 1], false),
        (33, &[3, 3, 3], false),
        (20, &[15, 15], false),
        (20, &[33, 20, 18, 2], true),
        (3, &[16, 16], false),
        (9, &[4, 4, 2, 1, 1], true),
        (35, &[5, 3, 3], true),
    ];
    for kind in Kind::ALL {
        for (h, sizes, packed) in shapes {
            for reverse in [false, true] {
                all.push(Case::new(kind, false, h, sizes, packed, reverse));
                if kind == Kind::Lstm {
                    all.push(Case::new(kind, true, h, sizes, packed, reverse));
                }
            }
        }
    }
    all
}

#[test]
fn outputs_and_final_states_are_those_of_each_row_alone() {
    for case in cases() {
        let (y, last) = oracle(&case);
        for (dtype, bound) in [(DType::F64, 1e-13), (DType::F32, 3e-6)] {
            for save in [false, true] {
                let out = sequence(&case.cast(dtype).sequence(), save).unwrap();
                close(&to_f64(&out.y), &y, bound, &case.name());
                for (got, want) in out.state.iter().zip(&last) {
                    close(&to_f64(got), want, bound, &case.name());
                }
            }
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_outputs() {
    for mut case in cases() {
        let grads = case.gradients();
        let grads: Vec<Option<Tensor>> =
            std::iter::once(grads.x).chain(grads.state).chain(grads.weights).collect();
        for (i, grad) in grads.iter().enumerate() {
            let Some(part) = case.parts().remove(i).map(|t| t.clone()) else {
                assert!(grad.is_none());
                continue;
            };
            let (at, way) = (to_f64(&part), values(part.numel(), 77 + i as u64));
            // Small enough to stay on one side of a ReLU's bend, nearly always.
            let step = 1e-6;
            let mut moved = |by: f64| {
                let there: Vec<f64> = at.iter().zip(&way).map(|(a, d)| a + by * d).collect();
                *case.parts().remove(i).unwrap() = Tensor::from_slice("test", &there, part.shape()).unwrap();
                case.loss()
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            moved(0.0);
            let grad = to_f64(grad.as_ref().unwrap());
            let want: f64 = grad.iter().zip(&way).map(|(g, d)| g * d).sum();
            assert!(
                (slope - want).abs() <= 1e-6 * (1.0 + want.abs()),
                "{} part {i}: {want} slope {slope}",
                case.name()
            );
        }
    }
}

#[test]
fn float32_gradients_are_those_of_float64() {
    for case in cases() {
        let flat = |g: Gradients| -> Vec<Option<Tensor>> {
            std::iter::once(g.x).chain(g.state).chain(g.weights).collect()
        };
        let (want, got) = (flat(case.gradients()), flat(case.cast(DType::F32).gradients()));
        for (g, w) in got.iter().zip(&want) {
            if let (Some(g), Some(w)) = (g, w) {
                let scale = to_f64(w).iter().fold(1.0, |m: f64, v| m.max(v.abs()));
                let scaled = |t: &Tensor| to_f64(t).iter().map(|v| v / scale).collect::<Vec<_>>();
                close(&scaled(g), &scaled(w), 2e-5, &case.name());
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let _turn = thread_count();
    // Threads share the rows of the first, and the units of the second.
    let sizes: [&[usize]; 2] = [&[37, 37, 36, 35, 1], &[9, 9, 8]];
    for (kind, sizes) in Kind::ALL.into_iter().flat_map(|kind| sizes.map(|sizes| (kind, sizes))) {
        let case = Case::new(kind, kind == Kind::Lstm, 130, sizes, true, true).cast(DType::F32);
        let run = |threads: usize| {
            set_num_threads(threads);
            let out = sequence(&case.sequence(), true).unwrap();
            let g = case.gradients();
            let grads = std::iter::once(g.x).chain(g.state).chain(g.weights).flatten();
            let all = std::iter::once(out.y).chain(out.state).chain(grads);
            all.flat_map(|t| to_f64(&t)).map(f64::to_bits).collect::<Vec<_>>()
        };
        let one = run(1);
        assert!(one == run(2) && one == run(7), "{kind:?}");
    }
}

#[test]
fn only_what_is_needed_comes_back() {
    let case = Case::new(Kind::Lstm, false, 8, &[2, 2], false, false);
    let s = case.sequence();
    let out = sequence(&s, true).unwrap();
    let dstate = [None, None];
    let need = [false, true, false, false, false];
    let saved = out.saved.as_ref();
    let g = sequence_grad(&s, &Back { y: &out.y, saved, dy: None, dstate: &dstate, need: &need }).unwrap();
    assert!(g.x.is_none() && g.state[1].is_none() && g.weights.iter().all(Option::is_none));
    assert!(to_f64(g.state[0].as_ref().unwrap()).iter().all(|&v| v == 0.0));
}

#[test]
fn what_does_not_fit_is_an_error_that_names_it() {
    let text = |change: &dyn Fn(&mut Case)| {
        let mut case = Case::new(Kind::Lstm, false, 4, &[3, 2], true, false);
        change(&mut case);
        match sequence(&case.sequence(), true).map(|_| ()).unwrap_err() {
            Error::Shape { op, msg } | Error::Value { op, msg } | Error::DType { op, msg } => {
                format!("{op}: {msg}")
            }
            other => panic!("{other}"),
        }
    };
    type Change<'a> = &'a dyn Fn(&mut Case);
    let checks: [(Change<'_>, &str); 9] = [
        (&|c| c.sizes = vec![2, 3], "never rise, got [2, 3]"),
        (&|c| c.sizes = vec![3, 3], "do not add up to the 5 rows"),
        (&|c| c.sizes = vec![], "one or more positive numbers"),
        (&|c| c.sizes = vec![3, 2, 0], "positive numbers that never rise"),
        (&|c| c.packed = false, "[steps, batch, gates], got shape [5, 16]"),
        (&|c| c.state[0] = random(&[3, 5], 1), "shape [3, 4] for the initial state h, got [3, 5]"),
        (&|c| c.state[1] = random(&[2, 4], 1), "shape [3, 4] for the initial state c, got [2, 4]"),
        (&|c| c.weights[0] = Some(random(&[16, 5], 1)), "expected w_hh of shape [4 * hidden, hidden]"),
        (&|c| c.x = random(&[5, 12], 1), "has 12 columns, expected 4 for each of the 4 hidden units"),
    ];
    for (change, words) in checks {
        let got = text(change);
        assert!(got.starts_with("lstm: ") && got.contains(words), "{got}");
    }
    let mut none = Case::new(Kind::Gru, false, 4, &[3], false, false);
    none.x = random(&[0, 3, 12], 1);
    let error = sequence(&none.sequence(), true).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("gru: expected at least one step and one sequence, got 0 steps of 3"), "{error}");
    // Steps without columns take no memory, a list of them would.
    none.x = Tensor::zeros("test", &[1 << 50, 3, 0], DType::F64).unwrap();
    let error = sequence(&none.sequence(), true).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("gru: the input's part of the gates has 0 columns"), "{error}");
    let half = Case::new(Kind::Gru, false, 4, &[3], false, false).cast(DType::F16);
    let error = sequence(&half.sequence(), true).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("gru: expected float32 or float64, got float16"), "{error}");
    let case = Case::new(Kind::Gru, false, 4, &[3], false, false);
    let (s, need) = (case.sequence(), [true; 4]);
    let y = sequence(&s, false).unwrap().y;
    let back = Back { y: &y, saved: Some(&case.x), dy: None, dstate: &[None], need: &need };
    let error = sequence_grad(&s, &back).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("expected what its forward saved"), "{error}");
}
