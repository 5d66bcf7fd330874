"""Who is told how a run goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .training import Batch


class Listener(Protocol):
    """Who is told how a run goes: the command line, or nobody."""

    def say(self, text: str) -> None:
        """A line for the user."""

    def busy(self, text: str) -> None:
        """What takes a while from now until the next line or batch."""

    def begin(self, epochs: int, unit: str) -> None:
        """Before the first batch; `unit`: what examples are called."""

    def batch(self, done: Batch) -> None:
        """After each batch of training."""

    def epoch(self, row: dict[str, float]) -> None:
        """After each epoch: a row of metrics.csv."""

    def confusion(self, counts: NDArray[np.int64], classes: tuple[str, ...]) -> None:
        """How often each class (row) was taken for each (column)."""


class Silent:
    """The listener of runs that nobody watches."""

    def say(self, text: str) -> None: ...

    def busy(self, text: str) -> None: ...

    def begin(self, epochs: int, unit: str) -> None: ...

    def batch(self, done: Batch) -> None: ...

    def epoch(self, row: dict[str, float]) -> None: ...

    def confusion(self, counts: NDArray[np.int64], classes: tuple[str, ...]) -> None: ...
