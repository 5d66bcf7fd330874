"""IDX, the file format of MNIST: read whole, and checked to the last byte."""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import DataError

# The third byte of the magic number; multi-byte types are big-endian.
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return a file's bytes, unpacked if it is gzip (told by its content, not by its name).

    Errors: DataError for a damaged gzip, FileNotFoundError.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.gz")
    ...     _ = file.write_bytes(gzip.compress(b"abc"))
    ...     read_bytes(file)
    b'abc'
    """
    raw = Path(path).read_bytes()
    if raw[:2] != b"\x1f\x8b":
        if str(path).endswith(".gz"):
            raise DataError(f"{path}: not a gzip file (starts with {raw[:4].hex(' ') or 'nothing'})")
        return raw
    try:
        return gzip.decompress(raw)
    except EOFError:
        raise DataError(
            f"{path}: truncated gzip, it ends after {len(raw)} bytes. Delete it and get it again."
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: corrupt gzip ({error}). Delete it and get it again.") from None


def parse_idx(content: bytes, name: str) -> NDArray[Any]:
    """Return the array in IDX `content`; `name` is what errors call it.

    Result: shape and dtype as the header says, native byte order, a copy.
    Errors: DataError for a bad magic number, a truncated header or body, bytes too many.
    Source: Y. LeCun, http://yann.lecun.com/exdb/mnist/ ("the IDX file format").

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), "two")
    array([7, 9], dtype=uint8)
    """
    if len(content) < 4:
        raise DataError(f"{name}: truncated, an IDX file starts with 4 bytes, this has {len(content)}")
    zero, kind, rank = int.from_bytes(content[:2], "big"), content[2], content[3]
    if zero != 0 or kind not in _TYPES or rank == 0:
        raise DataError(
            f"{name}: not an IDX file: magic number is 0x{content[:4].hex()}, expected 0x0000TTDD with "
            f"a type TT of {', '.join(f'{code:02x}' for code in _TYPES)} and 1 or more dimensions DD"
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(
            f"{name}: truncated in the header: {rank} dimensions need {start} bytes, there are {len(content)}"
        )
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    dtype = np.dtype(_TYPES[kind])
    # Python's integers: a hostile header cannot overflow the product.
    expected = math.prod(shape) * dtype.itemsize
    found = len(content) - start
    if found < expected:
        raise DataError(
            f"{name}: truncated: shape {shape} needs {expected} bytes of data, there are {found} "
            f"({expected - found} missing)"
        )
    if found > expected:
        raise DataError(
            f"{name}: {found - expected} bytes too many after the data of shape {shape}; "
            "the file is damaged or its header is wrong"
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, gzip or not.

    Result: shape and dtype as the header says. Errors: DataError that names the file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "one-idx1-ubyte")
    ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 5]))
    ...     read_idx(file)
    array([5], dtype=uint8)
    """
    return parse_idx(read_bytes(path), str(path))
