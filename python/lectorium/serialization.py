"""``save`` and ``load``: nested dicts and lists of tensors and plain values in one safetensors file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any

from . import _core
from ._checks import is_a
from ._core import Tensor, dtype as DType
from .device import device as Device
from .interop._atomic import Target, write_atomically
from .interop.safetensors import SafetensorsError, SafetensorsFile, _encode

# The metadata key under which the structure stands, as JSON:
#   null, true, 1, 1.5, "a"       themselves
#   {"tensor": name}              a tensor of the file
#   {"list": […]}  {"tuple": […]} {"dict": {…}}  {"items": [[key, value], …]} (keys that are no strings)
#   {"float": "inf"}  {"dtype": "float32"}
_KEY = "lectorium"
_VERSION = 1


class _Writer:
    """Collects the tensors of a structure under names and describes the rest."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._open: set[int] = set()

    def describe(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, Tensor):
            return {"tensor": self._name(value, path)}
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        if isinstance(value, DType):
            return {"dtype": value.name}
        if not is_a(value, Mapping, list, tuple):
            raise TypeError(f"save: {_place(path)} is a {type(value).__name__}, {_advice(value)}")
        if id(value) in self._open:
            raise ValueError(f"save: {_place(path)} contains itself")
        self._open.add(id(value))
        try:
            return self._container(value, path)
        finally:
            self._open.discard(id(value))

    def _container(self, value: Any, path: tuple[str, ...]) -> Any:
        if not is_a(value, Mapping):
            kind = "tuple" if is_a(value, tuple) else "list"
            return {kind: [self.describe(v, (*path, str(i))) for i, v in enumerate(value)]}
        if all(type(k) is str for k in value):
            return {"dict": {k: self.describe(v, (*path, k)) for k, v in value.items()}}
        return {"items": [[self._key(k, path), self.describe(v, (*path, str(k)))] for k, v in value.items()]}

    def _key(self, key: Any, path: tuple[str, ...]) -> Any:
        if key is not None and not isinstance(key, (bool, int, float, str, tuple)):
            raise TypeError(
                f"save: {_place(path)} has a key of type {type(key).__name__}; use strings or ints"
            )
        return self.describe(key, path)

    def _name(self, value: Tensor, path: tuple[str, ...]) -> str:
        name = ".".join(path) or "tensor"
        taken, n = name, 2
        while taken in self.tensors or taken == "__metadata__":
            taken, n = f"{name}#{n}", n + 1
        self.tensors[taken] = value
        return taken


def _place(path: tuple[str, ...]) -> str:
    return "".join(f"[{p!r}]" for p in path) or "the object"


def _advice(value: Any) -> str:
    if hasattr(value, "state_dict"):
        return "which cannot be saved itself; save its .state_dict()"
    if hasattr(value, "__array_interface__"):
        return "which has no place in the file; use lectorium.from_numpy(array), or .item() for a number"
    return (
        "which has no place in the file; use tensors, numbers, strings, bools, None, dicts, lists and tuples"
    )


def _parts(obj: Any) -> Iterator[Any]:
    writer = _Writer()
    structure = writer.describe(obj, ())
    text = json.dumps({"version": _VERSION, "value": structure}, separators=(",", ":"), allow_nan=False)
    return _encode(writer.tensors, {"format": "pt", _KEY: text})


def save(obj: Any, f: Target) -> None:
    """Saves tensors, numbers, strings, bools and None in any nesting of dicts, lists and tuples.

    ``f``: a path, or a binary file object. The file is safetensors, with the tensors under their keys joined
    by dots (a plain ``state_dict`` keeps its names, so that other tools can read it) and the rest as JSON in
    its metadata. The file appears complete or not at all: on an error an older one stays as it was.

    Tensors are saved as values: gradients and ``requires_grad`` are not kept, nor is shared memory.

    Errors: TypeError for objects of other types, naming their place; OSError naming the path.

    Example:
        >>> lt.save({"step": 3, "weights": [lt.ones(2), None]}, "state.safetensors")
        >>> lt.load("state.safetensors")
        {'step': 3, 'weights': [tensor([1., 1.]), None]}
    """
    write_atomically(f, _parts(obj))


class _Reader:
    """Puts the structure together again."""

    def __init__(self, file: SafetensorsFile, place: str | None) -> None:
        self._file = file
        self._place = place

    def tensor(self, name: Any) -> Tensor:
        if not isinstance(name, str) or name not in self._file.entries:
            raise self.damaged(f"there is no tensor {name!r}")
        t = self._file.get_tensor(name)
        return _core.to_gpu(t) if self._place == "gpu" else t

    def value(self, node: Any) -> Any:
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if not is_a(node, dict) or len(node) != 1:
            raise self.damaged(f"unexpected {str(node)[:60]}")
        ((kind, content),) = node.items()
        if kind == "tensor":
            return self.tensor(content)
        if kind in ("list", "tuple") and is_a(content, list):
            values = [self.value(v) for v in content]
            return values if kind == "list" else tuple(values)
        if kind == "dict" and is_a(content, dict):
            return {k: self.value(v) for k, v in content.items()}
        if kind == "items" and is_a(content, list) and all(is_a(p, list) and len(p) == 2 for p in content):
            return {self.value(k): self.value(v) for k, v in content}
        if kind == "float" and content in ("inf", "-inf", "nan"):
            return float(content)
        if kind == "dtype" and isinstance(content, str):
            return DType(content)
        raise self.damaged(f"unexpected {str(node)[:60]}")

    def damaged(self, why: str) -> SafetensorsError:
        return SafetensorsError(f"{self._file.name}: the description of the saved object is damaged: {why}")

    def read(self) -> Any:
        text = self._file.metadata().get(_KEY)
        if text is None:
            # Written by another tool: a flat dict.
            return {name: self.tensor(name) for name in self._file.entries}
        try:
            described = json.loads(text)
            version = described["version"]
            if version != _VERSION:
                raise SafetensorsError(
                    f"{self._file.name}: saved in version {version} of the layout, this library reads "
                    f"version {_VERSION}; update lectorium"
                )
            return self.value(described["value"])
        except SafetensorsError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self.damaged(f"{type(error).__name__}: {error}") from None


_OTHERS: list[tuple[bytes, str]] = [
    (
        b"PK\x03\x04",
        "this is a zip archive, such as a PyTorch checkpoint (.pt, .pth) or a NumPy .npz. Convert a "
        "checkpoint where PyTorch is installed: import torch, safetensors.torch as st; "
        'st.save_file(torch.load("{name}", weights_only=True), "model.safetensors"); an .npz: '
        'lectorium.save({{k: lectorium.from_numpy(v) for k, v in numpy.load("{name}").items()}}, '
        '"x.safetensors")',
    ),
    (
        b"\x80",
        "this is a Python pickle, such as an old PyTorch checkpoint; pickles can run any code and are not "
        "read. Convert it where PyTorch is installed: import torch, safetensors.torch as st; "
        'st.save_file(torch.load("{name}", weights_only=True), "model.safetensors")',
    ),
    (b"\x93NUMPY", 'this is a NumPy array; use lectorium.from_numpy(numpy.load("{name}"))'),
    (b"\x89HDF", "this is an HDF5 file (Keras, h5py), which is not read; save its arrays as safetensors"),
    (b"GGUF", "this is a GGUF file, which is not read; convert it to safetensors"),
    (b"\x1f\x8b", "this file is compressed with gzip; decompress it first"),
]


def _recognise(name: str, first: bytes) -> None:
    if not first:
        raise SafetensorsError(f"{name}: the file is empty")
    if first[8:] == b"{":
        # The length of a safetensors header may look like anything; the header follows it.
        return
    for magic, what in _OTHERS:
        if first.startswith(magic):
            raise SafetensorsError(f"{name}: {what.format(name=name)}")


def load(
    f: str | os.PathLike[str] | IO[bytes], map_location: Any = None, *, weights_only: bool = True
) -> Any:
    """What ``save`` saved, with its structure, dtypes and key types; files of other tools give a flat dict.

    ``f``: a path, or a binary file object that can seek. ``map_location``: "cpu" (as if None) or "gpu".
    ``weights_only`` is accepted for PyTorch's sake: nothing that is loaded can run.

    Errors: FileNotFoundError; ValueError for a file that is cut off, damaged or of another format, with the
    name of the file and what is wrong.

    Example:
        >>> lt.save({"a": lt.arange(2), 5: (1.5, "x")}, "some.safetensors")
        >>> lt.load("some.safetensors")
        {'a': tensor([0, 1]), 5: (1.5, 'x')}
    """
    place = None if map_location is None else Device(map_location).type
    if isinstance(f, (str, os.PathLike)):
        name = os.fspath(f)
        if os.path.isdir(name):
            raise IsADirectoryError(f"load: {name} is a folder; give the path of a file")
        with open(name, "rb") as probe:
            first = probe.read(9)
    elif hasattr(f, "seek"):
        at = f.tell()
        first = f.read(9)
        f.seek(at)
        name = str(getattr(f, "name", f"<{type(f).__name__}>"))
    else:
        raise TypeError(
            f"load: expected a path or a binary file object that can seek, got {type(f).__name__}"
        )
    _recognise(name, first)
    with SafetensorsFile(f) as file:
        return _Reader(file, place).read()


__all__ = ["load", "save"]
