//! Pooling at the shapes of the course's networks.

use divan::Bencher;
use lectorium::Tensor;
use lectorium::ops::pool::{
    PoolSpec, adaptive_avg_pool2d, adaptive_avg_pool2d_grad, avg_pool2d, avg_pool2d_grad, max_pool2d,
    max_pool2d_grad,
};

fn main() {
    divan::main();
}

/// Side and channels at batch 64.
const SHAPES: &[(usize, usize)] = &[(24, 20), (8, 50), (28, 6), (32, 64)];

fn random(shape: &[usize]) -> Tensor {
    let mut s = 1u64;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (s >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_slice("bench", &values, shape).unwrap()
}

fn overlapping() -> PoolSpec {
    PoolSpec { kernel: [3; 2], stride: [2; 2], padding: [1; 2], ..PoolSpec::square(3) }
}

#[divan::bench(args = SHAPES)]
fn max_2x2(bencher: Bencher, (h, c): (usize, usize)) {
    let x = random(&[64, c, h, h]);
    bencher.bench_local(|| max_pool2d(&x, PoolSpec::square(2)).unwrap());
}

#[divan::bench(args = SHAPES)]
fn max_2x2_grad(bencher: Bencher, (h, c): (usize, usize)) {
    let x = random(&[64, c, h, h]);
    let (y, at) = max_pool2d(&x, PoolSpec::square(2)).unwrap();
    bencher.bench_local(|| max_pool2d_grad(&y, &at, x.shape()).unwrap());
}

#[divan::bench(args = SHAPES)]
fn max_3x3_stride_2(bencher: Bencher, (h, c): (usize, usize)) {
    let x = random(&[64, c, h, h]);
    bencher.bench_local(|| max_pool2d(&x, overlapping()).unwrap());
}

#[divan::bench(args = SHAPES)]
fn average_2x2(bencher: Bencher, (h, c): (usize, usize)) {
    let x = random(&[64, c, h, h]);
    bencher.bench_local(|| avg_pool2d(&x, PoolSpec::square(2), true, None).unwrap());
}

#[divan::bench(args = SHAPES)]
fn average_2x2_grad(bencher: Bencher, (h, c): (usize, usize)) {
    let g = random(&[64, c, h / 2, h / 2]);
    bencher.bench_local(|| avg_pool2d_grad(&g, &[64, c, h, h], PoolSpec::square(2), true, None).unwrap());
}

#[divan::bench(args = SHAPES)]
fn global_average(bencher: Bencher, (h, c): (usize, usize)) {
    let x = random(&[64, c, h, h]);
    bencher.bench_local(|| adaptive_avg_pool2d(&x, [1, 1]).unwrap());
}

#[divan::bench(args = SHAPES)]
fn global_average_grad(bencher: Bencher, (h, c): (usize, usize)) {
    let g = random(&[64, c, 1, 1]);
    bencher.bench_local(|| adaptive_avg_pool2d_grad(&g, &[64, c, h, h]).unwrap());
}
