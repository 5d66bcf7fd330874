"""Sound files: WAV with uncompressed 16-bit samples, which is what speech data sets hold."""

import struct
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ._errors import DataError

_PCM, _EXTENSIBLE = 1, 0xFFFE


def read_wav(path: str | PathLike[str]) -> tuple[NDArray[np.int16], int]:
    """Return the samples of a WAV file with one channel of 16 bits, int16 [N], and how many make a second.

    Errors: DataError for anything else (compressed, stereo, 8 or 24 bits), or a damaged file;
    FileNotFoundError.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "a.wav")
    ...     _ = file.write_bytes(wav_bytes(np.array([1, -2, 3], np.int16), 8000))
    ...     read_wav(file)
    (array([ 1, -2,  3], dtype=int16), 8000)
    """
    return parse_wav(Path(path).read_bytes(), str(path))


def parse_wav(content: bytes, name: str) -> tuple[NDArray[np.int16], int]:
    """Return what `read_wav` does, from the bytes of a file; `name` is for errors.

    >>> parse_wav(b"not a sound", "a.wav")
    Traceback (most recent call last):
        ...
    lectorium.datasets._errors.DataError: a.wav: not a WAV file (it begins with b'not a sound')
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise DataError(f"{name}: not a WAV file (it begins with {content[:12]!r})")
    rate: int | None = None
    at = 12
    while at + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, at)
        body = content[at + 8 : at + 8 + size]
        if kind in (b"fmt ", b"data") and len(body) < size:
            raise DataError(
                f"{name}: truncated: {size} bytes of '{kind.decode().strip()}' promised, {len(body)} there"
            )
        if kind == b"fmt ":
            rate = _rate(body, name)
        elif kind == b"data":
            if rate is None:
                raise DataError(f"{name}: the samples come before their format")
            if size % 2:
                raise DataError(f"{name}: {size} bytes are no whole number of 16-bit samples")
            return np.frombuffer(body, "<i2").astype(np.int16), rate
        at += 8 + size + size % 2  # chunks begin at even places
    raise DataError(f"{name}: no samples in it; truncated?")


def _rate(body: bytes, name: str) -> int:
    if len(body) < 16:
        raise DataError(f"{name}: a format of {len(body)} bytes, expected 16 or more")
    form, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if form == _EXTENSIBLE and len(body) >= 26:
        form = struct.unpack_from("<H", body, 24)[0]
    if form != _PCM or channels != 1 or bits != 16:
        what = "uncompressed" if form == _PCM else f"of format {form}"
        raise DataError(
            f"{name}: expected uncompressed samples of 16 bits in 1 channel, found {what} ones of {bits} "
            f"bits in {channels}; convert it first, for example: ffmpeg -i IN -ac 1 -c:a pcm_s16le OUT.wav"
        )
    if rate == 0:
        raise DataError(f"{name}: 0 samples a second")
    return rate


def wav_bytes(samples: NDArray[np.int16], rate: int) -> bytes:
    """Return a WAV file of one channel of 16-bit samples.

    >>> len(wav_bytes(np.zeros(100, np.int16), 8000))
    244
    """
    data = np.ascontiguousarray(samples, "<i2").tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, 1, rate, 2 * rate, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 4 + len(head) + 8 + len(data), b"WAVE")
        + head
        + (struct.pack("<4sI", b"data", len(data)) + data)
    )
