use super::super::{ConvSpec, Geometry};
use super::*;
use crate::parallel::set_num_threads;
use crate::testing::{self, thread_count};

pub(super) fn values(n: usize, seed: u64) -> Vec<f32> {
    testing::values(n, seed).into_iter().map(|v| v as f32).collect()
}

pub(super) struct Case {
    pub geo: Geometry,
    pub x: Vec<f32>,
    pub w: Vec<f32>,
    pub bias: Vec<f32>,
    pub g: Vec<f32>,
}

/// Input `[n, c, h, w]`, weight `[o, c / groups, kh, kw]`.
pub(super) fn case(x: [usize; 4], w: [usize; 4], spec: ConvSpec) -> Case {
    let geo = Geometry::new("test", &x, &w, spec).unwrap();
    Case {
        geo,
        x: values(x.iter().product(), 1),
        w: values(w.iter().product(), 2),
        bias: values(geo.o, 3),
        g: values(geo.output().iter().product(), 4),
    }
}

impl Case {
    fn weight(&self) -> Tensor {
        Tensor::from_slice("test", &self.w, &[self.w.len()]).unwrap()
    }

    fn forward(&self, bias: bool) -> Vec<f32> {
        let run = |relu| {
            let mut out = vec![f32::NAN; self.g.len()];
            let finish = Finish { bias: bias.then_some(self.bias.as_ptr()), relu };
            // SAFETY: the vectors have the geometry's sizes.
            unsafe {
                forward("test", &self.geo, self.x.as_ptr(), &self.weight(), finish, out.as_mut_ptr()).unwrap()
            };
            out
        };
        let out = run(false);
        for (joined, v) in run(true).into_iter().zip(&out) {
            assert!(joined == v.max(0.0) || joined.is_nan() && v.is_nan(), "{joined} {v}");
        }
        out
    }

    fn input_grad(&self) -> Vec<f32> {
        let mut dx = vec![f32::NAN; self.x.len()];
        // SAFETY: as above.
        unsafe { input_grad("test", &self.geo, self.g.as_ptr(), &self.weight(), dx.as_mut_ptr()).unwrap() };
        dx
    }

    fn weight_grad(&self) -> Vec<f32> {
        let mut dw = vec![f32::NAN; self.w.len()];
        // SAFETY: as above.
        unsafe { weight_grad("test", &self.geo, self.g.as_ptr(), self.x.as_ptr(), dw.as_mut_ptr()).unwrap() };
        dw
    }

    fn passes(&self) -> [Vec<u32>; 3] {
        [self.forward(true), self.input_grad(), self.weight_grad()]
            .map(|v| v.into_iter().map(f32::to_bits).collect())
    }

    /// Calls `f(output, input, weight)` with the flat indices of every product.
    fn for_products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let geo = &self.geo;
        let ConvSpec { stride, padding, dilation, .. } = geo.spec;
        for (n, oy, ox) in
            (0..geo.n).flat_map(|n| (0..geo.oh * geo.ow).map(move |p| (n, p / geo.ow, p % geo.ow)))
        {
            for (i, j) in (0..geo.kh).flat_map(|i| (0..geo.kw).map(move |j| (i, j))) {
                let y = (oy * stride[0] + i * dilation[0]) as isize - padding[0] as isize;
                let x = (ox * stride[1] + j * dilation[1]) as isize - padding[1] as isize;
                if y < 0 || x < 0 || y >= geo.h as isize || x >= geo.w as isize {
                    continue;
                }
                for (o, c) in (0..geo.o).flat_map(|o| (0..geo.cg).map(move |c| (o, c))) {
                    f(
                        ((n * geo.oh + oy) * geo.ow + ox) * geo.o + o,
                        ((n * geo.h + y as usize) * geo.w + x as usize) * geo.c + o / geo.og * geo.cg + c,
                        ((o * geo.cg + c) * geo.kh + i) * geo.kw + j,
                    );
                }
            }
        }
    }

    /// Compares all passes with sums of products in float64. The bound is relative to the sum of
    /// the products' magnitudes: rounding is.
    fn check(&self) {
        let sums = |len: usize| (vec![0.0f64; len], vec![0.0f64; len]);
        let (mut y, mut dx, mut dw) = (sums(self.g.len()), sums(self.x.len()), sums(self.w.len()));
        let add = |to: &mut (Vec<f64>, Vec<f64>), at: usize, a: f32, b: f32| {
            let v = f64::from(a) * f64::from(b);
            to.0[at] += v;
            to.1[at] += v.abs();
        };
        self.for_products(|o, i, k| {
            add(&mut y, o, self.x[i], self.w[k]);
            add(&mut dx, i, self.g[o], self.w[k]);
            add(&mut dw, k, self.g[o], self.x[i]);
        });
        let close = |what: &str, got: &[f32], (expected, scale): &(Vec<f64>, Vec<f64>)| {
            for (i, (&got, &e)) in got.iter().zip(expected).enumerate() {
                let bound = BOUND * (scale[i] + 1.0);
                assert!(
                    (f64::from(got) - e).abs() <= bound,
                    "{what}[{i}] of {:?}: got {got}, expected {e} within {bound}",
                    self.geo
                );
            }
        };
        close("forward", &self.forward(false), &y);
        y.0.iter_mut().enumerate().for_each(|(i, v)| *v += f64::from(self.bias[i % self.geo.o]));
        close("forward with bias", &self.forward(true), &y);
        close("input grad", &self.input_grad(), &dx);
        close("weight grad", &self.weight_grad(), &dw);
    }
}

/// Rounding of a sum, relative to the sum of its products' magnitudes.
const BOUND: f64 = 4e-7;

pub(super) fn spec(stride: [usize; 2], padding: [usize; 2], dilation: [usize; 2], groups: usize) -> ConvSpec {
    ConvSpec { stride, padding, dilation, groups }
}

fn same(k: usize) -> ConvSpec {
    spec([1, 1], [k / 2, k / 2], [1, 1], 1)
}

#[test]
fn every_pass_agrees_with_sums_of_products_at_ragged_sizes() {
    for (stride, padding, dilation) in [
        ([1, 1], [0, 0], [1, 1]),
        ([1, 1], [1, 1], [1, 1]),
        ([2, 2], [1, 1], [1, 1]),
        ([2, 1], [0, 2], [1, 2]),
        ([3, 2], [2, 1], [2, 1]),
        ([1, 3], [3, 4], [1, 1]),
        ([4, 5], [1, 1], [2, 3]),
    ] {
        for groups in [1, 3] {
            let s = spec(stride, padding, dilation, groups);
            case([2, 17 * groups, 11, 13], [19 * groups, 17, 3, 3], s).check();
            case([3, 5 * groups, 7, 5], [37 * groups, 5, 2, 3], s).check();
            case([1, 13 * groups, 9, 21], [3 * groups, 13, 5, 1], s).check();
        }
    }
}

#[test]
fn shapes_of_common_networks_agree_with_sums_of_products() {
    case([2, 64, 15, 15], [64, 64, 3, 3], spec([2, 2], [1, 1], [1, 1], 1)).check();
    case([3, 32, 8, 8], [48, 32, 4, 4], spec([2, 2], [1, 1], [1, 1], 1)).check();
    case([2, 40, 6, 6], [24, 40, 2, 2], spec([2, 2], [0, 0], [1, 1], 1)).check();
    case([2, 24, 14, 14], [56, 24, 1, 1], spec([2, 2], [0, 0], [1, 1], 1)).check();
    case([2, 64, 9, 9], [64, 16, 3, 3], spec([1, 1], [1, 1], [1, 1], 4)).check();
    case([1, 300, 5, 5], [20, 300, 3, 3], same(3)).check();
    case([5, 31, 4, 4], [67, 31, 3, 3], same(3)).check();
    case([40, 16, 1, 1], [16, 16, 3, 3], same(3)).check();
    case([2, 32, 1, 300], [64, 32, 1, 2], spec([1, 1], [0, 0], [1, 16], 1)).check();
    case([1, 16, 9, 600], [16, 16, 3, 3], same(3)).check();
}

#[test]
fn few_channels_agree_with_sums_of_products() {
    for channels in [1, 3, 4, 7] {
        case([2, channels, 23, 21], [19, channels, 7, 7], spec([2, 2], [3, 3], [1, 1], 1)).check();
        case([1, channels, 35, 35], [33, channels, 11, 11], spec([4, 4], [2, 2], [1, 1], 1)).check();
        case([2, channels, 13, 10], [64, channels, 3, 3], same(3)).check();
        case([2, channels, 6, 9], [5, channels, 5, 2], spec([1, 3], [4, 1], [2, 1], 1)).check();
    }
}

#[test]
fn few_channels_are_read_from_plain_storage_too() {
    let case = case([2, 3, 17, 15], [20, 3, 5, 5], spec([2, 1], [2, 2], [1, 1], 1));
    let geo = &case.geo;
    let mut plain = vec![0.0; case.x.len()];
    for (i, v) in case.x.iter().enumerate() {
        let (pixel, c) = (i / 3, i % 3);
        let (image, pixel) = (pixel / (geo.h * geo.w), pixel % (geo.h * geo.w));
        plain[(image * 3 + c) * geo.h * geo.w + pixel] = *v;
    }
    let (mut out, mut dw) = (vec![f32::NAN; case.g.len()], vec![f32::NAN; case.w.len()]);
    // SAFETY: the vectors have the geometry's sizes.
    unsafe {
        let (w, bias) = (&case.weight(), Finish { bias: Some(case.bias.as_ptr()), relu: false });
        forward_of_plain("test", geo, plain.as_ptr(), w, bias, out.as_mut_ptr()).unwrap();
        weight_grad_of_plain("test", geo, case.g.as_ptr(), plain.as_ptr(), dw.as_mut_ptr()).unwrap();
    }
    assert_eq!(out, case.forward(true));
    assert_eq!(dw, case.weight_grad());
}

#[test]
fn depthwise_agrees_with_sums_of_products() {
    for channels in [1, 16, 37] {
        for (k, stride, padding) in [(3, 1, 1), (3, 2, 1), (5, 2, 2), (7, 1, 3), (2, 3, 0), (8, 1, 4)] {
            let w = [channels, 1, k, k];
            case([2, channels, 11, 14], w, spec([stride; 2], [padding; 2], [1, 1], channels)).check();
        }
        case([1, channels, 9, 8], [channels, 1, 3, 3], spec([1, 2], [4, 3], [2, 3], channels)).check();
        case([2, channels, 1, 1], [channels, 1, 3, 3], spec([1, 1], [1, 1], [1, 1], channels)).check();
    }
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    let _turn = thread_count();
    for (x, w, s) in [
        ([8, 48, 20, 20], [80, 48, 3, 3], spec([2, 2], [1, 1], [1, 1], 1)),
        ([32, 16, 16, 16], [16, 16, 3, 3], same(3)),
        ([4, 3, 50, 50], [64, 3, 7, 7], spec([2, 2], [3, 3], [1, 1], 1)),
        ([4, 40, 30, 30], [40, 1, 3, 3], spec([1, 1], [1, 1], [1, 1], 40)),
        ([2, 128, 14, 14], [128, 16, 3, 3], spec([1, 1], [1, 1], [1, 1], 8)),
    ] {
        let case = case(x, w, s);
        let passes = |threads: usize| {
            set_num_threads(threads);
            case.passes()
        };
        let one = passes(1);
        assert!(one == passes(2) && one == passes(7), "{x:?} {w:?}");
    }
}

#[test]
fn infinities_and_nan_stay_where_their_windows_are() {
    let mut case = case([1, 17, 6, 6], [18, 17, 3, 3], same(3));
    case.x[(2 * 6 + 2) * 17 + 5] = f32::NAN;
    case.g[(3 * 6 + 3) * 18 + 4] = f32::INFINITY;
    let near = |pixel: usize, at: usize| (pixel / 6).abs_diff(at) <= 1 && (pixel % 6).abs_diff(at) <= 1;
    for (i, v) in case.forward(true).into_iter().enumerate() {
        assert_eq!(v.is_nan(), near(i / 18, 2), "{i}");
    }
    for (i, v) in case.input_grad().into_iter().enumerate() {
        assert_eq!(!v.is_finite(), near(i / 17, 3), "{i}");
    }
    // The output's edge is not multiplied by the padding's zeros.
    case.x.fill(1.0);
    case.g.fill(1.0);
    case.g[4] = f32::INFINITY;
    for (i, v) in case.weight_grad().into_iter().enumerate() {
        let (o, tap) = (i / (17 * 9), i % 9);
        assert_eq!(v.is_finite(), o != 4 || tap / 3 == 0 || tap % 3 == 0, "{i}");
        assert!(!v.is_nan(), "{i}");
    }
}
