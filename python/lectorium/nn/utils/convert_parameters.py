"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ... import _core, ops
from ..._core import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other.

    Example:
        >>> lt.nn.utils.parameters_to_vector(lt.nn.Linear(3, 2).parameters()).shape
        (8,)
    """
    return ops.cat([ops.reshape(p, [-1] if p.numel() else [0]) for p in parameters], 0)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Writes the elements of a vector into the parameters, in place.

    Errors: ValueError if the vector is not as long as all parameters together.

    Example:
        >>> layer = lt.nn.Linear(1, 1)
        >>> lt.nn.utils.vector_to_parameters(lt.tensor([2.0, 3.0]), layer.parameters())
        >>> layer.weight.item(), layer.bias.item()
        (2.0, 3.0)
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: expected a Tensor, got {type(vec).__name__}")
    listed = list(parameters)
    total = sum(p.numel() for p in listed)
    if vec.ndim != 1 or vec.numel() != total:
        raise ValueError(
            f"vector_to_parameters: expected a vector of {total} elements for {len(listed)} parameters, "
            f"got shape {list(vec.shape)}"
        )
    plain, start = vec.detach(), 0
    for p in listed:
        _core.copy_into(p, _core.reshape(_core.narrow(plain, 0, start, p.numel()), list(p.shape)))
        start += p.numel()
