use super::*;
use crate::dtype::DType;
use crate::layout::Layout;
use crate::ops::copy;
use crate::tensor::Tensor;

/// Shapes on both sides of a piece's length.
const SIZES: [usize; 4] = [7, 0, 40_000, 16_384];

fn wave(n: usize, phase: f64) -> Vec<f64> {
    (0..n).map(|i| (i as f64 * 0.37 + phase).sin()).collect()
}
fn tensor(v: &[f64], dtype: DType) -> Tensor {
    copy::cast("test", &Tensor::from_slice("test", v, &[v.len()]).unwrap(), dtype).unwrap()
}
fn values(t: &Tensor) -> Vec<f64> {
    let t = copy::contiguous("test", &copy::cast("test", t, DType::F64).unwrap()).unwrap();
    // SAFETY: nobody writes meanwhile.
    unsafe { t.as_slice::<f64>() }.to_vec()
}
fn refs(v: &[Tensor]) -> Vec<&Tensor> {
    v.iter().collect()
}

/// Runs `steps` steps of a kernel and of the formula for one element, and compares.
fn compare<const S: usize>(
    name: &str,
    kernel: impl Fn(&[&Tensor], &[&Tensor], [&[&Tensor]; S], f64),
    formula: impl Fn(f64, f64, &mut [f64; S], f64) -> f64,
) {
    for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
        let params: Vec<Tensor> = SIZES.iter().map(|&n| tensor(&wave(n, 0.0), dtype)).collect();
        let state: [Vec<Tensor>; S] =
            std::array::from_fn(|_| SIZES.iter().map(|&n| tensor(&vec![0.0; n], dtype)).collect());
        let mut want: Vec<Vec<(f64, [f64; S])>> =
            params.iter().map(|p| values(p).into_iter().map(|v| (v, [0.0; S])).collect()).collect();
        for t in 1..=4 {
            let grads: Vec<Tensor> = SIZES.iter().map(|&n| tensor(&wave(n, t as f64), dtype)).collect();
            let versions: Vec<u64> = params.iter().map(|p| p.storage().version()).collect();
            let lists: [Vec<&Tensor>; S] = std::array::from_fn(|k| refs(&state[k]));
            kernel(&refs(&params), &refs(&grads), std::array::from_fn(|k| lists[k].as_slice()), t as f64);
            assert!(params.iter().zip(versions).all(|(p, v)| p.storage().version() > v));
            for (w, g) in want.iter_mut().zip(&grads) {
                for ((p, s), g) in w.iter_mut().zip(values(g)) {
                    *p = formula(*p, g, s, t as f64);
                }
            }
        }
        for (p, w) in params.iter().zip(&want) {
            for (got, (w, _)) in values(p).into_iter().zip(w) {
                assert!((got - w).abs() <= tolerance * (1.0 + w.abs()), "{name} {dtype}: {got} {w}");
            }
        }
    }
}

#[test]
fn sgd_follows_its_formula_in_every_variant() {
    for (momentum, dampening, nesterov, maximize) in
        [(0.0, 0.0, false, false), (0.9, 0.0, false, true), (0.9, 0.3, false, false), (0.9, 0.0, true, false)]
    {
        let spec = SgdSpec { lr: 0.1, momentum, dampening, weight_decay: 0.01, nesterov, maximize };
        compare::<1>(
            "sgd",
            |p, g, [b], t| {
                let bufs: Vec<Option<&Tensor>> = b.iter().map(|b| Some(*b)).collect();
                sgd(p, g, &bufs, &vec![t == 1.0; p.len()], &spec).unwrap()
            },
            |p, g, [b], t| {
                let g = (if maximize { -g } else { g }) + 0.01 * p;
                let d = if momentum == 0.0 {
                    g
                } else {
                    *b = if t == 1.0 { g } else { *b * momentum + (1.0 - dampening) * g };
                    if nesterov { g + momentum * *b } else { *b }
                };
                p - 0.1 * d
            },
        );
    }
}

#[test]
fn adam_follows_its_formula_in_every_variant() {
    for (decoupled, amsgrad, maximize, beta1) in [
        (false, false, false, 0.9),
        (true, false, false, 0.9),
        (false, true, true, 0.9),
        (true, true, false, 0.4),
    ] {
        let spec = AdamSpec {
            lr: 0.01,
            beta1,
            beta2: 0.99,
            eps: 1e-8,
            weight_decay: 0.1,
            decoupled,
            amsgrad,
            maximize,
        };
        compare::<3>(
            "adam",
            |p, g, [m, v, top], t| {
                let top: Vec<Option<&Tensor>> = top.iter().map(|t| Some(*t)).collect();
                adam(p, g, m, v, if amsgrad { &top } else { &[] }, &vec![t; p.len()], &spec).unwrap()
            },
            |p, g, [m, v, top], t| {
                let g = (if maximize { -g } else { g }) + if decoupled { 0.0 } else { 0.1 * p };
                let p = if decoupled { p * (1.0 - 0.01 * 0.1) } else { p };
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = 0.99 * *v + 0.01 * g * g;
                *top = top.max(*v);
                let v = if amsgrad { *top } else { *v };
                let denominator = v.sqrt() / (1.0 - 0.99f64.powf(t)).sqrt() + 1e-8;
                p - 0.01 / (1.0 - beta1.powf(t)) * *m / denominator
            },
        );
    }
}

#[test]
fn the_adaptive_methods_follow_their_formulas() {
    for (momentum, centered) in [(0.0, false), (0.9, false), (0.0, true), (0.9, true)] {
        let spec = RmspropSpec {
            lr: 0.01,
            alpha: 0.9,
            eps: 1e-3,
            weight_decay: 0.1,
            momentum,
            centered,
            maximize: false,
        };
        compare::<3>(
            "rmsprop",
            |p, g, [s, b, m], _| {
                rmsprop(p, g, s, if momentum > 0.0 { b } else { &[] }, if centered { m } else { &[] }, &spec)
                    .unwrap()
            },
            |p, g, [s, b, m], _| {
                let g = g + 0.1 * p;
                *s = 0.9 * *s + 0.1 * g * g;
                *m += 0.1 * (g - *m);
                let root = if centered { (*s - *m * *m).sqrt() } else { s.sqrt() } + 1e-3;
                *b = momentum * *b + g / root;
                p - 0.01 * *b
            },
        );
    }
    let spec = AdagradSpec { lr: 0.1, lr_decay: 0.2, weight_decay: 0.1, eps: 1e-6, maximize: true };
    compare::<1>(
        "adagrad",
        |p, g, [s], t| adagrad(p, g, s, &vec![t; p.len()], &spec).unwrap(),
        |p, g, [s], t| {
            let g = -g + 0.1 * p;
            *s += g * g;
            p - 0.1 / (1.0 + (t - 1.0) * 0.2) * g / (s.sqrt() + 1e-6)
        },
    );
    let spec = AdadeltaSpec { lr: 1.0, rho: 0.9, eps: 1e-4, weight_decay: 0.0, maximize: false };
    compare::<2>(
        "adadelta",
        |p, g, [s, a], _| adadelta(p, g, s, a, &spec).unwrap(),
        |p, g, [s, a], _| {
            *s = 0.9 * *s + 0.1 * g * g;
            let d = (*a + 1e-4).sqrt() / (*s + 1e-4).sqrt() * g;
            *a = 0.9 * *a + 0.1 * d * d;
            p - d
        },
    );
}

#[test]
fn a_step_refuses_what_it_cannot_update() {
    let spec = SgdSpec { lr: 0.1, ..Default::default() };
    let (p, g) = (tensor(&[1.0, 2.0], DType::F32), tensor(&[1.0, 1.0], DType::F32));
    let step = |p: &[&Tensor], g: &[&Tensor]| sgd(p, g, &[], &[], &spec);
    assert!(step(&[&p, &p], &[&g, &g]).is_err());
    assert!(step(&[&p], &[]).is_err());
    assert!(step(&[&p], &[&tensor(&[1.0], DType::F32)]).is_err());
    assert!(step(&[&p], &[&tensor(&[1.0, 1.0], DType::F64)]).is_err());
    let whole = tensor(&[1.0, 2.0], DType::I64);
    assert!(step(&[&whole], &[&whole]).is_err());
    let every_other = p.with_layout(Layout::contiguous(&[2]).slice(0, 0, 1, 2));
    assert!(step(&[&every_other], &[&every_other]).is_ok());
    assert!(sgd(&[&p], &[&g], &[None], &[true], &SgdSpec { momentum: 0.9, ..spec }).is_err());
    // A gradient that is the parameter itself, and one with other strides.
    let p = tensor(&[1.0, 2.0], DType::F32);
    step(&[&p], &[&p]).unwrap();
    assert_eq!(values(&p), [1.0f32 - 0.1f32, 2.0f32 - 0.2f32].map(|v| v as f64));
    let p = Tensor::zeros("test", &[2, 2], DType::F32).unwrap();
    let g = Tensor::from_slice("test", &[1f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    step(&[&p], &[&g.with_layout(g.layout().permute(&[1, 0]))]).unwrap();
    assert_eq!(values(&p)[1], -(0.1f32 * 3.0) as f64);
}

#[test]
fn the_norm_is_accurate_for_every_order_and_size() {
    let lists: Vec<Vec<f64>> = SIZES.iter().map(|&n| wave(n, 0.3)).collect();
    let grads: Vec<Tensor> = lists.iter().map(|l| tensor(l, DType::F32)).collect();
    let all: Vec<f64> = grads.iter().flat_map(values).collect();
    for p in [0.5, 1.0, 2.0, 3.0] {
        let want = all.iter().map(|v| v.abs().powf(p)).sum::<f64>().powf(1.0 / p);
        let got = grad_norm(&refs(&grads), p).unwrap();
        assert!((got - want).abs() < 1e-12 * want, "{p}: {got} {want}");
    }
    assert_eq!(grad_norm(&refs(&grads), 0.0).unwrap(), all.iter().filter(|&&v| v != 0.0).count() as f64);
    assert_eq!(grad_norm(&refs(&grads), f64::INFINITY).unwrap(), all.iter().fold(0.0, |m, v| v.abs().max(m)));
    for scale in [1e200, 1e-200, 1e-310] {
        let g = tensor(&[3.0 * scale, -4.0 * scale], DType::F64);
        let got = grad_norm(&[&g], 2.0).unwrap() / scale;
        assert!((got - 5.0).abs() < 1e-9 || scale < 1e-307, "{scale}: {got}");
    }
    assert_eq!(grad_norm(&[], 2.0).unwrap(), 0.0);
    for bad in [f64::NAN, f64::INFINITY] {
        let g = tensor(&[1.0, bad], DType::F32);
        assert!(
            !grad_norm(&[&g], 2.0).unwrap().is_finite()
                && !grad_norm(&[&g], f64::INFINITY).unwrap().is_finite()
        );
    }
    let turned = grads[2].with_layout(grads[2].layout().reshape(&[200, 200]).unwrap().permute(&[1, 0]));
    let before = values(&turned);
    let version = turned.storage().version();
    scale_all(&[&turned, &grads[0]], 0.5).unwrap();
    assert!(values(&turned).iter().zip(&before).all(|(a, b)| *a == b * 0.5));
    assert!(turned.storage().version() > version);
}

#[test]
fn a_gradient_given_twice_is_scaled_once() {
    let g = tensor(&[2.0, 4.0, 6.0, 8.0], DType::F32);
    let half = g.with_layout(g.layout().slice(0, 0, 2, 1));
    scale_all(&[&g, &g, &g.clone()], 0.5).unwrap();
    assert_eq!(values(&g), [1.0, 2.0, 3.0, 4.0]);
    scale_all(&[&half, &half], 2.0).unwrap();
    assert_eq!(values(&g), [2.0, 4.0, 3.0, 4.0]);
}
