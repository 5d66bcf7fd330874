"""Each distinct convolution of VGG-16, ResNet-18 and AlexNet, all three passes."""

from __future__ import annotations

from sides import Side

from . import Parts, add

# channels in, channels out, kernel, size of the picture, batch, stride
VGG = (
    (3, 64, 3, 32, 32, 1),
    (64, 64, 3, 32, 32, 1),
    (64, 128, 3, 16, 32, 1),
    (128, 128, 3, 16, 32, 1),
    (128, 256, 3, 8, 32, 1),
    (256, 256, 3, 8, 32, 1),
    (256, 512, 3, 4, 32, 1),
    (512, 512, 3, 4, 32, 1),
    (512, 512, 3, 2, 32, 1),
)
RESNET = (
    (3, 64, 7, 224, 4, 2),
    (64, 64, 3, 56, 4, 1),
    (64, 128, 3, 56, 4, 2),
    (64, 128, 1, 56, 4, 2),
    (128, 128, 3, 28, 4, 1),
    (128, 256, 3, 28, 4, 2),
    (128, 256, 1, 28, 4, 2),
    (256, 256, 3, 14, 4, 1),
    (256, 512, 3, 14, 4, 2),
    (256, 512, 1, 14, 4, 2),
    (512, 512, 3, 7, 4, 1),
)
ALEXNET = (
    (3, 64, 11, 224, 8, 4),
    (64, 192, 5, 27, 8, 1),
    (192, 384, 3, 13, 8, 1),
    (384, 256, 3, 13, 8, 1),
    (256, 256, 3, 13, 8, 1),
)


def passes(side: Side, c: int, o: int, k: int, size: int, batch: int, stride: int, padding: int) -> Parts:
    """The three passes, without autograd around them on either side.

    Inputs and gradients of inner layers come out of a convolution, as in a net: each side has its own layout.
    The weight counts as changed before each call, as in training.
    """
    lib, pad = side.lib, [padding, padding]
    x = side.data(side.draw(batch, c, size, size)) if c <= 3 else side.activation(batch, c, size, size)
    w = side.data(side.draw(o, c, k, k) * (c * k * k) ** -0.5)
    out = (size + 2 * padding - k) // stride + 1
    g = side.activation(batch, o, out, out)
    if side.ours:
        from lectorium import _core

        spec = _core.ConvSpec((stride, stride), (padding, padding), (1, 1), 1)
        gradients = (
            lambda: _core.conv2d_input_grad(g, w, x.shape, spec),
            lambda: _core.conv2d_weight_grad(g, x, w.shape, spec),
        )
    else:

        def gradient(need: list[bool]) -> None:
            lib.ops.aten.convolution_backward(
                g, x, w, None, [stride, stride], pad, [1, 1], False, [0, 0], 1, need
            )

        gradients = (lambda: gradient([True, False, False]), lambda: gradient([False, True, False]))

    nothing = w[:0]

    def forward() -> None:
        nothing.zero_()
        with lib.no_grad():
            side.F.conv2d(x, w, None, stride, padding)

    def input_gradient() -> None:
        nothing.zero_()
        gradients[0]()

    return {"forward": forward, "input gradient": input_gradient, "weight gradient": gradients[1]}


def layer(net: str, c: int, o: int, k: int, size: int, batch: int, stride: int) -> None:
    """One row a layer and pass; padding keeps the size, but for AlexNet's first layer."""
    padding = 2 if k == 11 else k // 2
    square = f"{k}x{k}" + (f" stride {stride}" if stride > 1 else "")
    add(
        f"conv {net} {c}->{o} {square} @{size} b{batch}",
        "conv 3x3 stride 1" if (k, stride) == (3, 1) else "conv, other layers",
        lambda side: passes(side, c, o, k, size, batch, stride, padding),
        layouts=True,
    )


for net, layers in (("VGG", VGG), ("ResNet", RESNET), ("AlexNet", ALEXNET)):
    for numbers in layers:
        layer(net, *numbers)
