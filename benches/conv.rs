//! Convolution, all three passes, at the shapes of the course's networks.

use divan::Bencher;
use lectorium::ops::conv::{ConvSpec, conv2d, conv2d_input_grad, conv2d_output_shape, conv2d_weight_grad};
use lectorium::{DType, Tensor};
use std::fmt;

fn main() {
    divan::main();
}

/// Input `[n, c, h, h]`, weight `[o, c / groups, k, k]`.
struct Shape {
    name: &'static str,
    n: usize,
    c: usize,
    h: usize,
    o: usize,
    k: usize,
    stride: usize,
    padding: usize,
    groups: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn shape(name: &'static str, [n, c, h, o, k, stride, padding, groups]: [usize; 8]) -> Shape {
    Shape { name, n, c, h, o, k, stride, padding, groups }
}

const SHAPES: &[Shape] = &[
    shape("lenet 1->20 k5 28x28 b64", [64, 1, 28, 20, 5, 1, 0, 1]),
    shape("lenet 20->50 k5 12x12 b64", [64, 20, 12, 50, 5, 1, 0, 1]),
    shape("cifar 3->6 k5 32x32 b64", [64, 3, 32, 6, 5, 1, 0, 1]),
    shape("cifar 6->16 k5 14x14 b64", [64, 6, 14, 16, 5, 1, 0, 1]),
    shape("resnet 16->16 k3 32x32 b32", [32, 16, 32, 16, 3, 1, 1, 1]),
    shape("resnet 64->64 k3 16x16 b16", [16, 64, 16, 64, 3, 1, 1, 1]),
    shape("vgg 256->256 k3 8x8 b8", [8, 256, 8, 256, 3, 1, 1, 1]),
    shape("vgg 512->512 k3 4x4 b8", [8, 512, 4, 512, 3, 1, 1, 1]),
    shape("stem 3->64 k7 s2 112x112 b2", [2, 3, 112, 64, 7, 2, 3, 1]),
    shape("down 64->128 k3 s2 28x28 b8", [8, 64, 28, 128, 3, 2, 1, 1]),
    shape("pointwise 64->256 28x28 b8", [8, 64, 28, 256, 1, 1, 0, 1]),
    shape("pointwise 512->128 7x7 b16", [16, 512, 7, 128, 1, 1, 0, 1]),
    shape("depthwise 128 k3 28x28 b8", [8, 128, 28, 128, 3, 1, 1, 128]),
    shape("depthwise 128 k3 s2 28x28 b8", [8, 128, 28, 128, 3, 2, 1, 128]),
];

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

impl Shape {
    fn spec(&self) -> ConvSpec {
        ConvSpec {
            stride: [self.stride; 2],
            padding: [self.padding; 2],
            dilation: [1; 2],
            groups: self.groups,
        }
    }

    fn input(&self) -> [usize; 4] {
        [self.n, self.c, self.h, self.h]
    }

    fn weight(&self) -> [usize; 4] {
        [self.o, self.c / self.groups, self.k, self.k]
    }

    fn output(&self) -> [usize; 4] {
        conv2d_output_shape(&self.input(), &self.weight(), self.spec()).unwrap()
    }
}

#[divan::bench(args = SHAPES)]
fn forward(bencher: Bencher, s: &Shape) {
    let (x, w, b) = (random(&s.input()), random(&s.weight()), random(&[s.o]));
    assert_eq!(x.dtype(), DType::F32);
    bencher.bench_local(|| conv2d(&x, &w, Some(&b), s.spec()).unwrap());
}

#[divan::bench(args = SHAPES)]
fn input_grad(bencher: Bencher, s: &Shape) {
    let (g, w) = (random(&s.output()), random(&s.weight()));
    bencher.bench_local(|| conv2d_input_grad(&g, &w, &s.input(), s.spec()).unwrap());
}

#[divan::bench(args = SHAPES)]
fn weight_grad(bencher: Bencher, s: &Shape) {
    let (g, x) = (random(&s.output()), random(&s.input()));
    bencher.bench_local(|| conv2d_weight_grad(&g, &x, &s.weight(), s.spec()).unwrap());
}
