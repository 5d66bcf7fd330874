use super::*;
use crate::dtype::DType;
use crate::ops::copy;

/// Few distinct values, so that ties occur.
fn values(n: usize, seed: u64) -> Vec<f64> {
    crate::testing::values(n, seed).into_iter().map(|v| (v * 32.0).floor() / 8.0).collect()
}

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

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    to_f64(a).iter().zip(to_f64(b)).map(|(a, b)| a * b).sum()
}

fn close(a: &[f64], b: &[f64], eps: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= eps * (1.0 + b.abs()))
}

fn spec(
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil_mode: bool,
) -> PoolSpec {
    PoolSpec { kernel, stride, padding, dilation, ceil_mode }
}

/// The taps inside the input of every window of a plane, and the window's size with padding.
fn taps([h, w]: [usize; 2], s: &PoolSpec, out: [usize; 2]) -> Vec<(Vec<usize>, usize)> {
    let mut windows = vec![];
    for (i, j) in (0..out[0]).flat_map(|i| (0..out[1]).map(move |j| (i, j))) {
        let (mut inside, mut padded) = (vec![], 0);
        for (a, b) in (0..s.kernel[0]).flat_map(|a| (0..s.kernel[1]).map(move |b| (a, b))) {
            let y = (i * s.stride[0] + a * s.dilation[0]) as isize - s.padding[0] as isize;
            let x = (j * s.stride[1] + b * s.dilation[1]) as isize - s.padding[1] as isize;
            padded += (y < (h + s.padding[0]) as isize && x < (w + s.padding[1]) as isize) as usize;
            if y >= 0 && x >= 0 && (y as usize) < h && (x as usize) < w {
                inside.push(y as usize * w + x as usize);
            }
        }
        windows.push((inside, padded));
    }
    windows
}

fn specs() -> Vec<PoolSpec> {
    let mut all = vec![];
    for ceil in [false, true] {
        all.push(spec([2, 2], [2, 2], [0, 0], [1, 1], ceil));
        all.push(spec([3, 3], [2, 2], [1, 1], [1, 1], ceil));
        all.push(spec([3, 2], [2, 3], [1, 0], [1, 1], ceil));
        all.push(spec([1, 4], [1, 3], [0, 2], [1, 1], ceil));
        all.push(spec([2, 2], [5, 4], [1, 1], [1, 1], ceil));
        all.push(spec([3, 3], [1, 1], [1, 1], [1, 1], ceil));
        all.push(spec([4, 3], [2, 2], [1, 0], [1, 1], ceil));
        all.push(spec([3, 4], [3, 2], [0, 1], [1, 1], ceil));
    }
    all
}

#[test]
fn maxima_and_their_indices_agree_with_a_search_of_each_window() {
    let dilated = [spec([2, 3], [2, 1], [1, 2], [2, 2], false), spec([3, 2], [1, 2], [2, 1], [3, 2], true)];
    for dtype in [DType::F32, DType::F64] {
        for s in specs().into_iter().chain(dilated) {
            for shape in [[2, 3, 9, 11], [1, 2, 8, 20], [3, 1, 7, 37]] {
                let x = random(dtype, &shape, 1);
                let (y, at) = max_pool2d(&x, s).unwrap();
                let out = [y.shape()[2], y.shape()[3]];
                let windows = taps([shape[2], shape[3]], &s, out);
                let (vx, vy, vi) = (to_f64(&x), to_f64(&y), to_f64(&at));
                for (i, (v, index)) in vy.iter().zip(&vi).enumerate() {
                    let plane = &vx[i / windows.len() * shape[2] * shape[3]..];
                    let inside = &windows[i % windows.len()].0;
                    let best = inside.iter().map(|&t| plane[t]).fold(f64::NEG_INFINITY, f64::max);
                    // The first of equal maxima.
                    let first = inside.iter().find(|&&t| plane[t] == best).unwrap();
                    assert_eq!((*v, *index), (best, *first as f64), "{s:?} {shape:?} output {i}");
                }
                // Scatter and gather are adjoint.
                let g = random(dtype, y.shape(), 2);
                let dx = max_pool2d_grad(&g, &at, &shape).unwrap();
                let gathered = max_pool2d_gather(&x, &at).unwrap();
                assert_eq!(to_f64(&gathered), vy);
                assert!((dot(&dx, &x) - dot(&g, &gathered)).abs() < 1e-3);
            }
        }
    }
}

#[test]
fn the_output_sizes_are_those_of_pytorch() {
    let size = |n: usize, s: PoolSpec| output_size("test", [1, 1, n, n], &s).unwrap()[0];
    let of = |k, s, p, d, ceil| spec([k; 2], [s; 2], [p; 2], [d; 2], ceil);
    assert_eq!(size(5, of(2, 2, 0, 1, false)), 2);
    assert_eq!(size(5, of(2, 2, 0, 1, true)), 3);
    assert_eq!(size(7, of(3, 2, 1, 1, true)), 4);
    // The last window would start in the padding behind the input.
    assert_eq!(size(4, of(2, 2, 1, 1, true)), 3);
    assert_eq!(size(6, of(1, 4, 0, 1, true)), 2);
    assert_eq!(size(5, of(1, 3, 0, 1, true)), 2);
    assert_eq!(size(3, of(2, 5, 1, 1, true)), 1);
}

#[test]
fn nan_wins_and_padding_is_minus_infinity() {
    let inf = f64::INFINITY;
    let x = tensor(DType::F32, &[1, 1, 2, 4], &[1.0, f64::NAN, -inf, -inf, 5.0, 2.0, -inf, -inf]);
    let (y, at) = max_pool2d(&x, PoolSpec::square(2)).unwrap();
    let y = to_f64(&y);
    assert!(y[0].is_nan() && y[1] == -inf);
    assert_eq!(to_f64(&at), [1.0, 2.0]);
    let x = tensor(DType::F64, &[1, 1, 2, 2], &[-4.0, -3.0, -2.0, -1.0]);
    let (y, at) = max_pool2d(&x, spec([2, 2], [2, 2], [1, 1], [1, 1], false)).unwrap();
    assert_eq!((to_f64(&y), to_f64(&at)), (vec![-4.0, -3.0, -2.0, -1.0], vec![0.0, 1.0, 2.0, 3.0]));
}

#[test]
fn a_window_that_misses_the_input_passes_no_gradient() {
    let x = tensor(DType::F64, &[1, 1, 1, 1], &[3.0]);
    let s = spec([2, 1], [1, 1], [2, 0], [3, 1], false);
    let (y, at) = max_pool2d(&x, s).unwrap();
    let outside = to_f64(&y).iter().filter(|v| **v == f64::NEG_INFINITY).count();
    let dx =
        max_pool2d_grad(&tensor(DType::F64, y.shape(), &vec![1.0; y.numel()]), &at, &[1, 1, 1, 1]).unwrap();
    assert_eq!(to_f64(&dx), [(y.numel() - outside) as f64]);
}

#[test]
fn averages_agree_with_a_sum_over_each_window() {
    for dtype in [DType::F32, DType::F64] {
        for s in specs() {
            for (include, divisor) in [(true, None), (false, None), (true, Some(3)), (false, Some(-2))] {
                for shape in [[2, 3, 9, 11], [1, 2, 8, 40]] {
                    let x = random(dtype, &shape, 3);
                    let y = avg_pool2d(&x, s, include, divisor).unwrap();
                    let out = [y.shape()[2], y.shape()[3]];
                    let windows = taps([shape[2], shape[3]], &s, out);
                    let vx = to_f64(&x);
                    let expected: Vec<f64> = (0..y.numel())
                        .map(|i| {
                            let plane = &vx[i / windows.len() * shape[2] * shape[3]..];
                            let (inside, padded) = &windows[i % windows.len()];
                            let count = if include { *padded } else { inside.len() };
                            let by = divisor.unwrap_or(count.max(1) as i64);
                            inside.iter().map(|&t| plane[t]).sum::<f64>() / by as f64
                        })
                        .collect();
                    assert!(close(&to_f64(&y), &expected, 1e-6), "{s:?} {include} {divisor:?} {shape:?}");
                    let g = random(dtype, y.shape(), 4);
                    let dx = avg_pool2d_grad(&g, &shape, s, include, divisor).unwrap();
                    let (a, b) = (dot(&dx, &x), dot(&g, &y));
                    assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{s:?}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn adaptive_windows_cover_the_plane_as_pytorchs_do() {
    for (size, out) in
        [([7, 10], [3, 4]), ([4, 5], [4, 5]), ([3, 2], [5, 7]), ([8, 20], [1, 1]), ([6, 6], [2, 3])]
    {
        let shape = [2, 3, size[0], size[1]];
        let x = random(DType::F64, &shape, 5);
        let v = to_f64(&x);
        let (max, at) = adaptive_max_pool2d(&x, out).unwrap();
        let mean = adaptive_avg_pool2d(&x, out).unwrap();
        let (vm, va, vi) = (to_f64(&max), to_f64(&mean), to_f64(&at));
        let edge = |i: usize, a: usize| (i * size[a] / out[a], ((i + 1) * size[a]).div_ceil(out[a]));
        for o in 0..max.numel() {
            let plane = &v[o / (out[0] * out[1]) * size[0] * size[1]..];
            let ((y0, y1), (x0, x1)) = (edge(o / out[1] % out[0], 0), edge(o % out[1], 1));
            let inside: Vec<usize> =
                (y0..y1).flat_map(|y| (x0..x1).map(move |x| (y, x))).map(|(y, x)| y * size[1] + x).collect();
            let best = inside.iter().map(|&i| plane[i]).fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(vm[o], best);
            assert_eq!(vi[o], *inside.iter().find(|&&i| plane[i] == best).unwrap() as f64);
            let total: f64 = inside.iter().map(|&i| plane[i]).sum();
            assert!((va[o] - total / inside.len() as f64).abs() < 1e-12);
        }
        let g = random(DType::F64, mean.shape(), 6);
        let dx = adaptive_avg_pool2d_grad(&g, &shape).unwrap();
        assert!((dot(&dx, &x) - dot(&g, &mean)).abs() < 1e-9);
        let dx = max_pool2d_grad(&g, &at, &shape).unwrap();
        assert!((dot(&dx, &x) - dot(&g, &max)).abs() < 1e-9);
    }
}

#[test]
fn a_global_mean_of_a_large_plane_is_accurate() {
    let shape = [1, 1, 300, 301];
    let x = tensor(DType::F32, &shape, &vec![0.1; 300 * 301]);
    let mean = to_f64(&adaptive_avg_pool2d(&x, [1, 1]).unwrap())[0];
    assert!((mean - 0.1f32 as f64).abs() < 1e-7, "{mean}");
}

#[test]
fn strided_and_empty_inputs_work() {
    let x = random(DType::F32, &[2, 6, 8, 3], 7);
    let nchw = x.with_layout(x.layout().permute(&[0, 3, 1, 2]));
    let dense = copy::clone("test", &nchw).unwrap();
    let s = PoolSpec::square(2);
    assert_eq!(to_f64(&max_pool2d(&nchw, s).unwrap().0), to_f64(&max_pool2d(&dense, s).unwrap().0));
    assert_eq!(
        to_f64(&avg_pool2d(&nchw, s, true, None).unwrap()),
        to_f64(&avg_pool2d(&dense, s, true, None).unwrap())
    );
    for shape in [[0, 3, 4, 4], [2, 0, 4, 4]] {
        let x = Tensor::zeros("test", &shape, DType::F32).unwrap();
        let (y, at) = max_pool2d(&x, s).unwrap();
        assert_eq!(y.shape(), [shape[0], shape[1], 2, 2]);
        assert_eq!(max_pool2d_grad(&y, &at, &shape).unwrap().shape(), shape);
        assert_eq!(max_pool2d_gather(&x, &at).unwrap().numel(), 0);
        let y = avg_pool2d(&x, s, true, None).unwrap();
        assert_eq!(avg_pool2d_grad(&y, &shape, s, true, None).unwrap().shape(), shape);
        assert_eq!(adaptive_avg_pool2d(&x, [3, 3]).unwrap().numel(), 0);
    }
    let x = Tensor::zeros("test", &[1, 2, 4, 4], DType::F32).unwrap();
    assert_eq!(adaptive_avg_pool2d(&x, [0, 3]).unwrap().shape(), [1, 2, 0, 3]);
    assert_eq!(adaptive_max_pool2d(&x, [0, 3]).unwrap().0.shape(), [1, 2, 0, 3]);
}

#[test]
fn errors_say_what_was_expected_and_what_came() {
    let x = Tensor::zeros("test", &[1, 2, 4, 4], DType::F32).unwrap();
    let s = PoolSpec::square(2);
    let words = |s: PoolSpec| max_pool2d(&x, s).err().unwrap().to_string();
    assert_eq!(
        words(PoolSpec { kernel: [0, 2], ..s }),
        "max_pool2d: kernel size must be positive, got [0, 2]"
    );
    assert_eq!(words(PoolSpec { stride: [0, 2], ..s }), "max_pool2d: stride must be positive, got [0, 2]");
    assert_eq!(
        words(PoolSpec { padding: [2, 0], ..s }),
        "max_pool2d: padding should be at most half of the kernel size, got padding 2, kernel size 2 and dilation 1"
    );
    assert_eq!(
        words(PoolSpec::square(5)),
        "max_pool2d: kernel 5x5 (dilation 1, padding [0, 0]) does not fit the input 4x4; use a smaller kernel or a larger input"
    );
    assert!(avg_pool2d(&x, PoolSpec { dilation: [2, 1], ..s }, true, None).is_err());
    assert!(avg_pool2d(&x, s, true, Some(0)).is_err());
    let flat = Tensor::zeros("test", &[4, 4], DType::F32).unwrap();
    assert_eq!(
        max_pool2d(&flat, s).err().unwrap().to_string(),
        "max_pool2d: expected an input with 4 axes, got [4, 4]"
    );
    let long = Tensor::zeros("test", &[1, 1, 4, 4], DType::I64).unwrap();
    assert!(matches!(max_pool2d(&long, s), Err(Error::DType { .. })));
    let none = Tensor::zeros("test", &[1, 1, 0, 4], DType::F32).unwrap();
    assert!(max_pool2d(&none, s).is_err() && adaptive_avg_pool2d(&none, [1, 1]).is_err());
    for huge in [usize::MAX, usize::MAX / 2, usize::MAX / 4] {
        for s in [
            PoolSpec { kernel: [huge; 2], ..s },
            PoolSpec { stride: [huge; 2], ..s },
            PoolSpec { padding: [huge; 2], ..s },
            PoolSpec { dilation: [huge; 2], ..s },
        ] {
            assert!(max_pool2d(&x, s).is_err());
        }
        assert!(adaptive_avg_pool2d(&x, [huge; 2]).is_err());
    }
    let (y, at) = max_pool2d(&x, s).unwrap();
    let outside = Tensor::from_slice("test", &[99i64; 8], y.shape()).unwrap();
    let expected = "index 99 lies outside the plane 4x4, expected 0 to 15";
    assert_eq!(
        max_pool2d_grad(&y, &outside, x.shape()).err().unwrap().to_string(),
        format!("max_pool2d_grad: {expected}")
    );
    assert_eq!(
        max_pool2d_gather(&x, &outside).err().unwrap().to_string(),
        format!("max_pool2d_gather: {expected}")
    );
    assert!(matches!(max_pool2d_grad(&y, &y, x.shape()), Err(Error::DType { .. })));
    assert!(max_pool2d_grad(&y, &at, &[1, 3, 4, 4]).is_err());
    assert!(avg_pool2d_grad(&x, x.shape(), s, true, None).is_err());
}

#[test]
fn offsets_give_the_gradients_of_indices_in_both_orders_of_memory() {
    for (spec, c) in specs().into_iter().flat_map(|s| [3, 5, 17, 40].map(|c| (s, c))) {
        let x = random(DType::F32, &[2, c, 7, 9], c as u64);
        let (values, indices) = max_pool2d(&x, spec).unwrap();
        let g = random(DType::F32, values.shape(), 9);
        let want = to_f64(&max_pool2d_grad(&g, &indices, x.shape()).unwrap());
        let back = to_f64(&max_pool2d_gather(&x, &indices).unwrap());
        let last = |t: &Tensor| Tensor::from_channels_last(t.to_channels_last("test").unwrap(), t.shape());
        for (x, g) in [(x.clone(), g.clone()), (last(&x), last(&g))] {
            let (found, offsets) = max_pool2d_offsets(&x, spec).unwrap();
            assert_eq!(found.channels_last().is_some(), x.channels_last().is_some());
            let dx = max_pool2d_offsets_grad(&g, &offsets, x.shape(), spec).unwrap();
            assert_eq!(to_f64(&dx), want);
            assert_eq!(to_f64(&found), to_f64(&values));
            assert_eq!(to_f64(&max_pool2d_offsets_gather(&x, &offsets, spec).unwrap()), back);
        }
    }
}
