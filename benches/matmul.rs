//! Matrix products of the sizes that models have, with B packed on the way and beforehand.

mod bench;
mod peak;

use bench::{Bench, Work, random};
use lectorium::ops::matmul::{Epilogue, Output, PackedB, Strided, addmm_bias, gemm, gemm_prepacked, matmul};

/// M, N, K, and whether A and B are seen transposed.
type Shape = (usize, usize, usize, bool, bool);

const SHAPES: &[Shape] = &[
    (32, 32, 32, false, false),
    (64, 64, 64, false, false),
    (128, 128, 128, false, false),
    (256, 256, 256, false, false),
    (512, 512, 512, false, false),
    (1024, 1024, 1024, false, false),
    (2048, 2048, 2048, false, false),
    // LeNet's linear layer: forward, gradient of the input, gradient of the weight.
    (64, 500, 2450, false, true),
    (64, 2450, 500, false, false),
    (500, 2450, 64, true, false),
    // A perceptron's.
    (128, 512, 784, false, true),
    (128, 784, 512, false, false),
    (512, 784, 128, true, false),
    // A convolution's, tall and flat.
    (12544, 64, 576, false, true),
    (784, 128, 1152, false, true),
    // One row, and few.
    (1, 1000, 512, false, true),
    (1, 1000, 512, false, false),
    (4, 512, 512, false, true),
    (8, 4096, 4096, false, true),
    (64, 10, 128, false, true),
];

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919) % 1000) as f32 / 1000.0 - 0.5).collect()
}

fn strides(rows: usize, cols: usize, transposed: bool) -> (isize, isize) {
    if transposed { (1, rows as isize) } else { (cols as isize, 1) }
}

fn product(bench: &mut Bench, (m, n, k, ta, tb): Shape) {
    let (a, b, mut c) = (values(m * k), values(k * n), vec![0f32; m * n]);
    let ((rsa, csa), (rsb, csb)) = (strides(m, k, ta), strides(k, n, tb));
    let (a, b, c, rs) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), n as isize);
    let work = Work::Flops(2.0 * (m * n * k) as f64);
    let mark = |transposed| if transposed { "t" } else { "" };
    let shape = format!("{m}x{k}{} {k}x{n}{}", mark(ta), mark(tb));
    bench.run(&shape, work, || {
        // SAFETY: the vectors hold m x k, k x n and m x n elements.
        unsafe { gemm(m, n, k, 1.0, a, rsa, csa, b, rsb, csb, 0.0, c, rs, 1) }
    });
    // SAFETY: as above.
    let packed = unsafe { PackedB::new("bench", &Strided { ptr: b, line: csb, k: rsb }, k, n) }.unwrap();
    let left = Strided { ptr: a, line: rsa, k: csa };
    let out = Output { alpha: 1.0, beta: 0.0, ptr: c, rs, cs: 1, epilogue: Epilogue::NONE };
    bench.run(&format!("{shape} packed"), work, || {
        // SAFETY: as above.
        unsafe { gemm_prepacked(m, &left, &packed, out) }
    });
}

fn main() {
    let mut bench = Bench::new("matmul");
    for &shape in SHAPES {
        product(&mut bench, shape);
    }
    // Attention's scores: heads of 64 over sequences of 128.
    let (q, k) = (random(&[4, 8, 128, 64]), random(&[4, 8, 128, 64]));
    let k = k.with_layout(k.layout().permute(&[0, 1, 3, 2]));
    bench.run("32 of 128x64 64x128t", Work::Flops(2.0 * (32 * 128 * 128 * 64) as f64), || {
        matmul(&q, &k).unwrap()
    });
    let (x, w, b) = (random(&[64, 2450]), random(&[500, 2450]), random(&[500]));
    bench.run("linear 64x2450 -> 500 with bias", Work::Flops(2.0 * (64 * 500 * 2450) as f64), || {
        addmm_bias(&x, &w, Some(&b), false).unwrap()
    });
}
