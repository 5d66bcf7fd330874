"""Updates of 10 M parameters, in one tensor and in a hundred."""

from __future__ import annotations

from typing import Any

from sides import Side

from . import Parts, add


def update(name: str, optimizer: str, count: int, **options: Any) -> None:
    """A step; the gradients stay as they are."""

    def build(side: Side) -> Parts:
        parameters = [side.nn.Parameter(side.draw(10_000_000 // count)) for _ in range(count)]
        for p in parameters:
            p.grad = side.draw(10_000_000 // count)
        return getattr(side.optim, optimizer)(parameters, lr=1e-3, **options).step

    add(f"{name}, 10 M parameters in {count}", "optimizers", build)


for count in (1, 100):
    update("Adam", "Adam", count)
    # PyTorch's fused kernel has to be asked for; ours always is one.
    update("Adam, PyTorch's fused", "Adam", count, fused=True)
    update("SGD with momentum", "SGD", count, momentum=0.9)
    update("SGD with momentum, PyTorch's fused", "SGD", count, momentum=0.9, fused=True)
