"""Random numbers from a counter (Philox): the same seed gives the same numbers on any number of threads."""

from __future__ import annotations

import os
from typing import Any

from ._core import Tensor, _Generator
from .device import device as device_

_MASK = (1 << 64) - 1


class Generator(_Generator):
    """A stream of random numbers of its own.

    Example:
        >>> g = lt.Generator().manual_seed(7)
        >>> a = lt.rand(3, generator=g)
        >>> bool((a == lt.rand(3, generator=g.manual_seed(7))).all())
        True
    """

    def __new__(cls, device: object = "cpu") -> Generator:
        made = super().__new__(cls, 67280421310721)
        device_(device)
        return made

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of ``seed`` (any int; taken modulo 2**64).

        Errors: TypeError for anything but an int.

        Example:
            >>> g = lt.Generator().manual_seed(-1)
            >>> g.initial_seed() == 2**64 - 1
            True
        """
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"manual_seed: expected an int, got {type(seed).__name__}")
        self._set_seed(seed & _MASK)
        return self

    def seed(self) -> int:
        """Seeds from the operating system; returns the seed.

        Example:
            >>> g = lt.Generator()
            >>> g.seed() == g.initial_seed()
            True
        """
        seed = int.from_bytes(os.urandom(8), "little")
        self._set_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed in use.

        Example:
            >>> lt.Generator().manual_seed(7).initial_seed()
            7
        """
        return self._seed()

    def get_state(self) -> Tensor:
        """Seed and position as an int64 tensor of four 32-bit words.

        Example:
            >>> lt.Generator().manual_seed(7).get_state()
            tensor([7, 0, 0, 0])
        """
        from .creation import tensor

        seed, offset = self._state()
        low = (1 << 32) - 1
        return tensor([seed & low, seed >> 32, offset & low, offset >> 32])

    def set_state(self, state: Tensor) -> Generator:
        """Goes back to what ``get_state`` returned.

        Errors: ValueError for anything else.

        Example:
            >>> g = lt.Generator()
            >>> state = g.get_state()
            >>> a = lt.rand(3, generator=g)
            >>> a.equal(lt.rand(3, generator=g.set_state(state)))
            True
        """
        words = state.tolist() if isinstance(state, Tensor) else None
        if (
            words is None
            or len(words) != 4
            or not all(isinstance(w, int) and 0 <= w < 1 << 32 for w in words)
        ):
            raise ValueError("set_state: expected what get_state() returned, an int64 tensor of four words")
        self._set_state([words[0] | words[1] << 32, words[2] | words[3] << 32])
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._state(),)


def _restored(state: list[int]) -> Generator:
    made = Generator()
    made._set_state(state)
    return made


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Seeds the default generator.

    Example:
        >>> _ = lt.manual_seed(0)
        >>> a = lt.rand(2)
        >>> _ = lt.manual_seed(0)
        >>> bool((a == lt.rand(2)).all())
        True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seeds the default generator from the operating system; returns the seed.

    Example:
        >>> lt.seed() == lt.initial_seed()
        True
    """
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator.

    Example:
        >>> _ = lt.manual_seed(42)
        >>> lt.initial_seed()
        42
    """
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default generator: seed and position as four 32-bit words, int64.

    Example:
        >>> _ = lt.manual_seed(5)
        >>> lt.get_rng_state()
        tensor([5, 0, 0, 0])
    """
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Goes back to what ``get_rng_state`` returned.

    Example:
        >>> state = lt.get_rng_state()
        >>> a = lt.randn(2)
        >>> lt.set_rng_state(state)
        >>> a.equal(lt.randn(2))
        True
    """
    default_generator.set_state(state)
