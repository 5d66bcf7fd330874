//! Normalisations against float64 written out; gradients against differences.

use lectorium::ops::{copy, norm};
use lectorium::{DType, Error, Tensor};

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            (s >> 11) as f64 / (1u64 << 52) as f64 - 0.7
        })
        .collect()
}

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_slice("test", &noise(shape.iter().product(), seed), shape).unwrap()
}

fn with_values(v: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_slice("test", v, shape).unwrap()
}

fn cast(x: &Tensor, dtype: DType) -> Tensor {
    copy::cast("test", x, dtype).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    let x = copy::contiguous("test", &cast(x, DType::F64)).unwrap();
    unsafe { x.as_slice::<f64>() }.to_vec()
}

fn assert_close(got: &Tensor, want: &[f64], tolerance: f64, what: &str) {
    let got = values(got);
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{what}: element {i} is {g}, expected {w}");
    }
}

/// Mean and biased variance of the elements of each group, `group` giving each element's.
fn statistics(x: &[f64], groups: usize, group: impl Fn(usize) -> usize) -> Vec<(f64, f64)> {
    let mut out = vec![(0.0, 0.0); groups];
    let mut count = vec![0.0; groups];
    for (i, v) in x.iter().enumerate() {
        out[group(i)].0 += v;
        count[group(i)] += 1.0;
    }
    (0..groups).for_each(|k| out[k].0 /= count[k]);
    for (i, v) in x.iter().enumerate() {
        let k = group(i);
        out[k].1 += (v - out[k].0).powi(2) / count[k];
    }
    out
}

/// The gradient of `sum(f(x) * g)` by central differences.
fn differences(x: &Tensor, g: &Tensor, f: &dyn Fn(&Tensor) -> Tensor) -> Vec<f64> {
    let (gv, h) = (values(g), 1e-5);
    (0..x.numel())
        .map(|i| {
            let moved = |d: f64| {
                let mut v = values(x);
                v[i] += d;
                values(&f(&with_values(&v, x.shape()))).iter().zip(&gv).map(|(y, g)| y * g).sum::<f64>()
            };
            (moved(h) - moved(-h)) / (2.0 * h)
        })
        .collect()
}

const EPS: f64 = 1e-5;

#[test]
fn batch_norm_agrees_with_float64_for_short_and_long_runs() {
    for shape in [
        &[50, 7][..],
        &[9, 3, 4],
        &[6, 5, 2, 2],
        &[4, 300, 3, 3],
        &[5, 4, 8, 8],
        &[3, 2, 70, 70],
        &[200, 1, 30, 31],
        &[2, 40, 2, 3, 4],
    ] {
        let (x, c) = (tensor(shape, 1), shape[1]);
        let inner: usize = shape[2..].iter().product();
        let (w, b) = (tensor(&[c], 2), tensor(&[c], 3));
        let channel = |i: usize| i / inner % c;
        let st = statistics(&values(&x), c, channel);
        let want: Vec<f64> = values(&x)
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let k = channel(i);
                (v - st[k].0) / (st[k].1 + EPS).sqrt() * values(&w)[k] + values(&b)[k]
            })
            .collect();
        for (dtype, t) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
            let (x, w, b) = (cast(&x, dtype), cast(&w, dtype), cast(&b, dtype));
            let what = format!("{shape:?} {dtype}");
            let (y, mean, rstd) = norm::batch_norm(&x, Some(&w), Some(&b), EPS, false).unwrap();
            assert_close(&y, &want, t, &what);
            assert_close(&mean, &st.iter().map(|s| s.0).collect::<Vec<_>>(), t, &what);
            assert_close(&rstd, &st.iter().map(|s| 1.0 / (s.1 + EPS).sqrt()).collect::<Vec<_>>(), t, &what);
            let var = cast(&with_values(&st.iter().map(|s| s.1).collect::<Vec<_>>(), &[c]), dtype);
            let y = norm::batch_norm_inference(&x, Some(&w), Some(&b), &mean, &var, EPS, false).unwrap();
            assert_close(&y, &want, 2.0 * t, &what);
        }
    }
}

#[test]
fn a_large_mean_does_not_cancel_the_variance() {
    for shape in [&[64, 2, 3, 3][..], &[16, 2, 20, 20]] {
        let v: Vec<f32> = noise(shape.iter().product(), 1).iter().map(|v| (v + 1000.0) as f32).collect();
        let x = Tensor::from_slice("test", &v, shape).unwrap();
        let inner: usize = shape[2..].iter().product();
        let st = statistics(&values(&x), 2, |i| i / inner % 2);
        let (_, _, rstd) = norm::batch_norm(&x, None, None, 0.0, false).unwrap();
        assert_close(&rstd, &st.iter().map(|s| 1.0 / s.1.sqrt()).collect::<Vec<_>>(), 1e-5, "batch");
        let row = Tensor::from_slice("test", &v, &[1, v.len()]).unwrap();
        let st = statistics(&values(&row), 1, |_| 0);
        let (_, _, rstd) = norm::layer_norm(&row, 1, None, None, 0.0).unwrap();
        assert_close(&rstd, &[1.0 / st[0].1.sqrt()], 1e-5, "layer");
    }
}

#[test]
fn batch_norm_gradients_agree_with_differences() {
    for shape in [&[6, 3][..], &[3, 2, 2, 2], &[2, 2, 6, 7]] {
        let (x, g) = (tensor(shape, 1), tensor(shape, 9));
        let (w, b) = (tensor(&[shape[1]], 2), tensor(&[shape[1]], 3));
        let y =
            |x: &Tensor, w: &Tensor, b: &Tensor| norm::batch_norm(x, Some(w), Some(b), EPS, false).unwrap();
        let (_, mean, rstd) = y(&x, &w, &b);
        let (dx, dw, db) =
            norm::batch_norm_grad(&g, &x, Some(&w), None, &mean, &rstd, [true; 3], false).unwrap();
        assert_close(&dx.unwrap(), &differences(&x, &g, &|x| y(x, &w, &b).0), 1e-7, "dx");
        assert_close(&dw.unwrap(), &differences(&w, &g, &|w| y(&x, w, &b).0), 1e-7, "dw");
        assert_close(&db.unwrap(), &differences(&b, &g, &|b| y(&x, &w, b).0), 1e-7, "db");
        let (dx, dw, db) =
            norm::batch_norm_grad(&g, &x, None, None, &mean, &rstd, [true, false, true], false).unwrap();
        assert!(dw.is_none() && db.is_some());
        assert_close(
            &dx.unwrap(),
            &differences(&x, &g, &|x| norm::batch_norm(x, None, None, EPS, false).unwrap().0),
            1e-7,
            "dx",
        );
    }
}

#[test]
fn running_statistics_move_towards_the_batch_with_its_unbiased_variance() {
    let x = tensor(&[8, 3, 5], 1);
    let (_, mean, rstd) = norm::batch_norm(&x, None, None, EPS, false).unwrap();
    let (rm, rv) = (tensor(&[3], 4), with_values(&[1.0, 2.0, 3.0], &[3]));
    let before = (values(&rm), values(&rv), rm.storage().version());
    norm::batch_norm_update_running(&rm, &rv, &mean, &rstd, 0.1, EPS, 40).unwrap();
    let st = statistics(&values(&x), 3, |i| i / 5 % 3);
    let want: Vec<f64> = (0..3).map(|c| 0.9 * before.0[c] + 0.1 * st[c].0).collect();
    assert_close(&rm, &want, 1e-12, "mean");
    let want: Vec<f64> = (0..3).map(|c| 0.9 * before.1[c] + 0.1 * st[c].1 * 40.0 / 39.0).collect();
    assert_close(&rv, &want, 1e-12, "var");
    assert!(rm.storage().version() > before.2);
}

#[test]
fn layer_norm_and_its_gradients_agree_with_float64() {
    for (shape, ndim) in [(&[7, 10][..], 1), (&[3, 4, 5], 2), (&[2, 70], 1), (&[40, 3], 1), (&[5], 1)] {
        let trail = &shape[shape.len() - ndim..];
        let d: usize = trail.iter().product();
        let (x, g, w, b) = (tensor(shape, 1), tensor(shape, 2), tensor(trail, 3), tensor(trail, 4));
        let st = statistics(&values(&x), x.numel() / d, |i| i / d);
        let want: Vec<f64> = values(&x)
            .iter()
            .enumerate()
            .map(|(i, v)| {
                (v - st[i / d].0) / (st[i / d].1 + EPS).sqrt() * values(&w)[i % d] + values(&b)[i % d]
            })
            .collect();
        let y =
            |x: &Tensor, w: &Tensor, b: &Tensor| norm::layer_norm(x, ndim, Some(w), Some(b), EPS).unwrap();
        assert_close(
            &y(&cast(&x, DType::F32), &cast(&w, DType::F32), &cast(&b, DType::F32)).0,
            &want,
            2e-6,
            "float32",
        );
        let (out, mean, rstd) = y(&x, &w, &b);
        assert_close(&out, &want, 1e-12, "float64");
        assert_eq!(mean.shape(), [x.numel() / d]);
        let (dx, dw, db) = norm::layer_norm_grad(&g, &x, ndim, Some(&w), &mean, &rstd, [true; 3]).unwrap();
        assert_eq!(dw.as_ref().unwrap().shape(), trail);
        assert_close(&dx.unwrap(), &differences(&x, &g, &|x| y(x, &w, &b).0), 1e-7, "dx");
        assert_close(&dw.unwrap(), &differences(&w, &g, &|w| y(&x, w, &b).0), 1e-7, "dw");
        assert_close(&db.unwrap(), &differences(&b, &g, &|b| y(&x, &w, b).0), 1e-7, "db");
    }
}

#[test]
fn layer_norm_sums_weight_gradients_over_many_rows() {
    let (n, d) = (3000, 37);
    let (x, g) = (tensor(&[n, d], 1), tensor(&[n, d], 2));
    let (_, mean, rstd) = norm::layer_norm(&x, 1, None, None, EPS).unwrap();
    let (xv, gv, m, r) = (values(&x), values(&g), values(&mean), values(&rstd));
    let mut want = (vec![0.0; d], vec![0.0; d]);
    for i in 0..n * d {
        want.0[i % d] += gv[i] * (xv[i] - m[i / d]) * r[i / d];
        want.1[i % d] += gv[i];
    }
    for (dtype, t) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let c = |t: &Tensor| cast(t, dtype);
        let (dx, dw, db) =
            norm::layer_norm_grad(&c(&g), &c(&x), 1, None, &c(&mean), &c(&rstd), [false, true, true])
                .unwrap();
        assert!(dx.is_none());
        assert_close(&dw.unwrap(), &want.0, t, "dw");
        assert_close(&db.unwrap(), &want.1, t, "db");
    }
}

#[test]
fn group_norm_and_its_gradients_agree_with_float64() {
    for (shape, groups) in [(&[3, 6][..], 2), (&[2, 4, 3, 3], 2), (&[2, 6, 7], 6), (&[2, 4, 8, 9], 1)] {
        let c = shape[1];
        let inner: usize = shape[2..].iter().product();
        let (x, g, w, b) = (tensor(shape, 1), tensor(shape, 2), tensor(&[c], 3), tensor(&[c], 4));
        let d = c / groups * inner;
        let st = statistics(&values(&x), shape[0] * groups, |i| i / d);
        let want: Vec<f64> = values(&x)
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let k = i / inner % c;
                (v - st[i / d].0) / (st[i / d].1 + EPS).sqrt() * values(&w)[k] + values(&b)[k]
            })
            .collect();
        let y =
            |x: &Tensor, w: &Tensor, b: &Tensor| norm::group_norm(x, groups, Some(w), Some(b), EPS).unwrap();
        let (out, mean, rstd) = y(&x, &w, &b);
        assert_close(&out, &want, 1e-12, "y");
        assert_eq!(mean.shape(), [shape[0], groups]);
        let (dx, dw, db) = norm::group_norm_grad(&g, &x, groups, Some(&w), &mean, &rstd, [true; 3]).unwrap();
        assert_close(&dx.unwrap(), &differences(&x, &g, &|x| y(x, &w, &b).0), 1e-6, "dx");
        assert_close(&dw.unwrap(), &differences(&w, &g, &|w| y(&x, w, &b).0), 1e-7, "dw");
        assert_close(&db.unwrap(), &differences(&b, &g, &|b| y(&x, &w, b).0), 1e-7, "db");
    }
}

#[test]
fn local_response_norm_and_its_gradient_agree_with_float64() {
    for (shape, size) in [(&[2, 7, 3][..], 5), (&[1, 3, 2, 2], 4), (&[2, 4], 1), (&[1, 2, 3], 9)] {
        for beta in [0.75, 0.6] {
            let (alpha, k) = (0.3, 1.5);
            let (x, g) = (tensor(shape, 1), tensor(shape, 2));
            let inner: usize = shape[2..].iter().product();
            let v = values(&x);
            let want: Vec<f64> = (0..v.len())
                .map(|i| {
                    let c = (i / inner % shape[1]) as isize;
                    let squares: f64 = (c - size as isize / 2..=c + (size as isize - 1) / 2)
                        .filter(|&j| j >= 0 && j < shape[1] as isize)
                        .map(|j| v[(i as isize + (j - c) * inner as isize) as usize].powi(2))
                        .sum();
                    v[i] / (k + alpha * squares / size as f64).powf(beta)
                })
                .collect();
            let f = |x: &Tensor| norm::local_response_norm(x, size, alpha, beta, k).unwrap();
            let (y, denom) = f(&x);
            assert_close(&y, &want, 1e-12, "y");
            let dx = norm::local_response_norm_grad(&g, &x, &y, &denom, size, alpha, beta).unwrap();
            assert_close(&dx, &differences(&x, &g, &|x| f(x).0), 1e-8, "dx");
        }
    }
}

#[test]
fn transposed_and_empty_inputs_work() {
    let x = tensor(&[5, 4, 6], 1);
    let t = x.with_layout(x.layout().permute(&[2, 1, 0]));
    let copied = copy::clone("test", &t).unwrap();
    assert_eq!(
        values(&norm::batch_norm(&t, None, None, EPS, false).unwrap().0),
        values(&norm::batch_norm(&copied, None, None, EPS, false).unwrap().0)
    );
    assert_eq!(
        values(&norm::layer_norm(&t, 2, None, None, EPS).unwrap().0),
        values(&norm::layer_norm(&copied, 2, None, None, EPS).unwrap().0)
    );
    for shape in [&[0, 3, 2][..], &[2, 3, 0], &[2, 0, 4]] {
        let x = tensor(shape, 1);
        let (y, mean, rstd) = norm::batch_norm(&x, None, None, EPS, false).unwrap();
        assert_eq!(y.shape(), shape);
        let (dx, dw, _) = norm::batch_norm_grad(&y, &x, None, None, &mean, &rstd, [true; 3], false).unwrap();
        assert_eq!((dx.unwrap().shape(), values(&dw.unwrap())), (shape, vec![0.0; shape[1]]));
        let (y, mean, rstd) = norm::layer_norm(&x, 1, None, None, EPS).unwrap();
        norm::layer_norm_grad(&y, &x, 1, None, &mean, &rstd, [true; 3]).unwrap();
        let (y, mean, rstd) = norm::group_norm(&x, 1, None, None, EPS).unwrap();
        norm::group_norm_grad(&y, &x, 1, None, &mean, &rstd, [true; 3]).unwrap();
        norm::local_response_norm(&x, 3, 1.0, 0.75, 1.0).unwrap();
    }
}

#[test]
fn wrong_arguments_are_errors_that_say_what_was_expected() {
    let text = |e: Option<Error>| e.unwrap().to_string();
    let x = tensor(&[1, 3], 1);
    let got = text(norm::batch_norm(&x, None, None, EPS, false).err());
    assert!(got.contains("Expected more than 1 value per channel when training"), "{got}");
    let x = tensor(&[4, 3], 1);
    let got = text(norm::batch_norm(&x, Some(&tensor(&[4], 1)), None, EPS, false).err());
    assert!(got.contains("weight has shape [4], expected [3]"), "{got}");
    let got = text(norm::batch_norm(&cast(&x, DType::F32), Some(&tensor(&[3], 1)), None, EPS, false).err());
    assert!(got.contains("weight is float64, expected float32"), "{got}");
    assert!(matches!(norm::batch_norm(&tensor(&[4], 1), None, None, EPS, false), Err(Error::Shape { .. })));
    assert!(matches!(
        norm::batch_norm(&cast(&x, DType::I64), None, None, EPS, false),
        Err(Error::DType { .. })
    ));
    assert!(matches!(norm::group_norm(&x, 2, None, None, EPS), Err(Error::Value { .. })));
    assert!(matches!(norm::layer_norm(&x, 3, None, None, EPS), Err(Error::Shape { .. })));
    assert!(matches!(norm::layer_norm(&x, 1, Some(&tensor(&[4], 1)), None, EPS), Err(Error::Shape { .. })));
    assert!(matches!(norm::local_response_norm(&x, 0, 1.0, 0.75, 1.0), Err(Error::Value { .. })));
}

#[test]
fn batch_norm_of_rows_of_channels_agrees_with_planes() {
    for (n, c, p) in [(2, 3, 5), (40, 1, 1), (3, 17, 50), (2, 33, 700), (5, 64, 9), (2, 300, 7), (64, 6, 40)]
    {
        let (x, g) = (tensor(&[n, c, p], 1), tensor(&[n, c, p], 2));
        let (w, b) = (tensor(&[c], 3), tensor(&[c], 4));
        let last = |t: &Tensor| {
            let t = cast(t, DType::F32);
            Tensor::from_channels_last(t.to_channels_last("test").unwrap(), t.shape())
        };
        let (w32, b32) = (cast(&w, DType::F32), cast(&b, DType::F32));
        for relu in [false, true] {
            let (y, mean, rstd) = norm::batch_norm(&x, Some(&w), Some(&b), EPS, relu).unwrap();
            let want =
                norm::batch_norm_grad(&g, &x, Some(&w), Some(&b), &mean, &rstd, [true; 3], relu).unwrap();
            let (x, g) = (last(&x), last(&g));
            let (y32, m, r) = norm::batch_norm(&x, Some(&w32), Some(&b32), EPS, relu).unwrap();
            let got = norm::batch_norm_grad(&g, &x, Some(&w32), Some(&b32), &m, &r, [true; 3], relu).unwrap();
            assert_close(&y32, &values(&y), 1e-5, "output");
            for (got, want) in [(got.0, want.0), (got.1, want.1), (got.2, want.2)] {
                assert_close(&got.unwrap(), &values(&want.unwrap()), 1e-3, "gradient");
            }
        }
    }
}
