//! Copies between layouts and types against element-by-element code.

use lectorium::ops::copy;
use lectorium::{DType, Element, Layout, Scalar, Tensor};

fn list<T: Element>(t: &Tensor) -> Vec<T> {
    let (shape, strides) = (t.shape(), t.strides());
    (0..t.numel())
        .map(|mut i| {
            let mut offset = 0;
            for axis in (0..shape.len()).rev() {
                offset += (i % shape[axis]) as isize * strides[axis];
                i /= shape[axis];
            }
            // SAFETY: within the layout.
            unsafe { *t.ptr::<T>().offset(offset) }
        })
        .collect()
}

fn counting(shape: &[usize], dtype: DType) -> Tensor {
    let n = shape.iter().product();
    let t = copy::arange("t", Scalar::Int(0), Scalar::Int(1), n, DType::I64).unwrap();
    copy::cast("t", &t.with_layout(Layout::contiguous(shape)), dtype).unwrap()
}

#[test]
fn permuted_tensors_become_contiguous_in_every_type() {
    for shape in [[2usize, 3, 5], [33, 65, 40], [1, 200, 130], [70, 1, 90], [4, 4, 300]] {
        for axes in [[0, 2, 1], [1, 0, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            for dtype in [DType::U8, DType::I16, DType::F32, DType::I64] {
                let x = counting(&shape, dtype);
                let x = x.with_layout(x.layout().permute(&axes));
                let y = copy::contiguous("t", &x).unwrap();
                assert!(y.is_contiguous());
                match dtype {
                    DType::U8 => assert_eq!(list::<u8>(&y), list::<u8>(&x)),
                    DType::I16 => assert_eq!(list::<i16>(&y), list::<i16>(&x)),
                    DType::F32 => assert_eq!(list::<f32>(&y), list::<f32>(&x)),
                    _ => assert_eq!(list::<i64>(&y), list::<i64>(&x)),
                }
                // And back, into a strided destination.
                let z = x.with_layout(x.layout().clone());
                copy::copy_into("t", &z, &y).unwrap();
                assert_eq!(
                    copy::cast("t", &z, DType::F64).map(|z| list::<f64>(&z)).unwrap(),
                    copy::cast("t", &y, DType::F64).map(|y| list::<f64>(&y)).unwrap()
                );
            }
        }
    }
}

#[test]
fn slices_flips_and_broadcasts_are_copied() {
    let x = counting(&[50, 60], DType::F32);
    let flipped = x.with_layout(x.layout().slice(1, 59, 30, -2).slice(0, 49, 50, -1));
    assert_eq!(list::<f32>(&copy::clone("t", &flipped).unwrap()), list::<f32>(&flipped));
    let dst = Tensor::zeros("t", &[40, 50, 30], DType::F32).unwrap();
    copy::copy_into("t", &dst, &flipped).unwrap();
    let part = dst.with_layout(dst.layout().select(0, 39));
    assert_eq!(list::<f32>(&part), list::<f32>(&flipped));
    let column = x.with_layout(x.layout().slice(1, 3, 1, 1));
    let dst = Tensor::zeros("t", &[50, 700], DType::F64).unwrap();
    copy::copy_into("t", &dst, &column).unwrap();
    assert_eq!(list::<f64>(&dst)[700 * 7 + 650], list::<f32>(&column)[7] as f64);
}

#[test]
fn a_shifted_view_of_itself_is_copied_as_if_read_first() {
    let x = counting(&[5000], DType::I64);
    let lo = x.with_layout(x.layout().slice(0, 0, 4990, 1));
    let hi = x.with_layout(x.layout().slice(0, 10, 4990, 1));
    copy::copy_into("t", &hi, &lo).unwrap();
    assert_eq!(list::<i64>(&hi), (0..4990).collect::<Vec<_>>());
    let m = counting(&[40, 40], DType::I64);
    let t = m.with_layout(m.layout().permute(&[1, 0]));
    let want = list::<i64>(&t);
    copy::copy_into("t", &m, &t).unwrap();
    assert_eq!(list::<i64>(&m), want);
}

#[test]
fn every_pair_of_types_converts_small_integers_exactly() {
    let x = Tensor::from_slice("t", &[0i64, 1, 1, 0, 1], &[5]).unwrap();
    for a in DType::ALL {
        for b in DType::ALL {
            let y = copy::cast("t", &copy::cast("t", &x, a).unwrap(), b).unwrap();
            assert_eq!(y.dtype(), b);
            assert_eq!(list::<i64>(&copy::cast("t", &y, DType::I64).unwrap()), [0, 1, 1, 0, 1], "{a} to {b}");
        }
    }
}

#[test]
fn bfloat16_rounds_to_even_and_keeps_nan() {
    let v: Vec<f32> = (0..4000)
        .map(|i: u32| f32::from_bits(i.wrapping_mul(2_654_435_761)))
        .chain([f32::NAN, f32::INFINITY, -0.0, f32::MAX, f32::from_bits(0x7f80_0001)])
        .collect();
    let y = copy::cast("t", &Tensor::from_slice("t", &v, &[v.len()]).unwrap(), DType::BF16).unwrap();
    for (v, y) in v.iter().zip(list::<half::bf16>(&y)) {
        let want = half::bf16::from_f32(*v);
        assert!(y.to_bits() == want.to_bits() || (v.is_nan() && y.is_nan()), "{v}");
    }
}

#[test]
fn fill_and_full_reach_every_element_and_no_other() {
    let x = Tensor::zeros("t", &[300, 301], DType::F32).unwrap();
    let part = x.with_layout(x.layout().slice(1, 1, 150, 2));
    copy::fill("t", &part, Scalar::Float(2.0)).unwrap();
    assert_eq!(list::<f32>(&x).iter().sum::<f32>(), 2.0 * 300.0 * 150.0);
    let y = copy::full("t", &[70_001], Scalar::Int(3), DType::U8).unwrap();
    assert!(list::<u8>(&y).iter().all(|&v| v == 3));
    let a = copy::arange("t", Scalar::Float(0.5), Scalar::Float(0.25), 5, DType::F32).unwrap();
    assert_eq!(list::<f32>(&a), [0.5, 0.75, 1.0, 1.25, 1.5]);
}

#[test]
fn float16_is_rounded_to_nearest_even_and_int64_saturates() {
    let mut x: Vec<f32> = (0..=u16::MAX).map(|b| half::f16::from_bits(b).to_f32()).collect();
    // Between neighbours: the middle, and a little to each side.
    for i in 1..0x7c01u16 {
        let (a, b) = (half::f16::from_bits(i - 1).to_f32(), half::f16::from_bits(i).to_f32());
        let middle = if b.is_infinite() { 65520.0 } else { a + (b - a) / 2.0 };
        x.extend([middle, middle.next_up(), middle.next_down(), -middle]);
    }
    x.extend([1e30, -1e30, f32::MAX, 1e-20, -1e-20, 65519.0, 65535.0]);
    let y = copy::cast("t", &Tensor::from_slice("t", &x, &[x.len()]).unwrap(), DType::F16).unwrap();
    for (got, &v) in list::<half::f16>(&y).iter().zip(&x) {
        let want = half::f16::from_f32(v);
        assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{v}: {got} {want}");
    }
    let x = [1.9f32, -1.9, 0.0, 1e10, -1e15, 1e19, -1e19, f32::NAN, f32::INFINITY, 2.0e15, 2.3e15];
    let y = copy::cast("t", &Tensor::from_slice("t", &x, &[x.len()]).unwrap(), DType::I64).unwrap();
    assert_eq!(list::<i64>(&y), x.map(|v| v as i64));
}

#[test]
fn ranges_count_in_every_type() {
    for dtype in [DType::I64, DType::I32, DType::F32, DType::F64, DType::U8] {
        let t = copy::arange("t", Scalar::Int(3), Scalar::Int(2), 100, dtype).unwrap();
        let want: Vec<f64> = (0..100).map(|i| (3 + 2 * i) as f64).collect();
        assert_eq!(list::<f64>(&copy::cast("t", &t, DType::F64).unwrap()), want);
    }
    let t = copy::arange("t", Scalar::Float(0.5), Scalar::Float(0.25), 70_000, DType::F32).unwrap();
    assert!(list::<f32>(&t).iter().enumerate().all(|(i, &v)| v == 0.5 + i as f32 * 0.25));
}

#[test]
fn pictures_change_between_channel_orders() {
    for (n, c, hw) in
        [(2usize, 1usize, 100usize), (3, 2, 65), (2, 3, 4096), (1, 3, 130), (2, 65, 100), (2, 64, 64)]
    {
        for dtype in [DType::U8, DType::F32, DType::I64] {
            for shape in [[n, c, hw], [n, hw, c]] {
                let x = counting(&shape, dtype);
                let x = x.with_layout(x.layout().permute(&[0, 2, 1]));
                let y = copy::contiguous("t", &x).unwrap();
                match dtype {
                    DType::U8 => assert_eq!(list::<u8>(&y), list::<u8>(&x)),
                    DType::F32 => assert_eq!(list::<f32>(&y), list::<f32>(&x)),
                    _ => assert_eq!(list::<i64>(&y), list::<i64>(&x)),
                }
            }
        }
    }
}
