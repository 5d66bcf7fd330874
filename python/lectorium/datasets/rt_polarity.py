"""RT-polarity: sentences from film reviews that are for or against the film."""

from pathlib import Path
from typing import ClassVar, SupportsIndex

import numpy as np

from ._base import I64, check_index
from ._errors import DataError
from ._places import Root, download_folder, find, folders, missing
from ._text_files import read_lines

_REPOSITORY = "https://raw.githubusercontent.com/dennybritz/cnn-text-classification-tf"


class RTPolarity:
    """Sentence polarity data set 1.0: 5,331 positive and 5,331 negative sentences, lower-cased and tokenised.

    Every tenth line of each file (the 10th, the 20th, …) is to test on, 1,066 in all; the other 9,596 are to
    train on. Looked for in `root`, in ``$LECTORIUM_DATA/rt-polarity``, in the cache, and then downloaded
    (into `root`, if given, otherwise into the cache); the files in UTF-8.

    `sentences`: texts with spaces between the tokens. `labels`: int64 [N], 1 for the positive ones. An item
    is ``(sentence, label)``. Errors: DataError for a damaged file, FileNotFoundError with download=False,
    DownloadError, IndexError.
    Source: Pang and Lee (2005), Seeing stars: exploiting class relationships for sentiment categorization
    with respect to rating scales; https://www.cs.cornell.edu/people/pabo/movie-review-data/.

    >>> RTPolarity.names
    ('negative', 'positive')
    """

    names: ClassVar[tuple[str, ...]] = ("negative", "positive")
    files: ClassVar[tuple[str, ...]] = ("rt-polarity.neg", "rt-polarity.pos")
    # The authors' own archive is in another encoding.
    mirrors: ClassVar[tuple[str, ...]] = (
        f"{_REPOSITORY}/a0d0e9742b3dc42194955e78858f7be93027c75e/data/rt-polaritydata/",
        f"{_REPOSITORY}/master/data/rt-polaritydata/",
    )
    digests: ClassVar[tuple[str, ...]] = (
        "sha256:2d11cfbc790f1cd96d78339f41ce53ced1efa83cd22d37d6788fa3fe3d17e2fd",
        "sha256:4134882974a28d0c7b5151256f0e33a6169984ee7372c279e673f1114f475d58",
    )

    def __init__(self, root: Root = None, train: bool = True, download: bool = True) -> None:
        self.sentences: list[str] = []
        labels: list[int] = []
        for label, path in enumerate(self._locate(root, download)):
            lines = [line.strip() for line in read_lines(path)]
            if "" in lines:
                raise DataError(f"{path}: line {lines.index('') + 1} is empty, expected a sentence")
            chosen = [line for i, line in enumerate(lines) if (i % 10 == 9) != train]
            self.sentences += chosen
            labels += [label] * len(chosen)
        self.labels: I64 = np.array(labels, np.int64)
        self.classes = self.names
        self.train = train

    @classmethod
    def _locate(cls, root: Root, download: bool) -> list[Path]:
        looked = folders(root, ("rt-polarity", "rt-polaritydata"))
        for folder in looked:
            found = [path for name in cls.files if (path := find(folder, (name, f"{name}.gz"))) is not None]
            if len(found) == len(cls.files):
                return found
        if not download:
            what = " and ".join(cls.files)
            raise FileNotFoundError(missing("RTPolarity", what, looked, "rt-polarity"))
        # Imported when needed: HTTP and the progress bar cost more than all the rest together.
        from ._download import Remote, fetch

        target = download_folder(root, "rt-polarity")
        return [
            fetch(Remote(name, tuple(mirror + name for mirror in cls.mirrors), digest), target)
            for name, digest in zip(cls.files, cls.digests, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: SupportsIndex) -> tuple[str, int]:
        i = check_index(index, len(self), "RTPolarity")
        return self.sentences[i], int(self.labels[i])

    def __repr__(self) -> str:
        return f"RTPolarity({len(self)} sentences, {len(self.classes)} classes)"
