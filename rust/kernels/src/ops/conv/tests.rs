use super::*;
use crate::dtype::DType;
use crate::parallel::set_num_threads;
use crate::testing::{thread_count, values};

fn tensor(dtype: DType, shape: &[usize], values: &[f64]) -> Tensor {
    copy::cast("test", &Tensor::from_slice("test", values, shape).unwrap(), dtype).unwrap()
}

fn random(dtype: DType, shape: &[usize], seed: u64) -> Tensor {
    tensor(dtype, shape, &values(shape.iter().product(), seed))
}

fn to_f64(t: &Tensor) -> Vec<f64> {
    let t = copy::cast("test", &copy::contiguous("test", t).unwrap(), DType::F64).unwrap();
    // SAFETY: nobody writes to the test's tensor.
    unsafe { t.as_slice::<f64>() }.to_vec()
}

fn bits(t: &Tensor) -> Vec<u64> {
    to_f64(t).into_iter().map(f64::to_bits).collect()
}

/// Calls `f(output, input, weight)` with the flat indices of every product of the convolution.
fn for_products(
    x: [usize; 4],
    w: [usize; 4],
    spec: ConvSpec,
    mut f: impl FnMut(usize, usize, usize),
) -> [usize; 4] {
    let geo = Geometry::new("test", &x, &w, spec).unwrap();
    let ConvSpec { stride, padding, dilation, .. } = spec;
    for n in 0..geo.n {
        for o in 0..geo.o {
            for (oy, ox) in (0..geo.oh).flat_map(|y| (0..geo.ow).map(move |x| (y, x))) {
                for c in 0..geo.cg {
                    for (i, j) in (0..geo.kh).flat_map(|i| (0..geo.kw).map(move |j| (i, j))) {
                        let y = (oy * stride[0] + i * dilation[0]) as isize - padding[0] as isize;
                        let z = (ox * stride[1] + j * dilation[1]) as isize - padding[1] as isize;
                        if y < 0 || z < 0 || y >= geo.h as isize || z >= geo.w as isize {
                            continue;
                        }
                        let channel = o / geo.og * geo.cg + c;
                        f(
                            ((n * geo.o + o) * geo.oh + oy) * geo.ow + ox,
                            ((n * geo.c + channel) * geo.h + y as usize) * geo.w + z as usize,
                            ((o * geo.cg + c) * geo.kh + i) * geo.kw + j,
                        );
                    }
                }
            }
        }
    }
    geo.output()
}

/// Winograd's transforms round more often (`winograd/tests.rs` has its bounds by form).
fn tolerance(geo: &Geometry, pass: Pass, dtype: DType) -> f64 {
    match choose(geo, pass, dtype) {
        Algorithm::Winograd => 4e-6,
        _ if dtype == DType::F32 => 6e-7,
        _ => 1e-15,
    }
}

fn assert_close(what: &str, got: &Tensor, expected: &[f64], scale: &[f64], eps: f64) {
    let got = to_f64(got);
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        // `scale` is the sum of the products' magnitudes: rounding is relative to it.
        let bound = eps * (scale[i] + 1.0);
        assert!((g - e).abs() <= bound, "{what}[{i}]: got {g}, expected {e} within {bound}");
    }
}

/// Compares all three passes with sums of products in float64.
fn check(x: [usize; 4], w: [usize; 4], spec: ConvSpec) {
    for dtype in [DType::F32, DType::F64] {
        let (tx, tw) = (random(dtype, &x, 1), random(dtype, &w, 2));
        let bias = random(dtype, &[w[0]], 3);
        let (vx, vw, vb) = (to_f64(&tx), to_f64(&tw), to_f64(&bias));
        let shape = conv2d_output_shape(&x, &w, spec).unwrap();
        let g = random(dtype, &shape, 4);
        let vg = to_f64(&g);
        let (mut y, mut ys) = (vec![0.0; vg.len()], vec![0.0; vg.len()]);
        let (mut dx, mut dxs) = (vec![0.0; vx.len()], vec![0.0; vx.len()]);
        let (mut dw, mut dws) = (vec![0.0; vw.len()], vec![0.0; vw.len()]);
        for_products(x, w, spec, |o, i, k| {
            let add = |sums: &mut [f64], scales: &mut [f64], at: usize, v: f64| {
                sums[at] += v;
                scales[at] += v.abs();
            };
            add(&mut y, &mut ys, o, vx[i] * vw[k]);
            add(&mut dx, &mut dxs, i, vg[o] * vw[k]);
            add(&mut dw, &mut dws, k, vg[o] * vx[i]);
        });
        let geo = Geometry::new("test", &x, &w, spec).unwrap();
        let eps = |pass| tolerance(&geo, pass, dtype);
        let name = |pass: &str| format!("{pass} {dtype} {x:?} {w:?} {spec:?}");
        let out = conv2d(&tx, &tw, None, spec).unwrap();
        assert_eq!(out.shape(), shape);
        assert_close(&name("conv2d"), &out, &y, &ys, eps(Pass::Forward));
        let plane = shape[2] * shape[3];
        y.iter_mut().enumerate().for_each(|(i, v)| *v += vb[i / plane % w[0]]);
        let out = conv2d(&tx, &tw, Some(&bias), spec).unwrap();
        assert_close(&name("with bias"), &out, &y, &ys, eps(Pass::Forward));
        let [joined, plain] = [conv2d_relu(&tx, &tw, Some(&bias), spec).unwrap(), out].map(|t| to_f64(&t));
        assert_eq!(joined, plain.iter().map(|v| v.max(0.0)).collect::<Vec<_>>(), "{}", name("with ReLU"));
        let got = conv2d_input_grad(&g, &tw, &x, spec).unwrap();
        assert_eq!(got.shape(), x);
        assert_close(&name("input grad"), &got, &dx, &dxs, eps(Pass::InputGrad));
        let got = conv2d_weight_grad(&g, &tx, &w, spec).unwrap();
        assert_eq!(got.shape(), w);
        assert_close(&name("weight grad"), &got, &dw, &dws, eps(Pass::WeightGrad));
    }
}

fn spec(stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2], groups: usize) -> ConvSpec {
    ConvSpec { stride, padding, dilation, groups }
}

#[test]
fn the_worked_example_of_the_lecture_comes_out() {
    let x = [3, 3, 2, 1, 0, 0, 0, 1, 3, 1, 3, 1, 2, 2, 3, 2, 0, 0, 2, 2, 2, 0, 0, 0, 1].map(f64::from);
    let w = [0, 1, 2, 2, 2, 0, 0, 1, 2].map(f64::from);
    for dtype in [DType::F32, DType::F64] {
        let (x, w) = (tensor(dtype, &[1, 1, 5, 5], &x), tensor(dtype, &[1, 1, 3, 3], &w));
        let y = conv2d(&x, &w, None, ConvSpec::default()).unwrap();
        assert_eq!(y.shape(), [1, 1, 3, 3]);
        assert_eq!(to_f64(&y), [12, 12, 17, 10, 17, 19, 9, 6, 14].map(f64::from));
    }
}

#[test]
fn every_pass_agrees_with_sums_of_products_at_ragged_sizes() {
    for (stride, padding, dilation) in [
        ([1, 1], [0, 0], [1, 1]),
        ([1, 1], [1, 1], [1, 1]),
        ([2, 1], [0, 2], [1, 2]),
        ([3, 2], [2, 1], [2, 1]),
        ([1, 3], [3, 4], [1, 1]),
    ] {
        for groups in [1, 3] {
            let s = spec(stride, padding, dilation, groups);
            check([2, 3 * groups, 11, 13], [2 * groups, 3, 3, 2], s);
            check([3, 2 * groups, 7, 5], [groups, 2, 2, 3], s);
            check([1, groups, 9, 21], [3 * groups, 1, 5, 1], s);
        }
    }
}

#[test]
fn shapes_of_common_networks_agree_with_sums_of_products() {
    let same = |p: usize| spec([1, 1], [p, p], [1, 1], 1);
    check([5, 1, 28, 28], [20, 1, 5, 5], same(0));
    check([3, 20, 12, 12], [50, 20, 5, 5], same(0));
    check([4, 3, 32, 32], [6, 3, 5, 5], same(0));
    check([3, 6, 14, 14], [16, 6, 5, 5], same(0));
    check([2, 1, 28, 28], [6, 1, 5, 5], same(2));
    check([2, 3, 33, 35], [17, 3, 7, 7], spec([2, 2], [3, 3], [1, 1], 1));
    check([2, 40, 9, 10], [33, 40, 3, 3], same(1));
    check([9, 64, 4, 4], [40, 64, 3, 3], same(1));
    check([20, 24, 2, 2], [24, 24, 3, 3], same(1));
    check([2, 19, 14, 15], [37, 19, 1, 1], same(0));
    check([2, 16, 9, 9], [24, 16, 1, 1], spec([2, 2], [0, 0], [1, 1], 1));
    check([1, 3, 60, 50], [4, 3, 3, 3], same(1));
    check([2, 8, 1, 40], [12, 8, 1, 3], spec([1, 1], [0, 1], [1, 1], 1));
}

#[test]
fn depthwise_shapes_agree_with_sums_of_products() {
    for stride in [1, 2] {
        for (k, p) in [(3, 1), (5, 2), (3, 0), (7, 3)] {
            check([2, 10, 15, 18], [10, 1, k, k], spec([stride, stride], [p, p], [1, 1], 10));
            check([1, 4, 9, 40], [8, 1, k, k], spec([stride, 1], [p, p], [1, 1], 4));
        }
    }
    check([1, 5, 12, 12], [5, 1, 3, 3], spec([1, 1], [2, 2], [2, 2], 5));
}

#[test]
fn each_pass_is_the_adjoint_of_the_others() {
    let dot = |a: &Tensor, b: &Tensor| -> f64 { to_f64(a).iter().zip(to_f64(b)).map(|(a, b)| a * b).sum() };
    for (x, w, s) in [
        ([2, 6, 13, 9], [8, 3, 3, 3], spec([2, 1], [1, 2], [1, 2], 2)),
        ([3, 4, 10, 10], [6, 4, 1, 1], spec([1, 1], [0, 0], [1, 1], 1)),
        ([4, 1, 28, 28], [20, 1, 5, 5], ConvSpec::default()),
        ([2, 7, 8, 8], [7, 1, 3, 3], spec([1, 1], [1, 1], [1, 1], 7)),
    ] {
        let (tx, tw) = (random(DType::F64, &x, 5), random(DType::F64, &w, 6));
        let y = conv2d(&tx, &tw, None, s).unwrap();
        let g = random(DType::F64, y.shape(), 7);
        let forward = dot(&y, &g);
        let by_input = dot(&tx, &conv2d_input_grad(&g, &tw, &x, s).unwrap());
        let by_weight = dot(&tw, &conv2d_weight_grad(&g, &tx, &w, s).unwrap());
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * (a.abs() + 1.0);
        assert!(close(forward, by_input) && close(forward, by_weight), "{forward} {by_input} {by_weight}");
    }
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    let _turn = thread_count();
    for (x, w, s) in [
        ([7, 3, 30, 30], [16, 3, 5, 5], ConvSpec::default()),
        ([1, 32, 40, 40], [48, 32, 3, 3], spec([1, 1], [1, 1], [1, 1], 1)),
        ([16, 32, 4, 4], [64, 32, 3, 3], spec([1, 1], [1, 1], [1, 1], 1)),
        ([6, 16, 20, 20], [16, 1, 3, 3], spec([1, 1], [1, 1], [1, 1], 16)),
        ([4, 64, 14, 14], [96, 64, 1, 1], ConvSpec::default()),
    ] {
        let (tx, tw) = (random(DType::F32, &x, 8), random(DType::F32, &w, 9));
        let g = random(DType::F32, &conv2d_output_shape(&x, &w, s).unwrap(), 10);
        let passes = |threads: usize| {
            set_num_threads(threads);
            [
                bits(&conv2d(&tx, &tw, None, s).unwrap()),
                bits(&conv2d_input_grad(&g, &tw, &x, s).unwrap()),
                bits(&conv2d_weight_grad(&g, &tx, &w, s).unwrap()),
            ]
        };
        let one = passes(1);
        assert!(one == passes(2) && one == passes(7), "{x:?} {w:?}");
    }
}

#[test]
fn strided_inputs_are_read_through_their_layout() {
    let x = random(DType::F32, &[2, 9, 8, 3], 11);
    let nchw = x.with_layout(x.layout().permute(&[0, 3, 1, 2]));
    let w = random(DType::F32, &[4, 3, 3, 3], 12);
    let expected = conv2d(&copy::clone("test", &nchw).unwrap(), &w, None, ConvSpec::default()).unwrap();
    assert_eq!(bits(&conv2d(&nchw, &w, None, ConvSpec::default()).unwrap()), bits(&expected));
}

#[test]
fn empty_batches_and_channels_give_empty_tensors_or_zeros() {
    let s = ConvSpec::default();
    let zeros = |shape: &[usize]| Tensor::zeros("test", shape, DType::F32).unwrap();
    let (x, w, b) = (zeros(&[0, 2, 5, 5]), random(DType::F32, &[3, 2, 3, 3], 1), random(DType::F32, &[3], 2));
    let y = conv2d(&x, &w, Some(&b), s).unwrap();
    assert_eq!(y.shape(), [0, 3, 3, 3]);
    assert_eq!(conv2d_input_grad(&y, &w, &[0, 2, 5, 5], s).unwrap().shape(), [0, 2, 5, 5]);
    assert!(to_f64(&conv2d_weight_grad(&y, &x, &[3, 2, 3, 3], s).unwrap()).iter().all(|&v| v == 0.0));
    // A sum over no channels is zero, so the bias remains.
    let y = conv2d(&zeros(&[2, 0, 5, 5]), &zeros(&[3, 0, 3, 3]), Some(&b), s).unwrap();
    let bias = to_f64(&b);
    assert!(to_f64(&y).iter().enumerate().all(|(i, &v)| v == bias[i / 9 % 3]));
    assert!(
        to_f64(&conv2d(&zeros(&[2, 0, 5, 5]), &zeros(&[3, 0, 3, 3]), None, s).unwrap())
            .iter()
            .all(|&v| v == 0.0)
    );
    assert_eq!(conv2d(&zeros(&[2, 4, 5, 5]), &zeros(&[0, 4, 3, 3]), None, s).unwrap().shape(), [2, 0, 3, 3]);
}

#[test]
fn infinities_and_nan_stay_where_their_windows_are() {
    let mut v = vec![1.0; 36];
    v[14] = f64::NAN;
    let x = tensor(DType::F32, &[1, 1, 6, 6], &v);
    let w = tensor(DType::F32, &[1, 1, 3, 3], &[1.0; 9]);
    let y = to_f64(&conv2d(&x, &w, None, spec([1, 1], [1, 1], [1, 1], 1)).unwrap());
    for (i, v) in y.iter().enumerate() {
        let near = (i / 6).abs_diff(2) <= 1 && (i % 6).abs_diff(2) <= 1;
        assert_eq!(v.is_nan(), near, "{i}");
    }
}

#[test]
fn errors_say_what_was_expected_and_what_came() {
    let zeros = |shape: &[usize]| Tensor::zeros("test", shape, DType::F32).unwrap();
    let s = ConvSpec::default();
    let message = |x: &[usize], w: &[usize], s: ConvSpec| {
        conv2d(&zeros(x), &zeros(w), None, s).err().unwrap().to_string()
    };
    assert_eq!(
        message(&[1, 6, 5, 5], &[4, 2, 3, 3], ConvSpec { groups: 2, ..s }),
        "conv2d: input has 6 channels, weight expects 4 (groups=2)"
    );
    assert_eq!(
        message(&[1, 1, 3, 3], &[1, 1, 5, 5], s),
        "conv2d: kernel 5x5 (dilation 1) does not fit the padded input 3x3; use a smaller kernel or more padding"
    );
    assert_eq!(message(&[1, 3, 5], &[1, 1, 5, 5], s), "conv2d: expected an input with 4 axes, got [1, 3, 5]");
    assert_eq!(message(&[1, 1, 5, 5], &[1, 1, 3], s), "conv2d: expected a weight with 4 axes, got [1, 1, 3]");
    assert_eq!(
        message(&[1, 4, 5, 5], &[3, 2, 3, 3], ConvSpec { groups: 2, ..s }),
        "conv2d: weight has 3 output channels, expected a multiple of groups=2"
    );
    for (bad, words) in [
        (ConvSpec { stride: [0, 1], ..s }, "conv2d: stride must be positive, got [0, 1]"),
        (ConvSpec { dilation: [1, 0], ..s }, "conv2d: dilation must be positive, got [1, 0]"),
        (ConvSpec { groups: 0, ..s }, "conv2d: groups must be positive, got 0"),
    ] {
        assert_eq!(message(&[1, 1, 5, 5], &[1, 1, 3, 3], bad), words);
    }
    for huge in [usize::MAX, usize::MAX / 2, usize::MAX / 4, 1 << 40] {
        let padded =
            conv2d(&zeros(&[1, 1, 5, 5]), &zeros(&[1, 1, 3, 3]), None, ConvSpec { padding: [huge; 2], ..s });
        assert!(matches!(padded, Err(Error::Value { .. } | Error::Memory { .. })));
        let dilated =
            conv2d(&zeros(&[1, 1, 5, 5]), &zeros(&[1, 1, 3, 3]), None, ConvSpec { dilation: [huge; 2], ..s });
        assert!(matches!(dilated, Err(Error::Value { .. } | Error::Shape { .. })));
    }
    let far = ConvSpec { stride: [1 << 40; 2], padding: [1, 2], ..s };
    assert_eq!(
        conv2d(&zeros(&[1, 1, 5, 5]), &zeros(&[1, 1, 3, 3]), None, far).unwrap().shape(),
        [1, 1, 1, 1]
    );
    let all = [1 << 31; 2];
    let wrapping = ConvSpec { stride: all, padding: all, dilation: all, groups: 1 };
    assert!(conv2d(&zeros(&[1, 1, 5, 5]), &zeros(&[1, 1, 2, 2]), None, wrapping).is_err());
    let double = Tensor::zeros("test", &[1, 1, 3, 3], DType::F64).unwrap();
    let mixed = conv2d(&zeros(&[1, 1, 5, 5]), &double, None, s).err().unwrap().to_string();
    assert_eq!(mixed, "conv2d: input is float32 but weight is float64; convert one of them with .to(dtype)");
    let long = Tensor::zeros("test", &[1, 1, 3, 3], DType::I64).unwrap();
    assert!(matches!(conv2d(&long, &long, None, s), Err(Error::DType { .. })));
    let wrong = conv2d(&zeros(&[1, 1, 5, 5]), &zeros(&[2, 1, 3, 3]), Some(&zeros(&[3])), s)
        .err()
        .unwrap()
        .to_string();
    assert_eq!(wrong, "conv2d: bias has shape [3], expected [2]");
    let g = zeros(&[1, 1, 4, 3]);
    let wrong = conv2d_input_grad(&g, &zeros(&[1, 1, 3, 3]), &[1, 1, 5, 5], s).err().unwrap().to_string();
    assert_eq!(
        wrong,
        "conv2d_input_grad: the output's gradient has shape [1, 1, 4, 3], expected [1, 1, 3, 3] for these sizes"
    );
    assert!(conv2d_weight_grad(&g, &zeros(&[1, 1, 5, 5]), &[1, 1, 3, 3], s).is_err());
}
