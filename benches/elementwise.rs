//! Elementwise operations, sums and copies, from the caches and from memory.

mod bench;
mod peak;

use bench::{Bench, activation, floats, random};
use lectorium::ops::activation::{Activation, activation as activate, relu_grad};
use lectorium::ops::elementwise::{Binary, Unary, binary, unary};
use lectorium::ops::{copy, reduce};

fn main() {
    let mut bench = Bench::new("elementwise");
    for (n, text) in [(10_000, "10 K"), (1_000_000, "1 M"), (32_000_000, "32 M")] {
        let (x, y) = (random(&[n]), random(&[n]));
        for op in [Binary::Add, Binary::Mul] {
            bench.run(&format!("{} {text}", op.name()), floats(3 * n), || {
                binary(op, (&x).into(), (&y).into(), None).unwrap()
            });
        }
        for op in [Unary::Relu, Unary::Exp, Unary::Tanh, Unary::Sigmoid] {
            bench.run(&format!("{} {text}", op.name()), floats(2 * n), || unary(op, &x, None).unwrap());
        }
        bench.run(&format!("gelu {text}"), floats(2 * n), || activate(Activation::Gelu, &x).unwrap());
        bench.run(&format!("relu grad {text}"), floats(3 * n), || relu_grad(&x, &y).unwrap());
        bench.run(&format!("sum {text}"), floats(n), || reduce::sum(&x, &[0], false, None).unwrap());
        bench.run(&format!("copy {text}"), floats(2 * n), || copy::clone("bench", &x).unwrap());
    }
    let x = random(&[4096, 4096]);
    for axis in [0, 1] {
        bench.run(&format!("sum over axis {axis}, 4096x4096"), floats(x.numel()), || {
            reduce::sum(&x, &[axis], false, None).unwrap()
        });
    }
    let turned = x.with_layout(x.layout().permute(&[1, 0]));
    bench.run("transpose copy 4096x4096", floats(2 * x.numel()), || {
        copy::contiguous("bench", &turned).unwrap()
    });
    let x = activation(&[32, 64, 56, 56]);
    let turned = x.with_layout(x.layout().permute(&[0, 2, 3, 1]));
    bench.run("channels to the end, 32x64x56x56", floats(2 * x.numel()), || {
        copy::contiguous("bench", &turned).unwrap()
    });
}
