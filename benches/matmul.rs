//! Matrix products of the sizes that models have, beside the `matrixmultiply` crate's.
//!
//! `cargo bench -p lectorium --bench matmul`; both sides on the threads that `LECTORIUM_NUM_THREADS`
//! and `MATMUL_NUM_THREADS` give them.

use divan::Bencher;
use divan::counter::ItemsCount;
use lectorium::ops::matmul::{Epilogue, Output, PackedB, Strided, addmm_bias, gemm, gemm_prepacked, matmul};
use lectorium::{DType, Scalar, Tensor, ops::copy};

/// M, N, K, and whether A and B are seen transposed.
type Shape = (usize, usize, usize, bool, bool);

const SHAPES: &[Shape] = &[
    (16, 16, 16, false, false),
    (32, 32, 32, false, false),
    (64, 64, 64, false, false),
    (128, 128, 128, false, false),
    (256, 256, 256, false, false),
    (512, 512, 512, false, false),
    (1024, 1024, 1024, false, false),
    // LeNet's linear layer: forward, gradient of the input, gradient of the weight.
    (64, 500, 2450, false, true),
    (64, 2450, 500, false, false),
    (500, 2450, 64, true, false),
    // A perceptron's.
    (128, 512, 784, false, true),
    (128, 784, 512, false, false),
    (512, 784, 128, true, false),
    // One row, and few.
    (1, 1000, 512, false, true),
    (1, 1000, 512, false, false),
    (4, 512, 512, false, true),
    (64, 10, 128, false, true),
];

fn main() {
    divan::main();
}

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5).collect()
}

fn strides(rows: usize, cols: usize, transposed: bool) -> (isize, isize) {
    if transposed { (1, rows as isize) } else { (cols as isize, 1) }
}

fn operations((m, n, k, ..): Shape) -> ItemsCount {
    ItemsCount::new(2 * m * n * k)
}

#[divan::bench(args = SHAPES, max_time = 0.3)]
fn ours(bencher: Bencher, &shape: &Shape) {
    let (m, n, k, ta, tb) = shape;
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0f32; m * n]);
    let ((rsa, csa), (rsb, csb)) = (strides(m, k, ta), strides(k, n, tb));
    bencher.counter(operations(shape)).bench_local(|| {
        // SAFETY: the vectors hold m x k, k x n and m x n elements.
        unsafe {
            gemm(m, n, k, 1.0, a.as_ptr(), rsa, csa, b.as_ptr(), rsb, csb, 0.0, c.as_mut_ptr(), n as isize, 1)
        }
    });
}

#[divan::bench(args = SHAPES, max_time = 0.3)]
fn ours_prepacked(bencher: Bencher, &shape: &Shape) {
    let (m, n, k, ta, tb) = shape;
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0f32; m * n]);
    let ((rsa, csa), (rsb, csb)) = (strides(m, k, ta), strides(k, n, tb));
    // SAFETY: `b` holds k x n elements.
    let packed =
        unsafe { PackedB::new("bench", &Strided { ptr: b.as_ptr(), line: csb, k: rsb }, k, n) }.unwrap();
    let left = Strided { ptr: a.as_ptr(), line: rsa, k: csa };
    let (ptr, rs) = (c.as_mut_ptr(), n as isize);
    let out = Output { alpha: 1.0, beta: 0.0, ptr, rs, cs: 1, epilogue: Epilogue::NONE };
    bencher.counter(operations(shape)).bench_local(|| {
        // SAFETY: as above, for m x k and m x n elements.
        unsafe { gemm_prepacked(m, &left, &packed, out) }
    });
}

#[divan::bench(args = SHAPES, max_time = 0.3)]
fn matrixmultiply(bencher: Bencher, &shape: &Shape) {
    let (m, n, k, ta, tb) = shape;
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0f32; m * n]);
    let ((rsa, csa), (rsb, csb)) = (strides(m, k, ta), strides(k, n, tb));
    bencher.counter(operations(shape)).bench_local(|| {
        // SAFETY: the vectors hold m x k, k x n and m x n elements.
        unsafe {
            ::matrixmultiply::sgemm(
                m,
                k,
                n,
                1.0,
                a.as_ptr(),
                rsa,
                csa,
                b.as_ptr(),
                rsb,
                csb,
                0.0,
                c.as_mut_ptr(),
                n as isize,
                1,
            )
        }
    });
}

fn tensor(shape: &[usize]) -> Tensor {
    copy::full("bench", shape, Scalar::Float(0.5), DType::F32).unwrap()
}

/// Attention's scores: heads of 64 over sequences of 128.
#[divan::bench(max_time = 0.3)]
fn batched_tensors(bencher: Bencher) {
    let (q, k) = (tensor(&[4, 8, 128, 64]), tensor(&[4, 8, 128, 64]));
    let k = k.with_layout(k.layout().permute(&[0, 1, 3, 2]));
    bencher.counter(ItemsCount::new(2usize * 32 * 128 * 128 * 64)).bench_local(|| matmul(&q, &k).unwrap());
}

#[divan::bench(max_time = 0.3)]
fn linear_with_bias(bencher: Bencher) {
    let (x, w, b) = (tensor(&[64, 2450]), tensor(&[500, 2450]), tensor(&[500]));
    bencher
        .counter(ItemsCount::new(2usize * 64 * 500 * 2450))
        .bench_local(|| addmm_bias(&x, &w, Some(&b)).unwrap());
}
