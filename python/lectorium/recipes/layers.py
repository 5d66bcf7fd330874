"""A model's layers with their output shapes, parameters and multiply-adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from .. import nn
from .._core import Tensor, dtype as DType, float32
from ..autograd import no_grad
from ..creation import zeros
from ..nn._recurrent import RecurrentCell
from ..nn._recurrent_layer import RecurrentLayer

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, *_TRANSPOSED)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row: shapes are without the batch.

    A layer that is used again with the same output shape, as by a decoder in each step, is one row with
    ``times``, whose multiply-adds are those of all. With another shape it is another row, without parameters.

    Example:
        >>> lt.recipes.layers.Layer("grucell", (128,), 197_376, 0, times=20).name
        'grucell'
    """

    name: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int
    times: int = 1


def layers(model: nn.Module, input_shape: Sequence[int], dtype: DType = float32) -> list[Layer]:
    """The rows of a model's table, found by running it once on zeros of that dtype.

    Example:
        >>> [row.multiply_adds for row in lt.recipes.layers.layers(lt.nn.Linear(784, 10), (784,))]
        [0, 7840]
    """
    return layers_of(model, zeros(1, *input_shape, dtype=dtype))


def layers_of(model: nn.Module, *inputs: Tensor) -> list[Layer]:
    """The rows of a model's table, found by running it once on these inputs, a batch of one.

    Example:
        >>> [row.output for row in lt.recipes.layers.layers_of(lt.nn.Linear(3, 2), lt.zeros(1, 3))]
        [(3,), (2,)]
    """
    rows = [Layer("input", tuple(inputs[0].shape[1:]), 0, 0)]
    counted: set[int] = set()
    places: dict[tuple[int, tuple[int, ...]], int] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], result: Any) -> None:
        # Recurrent layers return their final state too.
        output = cast("Tensor", result[0] if isinstance(result, tuple) else result)
        fresh = [p for p in module.parameters() if id(p) not in counted]
        counted.update(id(p) for p in fresh)
        shape = tuple(output.shape[1:])
        adds = _multiply_adds(module, inputs[0], output)
        at = places.setdefault((id(module), shape), len(rows))
        if at == len(rows):
            rows.append(Layer(_describe(module), shape, sum(p.numel() for p in fresh), adds))
        else:
            before = rows[at]
            rows[at] = dataclasses.replace(
                before, multiply_adds=before.multiply_adds + adds, times=before.times + 1
            )

    # Leaves, and what has parameters of its own beside its parts'.
    noted = [m for m in model.modules() if not list(m.children()) or list(m.parameters(recurse=False))]
    handles = [module.register_forward_hook(note) for module in noted]
    training = model.training
    try:
        with no_grad():
            model.eval()(*inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return rows


_NAMES = {"ReLU": "ReLU", "LeakyReLU": "leaky ReLU", "BatchNorm2d": "batch norm"}


def _describe(module: Any) -> str:
    if isinstance(module, _CONVOLUTIONS):
        kind = "transposed conv" if isinstance(module, _TRANSPOSED) else "conv"
        text = f"{kind} {module.out_channels}, K{_side(module.kernel_size)}"
        for letter, value, usual in (
            ("S", module.stride, "1"), ("P", module.padding, "0"), ("D", module.dilation, "1"),
        ):  # fmt: skip
            text += f" {letter}{_side(value)}" if _side(value) != usual else ""
        return text + (f", {module.groups} groups" if module.groups > 1 else "")
    if isinstance(module, nn.MaxPool2d):
        return f"max pool {_side(module.kernel_size)}"
    if isinstance(module, nn.AvgPool2d):
        return f"average pool {_side(module.kernel_size)}"
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return f"average pool to {_side(module.output_size)}"
    if isinstance(module, nn.Linear):
        return f"linear {module.out_features}"
    if isinstance(module, RecurrentLayer):
        ways = ", both ways" if module.bidirectional else ""
        return f"{type(module).__name__} {module.hidden_size}, layers {module.num_layers}{ways}"
    if isinstance(module, nn.Dropout):
        return f"dropout {module.p:g}"
    return _NAMES.get(type(module).__name__, type(module).__name__.lower())


def _side(value: Any) -> str:
    sides = [str(side) for side in value] if isinstance(value, tuple) else [str(value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return sides[0] if len(set(sides)) == 1 else "x".join(sides)


def _multiply_adds(module: Any, input: Tensor, output: Tensor) -> int:
    """One for each product that is added up; the bias and everything elementwise are left out."""
    if isinstance(module, _TRANSPOSED):
        return input.numel() * module.weight[0].numel()
    if isinstance(module, _CONVOLUTIONS):
        return output.numel() * module.weight[0].numel()
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, (RecurrentLayer, RecurrentCell)):
        # All its matrices once a step.
        return output.numel() // output.shape[-1] * sum(p.numel() for p in module.parameters() if p.ndim == 2)
    return 0
