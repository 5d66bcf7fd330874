use super::*;
use crate::ops::conv::ConvSpec;
use crate::parallel::set_num_threads;
use crate::testing::thread_count;

/// Reproducible values of variance one.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((s >> 40) as f32 / (1 << 23) as f32 - 1.0) * 3f32.sqrt()
        })
        .collect()
}

/// A convolution with `k x k` weights, and its tensors: pictures channels-last.
struct Case {
    geo: Geometry,
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
    g: Vec<f32>,
}

impl Case {
    fn weight(&self) -> Tensor {
        Tensor::from_slice("test", &self.w, &[self.w.len()]).unwrap()
    }

    fn new([n, c, h, w]: [usize; 4], o: usize, k: usize, padding: [usize; 2]) -> Case {
        let spec = ConvSpec { padding, ..ConvSpec::default() };
        let geo = Geometry::new("test", &[n, c, h, w], &[o, c, k, k], spec).unwrap();
        Case {
            geo,
            x: values(n * c * h * w, 1),
            w: values(o * c * k * k, 2),
            bias: values(o, 3),
            g: values(geo.output().iter().product(), 4),
        }
    }

    fn forward(&self) -> Vec<f32> {
        let run = |relu| {
            let mut out = vec![7.0; self.g.len()];
            let finish = Finish { bias: Some(self.bias.as_ptr()), relu };
            // SAFETY: tensors of the geometry's sizes.
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
        let mut dx = vec![7.0; self.x.len()];
        // SAFETY: as above.
        unsafe { input_grad("test", &self.geo, self.g.as_ptr(), &self.weight(), dx.as_mut_ptr()).unwrap() };
        dx
    }

    fn weight_grad(&self) -> Vec<f32> {
        let mut dw = vec![7.0; self.w.len()];
        // SAFETY: as above.
        unsafe { weight_grad("test", &self.geo, self.g.as_ptr(), self.x.as_ptr(), dw.as_mut_ptr()).unwrap() };
        dw
    }

    /// Calls `f(output, input, weight)` with the places of every product.
    fn products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let geo = &self.geo;
        let pixels = (0..geo.n).flat_map(|n| (0..geo.oh * geo.ow).map(move |i| (n, i / geo.ow, i % geo.ow)));
        for (n, oy, ox) in pixels {
            for (i, j) in (0..geo.kh).flat_map(|i| (0..geo.kw).map(move |j| (i, j))) {
                let (y, x) = (oy + i, ox + j);
                let [top, left] = geo.spec.padding;
                if y < top || x < left || y - top >= geo.h || x - left >= geo.w {
                    continue;
                }
                let pixel = ((n * geo.h + y - top) * geo.w + x - left) * geo.c;
                for (o, c) in (0..geo.o).flat_map(|o| (0..geo.c).map(move |c| (o, c))) {
                    let weight = ((o * geo.c + c) * geo.kh + i) * geo.kw + j;
                    f(((n * geo.oh + oy) * geo.ow + ox) * geo.o + o, pixel + c, weight);
                }
            }
        }
    }

    /// Compares all passes with sums of products in float64: the documented bound.
    fn check(&self) {
        let geo = &self.geo;
        let double = |v: &[f32]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (x, w, g) = (double(&self.x), double(&self.w), double(&self.g));
        let (mut y, mut dx, mut dw) = (vec![0.0; g.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        self.products(|o, i, k| {
            y[o] += x[i] * w[k];
            dx[i] += g[o] * w[k];
            dw[k] += g[o] * x[i];
        });
        y.iter_mut().enumerate().for_each(|(i, y)| *y += f64::from(self.bias[i % geo.o]));
        let taps = geo.kh * geo.kw;
        let passes = [
            ("forward", self.forward(), y, geo.c * taps, form(geo)),
            (
                "input grad",
                self.input_grad(),
                dx,
                geo.o * taps,
                geo.input_grad_geometry().and_then(|b| form(&b)),
            ),
            ("weight grad", self.weight_grad(), dw, geo.n * geo.oh * geo.ow, form(geo)),
        ];
        for (pass, got, expected, products, form) in passes {
            let bound = form.unwrap().bound() * (products as f64).sqrt();
            for (i, (&got, &e)) in got.iter().zip(&expected).enumerate() {
                let error = (f64::from(got) - e).abs();
                assert!(error <= bound, "{pass} {geo:?} [{i}]: got {got}, expected {e} within {bound}");
            }
        }
    }
}

#[test]
fn every_pass_agrees_with_sums_of_products_at_ragged_sizes() {
    for k in [3, 5] {
        for [h, w] in [[1, 1], [1, 9], [2, 2], [3, 5], [4, 4], [7, 7], [13, 9]] {
            for padding in 0..k {
                if h + 2 * padding < k || w + 2 * padding < k {
                    continue;
                }
                for (n, c, o) in [(1, 1, 5), (3, 3, 33), (2, 17, 7), (1, 33, 31), (2, 31, 17)] {
                    Case::new([n, c, h, w], o, k, [padding; 2]).check();
                }
            }
        }
    }
    Case::new([2, 7, 6, 5], 3, 3, [2, 0]).check();
    Case::new([2, 7, 6, 5], 3, 3, [0, 1]).check();
}

/// Layers on both sides of each bound: weights formed first or where they are used, one block of
/// tiles or several.
fn layers() -> [Case; 8] {
    [
        Case::new([2, 64, 17, 30], 48, 3, [1, 1]),
        Case::new([1, 128, 20, 12], 96, 3, [1, 1]),
        Case::new([3, 272, 5, 6], 160, 3, [1, 1]),
        Case::new([130, 144, 1, 3], 208, 3, [1, 1]),
        Case::new([130, 260, 1, 1], 256, 3, [1, 1]),
        Case::new([5, 256, 2, 2], 300, 3, [1, 1]),
        Case::new([2, 40, 14, 13], 72, 5, [2, 2]),
        Case::new([3, 400, 4, 4], 330, 3, [1, 1]),
    ]
}

#[test]
fn layers_of_common_networks_agree_with_sums_of_products() {
    for case in layers() {
        case.check();
    }
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    let _turn = thread_count();
    for case in layers() {
        let passes = |threads| {
            set_num_threads(threads);
            let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            [bits(case.forward()), bits(case.input_grad()), bits(case.weight_grad())]
        };
        let one = passes(1);
        assert!(one == passes(2) && one == passes(7), "{:?}", case.geo);
    }
}

#[test]
fn values_that_are_not_finite_reach_their_windows_and_at_most_their_tiles() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut case = Case::new([1, 20, 15, 14], 18, 3, [1, 1]);
        let expected = case.forward();
        let (y, x) = (6, 9);
        case.x[(y * case.geo.w + x) * case.geo.c + 3] = bad;
        for (i, (got, expected)) in case.forward().into_iter().zip(expected).enumerate() {
            let pixel = i / case.geo.o;
            let (oy, ox) = (pixel / case.geo.ow, pixel % case.geo.ow);
            if oy.abs_diff(y) <= 1 && ox.abs_diff(x) <= 1 {
                assert!(!got.is_finite(), "{oy} {ox}");
            }
            assert!(!got.is_finite() || got == expected, "{oy} {ox}: {got}, expected {expected}");
            assert!(got.is_finite() || (oy / 4).abs_diff(y / 4) <= 1 && (ox / 4).abs_diff(x / 4) <= 1);
        }
    }
}
