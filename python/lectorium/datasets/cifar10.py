"""CIFAR-10: 50,000 + 10,000 colour pictures of 32x32 in ten classes."""

import re
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np

from ._base import I64, U8, ImageDataset, Transform
from ._cifar_files import parse_binary, parse_pickle
from ._errors import DataError, PartialDataWarning
from ._places import Root, download_folder, find, folders, missing
from .idx import read_bytes

_ARCHIVES = ("cifar-10-binary.tar.gz", "cifar-10-python.tar.gz")
_FOLDERS = ("cifar-10-batches-bin", "cifar-10-batches-py")  # what the archives unpack to
_Source = tuple[str, Callable[[], bytes], bool]  # a name for errors, how to read it, is it a pickle


class CIFAR10(ImageDataset):
    """Colour pictures of ten kinds of things: 50,000 to train on, 10,000 to test on.

    Looked for in `root`, in ``$LECTORIUM_DATA/cifar10``, in the cache, and then downloaded (into `root`,
    if given, otherwise into the cache). A folder may hold the binary batches (``data_batch_1.bin``), the
    Python ones (``data_batch_1``), either with .gz, or the official tar.gz. A local copy with some of
    the batches, or with the first pictures of one (``test_batch_first1000.bin``), is used as it is,
    with a PartialDataWarning that says how much there is.

    `images`: uint8 [N, 32, 32, 3], a view of the [N, 3, 32, 32] that `arrays` returns. `labels`: int64.
    Items: see `ImageDataset`. Errors: DataError for a damaged file, FileNotFoundError with
    download=False, DownloadError.
    Source: Krizhevsky (2009), Learning multiple layers of features from tiny images;
    https://www.cs.toronto.edu/~kriz/cifar.html.

    >>> CIFAR10.names[6]
    'frog'
    """

    names: ClassVar[tuple[str, ...]] = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    mirrors: ClassVar[tuple[str, ...]] = ("https://www.cs.toronto.edu/~kriz/",)
    digest: ClassVar[str] = "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"

    def __init__(
        self,
        root: Root = None,
        train: bool = True,
        transform: Transform = None,
        target_transform: Transform = None,
        download: bool = True,
    ) -> None:
        looked = folders(root, ("cifar10", "."))
        inner = [folder / name for folder in looked for name in (".", *_FOLDERS)]
        found = next((sources for folder in inner if (sources := _sources(folder, train))), None)
        if found is None:
            if not download:
                batches = "data_batch_1 to 5" if train else "test_batch"
                what = f"{batches} (binary or Python, packed or not) or the tar.gz"
                raise FileNotFoundError(missing("CIFAR10", what, looked, "cifar10"))
            found = _archive(self._download(root), train)
        parts = [(parse_pickle if pickled else parse_binary)(read(), name) for name, read, pickled in found]
        pixels: U8 = np.concatenate([part[0] for part in parts]) if len(parts) > 1 else parts[0][0]
        labels: I64 = np.concatenate([part[1] for part in parts])
        super().__init__(pixels, labels, self.names, transform, target_transform)
        self.train = train
        full = 50_000 if train else 10_000
        if len(labels) < full:
            warnings.warn(
                f"CIFAR10: the local copy has {len(labels):,} of {full:,} {'train' if train else 'test'} "
                f"images ({', '.join(Path(name).name for name, _, _ in found)}); using those",
                PartialDataWarning,
                stacklevel=2,
            )

    @classmethod
    def _download(cls, root: Root) -> Path:
        # Imported when needed: HTTP and the progress bar cost more than all the rest together.
        from ._download import Remote, fetch

        urls = tuple(mirror + _ARCHIVES[0] for mirror in cls.mirrors)
        return fetch(Remote(_ARCHIVES[0], urls, cls.digest), download_folder(root, "cifar10"))


def _sources(folder: Path, train: bool) -> list[_Source]:
    """Return the batches in a folder, in order; whole files before an archive before first parts."""
    if not folder.is_dir():
        return []
    batches = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
    for ending, pickled in ((".bin", False), ("", True)):
        files = [
            path for b in batches if (path := find(folder, (f"{b}{ending}", f"{b}{ending}.gz"))) is not None
        ]
        if files:
            complete = len(files) == len(batches)
            in_archive = [] if complete else _from_archives(folder, train)
            return in_archive or [_file(path, pickled) for path in files]
    return _from_archives(folder, train) or [
        _file(path, False) for batch in batches for path in _first_parts(folder, batch)
    ]


def _from_archives(folder: Path, train: bool) -> list[_Source]:
    archive = next((folder / name for name in _ARCHIVES if (folder / name).is_file()), None)
    return [] if archive is None else _archive(archive, train)


def _first_parts(folder: Path, batch: str) -> list[Path]:
    """Return the largest file named like test_batch_first1000.bin, in a list, or an empty list."""
    pattern = re.compile(rf"{batch}_first(\d+)\.bin(\.gz)?")
    sizes = {path: int(m[1]) for path in folder.iterdir() if (m := pattern.fullmatch(path.name))}
    return [max(sizes, key=lambda path: sizes[path])] if sizes else []


def _file(path: Path, pickled: bool) -> _Source:
    return str(path), lambda: read_bytes(path), pickled


def _archive(path: Path, train: bool) -> list[_Source]:
    """Return the batches in an official tar.gz, which is read in place and never unpacked to disk."""
    pattern = re.compile(r"(?:.*/)?" + ("data_batch_[1-5]" if train else "test_batch") + r"(\.bin)?")
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                if member.isfile() and pattern.fullmatch(member.name):
                    file = archive.extractfile(member)
                    contents[member.name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise DataError(f"{path}: corrupt archive ({error}). Delete it and get it again.") from None
    except Exception as error:  # zlib.error has no common base with the others
        raise DataError(f"{path}: corrupt archive ({error}). Delete it and get it again.") from None
    if not contents:
        raise DataError(f"{path}: holds no {'data_batch_1 to 5' if train else 'test_batch'}")

    def source(name: str) -> _Source:
        return f"{path}:{name}", lambda: contents[name], not name.endswith(".bin")

    return [source(name) for name in sorted(contents)]
