//! Times kernels and prints, on one thread and on all, GFLOP/s with the share of the machine's peak, or
//! GB/s with the share of its memory bandwidth. Names that hold a word of the command line run; without
//! `--bench`, as under `cargo test`, each kernel is called once.

// Each bench uses a part of it.
#![allow(dead_code)]

use crate::peak::Peak;
use lectorium::ops::conv::{ConvSpec, conv2d};
use lectorium::{Tensor, parallel, simd};
use std::time::{Duration, Instant};

/// What a call does at least: a kernel is bound by one of the two.
#[derive(Clone, Copy)]
pub enum Work {
    Flops(f64),
    /// Bytes read and written, each once. Within the caches more than the memory's rate is possible.
    Bytes(f64),
}

/// Bytes of so many float32 numbers.
pub fn floats(n: usize) -> Work {
    Work::Bytes(4.0 * n as f64)
}

pub struct Bench {
    stem: &'static str,
    words: Vec<String>,
    timed: bool,
    /// On one thread and on all; measured when the first kernel runs.
    peaks: Vec<Peak>,
}

/// How long a kernel is timed on each number of threads.
const SPAN: Duration = Duration::from_millis(150);

impl Bench {
    pub fn new(stem: &'static str) -> Bench {
        let (flags, words): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.starts_with('-'));
        Bench { stem, words, timed: flags.iter().any(|f| f == "--bench"), peaks: Vec::new() }
    }

    /// Times `call` under `stem/name`.
    pub fn run<R>(&mut self, name: &str, work: Work, mut call: impl FnMut() -> R) {
        let name = format!("{}/{name}", self.stem);
        if !self.words.is_empty() && !self.words.iter().any(|w| name.contains(w.as_str())) {
            return;
        }
        if !self.timed {
            call();
            return;
        }
        if self.peaks.is_empty() {
            self.head();
        }
        print!("{name:<52}");
        for peak in &self.peaks {
            parallel::set_num_threads(peak.threads);
            let seconds = quartile(&mut call);
            let (amount, unit, most) = match work {
                Work::Flops(n) => (n, "GFLOP/s", peak.flops),
                Work::Bytes(n) => (n, "GB/s", peak.bytes),
            };
            let (rate, share) = (amount / seconds, 100.0 * amount / seconds / most);
            print!(" {:>9.4} ms {:>6.1} {unit:<7} {share:>4.0} %", seconds * 1e3, rate / 1e9);
        }
        println!();
    }

    fn head(&mut self) {
        let all = parallel::num_threads();
        let counts = if all > 1 { vec![1, all] } else { vec![1] };
        self.peaks = counts.into_iter().map(Peak::measure).collect();
        println!("\n{}, {}: the machine's peak", self.stem, simd::level().name());
        for Peak { threads, flops, bytes } in &self.peaks {
            let plural = if *threads > 1 { "s" } else { "" };
            println!("{threads} thread{plural}: {:.0} GFLOP/s, memory {:.1} GB/s", flops / 1e9, bytes / 1e9);
        }
    }
}

/// The lower quartile of calls over a while, warm.
fn quartile<R>(call: &mut impl FnMut() -> R) -> f64 {
    let mut times = Vec::new();
    call();
    let start = Instant::now();
    while times.len() < 3 || (start.elapsed() < SPAN && times.len() < 10_000) {
        let before = Instant::now();
        std::hint::black_box(call());
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 4]
}

/// Numbers from -1 to 1, the same in every run.
pub fn random(shape: &[usize]) -> Tensor {
    let mut s = 1u64;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (s >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_slice("bench", &values, shape).unwrap()
}

/// Numbers in the layout in which a convolution hands them on.
pub fn activation(shape: &[usize]) -> Tensor {
    let c = shape[1];
    let spec = ConvSpec { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 };
    conv2d(&random(shape), &random(&[c, c, 1, 1]), None, spec).unwrap()
}
