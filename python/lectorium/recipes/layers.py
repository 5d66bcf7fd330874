"""A model's layers with their output shapes, parameters and multiply-adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from .. import nn
from .._core import Tensor
from ..autograd import no_grad
from ..creation import zeros


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row: shapes are without the batch; a layer used twice has its parameters in its first row."""

    name: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def layers(model: nn.Module, input_shape: Sequence[int]) -> list[Layer]:
    """The rows of a model's table, found by running it once on zeros.

    Example:
        >>> [row.multiply_adds for row in lt.recipes.layers.layers(lt.nn.Linear(784, 10), (784,))]
        [0, 7840]
    """
    rows = [Layer("input", tuple(input_shape), 0, 0)]
    counted: set[int] = set()

    def note(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        fresh = [p for p in module.parameters() if id(p) not in counted]
        counted.update(id(p) for p in fresh)
        shape = tuple(output.shape[1:])
        rows.append(
            Layer(_describe(module), shape, sum(p.numel() for p in fresh), _multiply_adds(module, output))
        )

    leaves = [module for module in model.modules() if not list(module.children())]
    handles = [module.register_forward_hook(note) for module in leaves]
    training = model.training
    try:
        with no_grad():
            model.eval()(zeros(1, *input_shape))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return rows


def _describe(module: Any) -> str:
    if isinstance(module, nn.Conv2d):
        text = f"conv {module.out_channels}, K{_side(module.kernel_size)}"
        text += f" S{_side(module.stride)}" if _side(module.stride) != "1" else ""
        return text + (f" P{_side(module.padding)}" if _side(module.padding) != "0" else "")
    if isinstance(module, nn.MaxPool2d):
        return f"max pool {_side(module.kernel_size)}"
    if isinstance(module, nn.Linear):
        return f"linear {module.out_features}"
    if isinstance(module, nn.Dropout):
        return f"dropout {module.p:g}"
    return {"ReLU": "ReLU"}.get(type(module).__name__, type(module).__name__.lower())


def _side(value: Any) -> str:
    sides = [str(side) for side in value] if isinstance(value, tuple) else [str(value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return sides[0] if len(set(sides)) == 1 else "x".join(sides)


def _multiply_adds(module: Any, output: Tensor) -> int:
    """One for each product that is added up; the bias and everything elementwise are left out."""
    if isinstance(module, nn.Conv2d):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    return 0
