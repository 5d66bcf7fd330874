use super::*;
use crate::dtype::Element;

fn pattern(n: usize, seed: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 37 + i * i * 11 + seed * 53) % 101) as f64 / 29.0 - 1.7).collect()
}

fn values(t: &Tensor) -> Vec<f64> {
    // SAFETY: the tests write to no tensor.
    unsafe { t.as_slice::<f64>() }.iter().map(|v| v.to_f64()).collect()
}

/// The score of some tags of one sequence.
fn score(e: &[f64], s: &[f64], end: &[f64], tr: &[f64], n: usize, i: usize, tags: &[usize]) -> f64 {
    let k = s.len();
    let emitted: f64 = tags.iter().enumerate().map(|(t, &tag)| e[(t * n + i) * k + tag]).sum();
    let moved: f64 = tags.windows(2).map(|w| tr[w[0] * k + w[1]]).sum();
    s[tags[0]] + end[tags[tags.len() - 1]] + emitted + moved
}

fn all_tags(len: usize, k: usize) -> Vec<Vec<usize>> {
    let digits = |code: usize| (0..len).map(|t| code / k.pow(t as u32) % k).collect();
    (0..k.pow(len as u32)).map(digits).collect()
}

#[test]
fn likelihood_gradient_and_best_tags_are_those_of_all_paths() {
    let (time, n, k) = (4, 3, 3);
    let lens = [4i64, 1, 3];
    let (e, s, end, tr) = (pattern(time * n * k, 0), pattern(k, 1), pattern(k, 2), pattern(k * k, 3));
    let tags = [0i64, 1, 2, 2, 0, 1, 1, 9, 0, 0, 9, 9];
    let tensor = |v: &[f64], shape: &[usize]| Tensor::from_slice("test", v, shape).unwrap();
    let (et, st, endt, trt) =
        (tensor(&e, &[time, n, k]), tensor(&s, &[k]), tensor(&end, &[k]), tensor(&tr, &[k, k]));
    let tagst = Tensor::from_slice("test", &tags, &[time, n]).unwrap();
    let scores = || Scores { start: &st, end: &endt, transitions: &trt };
    let (found, alpha, shifts) = crf_log_likelihood(&et, scores(), &tagst, &lens).unwrap();
    let g = [1.0, -0.5, 2.0];
    let grads =
        crf_log_likelihood_grad(&tensor(&g, &[n]), &et, scores(), &tagst, &lens, &alpha, &shifts).unwrap();
    let best = crf_decode(&et, scores(), &lens).unwrap();
    let found = values(&found);
    let mut want = [vec![0.0; e.len()], vec![0.0; k], vec![0.0; k], vec![0.0; k * k]];
    for i in 0..n {
        let len = lens[i] as usize;
        let own: Vec<usize> = (0..len).map(|t| tags[t * n + i] as usize).collect();
        let paths = all_tags(len, k);
        let weights: Vec<f64> = paths.iter().map(|p| score(&e, &s, &end, &tr, n, i, p)).collect();
        let total: f64 = weights.iter().map(|w| w.exp()).sum::<f64>().ln();
        let likelihood = score(&e, &s, &end, &tr, n, i, &own) - total;
        assert!((found[i] - likelihood).abs() < 1e-12, "{} and {likelihood}", found[i]);
        let top = (0..paths.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap();
        assert_eq!(best[i].0, paths[top].iter().map(|&c| c as i64).collect::<Vec<_>>());
        assert!((best[i].1 - weights[top]).abs() < 1e-12);
        let mut add = |p: &[usize], v: f64| {
            want[1][p[0]] += v;
            want[2][p[len - 1]] += v;
            p.iter().enumerate().for_each(|(t, &c)| want[0][(t * n + i) * k + c] += v);
            p.windows(2).for_each(|w| want[3][w[0] * k + w[1]] += v);
        };
        add(&own, g[i]);
        paths.iter().zip(&weights).for_each(|(p, w)| add(p, -g[i] * (w - total).exp()));
    }
    for (grad, want) in grads.iter().zip(&want) {
        for (a, b) in values(grad).iter().zip(want) {
            assert!((a - b).abs() < 1e-12, "{a} and {b}");
        }
    }
}

#[test]
fn nan_is_no_score_to_decode() {
    let tensor = |v: &[f64], shape: &[usize]| Tensor::from_slice("test", v, shape).unwrap();
    let zeros = |shape: &[usize]| tensor(&vec![0.0; shape.iter().product()], shape);
    let (line, square) = (zeros(&[3]), zeros(&[3, 3]));
    let mut e = vec![0.0; 4 * 2 * 3];
    e[(2 * 2 + 1) * 3] = f64::NAN;
    let decode = |start: &Tensor, lens: &[i64]| {
        let scores = Scores { start, end: &line, transitions: &square };
        crf_decode(&tensor(&e, &[4, 2, 3]), scores, lens).map_err(|e| e.to_string())
    };
    // Beyond a sequence's end nobody looks.
    assert!(decode(&line, &[4, 2]).is_ok());
    assert!(decode(&line, &[4, 4]).unwrap_err().contains("emissions of sequence 1 has NaN at time 2"));
    let bad = tensor(&[0.0, f64::NAN, 0.0], &[3]);
    assert!(decode(&bad, &[4, 2]).unwrap_err().contains("the scores of start have NaN"));
}
