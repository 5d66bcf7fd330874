"""Random numbers that stay the same: for every NumPy version, platform and number of samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


class Draws:
    """A stream of float32 random numbers that depends on the keys alone.

    Only the last key may be 2**32 or more, otherwise two lists of keys could mean the same stream.

    NumPy promises that a bit generator's raw output never changes; what ``Generator.normal`` makes of
    it may change between versions. So only the raw 64-bit words are used here.

    Keys: one or more non-negative integers. Results: float32 arrays of the asked shape.

    >>> a, b = Draws(7, 0), Draws(7, 0)
    >>> bool((a.normal(3) == b.normal(3)).all()), Draws(7, 1).uniform(2).dtype.name
    (True, 'float32')
    """

    def __init__(self, *keys: int) -> None:
        self._bits: Any = np.random.PCG64(np.random.SeedSequence(keys))

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> F32:
        """Return numbers between `low` and `high`, both ends left out.

        >>> bool((Draws(1).uniform(100, low=2, high=3) > 2).all())
        True
        """
        count = int(np.prod(shape, dtype=np.int64))
        raw: NDArray[np.uint64] = self._bits.random_raw(count)
        # 23 bits and a half: representable in float32, so neither 0 nor 1 can come out.
        unit = ((raw >> np.uint64(41)).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-23)
        return (np.float32(low) + np.float32(high - low) * unit).reshape(shape)

    def grain(self, *shape: int) -> F32:
        """Return coarse numbers from -1 to 1, eight from each random word: for noise in bulk.

        >>> bool(abs(Draws(1).grain(1000)).max() <= 1)
        True
        """
        count = int(np.prod(shape, dtype=np.int64))
        raw: NDArray[np.uint64] = self._bits.random_raw((count + 7) // 8)
        # Little-endian on every machine, so that the bytes come in the same order.
        levels = raw.astype("<u8").view(np.uint8)[:count].astype(np.float32)
        return (levels * np.float32(2 / 255) - np.float32(1)).reshape(shape)

    def normal(self, *shape: int) -> F32:
        """Return standard normal numbers (Box and Muller's method).

        >>> Draws(1).normal(2, 3).shape
        (2, 3)
        """
        count = int(np.prod(shape, dtype=np.int64))
        half = (count + 1) // 2
        radius = np.sqrt(np.float32(-2.0) * np.log(self.uniform(half)))
        angle = self.uniform(half, high=2.0 * np.pi)
        both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return both[:count].reshape(shape)
