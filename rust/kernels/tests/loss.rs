//! Classification losses against float64 written out; gradients against differences.

use lectorium::ops::loss::{Reduction, cross_entropy, cross_entropy_grad, nll_loss, nll_loss_grad};
use lectorium::ops::{copy, softmax};
use lectorium::{DType, Error, Tensor};

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            2.0 * (s >> 11) as f64 / (1u64 << 52) as f64 - 2.0
        })
        .collect()
}

fn values(x: &Tensor) -> Vec<f64> {
    let x = copy::contiguous("test", &copy::cast("test", x, DType::F64).unwrap()).unwrap();
    unsafe { x.as_slice::<f64>() }.to_vec()
}

fn assert_close(got: &Tensor, want: &[f64], tolerance: f64, what: &str) {
    let got = values(got);
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let same = (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * (1.0 + w.abs());
        assert!(same, "{what}: element {i} is {g}, expected {w}");
    }
}

const IGNORE: i64 = -100;

struct Case {
    logits: Tensor,
    target: Tensor,
    labels: Vec<i64>,
    classes: usize,
    inner: usize,
}

fn cases() -> Vec<Case> {
    [&[7, 5][..], &[4, 3, 6], &[2, 11, 3, 2], &[3, 4, 300], &[9], &[100, 1]]
        .into_iter()
        .map(|shape| {
            let (n, classes, rest) = if shape.len() == 1 {
                (1, shape[0], vec![])
            } else {
                (shape[0], shape[1], shape[2..].to_vec())
            };
            let inner: usize = rest.iter().product();
            let labels: Vec<i64> = noise(n * inner, 7)
                .iter()
                .enumerate()
                .map(|(i, v)| if i % 5 == 3 { IGNORE } else { ((v + 2.0) * 0.2499 * classes as f64) as i64 })
                .collect();
            let dims: Vec<usize> = if shape.len() == 1 { vec![] } else { [vec![n], rest].concat() };
            let logits = Tensor::from_slice("test", &noise(n * classes * inner, 3), shape).unwrap();
            Case {
                logits,
                target: Tensor::from_slice("test", &labels, &dims).unwrap(),
                labels,
                classes,
                inner,
            }
        })
        .collect()
}

/// PyTorch's definition, sample by sample: the losses and the weights a mean divides by.
fn written_out(c: &Case, logits: &[f64], weight: Option<&[f64]>, smoothing: f64) -> (Vec<f64>, f64) {
    let w = |k: usize| weight.map_or(1.0, |w| w[k]);
    let mut total = 0.0;
    let losses = c
        .labels
        .iter()
        .enumerate()
        .map(|(i, &t)| {
            if t == IGNORE {
                return 0.0;
            }
            let at = |k: usize| logits[(i / c.inner * c.classes + k) * c.inner + i % c.inner];
            let log_sum = (0..c.classes).map(|k| at(k).exp()).sum::<f64>().ln();
            total += w(t as usize);
            let smooth: f64 = (0..c.classes).map(|k| w(k) * (log_sum - at(k))).sum();
            (1.0 - smoothing) * w(t as usize) * (log_sum - at(t as usize))
                + smoothing / c.classes as f64 * smooth
        })
        .collect();
    (losses, total)
}

fn combined(losses: Vec<f64>, total: f64, reduction: Reduction) -> Vec<f64> {
    match reduction {
        Reduction::None => losses,
        Reduction::Sum => vec![losses.iter().sum()],
        Reduction::Mean => vec![losses.iter().sum::<f64>() / total],
    }
}

#[test]
fn cross_entropy_and_its_gradient_follow_pytorchs_definition() {
    for c in cases() {
        let weights: Vec<f64> = noise(c.classes, 11).iter().map(|v| v.abs() + 0.1).collect();
        let weight_tensor = Tensor::from_slice("test", &weights, &[c.classes]).unwrap();
        for (weighted, smoothing) in [(false, 0.0), (true, 0.0), (false, 0.1), (true, 0.3), (false, 1.0)] {
            for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
                let what =
                    format!("{:?} weighted {weighted} smoothing {smoothing} {reduction:?}", c.logits.shape());
                let (w, wt) = (weighted.then_some(&weights[..]), weighted.then_some(&weight_tensor));
                let loss_at = |logits: &[f64]| {
                    let (losses, total) = written_out(&c, logits, w, smoothing);
                    combined(losses, total, reduction)
                };
                let (loss, lp) =
                    cross_entropy(&c.logits, &c.target, wt, IGNORE, smoothing, reduction).unwrap();
                assert_close(&loss, &loss_at(&values(&c.logits)), 1e-12, &what);
                let narrow = copy::cast("test", &c.logits, DType::F32).unwrap();
                let w32 = copy::cast("test", &weight_tensor, DType::F32).unwrap();
                let (loss32, lp32) =
                    cross_entropy(&narrow, &c.target, weighted.then_some(&w32), IGNORE, smoothing, reduction)
                        .unwrap();
                assert_close(&loss32, &loss_at(&values(&c.logits)), 3e-6, &what);

                let g = Tensor::from_slice("test", &noise(loss.numel(), 5), loss.shape()).unwrap();
                let dx = cross_entropy_grad(&g, &lp, &c.target, wt, IGNORE, smoothing, reduction).unwrap();
                let g32 = copy::cast("test", &g, DType::F32).unwrap();
                let dx32 = cross_entropy_grad(
                    &g32,
                    &lp32,
                    &c.target,
                    weighted.then_some(&w32),
                    IGNORE,
                    smoothing,
                    reduction,
                )
                .unwrap();
                assert_close(&dx32, &values(&dx), 3e-6, &what);
                if c.logits.numel() > 200 {
                    continue;
                }
                let (gv, h) = (values(&g), 1e-5);
                let want: Vec<f64> = (0..c.logits.numel())
                    .map(|i| {
                        let moved = |d: f64| {
                            let mut v = values(&c.logits);
                            v[i] += d;
                            loss_at(&v).iter().zip(&gv).map(|(l, g)| l * g).sum::<f64>()
                        };
                        (moved(h) - moved(-h)) / (2.0 * h)
                    })
                    .collect();
                assert_close(&dx, &want, 1e-8, &what);
            }
        }
    }
}

#[test]
fn nll_loss_is_the_second_half_of_cross_entropy() {
    for c in cases() {
        let weight = Tensor::from_slice("test", &vec![0.5; c.classes], &[c.classes]).unwrap();
        let axis = if c.logits.ndim() == 1 { 0 } else { 1 };
        for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
            let (want, lp) =
                cross_entropy(&c.logits, &c.target, Some(&weight), IGNORE, 0.0, reduction).unwrap();
            let got = nll_loss(&lp, &c.target, Some(&weight), IGNORE, reduction).unwrap();
            assert_close(&got, &values(&want), 1e-12, "loss");
            let g = Tensor::from_slice("test", &noise(got.numel(), 5), got.shape()).unwrap();
            let want = cross_entropy_grad(&g, &lp, &c.target, Some(&weight), IGNORE, 0.0, reduction).unwrap();
            let d = nll_loss_grad(&g, &lp, &c.target, Some(&weight), IGNORE, reduction).unwrap();
            assert_close(
                &softmax::log_softmax_grad(&d, &lp, axis).unwrap(),
                &values(&want),
                1e-12,
                "gradient",
            );
        }
    }
}

#[test]
fn a_mean_over_nothing_is_nan_and_a_sum_is_zero() {
    let logits = Tensor::from_slice("test", &noise(6, 1), &[2, 3]).unwrap();
    let target = Tensor::from_slice("test", &[IGNORE; 2], &[2]).unwrap();
    let (loss, _) = cross_entropy(&logits, &target, None, IGNORE, 0.0, Reduction::Mean).unwrap();
    assert!(values(&loss)[0].is_nan());
    let (loss, _) = cross_entropy(&logits, &target, None, IGNORE, 0.1, Reduction::Sum).unwrap();
    assert_eq!(values(&loss), [0.0]);
    let empty = Tensor::from_slice::<f64>("test", &[], &[0, 3]).unwrap();
    let none = Tensor::from_slice::<i64>("test", &[], &[0]).unwrap();
    let (loss, lp) = cross_entropy(&empty, &none, None, IGNORE, 0.0, Reduction::Mean).unwrap();
    assert!(values(&loss)[0].is_nan());
    assert_eq!(
        cross_entropy_grad(&loss, &lp, &none, None, IGNORE, 0.0, Reduction::Mean).unwrap().shape(),
        [0, 3]
    );
}

#[test]
fn a_label_out_of_range_is_named_with_its_place_and_the_classes() {
    let logits = Tensor::from_slice("test", &noise(24, 1), &[2, 3, 4]).unwrap();
    let target = Tensor::from_slice("test", &[0i64, 1, 2, 0, 0, 3, 0, 0], &[2, 4]).unwrap();
    let got = cross_entropy(&logits, &target, None, IGNORE, 0.0, Reduction::Mean).err().unwrap();
    assert!(matches!(got, Error::Index { .. }));
    let got = got.to_string();
    assert!(got.contains("target 3 at position [1, 1] is out of bounds for 3 classes"), "{got}");
    let target = Tensor::from_slice("test", &[0i64, -1], &[2]).unwrap();
    let scores = Tensor::from_slice("test", &noise(6, 1), &[2, 3]).unwrap();
    assert!(nll_loss(&scores, &target, None, IGNORE, Reduction::Mean).is_err());
    assert!(nll_loss(&scores, &target, None, -1, Reduction::Mean).is_ok());
}

#[test]
fn wrong_shapes_and_dtypes_are_errors() {
    let scores = Tensor::from_slice("test", &noise(6, 1), &[2, 3]).unwrap();
    let labels = Tensor::from_slice("test", &[0i64, 1], &[2]).unwrap();
    let ce = |x: &Tensor, t: &Tensor, w: Option<&Tensor>, s: f64| {
        cross_entropy(x, t, w, IGNORE, s, Reduction::Mean).err()
    };
    let three = Tensor::from_slice("test", &[0i64; 3], &[3]).unwrap();
    assert!(matches!(ce(&scores, &three, None, 0.0), Some(Error::Shape { .. })));
    let floats = copy::cast("test", &labels, DType::F32).unwrap();
    assert!(matches!(ce(&scores, &floats, None, 0.0), Some(Error::DType { .. })));
    let ints = copy::cast("test", &scores, DType::I64).unwrap();
    assert!(matches!(ce(&ints, &labels, None, 0.0), Some(Error::DType { .. })));
    assert!(matches!(ce(&scores, &labels, Some(&floats), 0.0), Some(Error::Shape { .. })));
    assert!(matches!(ce(&scores, &labels, None, 1.5), Some(Error::Value { .. })));
    assert_eq!(Reduction::from_name("mean"), Some(Reduction::Mean));
    assert_eq!(Reduction::from_name("average"), None);
}
