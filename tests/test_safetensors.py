"""The safetensors reader and writer: round trips, the reference package, hostile files."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium.interop import safetensors as st

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


def example(dtype: str, shape: tuple[int, ...]) -> Any:
    rng = np.random.RandomState(len(shape))
    values = rng.randint(0, 2, shape) if dtype == "bool" else rng.randint(0, 99, shape)
    t = lt.tensor(values)
    return t.to(getattr(lt, dtype)) / 7 if "float" in dtype else t.to(getattr(lt, dtype))


def equal(a: Any, b: Any) -> None:
    assert a.dtype is b.dtype
    assert a.shape == b.shape
    assert a.tolist() == b.tolist()


def named() -> dict[str, Any]:
    shapes = [(3, 2), (5,), (), (0, 4)]
    tensors = {f"{d}.{len(s)}": example(d, s) for d in DTYPES for s in shapes}
    return tensors | {"transposed": lt.rand(3, 4).T, "sliced": lt.arange(10)[1::3], "ünïcode ☃": lt.ones(1)}


def test_every_dtype_and_shape_comes_back(tmp_path: Path) -> None:
    want = named()
    st.save_file(want, tmp_path / "a.safetensors", metadata={"made by": "a test ☃"})
    with st.SafetensorsFile(tmp_path / "a.safetensors") as f:
        assert f.metadata() == {"made by": "a test ☃"}
        assert sorted(f.keys()) == sorted(want)
        for key, t in want.items():
            equal(f.get_tensor(key), t)
    got = st.load(st.save(want))
    assert sorted(got) == sorted(want)
    for key, t in want.items():
        equal(got[key], t)


def test_special_floats_keep_their_bits() -> None:
    values = [0.0, -0.0, float("inf"), float("-inf"), 1e-40, 3.4e38]
    for dtype in (lt.float16, lt.bfloat16, lt.float32, lt.float64):
        t = lt.tensor(values, dtype=dtype)
        data = st.save({"t": t})
        assert st.save({"t": st.load(data)["t"]}) == data
    assert np.isnan(st.load(st.save({"t": lt.tensor(float("nan"), dtype=lt.bfloat16)}))["t"].item())


def test_tensors_are_aligned_in_the_file() -> None:
    data = st.save({"a": lt.ones(3, dtype=lt.uint8), "b": lt.ones(2, dtype=lt.float64), "c": lt.ones(1)})
    f = st.SafetensorsFile(io.BytesIO(data))
    for entry in f.entries.values():
        assert (f._data + entry.begin) % st._DTYPES[entry.code].itemsize == 0


def test_the_reference_package_reads_and_writes_the_same_files(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    want = {k: v for k, v in named().items() if v.dtype is not lt.bfloat16}
    st.save_file(want, tmp_path / "a.safetensors", metadata={"k": "v"})
    theirs = reference.load_file(tmp_path / "a.safetensors")
    assert sorted(theirs) == sorted(want)
    for key, t in want.items():
        np.testing.assert_array_equal(theirs[key], t.numpy())
        assert theirs[key].dtype == t.numpy().dtype
    reference.save_file(theirs, tmp_path / "b.safetensors", metadata={"k": "v"})
    for key, t in st.load_file(tmp_path / "b.safetensors").items():
        equal(t, want[key])


def test_the_reference_package_agrees_on_bfloat16(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("safetensors.torch")
    st.save_file({"x": lt.tensor([1.5, -3.0, 0.1], dtype=lt.bfloat16)}, tmp_path / "a.safetensors")
    theirs = reference.load_file(tmp_path / "a.safetensors")["x"]
    assert theirs.dtype is torch.bfloat16
    assert theirs.tolist() == torch.tensor([1.5, -3.0, 0.1], dtype=torch.bfloat16).tolist()
    reference.save_file({"x": theirs}, tmp_path / "b.safetensors")
    assert st.load_file(tmp_path / "b.safetensors")["x"].tolist() == theirs.tolist()


def raw(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(**changes: Any) -> dict[str, Any]:
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


TWO = {
    "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
    "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]},
}
HOLE = {**TWO, "b": {"dtype": "U8", "shape": [1], "data_offsets": [5, 6]}}
DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "cut off: 0 bytes"),
        (b"1234567", "cut off: 7 bytes"),
        (raw({}, length=1 << 60), "header of 1152921504606846976 bytes, the format allows 100000000"),
        (raw({}, length=100), "cut off, or not a safetensors file: the header has 100 bytes, 2 are there"),
        (raw(b"[]"), "the header is no JSON object"),
        (raw(b"{'a'}"), "the header is damaged"),
        (raw(b'{"\xff": 1}'), "the header is damaged"),
        (raw(DEEP), "the header is damaged"),
        (raw(b'{"x": 1, "x": 2}'), "the header has 'x' twice"),
        (raw({"__metadata__": {"a": 1}}), "__metadata__ must map strings to strings"),
        (raw({"x": [1]}), "'x': expected dtype, shape and data_offsets"),
        (raw(entry(dtype="F33"), bytes(8)), "'x': unknown dtype 'F33'"),
        (raw(entry(dtype=["F32"]), bytes(8)), "'x': unknown dtype"),
        (raw(entry(shape=[-2]), bytes(8)), "'x': the shape must be a list of sizes"),
        (raw(entry(shape=[2.0]), bytes(8)), "'x': the shape must be a list of sizes"),
        (raw(entry(shape=[True]), bytes(8)), "'x': the shape must be a list of sizes"),
        (raw(entry(shape=2), bytes(8)), "'x': the shape must be a list of sizes"),
        (raw(entry(shape=[1 << 62, 1 << 62, 4]), bytes(8)), "'x': a tensor of shape .* overflows"),
        (raw(entry(shape=[1 << 62, 0, 1 << 62], data_offsets=[0, 0])), "'x': a tensor of shape .* overflows"),
        (raw(entry(shape=[1 << 70]), bytes(8)), "'x': the shape must be a list of sizes"),
        (raw(entry(shape=[1] * 65), bytes(8)), "65 axes are too many"),
        (
            raw(entry(shape=[3]), bytes(8)),
            r"'x': F32 of shape \[3\] takes 12 bytes, data_offsets \[0, 8\] give 8",
        ),
        (raw(entry(data_offsets=[8, 0]), bytes(8)), "'x': F32 of shape"),
        (raw(entry(data_offsets=[0]), bytes(8)), "data_offsets must be two positions"),
        (raw(entry(data_offsets=[-8, 0]), bytes(8)), "data_offsets must be two positions"),
        (raw(entry(), bytes(7)), "the file is cut off: the tensors take 8 bytes, 7 are there"),
        (raw(entry(), bytes(9)), "has more bytes than its header tells"),
        (raw(TWO, bytes(6)), "'b' overlaps the one before: it begins at byte 2, expected 4"),
        (raw(HOLE, bytes(6)), "'b' leaves bytes unused before it"),
        (raw(entry(dtype="BOOL"), b"\0\2"), r"BOOL of shape \[2\] takes 2 bytes"),
        (raw(entry(dtype="BOOL", data_offsets=[0, 2]), b"\0\2"), "'x': a BOOL must be 0 or 1, found 2"),
    ],
)
def test_a_damaged_or_hostile_file_is_refused_by_name(data: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    with pytest.raises(st.SafetensorsError, match=match) as caught:
        st.load_file(path)
    assert "bad.safetensors" in str(caught.value)
    with pytest.raises(ValueError, match=match):
        st.load(data)


def test_any_truncation_is_noticed() -> None:
    data = st.save({"a": lt.arange(5), "b": lt.ones(3)})
    for n in range(len(data)):
        with pytest.raises(st.SafetensorsError):
            st.load(data[:n])


def test_any_changed_byte_of_the_header_gives_an_error_or_a_tensor() -> None:
    data = bytearray(st.save({"a": lt.arange(5), "b": lt.ones(3)}))
    rng = np.random.RandomState(0)
    for _ in range(2000):
        damaged = bytearray(data)
        damaged[rng.randint(0, 150)] = rng.randint(0, 256)
        with contextlib.suppress(ValueError, TypeError):
            st.load(bytes(damaged))


def test_a_dtype_without_a_twin_is_named_and_the_rest_can_be_read() -> None:
    header = {
        "u": {"dtype": "U32", "shape": [1], "data_offsets": [0, 4]},
        "y": {"dtype": "U8", "shape": [2], "data_offsets": [4, 6]},
    }
    f = st.SafetensorsFile(io.BytesIO(raw(header, bytes(6))))
    assert f.get_tensor("y").tolist() == [0, 0]
    with pytest.raises(TypeError, match="'u' is stored as U32, for which there is no dtype here"):
        f.get_tensor("u")
    with pytest.raises(KeyError, match="there is no tensor 'z'"):
        f.get_tensor("z")


@pytest.mark.parametrize(
    ("tensors", "metadata", "match"),
    [
        ([lt.ones(1)], None, "expected a dict of tensors, got list"),
        ({1: lt.ones(1)}, None, "names must be strings, got 1"),
        ({"a": 1.0}, None, "'a' must be a tensor, got float"),
        ({"a": lt.ones(1)}, {"epoch": 3}, "metadata must map strings to strings, got 'epoch': 3"),
    ],
)
def test_what_cannot_be_written_is_named(tensors: Any, metadata: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        st.save(tensors, metadata)
    with pytest.raises(ValueError, match="cannot be the name of a tensor"):
        st.save({"__metadata__": lt.ones(1)})
