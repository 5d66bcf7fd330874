"""The pictures that recipes train on, by the names that the command line uses."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator
from typing import Any

from ..datasets import CIFAR10, MNIST, FashionMNIST, Strokes
from ..datasets._places import cache_folder
from .data_names import KNOWN
from .recipe import Data, Examples

_CLASSES = {"mnist": MNIST, "fashion-mnist": FashionMNIST, "cifar10": CIFAR10}


def load_pictures(name: str, limit: int | None = None) -> Data:
    """The pictures and labels of a set, at most `limit` of each part.

    Example:
        >>> data = lt.recipes.digits.load_pictures("strokes", limit=20)
        >>> data.train.inputs.shape, len(data.test)
        ((20, 1, 28, 28), 20)
    """
    if name == "strokes":
        parts = [_strokes(train, limit) for train in (True, False)]
        note = "digits drawn by the program itself (--data mnist trains on the real ones)"
    else:
        parts, note = _from_files(name)
    train, test = (Examples(*part.arrays()).first(limit) for part in parts)
    counts = f"{KNOWN[name]}: {len(train):,} pictures to train on, {len(test):,} to test on"
    return Data(train, test, parts[0].classes, f"{counts}; {note}" if note else counts)


def _strokes(train: bool, limit: int | None) -> Any:
    usual = 20_000 if train else 4_000
    # Always the same pictures, whatever the run's seed, so that accuracies of different seeds compare.
    return Strokes(n=usual if limit is None else min(limit, usual), train=train, seed=0)


def _from_files(name: str) -> tuple[list[Any], str]:
    kind = _CLASSES[name]
    with _partial_copies() as said:
        try:
            parts = [kind(train=train, download=False) for train in (True, False)]
            note = ""
        except FileNotFoundError:
            parts = [kind(train=train) for train in (True, False)]
            note = f"downloaded into {cache_folder()}"
    return parts, "; ".join([*said, *([note] if note else [])])


@contextlib.contextmanager
def _partial_copies() -> Generator[list[str]]:
    """Collects what a data set says about an incomplete local copy, to be shown with the rest."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
        said += dict.fromkeys(str(warning.message) for warning in caught)
