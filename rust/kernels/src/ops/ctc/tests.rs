use super::*;
use crate::dtype::Element;

/// Log probabilities `[time, n, classes]` of a fixed pattern.
fn pattern(time: usize, n: usize, classes: usize) -> Vec<f64> {
    let raw: Vec<f64> =
        (0..time * n * classes).map(|i| ((i * 37 + i * i * 11) % 101) as f64 / 29.0).collect();
    let norm = |row: &[f64]| row.iter().map(|v| v.exp()).sum::<f64>().ln();
    raw.chunks(classes).flat_map(|row| row.iter().map(|v| v - norm(row)).collect::<Vec<_>>()).collect()
}

fn values<T: Element>(t: &Tensor) -> Vec<f64> {
    // SAFETY: the tests write to no tensor.
    unsafe { t.as_slice::<T>() }.iter().map(|v| v.to_f64()).collect()
}

/// The labelling of a path: repeats joined, blanks dropped.
fn joined(path: &[usize], blank: usize) -> Vec<usize> {
    let mut labels = path.to_vec();
    labels.dedup();
    labels.retain(|&c| c != blank);
    labels
}

/// Every path of one sample with its log probability.
fn paths(lp: &[f64], time: usize, n: usize, classes: usize, sample: usize) -> Vec<(Vec<usize>, f64)> {
    (0..classes.pow(time as u32))
        .map(|mut code| {
            let path: Vec<usize> = (0..time)
                .map(|_| {
                    let c = code % classes;
                    code /= classes;
                    c
                })
                .collect();
            let score = path.iter().enumerate().map(|(t, c)| lp[(t * n + sample) * classes + c]).sum();
            (path, score)
        })
        .collect()
}

#[test]
fn the_loss_and_its_gradient_are_sums_over_all_paths() {
    let (time, n, classes, blank) = (5, 3, 4, 1);
    let lp = pattern(time, n, classes);
    let x = Tensor::from_slice("test", &lp, &[time, n, classes]).unwrap();
    let labels: [&[i64]; 3] = [&[0, 0, 2], &[3], &[]];
    let flat = Tensor::from_slice("test", &[0i64, 0, 2, 3], &[4]).unwrap();
    let lens = [3, 1, 0];
    let (losses, alpha, shifts) = ctc_loss(&x, &flat, &[5, 5, 5], &lens, blank).unwrap();
    let g = Tensor::from_slice("test", &[1.0, 0.5, 2.0], &[3]).unwrap();
    let grad = ctc_loss_grad(&g, &x, &flat, &[5, 5, 5], &lens, blank, false, &alpha, &shifts).unwrap();
    let (losses, grad) = (values::<f64>(&losses), values::<f64>(&grad));
    for i in 0..n {
        let want: Vec<usize> = labels[i].iter().map(|&c| c as usize).collect();
        let mut total = 0.0;
        let mut share = vec![0.0; time * classes];
        for (path, score) in paths(&lp, time, n, classes, i) {
            if joined(&path, blank as usize) == want {
                total += score.exp();
                path.iter().enumerate().for_each(|(t, c)| share[t * classes + c] += score.exp());
            }
        }
        assert!((losses[i] + total.ln()).abs() < 1e-12, "{i}: {} and {}", losses[i], -total.ln());
        for t in 0..time {
            for c in 0..classes {
                let at = (t * n + i) * classes + c;
                let want = [1.0, 0.5, 2.0][i] * (lp[at].exp() - share[t * classes + c] / total);
                assert!((grad[at] - want).abs() < 1e-12, "{i} {t} {c}: {} and {want}", grad[at]);
            }
        }
    }
}

#[test]
fn a_long_sequence_keeps_its_digits() {
    let (time, classes) = (3000, 8);
    let lp = pattern(time, 1, classes);
    let target: Vec<i64> = (0..200).map(|i| 1 + i % 7).collect();
    let target = Tensor::from_slice("test", &target, &[1, 200]).unwrap();
    let run = |x: &Tensor| {
        let (losses, alpha, shifts) = ctc_loss(x, &target, &[3000], &[200], 0).unwrap();
        let g = Tensor::from_slice("test", &[1.0f64], &[1]).unwrap();
        let grad = ctc_loss_grad(&g, x, &target, &[3000], &[200], 0, false, &alpha, &shifts).unwrap();
        (losses, grad)
    };
    let wide = Tensor::from_slice("test", &lp, &[time, 1, classes]).unwrap();
    let narrow: Vec<f32> = lp.iter().map(|&v| v as f32).collect();
    let (loss, grad) = run(&wide);
    let (loss32, grad32) = run(&Tensor::from_slice("test", &narrow, &[time, 1, classes]).unwrap());
    let (loss, loss32) = (values::<f64>(&loss)[0], values::<f32>(&loss32)[0]);
    assert!((loss - loss32).abs() < 1e-6 * loss, "{loss} and {loss32}");
    for (a, b) in values::<f64>(&grad).iter().zip(values::<f32>(&grad32)) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}

#[test]
fn what_cannot_be_aligned_costs_infinity() {
    let lp = pattern(2, 2, 3);
    let x = Tensor::from_slice("test", &lp, &[2, 2, 3]).unwrap();
    let target = Tensor::from_slice("test", &[1i64, 1, 2, 2], &[2, 2]).unwrap();
    // Two equal labels need three points in time; no label needs none.
    let (losses, alpha, shifts) = ctc_loss(&x, &target, &[2, 0], &[2, 0], 0).unwrap();
    assert_eq!(values::<f64>(&losses), [f64::INFINITY, 0.0]);
    let g = Tensor::from_slice("test", &[1.0, 1.0], &[2]).unwrap();
    for zero in [false, true] {
        let grad = ctc_loss_grad(&g, &x, &target, &[2, 0], &[2, 0], 0, zero, &alpha, &shifts).unwrap();
        for (i, v) in values::<f64>(&grad).iter().enumerate() {
            assert!(if i / 3 % 2 == 0 && !zero { v.is_nan() } else { *v == 0.0 }, "{zero} {i} {v}");
        }
    }
}

#[test]
fn a_wide_beam_finds_the_most_probable_labellings() {
    let (time, n, classes, blank) = (5, 2, 3, 2);
    let lp = pattern(time, n, classes);
    let x = Tensor::from_slice("test", &lp, &[time, n, classes]).unwrap();
    let found = ctc_beam_decode(&x, &[5, 5], 500, blank, 8).unwrap();
    let greedy = ctc_greedy_decode(&x, &[5, 5], blank).unwrap();
    for i in 0..n {
        let all = paths(&lp, time, n, classes, i);
        let mut sums: Vec<(Vec<i64>, f64)> = Vec::new();
        for (path, score) in &all {
            let labels: Vec<i64> = joined(path, blank as usize).iter().map(|&c| c as i64).collect();
            match sums.iter_mut().find(|s| s.0 == labels) {
                Some(sum) => sum.1 += score.exp(),
                None => sums.push((labels, score.exp())),
            }
        }
        sums.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (path, (labels, p)) in found[i].iter().zip(&sums) {
            assert_eq!(&path.labels, labels);
            assert!((path.score - p.ln()).abs() < 1e-12);
        }
        let best = all.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        assert!((greedy[i].score - best.1).abs() < 1e-12);
        let labels: Vec<i64> = joined(&best.0, blank as usize).iter().map(|&c| c as i64).collect();
        assert_eq!(greedy[i].labels, labels);
    }
}
