use super::philox::{blocks, tile};
use super::*;
use crate::dtype::{DType, Element};
use crate::ops::copy;
use crate::parallel::set_num_threads;
use crate::tensor::Tensor;

fn values<T: Element>(t: &Tensor) -> Vec<T> {
    // SAFETY: tests hold their tensors alone.
    unsafe { t.as_slice::<T>() }.to_vec()
}
fn moments(v: &[f64]) -> (f64, f64, f64, f64) {
    let n = v.len() as f64;
    let mean = v.iter().sum::<f64>() / n;
    let m = |p| v.iter().map(|x| (x - mean).powi(p)).sum::<f64>() / n;
    let sd = m(2).sqrt();
    (mean, sd, m(3) / sd.powi(3), m(4) / sd.powi(4))
}

#[test]
fn philox_gives_the_published_numbers() {
    let t = tile(0, 0);
    assert_eq!([t[0][0], t[1][0], t[2][0], t[3][0]], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    // Lane 1 is the block with counter 1.
    assert_eq!(tile(7, 5)[2][1], tile(7, 6)[2][0]);
}

#[test]
fn numbers_do_not_depend_on_threads_and_a_shorter_call_is_a_prefix() {
    for dtype in [DType::F32, DType::F64] {
        let make = |threads, n| {
            set_num_threads(threads);
            let g = Generator::new(11);
            g.reserve(1000);
            let t = normal(&g, &[n], dtype, 0.0, 1.0).unwrap();
            values::<f64>(&copy::cast("test", &t, DType::F64).unwrap())
        };
        let long = make(1, 100_003);
        assert_eq!(long, make(3, 100_003));
        assert_eq!(long[..16_401], make(2, 16_401));
    }
}

#[test]
fn the_state_restores_and_the_seed_starts_anew() {
    let g = Generator::new(3);
    let first: Vec<f32> = values(&uniform(&g, &[70], DType::F32, 0.0, 1.0).unwrap());
    let state = g.state();
    let second: Vec<f32> = values(&uniform(&g, &[70], DType::F32, 0.0, 1.0).unwrap());
    assert_ne!(first, second);
    g.set_state(state);
    assert_eq!(second, values::<f32>(&uniform(&g, &[70], DType::F32, 0.0, 1.0).unwrap()));
    g.set_seed(3);
    assert_eq!(first, values::<f32>(&uniform(&g, &[70], DType::F32, 0.0, 1.0).unwrap()));
    assert_eq!(g.state(), [3, blocks(70, 64)]);
}

#[test]
fn uniform_numbers_fill_their_half_open_range_evenly() {
    let g = Generator::new(1);
    for dtype in [DType::F32, DType::F64] {
        let t = uniform(&g, &[400_000], dtype, -2.0, 3.0).unwrap();
        let v = values::<f64>(&copy::cast("test", &t, DType::F64).unwrap());
        assert!(v.iter().all(|&x| (-2.0..3.0).contains(&x)));
        let mut bins = [0f64; 50];
        v.iter().for_each(|x| bins[((x + 2.0) * 10.0) as usize % 50] += 1.0);
        let chi: f64 = bins.iter().map(|b| (b - 8000.0).powi(2) / 8000.0).sum();
        assert!(chi < 95.0, "chi square of 49 degrees: {chi}");
    }
    // The upper end stays out where rounding is coarse.
    let v: Vec<f32> = values(&uniform(&g, &[100_000], DType::F32, 1e8, 1e8 + 16.0).unwrap());
    assert!(v.iter().all(|&x| (1e8..1e8 + 16.0).contains(&x)));
    assert!(
        uniform(&g, &[2], DType::F32, 1.0, 0.0).is_err() && uniform(&g, &[2], DType::I64, 0.0, 1.0).is_err()
    );
}

#[test]
fn normal_numbers_have_the_right_moments_and_tails() {
    let g = Generator::new(2);
    for dtype in [DType::F32, DType::F64] {
        let t = normal(&g, &[1_000_000], dtype, 1.0, 2.0).unwrap();
        let v = values::<f64>(&copy::cast("test", &t, DType::F64).unwrap());
        let (mean, sd, skew, kurtosis) = moments(&v);
        assert!((mean - 1.0).abs() < 0.008 && (sd - 2.0).abs() < 0.006, "{mean} {sd}");
        assert!(skew.abs() < 0.01 && (kurtosis - 3.0).abs() < 0.025, "{skew} {kurtosis}");
        for (sigmas, expected) in [(1.0, 317_310.5), (2.0, 45_500.3), (3.0, 2_699.8), (4.0, 63.3)] {
            let n = v.iter().filter(|&&x| ((x - 1.0) / 2.0).abs() > sigmas).count() as f64;
            assert!((n - expected).abs() < 5.0 * f64::sqrt(expected), "{dtype} {sigmas}: {n}");
        }
        let lag: f64 = v.windows(2).map(|w| (w[0] - 1.0) * (w[1] - 1.0)).sum::<f64>() / 4e6;
        let pair: f64 = v.windows(17).map(|w| (w[0] - 1.0) * (w[16] - 1.0)).sum::<f64>() / 4e6;
        assert!(lag.abs() < 0.005 && pair.abs() < 0.005, "{lag} {pair}");
    }
    assert!(normal(&g, &[1], DType::F32, 0.0, -1.0).is_err());
}

#[test]
fn the_logarithm_is_accurate_down_to_the_smallest_draw() {
    for i in 0..20_000u32 {
        let word = i.wrapping_mul(2_654_435_761);
        for word in [word, i, u32::MAX - i] {
            let u = super::dist::open_f32(word);
            let (got, want) = (super::normal::ln_f32(u) as f64, (u as f64).ln());
            assert!((got - want).abs() <= 1.5e-7 * want.abs(), "ln {u}: {got} {want}");
            let u = super::dist::open_f64((word as u64) << 32 | i as u64);
            let (got, want) = (super::normal::ln_f64(u), u.ln());
            assert!((got - want).abs() <= 3e-16 * want.abs(), "ln {u}: {got} {want}");
        }
    }
}

#[test]
fn integers_cover_their_range_in_every_dtype() {
    let g = Generator::new(4);
    for dtype in [DType::I64, DType::I32, DType::U8, DType::I8, DType::F32] {
        let t = randint(&g, &[60_000], 3, 9, dtype).unwrap();
        let mut bins = [0i64; 6];
        values::<i64>(&copy::cast("test", &t, DType::I64).unwrap())
            .iter()
            .for_each(|&v| bins[(v - 3) as usize] += 1);
        assert!(bins.iter().all(|b| (b - 10_000).abs() < 450), "{bins:?}");
    }
    let v: Vec<i64> = values(&randint(&g, &[10_000], i64::MIN, i64::MAX, DType::I64).unwrap());
    assert!(v.iter().any(|&v| v < -(1 << 62)) && v.iter().any(|&v| v > 1 << 62));
    assert!(randint(&g, &[1], 0, 257, DType::U8).is_err() && randint(&g, &[1], 2, 2, DType::I64).is_err());
    assert_eq!(randint(&g, &[0, 3], 0, 2, DType::I64).unwrap().shape(), &[0, 3]);
}

#[test]
fn permutations_are_permutations_and_fair() {
    let g = Generator::new(5);
    for n in [0, 1, 31, 32, 33, 1000] {
        let mut v: Vec<i64> = values(&randperm(&g, n).unwrap());
        v.sort_unstable();
        assert_eq!(v, (0..n as i64).collect::<Vec<_>>());
    }
    let mut seen = [[0i64; 4]; 4];
    for _ in 0..8000 {
        for (place, v) in values::<i64>(&randperm(&g, 4).unwrap()).into_iter().enumerate() {
            seen[place][v as usize] += 1;
        }
    }
    assert!(seen.iter().flatten().all(|s| (s - 2000).abs() < 200), "{seen:?}");
}

#[test]
fn coins_and_waiting_times_follow_their_parameters() {
    let g = Generator::new(6);
    let p: Vec<f32> = (0..100_000).map(|i| [0.0, 0.25, 1.0, 0.5][i % 4]).collect();
    let coins: Vec<f32> =
        values(&bernoulli(&g, &Tensor::from_slice("test", &p, &[100_000]).unwrap()).unwrap());
    let heads = |k: usize| coins.iter().skip(k).step_by(4).sum::<f32>();
    assert_eq!((heads(0), heads(2)), (0.0, 25_000.0));
    assert!((heads(1) - 6250.0).abs() < 350.0 && (heads(3) - 12_500.0).abs() < 400.0);
    assert!(bernoulli(&g, &Tensor::from_slice("test", &[f32::NAN], &[1]).unwrap()).is_err());
    for dtype in [DType::F32, DType::F64] {
        let t = exponential(&g, &[500_000], dtype, 2.0).unwrap();
        let v = values::<f64>(&copy::cast("test", &t, DType::F64).unwrap());
        let (mean, sd, skew, _) = moments(&v);
        assert!(v.iter().all(|&x| x > 0.0 && x.is_finite()));
        assert!((mean - 0.5).abs() < 0.004 && (sd - 0.5).abs() < 0.005 && (skew - 2.0).abs() < 0.08);
    }
    assert!(exponential(&g, &[1], DType::F32, 0.0).is_err());
}

#[test]
fn classes_are_drawn_by_weight_and_without_replacement_only_once() {
    let g = Generator::new(7);
    let p = Tensor::from_slice("test", &[1f32, 0.0, 3.0, 6.0, 0.0, 0.0, 5.0, 5.0], &[2, 4]).unwrap();
    let v: Vec<i64> = values(&multinomial(&g, &p, 20_000, true).unwrap());
    let count = |row: usize, class: i64| {
        v[row * 20_000..(row + 1) * 20_000].iter().filter(|&&c| c == class).count() as i64
    };
    assert_eq!((count(0, 1), count(1, 0), count(1, 1)), (0, 0, 0));
    assert!(
        (count(0, 0) - 2000).abs() < 220
            && (count(0, 3) - 12_000).abs() < 350
            && (count(1, 2) - 10_000).abs() < 350
    );
    for _ in 0..50 {
        let v: Vec<i64> = values(&multinomial(&g, &p, 2, false).unwrap());
        assert!(v[0] != v[1] && v[0] != 1 && v[1] != 1);
        assert_eq!(v[2] + v[3], 5);
    }
    assert!(multinomial(&g, &p, 3, false).is_err());
    let one = Tensor::from_slice("test", &[0.5f64, 0.5], &[2]).unwrap();
    assert_eq!(multinomial(&g, &one, 3, true).unwrap().shape(), &[3]);
    for bad in [[0.0f32, 0.0], [-1.0, 2.0], [f32::INFINITY, 1.0]] {
        assert!(multinomial(&g, &Tensor::from_slice("test", &bad, &[2]).unwrap(), 1, true).is_err());
    }
}

#[test]
fn dropout_is_linear_unbiased_and_repeats() {
    let dropout = |seed, offset, x: &Tensor, p| -> crate::error::Result<Tensor> {
        let (y, mask) = super::dropout(seed, offset, x, p)?;
        // The mask lets through what stayed, with the same scale.
        let again = dropout_grad(x, &mask, p)?;
        match x.dtype() {
            DType::F32 => assert_eq!(values::<f32>(&again), values::<f32>(&y)),
            _ => assert_eq!(values::<f64>(&again), values::<f64>(&y)),
        }
        Ok(y)
    };
    for n in [0, 1, 63, 64, 65, 40_001] {
        let x = Tensor::from_slice("test", &vec![1f32; n], &[n]).unwrap();
        let two = Tensor::from_slice("test", &vec![2f64; n], &[n]).unwrap();
        let a: Vec<f32> = values(&dropout(9, 100, &x, 0.25).unwrap());
        let b: Vec<f64> = values(&dropout(9, 100, &two, 0.25).unwrap());
        assert!(
            a.iter()
                .zip(&b)
                .all(|(&a, &b)| a == 0.0 && b == 0.0 || a == 4.0 / 3.0 && (b - 8.0 / 3.0).abs() < 1e-15)
        );
        if n > 1000 {
            let kept = a.iter().filter(|&&a| a != 0.0).count() as f64 / n as f64;
            assert!((kept - 0.75).abs() < 0.01);
        }
        assert_eq!(values::<f32>(&dropout(9, 100, &x, 0.0).unwrap()), vec![1.0; n]);
        assert_eq!(values::<f32>(&dropout(9, 100, &x, 1.0).unwrap()), vec![0.0; n]);
    }
    assert_eq!(dropout_offset_blocks(65), 32);
    let x = Tensor::from_slice("test", &[1f32], &[1]).unwrap();
    assert!(dropout(0, 0, &x, 1.5).is_err() && dropout(0, 0, &x, f64::NAN).is_err());
    let mask = Tensor::zeros("test", &[16], DType::U8).unwrap();
    let error = dropout_grad(&x, &mask, 0.5).err().unwrap().to_string();
    assert!(error.contains("expected a mask of [8] bytes for a gradient of 1 elements"), "{error}");
}
