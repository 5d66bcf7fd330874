"""Strings of spoken digits, joined from the recordings of FSDD."""

from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ._base import I64, as_tensor, check_index
from ._places import Root
from ._random import Draws
from .fsdd import FSDD

I16 = NDArray[np.int16]
_HISS = 12.0  # standard deviation of the noise in the gaps and under the recordings, of 32768


class SpokenDigits:
    """One person says three to five digits, with gaps between them.

    `n` sequences that depend on `seed` alone, drawn from `FSDD`'s recordings of that part: a speaker, how
    many digits, the recording of each, the gaps (50 to 400 ms) and some faint noise. `recordings[i]`: the
    recordings of a sequence, from which `join` makes further versions. `digits[i]`: int64 [3 to 5]. An item
    is ``(waveform, digits)``, a float32 Tensor [samples] in -1..1, 8000 a second, and an int64 Tensor.
    `least`, `most`: other numbers of digits. Errors: those of `FSDD`; ValueError for senseless numbers.

    >>> join([np.full(800, 9, np.int16), np.full(800, 9, np.int16)], [0.1, 0.2, 0.1], Draws(0)).shape
    (4800,)
    """

    def __init__(
        self,
        root: Root = None,
        train: bool = True,
        n: int = 300,
        seed: int = 0,
        download: bool = True,
        least: int = 3,
        most: int = 5,
    ) -> None:
        if n < 0:
            raise ValueError(f"SpokenDigits: n must be 0 or more, got {n}")
        if not 1 <= least <= most:
            raise ValueError(f"SpokenDigits: expected 1 <= least <= most, got {least} and {most}")
        base = FSDD(root, train, download)
        self.train, self.seed = train, seed
        names = sorted(set(base.speakers))
        whose = [[i for i, name in enumerate(base.speakers) if name == speaker] for speaker in names]
        self.recordings: list[list[I16]] = []
        self.digits: list[I64] = []
        self.speakers: list[str] = []
        for number in range(n):
            draws = Draws(seed, int(train), 0, number)
            speaker, many = _pick(draws, len(names)), least + _pick(draws, most - least + 1)
            chosen = [whose[speaker][_pick(draws, len(whose[speaker]))] for _ in range(many)]
            self.recordings.append([base.waveforms[i] for i in chosen])
            self.digits.append(base.labels[chosen])
            self.speakers.append(names[speaker])

    def waveform(self, index: int) -> I16:
        """The sound of a sequence, int16 [samples].

        Example:
            >>> SpokenDigits(train=False).waveform(0).dtype  # doctest: +SKIP
            dtype('int16')
        """
        draws = Draws(self.seed, int(self.train), 1, index)
        parts = self.recordings[index]
        return join(parts, draws.uniform(len(parts) + 1, low=0.05, high=0.4).tolist(), draws)

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: SupportsIndex) -> tuple[Any, Any]:
        i = check_index(index, len(self), "SpokenDigits")
        return as_tensor(self.waveform(i).astype(np.float32) / np.float32(32768)), as_tensor(self.digits[i])

    def __repr__(self) -> str:
        return f"SpokenDigits({len(self)} sequences, {'train' if self.train else 'test'})"


def join(recordings: Sequence[I16], gaps: Sequence[float], draws: Draws) -> I16:
    """Return the recordings one after another, a gap before, between and after them, under faint noise.

    `gaps`: seconds, one more than recordings.
    """
    silences = [np.zeros(round(gap * FSDD.rate), np.int16) for gap in gaps]
    parts = [part for pair in zip(silences, recordings, strict=False) for part in pair]
    sound = np.concatenate([*parts, silences[-1]]).astype(np.float32)
    noisy = np.rint(sound + np.float32(_HISS) * draws.normal(len(sound)))
    return np.clip(noisy, -32768, 32767).astype(np.int16)


def _pick(draws: Draws, count: int) -> int:
    return int(draws.uniform(1)[0] * count)
