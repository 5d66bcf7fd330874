"""Downloads that can be broken off at any byte: resumed, checked, and put in place in one step."""

import contextlib
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ._errors import DownloadError

_CHUNK = 1 << 16
_ATTEMPTS = 3  # for each mirror; an attempt goes on where the last one stopped
TIMEOUT = 30.0  # seconds without a byte
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Remote:
    """A file on the net: its `name`, where to get it, and its `digest`, "sha256:..." or "md5:...".

    `content`: gives the bytes that the digest is of, where it is not of the file itself: of an archive that
    its host packs anew now and then, for instance. It may raise ValueError for a file that is damaged.

    >>> Remote("a.gz", ("https://example.org/a.gz",), "md5:0cc175b9c0f1b6a831c399e269772661").name
    'a.gz'
    """

    name: str
    urls: tuple[str, ...]
    digest: str
    content: Callable[[Path], Iterable[bytes]] | None = None

    def found(self, path: Path) -> str:
        """Return the digest of what has arrived in `path`."""
        kind = self.digest.partition(":")[0]
        if self.content is None:
            return f"{kind}:{file_digest(path, kind)}"
        state = hashlib.new(kind, usedforsecurity=False)
        try:
            for piece in self.content(path):
                state.update(piece)
        except ValueError as error:
            return f"damaged ({error})"
        return f"{kind}:{state.hexdigest()}"


class _Broken(Exception):
    """One attempt failed; its text goes into the final message."""


def file_digest(path: Path, kind: str) -> str:
    """Return the hex digest of a file; `kind` is "sha256" or "md5".

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a")
    ...     _ = file.write_bytes(b"a")
    ...     file_digest(file, "md5")
    '0cc175b9c0f1b6a831c399e269772661'
    """
    # md5 only tells damage, it protects nothing: allowed on machines that forbid it for security.
    state = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def fetch(remote: Remote, folder: Path) -> Path:
    """Return `folder`/name, downloaded unless it is there with the right digest.

    The mirrors are tried in turn. What has arrived is kept in a ``.part`` file, so that a later call
    goes on from there; the file gets its name only when it is complete and its digest is right.
    Errors: DownloadError with every mirror and its trouble, and with the way out.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a").write_bytes(b"a")
    ...     fetch(Remote("a", (), "md5:0cc175b9c0f1b6a831c399e269772661"), Path(folder)).name
    'a'
    """
    target = folder / remote.name
    if target.is_file() and remote.found(target) == remote.digest:
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _part_file(target) as part, _progress_bar(remote.name) as progress:
            troubles: list[str] = []
            for url in remote.urls:
                try:
                    _from_mirror(url, part, remote, progress)
                except _Broken as trouble:
                    troubles.append(f"  {url}: {trouble}")
                    continue
                os.replace(part, target)
                return target
    except OSError as error:
        raise DownloadError(
            f"{remote.name}: cannot write to {folder}: {error.strerror or error}. Make room or set "
            "LECTORIUM_CACHE to another folder."
        ) from error
    raise DownloadError(
        "\n".join(
            [
                f"{remote.name} could not be downloaded. Mirrors tried:",
                *troubles,
                "Try again later (what has arrived is kept), or get the file by other means and pass "
                "root= with its folder, or set LECTORIUM_DATA.",
            ]
        )
    )


def _from_mirror(url: str, part: Path, remote: Remote, progress: Progress) -> None:
    trouble = _Broken("not tried")
    for _ in range(_ATTEMPTS):
        resumed = part.stat().st_size
        try:
            _transfer(url, part, progress)
        except _Broken as error:
            trouble = error
            if part.stat().st_size == resumed:
                raise  # nothing came: trying again at once would not help
            continue
        found = remote.found(part)
        if found == remote.digest:
            return
        # A resumed file may be two versions glued together, so a fresh start is worth one more attempt.
        os.truncate(part, 0)
        trouble = _Broken(f"wrong content: expected {_words(remote.digest)}, got {_words(found)}")
        if resumed == 0:
            raise trouble
    raise trouble


def _words(digest: str) -> str:
    return digest.replace(":", " ", 1) if digest.startswith(("md5:", "sha256:")) else digest


def _transfer(url: str, part: Path, progress: Progress) -> None:
    """Append what is missing to `part`, or start over where the server cannot resume."""
    start = part.stat().st_size
    reply = _open(url, start, part)
    if reply is None:
        return
    with reply:
        if reply.status == 206:
            where = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
            if where is None or int(where[1]) != start:
                os.truncate(part, 0)
                raise _Broken("the server resumed at the wrong place")
        else:
            start = 0
            os.truncate(part, 0)
        length = reply.headers.get("Content-Length") or ""
        total = start + int(length) if length.isdigit() else None
        _receive(reply, part, start, total, progress)


def _open(url: str, start: int, part: Path) -> Any:
    """Return the reply to a request from byte `start` on, or None if `part` is complete already."""
    headers = {"User-Agent": "lectorium", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 416 or not start:
                raise _Broken(f"HTTP {error.code} {error.reason}") from None
            if (error.headers.get("Content-Range") or "").endswith(f"/{start}"):
                return None
        # The part is longer than the file: it belongs to another version.
        os.truncate(part, 0)
        return _open(url, 0, part)
    except urllib.error.URLError as error:
        raise _Broken(f"{error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Broken(f"{error or type(error).__name__}") from None


def _receive(reply: Any, part: Path, start: int, total: int | None, progress: Progress) -> None:
    have = start
    progress(have, total)
    with part.open("ab") as file:
        while True:
            try:
                chunk: bytes = reply.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                # Caught apart from writing: a full disk is no fault of the mirror.
                raise _Broken(f"broken off after {have} bytes ({error or type(error).__name__})") from None
            if not chunk:
                break
            file.write(chunk)
            have += len(chunk)
            progress(have, total)
    if total is not None and have < total:
        raise _Broken(f"broken off after {have} of {total} bytes")


@contextlib.contextmanager
def _part_file(target: Path) -> Generator[Path]:
    """Yield the path of an existing .part file that no other process writes to."""
    shared = target.with_name(target.name + ".part")
    lock = _lock(shared)
    if lock is None:
        # Somebody else is downloading the same file: take a file of our own, without resuming.
        own = target.with_name(f"{target.name}.{os.getpid()}.part")
        own.touch()
        try:
            yield own
        finally:
            own.unlink(missing_ok=True)
        return
    try:
        yield shared
        # Still locked here: `fetch` renames the file before it lets go.
    finally:
        if shared.exists() and shared.stat().st_size == 0:
            shared.unlink()
        lock.close()


def _lock(path: Path) -> IO[bytes] | None:
    """Return `path` opened and locked until it is closed or its process dies, or None if it is taken."""
    file = path.open("ab")
    try:
        import fcntl
    except ImportError:
        # Windows: no lock, and a file that is open could not be renamed; keep nothing open.
        file.close()
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The last owner may have renamed the file between our opening and our locking it.
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    except OSError:
        pass
    file.close()
    return None


@contextlib.contextmanager
def _progress_bar(name: str) -> Generator[Progress]:
    """Yield a function (bytes so far, bytes in all) that draws a bar on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn as Speed,
    )

    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), DownloadColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"downloading {name}", total=None)

        def progress(have: int, total: int | None) -> None:
            bar.update(task, completed=have, total=total)

        yield progress
