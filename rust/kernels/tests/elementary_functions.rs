//! Accuracy and edge cases of the elementary functions, and of the activations.

use lectorium::ops::activation::*;
use lectorium::ops::copy;
use lectorium::ops::elementwise::*;
use lectorium::{DType, Element, Scalar, Tensor};

fn values(t: &Tensor) -> Vec<f64> {
    let t = copy::cast("test", &copy::contiguous("test", t).unwrap(), DType::F64).unwrap();
    // SAFETY: contiguous, and nobody writes.
    unsafe { t.as_slice::<f64>() }.to_vec()
}

fn tensor<T: Element>(v: &[T]) -> Tensor {
    Tensor::from_slice("test", v, &[v.len()]).unwrap()
}

fn to(t: &Tensor, dtype: DType) -> Tensor {
    copy::cast("test", t, dtype).unwrap()
}

fn ulps32(got: f32, want: f64) -> f64 {
    if got == want as f32 || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let w = (want as f32).abs().max(f32::MIN_POSITIVE);
    ((got as f64 - want) / (f32::from_bits(w.to_bits() + 1) - w) as f64).abs()
}

fn ulps64(got: f64, want: f64) -> f64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let w = want.abs().max(f64::MIN_POSITIVE);
    ((got - want) / (f64::from_bits(w.to_bits() + 1) - w)).abs()
}

/// The op, its reference, a range to test, and the ulps allowed in float32 and float64.
type Case = (Unary, fn(f64) -> f64, f64, f64, f64, f64);

const CASES: &[Case] = &[
    (Unary::Exp, f64::exp, -87.0, 88.7, 1.5, 1.5),
    (Unary::Exp2, f64::exp2, -125.0, 127.9, 2.0, 2.0),
    (Unary::Expm1, f64::exp_m1, -30.0, 88.0, 2.5, 3.0),
    (Unary::Expm1, f64::exp_m1, -0.5, 0.5, 2.5, 3.0),
    (Unary::Log, f64::ln, 1e-30, 1e30, 2.0, 2.0),
    (Unary::Log, f64::ln, 0.5, 2.0, 2.0, 2.0),
    (Unary::Log2, f64::log2, 0.1, 20.0, 1.0, 3.0),
    (Unary::Log10, f64::log10, 0.1, 20.0, 1.0, 3.0),
    (Unary::Log1p, f64::ln_1p, -0.99, 3.0, 3.0, 3.0),
    (Unary::Log1p, f64::ln_1p, -1e-3, 1e-3, 3.0, 3.0),
    (Unary::Sin, f64::sin, -40.0, 40.0, 2.0, 2.0),
    (Unary::Cos, f64::cos, -40.0, 40.0, 2.0, 2.0),
    (Unary::Sin, f64::sin, -2e6, 2e6, 2.0, 2.0),
    (Unary::Cos, f64::cos, -9e4, 9e4, 2.0, 2.0),
    (Unary::Tanh, f64::tanh, -12.0, 12.0, 3.0, 4.0),
    (Unary::Tanh, f64::tanh, -0.1, 0.1, 3.0, 4.0),
    (Unary::Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), -80.0, 30.0, 3.0, 3.0),
    (Unary::Erf, |x| libm::erf(x), -5.0, 5.0, 2.0, 4.0),
    (Unary::Erf, |x| libm::erf(x), -1e-3, 1e-3, 2.0, 4.0),
    (Unary::Erfc, |x| libm::erfc(x), -4.0, 9.0, 2.0, 8.0),
    (Unary::Sqrt, f64::sqrt, 0.0, 1e6, 0.5, 0.5),
    (Unary::Tan, f64::tan, -9.0, 9.0, 1.0, 1.0),
    (Unary::Sinh, f64::sinh, -80.0, 80.0, 2.0, 2.0),
    (Unary::Cosh, f64::cosh, -80.0, 80.0, 2.0, 2.0),
    (Unary::Asinh, f64::asinh, -80.0, 80.0, 2.0, 2.0),
    (Unary::Acosh, f64::acosh, 1.0, 80.0, 2.0, 2.0),
    (Unary::Atanh, f64::atanh, -0.99, 0.99, 2.0, 2.0),
    (Unary::Atan, f64::atan, -80.0, 80.0, 2.0, 2.0),
];

#[test]
fn elementary_functions_stay_within_their_ulps() {
    let n = 20_000;
    let worst = |x: &[f64], f: &dyn Fn(usize) -> f64| {
        (0..x.len()).map(|i| (f(i), x[i])).fold((0.0, 0.0), |a, b| if b.0 > a.0 { b } else { a })
    };
    for &(op, reference, lo, hi, limit32, limit64) in CASES {
        let x: Vec<f64> = (0..=n).map(|i| lo + (hi - lo) * i as f64 / n as f64).collect();
        let y = values(&unary(op, &tensor(&x), None).unwrap());
        let (u64, at) = worst(&x, &|i| ulps64(y[i], reference(x[i])));
        let x32: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let y = values(&unary(op, &tensor(&x32), None).unwrap());
        let (u32, at32) = worst(&x, &|i| ulps32(y[i] as f32, reference(x32[i] as f64)));
        eprintln!("{} [{lo}, {hi}]: float32 {u32:.2} at {at32}, float64 {u64:.2} at {at}", op.name());
        assert!(u32 <= limit32 && u64 <= limit64, "{}: {u32} at {at32}, {u64} at {at}", op.name());
    }
}

#[test]
fn edges_come_out_as_ieee_asks() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let cases: &[(Unary, &[(f64, f64)])] = &[
        (Unary::Exp, &[(inf, inf), (-inf, 0.0), (0.0, 1.0), (1e30, inf), (-1e30, 0.0)]),
        (Unary::Exp2, &[(inf, inf), (-inf, 0.0), (3.0, 8.0), (-2.0, 0.25)]),
        (Unary::Expm1, &[(inf, inf), (-inf, -1.0), (-0.0, -0.0), (1e30, inf)]),
        (Unary::Log, &[(inf, inf), (0.0, -inf), (-0.0, -inf), (-1.0, nan), (1.0, 0.0)]),
        (Unary::Log2, &[(inf, inf), (0.0, -inf), (-1.0, nan), (8.0, 3.0), (0.125, -3.0)]),
        (Unary::Log10, &[(inf, inf), (0.0, -inf), (1000.0, 3.0), (100.0, 2.0)]),
        (Unary::Log1p, &[(inf, inf), (-1.0, -inf), (-2.0, nan), (-0.0, -0.0)]),
        (Unary::Sin, &[(inf, nan), (-0.0, -0.0), (0.0, 0.0)]),
        (Unary::Cos, &[(-inf, nan), (0.0, 1.0)]),
        (Unary::Tanh, &[(inf, 1.0), (-inf, -1.0), (-0.0, -0.0)]),
        (Unary::Sigmoid, &[(inf, 1.0), (-inf, 0.0), (0.0, 0.5)]),
        (Unary::Erf, &[(inf, 1.0), (-inf, -1.0), (-0.0, -0.0), (1e30, 1.0)]),
        (Unary::Erfc, &[(inf, 0.0), (-inf, 2.0), (0.0, 1.0)]),
        (Unary::Erfinv, &[(1.0, inf), (-1.0, -inf), (0.0, 0.0), (2.0, nan)]),
        (Unary::Round, &[(0.5, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0)]),
        (Unary::Sign, &[(-0.0, 0.0), (nan, 0.0), (-3.0, -1.0)]),
        (Unary::Logsigmoid, &[(-inf, -inf)]),
        (Unary::Relu, &[(nan, nan), (-1.0, 0.0), (inf, inf)]),
    ];
    for &(op, pairs) in cases {
        for dtype in [DType::F32, DType::F64] {
            let x = to(&tensor(&pairs.iter().map(|p| p.0).collect::<Vec<_>>()), dtype);
            let y = values(&unary(op, &x, None).unwrap());
            for (&(x, want), got) in pairs.iter().zip(y) {
                let sign = got != 0.0 || got.is_sign_negative() == want.is_sign_negative();
                let same = (got == want && sign) || (got.is_nan() && want.is_nan());
                assert!(same, "{} {dtype} of {x}: {got}, expected {want}", op.name());
            }
        }
    }
}

#[test]
fn nan_reaches_the_result_where_it_should() {
    let (n, o) = (tensor(&[f32::NAN, 1.0, f32::NAN]), tensor(&[1.0f32, f32::NAN, f32::NAN]));
    for op in [Binary::Maximum, Binary::Minimum] {
        assert!(values(&binary(op, (&n).into(), (&o).into(), None).unwrap()).iter().all(|v| v.is_nan()));
    }
    let m = values(&binary(Binary::Fmax, (&n).into(), (&o).into(), None).unwrap());
    assert_eq!(m[..2], [1.0, 1.0]);
    assert!(m[2].is_nan());
    assert!(values(&clamp(&n, Some(Scalar::Int(0)), Some(Scalar::Int(1))).unwrap())[0].is_nan());
    for op in Unary::ALL {
        let y = unary(*op, &n, None);
        let exempt = ["sign", "isnan", "isinf", "isfinite", "signbit", "logical_not", "bitwise_not"];
        if !exempt.contains(&op.name()) {
            assert!(values(&y.unwrap())[0].is_nan(), "{}", op.name());
        }
    }
}

#[test]
fn powers_and_angles_are_rounded_almost_correctly() {
    let sides: Vec<f32> = (-60..=60).map(|i| (i as f32 * 0.37).sinh() * 1e-3).collect();
    let angles = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, 1.0, -1.0, f32::NAN];
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for &a in sides.iter().chain(&angles) {
        for &b in sides.iter().chain(&angles) {
            x.push(a);
            y.push(b);
        }
    }
    let got = values(&binary(Binary::Atan2, (&tensor(&x)).into(), (&tensor(&y)).into(), None).unwrap());
    for i in 0..x.len() {
        let want = (x[i] as f64).atan2(y[i] as f64);
        let sign = got[i].is_nan() || got[i].is_sign_negative() == want.is_sign_negative();
        assert!(ulps32(got[i] as f32, want) <= 0.6 && sign, "atan2({}, {}): {}", x[i], y[i], got[i]);
    }
    let bases: Vec<f32> = x.iter().map(|v| v.abs() + 1e-3).collect();
    let got = values(&binary(Binary::Pow, (&tensor(&bases)).into(), (&tensor(&y)).into(), None).unwrap());
    for i in 0..x.len() {
        let want = (bases[i] as f64).powf(y[i] as f64);
        // Denormal results are flushed.
        if !(want > 0.0 && want < f32::MIN_POSITIVE as f64) {
            assert!(ulps32(got[i] as f32, want) <= 0.6, "{} ^ {}: {}", bases[i], y[i], got[i]);
        }
    }
}

#[test]
fn gelu_and_softplus_keep_digits_on_both_sides() {
    let x: Vec<f32> = (-5999..=6000).map(|i| i as f32 * 1e-3).collect();
    let share = |v: f64| 0.5 * libm::erfc(-v / std::f64::consts::SQRT_2);
    let y = values(&activation(Activation::Gelu, &tensor(&x)).unwrap());
    let s = values(&activation(Activation::Softplus(1.0, 20.0), &tensor(&x)).unwrap());
    for i in 0..x.len() {
        let v = x[i] as f64;
        let want = v * share(v);
        let limit = if v > -1.0 {
            4e-7
        } else if v > -3.0 {
            2e-6
        } else {
            8e-6
        };
        assert!((y[i] - want).abs() <= limit * want.abs(), "gelu({v}): {} {want}", y[i]);
        assert!(ulps32(s[i] as f32, v.exp().ln_1p()) <= 3.0, "softplus({v}): {}", s[i]);
    }
    let ends = tensor(&[f32::INFINITY, 1e30, -1e30, f32::NAN, -7.0]);
    let y = values(&activation(Activation::Gelu, &ends).unwrap());
    assert!(
        y[0] == f64::INFINITY && y[1] == 1e30f32 as f64 && y[2] == 0.0 && y[3].is_nan() && y[4].abs() < 1e-8
    );
}

#[test]
fn erfinv_lgamma_and_digamma_have_known_values() {
    let one = |op, x: f64| values(&unary(op, &tensor(&[x]), None).unwrap())[0];
    for y in [-0.999999, -0.9, -0.3, 1e-9, 0.5, 0.75, 0.9999999999] {
        assert!((libm::erf(one(Unary::Erfinv, y)) - y).abs() < 1e-15, "{y}");
    }
    assert!((one(Unary::Lgamma, 10.0) - 362880f64.ln()).abs() < 1e-13);
    assert!((one(Unary::Digamma, 1.0) + 0.577_215_664_901_532_9).abs() < 1e-15);
    assert!((one(Unary::Digamma, -0.5) - 0.036_489_973_978_576_52).abs() < 1e-14);
    assert_eq!(one(Unary::Digamma, 0.0), f64::NEG_INFINITY);
    assert!(one(Unary::Digamma, -2.0).is_nan());
}

const ACTIVATIONS: &[Activation] = &[
    Activation::LeakyRelu(0.1),
    Activation::Elu(1.3),
    Activation::Celu(0.7),
    Activation::Selu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Mish,
    Activation::Softplus(2.0, 20.0),
    Activation::Hardtanh(-1.0, 2.0),
    Activation::Hardswish,
    Activation::Hardsigmoid,
    Activation::Softsign,
    Activation::Tanhshrink,
    Activation::Softshrink(0.5),
    Activation::Hardshrink(0.5),
    Activation::LogSigmoid,
    Activation::Threshold(0.3, -2.0),
];

#[test]
fn activation_gradients_are_the_slopes_of_the_activations() {
    let kinks = [-3.0, -1.0, -0.5, 0.0, 0.3, 0.5, 2.0, 3.0];
    let smooth = |x: &f64| kinks.iter().all(|k: &f64| (x - k).abs() > 1e-3);
    let x: Vec<f64> = (0..400).map(|i| -8.03 + i as f64 * 0.0401).filter(smooth).collect();
    let g: Vec<f64> = x.iter().map(|x| 1.0 + x / 20.0).collect();
    let h = 1e-5;
    for &act in ACTIVATIONS {
        let at =
            |d: f64| values(&activation(act, &tensor(&x.iter().map(|x| x + d).collect::<Vec<_>>())).unwrap());
        let (hi, lo) = (at(h), at(-h));
        let dx = values(&activation_grad(act, &tensor(&g), &tensor(&x)).unwrap());
        for i in 0..x.len() {
            let slope = g[i] * (hi[i] - lo[i]) / (2.0 * h);
            assert!((dx[i] - slope).abs() < 1e-6, "{act:?} at {}: {} {slope}", x[i], dx[i]);
        }
        for (dtype, tolerance) in [(DType::F32, 3e-6), (DType::F16, 3e-3)] {
            let rounded = to(&tensor(&x), dtype);
            let y = activation(act, &rounded).unwrap();
            assert_eq!(y.dtype(), dtype);
            let exact = values(&activation(act, &to(&rounded, DType::F64)).unwrap());
            for (a, b) in values(&y).iter().zip(&exact) {
                assert!((a - b).abs() < tolerance * b.abs().max(1.0), "{act:?} {dtype}: {a} {b}");
            }
        }
    }
}

#[test]
fn activations_refuse_integers_and_senseless_parameters() {
    assert!(activation(Activation::Silu, &tensor(&[1i64])).is_err());
    assert!(activation(Activation::Hardtanh(1.0, 0.0), &tensor(&[1f32])).is_err());
    assert!(activation(Activation::Softshrink(-1.0), &tensor(&[1f32])).is_err());
    assert_eq!(activation(Activation::Gelu, &tensor::<f32>(&[])).unwrap().numel(), 0);
}

#[test]
fn gradients_from_outputs() {
    let (g, y) = (tensor(&[2.0f32, 2.0]), tensor(&[0.0f32, 0.5]));
    assert_eq!(values(&relu_grad(&g, &y).unwrap()), [0.0, 2.0]);
    assert_eq!(values(&sigmoid_grad(&g, &y).unwrap()), [0.0, 0.5]);
    assert_eq!(values(&tanh_grad(&g, &y).unwrap()), [2.0, 1.5]);
}
