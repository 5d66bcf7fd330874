use super::*;
use crate::dtype::{Element, Scalar};

fn i64s(v: &[i64], shape: &[usize]) -> Tensor {
    Tensor::from_slice("test", v, shape).unwrap()
}
fn f32s(v: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_slice("test", v, shape).unwrap()
}
fn bools(v: &[u8], shape: &[usize]) -> Tensor {
    let v: Vec<crate::dtype::Bool> = v.iter().map(|&b| crate::dtype::Bool(b)).collect();
    Tensor::from_slice("test", &v, shape).unwrap()
}
fn range(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    f32s(&(0..n).map(|i| i as f32).collect::<Vec<_>>(), shape)
}
fn values<T: Element>(t: &Tensor) -> Vec<T> {
    let t = copy::contiguous("test", t).unwrap();
    // SAFETY: nobody else holds the copy.
    unsafe { t.as_slice::<T>() }.to_vec()
}
fn permuted(t: &Tensor, axes: &[usize]) -> Tensor {
    t.with_layout(t.layout().permute(axes))
}
/// Small numbers that look random.
fn noise(n: usize, below: usize) -> Vec<i64> {
    let mut s = 12345u64;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((s >> 33) as usize % below) as i64
        })
        .collect()
}

/// The element of a row-major list at an index.
fn at(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |f, (&d, &i)| f * d + i)
}

#[test]
fn gather_and_scatter_agree_with_loops_on_every_axis_and_layout() {
    let full = [5, 7, 6];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let x = permuted(&range(&full), &order);
        let shape = x.shape().to_vec();
        let flat: Vec<f32> = values(&x);
        for axis in 0..3 {
            let mut small = shape.clone();
            small.iter_mut().enumerate().for_each(|(a, d)| *d = if a == axis { 9 } else { *d - 1 });
            let n: usize = small.iter().product();
            let idx = noise(n, shape[axis]);
            let index = i64s(&idx, &small);
            let got: Vec<f32> = values(&gather(&x, axis as isize, &index).unwrap());
            let src = range(&small);
            let (mut set, mut added, mut filled) = (flat.clone(), flat.clone(), flat.clone());
            for i in 0..n {
                let (c, b, a) = (i % small[2], i / small[2] % small[1], i / small[2] / small[1]);
                let mut place = [a, b, c];
                place[axis] = idx[i] as usize;
                let p = at(&shape, &place);
                assert_eq!(got[i], flat[p]);
                set[p] = i as f32;
                added[p] += i as f32;
                filled[p] = -3.0;
            }
            assert_eq!(values::<f32>(&scatter(&x, axis as isize, &index, &src).unwrap()), set);
            assert_eq!(values::<f32>(&scatter_add(&x, axis as isize, &index, &src).unwrap()), added);
            assert_eq!(
                values::<f32>(&scatter_value(&x, axis as isize, &index, Scalar::Int(-3)).unwrap()),
                filled
            );
        }
    }
}

#[test]
fn a_large_scatter_add_is_complete() {
    let idx = noise(200_000, 50);
    let index = i64s(&idx, &[1000, 200]);
    let ones = f32s(&vec![1.0; 200_000], &[1000, 200]);
    for axis in 0..2 {
        let shape = if axis == 0 { [50, 200] } else { [1000, 50] };
        let zeros = Tensor::zeros("test", &shape, DType::F32).unwrap();
        let out = scatter_add(&zeros, axis, &index, &ones).unwrap();
        assert_eq!(values::<f32>(&out).iter().sum::<f32>(), 200_000.0);
    }
}

#[test]
fn an_index_out_of_range_names_itself_its_axis_and_the_size() {
    let x = range(&[3, 4]);
    let bad = i64s(&[0, 3, -1, 7], &[1, 4]);
    let message = gather(&x, 0, &bad).err().unwrap().to_string();
    assert_eq!(message, "gather: index 3 is out of range for axis 0 of size 3: expected 0 to 2");
    assert!(matches!(scatter(&x, 0, &bad, &x), Err(Error::Index { .. })));
    let message = index_select(&x, 1, &i64s(&[-1], &[1])).err().unwrap().to_string();
    assert_eq!(message, "index_select: index -1 is out of range for axis 1 of size 4: expected 0 to 3");
    let row = i64s(&[-4], &[1]);
    let message = index_get(&x, &[Some(&row)]).err().unwrap().to_string();
    assert_eq!(message, "index: index -4 is out of range for axis 0 of size 3: expected -3 to 2");
    let before: Vec<f32> = values(&x);
    let mixed = i64s(&[0, 9], &[2]);
    assert!(index_put(&x, &[Some(&mixed)], &f32s(&[5.0], &[]), false).is_err());
    assert_eq!(values::<f32>(&x), before);
}

#[test]
fn advanced_indexing_places_the_index_axes_as_numpy_does() {
    let x = range(&[3, 4, 5, 6]);
    let i = i64s(&[0, 2, -1], &[3]);
    let j = i64s(&[1, 0], &[2, 1]);
    // Adjacent: in place. x[:, i, j] -> [3, 2, 3, 6]
    let y = index_get(&x, &[None, Some(&i), Some(&j)]).unwrap();
    assert_eq!(y.shape(), &[3, 2, 3, 6]);
    let v: Vec<f32> = values(&y);
    assert_eq!(v[at(&[3, 2, 3, 6], &[2, 0, 2, 4])], at(&[3, 4, 5, 6], &[2, 3, 1, 4]) as f32);
    // Apart: in front. x[i, :, j] -> [2, 3, 4, 6]
    let y = index_get(&x, &[Some(&i), None, Some(&j)]).unwrap();
    assert_eq!(y.shape(), &[2, 3, 4, 6]);
    let v: Vec<f32> = values(&y);
    assert_eq!(v[at(&[2, 3, 4, 6], &[1, 1, 3, 5])], at(&[3, 4, 5, 6], &[2, 3, 0, 5]) as f32);
    // Strided input, all axes indexed.
    let t = permuted(&x, &[3, 2, 1, 0]);
    let k = i64s(&[2, -4, 0], &[3]);
    let y = index_get(&t, &[Some(&i), Some(&i), Some(&k), Some(&i)]).unwrap();
    let want = [[0, 0, 2, 0], [2, 2, 0, 2], [5, 4, 0, 2]]
        .map(|p| at(&[3, 4, 5, 6], &[p[3], p[2], p[1], p[0]]) as f32);
    assert_eq!(values::<f32>(&y), want);
}

#[test]
fn masks_select_put_and_count_axes() {
    let x = range(&[3, 4]);
    let mask = bools(&[1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1], &[3, 4]);
    assert_eq!(values::<f32>(&index_get(&x, &[Some(&mask)]).unwrap()), [0.0, 3.0, 6.0, 11.0]);
    let t = permuted(&x, &[1, 0]);
    let tm = permuted(&mask, &[1, 0]);
    assert_eq!(values::<f32>(&index_get(&t, &[Some(&tm)]).unwrap()), [0.0, 6.0, 3.0, 11.0]);
    assert_eq!(values::<f32>(&masked_select(&t, &tm).unwrap()), [0.0, 6.0, 3.0, 11.0]);
    let rows = bools(&[1, 0, 1], &[3]);
    let y = index_get(&x, &[Some(&rows)]).unwrap();
    assert_eq!((y.shape(), values::<f32>(&y)[4]), (&[2, 4][..], 8.0));
    let columns = bools(&[0, 1, 1, 0], &[4]);
    assert_eq!(index_get(&x, &[None, Some(&columns)]).unwrap().shape(), &[3, 2]);
    index_put(&t, &[Some(&tm)], &f32s(&[-1.0], &[]), false).unwrap();
    assert_eq!(values::<f32>(&x), [-1., 1., 2., -1., 4., 5., -1., 7., 8., 9., 10., -1.]);
    let wrong = bools(&[1, 0], &[2]);
    let message = index_get(&x, &[Some(&wrong)]).err().unwrap().to_string();
    assert!(message.contains("[2]") && message.contains("[3, 4]"), "{message}");
    let yes = bools(&[1], &[]);
    assert_eq!(index_get(&x, &[Some(&yes)]).unwrap().shape(), &[1, 3, 4]);
    let no = bools(&[0], &[]);
    assert_eq!(index_get(&x, &[Some(&no)]).unwrap().shape(), &[0, 3, 4]);
    assert!(index_get(&x, &[None, None, Some(&rows)]).is_err());
}

#[test]
fn put_replaces_in_order_or_adds_every_duplicate() {
    let x = range(&[4, 40]);
    let i = i64s(&[1, 1, -1, 1], &[4]);
    let src = f32s(&(0..160).map(|v| 1000.0 + v as f32).collect::<Vec<_>>(), &[4, 40]);
    let put = copy::clone("test", &x).unwrap();
    index_put(&put, &[Some(&i)], &src, false).unwrap();
    let v: Vec<f32> = values(&put);
    assert_eq!((v[0], v[40], v[79], v[120]), (0.0, 1120.0, 1159.0, 1080.0));
    let version = put.storage().version();
    index_put(&put, &[Some(&i)], &src, true).unwrap();
    assert!(put.storage().version() > version);
    assert_eq!(values::<f32>(&put)[41], 1121.0 + 1001.0 + 1041.0 + 1121.0);
    // A strided destination and a value that shares its memory.
    let t = permuted(&x, &[1, 0]);
    let rows = i64s(&[0, 1], &[2]);
    let from = x.with_layout(x.layout().slice(1, 2, 2, 1).permute(&[1, 0]));
    index_put(&t, &[Some(&rows)], &from, false).unwrap();
    assert_eq!(values::<f32>(&x)[..4], [2.0, 3.0, 2.0, 3.0]);
    assert!(index_put(&x, &[Some(&i)], &range(&[3]), false).is_err());
}

#[test]
fn the_gradient_of_indexing_adds_up_in_every_size() {
    for (n, d) in [(5, 3), (1000, 33), (3000, 64)] {
        let idx = noise(n, 17);
        let index = i64s(&idx, &[n]);
        let g = f32s(&(0..n * d).map(|i| (i % 7) as f32).collect::<Vec<_>>(), &[n, d]);
        let mut want = vec![0f32; 17 * d];
        for b in 0..n {
            for c in 0..d {
                want[idx[b] as usize * d + c] += ((b * d + c) % 7) as f32;
            }
        }
        assert_eq!(values::<f32>(&index_get_grad(&g, &[17, d], &[Some(&index)]).unwrap()), want);
        let zeros = Tensor::zeros("test", &[17, d], DType::F32).unwrap();
        assert_eq!(values::<f32>(&index_add(&zeros, 0, &index, &g).unwrap()), want);
        let across = index_add(&permuted(&zeros, &[1, 0]), 1, &index, &permuted(&g, &[1, 0])).unwrap();
        assert_eq!(values::<f32>(&permuted(&across, &[1, 0])), want);
    }
}

#[test]
fn rows_are_selected_along_any_axis_for_any_dtype() {
    let x = range(&[6, 5, 4]);
    let index = i64s(&[4, 0, 0, 2], &[4]);
    for axis in 0..3 {
        for dtype in DType::ALL.into_iter().filter(|&d| d != DType::Bool) {
            let x = copy::cast("test", &x, dtype).unwrap();
            let index = if axis == 2 { i64s(&[3, 0, 0, 2], &[4]) } else { index.clone() };
            let y = copy::cast("test", &index_select(&x, axis, &index).unwrap(), DType::F32).unwrap();
            let v: Vec<f32> = values(&y);
            let mut place = [3, 2, 1];
            place[axis as usize] = 3;
            let mut from = place;
            from[axis as usize] = 2;
            assert_eq!(v[at(y.shape(), &place)], at(&[6, 5, 4], &from) as f32, "{axis} {dtype}");
        }
    }
    let bytes = copy::cast("test", &index, DType::U8).unwrap();
    assert_eq!(index_select(&x, 0, &bytes).unwrap().shape(), &[4, 5, 4]);
    let empty = i64s(&[], &[0]);
    assert_eq!(index_select(&x, 1, &empty).unwrap().shape(), &[6, 0, 4]);
    assert!(matches!(index_select(&x, 0, &range(&[2])), Err(Error::DType { .. })));
}

#[test]
fn nonzero_finds_every_place_across_chunks() {
    let n = 100_000;
    let v: Vec<f32> = noise(n, 3).iter().map(|&v| if v == 0 { f32::NAN } else { v as f32 - 1.0 }).collect();
    let want: Vec<i64> = (0..n as i64).filter(|&i| v[i as usize] != 0.0).collect();
    let x = f32s(&v, &[n]);
    assert_eq!(values::<i64>(&nonzero(&x).unwrap()), want);
    let places = nonzero(&f32s(&v, &[100, 10, 100])).unwrap();
    let p: Vec<i64> = values(&places);
    assert_eq!(places.shape(), &[want.len(), 3]);
    assert!(want.iter().enumerate().all(|(i, &f)| p[3 * i] * 1000 + p[3 * i + 1] * 100 + p[3 * i + 2] == f));
    assert_eq!(values::<i64>(&nonzero(&f32s(&[-0.0, 1e-40, 0.0], &[3])).unwrap()), [1]);
    assert_eq!(nonzero(&f32s(&[2.0], &[])).unwrap().shape(), &[1, 0]);
    assert_eq!(nonzero(&f32s(&[], &[0, 3])).unwrap().shape(), &[0, 2]);
}

#[test]
fn masked_fill_broadcasts_both_ways() {
    let x = range(&[2, 3, 4]);
    for (mask, pick) in [
        (bools(&[1, 0, 0, 1], &[4]), (|i| i % 4 == 0 || i % 4 == 3) as fn(usize) -> bool),
        (bools(&[0, 1, 0], &[3, 1]), |i| i / 4 % 3 == 1),
        (bools(&[0, 1], &[2, 1, 1]), |i| i / 12 == 1),
        (bools(&[1], &[]), |_| true),
    ] {
        let want: Vec<f32> = (0..24).map(|i| if pick(i) { f32::NEG_INFINITY } else { i as f32 }).collect();
        assert_eq!(values::<f32>(&masked_fill(&x, &mask, Scalar::Float(f64::NEG_INFINITY)).unwrap()), want);
    }
    assert_eq!(masked_fill(&range(&[4]), &bools(&[1, 0], &[2, 1]), Scalar::Int(0)).unwrap().shape(), &[2, 4]);
    let whole = copy::cast("test", &x, DType::I64).unwrap();
    assert!(masked_fill(&whole, &bools(&[1], &[]), Scalar::Float(f64::INFINITY)).is_err());
}

#[test]
fn classes_are_counted_and_encoded() {
    let x = i64s(&[2, 0, 1, 2], &[2, 2]);
    let y = one_hot(&x, -1).unwrap();
    assert_eq!((y.shape(), values::<i64>(&y)), (&[2, 2, 3][..], vec![0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1]));
    assert!(
        one_hot(&x, 2).is_err()
            && one_hot(&i64s(&[-1], &[1]), 3).is_err()
            && one_hot(&i64s(&[], &[0]), -1).is_err()
    );
    assert_eq!(values::<i64>(&bincount(&i64s(&[2, 0, 2], &[3]), 5).unwrap()), [1, 0, 2, 0, 0]);
    assert!(bincount(&i64s(&[i64::MAX], &[1]), 0).is_err());
}
