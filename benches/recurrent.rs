//! Recurrent layers over a sequence, forward and back through time, without the input's projection.

mod bench;
mod peak;

use bench::{Bench, Work, random};
use lectorium::Tensor;
use lectorium::ops::recurrent::{Back, Kind, Sequence, sequence, sequence_grad};

fn small(shape: &[usize]) -> Tensor {
    // Small enough for the gates to stay in their middles.
    let scale = 1.0 / (shape[shape.len() - 1] as f32).sqrt();
    let n: usize = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| (((i * 7919) % 1000) as f32 / 500.0 - 1.0) * scale).collect();
    Tensor::from_slice("bench", &values, shape).unwrap()
}

fn layer(bench: &mut Bench, kind: Kind, hidden: usize, batch: usize, steps: usize) {
    let (gates, products, states) = match kind {
        Kind::Lstm => (4, 4, 2),
        Kind::Gru | Kind::Mut3 => (3, 3, 1),
        _ => (1, 1, 1),
    };
    let x = random(&[steps, batch, gates * hidden]);
    let state: Vec<Tensor> = (0..states).map(|_| random(&[batch, hidden])).collect();
    let mut weights = vec![Some(small(&[products * hidden, hidden]))];
    match kind {
        Kind::Lstm => weights.push(None),
        Kind::Gru => weights.push(Some(small(&[3 * hidden]))),
        _ => {}
    }
    let (state, weights) = (&state[..], &weights[..]);
    let s = Sequence { kind, x: &x, state, weights, batch_sizes: None, reverse: false };
    let name = format!("{} {hidden} b{batch} T{steps}", kind.name());
    let flops = 2.0 * (steps * batch * products * hidden * hidden) as f64;
    bench.run(&name, Work::Flops(flops), || sequence(&s, true).unwrap());
    let out = sequence(&s, true).unwrap();
    let dy = random(&[steps, batch, hidden]);
    let (dstate, need) = (vec![None; states], vec![true; 1 + states + weights.len()]);
    let b = Back { y: &out.y, saved: out.saved.as_ref(), dy: Some(&dy), dstate: &dstate, need: &need };
    // Through the steps, and for the weight.
    bench.run(&format!("{name} grad"), Work::Flops(2.0 * flops), || sequence_grad(&s, &b).unwrap());
}

fn main() {
    let mut bench = Bench::new("recurrent");
    layer(&mut bench, Kind::RnnTanh, 128, 32, 50);
    for kind in [Kind::Lstm, Kind::Gru, Kind::Mut3] {
        layer(&mut bench, kind, 128, 50, 50);
        layer(&mut bench, kind, 512, 32, 64);
        layer(&mut bench, kind, 128, 1, 100);
    }
}
