//! The GPU's kernels against float64 on the CPU, on whatever adapter there is (Mesa's software
//! driver will do). Without one each test skips and says so; under `LECTORIUM_CI=1` it fails.
#![cfg(feature = "gpu")]

use lectorium::dtype::Bool;
use lectorium::layout::{Layout, broadcast_shapes};
use lectorium::{DType, Error, Tensor, gpu};
use std::process::Command;

/// Whether to run; prints why not.
fn ready(test: &str) -> bool {
    if gpu::is_available() {
        return true;
    }
    let why = gpu::upload("to", &Tensor::zeros("t", &[1], DType::F32).unwrap()).err().expect("an error");
    assert_ne!(std::env::var("LECTORIUM_CI").as_deref(), Ok("1"), "CI must have an adapter: {why}");
    eprintln!("{test} skipped: {why}");
    false
}

macro_rules! needs_gpu {
    () => {
        if !ready(std::thread::current().name().unwrap_or("test")) {
            return;
        }
    };
}

/// Values in -1..1 that have no pattern a wrong stride could hide in.
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2654435761).wrapping_add(12345);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

fn cpu(shape: &[usize], seed: u32) -> Tensor {
    Tensor::from_slice("t", &noise(shape.iter().product(), seed), shape).unwrap()
}

fn up(t: &Tensor) -> Tensor {
    gpu::upload("to", t).unwrap()
}

/// A vector on the device.
fn vector<T: lectorium::Element>(values: &[T]) -> Tensor {
    up(&Tensor::from_slice("t", values, &[values.len()]).unwrap())
}

/// The elements in row-major order, in float64, of a tensor on the device or the CPU.
fn values(t: &Tensor) -> Vec<f64> {
    let t = gpu::download("to", t).unwrap();
    let t = lectorium::ops::copy::cast("t", &t, DType::F64).unwrap();
    let t = lectorium::ops::copy::contiguous("t", &t).unwrap();
    // SAFETY: nobody else has this copy.
    unsafe { t.as_slice::<f64>() }.to_vec()
}

/// A CPU tensor and its copy on the device.
fn pair(shape: &[usize], seed: u32) -> (Tensor, Tensor) {
    let t = cpu(shape, seed);
    let g = up(&t);
    (t, g)
}

/// The same view of both.
fn view(pair: &(Tensor, Tensor), f: impl Fn(&Layout) -> Layout) -> (Tensor, Tensor) {
    (pair.0.with_layout(f(pair.0.layout())), pair.1.with_layout(f(pair.1.layout())))
}

/// The views that tests run on: transposed, stepped, reversed, expanded, with an offset.
fn views() -> Vec<(Tensor, Tensor)> {
    let base = pair(&[6, 5, 8], 7);
    vec![
        view(&base, |l| l.clone()),
        view(&base, |l| l.permute(&[2, 0, 1])),
        view(&base, |l| l.slice(2, 1, 3, 2).slice(0, 1, 4, 1)),
        view(&base, |l| l.slice(1, 4, 5, -1).slice(2, 7, 4, -2)),
        view(&base, |l| l.select(1, 2)),
        view(&base, |l| l.slice(1, 3, 1, 1).slice(0, 2, 1, 1).broadcast_to("t", &[3, 6, 9, 8]).unwrap()),
        view(&base, |l| l.select(0, 5).select(0, 4).select(0, 7)),
    ]
}

fn close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{what}: element {i} is {g}, expected {w}");
    }
}

/// `f` of the elements of two tensors, broadcast.
fn broadcast(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let shape = broadcast_shapes("t", a.shape(), b.shape()).unwrap();
    let wide = |t: &Tensor| values(&t.with_layout(t.layout().broadcast_to("t", &shape).unwrap()));
    wide(a).iter().zip(wide(b)).map(|(&x, y)| f(x, y)).collect()
}

/// Runs one test of this file in a process of its own with a variable set.
fn rerun(test: &str, name: &str, value: &str) {
    let out = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(name, value)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn every_dtype_that_the_device_keeps_comes_back_as_it_went() {
    needs_gpu!();
    let f = [0.0f32, -0.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE / 4.0, -1.5];
    let back = gpu::download("to", &up(&Tensor::from_slice("t", &f, &[2, 3]).unwrap())).unwrap();
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(back.shape(), &[2, 3]);
    // SAFETY: here and below, nobody else has the downloaded tensors.
    assert_eq!(bits(unsafe { back.as_slice::<f32>() }), bits(&f));
    let i = [i32::MIN, -1, 0, i32::MAX];
    let back = gpu::download("to", &vector(&i)).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { back.as_slice::<i32>() }, &i);
    let l = i.map(i64::from);
    let on_gpu = vector(&l);
    assert_eq!((on_gpu.dtype(), on_gpu.device().name()), (DType::I64, "gpu"));
    let last = on_gpu.with_layout(on_gpu.layout().slice(0, 3, 2, -2));
    assert_eq!(values(&last), [i32::MAX as f64, -1.0]);
    let back = gpu::download("to", &on_gpu).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { back.as_slice::<i64>() }, &l);
    let b = [Bool(1), Bool(0), Bool(1)];
    let back = gpu::download("to", &vector(&b)).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { back.as_slice::<Bool>() }, &b);
}

#[test]
fn what_the_device_does_not_keep_is_an_error_with_a_way_out() {
    needs_gpu!();
    let e = gpu::upload("to", &Tensor::zeros("t", &[2], DType::F64).unwrap()).err().expect("an error");
    assert!(
        matches!(&e, Error::DType { op: "to", msg } if msg.contains("float64") && msg.contains(".float()")),
        "{e}"
    );
    for dtype in [DType::U8, DType::I8, DType::I16, DType::F16, DType::BF16] {
        let e = gpu::upload("to", &Tensor::zeros("t", &[2], dtype).unwrap()).err().expect("an error");
        assert!(matches!(e, Error::DType { .. }), "{e}");
    }
    let e =
        gpu::upload("to", &Tensor::from_slice("t", &[0i64, 1 << 31], &[2]).unwrap()).err().expect("an error");
    assert!(matches!(&e, Error::Value { msg, .. } if msg.contains("2147483648")), "{e}");
}

#[test]
fn strided_and_expanded_views_come_back_row_major() {
    needs_gpu!();
    for (t, g) in views() {
        assert_eq!(values(&g), values(&t), "{:?}", t.layout());
        let c = gpu::contiguous("contiguous", &g).unwrap();
        assert!(c.is_contiguous() && c.shape() == t.shape());
        assert_eq!(values(&c), values(&t));
    }
    // A strided tensor also goes up.
    let t = cpu(&[4, 6], 3);
    let t = t.with_layout(t.layout().permute(&[1, 0]).slice(0, 5, 3, -2));
    assert_eq!(values(&up(&t)), values(&t));
}

#[test]
fn binary_operations_broadcast_over_any_strides() {
    needs_gpu!();
    type Scalar = fn(f64, f64) -> f64;
    let ops: [(&'static str, Scalar); 4] =
        [("add", |x, y| x + y), ("sub", |x, y| x - y), ("mul", |x, y| x * y), ("div", |x, y| x / y)];
    let others = [pair(&[], 21), pair(&[1], 22), pair(&[8], 23), pair(&[5, 1], 24)];
    for (op, f) in ops {
        for (t, g) in views() {
            for (u, h) in others.iter().cloned().chain([(t.clone(), g.clone())]) {
                let Ok(shape) = broadcast_shapes("t", t.shape(), u.shape()) else {
                    assert!(matches!(gpu::binary(op, &g, &h), Err(Error::Shape { .. })));
                    continue;
                };
                let r = gpu::binary(op, &g, &h).unwrap();
                assert_eq!((r.shape(), r.dtype(), r.device().name()), (&shape[..], DType::F32, "gpu"));
                let what = format!("{op} {:?} {:?}", t.layout(), u.layout());
                close(&values(&r), &broadcast(&t, &u, f), 1e-6, &what);
            }
        }
    }
}

#[test]
fn dtypes_promote_as_on_the_cpu_and_int64_arithmetic_is_refused() {
    needs_gpu!();
    let f = vector(&[0.5f32, -2.0, 3.0]);
    let i = vector(&[7i32, -8, i32::MAX]);
    let l = vector(&[7i64, -8, 1]);
    let b = vector(&[Bool(1), Bool(0), Bool(1)]);
    let run = |op: &'static str, x: &Tensor, y: &Tensor| {
        let r = gpu::binary(op, x, y).unwrap();
        (r.dtype(), values(&r))
    };
    assert_eq!(run("mul", &f, &l), (DType::F32, vec![3.5, 16.0, 3.0]));
    assert_eq!(run("add", &b, &f), (DType::F32, vec![1.5, -2.0, 4.0]));
    assert_eq!(run("add", &i, &b), (DType::I32, vec![8.0, -8.0, i32::MIN as f64]));
    assert_eq!(run("mul", &i, &i), (DType::I32, vec![49.0, 64.0, 1.0]));
    assert_eq!(run("div", &l, &l), (DType::F32, vec![1.0; 3]));
    assert_eq!(run("add", &b, &b), (DType::Bool, vec![1.0, 0.0, 1.0]));
    assert_eq!(run("mul", &b, &b), (DType::Bool, vec![1.0, 0.0, 1.0]));
    for (op, x, y) in [("add", &l, &l), ("mul", &l, &i), ("sub", &b, &b)] {
        assert!(matches!(gpu::binary(op, x, y), Err(Error::DType { .. })));
    }
}

#[test]
fn relu_keeps_nan_and_every_view() {
    needs_gpu!();
    for (t, g) in views() {
        let want: Vec<f64> = values(&t).iter().map(|x| x.max(0.0)).collect();
        assert_eq!(values(&gpu::unary("relu", &g).unwrap()), want);
    }
    let odd = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-40, -1e-40];
    let r = gpu::download("to", &gpu::unary("relu", &vector(&odd)).unwrap()).unwrap();
    // SAFETY: nobody else has this copy.
    let r = unsafe { r.as_slice::<f32>() };
    assert!(r[0].is_nan() && r[1].is_nan());
    // Denormals too: no float arithmetic touches them.
    assert_eq!(r[2..], [f32::INFINITY, 0.0, 0.0, 1e-40, 0.0]);
    assert_eq!(values(&gpu::unary("relu", &vector(&[-3i32, 0, 4])).unwrap()), [0.0, 0.0, 4.0]);
    assert!(matches!(gpu::unary("relu", &vector(&[Bool(1)])), Err(Error::DType { op: "relu", .. })));
}

#[test]
fn nan_and_infinity_travel_through_arithmetic() {
    needs_gpu!();
    let x = vector(&[f32::NAN, f32::INFINITY, f32::INFINITY, 1.0]);
    let y = vector(&[1.0, f32::NEG_INFINITY, 2.0, f32::NAN]);
    let r = values(&gpu::binary("add", &x, &y).unwrap());
    assert!(r[0].is_nan() && r[1].is_nan() && r[2] == f64::INFINITY && r[3].is_nan(), "{r:?}");
}

/// The sum over some axes in float64.
fn naive_sum(t: &Tensor, axes: &[usize]) -> Vec<f64> {
    let shape = t.shape();
    let kept: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).collect();
    let mut out = vec![0.0; kept.iter().map(|&a| shape[a]).product()];
    for (i, v) in values(t).into_iter().enumerate() {
        let (mut rest, mut index) = (i, vec![0; shape.len()]);
        for axis in (0..shape.len()).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        out[kept.iter().fold(0, |o, &a| o * shape[a] + index[a])] += v;
    }
    out
}

#[test]
fn sum_takes_any_axes_of_any_view() {
    needs_gpu!();
    for (t, g) in views() {
        let n = t.ndim();
        for mask in 1..1usize << n {
            let axes: Vec<usize> = (0..n).filter(|a| mask >> a & 1 == 1).collect();
            // Half of them counted from the end.
            let signed: Vec<isize> =
                axes.iter().map(|&a| if a % 2 == 0 { a as isize } else { a as isize - n as isize }).collect();
            let r = gpu::sum(&g, &signed, false).unwrap();
            let what = format!("sum {axes:?} of {:?}", t.layout());
            close(&values(&r), &naive_sum(&t, &axes), 1e-5, &what);
            let kept: Vec<usize> = (0..n).map(|a| if axes.contains(&a) { 1 } else { t.shape()[a] }).collect();
            assert_eq!(gpu::sum(&g, &signed, true).unwrap().shape(), &kept[..]);
        }
        let all = gpu::sum(&g, &[], false).unwrap();
        assert_eq!(all.ndim(), 0);
        close(&values(&all), &[values(&t).iter().sum()], 1e-5, "sum of all");
    }
}

#[test]
fn long_sums_are_accurate_in_each_direction() {
    needs_gpu!();
    let n = 1_000_003;
    let want = 0.1f32 as f64 * n as f64;
    let got = values(&gpu::sum(&vector(&vec![0.1f32; n]), &[], false).unwrap())[0];
    assert!((got - want).abs() / want < 1e-6, "{got} {want}");
    let matrix = pair(&[3001, 37], 5);
    for (t, g) in [view(&matrix, |l| l.clone()), view(&matrix, |l| l.permute(&[1, 0]))] {
        for axis in 0..2 {
            let r = gpu::sum(&g, &[axis as isize], false).unwrap();
            close(&values(&r), &naive_sum(&t, &[axis]), 3e-6, "sum of a matrix");
        }
    }
}

/// The product of matrices given as (batch, rows, columns), in float64.
fn naive_matmul(a: &[f64], b: &[f64], batches: usize, m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut out = vec![0.0; batches * m * n];
    for z in 0..batches {
        for i in 0..m {
            for j in 0..n {
                out[(z * m + i) * n + j] =
                    (0..k).map(|l| a[(z * m + i) * k + l] * b[(z * k + l) * n + j]).sum::<f64>();
            }
        }
    }
    out
}

#[test]
fn matmul_takes_ragged_sizes_and_transposes() {
    needs_gpu!();
    let matrix = |rows: usize, cols: usize, transposed: bool, seed| {
        if transposed {
            view(&pair(&[cols, rows], seed), |l| l.permute(&[1, 0]))
        } else {
            pair(&[rows, cols], seed)
        }
    };
    let sizes =
        [(1, 1, 1), (3, 5, 2), (64, 16, 64), (65, 17, 66), (128, 100, 127), (2, 128, 1), (1, 33, 128)];
    for (m, k, n) in sizes {
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let ((a, ga), (b, gb)) = (matrix(m, k, ta, 31), matrix(k, n, tb, 32));
            let r = gpu::matmul(&ga, &gb).unwrap();
            assert_eq!(r.shape(), &[m, n]);
            let want = naive_matmul(&values(&a), &values(&b), 1, m, k, n);
            close(&values(&r), &want, 1e-5, &format!("{m}x{k} by {k}x{n}, transposed {ta} {tb}"));
        }
    }
}

#[test]
fn matmul_broadcasts_batches_and_takes_vectors() {
    needs_gpu!();
    let (m, k, n) = (5, 7, 6);
    for (x, y, batch) in [
        (&[3][..], &[3][..], &[3][..]),
        (&[2, 1][..], &[4][..], &[2, 4][..]),
        (&[][..], &[2, 3][..], &[2, 3][..]),
        (&[2, 1, 3][..], &[1, 2, 1][..], &[2, 2, 3][..]),
    ] {
        let (a, ga) = pair(&[x, &[m, k][..]].concat(), 41);
        let (b, gb) = pair(&[y, &[k, n][..]].concat(), 42);
        let r = gpu::matmul(&ga, &gb).unwrap();
        assert_eq!(r.shape(), &[batch, &[m, n][..]].concat()[..]);
        let wide = |t: &Tensor, tail: [usize; 2]| {
            values(&t.with_layout(t.layout().broadcast_to("t", &[batch, &tail[..]].concat()).unwrap()))
        };
        let want = naive_matmul(&wide(&a, [m, k]), &wide(&b, [k, n]), batch.iter().product(), m, k, n);
        close(&values(&r), &want, 1e-5, "batched matmul");
    }
    let ((v, gv), (b, gb), (u, gu)) = (pair(&[k], 43), pair(&[2, k, n], 44), pair(&[k], 45));
    let r = gpu::matmul(&gv, &gb).unwrap();
    assert_eq!(r.shape(), &[2, n]);
    let want = naive_matmul(&[values(&v), values(&v)].concat(), &values(&b), 2, 1, k, n);
    close(&values(&r), &want, 1e-5, "vector by matrices");
    let transposed = gb.with_layout(gb.layout().permute(&[0, 2, 1]));
    let r = gpu::matmul(&transposed, &gv).unwrap();
    assert_eq!(r.shape(), &[2, n]);
    close(&values(&r), &want, 1e-5, "matrices by vector");
    let dot = gpu::matmul(&gv, &gu).unwrap();
    assert_eq!(dot.ndim(), 0);
    close(&values(&dot), &naive_matmul(&values(&v), &values(&u), 1, 1, k, 1), 1e-5, "dot");
}

#[test]
fn an_infinity_spoils_only_its_own_row() {
    needs_gpu!();
    let mut a = noise(3 * 5, 1);
    a[4] = f32::INFINITY;
    let a = up(&Tensor::from_slice("t", &a, &[3, 5]).unwrap());
    let b = up(&Tensor::from_slice("t", &[1.0f32; 5 * 2], &[5, 2]).unwrap());
    let r = values(&gpu::matmul(&a, &b).unwrap());
    assert_eq!(r[..2], [f64::INFINITY; 2]);
    assert!(r[2..].iter().all(|v| v.is_finite()));
}

#[test]
fn empty_tensors_are_ordinary_ones() {
    needs_gpu!();
    let e = up(&cpu(&[0, 3], 1));
    assert_eq!((e.shape(), e.device().name()), (&[0, 3][..], "gpu"));
    assert_eq!(gpu::download("to", &e).unwrap().shape(), &[0, 3]);
    assert_eq!(gpu::binary("add", &e, &up(&cpu(&[3], 2))).unwrap().shape(), &[0, 3]);
    assert_eq!(gpu::unary("relu", &e).unwrap().numel(), 0);
    assert_eq!(values(&gpu::sum(&e, &[0], false).unwrap()), [0.0; 3]);
    assert_eq!(gpu::sum(&e, &[1], false).unwrap().shape(), &[0]);
    assert_eq!(values(&gpu::sum(&e, &[], false).unwrap()), [0.0]);
    let r = gpu::matmul(&up(&cpu(&[4, 0], 1)), &e).unwrap();
    assert_eq!((r.shape(), values(&r)), (&[4, 3][..], vec![0.0; 12]));
    let b = up(&cpu(&[4, 2], 1));
    assert_eq!(gpu::matmul(&up(&cpu(&[0, 4], 1)), &b).unwrap().shape(), &[0, 2]);
    assert_eq!(gpu::matmul(&up(&cpu(&[0, 2, 4], 1)), &b).unwrap().shape(), &[0, 2, 2]);
}

#[test]
fn wrong_arguments_are_errors_that_name_the_operation() {
    needs_gpu!();
    let (t, g) = pair(&[2, 3], 1);
    let e = gpu::binary("add", &g, &t).err().expect("an error");
    assert!(
        matches!(&e, Error::Device { op: "add", msg } if msg.contains("the second one on the cpu")),
        "{e}"
    );
    let e = gpu::matmul(&g, &g).err().expect("an error");
    assert!(matches!(&e, Error::Shape { op: "matmul", msg } if msg.contains("[2, 3]")), "{e}");
    assert!(matches!(gpu::matmul(&g, &up(&cpu(&[], 1))), Err(Error::Shape { .. })));
    assert!(matches!(gpu::sum(&g, &[2], false), Err(Error::Index { op: "sum", .. })));
    assert!(matches!(gpu::sum(&g, &[0, -2], false), Err(Error::Value { op: "sum", .. })));
    // Any operation without a kernel names itself and the way out.
    let copied = lectorium::ops::copy::clone("clone", &g);
    for (name, r) in [("pow", gpu::binary("pow", &g, &g)), ("exp", gpu::unary("exp", &g)), ("clone", copied)]
    {
        let e = r.err().expect("an error");
        let Error::Device { op, msg } = &e else { panic!("{e}") };
        assert!(*op == name && msg.contains("no GPU kernel") && msg.contains(".to(\"cpu\")"), "{e}");
    }
    let i = vector(&[1i32, 2]);
    assert!(matches!(gpu::sum(&i, &[], false), Err(Error::DType { op: "sum", .. })));
    assert!(matches!(gpu::matmul(&i, &i), Err(Error::DType { op: "matmul", .. })));
}

#[test]
fn what_no_buffer_can_hold_is_a_memory_error_and_harms_nothing() {
    needs_gpu!();
    let (t, g) = pair(&[1], 1);
    let wide = |n: usize| g.with_layout(g.layout().broadcast_to("t", &[n]).unwrap());
    for n in [1 << 31, 1usize << 40] {
        let e = gpu::unary("relu", &wide(n)).err().expect("an error");
        assert!(matches!(&e, Error::Memory { op: "relu", .. }), "{e}");
    }
    // Beyond one buffer of the software driver, and of many others.
    if let Err(e) = gpu::unary("relu", &wide(1 << 30)) {
        assert!(matches!(&e, Error::Memory { op: "relu", msg } if msg.contains("4294967296 bytes")), "{e}");
    }
    assert!(matches!(gpu::sum(&wide(1 << 33), &[], false), Err(Error::Memory { .. })));
    assert_eq!(values(&g), values(&t));
    // An expanded tensor takes no memory, and is summed where it lies.
    let n = 1 << 20;
    close(&values(&gpu::sum(&wide(n), &[], false).unwrap()), &[values(&t)[0] * n as f64], 1e-6, "expanded");
}

#[test]
fn too_many_strided_axes_are_an_error() {
    needs_gpu!();
    let shape = [2; 9];
    let (_, g) = view(&pair(&[3; 9], 1), |l| (0..9).fold(l.clone(), |l, axis| l.slice(axis, 0, 2, 1)));
    assert_eq!(g.shape(), &shape);
    let e = gpu::unary("relu", &g).err().expect("an error");
    assert!(matches!(&e, Error::Shape { op: "relu", msg } if msg.contains("at most 8 axes, got 9")), "{e}");
    // As many axes as one likes merge where memory allows it.
    let (t, g) = pair(&shape, 2);
    assert_eq!(values(&gpu::binary("add", &g, &g).unwrap()), broadcast(&t, &t, |x, y| x + y));
}

#[test]
fn more_elements_than_one_axis_of_workgroups_are_all_reached() {
    needs_gpu!();
    let n = 65535 * 256 + 300;
    let (_, g) = pair(&[1], 9);
    let wide = g.with_layout(g.layout().broadcast_to("t", &[n]).unwrap());
    let zero = gpu::binary("sub", &wide, &wide).unwrap();
    let ones = gpu::binary("add", &zero, &vector(&[1.0f32])).unwrap();
    assert_eq!(values(&gpu::sum(&ones, &[], false).unwrap()), [n as f64]);
    let last = ones.with_layout(ones.layout().slice(0, n - 3, 3, 1));
    assert_eq!(values(&last), [1.0; 3]);
}

#[test]
fn several_threads_use_the_device_at_once() {
    needs_gpu!();
    let (other, shared) = pair(&[64], 1);
    std::thread::scope(|s| {
        for seed in 0..8 {
            let (other, shared) = (&other, &shared);
            s.spawn(move || {
                let (t, g) = pair(&[64], 100 + seed);
                let want = broadcast(&t, other, |x, y| x + 40.0 * y);
                for _ in 0..5 {
                    let mut r = g.clone();
                    for _ in 0..40 {
                        r = gpu::binary("add", &r, shared).unwrap();
                    }
                    close(&values(&r), &want, 1e-4, "threads");
                    if seed % 3 == 0 {
                        gpu::synchronize().unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn uploads_between_operations_do_not_overtake_them() {
    needs_gpu!();
    // Buffers of dropped tensors are written again at once; pending work must not see it.
    let mut total = vector(&[0.0f32; 64]);
    for i in 1..=100 {
        total = gpu::binary("add", &total, &vector(&[i as f32; 64])).unwrap();
    }
    assert_eq!(values(&total), [5050.0; 64]);
}

// Counters are of the whole process, so these run in one of their own.

#[test]
#[ignore = "runs by way of the_encoder_and_the_pool_do_little_work"]
fn counters_alone() {
    needs_gpu!();
    let one = vector(&[1.0f32; 128]);
    let mut x = vector(&[0.0f32; 128]);
    assert_eq!((gpu::stats().dispatches, gpu::stats().submits), (0, 0), "uploads wait as well");
    for _ in 0..300 {
        x = gpu::binary("add", &x, &one).unwrap();
    }
    assert_eq!(values(&x), [300.0; 128]);
    let s = gpu::stats();
    assert_eq!((s.dispatches, s.flushes), (300, 2), "{s:?}");
    assert!(s.submits <= 2, "{s:?}");
    // Two uploads, two buffers in turn for the chain and one for readback.
    assert!(s.created <= 5 && s.reused >= 290, "{s:?}");
    assert_eq!(s.allocated, 2 * 512, "{s:?}");
    drop((x, one));
    let s = gpu::stats();
    assert_eq!((s.allocated, s.cached), (0, s.created * 512), "{s:?}");
    // A thousand rounds later memory is where it was: uploads of one flush need their own buffers,
    // those of the next take them over.
    for i in 0..1000 {
        drop(gpu::unary("relu", &up(&cpu(&[100], i))).unwrap());
    }
    gpu::synchronize().unwrap();
    let s = gpu::stats();
    assert_eq!(s.allocated, 0, "{s:?}");
    assert!(s.cached <= 300 * 512, "{s:?}");
    for i in 0..1000 {
        drop(up(&cpu(&[100], i)));
        gpu::synchronize().unwrap();
    }
    assert_eq!(gpu::stats().created, s.created);
    assert_eq!(gpu::stats().submits, s.submits + 1000);
    // With nothing to do nothing is submitted.
    gpu::synchronize().unwrap();
    assert_eq!(gpu::stats().submits, s.submits + 1000);
}

#[test]
fn the_encoder_and_the_pool_do_little_work() {
    needs_gpu!();
    rerun("counters_alone", "RUST_TEST_THREADS", "1");
}

#[test]
#[ignore = "runs by way of parameters_also_travel_in_a_uniform_buffer"]
fn counters_of_uniforms() {
    needs_gpu!();
    let one = vector(&[1.0f32; 128]);
    let mut x = one.clone();
    for _ in 0..600 {
        x = gpu::binary("add", &x, &one).unwrap();
    }
    assert_eq!(values(&x), [601.0; 128]);
    assert_eq!(gpu::stats().submits, 3);
}

#[test]
fn parameters_also_travel_in_a_uniform_buffer() {
    needs_gpu!();
    for test in [
        "binary_operations_broadcast_over_any_strides",
        "sum_takes_any_axes_of_any_view",
        "matmul_broadcasts_batches_and_takes_vectors",
        "counters_of_uniforms",
    ] {
        rerun(test, "LECTORIUM_GPU_IMMEDIATES", "off");
    }
}

#[test]
#[ignore = "runs by way of a_variable_turns_the_device_off"]
fn turned_off() {
    assert!(!gpu::is_available());
    assert_eq!(gpu::adapter_name(), None);
    let e = gpu::upload("to", &cpu(&[2], 1)).err().expect("an error");
    assert!(matches!(&e, Error::Device { op: "to", msg } if msg.contains("LECTORIUM_GPU=off")), "{e}");
    gpu::synchronize().unwrap();
    assert_eq!(gpu::stats(), gpu::Stats::default());
}

#[test]
fn a_variable_turns_the_device_off() {
    rerun("turned_off", "LECTORIUM_GPU", "off");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs by way of without_a_driver_there_is_no_device_and_a_hint"]
fn no_driver() {
    assert!(!gpu::is_available());
    let e = gpu::upload("to", &cpu(&[2], 1)).err().expect("an error");
    assert!(matches!(&e, Error::Device { op: "to", msg } if msg.contains("mesa-vulkan-drivers")), "{e}");
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_driver_there_is_no_device_and_a_hint() {
    rerun("no_driver", "VK_ICD_FILENAMES", "/nonexistent.json");
}

#[cfg(unix)]
#[test]
#[ignore = "runs by way of a_forked_child_gets_an_error_and_no_hang"]
fn forked() {
    needs_gpu!();
    let (t, g) = pair(&[4], 1);
    // Pending work and live tensors at the moment of the fork.
    let r = gpu::unary("relu", &g).unwrap();
    // SAFETY: the child calls only what the test is about, and leaves by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = |e: Error| matches!(&e, Error::Device { msg, .. } if msg.contains("fork") && msg.contains("spawn"));
        let fine = !gpu::is_available()
            && gpu::upload("to", &t).is_err_and(told)
            && gpu::download("to", &r).is_err_and(told)
            && gpu::binary("add", &r, &g).is_err_and(told)
            && gpu::synchronize().is_err_and(told)
            && gpu::stats() == gpu::Stats::default();
        drop((r, g));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(if fine { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0);
    assert_eq!(values(&r), values(&t).iter().map(|v| v.max(0.0)).collect::<Vec<_>>());
}

#[cfg(unix)]
#[test]
fn a_forked_child_gets_an_error_and_no_hang() {
    needs_gpu!();
    rerun("forked", "RUST_TEST_THREADS", "1");
}
