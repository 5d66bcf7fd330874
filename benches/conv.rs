//! Convolution, all three passes, at the shapes of the course's networks.

mod bench;
mod peak;

use bench::{Bench, Work, activation, random};
use lectorium::ops::conv::{ConvSpec, conv2d, conv2d_input_grad, conv2d_output_shape, conv2d_weight_grad};

/// Name; batch, channels in, size, channels out, kernel, stride, padding, groups.
type Shape = (&'static str, [usize; 8]);

const SHAPES: &[Shape] = &[
    ("lenet 1->20 k5 28x28 b64", [64, 1, 28, 20, 5, 1, 2, 1]),
    ("lenet 20->50 k5 14x14 b64", [64, 20, 14, 50, 5, 1, 2, 1]),
    ("cifar 3->6 k5 32x32 b64", [64, 3, 32, 6, 5, 1, 0, 1]),
    ("cifar 6->16 k5 14x14 b64", [64, 6, 14, 16, 5, 1, 0, 1]),
    ("resnet20 16->16 k3 32x32 b64", [64, 16, 32, 16, 3, 1, 1, 1]),
    ("resnet20 32->32 k3 16x16 b64", [64, 32, 16, 32, 3, 1, 1, 1]),
    ("vgg 3->64 k3 32x32 b32", [32, 3, 32, 64, 3, 1, 1, 1]),
    ("vgg 64->64 k3 32x32 b32", [32, 64, 32, 64, 3, 1, 1, 1]),
    ("vgg 128->128 k3 16x16 b32", [32, 128, 16, 128, 3, 1, 1, 1]),
    ("vgg 256->256 k3 8x8 b32", [32, 256, 8, 256, 3, 1, 1, 1]),
    ("vgg 512->512 k3 4x4 b32", [32, 512, 4, 512, 3, 1, 1, 1]),
    ("vgg 512->512 k3 2x2 b32", [32, 512, 2, 512, 3, 1, 1, 1]),
    ("resnet 3->64 k7 s2 224x224 b4", [4, 3, 224, 64, 7, 2, 3, 1]),
    ("resnet 64->64 k3 56x56 b4", [4, 64, 56, 64, 3, 1, 1, 1]),
    ("resnet 64->128 k3 s2 56x56 b4", [4, 64, 56, 128, 3, 2, 1, 1]),
    ("resnet 256->256 k3 14x14 b4", [4, 256, 14, 256, 3, 1, 1, 1]),
    ("resnet 512->512 k3 7x7 b4", [4, 512, 7, 512, 3, 1, 1, 1]),
    ("resnet50 256->64 k1 56x56 b2", [2, 256, 56, 64, 1, 1, 0, 1]),
    ("resnet50 512->128 k1 28x28 b2", [2, 512, 28, 128, 1, 1, 0, 1]),
    ("alexnet 3->64 k11 s4 224x224 b8", [8, 3, 224, 64, 11, 4, 2, 1]),
    ("alexnet 64->192 k5 27x27 b8", [8, 64, 27, 192, 5, 1, 2, 1]),
    ("resnext 512->512 k3 32x32 b8, 8 groups", [8, 512, 32, 512, 3, 1, 1, 8]),
    ("depthwise 128 k3 28x28 b8", [8, 128, 28, 128, 3, 1, 1, 128]),
    ("depthwise 128 k3 s2 28x28 b8", [8, 128, 28, 128, 3, 2, 1, 128]),
];

fn main() {
    let mut bench = Bench::new("conv");
    for &(name, [n, c, h, o, k, stride, padding, groups]) in SHAPES {
        let spec = ConvSpec { stride: [stride; 2], padding: [padding; 2], dilation: [1; 2], groups };
        let w = random(&[o, c / groups, k, k]);
        let x = if c <= 3 { random(&[n, c, h, h]) } else { activation(&[n, c, h, h]) };
        let g = activation(&conv2d_output_shape(x.shape(), w.shape(), spec).unwrap());
        let work = Work::Flops(2.0 * (g.numel() * w.numel() / o) as f64);
        bench.run(&format!("{name} forward"), work, || conv2d(&x, &w, None, spec).unwrap());
        bench
            .run(&format!("{name} input grad"), work, || conv2d_input_grad(&g, &w, x.shape(), spec).unwrap());
        bench.run(&format!("{name} weight grad"), work, || {
            conv2d_weight_grad(&g, &x, w.shape(), spec).unwrap()
        });
    }
}
