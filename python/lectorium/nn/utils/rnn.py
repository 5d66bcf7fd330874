"""Sequences of several lengths in one batch: packed rows for recurrent layers, and padding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from ... import _core, ops
from ..._core import Tensor
from ._packing import ints, packing, read_lengths, unpacking

Self = TypeVar("Self", bound="PackedSequence")
ShapeError = _core.ShapeError


class PackedSequence_(NamedTuple):
    """The fields of ``PackedSequence``."""

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(PackedSequence_):
    """Sequences of several lengths, step by step: the first rows of all, then the second rows, and so on.

    ``batch_sizes`` says how many sequences reach each step; ``sorted_indices`` which sequence of the caller's
    stands where, longest first, and ``unsorted_indices`` the way back (None: they came sorted). To be made by
    ``pack_padded_sequence`` or ``pack_sequence``. All recurrent layers take one and give one back.

    Example:
        >>> rnn = lt.nn.utils.rnn
        >>> packed = rnn.pack_sequence([lt.tensor([1, 2, 3]), lt.tensor([4])])
        >>> packed.data, packed.batch_sizes
        (tensor([1, 4, 2, 3]), tensor([2, 1, 1]))
    """

    def __new__(
        cls: type[Self],
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        if batch_sizes is None:
            pair: list[Any] = list(data) if isinstance(data, (tuple, list)) else []  # pyright: ignore[reportUnknownArgumentType]
            if len(pair) != 2:
                raise TypeError(
                    f"{cls.__name__}: expected data and batch_sizes; make one with pack_padded_sequence"
                )
            data, batch_sizes = pair
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)  # pyright: ignore[reportArgumentType]

    def _with(self: Self, change: Callable[[Tensor], Tensor]) -> Self:
        data = change(self.data)
        if data is self.data:
            return self
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def to(self: Self, *args: Any, **kwargs: Any) -> Self:
        """With ``data`` in another dtype or on another device, as ``Tensor.to``.

        Example:
            >>> packed = lt.nn.utils.rnn.pack_sequence([lt.tensor([1, 2, 3]), lt.tensor([4])])
            >>> packed.to(lt.float64).data
            tensor([1., 4., 2., 3.], dtype=lectorium.float64)
        """
        return self._with(lambda t: t.to(*args, **kwargs))

    def cpu(self: Self) -> Self:
        """With ``data`` in main memory."""
        return self.to("cpu")

    def double(self: Self) -> Self:
        """With ``data`` as float64."""
        return self.to(_core.float64)

    def float(self: Self) -> Self:
        """With ``data`` as float32."""
        return self.to(_core.float32)

    def half(self: Self) -> Self:
        """With ``data`` as float16."""
        return self.to(_core.float16)

    def long(self: Self) -> Self:
        """With ``data`` as int64."""
        return self.to(_core.int64)

    def int(self: Self) -> Self:
        """With ``data`` as int32."""
        return self.to(_core.int32)

    def short(self: Self) -> Self:
        """With ``data`` as int16."""
        return self.to(_core.int16)

    def char(self: Self) -> Self:
        """With ``data`` as int8."""
        return self.to(_core.int8)

    def byte(self: Self) -> Self:
        """With ``data`` as uint8."""
        return self.to(_core.uint8)

    def pin_memory(self: Self) -> Self:
        """Itself: there is no memory to pin.

        Example:
            >>> packed = lt.nn.utils.rnn.pack_sequence([lt.ones(2)])
            >>> packed.pin_memory() is packed
            True
        """
        return self

    def is_pinned(self) -> bool:
        """False.

        Example:
            >>> lt.nn.utils.rnn.pack_sequence([lt.ones(2)]).is_pinned()
            False
        """
        return False

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes this one; None stays None.

    Example:
        >>> lt.nn.utils.rnn.invert_permutation(lt.tensor([2, 0, 1]))
        tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    order = permutation.tolist()
    if sorted(order) != list(range(len(order))):
        raise ValueError(
            f"invert_permutation: expected each of 0 to {len(order) - 1} once, got {order[:10]}"
            + ("..." if len(order) > 10 else "")
        )
    back = [0] * len(order)
    for place, i in enumerate(order):
        back[i] = place
    return ints(back)


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch.

    Shapes: input ``[T, B, *]`` (``batch_first``: ``[B, T, *]``), lengths a list or a tensor of B ints from 1
    to T, falling unless ``enforce_sorted=False``.

    Example:
        >>> rnn = lt.nn.utils.rnn
        >>> rnn.pack_padded_sequence(lt.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True).data
        tensor([1, 3, 2])
    """
    if not isinstance(input, Tensor) or input.ndim < 2:
        raise ShapeError(f"pack_padded_sequence: expected a tensor of 2 axes or more, got {_got(input)}")
    steps_first = ops.transpose(input, 0, 1) if batch_first else input
    steps, batch = steps_first.shape[:2]
    found = read_lengths("pack_padded_sequence", lengths, batch, steps)
    if not found:
        raise ShapeError("pack_padded_sequence: the batch is empty; expected at least one sequence")
    made = packing(found)
    if made.order is not None and enforce_sorted:
        raise ValueError(
            f"pack_padded_sequence: lengths must fall when enforce_sorted is True, got {found}; "
            "pass enforce_sorted=False to have them sorted"
        )
    indices = None
    if not enforce_sorted:
        indices = ints(range(batch) if made.order is None else made.order)
    return PackedSequence(made.pack(steps_first), ints(made.batch_sizes), indices)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded batch ``[T, B, *]`` (``batch_first``: ``[B, T, *]``) and the lengths, as a tensor.

    T is the longest length, or ``total_length``.

    Example:
        >>> rnn = lt.nn.utils.rnn
        >>> rnn.pad_packed_sequence(rnn.pack_sequence([lt.tensor([1, 2]), lt.tensor([3])]), batch_first=True)
        (tensor([[1, 2],
                [3, 0]]), tensor([2, 1]))
    """
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"pad_packed_sequence: expected a PackedSequence, got {type(sequence).__name__}")
    lengths, made = unpacking("pad_packed_sequence", sequence)
    steps = len(made.batch_sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                f"pad_packed_sequence: total_length must be at least {steps}, the length of the longest "
                f"sequence, got {total_length}"
            )
        steps = total_length
    out = made.pad(sequence.data, steps, len(lengths), padding_value)
    return (ops.transpose(out, 0, 1) if batch_first else out), ints(lengths)


def _got(value: Any) -> str:
    return f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _sequences(op: str, sequences: Any) -> list[Tensor]:
    if not isinstance(sequences, Iterable):
        raise TypeError(f"{op}: expected a list of tensors, got {type(sequences).__name__}")
    found: list[Any] = list(sequences)  # pyright: ignore[reportUnknownArgumentType]
    if not found:
        raise ValueError(f"{op}: expected at least one sequence, got an empty list")
    for i, s in enumerate(found):
        if not isinstance(s, Tensor) or s.ndim < 1 or s.shape[1:] != found[0].shape[1:]:
            rest = "".join(f", {n}" for n in found[0].shape[1:]) if isinstance(found[0], Tensor) else ""
            raise ShapeError(
                f"{op}: expected tensors of shape [length{rest}], got {_got(s)} for sequence {i}"
            )
    return found


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Tensors ``[length, *]`` of several lengths in one, ``[T, B, *]`` (``batch_first``: ``[B, T, *]``).

    ``padding_side``: "right" or "left".

    Example:
        >>> lt.nn.utils.rnn.pad_sequence([lt.tensor([1, 2]), lt.tensor([3])], batch_first=True)
        tensor([[1, 2],
                [3, 0]])
    """
    found = _sequences("pad_sequence", sequences)
    if padding_side not in ("right", "left"):
        raise ValueError(f"pad_sequence: padding_side must be 'right' or 'left', got {padding_side!r}")
    steps = max(s.shape[0] for s in found)
    padded: list[Tensor] = []
    for s in found:
        missing = steps - s.shape[0]
        if missing:
            ends = (0, missing) if padding_side == "right" else (missing, 0)
            s = ops.pad_constant(s, [ends, *[(0, 0)] * (s.ndim - 1)], padding_value)
        padded.append(ops.unsqueeze(s, 0 if batch_first else 1))
    return ops.cat(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each at its own length.

    Example:
        >>> lt.nn.utils.rnn.unpad_sequence(lt.tensor([[1, 2], [3, 0]]), [2, 1], batch_first=True)
        [tensor([1, 2]), tensor([3])]
    """
    if not isinstance(padded_sequences, Tensor) or padded_sequences.ndim < 2:
        raise ShapeError(f"unpad_sequence: expected a tensor of 2 axes or more, got {_got(padded_sequences)}")
    rows = padded_sequences if batch_first else ops.transpose(padded_sequences, 0, 1)
    found = read_lengths("unpad_sequence", lengths, *rows.shape[:2])
    each = ops.split(rows, [1] * len(found), 0)
    return [ops.narrow(ops.squeeze(s, (0,)), 0, 0, n) for s, n in zip(each, found, strict=True)]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Packs tensors ``[length, *]``; longest first unless ``enforce_sorted=False``.

    Example:
        >>> lt.nn.utils.rnn.pack_sequence([lt.tensor([1, 2]), lt.tensor([3])]).batch_sizes
        tensor([2, 1])
    """
    found = _sequences("pack_sequence", sequences)
    lengths = [s.shape[0] for s in found]
    return pack_padded_sequence(pad_sequence(found), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The tensors that ``pack_sequence`` packed.

    Example:
        >>> rnn = lt.nn.utils.rnn
        >>> rnn.unpack_sequence(rnn.pack_sequence([lt.tensor([1, 2]), lt.tensor([3])]))
        [tensor([1, 2]), tensor([3])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def detach(state: Any) -> Any:
    """The state of a recurrent layer without its history: a tensor, a tuple or list of them, or None.

    Truncated backpropagation through time carries states from one stretch of a long sequence to the next, and
    gradients only within a stretch (Williams & Peng 1990).

    Example:
        >>> lstm, state = lt.nn.LSTM(3, 4), None
        >>> for part in lt.randn(20, 2, 3).split(5):
        ...     out, state = lstm(part, state)
        ...     out.sum().backward()
        ...     state = lt.nn.utils.rnn.detach(state)
    """
    if state is None or isinstance(state, Tensor):
        return state if state is None else state.detach()
    if isinstance(state, PackedSequence):
        return state._with(Tensor.detach)
    if isinstance(state, (tuple, list)):
        found: list[Any] = [detach(s) for s in state]  # pyright: ignore[reportUnknownVariableType]
        return found if isinstance(state, list) else tuple(found)
    raise TypeError(
        f"detach: expected a tensor, a tuple or list of tensors, or None, got {type(state).__name__}"
    )


__all__ = [
    "PackedSequence",
    "detach",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]
