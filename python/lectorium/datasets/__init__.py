"""Data sets: digits drawn here (`Strokes`), and those fetched once and kept.

Every set of pictures has `images`, `labels`, `classes`, `arrays()`, and items ``(image, label)``. Texts have
`text`, `vocabulary` and `split()`. Sentences and sounds say what theirs are.

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
    from .features import log_mel
    from .fsdd import FSDD
    from .idx import read_idx
    from .mnist import MNIST, FashionMNIST
    from .rt_polarity import RTPolarity
    from .source_code import StandardLibrary
    from .spoken_digits import SpokenDigits
    from .stroke_scenes import StrokeScenes
    from .strokes import Strokes
    from .sums import Sums
    from .tatoeba import Tatoeba
    from .tinyshakespeare import TinyShakespeare
    from .wav import read_wav

__all__ = [
    "CIFAR10",
    "FSDD",
    "MNIST",
    "AddingProblem",
    "DataError",
    "DownloadError",
    "FashionMNIST",
    "ImageDataset",
    "PartialDataWarning",
    "RTPolarity",
    "SpokenDigits",
    "StandardLibrary",
    "StrokeScenes",
    "Strokes",
    "Sums",
    "Tatoeba",
    "TextDataset",
    "TinyShakespeare",
    "Vocabulary",
    "cache_folder",
    "log_mel",
    "read_idx",
    "read_wav",
]

_HOME = {
    "AddingProblem": "adding",
    "CIFAR10": "cifar10",
    "DataError": "_errors",
    "DownloadError": "_errors",
    "FSDD": "fsdd",
    "FashionMNIST": "mnist",
    "ImageDataset": "_base",
    "MNIST": "mnist",
    "PartialDataWarning": "_errors",
    "RTPolarity": "rt_polarity",
    "SpokenDigits": "spoken_digits",
    "StandardLibrary": "source_code",
    "StrokeScenes": "stroke_scenes",
    "Strokes": "strokes",
    "Sums": "sums",
    "Tatoeba": "tatoeba",
    "TextDataset": "_text",
    "TinyShakespeare": "tinyshakespeare",
    "Vocabulary": "_text",
    "cache_folder": "_places",
    "log_mel": "features",
    "read_idx": "idx",
    "read_wav": "wav",
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
