use super::*;
use crate::dtype::Bool;

/// Values that look random and are the same each time.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            (s >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

fn floats(shape: &[usize], seed: u64) -> Tensor {
    let v: Vec<f32> = noise(shape.iter().product(), seed).into_iter().map(|v| v as f32).collect();
    Tensor::from_slice("test", &v, shape).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    let x = copy::contiguous("test", &copy::cast("test", x, DType::F64).unwrap()).unwrap();
    unsafe { x.as_slice::<f64>() }.to_vec()
}

/// The elements behind each output, in row-major order of the reduced axes.
fn groups(x: &Tensor, axes: &[isize]) -> Vec<Vec<f64>> {
    let gone = normalize_axes("test", axes, x.ndim(), true).unwrap();
    let kept: Vec<usize> = (0..x.ndim()).filter(|a| !gone.contains(a)).collect();
    let order: Vec<usize> = kept.iter().chain(gone.iter()).copied().collect();
    let all = values(&x.with_layout(x.layout().permute(&order)));
    let n: usize = gone.iter().map(|&a| x.shape()[a]).product();
    let outputs: usize = kept.iter().map(|&a| x.shape()[a]).product();
    (0..outputs).map(|i| all[i * n..(i + 1) * n].to_vec()).collect()
}

fn assert_close(got: &Tensor, want: Vec<f64>, tolerance: f64, what: &str) {
    let got = values(got);
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * (1.0 + w.abs());
        assert!(same, "{what}: element {i} is {g}, expected {w}");
    }
}

/// Tensors of many layouts, and axes to reduce.
fn cases() -> Vec<(Tensor, Vec<isize>)> {
    let mut out = Vec::new();
    for shape in
        [&[1, 1][..], &[7, 5], &[3, 70], &[130, 3], &[33, 1030], &[1100, 37], &[2, 90_001], &[90_001, 2]]
    {
        let x = floats(shape, shape[0] as u64);
        let t = x.with_layout(x.layout().permute(&[1, 0]));
        for axes in [vec![], vec![0], vec![1], vec![-1], vec![0, 1]] {
            out.push((x.clone(), axes.clone()));
            out.push((t.clone(), axes));
        }
    }
    let x = floats(&[5, 6, 7, 9], 1);
    let views = [
        x.clone(),
        x.with_layout(x.layout().permute(&[0, 2, 3, 1])),
        x.with_layout(x.layout().permute(&[3, 1, 0, 2])),
        x.with_layout(x.layout().slice(3, 8, 4, -2)),
        x.with_layout(x.layout().slice(1, 1, 2, 3)),
        x.with_layout(x.layout().select(2, 3).unsqueeze(2).broadcast_to("test", &[5, 6, 4, 9]).unwrap()),
    ];
    for v in views {
        for axes in [
            vec![],
            vec![0],
            vec![1],
            vec![2],
            vec![3],
            vec![0, 2],
            vec![0, 2, 3],
            vec![1, 3],
            vec![1, 2],
            vec![0, 1, 2],
        ] {
            out.push((v.clone(), axes));
        }
    }
    out.push((floats(&[64, 3, 40, 40], 9), vec![0, 2, 3]));
    out.push((floats(&[200_003], 4), vec![]));
    out.push((floats(&[], 4), vec![]));
    out
}

#[test]
fn every_reduction_agrees_with_float64_on_any_layout() {
    for (x, axes) in cases() {
        let what = format!("shape {:?} strides {:?} axes {axes:?}", x.shape(), x.strides());
        let g = groups(&x, &axes);
        let each = |f: &dyn Fn(&[f64]) -> f64| g.iter().map(|v| f(v)).collect::<Vec<f64>>();
        let n = g[0].len() as f64;
        let total = |v: &[f64]| v.iter().sum::<f64>();
        // Sums cancel: the tolerance is that of the terms.
        assert_close(&sum(&x, &axes, false, None).unwrap(), each(&total), 1e-6 * n.sqrt(), &what);
        assert_close(&mean(&x, &axes, true, None).unwrap(), each(&|v| total(v) / n), 1e-6, &what);
        assert_close(
            &amax(&x, &axes, false).unwrap(),
            each(&|v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            0.0,
            &what,
        );
        assert_close(
            &amin(&x, &axes, false).unwrap(),
            each(&|v| v.iter().copied().fold(f64::MAX, f64::min)),
            0.0,
            &what,
        );
        assert_close(
            &logsumexp(&x, &axes, false).unwrap(),
            each(&|v| v.iter().map(|v| v.exp()).sum::<f64>().ln()),
            1e-6,
            &what,
        );
        assert_close(
            &norm(&x, 2.0, &axes, false).unwrap(),
            each(&|v| v.iter().map(|v| v * v).sum::<f64>().sqrt()),
            1e-6,
            &what,
        );
        assert_close(
            &norm(&x, 1.0, &axes, false).unwrap(),
            each(&|v| v.iter().map(|v| v.abs()).sum::<f64>()),
            1e-6,
            &what,
        );
        assert_close(
            &norm(&x, 3.0, &axes, false).unwrap(),
            each(&|v| v.iter().map(|v| v.abs().powi(3)).sum::<f64>().cbrt()),
            1e-5,
            &what,
        );
        assert_close(
            &norm(&x, f64::INFINITY, &axes, false).unwrap(),
            each(&|v| v.iter().fold(0.0, |a, v| v.abs().max(a))),
            0.0,
            &what,
        );
        assert_close(
            &norm(&x, f64::NEG_INFINITY, &axes, false).unwrap(),
            each(&|v| v.iter().fold(9.0, |a, v| v.abs().min(a))),
            0.0,
            &what,
        );
        if n > 1.0 {
            let var_of = |v: &[f64]| {
                let m = total(v) / n;
                v.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / (n - 1.0)
            };
            assert_close(&var(&x, &axes, false, 1.0).unwrap(), each(&var_of), 1e-6, &what);
        }
    }
}

#[test]
fn extremes_along_an_axis_name_their_first_occurrence() {
    for (x, axes) in cases() {
        let [axis] = axes[..] else { continue };
        // Few distinct values, so that there are ties.
        let coarse: Vec<f32> = values(&x).iter().map(|v| (v * 20.0).round() as f32).collect();
        let flat = Tensor::from_slice("test", &coarse, x.shape()).unwrap();
        let order: Vec<usize> = (0..x.ndim()).rev().collect();
        for x in [flat.clone(), clone_reversed(&flat, &order)] {
            let g = groups(&x, &[axis]);
            let first = |v: &Vec<f64>, best: f64| v.iter().position(|&x| x == best).unwrap() as f64;
            let (v, i) = max_dim(&x, axis, false).unwrap();
            let best: Vec<f64> =
                g.iter().map(|v| v.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect();
            assert_close(&i, g.iter().zip(&best).map(|(v, &b)| first(v, b)).collect(), 0.0, "max index");
            assert_close(&v, best, 0.0, "max");
            let (v, i) = min_dim(&x, axis, true).unwrap();
            let best: Vec<f64> = g.iter().map(|v| v.iter().copied().fold(f64::MAX, f64::min)).collect();
            assert_close(&i, g.iter().zip(&best).map(|(v, &b)| first(v, b)).collect(), 0.0, "min index");
            assert_close(&v, best, 0.0, "min");
        }
    }
}

/// The same values with the memory order of the axes reversed.
fn clone_reversed(x: &Tensor, order: &[usize]) -> Tensor {
    let t = copy::clone("test", &x.with_layout(x.layout().permute(order))).unwrap();
    t.with_layout(t.layout().permute(order))
}

#[test]
fn a_nan_wins_every_extreme() {
    let mut v: Vec<f32> = noise(5000, 3).into_iter().map(|v| v as f32).collect();
    v[3001] = f32::NAN;
    v[4000] = f32::NAN;
    let x = Tensor::from_slice("test", &v, &[5000]).unwrap();
    assert!(values(&amax(&x, &[], false).unwrap())[0].is_nan());
    assert!(values(&amin(&x, &[], false).unwrap())[0].is_nan());
    assert_eq!(values(&argmax(&x, None, false).unwrap()), [3001.0]);
    assert_eq!(values(&argmin(&x, Some(0), false).unwrap()), [3001.0]);
    let x = reshaped(&x, &[50, 100]);
    let (values_of, index) = max_dim(&x, 0, false).unwrap();
    assert!(values(&values_of)[1].is_nan());
    assert_eq!(values(&index)[1], 30.0);
}

#[test]
fn a_long_float32_sum_keeps_its_digits() {
    let x = copy::full("test", &[10_000_000], crate::Scalar::Float(0.1), DType::F32).unwrap();
    let want = 0.1f32 as f64 * 1e7;
    assert!((values(&sum(&x, &[], false, None).unwrap())[0] / want - 1.0).abs() < 1e-6);
    let x = reshaped(&x, &[1_000_000, 10]);
    assert!((values(&sum(&x, &[0], false, None).unwrap())[3] / (want / 10.0) - 1.0).abs() < 1e-6);
}

#[test]
fn results_have_the_dtypes_of_pytorch() {
    for d in DType::ALL {
        let x = copy::cast("test", &floats(&[4, 3], 1), d).unwrap();
        let summed = sum(&x, &[0], false, None).unwrap().dtype();
        assert_eq!(summed, if d.is_float() { d } else { DType::I64 });
        assert_eq!(prod(&x, &[0], false, None).unwrap().dtype(), summed);
        assert_eq!(amax(&x, &[1], true).unwrap().dtype(), d);
        assert_eq!(max_dim(&x, 1, true).unwrap().0.dtype(), d);
        assert_eq!(any(&x, &[], false).unwrap().dtype(), if d == DType::U8 { d } else { DType::Bool });
        assert_eq!(count_nonzero(&x, &[]).unwrap().dtype(), DType::I64);
        for to in DType::ALL {
            assert_eq!(sum(&x, &[], false, Some(to)).unwrap().dtype(), to);
            assert_eq!(prod(&x, &[], false, Some(to)).unwrap().dtype(), to);
        }
        if !d.is_float() {
            let text = mean(&x, &[], false, None).err().unwrap().to_string();
            assert!(text.contains("could not infer output dtype") && text.contains(d.name()), "{text}");
            assert_eq!(mean(&x, &[], false, Some(DType::F64)).unwrap().dtype(), DType::F64);
        }
    }
    let bytes = Tensor::from_slice("test", &[200u8, 100], &[2]).unwrap();
    assert_eq!(values(&sum(&bytes, &[], false, None).unwrap()), [300.0]);
    let flags = Tensor::from_slice("test", &[Bool(1), Bool(0), Bool(1)], &[3]).unwrap();
    assert_eq!(values(&sum(&flags, &[], false, None).unwrap()), [2.0]);
    assert_eq!(values(&amin(&flags, &[], false).unwrap()), [0.0]);
    let wide = Tensor::from_slice("test", &[i64::MAX - 1, 1], &[2]).unwrap();
    assert_eq!(unsafe { *sum(&wide, &[], false, None).unwrap().ptr::<i64>() }, i64::MAX);
}

#[test]
fn empty_reductions_have_the_neutral_value_or_are_an_error() {
    let x = floats(&[3, 0], 1);
    assert_eq!(values(&sum(&x, &[1], false, None).unwrap()), [0.0; 3]);
    assert_eq!(values(&prod(&x, &[1], false, None).unwrap()), [1.0; 3]);
    assert!(values(&mean(&x, &[], false, None).unwrap())[0].is_nan());
    assert!(values(&var(&x, &[1], false, 1.0).unwrap())[0].is_nan());
    assert_eq!(values(&logsumexp(&x, &[1], false).unwrap()), [f64::NEG_INFINITY; 3]);
    assert_eq!(values(&all(&x, &[1], false).unwrap()), [1.0; 3]);
    assert_eq!(values(&any(&x, &[1], false).unwrap()), [0.0; 3]);
    assert_eq!(sum(&x, &[0], true, None).unwrap().shape(), [1, 0]);
    assert_eq!(amax(&x, &[0], false).unwrap().shape(), [0]);
    assert!(matches!(amax(&x, &[1], false), Err(Error::Index { .. })));
    assert!(matches!(max_dim(&x, 1, false), Err(Error::Index { .. })));
    assert!(matches!(argmax(&x, None, false), Err(Error::Index { .. })));
    assert!(matches!(norm(&x, f64::INFINITY, &[1], false), Err(Error::Index { .. })));
    assert!(matches!(sum(&x, &[2], false, None), Err(Error::Index { .. })));
    assert!(matches!(sum(&x, &[0, -2], false, None), Err(Error::Value { .. })));
}

#[test]
fn infinities_survive_logsumexp() {
    let x = Tensor::from_slice(
        "test",
        &[f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY, 0.0, 1e30, -1e30],
        &[3, 2],
    )
    .unwrap();
    let got = values(&logsumexp(&x, &[1], false).unwrap());
    assert_eq!(got, [f64::NEG_INFINITY, f64::INFINITY, 1e30f32 as f64]);
}

#[test]
fn summing_to_a_shape_undoes_its_broadcast() {
    let x = floats(&[4, 3, 5], 2);
    assert_eq!(sum_to_shape(&x, &[4, 3, 5]).unwrap().shape(), [4, 3, 5]);
    let got = sum_to_shape(&x, &[3, 1]).unwrap();
    assert_eq!(got.shape(), [3, 1]);
    assert_close(&got, groups(&x, &[0, 2]).iter().map(|v| v.iter().sum()).collect(), 1e-5, "[3, 1]");
    assert_eq!(sum_to_shape(&x, &[]).unwrap().shape(), [0usize; 0]);
    assert_eq!(sum_to_shape(&x, &[1, 1, 1]).unwrap().shape(), [1, 1, 1]);
    assert_eq!(sum_to_shape(&floats(&[1, 3], 2), &[3]).unwrap().shape(), [3]);
    assert!(matches!(sum_to_shape(&x, &[2, 5]), Err(Error::Shape { .. })));
    assert!(matches!(sum_to_shape(&x, &[2, 4, 3, 5]), Err(Error::Shape { .. })));
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    let before = crate::parallel::num_threads();
    let runs: Vec<Vec<Vec<f64>>> = [1, 2, 5]
        .into_iter()
        .map(|threads| {
            crate::parallel::set_num_threads(threads);
            cases().iter().map(|(x, axes)| values(&sum(x, axes, false, None).unwrap())).collect()
        })
        .collect();
    crate::parallel::set_num_threads(before);
    assert!(runs[0] == runs[1] && runs[0] == runs[2]);
}

#[test]
fn short_rows_of_every_length_agree_with_float64() {
    for n in (1..=70).chain([100, 127, 128, 511, 1023, 1024, 1025]) {
        let wide = floats(&[37, n + 3], n as u64);
        // Rows that touch, and rows with something between them.
        let apart = wide.with_layout(wide.layout().slice(1, 2, n, 1));
        for x in [copy::contiguous("test", &apart).unwrap(), apart] {
            let rows = groups(&x, &[1]);
            let want = |f: &dyn Fn(&[f64]) -> f64| rows.iter().map(|row| f(row)).collect::<Vec<_>>();
            let close =
                |got: Tensor, f: &dyn Fn(&[f64]) -> f64| assert_close(&got, want(f), 1e-5, &format!("{n}"));
            close(sum(&x, &[1], false, None).unwrap(), &|r| r.iter().sum());
            close(prod(&x, &[1], false, None).unwrap(), &|r| r.iter().product());
            close(amax(&x, &[1], false).unwrap(), &|r| r.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            close(amin(&x, &[1], false).unwrap(), &|r| r.iter().copied().fold(f64::MAX, f64::min));
            close(norm(&x, 2.0, &[1], false).unwrap(), &|r| r.iter().map(|v| v * v).sum::<f64>().sqrt());
            close(logsumexp(&x, &[1], false).unwrap(), &|r| r.iter().map(|v| v.exp()).sum::<f64>().ln());
            close(var(&x, &[1], false, 0.0).unwrap(), &|r| {
                let mean = r.iter().sum::<f64>() / r.len() as f64;
                r.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / r.len() as f64
            });
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_short_row() {
    for n in [1, 3, 4, 8, 15, 33, 71] {
        for at in 0..n {
            let mut v = vec![1.0f32; 20 * n];
            (v[17 * n + at], v[5 * n + at], v[6 * n + at]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
            for infinite in [true, false] {
                if !infinite {
                    (v[5 * n + at], v[6 * n + at]) = (1.0, 1.0);
                }
                let x = Tensor::from_slice("test", &v, &[20, n]).unwrap();
                for (largest, got) in [(true, amax(&x, &[1], false)), (false, amin(&x, &[1], false))] {
                    let pick = |row: &Vec<f64>| match row.iter().any(|v| v.is_nan()) {
                        true => f64::NAN,
                        false if largest => row.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                        false => row.iter().copied().fold(f64::INFINITY, f64::min),
                    };
                    let want: Vec<f64> = groups(&x, &[1]).iter().map(pick).collect();
                    assert_close(&got.unwrap(), want, 0.0, &format!("{n} {at}"));
                }
            }
        }
    }
}
