"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable
from typing import IO, Any

from .._checks import is_a

Target = str | os.PathLike[str] | IO[bytes]


def _text(path: str | os.PathLike[str]) -> str:
    return os.fspath(path)


def write_atomically(target: Any, parts: Iterable[Any]) -> None:
    """Writes the ``parts`` (bytes or buffers) one after the other.

    A path gets them through a file beside it, flushed to the disk and then renamed: whatever happens on the
    way, a full disk or a killed process, a file that was there before stays. OSError names the path.
    """
    if not is_a(target, str, os.PathLike):
        write: Any = getattr(target, "write", None)
        if write is None:
            raise TypeError(f"save: expected a path or a binary file object, got {type(target).__name__}")
        for part in parts:
            write(bytes(part))
        return
    # Through a link to what it points at: the link itself stays.
    name = _text(target)
    path = os.path.realpath(name)
    beside = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(beside, "xb") as f:
            for part in parts:
                f.write(part)
            f.flush()
            os.fsync(f.fileno())
        with contextlib.suppress(OSError):
            os.chmod(beside, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        if isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OSError(error.errno or errno.EIO, f"could not write: {reason}", name) from error
        raise
    # The rename itself must reach the disk too; not every system can do that.
    with contextlib.suppress(OSError):
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
