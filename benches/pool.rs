//! Pooling at the shapes of the course's networks.

mod bench;
mod peak;

use bench::{Bench, Work, activation};
use lectorium::Tensor;
use lectorium::ops::pool::{
    PoolSpec, adaptive_avg_pool2d, adaptive_avg_pool2d_grad, avg_pool2d, avg_pool2d_grad, max_pool2d,
    max_pool2d_grad,
};

/// Each of the tensors once.
fn bytes(tensors: &[&Tensor]) -> Work {
    Work::Bytes(tensors.iter().map(|t| (t.numel() * t.dtype().size()) as f64).sum())
}

fn main() {
    let mut bench = Bench::new("pool");
    let overlapping = PoolSpec { kernel: [3; 2], stride: [2; 2], padding: [1; 2], ..PoolSpec::square(3) };
    for shape in [[64, 20, 28, 28], [64, 50, 14, 14], [32, 64, 32, 32], [4, 64, 112, 112]] {
        let x = activation(&shape);
        let name = shape.map(|n| n.to_string()).join("x");
        for (kind, spec) in [("max 2x2", PoolSpec::square(2)), ("max 3x3 s2", overlapping)] {
            let (y, at) = max_pool2d(&x, spec).unwrap();
            bench.run(&format!("{kind} {name}"), bytes(&[&x, &y, &at]), || max_pool2d(&x, spec).unwrap());
            bench.run(&format!("{kind} grad {name}"), bytes(&[&x, &y, &at]), || {
                max_pool2d_grad(&y, &at, x.shape()).unwrap()
            });
        }
        let square = PoolSpec::square(2);
        let y = avg_pool2d(&x, square, true, None).unwrap();
        bench.run(&format!("average 2x2 {name}"), bytes(&[&x, &y]), || {
            avg_pool2d(&x, square, true, None).unwrap()
        });
        bench.run(&format!("average 2x2 grad {name}"), bytes(&[&x, &y]), || {
            avg_pool2d_grad(&y, x.shape(), square, true, None).unwrap()
        });
        let y = adaptive_avg_pool2d(&x, [1, 1]).unwrap();
        bench.run(&format!("global average {name}"), bytes(&[&x]), || {
            adaptive_avg_pool2d(&x, [1, 1]).unwrap()
        });
        bench.run(&format!("global average grad {name}"), bytes(&[&x]), || {
            adaptive_avg_pool2d_grad(&y, x.shape()).unwrap()
        });
    }
}
