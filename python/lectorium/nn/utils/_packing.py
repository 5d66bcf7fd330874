"""How a padded batch of sequences is packed: lengths, batch sizes, and the places of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import _core, ops
from ..._core import Tensor

if TYPE_CHECKING:
    from .rnn import PackedSequence

ShapeError = _core.ShapeError


def ints(values: Sequence[int]) -> Tensor:
    """Python's ints as int64."""
    return _core.from_numbers(tuple(values), [len(values)], _core.int64)


def read_lengths(op: str, lengths: Any, batch: int, steps: int) -> list[int]:
    """Lengths as ints, one for each of ``batch`` sequences, each from 1 to ``steps``."""
    if isinstance(lengths, Tensor):
        if lengths.ndim != 1 or lengths.dtype.is_floating_point:
            raise ShapeError(
                f"{op}: lengths must be one axis of integers, "
                f"got {lengths.dtype.name} of shape {list(lengths.shape)}"
            )
        lengths = lengths.tolist()
    if not isinstance(lengths, Iterable):
        raise TypeError(f"{op}: lengths must be a list or a tensor, got {type(lengths).__name__}")
    found: list[int] = []
    given: list[Any] = list(lengths)  # pyright: ignore[reportUnknownArgumentType]
    for n in given:
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"{op}: lengths must be ints, got {n!r}")
        found.append(n.__index__())
    if len(found) != batch:
        raise ShapeError(f"{op}: expected one length for each of {batch} sequences, got {len(found)}")
    for i, n in enumerate(found):
        if n < 1:
            raise ValueError(
                f"{op}: every length must be 1 or more, got {n} for sequence {i}; leave empty sequences out"
            )
        if n > steps:
            raise ShapeError(
                f"{op}: length {n} of sequence {i} is more than the {steps} steps that the padded input has"
            )
    return found


class Packing(NamedTuple):
    """How a padded batch is packed."""

    batch_sizes: list[int]
    # The sequences, longest first; None where they came so.
    order: list[int] | None
    # Of each packed row, its place in the padded batch `[steps * batch]`.
    rows: Tensor

    def pack(self, input: Tensor) -> Tensor:
        """The rows of ``[steps, batch, *]`` that hold something."""
        steps, batch, *rest = input.shape
        return ops.index_select(ops.reshape(input, [steps * batch, *rest]), 0, self.rows)

    def pad(self, data: Tensor, steps: int, batch: int, value: Any = 0.0) -> Tensor:
        """The rows back in ``[steps, batch, *]``, the rest filled with ``value``."""
        rest = list(data.shape[1:])
        filled = _core.full([steps * batch, *rest], value, data.dtype)
        return ops.reshape(ops.index_put(filled, data, (self.rows,)), [steps, batch, *rest])


def packing(lengths: list[int]) -> Packing:
    """The packing of sequences of these lengths, longest first; equal ones stay in order."""
    batch = len(lengths)
    order: list[int] | None = sorted(range(batch), key=lambda i: -lengths[i])
    falling = [lengths[i] for i in order]
    if order == list(range(batch)):
        order = None
    sizes: list[int] = []
    reach = batch
    for t in range(falling[0] if falling else 0):
        while falling[reach - 1] <= t:
            reach -= 1
        sizes.append(reach)
    return placed(sizes, order)


def placed(sizes: list[int], order: list[int] | None) -> Packing:
    """The packing with these batch sizes of sequences in this order."""
    batch = sizes[0] if sizes else 0
    places = range(batch) if order is None else order
    rows = [t * batch + i for t, n in enumerate(sizes) for i in places[:n]]
    return Packing(sizes, order, ints(rows))


def checked_sizes(op: str, sequence: PackedSequence) -> list[int]:
    """The batch sizes of packed sequences, which somebody may have put together by hand."""
    data, sizes = sequence.data, sequence.batch_sizes.tolist()
    whole = bool(sizes) and all(isinstance(n, int) for n in sizes)
    if not whole or sizes[-1] < 1 or sizes != sorted(sizes, reverse=True) or sum(sizes) != len(data):
        raise ShapeError(
            f"{op}: the batch_sizes of a PackedSequence must fall, be 1 or more, and add up to its "
            f"{len(data)} rows, got {sizes}; make one with pack_padded_sequence"
        )
    order = sequence.sorted_indices
    if order is not None and order.numel() != sizes[0]:
        raise ShapeError(
            f"{op}: a PackedSequence of {sizes[0]} sequences has {order.numel()} sorted_indices; "
            "make one with pack_padded_sequence"
        )
    return sizes


def unpacking(op: str, sequence: PackedSequence) -> tuple[list[int], Packing]:
    """The caller's lengths of packed sequences, and their packing."""
    sizes = checked_sizes(op, sequence)
    order = None if sequence.sorted_indices is None else sequence.sorted_indices.tolist()
    lengths = [0] * sizes[0]
    for size in sizes:
        for i in range(size):
            lengths[i if order is None else order[i]] += 1
    return lengths, placed(sizes, order)
