"""Turning the tape on and off, for this thread."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from .._core import is_grad_enabled, set_grad_enabled as _set

F = TypeVar("F", bound=Callable[..., Any])


class _Mode:
    """A context manager and decorator that sets recording to ``on``."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_set(self._on))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _set(self._before.pop())

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before = _set(self._on)
            try:
                return function(*args, **kwargs)
            finally:
                _set(before)

        return cast(F, wrapped)


class no_grad(_Mode):
    """Operations inside record nothing; their results need no gradients.

    Example:
        >>> x = lt.ones(2, requires_grad=True)
        >>> with lt.no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
    """

    def __init__(self, function: Any = None) -> None:
        super().__init__(False)

    def __new__(cls, function: Any = None) -> Any:
        made = super().__new__(cls)
        if callable(function):  # `@no_grad` without brackets
            made.__init__()
            return made(function)
        return made


class enable_grad(_Mode):
    """Records again inside a ``no_grad``.

    Example:
        >>> x = lt.ones(2, requires_grad=True)
        >>> with lt.no_grad(), lt.enable_grad():
        ...     y = x * 2
        >>> y.requires_grad
        True
    """

    def __init__(self) -> None:
        super().__init__(True)


class inference_mode(_Mode):
    """As ``no_grad`` (there is nothing more to save); ``inference_mode(False)`` records.

    Example:
        >>> with lt.inference_mode():
        ...     y = lt.ones(2, requires_grad=True) + 1
        >>> y.requires_grad
        False
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not mode)


class set_grad_enabled(_Mode):
    """Sets recording at once, and back at the end of a ``with`` block.

    Example:
        >>> with lt.set_grad_enabled(False):
        ...     lt.is_grad_enabled()
        False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._first = _set(mode)

    def __enter__(self) -> None:
        self._before.append(self._first)
        _set(self._on)


__all__ = ["enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]
