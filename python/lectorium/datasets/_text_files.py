"""What all data sets of text lines share: reading a file, and items."""

from pathlib import Path

from ._errors import DataError
from .idx import read_bytes


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 text, gzip or not.

    Only a line feed ends one: other characters that Python counts as ends of lines occur within sentences.
    Errors: DataError for a damaged gzip, for text in another encoding, for an empty file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.txt")
    ...     _ = file.write_text("one\\ntwo\\n")
    ...     read_lines(file)
    ['one', 'two']
    """
    return split_lines(read_bytes(path), str(path))


def split_lines(content: bytes, name: str) -> list[str]:
    """Return what `read_lines` does, from the bytes of a file; `name` is for errors.

    >>> split_lines(b"caf\\xe9", "a.txt")
    Traceback (most recent call last):
        ...
    lectorium.datasets._errors.DataError: a.txt: not UTF-8 (byte 0xe9 at 3); is it of another encoding?
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: not UTF-8 (byte 0x{content[error.start]:02x} at {error.start}); "
            "is it of another encoding?"
        ) from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines[-1] == "":
        lines.pop()
    if not lines:
        raise DataError(f"{name}: empty")
    return lines
