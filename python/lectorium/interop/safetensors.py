"""The safetensors format: tensors with names in one file, nothing that could run.

A file is the length of a JSON header (8 bytes, little-endian), the header, and the data. The header maps each
name to ``{"dtype": …, "shape": […], "data_offsets": [begin, end]}``, offsets from the start of the data, and
``__metadata__`` to a map of strings. See https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any

from .. import _core
from .._checks import is_a
from .._core import Tensor, dtype as DType
from ._atomic import Target, write_atomically

_CODES: dict[str, str] = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}
_DTYPES: dict[str, DType] = {code: getattr(_core, name) for name, code in _CODES.items()}
# Bits of the types that the format has and this library has not: such a file is read but for these tensors.
_FOREIGN = {"U16": 16, "U32": 32, "U64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4}
# As in the reference implementation.
_LONGEST_HEADER = 100_000_000


class SafetensorsError(ValueError):
    """The file is not safetensors, or is damaged. The message names the file and the tensor.

    Example:
        >>> with open("broken.safetensors", "wb") as f:
        ...     _ = f.write(b"no tensors")
        >>> try:
        ...     lt.load("broken.safetensors")
        ... except lt.interop.safetensors.SafetensorsError as error:
        ...     print(error)
        broken.safetensors: not a safetensors file: its first 8 bytes give a header of ...
    """


class Entry:
    """One tensor as the header describes it; ``begin`` and ``end`` count from the start of the data."""

    __slots__ = ("begin", "code", "end", "shape")

    def __init__(self, code: str, shape: tuple[int, ...], begin: int, end: int) -> None:
        self.code, self.shape, self.begin, self.end = code, shape, begin, end


def _bytes_of(t: Tensor) -> Any:
    """The elements in row-major order as a flat NumPy array of little-endian bytes."""
    import numpy as np

    t = _core.contiguous(t if t.is_cpu else _core.to_cpu(t))
    if t.dtype is _core.bfloat16:
        # NumPy has no bfloat16: it is the upper half of a float32.
        wide = np.asarray(_core.array_handle(_core.cast(t, _core.float32)))
        values = (wide.reshape(-1).view(np.uint32) >> np.uint32(16)).astype("<u2")
    else:
        values = np.asarray(_core.array_handle(t)).reshape(-1)
    return values.view(np.uint8)


def _check(tensors: Any, metadata: Any) -> None:
    if not is_a(tensors, Mapping):
        raise TypeError(f"safetensors: expected a dict of tensors, got {type(tensors).__name__}")
    for key, value in tensors.items():
        if not isinstance(key, str):
            raise TypeError(f"safetensors: names must be strings, got {key!r}")
        if key == "__metadata__":
            raise ValueError("safetensors: '__metadata__' cannot be the name of a tensor")
        if not isinstance(value, Tensor):
            raise TypeError(f"safetensors: {key!r} must be a tensor, got {type(value).__name__}")
    strings: Any = metadata or {}
    for key, value in strings.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"safetensors: metadata must map strings to strings, got {key!r}: {value!r}")


def _encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> Iterator[Any]:
    """The parts of the file, one after the other."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    # Wide elements first: with a header of a multiple of 8 bytes every tensor is aligned.
    keys = sorted(tensors, key=lambda k: (-tensors[k].dtype.itemsize, k))
    offset = 0
    for key in keys:
        t = tensors[key]
        end = offset + t.numel() * t.dtype.itemsize
        header[key] = {"dtype": _CODES[t.dtype.name], "shape": list(t.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        raise ValueError(
            f"safetensors: the header would take {len(text)} bytes, the format allows {_LONGEST_HEADER}"
        )
    yield len(text).to_bytes(8, "little")
    yield text
    for key in keys:
        if tensors[key].numel():
            yield _bytes_of(tensors[key])


def save_file(
    tensors: Mapping[str, Tensor], filename: Target, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes named tensors to a file, which appears complete or not at all.

    Errors: TypeError for names, values or metadata of a wrong type; OSError naming the file.

    Example:
        >>> lt.interop.safetensors.save_file({"x": lt.arange(3)}, "x.safetensors")
        >>> lt.interop.safetensors.load_file("x.safetensors")
        {'x': tensor([0, 1, 2])}
    """
    _check(tensors, metadata)
    write_atomically(filename, _encode(tensors, metadata))


def save(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """Named tensors as the bytes of a file.

    Example:
        >>> lt.interop.safetensors.load(lt.interop.safetensors.save({"x": lt.ones(1)}))
        {'x': tensor([1.])}
    """
    _check(tensors, metadata)
    return b"".join(bytes(part) for part in _encode(tensors, metadata))


class SafetensorsFile:
    """An open file: reads the header at once, each tensor when asked for.

    ``source``: a path, or a binary file object that can seek.

    Example:
        >>> lt.interop.safetensors.save_file({"x": lt.arange(3), "y": lt.ones(2)}, "xy.safetensors")
        >>> with lt.interop.safetensors.SafetensorsFile("xy.safetensors") as f:
        ...     print(sorted(f.keys()), f.get_tensor("y"))
        ['x', 'y'] tensor([1., 1.])
    """

    def __init__(self, source: str | os.PathLike[str] | IO[bytes]) -> None:
        if isinstance(source, (str, os.PathLike)):
            self.name = os.fspath(source)
            self._file: IO[bytes] = open(source, "rb")  # noqa: SIM115
            self._owned = True
        else:
            self.name = str(getattr(source, "name", f"<{type(source).__name__}>"))
            self._file = source
            self._owned = False
        try:
            self._start = self._file.tell()
            size = self._file.seek(0, os.SEEK_END) - self._start
            self._file.seek(self._start)
            self.entries, self._metadata, self._data = self._read_header(size)
        except BaseException:
            self.close()
            raise

    def _fail(self, why: str) -> SafetensorsError:
        return SafetensorsError(f"{self.name}: {why}")

    def _read_header(self, size: int) -> tuple[dict[str, Entry], dict[str, str], int]:
        if size < 8:
            raise self._fail(
                f"not a safetensors file, or cut off: {size} bytes, the header's length alone takes 8"
            )
        length = int.from_bytes(self._file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise self._fail(
                f"not a safetensors file: its first 8 bytes give a header of {length} bytes, the format "
                f"allows {_LONGEST_HEADER}"
            )
        if length > size - 8:
            raise self._fail(
                f"cut off, or not a safetensors file: the header has {length} bytes, {size - 8} are there"
            )
        return *self._parse(self._file.read(length), size - 8 - length), self._start + 8 + length

    def _parse(self, text: bytes, data: int) -> tuple[dict[str, Entry], dict[str, str]]:
        def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found: dict[str, Any] = {}
            for key, value in pairs:
                if key in found:
                    raise self._fail(f"the header has {key!r} twice")
                found[key] = value
            return found

        if not text.startswith(b"{"):
            raise self._fail("not a safetensors file: the header is no JSON object")
        try:
            header: Any = json.loads(text.decode("utf-8"), object_pairs_hook=unique)
        except SafetensorsError:
            raise
        except (ValueError, RecursionError) as error:
            raise self._fail(f"the header is damaged: {error}") from None
        metadata = header.pop("__metadata__", {})
        if not is_a(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise self._fail("the header is damaged: __metadata__ must map strings to strings")
        entries = {key: self._entry(key, value) for key, value in header.items()}
        # The format has no holes: every byte of the data belongs to one tensor.
        at = 0
        for key, e in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
            if e.begin != at:
                what = "overlaps the one before" if e.begin < at else "leaves bytes unused before it"
                raise self._fail(f"{key!r} {what}: it begins at byte {e.begin}, expected {at}")
            at = e.end
        if at != data:
            what = "is cut off" if at > data else "has more bytes than its header tells"
            raise self._fail(f"the file {what}: the tensors take {at} bytes, {data} are there")
        return entries, metadata

    def _entry(self, key: str, value: Any) -> Entry:
        def count(x: Any) -> bool:
            return isinstance(x, int) and not isinstance(x, bool) and 0 <= x < 1 << 63

        if not is_a(value, dict) or not {"dtype", "shape", "data_offsets"} <= set(value):
            raise self._fail(f"{key!r}: expected dtype, shape and data_offsets")
        code, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
        if not isinstance(code, str) or (code not in _DTYPES and code not in _FOREIGN):
            raise self._fail(f"{key!r}: unknown dtype {code!r}")
        if not is_a(shape, list) or not all(count(d) for d in shape):
            raise self._fail(f"{key!r}: the shape must be a list of sizes, got {str(shape)[:80]}")
        if not is_a(offsets, list) or len(offsets) != 2 or not all(count(o) for o in offsets):
            raise self._fail(f"{key!r}: data_offsets must be two positions, got {str(offsets)[:80]}")
        if len(shape) > 64:
            raise self._fail(f"{key!r}: {len(shape)} axes are too many")
        bits: int = _FOREIGN[code] if code in _FOREIGN else _DTYPES[code].itemsize * 8
        for d in shape:
            bits *= d
        if math.prod(max(d, 1) for d in shape) >= 1 << 58:
            raise self._fail(f"{key!r}: a tensor of shape {shape} overflows")
        begin, end = offsets
        if end < begin or -(-bits // 8) != end - begin:
            raise self._fail(
                f"{key!r}: {code} of shape {shape} takes {-(-bits // 8)} bytes, data_offsets "
                f"{offsets} give {end - begin}"
            )
        return Entry(code, tuple(shape), begin, end)

    def keys(self) -> list[str]:
        """The names of the tensors, in the order of the header.

        Example:
            >>> lt.interop.safetensors.save_file({"w": lt.ones(2), "b": lt.zeros(1)}, "wb.safetensors")
            >>> with lt.interop.safetensors.SafetensorsFile("wb.safetensors") as f:
            ...     print(sorted(f.keys()))
            ['b', 'w']
        """
        return list(self.entries)

    def metadata(self) -> dict[str, str]:
        """The strings beside the tensors.

        Example:
            >>> lt.interop.safetensors.save_file({"w": lt.ones(1)}, "m.safetensors", metadata={"epoch": "3"})
            >>> with lt.interop.safetensors.SafetensorsFile("m.safetensors") as f:
            ...     print(f.metadata())
            {'epoch': '3'}
        """
        return dict(self._metadata)

    def get_tensor(self, name: str) -> Tensor:
        """Reads one tensor. Errors: KeyError for an unknown name, TypeError for a dtype unknown here.

        Example:
            >>> lt.interop.safetensors.save_file({"w": lt.arange(3)}, "w.safetensors")
            >>> with lt.interop.safetensors.SafetensorsFile("w.safetensors") as f:
            ...     print(f.get_tensor("w"))
            tensor([0, 1, 2])
        """
        import numpy as np

        if name not in self.entries:
            raise KeyError(f"{self.name}: there is no tensor {name!r}")
        e = self.entries[name]
        if e.code in _FOREIGN:
            raise TypeError(f"{self.name}: {name!r} is stored as {e.code}, for which there is no dtype here")
        kind = _DTYPES[e.code]
        shape = list(e.shape)
        if e.code == "BF16":
            words = np.empty(e.shape, "<u2")
            self._fill(name, e, words)
            wide = words.astype(np.uint32) << np.uint32(16)
            return _core.cast(_core.from_array_interface(wide.view(np.float32)), kind)
        if e.code == "BOOL":
            flags = np.empty(e.shape, np.uint8)
            self._fill(name, e, flags)
            if flags.size and flags.max() > 1:
                raise self._fail(f"{name!r}: a BOOL must be 0 or 1, found {flags.max()}")
            return _core.clone(_core.from_array_interface(flags.view(np.bool_)))
        made = _core.empty(shape, kind)
        self._fill(name, e, np.asarray(_core.array_handle(made)))
        return made

    def _fill(self, name: str, e: Entry, array: Any) -> None:
        """Reads the bytes of a tensor straight into an array."""
        self._file.seek(self._data + e.begin)
        if e.begin == e.end:
            return
        into = memoryview(array.reshape(-1).view("uint8"))
        read: Any = getattr(self._file, "readinto", None)
        done = 0
        while done < len(into):
            if read is not None:
                n = read(into[done:]) or 0
            else:
                piece = self._file.read(len(into) - done)
                n = len(piece)
                into[done : done + n] = piece
            if n == 0:
                raise self._fail(f"{name!r}: the file ended while reading it")
            done += n

    def close(self) -> None:
        """Closes the file, if it was opened here.

        Example:
            >>> lt.interop.safetensors.save_file({"w": lt.ones(1)}, "c.safetensors")
            >>> f = lt.interop.safetensors.SafetensorsFile("c.safetensors")
            >>> f.close()
        """
        if self._owned:
            self._file.close()

    def __enter__(self) -> SafetensorsFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def load_file(filename: str | os.PathLike[str] | IO[bytes]) -> dict[str, Tensor]:
    """All tensors of a file by name. Errors: SafetensorsError (a ValueError) naming the file and the tensor.

    Example:
        >>> lt.interop.safetensors.save_file({"x": lt.arange(3)}, "x.safetensors")
        >>> lt.interop.safetensors.load_file("x.safetensors")["x"]
        tensor([0, 1, 2])
    """
    with SafetensorsFile(filename) as f:
        return {key: f.get_tensor(key) for key in f.entries}


def load(data: bytes) -> dict[str, Tensor]:
    """As ``load_file``, from the bytes of a file.

    Example:
        >>> lt.interop.safetensors.load(lt.interop.safetensors.save({"x": lt.ones(1)}))
        {'x': tensor([1.])}
    """
    return load_file(io.BytesIO(data))


__all__ = ["SafetensorsError", "SafetensorsFile", "load", "load_file", "save", "save_file"]
