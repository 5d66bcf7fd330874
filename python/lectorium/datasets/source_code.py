"""The source files of Python's standard library, as a text that every machine with Python has."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from ._errors import DataError
from ._text import TextDataset, Vocabulary

#: Tab, newline and the printable characters of ASCII. Files with any other are left out.
CHARACTERS = "\t\n" + "".join(map(chr, range(32, 127)))
# What others wrote, tests, and tables rather than prose.
_LEFT_OUT = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "encodings",
    "__pycache__",
}
_LEAST = 10_000


class StandardLibrary(TextDataset):
    """Source files of the Python that runs this, whole files up to `size` characters in all.

    The order is fixed and mixed, so that the last tenth is like the rest. Another version of Python has
    another text. `folder`: where to look instead. Errors: DataError where there are no source files,
    ValueError for a size below 10,000.

    >>> text = StandardLibrary(size=50_000)
    >>> 10_000 <= len(text) <= 50_000, len(text.vocabulary)
    (True, 97)
    """

    def __init__(self, size: int = 1_000_000, folder: str | Path | None = None) -> None:
        if size < _LEAST:
            raise ValueError(f"StandardLibrary: size must be {_LEAST} or more, got {size}")
        place = Path(sysconfig.get_paths()["stdlib"] if folder is None else folder)
        parts: list[str] = []
        left = size
        for text in _sources(place):
            if len(text) <= left:
                parts.append(text)
                left -= len(text)
            if left < size // 100:
                break
        found = "".join(parts)
        if len(found) < _LEAST:
            raise DataError(
                f"StandardLibrary: found {len(found)} characters of source files in {place}, of {_LEAST} or "
                "more that are needed; this Python comes without its sources. Use another text, such as "
                "TinyShakespeare (--data tinyshakespeare)"
            )
        super().__init__(found, Vocabulary(CHARACTERS))


def _sources(place: Path) -> Iterator[str]:
    kept: list[str] = []
    for at, inner, files in os.walk(place):
        inner[:] = [name for name in inner if name not in _LEFT_OUT]
        kept += [Path(at, name).relative_to(place).as_posix() for name in files if name.endswith(".py")]
    known = set(CHARACTERS)
    for name in sorted(kept, key=lambda name: hashlib.sha256(name.encode()).digest()):
        try:
            text = (place / name).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            continue
        if text and known.issuperset(text):
            yield text
