"""Matrix products: squares, and the tall, flat and batched shapes of the models."""

from __future__ import annotations

from sides import Side

from . import Parts, add

PACKED = "GEMM, weight packed beforehand"
PLAIN = "GEMM, nothing packed beforehand"

SQUARES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
# Rows, values in, values out of linear layers.
LINEAR = (
    (1, 512, 1000),
    (1, 25088, 4096),
    (8, 9216, 4096),
    (8, 4096, 4096),
    (8, 4096, 1000),
    (32, 512, 10),
    (64, 2450, 500),
    (64, 500, 10),
    (128, 784, 512),
    (128, 512, 512),
)
# Rows, inner axis, columns: convolutions as products, 1x1 convolutions.
TALL = ((12544, 576, 64), (784, 1152, 128), (6272, 256, 64), (98, 512, 2048))


def packed(m: int, k: int, n: int) -> None:
    """A linear layer whose weight stays, so that a library may keep it packed; ours alone does."""

    def build(side: Side) -> Parts:
        x, w = side.draw(m, k), side.parameter(n, k)

        def call() -> None:
            with side.lib.no_grad():
                side.F.linear(x, w)

        return call

    add(f"linear {m}x{k} -> {n}", PACKED, build)


def plain(name: str, m: int, k: int, n: int, left: bool = False, right: bool = False) -> None:
    """A product of two tensors; ``left`` and ``right``: seen transposed."""

    def build(side: Side) -> Parts:
        a = side.draw(k, m).t() if left else side.draw(m, k)
        b = side.draw(n, k).t() if right else side.draw(k, n)
        return lambda: side.lib.matmul(a, b)

    add(name, PLAIN, build)


for size in SQUARES:
    packed(size, size, size)
for rows, inputs, outputs in LINEAR:
    packed(rows, inputs, outputs)
for size in SQUARES:
    plain(f"matmul {size}", size, size, size)
for rows, inner, columns in TALL:
    plain(f"matmul {rows}x{inner}x{columns}", rows, inner, columns)
for rows, inputs, outputs in LINEAR:
    shape = f"{rows}x{inputs} -> {outputs}"
    plain(f"matmul input gradient of {shape}", rows, outputs, inputs)
    plain(f"matmul weight gradient of {shape}", outputs, rows, inputs, left=True)


def batched(name: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    """Products of batches of matrices."""

    def build(side: Side) -> Parts:
        a, b = side.draw(*left), side.draw(*right)
        return lambda: side.lib.matmul(a, b)

    add(name, PLAIN, build)


batched("matmul 32 of 128x64x128", (4, 8, 128, 64), (4, 8, 64, 128))
batched("matmul 32 of 128x128x64", (4, 8, 128, 128), (4, 8, 128, 64))
batched("matmul 256 of 16x32x16", (256, 16, 32), (256, 32, 16))
