"""Making a batch of samples."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

from .. import _core
from .._checks import is_a
from .._core import Tensor


def _stack(batch: Sequence[Tensor]) -> Tensor:
    from .. import ops

    for i, t in enumerate(batch):
        if t.shape != batch[0].shape:
            raise _core.ShapeError(
                "default_collate: stack expects each tensor to be equal size, but got "
                f"{list(batch[0].shape)} at entry 0 and {list(t.shape)} at entry {i}; pad the samples, or "
                "pass a collate_fn of your own"
            )
    return ops.cat([ops.unsqueeze(t, 0) for t in batch], 0)


def _array(value: Any) -> Tensor:
    from ..creation import tensor

    if value.dtype.kind in "SUOV":
        raise TypeError(
            f"default_collate: arrays of type {value.dtype} cannot become tensors; "
            "pass a collate_fn of your own"
        )
    return tensor(value)


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch of samples: tensors, arrays and numbers are stacked along a new first axis.

    Dicts give a dict of batches, tuples and lists a list of batches, named tuples a named tuple of batches;
    strings and bytes stay as they are. Python floats become float64, ints int64.

    Example:
        >>> lt.utils.data.default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
        {'x': tensor([1, 2]), 'name': ['a', 'b']}
    """
    if len(batch) == 0:
        raise ValueError("default_collate: got an empty batch")
    first: Any = batch[0]
    if isinstance(first, Tensor):
        return _stack(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if is_a(first, float) and not hasattr(first, "dtype"):
        return _core.from_numbers(tuple(float(x) for x in batch), [len(batch)], _core.float64)
    if is_a(first, bool, int):
        from ..creation import tensor

        return tensor(list(batch))
    if hasattr(first, "__array_interface__"):
        # NumPy's arrays and scalars.
        return _stack([_array(x) for x in batch])
    if is_a(first, Mapping):
        parts: dict[Any, Any] = {key: default_collate([sample[key] for sample in batch]) for key in first}
        if type(first) is dict:
            return parts
        try:
            if is_a(first, MutableMapping):
                made = copy.copy(first)
                made.update(parts)
                return made
            return type(first)(parts)
        except TypeError:
            return parts
    if is_a(first, Sequence):
        return _sequence(batch, first)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
        f"{type(first).__name__}; pass a collate_fn of your own"
    )


def _sequence(batch: Sequence[Any], first: Any) -> Any:
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError(
            "default_collate: each element in list of batch should be of equal size, got lengths "
            f"{sorted({len(sample) for sample in batch})}"
        )
    parts = [default_collate(column) for column in zip(*batch, strict=True)]
    if is_a(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*parts)
    if type(first) in (tuple, list):
        return parts
    try:
        if is_a(first, MutableSequence):
            made = copy.copy(first)
            for i, part in enumerate(parts):
                made[i] = part
            return made
        return type(first)(parts)
    except TypeError:
        return parts


def default_convert(data: Any) -> Any:
    """Arrays inside of ``data`` become tensors; all else stays: what a loader without batches does.

    Example:
        >>> lt.utils.data.default_convert((np.arange(2), "a"))
        [tensor([0, 1]), 'a']
    """
    if isinstance(data, (Tensor, str, bytes)):
        return data
    if hasattr(data, "__array_interface__"):
        return data if data.dtype.kind in "SUOV" else _array(data)
    if is_a(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if is_a(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(x) for x in data))
    if is_a(data, tuple, list):
        # A list also of a tuple, as PyTorch has it.
        return [default_convert(x) for x in data]
    return data


__all__ = ["default_collate", "default_convert"]
