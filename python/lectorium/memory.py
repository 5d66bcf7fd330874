"""What the buffer pool holds."""

from __future__ import annotations

from . import _core


def stats() -> dict[str, int]:
    """Bytes ``in_use``, their ``peak``, ``cached`` (free, kept), the ``limit`` of that; ``hits``, ``misses``.

    Example:
        >>> lt.memory.stats()["in_use"] >= 0
        True
    """
    return _core.memory_stats()


def reset_peak() -> None:
    """Lets ``peak`` start again from what is in use now.

    Example:
        >>> lt.memory.reset_peak()
        >>> big = lt.zeros(1 << 18)
        >>> lt.memory.stats()["peak"] >= big.nbytes
        True
    """
    _core.memory_reset_peak()


def trim(keep: int = 0) -> None:
    """Gives free memory back to the system until at most ``keep`` bytes are cached.

    Errors: ValueError for a negative number.

    Example:
        >>> lt.memory.trim()
        >>> lt.memory.stats()["cached"]
        0
    """
    if keep < 0:
        raise ValueError(f"trim: keep must not be negative, got {keep}")
    _core.memory_trim(keep)


def set_limit(nbytes: int) -> None:
    """How many free bytes the pool may keep.

    Errors: ValueError for a negative number.

    Example:
        >>> before = lt.memory.stats()["limit"]
        >>> lt.memory.set_limit(1 << 20)
        >>> lt.memory.stats()["limit"]
        1048576
        >>> lt.memory.set_limit(before)
    """
    if nbytes < 0:
        raise ValueError(f"set_limit: the limit must not be negative, got {nbytes}")
    _core.memory_set_limit(nbytes)
