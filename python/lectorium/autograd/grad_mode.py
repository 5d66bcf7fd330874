"""Turning the tape on and off, for this thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar, cast

from .._core import is_grad_enabled, set_grad_enabled as _set

F = TypeVar("F", bound=Callable[..., Any])

_GENERATOR = 0x20


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
        # As inspect.isgeneratorfunction, without the cost of importing it.
        if getattr(getattr(function, "__code__", None), "co_flags", 0) & _GENERATOR:
            return cast(F, self._each_step(function))

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before = _set(self._on)
            try:
                return function(*args, **kwargs)
            finally:
                _set(before)

        return cast(F, wrapped)

    def _each_step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # The body of a generator runs while it is advanced, its caller's code in between.
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            steps = function(*args, **kwargs)
            advance: Callable[..., Any] = steps.send
            answer: Any = None
            while True:
                before = _set(self._on)
                try:
                    item = advance(answer)
                except StopIteration as end:
                    return end.value
                finally:
                    _set(before)
                try:
                    answer = yield item
                    advance = steps.send
                except GeneratorExit:
                    steps.close()
                    raise
                except BaseException as error:
                    answer, advance = error, steps.throw

        return wrapped


def _bare(cls: Any, function: Any, *args: Any) -> Any:
    """``@no_grad`` without brackets decorates at once."""
    return cls(*args)(function)


class no_grad(_Mode):
    """Operations inside record nothing; their results need no gradients.

    Example:
        >>> x = lt.ones(2, requires_grad=True)
        >>> with lt.no_grad():
        ...     y = x * 2
        >>> y.requires_grad
        False
    """

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else _bare(cls, function)

    def __init__(self, function: Any = None) -> None:
        super().__init__(False)


class enable_grad(_Mode):
    """Records again inside a ``no_grad``.

    Example:
        >>> x = lt.ones(2, requires_grad=True)
        >>> with lt.no_grad(), lt.enable_grad():
        ...     y = x * 2
        >>> y.requires_grad
        True
    """

    def __new__(cls, function: Any = None) -> Any:
        return super().__new__(cls) if function is None else _bare(cls, function)

    def __init__(self, function: Any = None) -> None:
        super().__init__(True)


class inference_mode(_Mode):
    """As ``no_grad`` (there is nothing more to save); ``inference_mode(False)`` records.

    Example:
        >>> with lt.inference_mode():
        ...     y = lt.ones(2, requires_grad=True) + 1
        >>> y.requires_grad
        False
    """

    def __new__(cls, mode: Any = True) -> Any:
        return super().__new__(cls) if isinstance(mode, bool) else _bare(cls, mode)

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

    def __call__(self, function: F) -> F:
        _set(self._first)  # as a decorator it changes nothing until the function is called
        return super().__call__(function)


__all__ = ["enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]
