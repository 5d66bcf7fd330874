"""The two formats of CIFAR-10 batches: binary records, and Python pickles read without running them."""

import io
import pickle
from typing import Any, cast

import numpy as np

from ._base import I64, U8
from ._errors import DataError

RECORD = 1 + 3 * 32 * 32
_CLASSES = 10


def parse_binary(content: bytes, name: str) -> tuple[U8, I64]:
    """Return the pictures and labels of a binary batch: records of one label byte and 3072 pixels.

    Results: uint8 [N, 3, 32, 32] and int64 [N]. Errors: DataError for a wrong length or label.
    Source: https://www.cs.toronto.edu/~kriz/cifar.html ("Binary version").

    >>> pixels, labels = parse_binary(bytes([7]) + bytes(3072), "one")
    >>> pixels.shape, labels.tolist()
    ((1, 3, 32, 32), [7])
    """
    if not content or len(content) % RECORD:
        raise DataError(
            f"{name}: {len(content)} bytes are no whole number of records of {RECORD} bytes "
            f"({len(content) // RECORD} records and {len(content) % RECORD} bytes); truncated?"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    pixels = np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32)
    return pixels, _checked(records[:, 0].astype(np.int64), name)


def parse_pickle(content: bytes, name: str) -> tuple[U8, I64]:
    """Return the pictures and labels of a Python batch, admitting nothing but arrays and plain values.

    Results: uint8 [N, 3, 32, 32] and int64 [N]. Errors: DataError for anything but such a batch; a
    pickle that names any other class or function is refused before it can run.
    Source: https://www.cs.toronto.edu/~kriz/cifar.html ("Python version").

    >>> batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [3, 4]}
    >>> parse_pickle(pickle.dumps(batch), "two")[1].tolist()
    [3, 4]
    """
    try:
        batch: Any = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{name}: not a readable pickle ({type(error).__name__}: {error})") from None
    if not isinstance(batch, dict):
        raise DataError(f"{name}: expected a pickled dict, found {type(batch).__name__}")
    fields = {_text(key): value for key, value in cast("dict[Any, Any]", batch).items()}
    if "data" not in fields or "labels" not in fields:
        raise DataError(f"{name}: expected the keys data and labels, found {sorted(map(str, fields))}")
    data = np.asarray(fields["data"])
    if data.dtype != np.uint8 or data.shape[1:] != (RECORD - 1,):
        raise DataError(f"{name}: expected data of uint8 (N, {RECORD - 1}), found {data.dtype} {data.shape}")
    labels = np.asarray(fields["labels"])
    if labels.dtype.kind not in "iu" or labels.shape != data.shape[:1]:
        raise DataError(
            f"{name}: expected {len(data)} integer labels, found {labels.dtype} of shape {labels.shape}"
        )
    pixels: U8 = np.ascontiguousarray(data, np.uint8).reshape(-1, 3, 32, 32)
    return pixels, _checked(labels.astype(np.int64), name)


def _text(key: object) -> object:
    return key.decode("latin-1") if isinstance(key, bytes) else key


def _checked(labels: I64, name: str) -> I64:
    wrong = (labels < 0) | (labels >= _CLASSES)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(f"{name}: label {int(labels[at])} of record {at} is not in 0..{_CLASSES - 1}")
    return labels


class _Unpickler(pickle.Unpickler):
    # All that a pickled array of numbers names, under the module names of NumPy 1 and 2.
    _ALLOWED = frozenset(
        (f"numpy{module}", what)
        for module, what in (
            ("", "ndarray"),
            ("", "dtype"),
            (".core.multiarray", "_reconstruct"),
            ("._core.multiarray", "_reconstruct"),
            (".core.numeric", "_frombuffer"),
            ("._core.numeric", "_frombuffer"),
        )
    ) | {("_codecs", "encode")}

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in self._ALLOWED:
            raise DataError(
                f"refused: the pickle asks for {module_name}.{global_name}; a CIFAR-10 batch holds "
                "only arrays, lists, bytes and numbers"
            )
        if module_name == "_codecs":
            return _latin1
        # NumPy 2 renamed its core; the old name still resolves there, with a warning.
        modern = module_name.replace("numpy.core", "numpy._core") if _NUMPY_2 else module_name
        older = modern if _NUMPY_2 else module_name.replace("numpy._core", "numpy.core")
        return super().find_class(older, global_name)


_NUMPY_2 = not np.__version__.startswith("1.")


def _latin1(text: str, encoding: str) -> bytes:
    # Protocol 2 writes bytes as text to be encoded; no other codec is ever needed.
    if encoding != "latin1":
        raise DataError(f"refused: the pickle asks for the codec {encoding}")
    return text.encode("latin-1")
