//! Softmax, its logarithm, their gradients, and scans, against float64 written out.

use lectorium::ops::{copy, scan, softmax};
use lectorium::{DType, Error, Tensor};

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            4.0 * (s >> 11) as f64 / (1u64 << 52) as f64 - 4.0
        })
        .collect()
}

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_slice("test", &noise(shape.iter().product(), seed), shape).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    let x = copy::contiguous("test", &copy::cast("test", x, DType::F64).unwrap()).unwrap();
    unsafe { x.as_slice::<f64>() }.to_vec()
}

/// Applies `f` to every line along an axis.
fn lines(x: &Tensor, axis: usize, f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let (shape, mut out) = (x.shape(), values(x));
    let inner: usize = shape[axis + 1..].iter().product();
    let n = shape[axis];
    for start in (0..out.len()).filter(|i| (i / inner).is_multiple_of(n)) {
        let line: Vec<f64> = (0..n).map(|i| out[start + i * inner]).collect();
        for (i, v) in f(&line).into_iter().enumerate() {
            out[start + i * inner] = v;
        }
    }
    out
}

fn assert_close(got: &Tensor, want: &[f64], tolerance: f64, what: &str) {
    let got = values(got);
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * (1.0 + w.abs());
        assert!(same, "{what}: element {i} is {g}, expected {w}");
    }
}

const SHAPES: [&[usize]; 12] = [
    &[1, 1],
    &[3, 10],
    &[5, 31],
    &[4, 32],
    &[3, 33],
    &[2, 5000],
    &[7, 5, 3],
    &[2, 6, 300],
    &[3, 4, 5, 6],
    &[40, 100],
    &[17, 512],
    &[17, 513],
];

fn soft(v: &[f64]) -> Vec<f64> {
    let total: f64 = v.iter().map(|v| v.exp()).sum();
    v.iter().map(|v| v.exp() / total).collect()
}

#[test]
fn softmax_and_its_logarithm_agree_with_float64_along_any_axis() {
    for shape in SHAPES {
        for axis in 0..shape.len() {
            let wide = tensor(shape, 3);
            let want = lines(&wide, axis, soft);
            let logs: Vec<f64> = want.iter().map(|v| v.ln()).collect();
            for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 1e-6), (DType::F16, 2e-3)] {
                let x = copy::cast("test", &wide, dtype).unwrap();
                let what = format!("{shape:?} axis {axis} {dtype}");
                let y = softmax::softmax(&x, axis as isize).unwrap();
                assert_eq!(y.dtype(), dtype);
                assert_close(&y, &want, tolerance, &what);
                assert_close(
                    &softmax::log_softmax(&x, axis as isize - shape.len() as isize).unwrap(),
                    &logs,
                    2.0 * tolerance,
                    &what,
                );
            }
        }
    }
}

#[test]
fn gradients_agree_with_differences() {
    for shape in [&[3, 10][..], &[2, 40], &[3, 4, 5]] {
        for axis in 0..shape.len() as isize {
            let (x, g) = (tensor(shape, 5), tensor(shape, 6));
            for log in [false, true] {
                let f = if log { softmax::log_softmax } else { softmax::softmax };
                let y = f(&x, axis).unwrap();
                let dx = if log {
                    softmax::log_softmax_grad(&g, &y, axis)
                } else {
                    softmax::softmax_grad(&g, &y, axis)
                };
                let (gv, h) = (values(&g), 1e-5);
                let want: Vec<f64> = (0..x.numel())
                    .map(|i| {
                        let moved = |d: f64| {
                            let mut v = values(&x);
                            v[i] += d;
                            let y = f(&Tensor::from_slice("test", &v, shape).unwrap(), axis).unwrap();
                            values(&y).iter().zip(&gv).map(|(y, g)| y * g).sum::<f64>()
                        };
                        (moved(h) - moved(-h)) / (2.0 * h)
                    })
                    .collect();
                assert_close(&dx.unwrap(), &want, 1e-8, &format!("{shape:?} axis {axis} log {log}"));
            }
        }
    }
}

#[test]
fn masked_and_extreme_scores_are_exact() {
    let inf = f32::INFINITY;
    let x =
        Tensor::from_slice("test", &[0.0f32, -inf, 0.0, 1e4, -1e4, 0.0, -inf, -inf, -inf], &[3, 3]).unwrap();
    for x in [x.clone(), x.with_layout(x.layout().permute(&[1, 0]))] {
        let axis = if x.strides()[1] == 1 { 1 } else { 0 };
        let y = softmax::softmax(&x, axis).unwrap();
        let y =
            values(&y.with_layout(if axis == 1 { y.layout().clone() } else { y.layout().permute(&[1, 0]) }));
        assert_eq!(y[..6], [0.5, 0.0, 0.5, 1.0, 0.0, 0.0]);
        assert!(y[6..].iter().all(|v| v.is_nan()), "as in PyTorch, nothing but -inf has no softmax: {y:?}");
    }
    let mut row = vec![-inf; 100];
    row[40] = 3.0;
    let y = softmax::softmax(&Tensor::from_slice("test", &row, &[100]).unwrap(), 0).unwrap();
    assert_eq!(values(&y)[40], 1.0);
}

#[test]
fn softmax_of_integers_or_a_wrong_axis_is_an_error() {
    let x = Tensor::from_slice("test", &[1i64, 2], &[2]).unwrap();
    assert!(matches!(softmax::softmax(&x, 0), Err(Error::DType { .. })));
    assert!(matches!(softmax::softmax(&tensor(&[2, 2], 1), 2), Err(Error::Index { .. })));
    assert_eq!(softmax::softmax(&tensor(&[3, 0], 1), 1).unwrap().shape(), [3, 0]);
    assert!(matches!(
        softmax::softmax_grad(&tensor(&[3, 2], 1), &tensor(&[2, 3], 1), 1),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn scans_agree_with_float64_along_any_axis() {
    for shape in SHAPES {
        for axis in 0..shape.len() {
            let wide = tensor(shape, 8);
            let a = axis as isize;
            let running = |v: &[f64], f: &dyn Fn(f64, f64) -> f64, start: f64| {
                v.iter()
                    .scan(start, |s, &v| {
                        *s = f(*s, v);
                        Some(*s)
                    })
                    .collect::<Vec<f64>>()
            };
            for (dtype, t) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
                let x = copy::cast("test", &wide, dtype).unwrap();
                let what = format!("{shape:?} axis {axis} {dtype}");
                let sums = lines(&wide, axis, |v| running(v, &|s, v| s + v, 0.0));
                assert_close(&scan::cumsum(&x, a, None).unwrap(), &sums, t, &what);
                let back = lines(&wide, axis, |v| {
                    let turned: Vec<f64> = v.iter().rev().copied().collect();
                    running(&turned, &|s, v| s + v, 0.0).into_iter().rev().collect()
                });
                assert_close(&scan::cumsum_reverse(&x, a).unwrap(), &back, t, &what);
                let logs = lines(&wide, axis, |v| {
                    running(&v.iter().map(|v| v.exp()).collect::<Vec<_>>(), &|s, v| s + v, 0.0)
                        .iter()
                        .map(|v| v.ln())
                        .collect()
                });
                assert_close(&scan::logcumsumexp(&x, a).unwrap(), &logs, t, &what);
                if shape[axis] < 50 {
                    let products = lines(&wide, axis, |v| running(v, &|s, v| s * v, 1.0));
                    assert_close(&scan::cumprod(&x, a, None).unwrap(), &products, t, &what);
                }
                let (most, _) = scan::cummax(&x, a).unwrap();
                assert_close(&most, &lines(&wide, axis, |v| running(v, &f64::max, f64::MIN)), 1e-7, &what);
                let (least, _) = scan::cummin(&x, a).unwrap();
                assert_close(&least, &lines(&wide, axis, |v| running(v, &f64::min, f64::MAX)), 1e-7, &what);
            }
        }
    }
}

#[test]
fn running_extremes_name_the_latest_of_equals_and_keep_a_nan() {
    let x = Tensor::from_slice("test", &[1.0f32, 3.0, 3.0, 2.0, f32::NAN, 5.0], &[6]).unwrap();
    let (v, i) = scan::cummax(&x, 0).unwrap();
    assert_eq!(values(&i), [0.0, 1.0, 2.0, 2.0, 4.0, 4.0]);
    assert!(values(&v)[5].is_nan());
    let x = Tensor::from_slice("test", &[5i32, 5, 7, 1], &[4]).unwrap();
    let (v, i) = scan::cummin(&x, 0).unwrap();
    assert_eq!(
        (values(&v), values(&i), v.dtype()),
        (vec![5.0, 5.0, 5.0, 1.0], vec![0.0, 1.0, 1.0, 3.0], DType::I32)
    );
}

#[test]
fn integer_scans_are_int64_and_start_at_minus_infinity_where_logarithms_do() {
    let x = Tensor::from_slice("test", &[200u8, 100, 3], &[3]).unwrap();
    let y = scan::cumsum(&x, 0, None).unwrap();
    assert_eq!((values(&y), y.dtype()), (vec![200.0, 300.0, 303.0], DType::I64));
    assert_eq!(values(&scan::cumprod(&x, 0, Some(DType::F32)).unwrap()), [200.0, 20_000.0, 60_000.0]);
    let x =
        Tensor::from_slice("test", &[f64::NEG_INFINITY, f64::NEG_INFINITY, 0.0, f64::INFINITY, 1.0], &[5])
            .unwrap();
    let inf = f64::INFINITY;
    assert_eq!(values(&scan::logcumsumexp(&x, 0).unwrap()), [-inf, -inf, 0.0, inf, inf]);
    assert!(matches!(scan::cumsum(&x, 1, None), Err(Error::Index { .. })));
    assert_eq!(scan::cumsum(&tensor(&[0, 3], 1), 0, None).unwrap().shape(), [0, 3]);
}
