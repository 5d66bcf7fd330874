"""FSDD: six people who say the digits."""

import re
import tarfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ._base import I64, as_tensor, check_index
from ._errors import DataError, PartialDataWarning
from ._places import Root, download_folder, folders, missing
from .wav import parse_wav

_NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]+)\.wav")
_COMMIT = "26eb9aaf76e81b692f806f9140c2d2777410d7a1"
_ARCHIVE = f"free-spoken-digit-dataset-{_COMMIT}.tar.gz"
_TAKEN = range(10)  # the recordings with these numbers are used


class FSDD:
    """The Free Spoken Digit Dataset: recordings of one digit each, 300 to train on and 300 to test on.

    Six speakers said each digit 50 times. The first ten recordings are used here: 0 to 4, the data set's own
    test part, to test on, and 5 to 9 to train on. Looked for in `root`, in ``$LECTORIUM_DATA/fsdd``, in the
    cache, and then downloaded (into `root`, if given, otherwise into the cache). A folder holds the
    ``.wav`` files, alone or in ``recordings/``, or the archive as it is downloaded. A copy in which some
    are missing is used as it is, with a PartialDataWarning.

    `waveforms`: int16 arrays of their own lengths, 8000 samples a second. `labels`: int64 [N].
    `speakers`: a name each. An item is ``(waveform, label)``, a float32 Tensor [samples] in -1..1 and an int.
    Errors: DataError for a damaged file, FileNotFoundError with download=False, DownloadError, IndexError.
    Source: Jackson and others (2018), https://github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0.

    >>> FSDD.names[7], FSDD.rate
    ('7', 8000)
    """

    names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    rate: ClassVar[int] = 8000
    urls: ClassVar[tuple[str, ...]] = (
        f"https://github.com/Jakobovski/free-spoken-digit-dataset/archive/{_COMMIT}.tar.gz",
        f"https://codeload.github.com/Jakobovski/free-spoken-digit-dataset/tar.gz/{_COMMIT}",
    )
    # Of the 600 recordings in the order of their names: the host packs the archive itself anew.
    digest: ClassVar[str] = "sha256:1908f434152ffa35ccf2df905daf40d28769bece65aa3a0634d5328d35b4feb3"

    def __init__(self, root: Root = None, train: bool = True, download: bool = True) -> None:
        files = self._files(root, train, download)
        parts = [self._read(name, content) for name, content in files]
        self.waveforms = [part[0] for part in parts]
        self.labels: I64 = np.array([part[1] for part in parts], np.int64)
        self.speakers = [part[2] for part in parts]
        self.classes = self.names
        self.train = train
        if len(parts) < 300:
            warnings.warn(
                f"FSDD: the local copy has {len(parts)} of 300 {'train' if train else 'test'} recordings; "
                "using those",
                PartialDataWarning,
                stacklevel=2,
            )

    @classmethod
    def _files(cls, root: Root, train: bool, download: bool) -> list[tuple[str, Callable[[], bytes]]]:
        """The recordings of a part, with their names for errors and how to read them."""
        looked = folders(root, ("fsdd", "free-spoken-digit-dataset"))
        for folder in looked:
            for place in (folder / "recordings", folder):
                found = sorted(path for path in place.glob("*.wav") if _in_part(path.name, train))
                if found:
                    return [(str(path), path.read_bytes) for path in found]
            if (folder / _ARCHIVE).is_file():
                return _packed(folder / _ARCHIVE, train)
        if not download:
            what = f"recordings/*.wav or {_ARCHIVE}"
            raise FileNotFoundError(missing("FSDD", what, looked, "fsdd"))
        # Imported when needed: HTTP and the progress bar cost more than all the rest together.
        from ._download import Remote, fetch

        remote = Remote(_ARCHIVE, cls.urls, cls.digest, _content)
        return _packed(fetch(remote, download_folder(root, "fsdd")), train)

    @classmethod
    def _read(cls, name: str, content: Callable[[], bytes]) -> tuple[NDArray[np.int16], int, str]:
        samples, rate = parse_wav(content(), name)
        if rate != cls.rate or not len(samples):
            raise DataError(
                f"{name}: expected a recording of {cls.rate} samples a second, "
                f"found {len(samples)} samples at {rate} a second"
            )
        match = _NAME.fullmatch(Path(name).name)
        assert match is not None  # nothing else was looked for
        return samples, int(match[1]), match[2]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: SupportsIndex) -> tuple[Any, int]:
        i = check_index(index, len(self), "FSDD")
        return as_tensor(self.waveforms[i].astype(np.float32) / np.float32(32768)), int(self.labels[i])

    def __repr__(self) -> str:
        return f"FSDD({len(self)} recordings, {len(set(self.speakers))} speakers)"


def _in_part(name: str, train: bool) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and int(match[3]) in (_TAKEN[5:] if train else _TAKEN[:5])


def _packed(path: Path, train: bool) -> list[tuple[str, Callable[[], bytes]]]:
    contents = {name: content for name, content in _unpack(path).items() if _in_part(name, train)}
    return [(f"{path}:recordings/{name}", lambda c=content: c) for name, content in contents.items()]


def _content(path: Path) -> Iterable[bytes]:
    return _unpack(path).values()


def _unpack(path: Path) -> Mapping[str, bytes]:
    """The used recordings in the archive by their names, in order; read in place, never unpacked to disk."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = Path(member.name).name
                if member.isfile() and (_in_part(name, True) or _in_part(name, False)):
                    file = archive.extractfile(member)
                    contents[name] = file.read() if file else b""
    except Exception as error:  # zlib.error has no common base with the others
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise DataError(f"{path}: corrupt archive ({error}). Delete it and get it again.") from None
    return dict(sorted(contents.items()))
