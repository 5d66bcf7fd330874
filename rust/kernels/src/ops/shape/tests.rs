use super::*;
use crate::dtype::{DType, Element, Scalar};
use crate::ops::copy;

fn range(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::from_slice("test", &(0..n).map(|i| i as f32).collect::<Vec<_>>(), shape).unwrap()
}
fn values<T: Element>(t: &Tensor) -> Vec<T> {
    let t = copy::contiguous("test", t).unwrap();
    // SAFETY: nobody else holds the copy.
    unsafe { t.as_slice::<T>() }.to_vec()
}
fn permuted(t: &Tensor, axes: &[usize]) -> Tensor {
    t.with_layout(t.layout().permute(axes))
}

#[test]
fn cat_joins_on_every_axis_and_promotes() {
    let (a, b) = (range(&[2, 3]), range(&[2, 3]));
    assert_eq!(values::<f32>(&cat(&[&a, &b], 0).unwrap()), [0., 1., 2., 3., 4., 5., 0., 1., 2., 3., 4., 5.]);
    let want = [0., 1., 2., 0., 1., 2., 3., 4., 5., 3., 4., 5.];
    assert_eq!(values::<f32>(&cat(&[&a, &b], -1).unwrap()), want);
    let strided = permuted(&permuted(&b, &[1, 0]), &[1, 0]);
    let flipped = copy::contiguous("test", &permuted(&b, &[1, 0])).unwrap();
    assert_eq!(values::<f32>(&cat(&[&a, &permuted(&flipped, &[1, 0])], 1).unwrap()), want);
    assert_eq!(values::<f32>(&cat(&[&strided, &b], 1).unwrap()), want);
    let whole = copy::cast("test", &b, DType::I32).unwrap();
    let mixed = cat(&[&whole, &a], 1).unwrap();
    assert_eq!((mixed.dtype(), values::<f32>(&mixed)), (DType::F32, want.to_vec()));
    let empty = Tensor::zeros("test", &[0], DType::F32).unwrap();
    assert_eq!(cat(&[&empty, &a], 1).unwrap().shape(), &[2, 3]);
    assert_eq!(cat(&[&empty, &empty], 0).unwrap().shape(), &[0]);
    let message = cat(&[&a, &range(&[3, 3])], 1).err().unwrap().to_string();
    assert_eq!(message, "cat: shapes must be equal except on axis 1, got [2, 3], [3, 3]");
    assert!(cat(&[], 0).is_err() && cat(&[&range(&[])], 0).is_err());
}

#[test]
fn cat_of_ragged_large_parts_is_exact() {
    let parts: Vec<Tensor> = [1000, 1, 0, 777].iter().map(|&n| range(&[301, n])).collect();
    let out = cat(&parts.iter().collect::<Vec<_>>(), 1).unwrap();
    let v: Vec<f32> = values(&out);
    assert_eq!(out.shape(), &[301, 1778]);
    for r in [0, 7, 300] {
        assert_eq!(v[r * 1778 + 999], (r * 1000 + 999) as f32);
        assert_eq!(v[r * 1778 + 1000], r as f32);
        assert_eq!(v[r * 1778 + 1777], (r * 777 + 776) as f32);
    }
}

#[test]
fn constant_padding_pads_and_crops() {
    let x = range(&[2, 3]);
    let y = pad_constant(&x, &[(1, 0), (-1, 2)], Scalar::Float(9.0)).unwrap();
    assert_eq!(
        (y.shape(), values::<f32>(&y)),
        (&[3, 4][..], vec![9., 9., 9., 9., 1., 2., 9., 9., 4., 5., 9., 9.])
    );
    assert_eq!(
        values::<f32>(&pad_constant(&permuted(&x, &[1, 0]), &[(0, 0), (0, 1)], Scalar::Int(7)).unwrap()),
        [0., 3., 7., 1., 4., 7., 2., 5., 7.]
    );
    assert_eq!(values::<f32>(&pad_constant(&x, &[(0, 0), (-5, 4)], Scalar::Int(1)).unwrap()), [1.0; 4]);
    assert_eq!(pad_constant(&range(&[0, 2]), &[(1, 0), (0, 0)], Scalar::Int(1)).unwrap().shape(), &[1, 2]);
    assert!(pad_constant(&x, &[(0, 0), (-2, -2)], Scalar::Int(0)).is_err());
    assert!(pad_constant(&x, &[(isize::MAX, isize::MAX), (0, 0)], Scalar::Int(0)).is_err());
}

#[test]
fn mirrors_rolls_repeats_and_triangles_agree_with_their_definitions() {
    let x = range(&[2, 3]);
    assert_eq!(values::<f32>(&flip(&x, &[1]).unwrap()), [2., 1., 0., 5., 4., 3.]);
    assert_eq!(values::<f32>(&flip(&x, &[0, -1]).unwrap()), [5., 4., 3., 2., 1., 0.]);
    assert_eq!(values::<f32>(&roll(&x, &[1], &[1]).unwrap()), [2., 0., 1., 5., 3., 4.]);
    assert_eq!(values::<f32>(&roll(&x, &[-2, 1], &[1, 0]).unwrap()), [5., 3., 4., 2., 0., 1.]);
    assert_eq!(values::<f32>(&roll(&permuted(&x, &[1, 0]), &[1], &[]).unwrap()), [5., 0., 3., 1., 4., 2.]);
    assert!(roll(&x, &[1, 2], &[0]).is_err());
    assert_eq!(
        values::<f32>(&repeat_interleave(&x, 2, 1).unwrap()),
        [0., 0., 1., 1., 2., 2., 3., 3., 4., 4., 5., 5.]
    );
    assert_eq!(
        values::<f32>(&repeat_interleave(&x, 2, 0).unwrap()),
        [0., 1., 2., 0., 1., 2., 3., 4., 5., 3., 4., 5.]
    );
    assert_eq!(repeat_interleave(&x, 0, 0).unwrap().shape(), &[0, 3]);
    let s = range(&[2, 3, 3]);
    for d in -4..5 {
        let (l, u): (Vec<f32>, Vec<f32>) = (values(&tril(&s, d).unwrap()), values(&triu(&s, d).unwrap()));
        for i in 0..18 {
            let right = (i % 3) as i64 - (i / 3 % 3) as i64;
            assert_eq!(l[i], if right <= d { i as f32 } else { 0.0 });
            assert_eq!(u[i], if right >= d { i as f32 } else { 0.0 });
        }
    }
    assert!(tril(&range(&[3]), 0).is_err());
    assert_eq!(values::<i64>(&eye(2, 3, DType::I64).unwrap()), [1, 0, 0, 0, 1, 0]);
    assert_eq!(values::<f32>(&linspace(0.0, 1.0, 5, DType::F32).unwrap()), [0., 0.25, 0.5, 0.75, 1.]);
    assert_eq!(values::<f64>(&linspace(3.0, 1.0, 1, DType::F64).unwrap()), [3.0]);
}

#[test]
fn padding_by_index_follows_the_three_modes() {
    let x = range(&[1, 4]);
    let pad = |p: &[isize], m| values::<f32>(&pad_index(&x, p, m).unwrap());
    assert_eq!(pad(&[2, 3], PadMode::Reflect), [2., 1., 0., 1., 2., 3., 2., 1., 0.]);
    assert_eq!(pad(&[2, 1], PadMode::Replicate), [0., 0., 0., 1., 2., 3., 3.]);
    assert_eq!(pad(&[2, 1], PadMode::Circular), [2., 3., 0., 1., 2., 3., 0.]);
    assert_eq!(pad(&[-1, 2], PadMode::Reflect), [1., 2., 3., 2., 1.]);
    assert_eq!(pad(&[2, -1], PadMode::Circular), [1., 2., 0., 1., 2.]);
    assert_eq!(pad(&[5, -3], PadMode::Replicate), [0.0; 6]);
    assert!(pad_index(&x, &[4, 0], PadMode::Reflect).is_err());
    assert!(pad_index(&x, &[5, 0], PadMode::Circular).is_err());
    assert!(pad_index(&x, &[1], PadMode::Reflect).is_err());
    let plane = range(&[2, 3, 3]);
    let y = pad_index(&plane, &[1, 1, 2, 0], PadMode::Reflect).unwrap();
    assert_eq!(y.shape(), &[2, 5, 5]);
    assert_eq!(values::<f32>(&y)[..5], [7., 6., 7., 8., 7.]);
}

#[test]
fn the_gradient_of_padding_is_its_transpose() {
    for mode in [PadMode::Reflect, PadMode::Replicate, PadMode::Circular] {
        for pads in [&[1, 2][..], &[2, -1, 1, 1], &[1, 0, -1, 2, 1, 1]] {
            let x = range(&[2, 3, 4, 5]);
            let y = pad_index(&x, pads, mode).unwrap();
            let g = range(y.shape());
            let dx = pad_index_grad(&g, x.shape(), pads, mode).unwrap();
            let dot = |a: &Tensor, b: &Tensor| -> f64 {
                values::<f32>(a).iter().zip(values::<f32>(b)).map(|(&a, b)| a as f64 * b as f64).sum()
            };
            assert_eq!(dot(&y, &g), dot(&x, &dx), "{mode:?} {pads:?}");
        }
    }
}

#[test]
fn view_gradients_add_where_views_overlap() {
    let x = range(&[3, 10]);
    for (size, step) in [(3, 1), (2, 2), (4, 3), (10, 1)] {
        let v = unfold(&x, 1, size, step).unwrap();
        let windows = (10 - size) / step + 1;
        assert_eq!(v.shape(), &[3, windows, size]);
        let g = range(v.shape());
        let got: Vec<f32> = values(&as_strided_scatter_add(&g, 30, 0, v.strides()).unwrap());
        let mut want = vec![0f32; 30];
        for i in 0..g.numel() {
            let (k, w, r) = (i % size, i / size % windows, i / size / windows);
            want[r * 10 + w * step + k] += i as f32;
        }
        assert_eq!(got, want);
    }
    // An expanded view, and one that runs backwards.
    let g = range(&[4, 3]);
    assert_eq!(values::<f32>(&as_strided_scatter_add(&g, 5, 1, &[0, 1]).unwrap()), [0., 18., 22., 26., 0.]);
    assert_eq!(values::<f32>(&as_strided_scatter_add(&range(&[3]), 4, 3, &[-1]).unwrap()), [0., 2., 1., 0.]);
    assert!(as_strided_scatter_add(&g, 5, 3, &[0, 1]).is_err());
    assert!(as_strided_scatter_add(&g, 5, 0, &[isize::MAX, 1]).is_err());
    assert!(unfold(&x, 1, 11, 1).is_err() && unfold(&x, 1, 1, 0).is_err());
}

#[test]
fn diagonals_are_views_with_the_diagonal_last() {
    let x = range(&[2, 3, 4]);
    let d = diagonal(&x, 1, 1, 2).unwrap();
    assert_eq!((d.shape(), values::<f32>(&d)), (&[2, 3][..], vec![1., 6., 11., 13., 18., 23.]));
    assert_eq!(values::<f32>(&diagonal(&x, -1, 0, 1).unwrap()), [12., 13., 14., 15.]);
    assert_eq!(diagonal(&x, 9, 0, 1).unwrap().shape(), &[4, 0]);
    assert!(diagonal(&x, 0, 1, 1).is_err() && diagonal(&range(&[3]), 0, 0, 1).is_err());
}
