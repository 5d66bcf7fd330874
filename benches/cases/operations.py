"""Elementwise operations, sums, copies, norms, pooling, losses, and the overhead of small operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sides import Side

from . import Parts, add, case

ELEMENTWISE, NORMS, POOLING = "elementwise, sums and copies", "norms, softmax and losses", "pooling"


def plain(name: str, group: str, function: Callable[..., Any], *shape: int, tensors: int = 1) -> None:
    """A function of one tensor, or of several of a shape, without gradients."""

    def build(side: Side) -> Parts:
        inputs = [side.draw(*shape) for _ in range(tensors)]

        def call() -> None:
            with side.lib.no_grad():
                function(side, *inputs)

        return call

    add(name, group, build)


for size, text in ((1_000, "1 K"), (100_000, "100 K"), (4_000_000, "4 M")):
    plain(f"add {text}", ELEMENTWISE, lambda side, x, y: x + y, size, tensors=2)
    plain(f"relu {text}", ELEMENTWISE, lambda side, x: side.F.relu(x), size)
    plain(f"exp {text}", ELEMENTWISE, lambda side, x: x.exp(), size)
    plain(f"gelu {text}", ELEMENTWISE, lambda side, x: side.F.gelu(x), size)
    plain(f"sum {text}", ELEMENTWISE, lambda side, x: x.sum(), size)
plain("sum over axis 0, 4096x1024", ELEMENTWISE, lambda side, x: x.sum(0), 4096, 1024)
plain("sum over axis 1, 4096x1024", ELEMENTWISE, lambda side, x: x.sum(1), 4096, 1024)
for rows, length in ((262_144, 16), (65_536, 64), (32_768, 128)):
    text = f"rows of {length}, {rows}x{length}"
    plain(f"sum of {text}", ELEMENTWISE, lambda side, x: x.sum(1), rows, length)
    plain(f"maximum of {text}", ELEMENTWISE, lambda side, x: x.amax(1), rows, length)
    plain(f"variance of {text}", ELEMENTWISE, lambda side, x: x.var(1), rows, length)
plain("transpose copy 2048x2048", ELEMENTWISE, lambda side, x: x.t().contiguous(), 2048, 2048)
plain(
    "channels to the end, 32x64x32x32", ELEMENTWISE, lambda side, x: x.permute(0, 2, 3, 1).contiguous(),
    32, 64, 32, 32,
)  # fmt: skip


def both_ways(
    name: str, group: str, shape: tuple[int, ...], function: Callable[..., Any], *channels: int
) -> None:
    """Forward and backward of a function of an activation; ``channels``: also of a scale and a bias."""

    def build(side: Side) -> Parts:
        x = side.activation(*shape) if len(shape) == 4 else side.draw(*shape)
        x.requires_grad_()
        inputs = [x, *(side.parameter(*channels) for _ in range(2 if channels else 0))]
        arguments = (
            [side.lib.zeros(shape[1]), side.lib.ones(shape[1])] if name.startswith("batch norm") else []
        )
        y = function(side, *inputs, *arguments)
        g = side.activation(*y.shape) if y.ndim == 4 else side.draw(*y.shape)

        def call() -> None:
            side.grad(function(side, *inputs, *arguments), inputs, g)

        return call

    add(name, group, build, layouts=len(shape) == 4)


def batch_norm(side: Side, x: Any, weight: Any, bias: Any, mean: Any, var: Any) -> Any:
    """As the module does it in training."""
    return side.F.batch_norm(x, mean, var, weight, bias, training=True)


for shape in ((32, 64, 32, 32), (32, 512, 4, 4), (4, 64, 112, 112), (4, 256, 14, 14)):
    text = "x".join(map(str, shape))
    both_ways(f"batch norm {text}", NORMS, shape, batch_norm, shape[1])
    both_ways(f"relu with gradient {text}", ELEMENTWISE, shape, lambda side, x: side.F.relu(x))
both_ways(
    "layer norm 4096x512", NORMS, (4096, 512), lambda side, x, w, b: side.F.layer_norm(x, (512,), w, b), 512
)
both_ways("softmax 1024x1000", NORMS, (1024, 1000), lambda side, x: side.F.softmax(x, 1))
both_ways("softmax 32768x128", NORMS, (32_768, 128), lambda side, x: side.F.softmax(x, 1))
both_ways("max pool 2x2, 32x64x32x32", POOLING, (32, 64, 32, 32), lambda side, x: side.F.max_pool2d(x, 2))
both_ways(
    "max pool 3x3 stride 2, 4x64x112x112", POOLING, (4, 64, 112, 112),
    lambda side, x: side.F.max_pool2d(x, 3, 2, 1),
)  # fmt: skip
both_ways("max pool 2x2, 64x20x28x28", POOLING, (64, 20, 28, 28), lambda side, x: side.F.max_pool2d(x, 2))
both_ways(
    "average pool 2x2, 32x128x16x16", POOLING, (32, 128, 16, 16), lambda side, x: side.F.avg_pool2d(x, 2)
)
both_ways(
    "global average 4x512x7x7", POOLING, (4, 512, 7, 7), lambda side, x: side.F.adaptive_avg_pool2d(x, 1)
)


def cross_entropy(rows: int, classes: int) -> None:
    """The loss and its gradient."""

    def build(side: Side) -> Parts:
        x, target = side.draw(rows, classes).requires_grad_(), side.integers(classes, rows)
        return lambda: side.grad(side.F.cross_entropy(x, target), [x])

    add(f"cross entropy {rows}x{classes}", NORMS, build)


cross_entropy(64, 10)
cross_entropy(1024, 1000)


@case("100 small operations with gradients", "small operations")
def _(side: Side) -> Parts:
    x = side.draw(16).requires_grad_()

    def chain() -> None:
        y = x
        for _ in range(50):
            y = y * 1.01 + 0.1
        y.sum().backward()

    return chain
