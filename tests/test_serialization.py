"""lt.save and lt.load: structures, optimizers, atomic writing, files of others."""

import errno
import io
import math
import os
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium.interop import safetensors as st


def same(a: Any, b: Any) -> None:
    """Equal with all types, dtypes and the order of keys."""
    assert type(a) is type(b)
    if isinstance(a, lt.Tensor):
        assert (a.dtype, a.shape, a.tolist()) == (b.dtype, b.shape, b.tolist())
    elif isinstance(a, dict):
        assert list(a) == list(b)
        assert [type(k) for k in a] == [type(k) for k in b]
        for k in a:
            same(a[k], b[k])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, float):
        assert a == b or (math.isnan(a) and math.isnan(b))
        assert math.copysign(1, a) == math.copysign(1, b)
    else:
        assert a == b


STRUCTURES: list[Any] = [
    {},
    [],
    (),
    None,
    True,
    5,
    10**30,
    -0.0,
    0.1,
    float("inf"),
    float("-inf"),
    float("nan"),
    "text ☃ \ud800",
    lt.float16,
    lt.arange(3),
    {"b": 1, "a": [1.0, (2, None), {}], "": "empty"},
    {0: "int", "0": "str", 1.5: "float", None: "none", (1, "x"): "tuple"},
    {True: 1, 2: False},
    {"tensor": "a name that the layout uses too", "dict": {"list": [1]}, "float": "inf"},
    {"a": {"b.c": lt.ones(1)}, "a.b": {"c": lt.zeros(2)}, "__metadata__": lt.arange(1)},
    [lt.ones(0, 3), lt.tensor(2, dtype=lt.int8), [lt.ones(2, dtype=lt.bfloat16)]],
]


@pytest.mark.parametrize("value", STRUCTURES, ids=lambda v: str(v)[:30].encode("ascii", "replace").decode())
def test_a_structure_comes_back_exactly(value: Any, tmp_path: Path) -> None:
    lt.save(value, tmp_path / "x.safetensors")
    same(lt.load(tmp_path / "x.safetensors"), value)
    buffer = io.BytesIO()
    lt.save(value, buffer)
    buffer.seek(0)
    same(lt.load(buffer), value)


def test_the_state_of_a_module_keeps_its_keys_for_other_tools(tmp_path: Path) -> None:
    state = OrderedDict([("fc2.weight", lt.rand(2, 3)), ("fc1.bias", lt.rand(3)), ("steps", lt.tensor(4))])
    lt.save(state, tmp_path / "model.safetensors")
    plain = st.load_file(tmp_path / "model.safetensors")
    assert sorted(plain) == sorted(state)
    assert list(lt.load(tmp_path / "model.safetensors")) == list(state)
    with st.SafetensorsFile(tmp_path / "model.safetensors") as f:
        assert f.metadata()["format"] == "pt"


def test_pytorch_reads_what_is_saved(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("safetensors.torch")
    model = lt.nn.Linear(3, 2)
    lt.save(model.state_dict(), tmp_path / "model.safetensors")
    theirs = torch.nn.Linear(3, 2)
    theirs.load_state_dict(reference.load_file(tmp_path / "model.safetensors"))
    assert theirs.weight.tolist() == model.weight.tolist()


def test_a_file_of_another_tool_gives_a_flat_dict(tmp_path: Path) -> None:
    reference = pytest.importorskip("safetensors.numpy")
    reference.save_file({"a.b": np.arange(3)}, tmp_path / "x.safetensors", metadata={"by": "others"})
    same(lt.load(tmp_path / "x.safetensors"), {"a.b": lt.arange(3)})


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad", "Adadelta"])
def test_the_state_of_an_optimizer_comes_back_exactly(name: str, tmp_path: Path) -> None:
    def step(optimizer: Any) -> list[Any]:
        for i, p in enumerate(optimizer.param_groups[0]["params"]):
            p.grad = lt.full((3,), i + 0.5)
        optimizer.step()
        return [p.tolist() for p in optimizer.param_groups[0]["params"]]

    def make() -> Any:
        extra = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
        return getattr(lt.optim, name)([lt.ones(3, requires_grad=True) for _ in range(2)], lr=0.1, **extra)

    first, second = make(), make()
    step(first)
    state = first.state_dict()
    lt.save({"optimizer": state, "epoch": 1}, tmp_path / "x.safetensors")
    loaded = lt.load(tmp_path / "x.safetensors")
    same(loaded["optimizer"], state)
    step(second)
    second.state.clear()
    second.load_state_dict(loaded["optimizer"])
    assert step(first) == step(second)


def test_parameters_are_saved_as_values(tmp_path: Path) -> None:
    w = lt.ones(2, requires_grad=True)
    lt.save({"a": w, "b": w, "c": w * 2}, tmp_path / "x.safetensors")
    loaded = lt.load(tmp_path / "x.safetensors")
    assert not any(t.requires_grad for t in loaded.values())
    loaded["a"] += 1
    assert loaded["b"].tolist() == [1.0, 1.0]


def test_map_location_takes_the_cpu(tmp_path: Path) -> None:
    lt.save(lt.ones(1), tmp_path / "x.safetensors")
    assert lt.load(tmp_path / "x.safetensors", map_location="cpu", weights_only=True).is_cpu
    with pytest.raises(RuntimeError, match="'cuda'"):
        lt.load(tmp_path / "x.safetensors", map_location="cuda")


class Odd:
    pass


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        ({"a": [1, Odd()]}, TypeError, r"\['a'\]\['1'\] is a Odd, which has no place in the file"),
        (lt.nn.Linear(1, 1), TypeError, r"the object is a Linear, .*save its \.state_dict\(\)"),
        ({"x": np.ones(2)}, TypeError, r"\['x'\] is a ndarray.*lectorium\.from_numpy"),
        ({"x": np.int64(2)}, TypeError, r"\['x'\] is a int64.*\.item\(\)"),
        ({Odd(): 1}, TypeError, "has a key of type Odd"),
        ({"x": {1, 2}}, TypeError, r"\['x'\] is a set"),
    ],
)
def test_what_cannot_be_saved_is_named_and_leaves_no_file(
    value: Any, error: type[Exception], match: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=match):
        lt.save(value, tmp_path / "x.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_structure_that_contains_itself_is_refused(tmp_path: Path) -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(ValueError, match=r"\['1'\]\['again'\] contains itself"):
        lt.save(loop, tmp_path / "x.safetensors")
    twice = [lt.ones(1)]
    lt.save([twice, twice], tmp_path / "x.safetensors")


# Writing


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    lt.save({"epoch": 1}, path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device.*x\.safetensors") as caught:
            lt.save({"epoch": 2}, path)
    assert caught.value.errno == errno.ENOSPC
    assert lt.load(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["x.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="resource limits are POSIX")
def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    script = """if True:
        import resource, signal, lectorium as lt
        lt.save({"epoch": 1}, "x.safetensors")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            lt.save({"big": lt.zeros(100_000)}, "x.safetensors")
        except OSError as error:
            print(error.filename, error)
    """
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.startswith("x.safetensors "), run.stderr
    assert "could not write: File too large" in run.stdout
    assert os.listdir(tmp_path) == ["x.safetensors"]
    assert lt.load(tmp_path / "x.safetensors") == {"epoch": 1}


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such folder"):
        lt.save(1, tmp_path / "no such folder" / "x.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        lt.save(1, tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
    with pytest.raises(TypeError, match="expected a path or a binary file object, got int"):
        lt.save(1, 3)


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes are POSIX")
def test_the_mode_and_a_link_survive_overwriting(tmp_path: Path) -> None:
    real, link = tmp_path / "real.safetensors", tmp_path / "link.safetensors"
    lt.save(1, real)
    real.chmod(0o640)
    link.symlink_to(real.name)
    lt.save(2, link)
    assert link.is_symlink()
    assert lt.load(real) == 2
    assert real.stat().st_mode & 0o777 == 0o640


# Files of others


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("archive/data.pkl", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "the file is empty"),
        (zipped(), r"zip archive, such as a PyTorch checkpoint.*torch\.load"),
        (b"\x80\x02}q\x00." + bytes(20), r"Python pickle.*can run any code.*torch\.load"),
        (b"\x93NUMPY\x01\x00v\x00", r"NumPy array; use lectorium\.from_numpy"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"GGUF\x03\0\0\0\0", "GGUF"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0", "gzip"),
        (b"<!DOCTYPE html>", "not a safetensors file"),
        (b"hello", "cut off: 5 bytes"),
    ],
)
def test_a_file_of_another_format_is_recognised(data: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"(?s)other\.pt.*{match}"):
        lt.load(path)


def test_the_advice_for_a_pytorch_checkpoint_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors.torch")
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.ones(2)}, "old.pt")
    with pytest.raises(ValueError, match="PyTorch checkpoint") as caught:
        lt.load("old.pt")
    advice = str(caught.value).partition("installed: ")[2].partition("; an .npz")[0]
    exec(advice)
    same(lt.load("model.safetensors"), {"a": lt.ones(2)})


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for text in [
        "{",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 1, "value": [1]}',
        '{"version": 1, "value": {"tensor": "b"}}',
        '{"version": 1, "value": {"tensor": 3}}',
        '{"version": 1, "value": {"items": [[{"list": []}, 1]]}}',
        '{"version": 1, "value": {"items": [1]}}',
        '{"version": 1, "value": {"float": "1"}}',
        '{"version": 1, "value": {"dtype": "float8"}}',
        '{"version": 1, "value": {"call": "os.system"}}',
        '{"version": 1, "value": ' + '{"list": [' * 50_000 + "]}" * 50_000 + "}",
    ]:
        st.save_file({"a": lt.ones(1)}, path, {"lectorium": text})
        with pytest.raises(
            ValueError, match=r"x\.safetensors: the description of the saved object is damaged"
        ):
            lt.load(path)
    st.save_file({}, path, {"lectorium": '{"version": 9, "value": 1}'})
    with pytest.raises(ValueError, match=r"version 9 of the layout.*update lectorium"):
        lt.load(path)


def test_a_missing_file_a_folder_and_other_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        lt.load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="is a folder; give the path of a file"):
        lt.load(tmp_path)
    with pytest.raises(TypeError, match="expected a path or a binary file object that can seek, got int"):
        lt.load(3)


def test_a_file_object_is_read_from_where_it_stands() -> None:
    data = io.BytesIO(b"before")
    data.seek(6)
    lt.save([lt.arange(2)], data)
    data.seek(6)
    same(lt.load(data), [lt.arange(2)])
