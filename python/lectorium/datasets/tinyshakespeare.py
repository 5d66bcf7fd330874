"""Tiny Shakespeare: 40,000 lines of his plays in one file."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from ._errors import DataError
from ._places import Root, download_folder, find, folders, missing
from ._text import TextDataset


class TinyShakespeare(TextDataset):
    """1,115,394 characters of Shakespeare's plays, 65 of them distinct.

    Looked for in `root`, in ``$LECTORIUM_DATA/tinyshakespeare``, in the cache, and then downloaded (into
    `root`, if given, otherwise into the cache).

    `text`, `vocabulary`, `split()`: see `TextDataset`. Errors: DataError for a file that is no text,
    FileNotFoundError with download=False, DownloadError.
    Source: Karpathy (2015), The unreasonable effectiveness of recurrent neural networks;
    https://github.com/karpathy/char-rnn.

    >>> TinyShakespeare.folder
    'tinyshakespeare'
    """

    folder: ClassVar[str] = "tinyshakespeare"
    file: ClassVar[str] = "input.txt"
    mirrors: ClassVar[tuple[str, ...]] = (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
    )
    digest: ClassVar[str] = "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

    def __init__(self, root: Root = None, download: bool = True) -> None:
        path = self._locate(root, download)
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#04x} "
                f"at position {error.start}"
            ) from None
        if not text:
            raise DataError(f"{path}: the text is empty")
        super().__init__(text)

    @classmethod
    def _locate(cls, root: Root, download: bool) -> Path:
        looked = folders(root, (cls.folder,))
        for folder in looked:
            path = find(folder, (cls.file,))
            if path is not None:
                return path
        if not download:
            raise FileNotFoundError(missing(cls.__name__, cls.file, looked, cls.folder))
        # Imported when needed: HTTP and the progress bar cost more than all the rest together.
        from ._download import Remote, fetch

        return fetch(Remote(cls.file, cls.mirrors, cls.digest), download_folder(root, cls.folder))
