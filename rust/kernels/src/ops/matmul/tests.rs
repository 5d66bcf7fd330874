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
        let epilogue = Epilogue { col_bias: bias.as_ptr(), row_bias: row_bias.as_ptr(), relu: true };
        let epilogue = if (m + n).is_multiple_of(2) { epilogue } else { Epilogue::NONE };
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
                    sum = (sum + bias[j].to_f64() + row_bias[i].to_f64()).max(0.0);
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
        // What lies between the elements is as it was, NaN included.
        let bits = |v: T| v.to_f64().to_bits();
        for place in (0..lc).filter(|&p| !touched[p]) {
            assert_eq!(bits(c[place]), bits(before[place]), "gap {place}");
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
        (40, 33, 1),
        (300, 257, 1),
        (1, 1, 9000),
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
fn long_dot_products_agree_with_naive_sums() {
    // The naive sum in float64 is no better than this either.
    for (m, n, k) in [(1, 1, 70_003), (3, 2, 66_000), (1, 3, 65_536)] {
        for (alpha, beta) in [(1.0, 0.0), (2.0, 0.25)] {
            check::<f32>(m, n, k, [0, 1, 0], alpha, beta, 4e-6);
            check::<f64>(m, n, k, [0, 1, 3], alpha, beta, 1e-12);
        }
    }
}

#[test]
fn an_empty_sum_only_scales_what_was_there() {
    check::<f32>(5, 6, 0, [0, 0, 0], 1.0, 0.0, 1e-6);
    check::<f32>(5, 300, 0, [0, 0, 1], 1.0, 0.5, 1e-6);
    check::<f32>(0, 6, 3, [0, 0, 0], 1.0, 0.0, 1e-6);
}

/// Gives its panels element by element and tells nobody where they lie, as a gathering operand does.
struct Gathered<'a, T>(&'a [T], usize, usize);

impl<T: GemmElement> Operand<T> for Gathered<'_, T> {
    unsafe fn pack(
        &self,
        lines: std::ops::Range<usize>,
        ks: std::ops::Range<usize>,
        width: usize,
        out: *mut T,
    ) {
        for (p, k) in ks.enumerate() {
            for l in 0..width {
                let line = lines.start + l;
                *out.add(p * width + l) =
                    if line < lines.end { self.0[line * self.1 + k * self.2] } else { T::ZERO };
            }
        }
    }
}

#[test]
fn operands_that_pack_themselves_and_prepacked_ones_give_the_same_bits() {
    for (m, n, k) in [(3, 5, 7), (40, 70, 300), (300, 65, 520), (530, 300, 40), (33, 1, 9), (1, 40, 9)] {
        let (a, b) = (typed::<f32>(&values(m * k, 1)), typed::<f32>(&values(k * n, 2)));
        let out = |c: &mut Vec<f32>| Output {
            alpha: 1.0,
            beta: 0.0,
            ptr: c.as_mut_ptr(),
            rs: n as isize,
            cs: 1,
            epilogue: Epilogue::NONE,
        };
        let strided = Strided { ptr: b.as_ptr(), line: 1, k: n as isize };
        let (mut c0, mut c1, mut c2) = (vec![0f32; m * n], vec![0f32; m * n], vec![f32::NAN; m * n]);
        let mut c3 = vec![f32::NAN; m * n];
        // SAFETY: the vectors hold m x k, k x n and m x n elements.
        unsafe {
            gemm_operands(m, n, k, &Gathered(&a, k, 1), &strided, out(&mut c0));
            gemm_operands(m, n, k, &Gathered(&a, k, 1), &Gathered(&b, 1, n), out(&mut c1));
            let packed = PackedB::new("linear", &strided, k, n).unwrap();
            gemm_prepacked(m, &Strided { ptr: a.as_ptr(), line: k as isize, k: 1 }, &packed, out(&mut c2));
            let panels = n.div_ceil(kernel_of::<f32>().nr);
            for panel in (0..panels).rev() {
                rows_by_packed(m, a.as_ptr(), k, &packed, panel..panel + 1, out(&mut c3));
            }
        }
        assert_eq!(c0, c3, "{m}x{n}x{k}");
        assert_eq!(c0, c1, "{m}x{n}x{k}");
        assert_eq!(c0, c2, "{m}x{n}x{k}");
        let exact: f64 = (0..k).map(|p| a[p] as f64 * b[p * n] as f64).sum();
        assert!((c0[0] as f64 - exact).abs() < 1e-4);
    }
}

#[test]
fn products_of_some_steps_rows_add_up() {
    fn check<T: GemmElement>(tol: f64) {
        let nr = kernel_of::<T>().nr;
        let sizes: [[usize; 4]; 4] = [[1, 1, 1, 1], [5, 3, 2, 3], [13, 40, 4, 8], [130, 70, 7, 16]];
        for [m, n, steps, rows] in sizes {
            let (positions, ld, ldb) = (steps * rows, m + 2, n.next_multiple_of(nr) + 1);
            let (a, b) = (values(positions * ld, 1), values(positions * ldb, 2));
            let (left, right): (Vec<T>, Vec<T>) = (typed(&a), typed(&b));
            let (mut packed, mut c) = (vec![T::ZERO; m * positions], vec![T::from_f64(f64::NAN); m * n]);
            // SAFETY: the vectors hold what the sizes say.
            unsafe {
                for s in 0..steps {
                    let from = (left.as_ptr().add(s * rows * ld), ld, rows);
                    pack_rows(from, m, s * rows, positions, packed.as_mut_ptr());
                }
                for add in [false, true] {
                    let lefts = [(packed.as_ptr(), m, c.as_mut_ptr())];
                    add_products(&lefts, (right.as_ptr(), ldb), n, positions, add);
                }
            }
            for i in 0..m {
                for j in 0..n {
                    let exact: f64 = (0..positions).map(|p| a[p * ld + i] * b[p * ldb + j]).sum();
                    assert!(
                        (c[i * n + j].to_f64() - 2.0 * exact).abs() < tol,
                        "{m}x{n}x{positions} at {i}, {j}"
                    );
                }
            }
        }
    }
    check::<f32>(1e-4);
    check::<f64>(1e-12);
}

#[test]
fn every_level_packs_the_same_panel() {
    fn check<T: GemmElement>() {
        for level in available() {
            for (n, width) in
                [(1, 1), (3, 3), (4, 4), (6, 6), (7, 32), (8, 8), (13, 13), (14, 14), (20, 32), (32, 32)]
            {
                for kc in [1, 3, 4, 7, 8, 9, 16, 30, 61] {
                    for (line, k) in [(61, 1), (1, 32), (64, 2)] {
                        let from: Vec<T> = typed(&values(64 * 64, 7));
                        let mut out = vec![T::from_f64(f64::NAN); kc * width];
                        // SAFETY: 32 lines by 61 positions lie within 64 x 64 at these strides.
                        unsafe {
                            (T::kernel(level).pack)(from.as_ptr(), line, k, n, kc, width, out.as_mut_ptr())
                        };
                        for (at, &got) in out.iter().enumerate() {
                            let (p, l) = (at / width, at % width);
                            let want = if l < n { from[l * line as usize + p * k as usize] } else { T::ZERO };
                            assert!(got == want, "{} {n} of {width}, {kc}, strides {line} {k}", level.name());
                        }
                    }
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (m, n, k, kinds) in [
        (500, 300, 270, [0, 0]),
        (100, 600, 300, [0, 1]),
        (2, 3000, 400, [0, 1]),
        (1, 3001, 400, [0, 0]),
        (700, 40, 300, [1, 0]),
        (600, 500, 1, [0, 0]),
        (1, 1, 200_003, [0, 0]),
        (2, 3, 70_001, [0, 1]),
    ] {
        let ((rsa, csa, la), (rsb, csb, lb)) = (arrange(kinds[0], m, k), arrange(kinds[1], k, n));
        let (a, b) = (typed::<f32>(&values(la, 1)), typed::<f32>(&values(lb, 2)));
        let results = [1, 2, 5].map(|threads| {
            crate::parallel::set_num_threads(threads);
            let mut c = vec![0f32; m * n];
            // SAFETY: the vectors hold what `arrange` says.
            unsafe {
                gemm(
                    m,
                    n,
                    k,
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
            };
            c
        });
        assert!(results[0] == results[1] && results[0] == results[2], "{m}x{n}x{k}");
    }
}

#[test]
fn long_sums_stay_accurate() {
    let k = 200_000;
    let a = vec![0.1f32; 5 * k];
    for (m, n) in [(1, 1), (1, 5), (5, 5)] {
        for by_rows in [false, true] {
            let mut c = vec![0f32; m * n];
            let (rsb, csb) = if by_rows { (n as isize, 1) } else { (1, k as isize) };
            // SAFETY: `a` serves as both operands and holds 5 x k elements.
            unsafe {
                gemm(
                    m,
                    n,
                    k,
                    1.0,
                    a.as_ptr(),
                    k as isize,
                    1,
                    a.as_ptr(),
                    rsb,
                    csb,
                    0.0,
                    c.as_mut_ptr(),
                    n as isize,
                    1,
                )
            };
            let exact = k as f64 * (0.1f32 as f64).powi(2);
            for v in c {
                assert!((v as f64 - exact).abs() / exact < 2e-5, "{m}x{n} {by_rows}: {v} against {exact}");
            }
        }
    }
}
