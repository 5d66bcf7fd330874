//! Optimizer steps on 10 M parameters, in one tensor and in a hundred.

mod bench;
mod peak;

use bench::{Bench, floats, random};
use lectorium::Tensor;
use lectorium::ops::optim::{AdamSpec, SgdSpec, adam, grad_norm, sgd};

const PARAMETERS: usize = 10_000_000;

fn refs(tensors: &[Tensor]) -> Vec<&Tensor> {
    tensors.iter().collect()
}

fn main() {
    let mut bench = Bench::new("optim");
    for count in [1, 100] {
        let draw = || -> Vec<Tensor> { (0..count).map(|_| random(&[PARAMETERS / count])).collect() };
        let (params, grads, firsts) = (draw(), draw(), draw());
        let seconds: Vec<Tensor> = (0..count)
            .map(|_| Tensor::zeros("bench", &[PARAMETERS / count], params[0].dtype()).unwrap())
            .collect();
        let (p, g, m, v) = (refs(&params), refs(&grads), refs(&firsts), refs(&seconds));
        let spec = AdamSpec {
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            amsgrad: false,
            maximize: false,
        };
        let steps = vec![10.0; count];
        // Four are read, three written.
        bench.run(&format!("adam 10 M in {count}"), floats(7 * PARAMETERS), || {
            adam(&p, &g, &m, &v, &vec![None; count], &steps, &spec).unwrap()
        });
        let spec = SgdSpec {
            lr: 1e-3,
            momentum: 0.9,
            dampening: 0.0,
            weight_decay: 1e-4,
            nesterov: false,
            maximize: false,
        };
        let (moving, first): (Vec<_>, _) = (m.iter().map(|t| Some(*t)).collect(), vec![false; count]);
        bench.run(&format!("sgd with momentum 10 M in {count}"), floats(5 * PARAMETERS), || {
            sgd(&p, &g, &moving, &first, &spec).unwrap()
        });
        bench.run(&format!("gradient norm 10 M in {count}"), floats(PARAMETERS), || {
            grad_norm(&g, 2.0).unwrap()
        });
    }
}
