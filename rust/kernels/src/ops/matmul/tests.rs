//! Against naive float64 sums, at every level of the machine.

use super::gemm::gemm_on;
use super::*;
use crate::simd::available;

/// Reproducible values in -1..1.
fn values(n: usize, seed: u64) -> Vec<f64> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            (s >> 40) as f64 / (1u64 << 23) as f64 - 1.0
        })
        .collect()
}

fn typed<T: GemmElement>(v: &[f64]) -> Vec<T> {
    v.iter().map(|&x| T::from_f64(x)).collect()
}

/// Row-major, column-major or with gaps: the strides of an r x c matrix and the elements it needs.
fn arrange(kind: usize, r: usize, c: usize) -> (isize, isize, usize) {
    match kind {
        0 => (c as isize, 1, r * c),
        1 => (1, r as isize, r * c),
        2 => (c as isize + 3, 1, r * (c + 3)),
        _ => (2 * c as isize + 1, 2, r * (2 * c + 1)),
    }
}

fn check<T: GemmElement>(m: usize, n: usize, k: usize, kinds: [usize; 3], alpha: f64, beta: f64, tol: f64) {
    let ((rsa, csa, la), (rsb, csb, lb), (rsc, csc, lc)) =
        (arrange(kinds[0], m, k), arrange(kinds[1], k, n), arrange(kinds[2], m, n));
    let (a, b) = (typed::<T>(&values(la, 1)), typed::<T>(&values(lb, 2)));
    let bias: Vec<T> = typed(&values(n, 3));
    let row_bias: Vec<T> = typed(&values(m, 5));
    let before: Vec<T> = if beta == 0.0 { vec![T::from_f64(f64::NAN); lc] } else { typed(&values(lc, 4)) };
    for level in available() {
        let mut c = before.clone();
        let left = Strided { ptr: a.as_ptr(), line: rsa, k: csa };
        let right = Strided { ptr: b.as_ptr(), line: csb, k: rsb };
        let epilogue =
            Epilogue { col_bias: bias.as_ptr(), row_bias: row_bias.as_ptr(), activation: Some(clip::<T>) };
        let epilogue = if (m + n) % 2 == 0 { epilogue } else { Epilogue::NONE };
        let out = Output {
            alpha: T::from_f64(alpha),
            beta: T::from_f64(beta),
            ptr: c.as_mut_ptr(),
            rs: rsc,
            cs: csc,
            epilogue,
        };
        // SAFETY: the vectors hold what `arrange` says.
        unsafe { gemm_on(T::kernel(level), m, n, k, &left, &right, out) };
        let mut touched = vec![false; lc];
        for i in 0..m {
            for j in 0..n {
                let at =
                    |rs: isize, cs: isize, i: usize, j: usize| (i as isize * rs + j as isize * cs) as usize;
                let mut sum: f64 =
                    (0..k).map(|p| a[at(rsa, csa, i, p)].to_f64() * b[at(rsb, csb, p, j)].to_f64()).sum();
                sum *= alpha;
                let place = at(rsc, csc, i, j);
                touched[place] = true;
                if beta != 0.0 {
                    sum += beta * before[place].to_f64();
                }
                if !epilogue.is_none() {
                    sum = (sum + bias[j].to_f64() + row_bias[i].to_f64()).max(-0.5);
                }
                let got = c[place].to_f64();
                let bound = tol * ((k as f64).sqrt() + 2.0);
                assert!(
                    (got - sum).abs() <= bound,
                    "{} {m}x{n}x{k} {kinds:?} alpha {alpha} beta {beta} [{i},{j}]: {got} against {sum}",
                    level.name()
                );
            }
        }
        for (place, touched) in touched.iter().enumerate() {
            let same = c[place] == before[place] || before[place] != before[place];
            assert!(
                *touched || same && (c[place] != c[place]) == (before[place] != before[place]),
                "gap {place}"
            );
        }
    }
}

fn clip<T: GemmElement>(row: &mut [T]) {
    for v in row {
        if v.to_f64() < -0.5 {
            *v = T::from_f64(-0.5);
        }
    }
}

#[test]
fn gemm_agrees_with_naive_sums_for_ragged_sizes_and_any_strides() {
    let sizes = [
        (1, 1, 1),
        (1, 7, 5),
        (9, 1, 33),
        (2, 3, 4),
        (5, 17, 6),
        (14, 32, 8),
        (15, 33, 9),
        (13, 31, 300),
        (29, 65, 70),
        (1, 300, 259),
        (70, 90, 100),
        (260, 40, 30),
        (33, 100, 520),
        (3, 130, 700),
    ];
    for (s, &(m, n, k)) in sizes.iter().enumerate() {
        for a in 0..4 {
            for b in 0..4 {
                let c = (a + b + s) % 4;
                let (alpha, beta) = [(1.0, 0.0), (1.0, 1.0), (-0.5, 0.0), (2.0, 0.25)][(a * 3 + b + s) % 4];
                check::<f32>(m, n, k, [a, b, c], alpha, beta, 4e-6);
                check::<f64>(m, n, k, [a, b, c], alpha, beta, 1e-14);
            }
        }
    }
}

#[test]
fn an_empty_sum_only_scales_what_was_there() {
    check::<f32>(5, 6, 0, [0, 0, 0], 1.0, 0.0, 1e-6);
    check::<f32>(5, 300, 0, [0, 0, 1], 1.0, 0.5, 1e-6);
    check::<f32>(0, 6, 3, [0, 0, 0], 1.0, 0.0, 1e-6);
}
