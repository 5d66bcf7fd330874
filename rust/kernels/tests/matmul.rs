//! `matmul` and `addmm_bias` on tensors, against naive float64 sums.

use lectorium::ops::copy;
use lectorium::ops::matmul::{addmm_bias, matmul};
use lectorium::{DType, Error, Tensor};

fn tensor(shape: &[usize], seed: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| ((i * 7919 + seed * 104_729) % 211) as f32 / 100.0 - 1.0).collect();
    Tensor::from_slice("test", &values, shape).unwrap()
}

fn floats(t: &Tensor) -> Vec<f64> {
    let t = copy::contiguous("test", &copy::cast("test", t, DType::F64).unwrap()).unwrap();
    // SAFETY: nobody writes to it.
    unsafe { t.as_slice::<f64>() }.to_vec()
}

fn permuted(t: &Tensor, axes: &[usize]) -> Tensor {
    t.with_layout(t.layout().permute(axes))
}

/// The product of the matrices `[batch, m, k]` and `[batch, k, n]` that broadcasting leaves.
fn naive(a: &Tensor, b: &Tensor, batch: &[usize], m: usize, k: usize, n: usize) -> Vec<f64> {
    let wide = |t: &Tensor, r: usize, c: usize| {
        let shape: Vec<usize> = batch.iter().copied().chain([r, c]).collect();
        floats(&t.with_layout(t.layout().broadcast_to("test", &shape).unwrap()))
    };
    let (a, b) = (wide(a, m, k), wide(b, k, n));
    let mut out = Vec::new();
    for i in 0..batch.iter().product::<usize>() {
        for r in 0..m {
            for c in 0..n {
                out.push((0..k).map(|p| a[(i * m + r) * k + p] * b[(i * k + p) * n + c]).sum());
            }
        }
    }
    out
}

fn close(got: &Tensor, want: &[f64], tol: f64) {
    let got = floats(got);
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tol * (1.0 + w.abs()), "element {i}: {g} against {w}");
    }
}

#[test]
fn matrices_and_batches_multiply_as_in_pytorch() {
    let cases: &[(&[usize], &[usize], &[usize])] = &[
        (&[3, 4], &[4, 5], &[]),
        (&[70, 80], &[80, 90], &[]),
        (&[6, 3, 4], &[4, 5], &[6]),
        (&[2, 6, 3, 4], &[6, 4, 5], &[2, 6]),
        (&[2, 1, 3, 4], &[6, 4, 5], &[2, 6]),
        (&[3, 4], &[2, 6, 4, 5], &[2, 6]),
        (&[1, 3, 4], &[6, 4, 1], &[6]),
        (&[4, 64, 70], &[4, 70, 300], &[4]),
        (&[2, 0, 4], &[2, 4, 5], &[2]),
        (&[2, 3, 0], &[2, 0, 5], &[2]),
        (&[0, 3, 4], &[1, 4, 5], &[0]),
    ];
    for &(sa, sb, batch) in cases {
        let (a, b) = (tensor(sa, 1), tensor(sb, 2));
        let (m, k, n) = (sa[sa.len() - 2], sa[sa.len() - 1], sb[sb.len() - 1]);
        let got = matmul(&a, &b).unwrap();
        let shape: Vec<usize> = batch.iter().copied().chain([m, n]).collect();
        assert_eq!(got.shape(), &shape);
        let want = naive(&a, &b, batch, m, k, n);
        close(&got, &want, 1e-5);
        let wide = |t: &Tensor| copy::cast("test", t, DType::F64).unwrap();
        close(&matmul(&wide(&a), &wide(&b)).unwrap(), &want, 1e-13);
        // The same through transposed memory.
        let turned = |t: &Tensor| {
            let n = t.ndim();
            let axes: Vec<usize> = (0..n - 2).chain([n - 1, n - 2]).collect();
            permuted(&copy::contiguous("test", &permuted(t, &axes)).unwrap(), &axes)
        };
        close(&matmul(&turned(&a), &turned(&b)).unwrap(), &want, 1e-5);
        // A flip along the batch.
        if sa.len() > 2 && sa[0] > 1 && sb.len() == 2 {
            let flipped = a.with_layout(a.layout().slice(0, sa[0] - 1, sa[0], -1));
            close(&matmul(&flipped, &b).unwrap(), &naive(&flipped, &b, batch, m, k, n), 1e-5);
        }
    }
}

#[test]
fn vectors_lose_their_axis() {
    let (v, w, m) = (tensor(&[40], 1), tensor(&[40], 2), tensor(&[3, 40, 5], 3));
    assert_eq!(matmul(&v, &w).unwrap().shape(), &[] as &[usize]);
    assert_eq!(matmul(&v, &m).unwrap().shape(), &[3, 5]);
    let turned = permuted(&m, &[0, 2, 1]);
    let got = matmul(&turned, &w).unwrap();
    assert_eq!(got.shape(), &[3, 5]);
    let column = w.with_layout(w.layout().unsqueeze(1));
    close(&got, &naive(&turned, &column, &[3], 5, 40, 1), 1e-5);
}

#[test]
fn integers_wrap_and_half_floats_round_once() {
    let a = Tensor::from_slice("test", &[200u8, 3, 4, 5], &[2, 2]).unwrap();
    let got = matmul(&a, &a).unwrap();
    // SAFETY: nobody writes to it.
    assert_eq!(unsafe { got.as_slice::<u8>() }, &[76, 103, 52, 37]);
    let a = Tensor::from_slice("test", &[i64::MAX, 1, -2, 3], &[2, 2]).unwrap();
    let b = Tensor::from_slice("test", &[1i64, 2, 3, 4], &[2, 2]).unwrap();
    let got = matmul(&a, &b).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { got.as_slice::<i64>() }[2..], [7, 8]);
    for dtype in [DType::I8, DType::I16, DType::I32, DType::F16, DType::BF16] {
        let ones = copy::full("test", &[2, 3, 4], lectorium::Scalar::Int(1), dtype).unwrap();
        let twos = copy::full("test", &[4, 5], lectorium::Scalar::Int(2), dtype).unwrap();
        let got = matmul(&ones, &twos).unwrap();
        assert_eq!((got.dtype(), got.shape()), (dtype, &[2usize, 3, 5][..]));
        assert!(floats(&got).iter().all(|&v| v == 8.0));
    }
}

#[test]
fn linear_adds_the_bias_to_every_row() {
    for lead in [&[][..], &[1], &[7], &[2, 0], &[33, 5], &[64]] {
        for (k, n) in [(1, 1), (40, 10), (300, 70), (0, 4), (5, 0)] {
            let shape: Vec<usize> = lead.iter().copied().chain([k]).collect();
            let (x, w, b) = (tensor(&shape, 1), tensor(&[n, k], 2), tensor(&[n], 3));
            let rows: usize = lead.iter().product();
            let flat = x.with_layout(x.layout().reshape(&[rows, k]).unwrap());
            let mut want = naive(&flat, &permuted(&w, &[1, 0]), &[], rows, k, n);
            close(&addmm_bias(&x, &w, None, false).unwrap(), &want, 1e-5);
            let bias = floats(&b);
            for (i, v) in want.iter_mut().enumerate() {
                *v += bias[i % n];
            }
            let got = addmm_bias(&x, &w, Some(&b), false).unwrap();
            assert_eq!(got.shape().len(), lead.len() + 1);
            close(&got, &want, 1e-5);
            let joined = addmm_bias(&x, &w, Some(&b), true).unwrap();
            assert_eq!(floats(&joined), floats(&got).iter().map(|v| v.max(0.0)).collect::<Vec<_>>());
            let half = |t: &Tensor| copy::cast("test", t, DType::BF16).unwrap();
            assert_eq!(
                addmm_bias(&half(&x), &half(&w), Some(&half(&b)), false).unwrap().dtype(),
                DType::BF16
            );
        }
    }
    // Leading axes that no strides join, and a weight seen transposed.
    let x = permuted(&tensor(&[4, 3, 20], 1), &[1, 0, 2]);
    let w = permuted(&tensor(&[20, 6], 2), &[1, 0]);
    let flat = copy::contiguous("test", &x).unwrap();
    let flat = flat.with_layout(flat.layout().reshape(&[12, 20]).unwrap());
    close(
        &addmm_bias(&x, &w, None, false).unwrap(),
        &naive(&flat, &permuted(&w, &[1, 0]), &[], 12, 20, 6),
        1e-5,
    );
}

#[test]
fn errors_name_what_does_not_fit() {
    let message = |r: lectorium::Result<Tensor>| r.err().map(|e| (e.to_string(), e)).unwrap();
    let (text, e) = message(matmul(&tensor(&[2, 3], 1), &tensor(&[4, 5], 1)));
    assert!(matches!(e, Error::Shape { .. }) && text.contains("[2, 3]") && text.contains("[4, 5]"), "{text}");
    assert!(text.contains("has 3") && text.contains("axis 4"), "{text}");
    let (text, _) = message(matmul(&tensor(&[2, 2, 3], 1), &tensor(&[3, 3, 5], 1)));
    assert!(text.contains("[2] against [3]"), "{text}");
    let double = copy::cast("test", &tensor(&[3, 3], 1), DType::F64).unwrap();
    let (text, e) = message(matmul(&tensor(&[3, 3], 1), &double));
    assert!(
        matches!(e, Error::DType { .. }) && text.contains("float32") && text.contains("float64"),
        "{text}"
    );
    assert!(matches!(message(matmul(&tensor(&[], 1), &tensor(&[3], 1))).1, Error::Shape { .. }));
    let flags = copy::cast("test", &double, DType::Bool).unwrap();
    assert!(matches!(message(matmul(&flags, &flags)).1, Error::DType { .. }));
    let (text, _) = message(addmm_bias(&tensor(&[2, 3], 1), &tensor(&[5, 4], 1), None, false));
    assert!(text.contains("[2, 3]") && text.contains("[5, 4]"), "{text}");
    let (text, _) =
        message(addmm_bias(&tensor(&[2, 3], 1), &tensor(&[5, 3], 1), Some(&tensor(&[4], 1)), false));
    assert!(text.contains("[4]") && text.contains("[5]"), "{text}");
    let (text, _) = message(addmm_bias(&tensor(&[2, 3], 1), &double, None, false));
    assert!(text.contains("weight"), "{text}");
    // A product that no memory could hold, made of views that take none.
    let one = tensor(&[1, 1], 1);
    let tall = one.with_layout(one.layout().broadcast_to("test", &[1 << 40, 1]).unwrap());
    assert!(matches!(message(matmul(&tall, &permuted(&tall, &[1, 0]))).1, Error::Memory { .. }));
}
