use super::*;
use crate::dtype::{DType, Element};
use crate::ops::copy;
use crate::tensor::Tensor;

fn values<T: Element>(t: &Tensor) -> Vec<T> {
    let t = copy::contiguous("test", t).unwrap();
    // SAFETY: nobody else holds the copy.
    unsafe { t.as_slice::<T>() }.to_vec()
}
fn noise(n: usize, below: u64) -> Vec<i64> {
    let mut s = 99u64;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((s >> 20) % below) as i64 - below as i64 / 2
        })
        .collect()
}
/// NaN after everything; ties by place.
fn order(v: &[f64], descending: bool) -> Vec<i64> {
    let mut o: Vec<i64> = (0..v.len() as i64).collect();
    o.sort_by(|&a, &b| {
        let (a, b) = (v[a as usize], v[b as usize]);
        let up = a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal));
        if descending { up.reverse() } else { up }
    });
    o
}

#[test]
fn sorting_is_stable_for_every_dtype_length_and_direction() {
    for n in [1, 2, 37, 1000, 5000, 200_000] {
        for below in [5, 120, 1 << 30] {
            let whole = Tensor::from_slice("test", &noise(n, below), &[n]).unwrap();
            for dtype in [
                DType::F32,
                DType::F64,
                DType::I64,
                DType::I32,
                DType::U8,
                DType::I8,
                DType::F16,
                DType::Bool,
            ] {
                if n == 200_000 && dtype.size() < 4 {
                    continue;
                }
                let x = copy::cast("test", &whole, dtype).unwrap();
                let v: Vec<f64> = values(&copy::cast("test", &x, DType::F64).unwrap());
                for descending in [false, true] {
                    let (s, i) = sort(&x, 0, descending, true).unwrap();
                    let want = order(&v, descending);
                    assert_eq!(values::<i64>(&i), want, "{dtype} {n} {below}");
                    let s: Vec<f64> = values(&copy::cast("test", &s, DType::F64).unwrap());
                    assert!(s.iter().zip(&want).all(|(s, &w)| *s == v[w as usize]));
                }
            }
        }
    }
}

#[test]
fn special_values_sort_as_in_pytorch() {
    let v = [0.0f32, f32::NAN, -0.0, f32::INFINITY, -1.0, f32::NEG_INFINITY, 1e-40, -f32::NAN];
    let x = Tensor::from_slice("test", &v, &[8]).unwrap();
    assert_eq!(values::<i64>(&sort(&x, 0, false, true).unwrap().1), [5, 4, 0, 2, 6, 3, 1, 7]);
    assert_eq!(values::<i64>(&sort(&x, 0, true, true).unwrap().1), [1, 7, 3, 6, 0, 2, 4, 5]);
    let s: Vec<f32> = values(&sort(&x, 0, false, true).unwrap().0);
    assert!(s[3].is_sign_negative() && s[4] == 1e-40 && s[7].is_nan());
}

#[test]
fn axes_rows_and_tensors_without_axes_sort() {
    let x = Tensor::from_slice("test", &[3i32, 1, 2, 0, 5, 4], &[2, 3]).unwrap();
    let (s, i) = sort(&x, 0, false, false).unwrap();
    assert_eq!((values::<i32>(&s), values::<i64>(&i)), (vec![0, 1, 2, 3, 5, 4], vec![1, 0, 0, 0, 1, 1]));
    let t = x.with_layout(x.layout().permute(&[1, 0]));
    assert_eq!(values::<i32>(&sort(&t, 0, true, false).unwrap().0), [3, 5, 2, 4, 1, 0]);
    let one = Tensor::from_slice("test", &[7f64], &[]).unwrap();
    assert_eq!(sort(&one, 0, false, false).unwrap().0.shape(), &[] as &[usize]);
    let none = Tensor::zeros("test", &[0, 3], DType::F32).unwrap();
    assert_eq!(sort(&none, 0, false, false).unwrap().1.shape(), &[0, 3]);
    assert!(sort(&x, 2, false, false).is_err());
}

#[test]
fn the_largest_and_smallest_k_are_the_head_of_the_sorted_row() {
    for (n, below) in [(10, 4), (1000, 50), (20_000, 1 << 30)] {
        let v: Vec<f32> = noise(2 * n, below).iter().map(|&v| v as f32).collect();
        let x = Tensor::from_slice("test", &v, &[2, n]).unwrap();
        for k in [1, 3, 10, n / 2, n] {
            for largest in [true, false] {
                let (t, i) = topk(&x, k, 1, largest, true).unwrap();
                let (s, j) = sort(&x, 1, largest, true).unwrap();
                let head = |t: &Tensor| t.with_layout(t.layout().slice(1, 0, k, 1));
                assert_eq!(values::<f32>(&t), values::<f32>(&head(&s)));
                assert_eq!(values::<i64>(&i), values::<i64>(&head(&j)));
            }
            let (kth, place) = kthvalue(&x, k, -1).unwrap();
            let s: Vec<f32> = values(&sort(&x, 1, false, true).unwrap().0);
            assert_eq!(values::<f32>(&kth), [s[k - 1], s[n + k - 1]]);
            assert_eq!(v[values::<i64>(&place)[0] as usize], s[k - 1]);
        }
    }
    let x = Tensor::from_slice("test", &[1f32, 2.0], &[2]).unwrap();
    assert!(topk(&x, 3, 0, true, true).is_err() && kthvalue(&x, 0, 0).is_err());
    assert_eq!(topk(&x, 0, 0, true, true).unwrap().0.shape(), &[0]);
}

#[test]
fn the_median_is_the_lower_one_and_nan_wins() {
    let x = Tensor::from_slice("test", &[4f32, 1.0, 3.0, 2.0, f32::NAN, 0.0, 1.0, 2.0], &[2, 4]).unwrap();
    let (m, i) = median(&x, 1).unwrap();
    let m: Vec<f32> = values(&m);
    assert!(m[0] == 2.0 && m[1].is_nan());
    assert_eq!(values::<i64>(&i), [3, 0]);
    assert_eq!(median(&x, 0).unwrap().0.shape(), &[4]);
    assert!(median(&Tensor::zeros("test", &[0], DType::F32).unwrap(), 0).is_err());
}

#[test]
fn unique_values_come_sorted_with_inverse_and_counts() {
    let x = Tensor::from_slice("test", &[3i64, 1, 3, -2, 1, 3], &[2, 3]).unwrap();
    let (v, inverse, counts) = unique(&x).unwrap();
    assert_eq!(values::<i64>(&v), [-2, 1, 3]);
    assert_eq!((inverse.shape(), values::<i64>(&inverse)), (&[2, 3][..], vec![2, 1, 2, 0, 1, 2]));
    assert_eq!(values::<i64>(&counts), [1, 2, 3]);
    let nans = Tensor::from_slice("test", &[f32::NAN, 0.0, f32::NAN, -0.0], &[4]).unwrap();
    assert_eq!(values::<i64>(&unique(&nans).unwrap().2), [2, 1, 1]);
    assert_eq!(unique(&Tensor::zeros("test", &[0], DType::F32).unwrap()).unwrap().0.shape(), &[0]);
}

#[test]
fn binary_search_finds_both_sides() {
    let s = Tensor::from_slice("test", &[1f32, 3.0, 3.0, 5.0], &[4]).unwrap();
    let v = Tensor::from_slice("test", &[0f32, 3.0, 4.0, 9.0, f32::NAN, 1.0], &[2, 3]).unwrap();
    assert_eq!(values::<i64>(&searchsorted(&s, &v, false).unwrap()), [0, 1, 3, 4, 4, 0]);
    assert_eq!(values::<i64>(&searchsorted(&s, &v, true).unwrap()), [0, 3, 3, 4, 4, 1]);
    assert!(searchsorted(&v, &s, false).is_err());
}
