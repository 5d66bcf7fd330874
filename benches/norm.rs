//! Normalisation, softmax and cross entropy, forward and backward.

mod bench;
mod peak;

use bench::{Bench, activation, floats, random};
use lectorium::ops::loss::{Reduction, cross_entropy, cross_entropy_grad};
use lectorium::ops::norm::{batch_norm, batch_norm_grad, layer_norm, layer_norm_grad};
use lectorium::ops::softmax::{softmax, softmax_grad};
use lectorium::{Scalar, Tensor};

fn main() {
    let mut bench = Bench::new("norm");
    for shape in [[32, 64, 32, 32], [32, 512, 4, 4], [4, 64, 112, 112], [32, 64, 112, 112]] {
        let (x, w, b) = (activation(&shape), random(&shape[1..2]), random(&shape[1..2]));
        let name = shape.map(|n| n.to_string()).join("x");
        // Statistics need one pass over the input before the pass that writes.
        bench.run(&format!("batch norm {name}"), floats(3 * x.numel()), || {
            batch_norm(&x, Some(&w), Some(&b), 1e-5, false).unwrap()
        });
        let (g, mean, rstd) = batch_norm(&x, Some(&w), Some(&b), 1e-5, false).unwrap();
        bench.run(&format!("batch norm grad {name}"), floats(5 * x.numel()), || {
            batch_norm_grad(&g, &x, Some(&w), Some(&b), &mean, &rstd, [true; 3], false).unwrap()
        });
    }
    let (x, w, b) = (random(&[16384, 512]), random(&[512]), random(&[512]));
    bench.run("layer norm 16384x512", floats(2 * x.numel()), || {
        layer_norm(&x, 1, Some(&w), Some(&b), 1e-5).unwrap()
    });
    let (g, mean, rstd) = layer_norm(&x, 1, Some(&w), Some(&b), 1e-5).unwrap();
    bench.run("layer norm grad 16384x512", floats(3 * x.numel()), || {
        layer_norm_grad(&g, &x, 1, Some(&w), &mean, &rstd, [true; 3]).unwrap()
    });
    let x = random(&[16384, 1000]);
    let y = softmax(&x, 1).unwrap();
    bench.run("softmax 16384x1000", floats(2 * x.numel()), || softmax(&x, 1).unwrap());
    bench.run("softmax grad 16384x1000", floats(3 * x.numel()), || softmax_grad(&x, &y, 1).unwrap());
    let labels: Vec<i64> = (0..16384).map(|i| i % 1000).collect();
    let target = Tensor::from_slice("bench", &labels, &[16384]).unwrap();
    let loss = || cross_entropy(&x, &target, None, -100, 0.0, Reduction::Mean).unwrap();
    bench.run("cross entropy 16384x1000", floats(2 * x.numel()), loss);
    let (_, log_probs) = loss();
    let g = Tensor::scalar("bench", Scalar::Float(1.0), x.dtype()).unwrap();
    bench.run("cross entropy grad 16384x1000", floats(2 * x.numel()), || {
        cross_entropy_grad(&g, &log_probs, &target, None, -100, 0.0, Reduction::Mean).unwrap()
    });
}
