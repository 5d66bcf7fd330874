"""How tensors look: PyTorch's layout."""

from __future__ import annotations

import math
from typing import Any, cast

from . import _core
from ._core import Tensor

_OPTIONS: dict[str, Any] = {
    "precision": 4,
    "threshold": 1000,
    "edgeitems": 3,
    "linewidth": 80,
    "sci_mode": None,
}


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed: digits, when to shorten, how many elements at the edges, line width.

    Example:
        >>> lt.set_printoptions(precision=2)
        >>> lt.tensor([0.125])
        tensor([0.12])
        >>> lt.set_printoptions(precision=4)
    """
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    for name, value in given.items():
        if value is not None:
            if value < 0:
                raise ValueError(f"set_printoptions: {name} must not be negative, got {value}")
            _OPTIONS[name] = value
    _OPTIONS["sci_mode"] = sci_mode


class _Format:
    """One format for all shown elements. Widths and choices are PyTorch's, quirks included."""

    def __init__(self, values: list[Any], floating: bool) -> None:
        self.floating = floating
        self.width = 1
        self.integral = True
        self.scientific = False
        self.precision: int = _OPTIONS["precision"]
        if not floating:
            self.width = max((len(str(v)) for v in values), default=1)
            return
        # Zeros, NaN and infinities take no part in the choice, nor in the width.
        telling = [v for v in values if math.isfinite(v) and v != 0]
        if not telling:
            return
        large, small = max(abs(v) for v in telling), min(abs(v) for v in telling)
        self.integral = all(v == math.ceil(v) for v in telling)
        self.scientific = large / small > 1000.0 or large > 1e8 or small < 1e-4
        if _OPTIONS["sci_mode"] is not None:
            self.scientific = _OPTIONS["sci_mode"]
        self.width = max(1, *(len(self.raw(v)) for v in telling))

    def raw(self, v: Any) -> str:
        if not self.floating:
            return str(v)
        if self.scientific:
            return f"{v:.{self.precision}e}"
        if not self.integral:
            return f"{v:.{self.precision}f}"
        return f"{v:.0f}." if math.isfinite(v) else f"{v:.0f}"

    def __call__(self, v: Any) -> str:
        return self.raw(v).rjust(self.width)


def _corner(t: Tensor, short: bool) -> Any:
    """Nested lists of the elements that are shown, with None where some are left out."""
    edge = _OPTIONS["edgeitems"]

    def walk(prefix: tuple[int, ...], axis: int) -> Any:
        if axis == t.ndim:
            flat = 0
            for i, d in zip(prefix, t.shape, strict=True):
                flat = flat * d + i
            return t._at(flat)
        n = t.shape[axis]
        if short and n > 2 * edge:
            head = [walk((*prefix, i), axis + 1) for i in range(edge)]
            return [*head, None, *[walk((*prefix, i), axis + 1) for i in range(n - edge, n)]]
        return [walk((*prefix, i), axis + 1) for i in range(n)]

    return walk((), 0)


def _flat(values: Any) -> list[Any]:
    if not isinstance(values, list):
        return [] if values is None else [values]
    return [v for part in cast("list[Any]", values) for v in _flat(part)]


def _lines(nested: Any, form: _Format, indent: int) -> str:
    if not isinstance(nested, list):
        return form(nested)
    values = cast("list[Any]", nested)
    if not values:
        return "[]"
    if not any(isinstance(v, list) for v in values):
        per_line = max(1, (_OPTIONS["linewidth"] - indent) // (form.width + 2))
        words = [" ..." if v is None else form(v) for v in values]
        rows = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(rows) + "]"
    depth = 1
    inner = next(v for v in values if v is not None)
    while isinstance(inner, list) and inner and isinstance(inner[0], list):
        depth, inner = depth + 1, cast(Any, inner[0])
    gap = "," + "\n" * depth + " " * (indent + 1)
    return "[" + gap.join("..." if v is None else _lines(v, form, indent + 1) for v in values) + "]"


def tensor_repr(self: Tensor) -> str:
    """The text of a tensor."""
    t = self.detach()
    device = t.device_type
    if device == "gpu":
        t = _core.to_cpu(t)
    prefix = "tensor("
    suffixes: list[str] = []
    if device != "cpu":
        suffixes.append(f"device='{device}'")
    floating = t.dtype.is_floating_point
    if t.numel() == 0:
        body = "[]"
        if t.ndim != 1:
            suffixes.append(f"size={t.shape}")
        if t.dtype != _core.get_default_dtype():
            suffixes.append(f"dtype={t.dtype!r}")
    else:
        short = t.numel() > _OPTIONS["threshold"]
        values = _corner(t, short)
        form = _Format(_flat(values), floating)
        body = _lines(values, form, len(prefix)) if t.ndim else form.raw(values)
        if t.dtype not in (_core.get_default_dtype(), _core.int64, _core.bool):
            suffixes.append(f"dtype={t.dtype!r}")
    node = self._node
    if node is not None:
        suffixes.append(f"grad_fn=<{node.name()}>")
    elif self.requires_grad:
        suffixes.append("requires_grad=True")
    text = prefix + body
    for s in suffixes:
        last = len(text) - text.rfind("\n") - 1
        text += (",\n" + " " * len(prefix) if last + len(s) + 3 > _OPTIONS["linewidth"] else ", ") + s
    return text + ")"
