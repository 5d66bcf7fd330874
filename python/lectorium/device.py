"""Where tensors live."""

from __future__ import annotations

from typing import Any


class device:
    """A place for tensors: ``device("cpu")`` or ``device("gpu")``.

    Example:
        >>> lt.device("cpu")
        device(type='cpu')
        >>> lt.zeros(2).device == lt.device("cpu")
        True
    """

    __slots__ = ("index", "type")

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            self.type: str = type.type
            self.index: int | None = type.index
            return
        if not isinstance(type, str):
            raise TypeError(f"device: expected a name such as 'cpu' or 'gpu', got {type.__class__.__name__}")
        name, _, number = type.partition(":")
        if name == "cuda":
            raise RuntimeError("device: there is no 'cuda' here; the GPU of any vendor is called 'gpu'")
        if name not in ("cpu", "gpu"):
            raise RuntimeError(f"device: expected 'cpu' or 'gpu', got {type!r}")
        if number:
            if not number.isdigit() or int(number) != 0:
                raise RuntimeError(f"device: {type!r}: one CPU and one GPU can be used, with index 0")
            index = int(number)
        self.type = name
        self.index = index

    def __repr__(self) -> str:
        return f"device(type='{self.type}')"

    def __str__(self) -> str:
        return self.type

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and other.type == self.type

    def __hash__(self) -> int:
        return hash(self.type)

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type,)


CPU, GPU = device("cpu"), device("gpu")
