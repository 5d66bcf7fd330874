//! Elementwise operations against naive float64 code.

use lectorium::ops::copy;
use lectorium::ops::elementwise::*;
use lectorium::{DType, Element, Error, Scalar, Tensor};

fn values(t: &Tensor) -> Vec<f64> {
    let t = copy::cast("test", &copy::contiguous("test", t).unwrap(), DType::F64).unwrap();
    // SAFETY: contiguous, and nobody writes.
    unsafe { t.as_slice::<f64>() }.to_vec()
}

fn tensor<T: Element>(v: &[T], shape: &[usize]) -> Tensor {
    Tensor::from_slice("test", v, shape).unwrap()
}

fn to(t: &Tensor, dtype: DType) -> Tensor {
    copy::cast("test", t, dtype).unwrap()
}

fn ramp(shape: &[usize], dtype: DType) -> Tensor {
    let n = shape.iter().product::<usize>();
    let v: Vec<f64> = (0..n).map(|i| ((i * 37 + 11) % 101) as f64 / 8.0 - 6.0).collect();
    to(&tensor(&v, shape), dtype)
}

fn permuted(t: &Tensor, axes: &[usize]) -> Tensor {
    t.with_layout(t.layout().permute(axes))
}

/// Elements of a broadcast tensor in row-major order.
fn spread(t: &Tensor, shape: &[usize]) -> Vec<f64> {
    values(&t.with_layout(t.layout().broadcast_to("test", shape).unwrap()))
}

#[test]
fn subtraction_broadcasts_every_mix_of_layouts() {
    let shapes: &[(&[usize], &[usize])] = &[
        (&[7], &[7]),
        (&[], &[5]),
        (&[3, 1], &[1, 4]),
        (&[300, 10], &[10]),
        (&[40, 700], &[40, 1]),
        (&[3, 600], &[600]),
        (&[2, 3, 4, 5], &[3, 1, 1]),
        (&[2, 3, 40, 50], &[3, 1, 1]),
        (&[8, 3, 40, 50], &[3, 1, 1]),
        (&[6, 700, 4, 4], &[700, 1, 1]),
        (&[100_000], &[1]),
        (&[70_000, 2], &[2]),
        (&[0, 3], &[3]),
        (&[5, 1, 700], &[1, 9, 1]),
    ];
    for &(sa, sb) in shapes {
        for dtype in [DType::F32, DType::F64, DType::I32, DType::I64, DType::F16, DType::I8, DType::U8] {
            let (a, b) = (ramp(sa, dtype), ramp(sb, dtype));
            for (x, y) in [(&a, &b), (&b, &a)] {
                let z = binary(Binary::Sub, x.into(), y.into(), None).unwrap();
                assert_eq!(z.dtype(), dtype);
                let (p, q) = (spread(x, z.shape()), spread(y, z.shape()));
                for ((got, p), q) in values(&z).iter().zip(&p).zip(&q) {
                    let want = if dtype == DType::U8 { ((p - q) as i64 as u8) as f64 } else { p - q };
                    assert!(
                        (got - want).abs() < 0.01 * want.abs().max(1.0),
                        "{sa:?} {sb:?} {dtype}: {got} {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn strided_operands_and_outputs_agree_with_contiguous_ones() {
    for shape in [[3usize, 5, 7], [30, 50, 70], [2, 300, 3], [400, 1, 300]] {
        let a = permuted(&ramp(&[shape[2], shape[0], shape[1]], DType::F32), &[1, 2, 0]);
        let b = ramp(&shape, DType::F32);
        assert_eq!(a.shape(), &shape);
        let want: Vec<f64> = values(&a).iter().zip(values(&b)).map(|(a, b)| a * b).collect();
        let z = binary(Binary::Mul, (&a).into(), (&b).into(), None).unwrap();
        assert_eq!(values(&z), want);
        // Into a strided output, which is also an operand.
        let out = copy::clone("test", &permuted(&a, &[2, 0, 1])).unwrap();
        let out = permuted(&out, &[1, 2, 0]);
        binary(Binary::Mul, (&out).into(), (&b).into(), Some(&out)).unwrap();
        assert_eq!(values(&out), want);
        // Every second row, backwards.
        let half = b.with_layout(b.layout().slice(1, shape[1] - 1, shape[1].div_ceil(2), -2));
        let y = unary(Unary::Square, &half, None).unwrap();
        assert_eq!(values(&y), values(&half).iter().map(|v| v * v).collect::<Vec<_>>());
        unary(Unary::Square, &half, Some(&half)).unwrap();
        assert_eq!(values(&y), values(&half));
    }
}

#[test]
fn a_transposed_operand_keeps_its_order_of_axes() {
    let a = permuted(&ramp(&[2, 3], DType::F32), &[1, 0]);
    assert_eq!(unary(Unary::Neg, &a, None).unwrap().strides(), a.strides());
    let z = binary(Binary::Add, (&a).into(), Scalar::Int(1).into(), None).unwrap();
    assert_eq!(z.strides(), a.strides());
    assert_eq!(values(&z), values(&a).iter().map(|v| v + 1.0).collect::<Vec<_>>());
}

#[test]
fn overlapping_views_are_read_before_they_are_written() {
    let x = ramp(&[5000], DType::F32);
    let before = values(&x);
    let lo = x.with_layout(x.layout().slice(0, 0, 4999, 1));
    let hi = x.with_layout(x.layout().slice(0, 1, 4999, 1));
    binary(Binary::Add, (&lo).into(), (&hi).into(), Some(&hi)).unwrap();
    let after = values(&x);
    for i in 1..5000 {
        assert_eq!(after[i], before[i] + before[i - 1]);
    }
}

#[test]
fn promotion_is_pytorchs() {
    let (i, u, f) = (tensor(&[1i32, 2], &[2]), tensor(&[1u8, 2], &[2]), tensor(&[1f32, 2.0], &[2]));
    let (d0, h) = (tensor(&[1f64], &[]), to(&f, DType::F16));
    let of = |a: Operand, b: Operand| binary(Binary::Add, a, b, None).unwrap().dtype();
    assert_eq!(of((&i).into(), Scalar::Float(1.5).into()), DType::F32);
    assert_eq!(of((&i).into(), Scalar::Int(1).into()), DType::I32);
    assert_eq!(of((&f).into(), (&d0).into()), DType::F32);
    assert_eq!(of((&i).into(), (&d0).into()), DType::F64);
    assert_eq!(of((&h).into(), (&f).into()), DType::F32);
    assert_eq!(of((&h).into(), Scalar::Float(2.0).into()), DType::F16);
    assert_eq!(of((&u).into(), (&i).into()), DType::I32);
    assert_eq!(result_type(&[Scalar::Int(1).into(), Scalar::Float(1.0).into()]), DType::F32);
    assert_eq!(binary(Binary::Div, (&i).into(), (&i).into(), None).unwrap().dtype(), DType::F32);
    assert_eq!(unary(Unary::Exp, &i, None).unwrap().dtype(), DType::F32);
    assert_eq!(unary(Unary::Neg, &i, None).unwrap().dtype(), DType::I32);
    // Numbers beyond the tensor's type compare by value.
    for (op, n) in [(Binary::Lt, 300), (Binary::Gt, -1), (Binary::Ne, 257)] {
        assert_eq!(values(&binary(op, (&u).into(), Scalar::Int(n).into(), None).unwrap()), [1.0, 1.0]);
    }
}

#[test]
fn what_has_no_meaning_is_an_error() {
    let (i, f) = (tensor(&[1i32, 0], &[2]), tensor(&[1f32, 2.0], &[2]));
    let b = to(&i, DType::Bool);
    let err = |op, a: &Tensor, b: Operand| binary(op, a.into(), b, None).map(|_| ()).unwrap_err();
    assert!(matches!(err(Binary::FloorDivide, &i, (&i).into()), Error::Value { .. }));
    assert!(matches!(err(Binary::Remainder, &i, Scalar::Int(0).into()), Error::Value { .. }));
    assert!(matches!(err(Binary::Pow, &i, Scalar::Int(-1).into()), Error::Value { .. }));
    assert!(matches!(err(Binary::Sub, &b, (&b).into()), Error::DType { .. }));
    assert!(matches!(err(Binary::BitwiseAnd, &f, (&f).into()), Error::DType { .. }));
    assert!(matches!(err(Binary::Add, &f, (&tensor(&[1f32; 3], &[3])).into()), Error::Shape { .. }));
    let in_place = binary(Binary::Add, (&i).into(), Scalar::Float(1.0).into(), Some(&i));
    assert!(matches!(in_place, Err(Error::DType { .. })));
    assert!(matches!(unary(Unary::Exp, &f, Some(&tensor(&[1f32; 3], &[3]))), Err(Error::Shape { .. })));
    assert!(where_(&f, (&f).into(), (&f).into()).is_err());
}

#[test]
fn division_and_remainder_have_pythons_signs() {
    let (a, b) = (tensor(&[7i64, -7, 7, -7], &[4]), tensor(&[2i64, 2, -2, -2], &[4]));
    let of = |op, a: &Tensor, b: &Tensor| values(&binary(op, a.into(), b.into(), None).unwrap());
    for dtype in [DType::I32, DType::I64, DType::I8, DType::F32, DType::F64] {
        let (a, b) = (to(&a, dtype), to(&b, dtype));
        assert_eq!(of(Binary::FloorDivide, &a, &b), [3.0, -4.0, -4.0, 3.0]);
        assert_eq!(of(Binary::Remainder, &a, &b), [1.0, 1.0, -1.0, -1.0]);
        assert_eq!(of(Binary::Fmod, &a, &b), [1.0, -1.0, 1.0, -1.0]);
    }
}

#[test]
fn powers_cover_all_signs() {
    let inf = f64::INFINITY;
    let bases = [-2.5f64, -2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0, inf, -inf, f64::NAN];
    let exps = [-3.0f64, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 2.5, inf, f64::NAN];
    for dtype in [DType::F32, DType::F64] {
        let x = to(&tensor(&bases, &[bases.len(), 1]), dtype);
        let all = values(
            &binary(Binary::Pow, (&x).into(), (&to(&tensor(&exps, &[exps.len()]), dtype)).into(), None)
                .unwrap(),
        );
        for (j, &e) in exps.iter().enumerate() {
            let y = values(&binary(Binary::Pow, (&x).into(), Scalar::Float(e).into(), None).unwrap());
            for (i, &b) in bases.iter().enumerate() {
                let want = b.powf(e);
                for got in [y[i], all[i * exps.len() + j]] {
                    let same = got == want || (got.is_nan() && want.is_nan());
                    assert!(same || ((got - want) / want).abs() < 1e-6, "{b}^{e} {dtype}: {got} {want}");
                }
            }
        }
    }
    let i = tensor(&[2i64, -3, 1], &[3]);
    assert_eq!(
        values(&binary(Binary::Pow, (&i).into(), Scalar::Int(3).into(), None).unwrap()),
        [8.0, -27.0, 1.0]
    );
}

#[test]
fn every_op_is_found_by_its_name_and_takes_every_type_it_should() {
    for &op in Unary::ALL {
        assert_eq!(Unary::from_name(op.name()), Some(op));
        for dtype in DType::ALL {
            let y = unary(op, &to(&tensor(&[1i32, 0, 2], &[3]), dtype), None);
            let arithmetic =
                matches!(op.name(), "neg" | "relu" | "frac" | "floor" | "ceil" | "round" | "trunc");
            let refused =
                (dtype == DType::Bool && arithmetic) || (dtype.is_float() && op == Unary::BitwiseNot);
            assert_eq!(y.is_err(), refused, "{} of {dtype}", op.name());
        }
    }
    for &op in Binary::ALL {
        assert_eq!(Binary::from_name(op.name()), Some(op));
        for dtype in DType::ALL {
            let x = to(&tensor(&[1i32, 1, 2], &[3]), dtype);
            let y = binary(op, (&x).into(), (&x).into(), None);
            let arithmetic = matches!(op.name(), "sub" | "floor_divide" | "remainder" | "fmod" | "pow");
            let refused = (dtype == DType::Bool && (arithmetic || op.name().ends_with("shift")))
                || (dtype.is_float() && op.name().starts_with("bitwise"));
            assert_eq!(y.is_err(), refused, "{} of {dtype}", op.name());
        }
    }
}

#[test]
fn selection_and_functions_of_three_operands() {
    let c = to(&tensor(&[1i32, 0, 1], &[3]), DType::Bool);
    let a = tensor(&[1f32, 2.0, 3.0], &[3]);
    assert_eq!(values(&where_(&c, (&a).into(), Scalar::Float(9.0).into()).unwrap()), [1.0, 9.0, 3.0]);
    let w = where_(&c, (&tensor(&[5i64], &[])).into(), (&tensor(&[1i32, 2, 3], &[3, 1])).into()).unwrap();
    assert_eq!((w.dtype(), w.shape()), (DType::I32, &[3usize, 3][..]));
    assert_eq!(values(&w), [5.0, 1.0, 5.0, 5.0, 2.0, 5.0, 5.0, 3.0, 5.0]);
    assert_eq!(values(&clamp(&a, Some(Scalar::Float(1.5)), None).unwrap()), [1.5, 2.0, 3.0]);
    let i = tensor(&[-5i32, 2, 300], &[3]);
    assert_eq!(values(&clamp(&i, Some(Scalar::Int(0)), Some(Scalar::Int(255))).unwrap()), [0.0, 2.0, 255.0]);
    assert_eq!(clamp(&i, Some(Scalar::Float(0.5)), None).unwrap().dtype(), DType::F32);
    assert_eq!(
        values(&lerp(&a, &tensor(&[3f32], &[1]), Scalar::Float(0.5).into()).unwrap()),
        [2.0, 2.5, 3.0]
    );
    assert_eq!(values(&addcmul(&a, &a, &a, Scalar::Float(2.0)).unwrap()), [3.0, 10.0, 21.0]);
    assert_eq!(values(&addcdiv(&a, &a, &a, Scalar::Int(2)).unwrap()), [3.0, 4.0, 5.0]);
    let scaled =
        |t: &Tensor, alpha, sub| add_scaled(t.into(), t.into(), alpha, sub, None).map(|y| values(&y));
    assert_eq!(scaled(&a, Scalar::Float(0.5), true).unwrap(), [0.5, 1.0, 1.5]);
    assert_eq!(scaled(&i, Scalar::Int(2), false).unwrap(), [-15.0, 6.0, 900.0]);
    assert!(scaled(&i, Scalar::Float(0.5), false).is_err());
}

#[test]
fn empty_tensors_pass_through() {
    let e = Tensor::empty("t", &[0, 4], DType::F32).unwrap();
    assert_eq!(unary(Unary::Exp, &e, None).unwrap().shape(), &[0, 4]);
    assert_eq!(binary(Binary::Add, (&e).into(), Scalar::Int(1).into(), Some(&e)).unwrap().numel(), 0);
    assert_eq!(unary(Unary::Neg, &permuted(&e, &[1, 0]), None).unwrap().shape(), &[4, 0]);
}

#[test]
fn rows_are_changed_in_place_by_vectors_columns_and_numbers() {
    for shape in [[5usize, 17], [40, 64], [3, 700], [300, 130], [2, 70_000]] {
        for other in [vec![shape[1]], vec![shape[0], 1], vec![1, 1], vec![shape[0], shape[1]]] {
            let (x, y) = (ramp(&shape, DType::F32), ramp(&other, DType::F32));
            let q = spread(&y, &shape);
            let want: Vec<f64> = values(&x).iter().zip(&q).map(|(a, b)| a * b).collect();
            binary(Binary::Mul, (&x).into(), (&y).into(), Some(&x)).unwrap();
            assert_eq!(values(&x), want, "{shape:?} {other:?}");
            let want: Vec<f64> = want.iter().map(|a| a + 1.5).collect();
            binary(Binary::Add, (&x).into(), Scalar::Float(1.5).into(), Some(&x)).unwrap();
            assert_eq!(values(&x), want, "{shape:?} and a number");
        }
        // Every second column, of a tensor that is twice as wide.
        let wide = ramp(&[shape[0], 2 * shape[1]], DType::F32);
        let half = wide.with_layout(wide.layout().slice(1, 0, shape[1], 1));
        let y = ramp(&[shape[0], 1], DType::F32);
        let (p, q) = (values(&half), spread(&y, &shape));
        let z = binary(Binary::Sub, (&y).into(), (&half).into(), None).unwrap();
        assert_eq!(values(&z), p.iter().zip(&q).map(|(a, b)| b - a).collect::<Vec<_>>());
    }
}

#[test]
fn losses_of_pairs_and_mixtures_agree_with_float64() {
    let (x, y) = (ramp(&[1000], DType::F32), ramp(&[10, 100], DType::F32));
    let y = y.with_layout(lectorium::Layout::contiguous(&[1000]));
    let g = ramp(&[1], DType::F32);
    let (p, q, w) = (values(&x), values(&y), values(&g)[0]);
    let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
    let close = |got: Tensor, want: &dyn Fn(f64, f64) -> f64| {
        for (i, v) in values(&got).iter().enumerate() {
            let want = want(p[i], q[i]);
            assert!((v - want).abs() <= 2e-6 * want.abs().max(1.0), "{v} {want}");
        }
    };
    close(squared_error(&x, &y).unwrap(), &|a, b| (a - b) * (a - b));
    close(squared_error_grad(&g, &x, &y).unwrap(), &|a, b| 2.0 * w * (a - b));
    close(bce_logits(&x, &y).unwrap(), &|a, b| (1.0 - b) * a + (-a).exp().ln_1p());
    close(bce_logits_grad(&g, &x, &y).unwrap(), &|a, b| w * (sigmoid(a) - b));
    close(lerp(&x, &y, Scalar::Float(0.3).into()).unwrap(), &|a, b| a + 0.3 * (b - a));
    close(lerp(&x, &y, (&g).into()).unwrap(), &|a, b| a + w * (b - a));
    assert!(squared_error(&to(&x, DType::I64), &to(&y, DType::I64)).is_err());
}
