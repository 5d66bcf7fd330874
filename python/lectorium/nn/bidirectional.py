"""Any recurrent layer or cell in both directions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .. import _core, ops
from .._core import Tensor
from ._recurrent import RecurrentCell
from .module import Module
from .utils._packing import read_lengths

ShapeError = _core.ShapeError
_MERGES = ("concat", "sum", "mul", "mean", None)


class Bidirectional(Module):
    """One layer reads each sequence from its start, another from its end (Schuster & Paliwal 1997).

    A layer is called as ``layer(x, state)``, with ``lengths=`` where lengths are given, and gives
    ``(y, state)``; a cell, which is stepped here, gives its new state, whose first tensor is the output. A
    module whose class name ends in ``Cell`` is taken for a cell. Without ``backward_layer`` it is a copy of
    the first, with weights of its own.

    ``merge`` of the two outputs: ``"concat"``, ``"sum"``, ``"mul"``, ``"mean"``, or None for the pair.

    Shapes: x ``[T, B, *]``, or as the layer's ``batch_first`` says; lengths: B ints in any order. The result
    is the merged output, 0 beyond each length, and the pair of the final states; the second one is that after
    the first element.

    Example:
        >>> both = lt.nn.Bidirectional(lt.nn.GRUCell(3, 4))
        >>> y, (forward, backward) = both(lt.randn(6, 2, 3), lengths=[6, 4])
        >>> y.shape, forward.shape
        ((6, 2, 8), (2, 4))
    """

    def __init__(
        self, forward_layer: Module, backward_layer: Module | None = None, merge: str | None = "concat"
    ) -> None:
        super().__init__()
        if merge not in _MERGES:
            raise ValueError(
                f"Bidirectional: merge must be 'concat', 'sum', 'mul', 'mean' or None, got {merge!r}"
            )
        for layer in [forward_layer] if backward_layer is None else [forward_layer, backward_layer]:
            if not isinstance(layer, Module):
                raise TypeError(f"Bidirectional: expected two modules, got {type(layer).__name__}")
        if backward_layer is None:
            backward_layer = copy.deepcopy(forward_layer)
            for part in backward_layer.modules():
                reset = getattr(part, "reset_parameters", None)
                if reset is not None:
                    reset()
        first = [bool(getattr(layer, "batch_first", False)) for layer in (forward_layer, backward_layer)]
        if first[0] != first[1]:
            raise ValueError("Bidirectional: batch_first must be the same in both layers")
        self.forward_layer = forward_layer
        self.backward_layer = backward_layer
        self.merge = merge
        self.batch_first = first[0]

    def extra_repr(self) -> str:
        """How the outputs are merged."""
        return f"merge={self.merge!r}"

    def forward(
        self, input: Tensor, state: tuple[Any, Any] | None = None, lengths: Any = None
    ) -> tuple[Any, tuple[Any, Any]]:
        if not isinstance(input, Tensor):
            raise TypeError(
                f"Bidirectional: expected a padded tensor, got {type(input).__name__}; "
                "pad_packed_sequence makes one of a PackedSequence, and the lengths="
            )
        if input.ndim not in (2, 3) or (lengths is not None and input.ndim != 3) or 0 in input.shape[:-1]:
            raise ShapeError(
                f"Bidirectional: expected an input of 3 axes, or 2 without a batch and without lengths, and "
                f"one step at least, got shape {list(input.shape)}"
            )
        pair: Any = (None, None) if state is None else state
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:  # pyright: ignore[reportUnknownArgumentType]
            raise TypeError("Bidirectional: the state must be a pair, of the forward and the backward layer")
        turned = self.batch_first and input.ndim == 3
        x = ops.transpose(input, 0, 1) if turned else input
        lens = None
        if lengths is not None:
            lens = read_lengths("Bidirectional", lengths, x.shape[1], x.shape[0])
            if min(lens) == x.shape[0]:
                lens = None
        back = _reversing(x, lens)
        y, last = self._run(self.forward_layer, x, pair[0], lens)
        other, first = self._run(self.backward_layer, back(x), pair[1], lens)
        other = back(other)
        if self.merge is not None and self.merge != "concat" and y.shape != other.shape:
            raise ShapeError(
                f"Bidirectional: merge={self.merge!r} needs outputs of one shape, got {list(y.shape)} and "
                f"{list(other.shape)}"
            )
        outs = [y, other]
        if turned:
            outs = [ops.transpose(t, 0, 1) for t in outs]
        return self._merged(*outs), (last, first)

    def _run(self, layer: Any, x: Tensor, state: Any, lens: list[int] | None) -> tuple[Tensor, Any]:
        """The outputs, time first, and the final state."""
        if isinstance(layer, RecurrentCell) or type(layer).__name__.endswith("Cell"):
            return _stepped(layer, x, state, lens)
        turned = self.batch_first and x.ndim == 3
        if turned:
            x = ops.transpose(x, 0, 1)
        y, state = layer(x, state) if lens is None else layer(x, state, lengths=lens)
        return ops.transpose(y, 0, 1) if turned else y, state

    def _merged(self, y: Tensor, other: Tensor) -> Any:
        if self.merge is None:
            return y, other
        if self.merge == "concat":
            return ops.cat([y, other], -1)
        if self.merge == "mul":
            return ops.mul(y, other)
        total = ops.add(y, other)
        return ops.mul(total, 0.5) if self.merge == "mean" else total


def _reversing(x: Tensor, lens: list[int] | None) -> Callable[[Tensor], Tensor]:
    """What turns sequences round within their lengths, and back again; what lies beyond stays."""
    if lens is None:
        return lambda t: ops.flip(t, (0,))
    steps, batch = x.shape[:2]
    rows = [(lens[i] - 1 - t if t < lens[i] else t) * batch + i for t in range(steps) for i in range(batch)]
    index = _core.from_numbers(tuple(rows), [steps * batch], _core.int64)

    def turn(t: Tensor) -> Tensor:
        flat = ops.reshape(t, [steps * batch, *t.shape[2:]])
        return ops.reshape(ops.index_select(flat, 0, index), list(t.shape))

    return turn


def _stepped(cell: Any, x: Tensor, state: Any, lens: list[int] | None) -> tuple[Tensor, Any]:
    """A cell over all steps; a sequence that has ended keeps its state, and its output is 0."""
    outs: list[Tensor] = []
    for t, x_t in enumerate(x.unbind(0)):
        made: Any = cell(x_t, state)
        new = _parts(made)
        out = new[0]
        if lens is not None and t >= min(lens):
            on = tuple(n > t for n in lens)
            going = _core.from_numbers(on, [len(on), 1], _core.bool)
            new = [ops.where(going, a, b) for a, b in zip(new, _parts(state), strict=True)]
            out = ops.where(going, out, 0.0)
        outs.append(ops.unsqueeze(out, 0))
        state = new[0] if isinstance(made, Tensor) else tuple(new)
    return ops.cat(outs, 0), state


def _parts(state: Any) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else list(state)
