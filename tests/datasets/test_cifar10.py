"""CIFAR-10 in all the forms in which people have it, and its damaged and hostile ones."""

import gzip
import io
import os
import pickle
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lectorium.datasets import CIFAR10, DataError, PartialDataWarning
from lectorium.datasets._cifar_files import parse_pickle

REAL = Path(os.environ.get("LECTORIUM_DATA") or "/nonexistent") / "cifar10"
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LECTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LECTORIUM_DATA", raising=False)


def pixels(batch: str, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(BATCHES.index(batch))
    return random.integers(0, 256, (count, 3072), np.uint8), random.integers(0, 10, count)


def binary(batch: str) -> bytes:
    data, labels = pixels(batch)
    return np.concatenate([labels[:, None].astype(np.uint8), data], axis=1).tobytes()


def pickled(batch: str) -> bytes:
    data, labels = pixels(batch)
    fields = {b"batch_label": b"one", b"labels": labels.tolist(), b"data": data, b"filenames": [b"a.png"]}
    return pickle.dumps(fields, protocol=2)


def write(folder: Path, form: Callable[[str], bytes], ending: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for batch in BATCHES:
        content = form(batch)
        (folder / f"{batch}{ending}").write_bytes(
            gzip.compress(content, 1) if ending.endswith(".gz") else content
        )


def archive(folder: Path, name: str, inner: str, form: Callable[[str], bytes], ending: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / name, "w:gz", compresslevel=1) as file:
        for batch in [*reversed(BATCHES), "readme.html"]:
            content = b"" if batch == "readme.html" else form(batch)
            member = tarfile.TarInfo(f"{inner}/{batch}{ending}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


FORMS: dict[str, Callable[[Path], None]] = {
    "binary": lambda folder: write(folder, binary, ".bin"),
    "binary gz": lambda folder: write(folder, binary, ".bin.gz"),
    "python": lambda folder: write(folder, pickled, ""),
    "python gz": lambda folder: write(folder, pickled, ".gz"),
    "binary tar": lambda folder: archive(
        folder, "cifar-10-binary.tar.gz", "cifar-10-batches-bin", binary, ".bin"
    ),
    "python tar": lambda folder: archive(
        folder, "cifar-10-python.tar.gz", "cifar-10-batches-py", pickled, ""
    ),
    "official binary folder": lambda folder: write(folder / "cifar-10-batches-bin", binary, ".bin"),
    "official python folder": lambda folder: write(folder / "cifar-10-batches-py", pickled, ""),
}


def quiet(root: Path, train: bool = True, **options: Any) -> CIFAR10:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartialDataWarning)
        return CIFAR10(root, train, download=False, **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("train", [True, False])
def test_every_form_gives_the_same_arrays(form: str, train: bool, tmp_path: Path) -> None:
    FORMS[form](tmp_path)
    chosen = BATCHES[:5] if train else BATCHES[5:]
    images, labels = quiet(tmp_path, train).arrays()
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(
        images, np.concatenate([pixels(batch)[0] for batch in chosen]).reshape(-1, 3, 32, 32)
    )
    np.testing.assert_array_equal(labels, np.concatenate([pixels(batch)[1] for batch in chosen]))


def test_images_are_height_width_channels_and_share_memory_with_arrays(tmp_path: Path) -> None:
    FORMS["binary"](tmp_path)
    data = quiet(tmp_path, transform=lambda image: image.shape)
    assert data.images.shape == (20, 32, 32, 3)
    assert np.shares_memory(data.images, data.arrays()[0])
    np.testing.assert_array_equal(data.images[3, :, :, 1], data.arrays()[0][3, 1])
    assert data[0] == ((32, 32, 3), int(data.labels[0]))


@pytest.mark.parametrize("folder", ["cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"])
def test_lectorium_data_is_looked_through(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FORMS["binary"](tmp_path / folder)
    monkeypatch.setenv("LECTORIUM_DATA", str(tmp_path))
    with pytest.warns(PartialDataWarning):
        assert len(CIFAR10(download=False)) == 20


def test_a_copy_with_fewer_batches_is_used_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "data_batch_2.bin").write_bytes(binary("data_batch_2"))
    (tmp_path / "data_batch_4.bin.gz").write_bytes(gzip.compress(binary("data_batch_4")))
    with pytest.warns(
        PartialDataWarning, match=r"8 of 50,000 train .*data_batch_2\.bin, data_batch_4\.bin\.gz"
    ):
        data = CIFAR10(tmp_path)
    np.testing.assert_array_equal(data.labels[4:], pixels("data_batch_4")[1])


def test_the_first_images_of_a_batch_are_used_where_there_is_no_whole_one(tmp_path: Path) -> None:
    (tmp_path / "test_batch_first2.bin").write_bytes(binary("test_batch")[: 2 * 3073])
    (tmp_path / "test_batch_first3.bin.gz").write_bytes(gzip.compress(binary("test_batch")[: 3 * 3073]))
    with pytest.warns(PartialDataWarning, match="3 of 10,000 test"):
        assert len(CIFAR10(tmp_path, train=False)) == 3
    FORMS["binary"](tmp_path)
    assert len(quiet(tmp_path, train=False)) == 4


def test_without_download_the_error_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        CIFAR10(tmp_path, download=False)
    for part in (str(tmp_path), "data_batch_1 to 5", "root=", "LECTORIUM_DATA", "download=True"):
        assert part in str(error.value)


def test_a_record_of_the_wrong_length_names_file_and_bytes(tmp_path: Path) -> None:
    FORMS["binary"](tmp_path)
    (tmp_path / "data_batch_3.bin").write_bytes(binary("data_batch_3")[:-5])
    with pytest.raises(
        DataError, match=r"data_batch_3\.bin: 12287 bytes are no whole number of records of 3073"
    ):
        quiet(tmp_path)


def test_an_empty_batch_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_batch.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"test_batch\.bin: 0 bytes"):
        quiet(tmp_path, train=False)


@pytest.mark.parametrize("form", ["binary", "python"])
def test_a_label_above_nine_is_refused_with_its_record(form: str, tmp_path: Path) -> None:
    data, labels = pixels("test_batch")
    labels[2] = 10
    if form == "binary":
        content = np.concatenate([labels[:, None].astype(np.uint8), data], axis=1).tobytes()
        (tmp_path / "test_batch.bin").write_bytes(content)
    else:
        (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": data, "labels": labels.tolist()}))
    with pytest.raises(DataError, match=r"test_batch.*label 10 of record 2 is not in 0\.\.9"):
        quiet(tmp_path, train=False)


class Hostile:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


def test_a_pickle_that_wants_to_run_something_is_refused_before_it_does(tmp_path: Path) -> None:
    victim = tmp_path / "made"
    for call in (Hostile(os.mkdir, str(victim)), Hostile(eval, f"__import__('os').mkdir({str(victim)!r})")):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            content = pickle.dumps({"data": call, "labels": []}, protocol)
            with pytest.raises(
                DataError, match=r"test_batch: refused: the pickle asks for (posix|nt|(__)?builtin)"
            ):
                parse_pickle(content, "test_batch")
    assert not victim.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_pickle_protocol_are_admitted(protocol: int) -> None:
    data, labels = pixels("test_batch")
    content = pickle.dumps({"data": data, "labels": labels.tolist()}, protocol)
    np.testing.assert_array_equal(parse_pickle(content, "a")[0].reshape(4, -1), data)


def test_a_python_2_pickle_with_the_old_names_is_read() -> None:
    # What Python 2 and an early NumPy wrote: text keys as byte strings, numpy.core.multiarray.
    data = np.arange(3072, dtype=np.uint8).reshape(1, 3072)
    content = (
        b"\x80\x02}(U\x06labels]K\x03aU\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
        b"K\x00\x85U\x01btR(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00"
        + data.tobytes()
        + b"tbu."
    )
    got, labels = parse_pickle(content, "old")
    np.testing.assert_array_equal(got.reshape(1, -1), data)
    assert labels.tolist() == [3]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not a readable pickle"),
        (b"<html>", "not a readable pickle"),
        (pickle.dumps([1, 2]), "expected a pickled dict, found list"),
        (pickle.dumps({"labels": [1]}), "expected the keys data and labels"),
        (pickle.dumps({"labels": [1], "data": b"abc"}), "expected data of uint8"),
        (pickle.dumps({"labels": [1], "data": np.zeros((1, 5), np.uint8)}), r"found uint8 \(1, 5\)"),
        (
            pickle.dumps({"labels": [1, 2], "data": np.zeros((1, 3072), np.uint8)}),
            "expected 1 integer labels",
        ),
        (pickle.dumps({"labels": ["a"], "data": np.zeros((1, 3072), np.uint8)}), "expected 1 integer labels"),
    ],
)
def test_a_pickle_that_is_no_batch_is_told_apart(content: bytes, expected: str) -> None:
    with pytest.raises(DataError, match=f"some file: .*{expected}"):
        parse_pickle(content, "some file")


def test_a_truncated_pickle_is_an_error() -> None:
    content = pickled("test_batch")
    for length in (10, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(DataError, match="not a readable pickle"):
            parse_pickle(content[:length], "a")


def test_a_truncated_archive_is_an_error_that_names_it(tmp_path: Path) -> None:
    FORMS["binary tar"](tmp_path)
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: corrupt archive"):
        quiet(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="LECTORIUM_DATA/cifar10 is not there")
def test_the_real_first_batch_is_read_and_said_to_be_partial() -> None:
    with pytest.warns(PartialDataWarning, match="of 50,000 train") as caught:
        data = CIFAR10(REAL, download=False)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.bincount(data.labels[:10000], minlength=10).tolist() == [
        *(1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981)
    ]
    assert data.classes[int(data.labels[0])] == "frog"
