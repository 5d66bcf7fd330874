"""Data sets: digits drawn here (`Strokes`), and those fetched once and kept.

Every set of pictures has `images`, `labels`, `classes`, `arrays()`, and items ``(image, label)``. Texts have
`text`, `vocabulary` and `split()`.

>>> import lectorium.datasets
>>> sorted(lectorium.datasets.__all__)[:3]
['AddingProblem', 'CIFAR10', 'DataError']
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._base import ImageDataset
    from ._errors import DataError, DownloadError, PartialDataWarning
    from ._places import cache_folder
    from ._text import TextDataset, Vocabulary
    from .adding import AddingProblem
    from .cifar10 import CIFAR10
    from .idx import read_idx
    from .mnist import MNIST, FashionMNIST
    from .source_code import StandardLibrary
    from .stroke_scenes import StrokeScenes
    from .strokes import Strokes
    from .sums import Sums
    from .tinyshakespeare import TinyShakespeare

__all__ = [
    "CIFAR10",
    "MNIST",
    "AddingProblem",
    "DataError",
    "DownloadError",
    "FashionMNIST",
    "ImageDataset",
    "PartialDataWarning",
    "StandardLibrary",
    "StrokeScenes",
    "Strokes",
    "Sums",
    "TextDataset",
    "TinyShakespeare",
    "Vocabulary",
    "cache_folder",
    "read_idx",
]

_HOME = {
    "AddingProblem": "adding",
    "CIFAR10": "cifar10",
    "DataError": "_errors",
    "DownloadError": "_errors",
    "FashionMNIST": "mnist",
    "ImageDataset": "_base",
    "MNIST": "mnist",
    "PartialDataWarning": "_errors",
    "StandardLibrary": "source_code",
    "StrokeScenes": "stroke_scenes",
    "Strokes": "strokes",
    "Sums": "sums",
    "TextDataset": "_text",
    "TinyShakespeare": "tinyshakespeare",
    "Vocabulary": "_text",
    "cache_folder": "_places",
    "read_idx": "idx",
}


def __getattr__(name: str) -> Any:
    # Each set is imported when it is first asked for, so that importing them all costs nothing.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
