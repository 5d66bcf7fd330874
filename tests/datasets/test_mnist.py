"""MNIST and Fashion-MNIST: where they are looked for, what is checked, and the real files."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from lectorium.datasets import MNIST, DataError, FashionMNIST

REAL = Path(os.environ.get("LECTORIUM_DATA") or "/nonexistent") / "mnist"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="LECTORIUM_DATA/mnist is not there")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LECTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LECTORIUM_DATA", raising=False)


def write(
    folder: Path, count: int = 5, kind: str = "train", packed: bool = True, first: int = 0, side: int = 28
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.full((count, side, side), 7, np.uint8)
    labels = ((np.arange(count) + first) % 256).astype(np.uint8)
    pack = gzip.compress if packed else bytes
    ending = ".gz" if packed else ""
    images = struct.pack(">HBB3I", 0, 8, 3, *pixels.shape) + pixels.tobytes()
    (folder / f"{kind}-images-idx3-ubyte{ending}").write_bytes(pack(images))
    (folder / f"{kind}-labels-idx1-ubyte{ending}").write_bytes(
        pack(struct.pack(">HBBI", 0, 8, 1, count) + labels.tobytes())
    )


@pytest.mark.parametrize("packed", [True, False])
def test_packed_and_unpacked_files_are_read(packed: bool, tmp_path: Path) -> None:
    write(tmp_path, packed=packed)
    data = MNIST(tmp_path, download=False)
    images, labels = data.arrays()
    assert (images.shape, images.dtype) == ((5, 1, 28, 28), np.uint8)
    assert (labels.tolist(), labels.dtype) == ([0, 1, 2, 3, 4], np.int64)
    assert data.images.shape == (5, 28, 28)
    assert np.shares_memory(data.images, images)


def test_train_and_test_are_different_files(tmp_path: Path) -> None:
    write(tmp_path, 5)
    write(tmp_path, 3, "t10k")
    assert (len(MNIST(tmp_path)), len(MNIST(tmp_path, train=False))) == (5, 3)


@pytest.mark.parametrize("inner", ["", "mnist", "MNIST/raw"])
def test_root_may_be_the_folder_itself_or_its_parent(inner: str, tmp_path: Path) -> None:
    write(tmp_path / inner)
    assert len(MNIST(tmp_path, download=False)) == 5


def test_root_comes_before_lectorium_data_and_that_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "cache" / "mnist", 1)
    assert len(MNIST()) == 1
    monkeypatch.setenv("LECTORIUM_DATA", str(tmp_path / "local"))
    write(tmp_path / "local" / "mnist", 2)
    assert len(MNIST()) == 2
    write(tmp_path / "root", 3)
    assert len(MNIST(tmp_path / "root")) == 3


def test_fashion_mnist_does_not_take_the_digits_for_clothes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTORIUM_DATA", str(tmp_path))
    write(tmp_path / "mnist")
    with pytest.raises(FileNotFoundError, match="FashionMNIST: train-images"):
        FashionMNIST(download=False)
    write(tmp_path / "fashion-mnist", 4)
    assert len(FashionMNIST(download=False)) == 4


def test_without_download_the_error_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        MNIST(tmp_path / "here", download=False)
    text = str(error.value)
    for part in (
        "train-labels-idx1-ubyte",
        str(tmp_path / "here"),
        "download=True",
        "root=",
        "LECTORIUM_DATA",
    ):
        assert part in text


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    write(tmp_path, side=27)
    with pytest.raises(DataError, match=r"train-images.*\(N, 28, 28\), found uint8 of shape \(5, 27, 27\)"):
        MNIST(tmp_path)


def test_images_and_labels_must_be_equally_many(tmp_path: Path) -> None:
    write(tmp_path / "other", 6)
    write(tmp_path, 5)
    os.replace(tmp_path / "other" / "train-labels-idx1-ubyte.gz", tmp_path / "train-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match=r"has 5 pictures, but .* has 6 labels"):
        MNIST(tmp_path)


def test_a_label_above_nine_is_refused_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, first=8)
    with pytest.raises(DataError, match=r"train-labels.*label 10 at position 2 is not in 0\.\.9"):
        MNIST(tmp_path)


def test_swapped_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    images, labels = tmp_path / "train-images-idx3-ubyte.gz", tmp_path / "train-labels-idx1-ubyte.gz"
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(content)
    with pytest.raises(DataError, match="expected uint8 pictures"):
        MNIST(tmp_path)


@pytest.mark.parametrize("index", [5, -1, 10**30])
def test_an_index_outside_the_set_is_an_index_error_with_the_valid_range(index: int, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(IndexError, match=rf"MNIST: index {index} is out of range \(valid: 0 to 4\)"):
        MNIST(tmp_path)[index]


def test_an_index_that_is_no_integer_is_a_type_error(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(TypeError, match="index must be an integer, got float"):
        MNIST(tmp_path)[1.0]  # type: ignore[index]


def test_transforms_get_the_uint8_picture_and_the_label(tmp_path: Path) -> None:
    write(tmp_path)
    data = MNIST(
        tmp_path, transform=lambda image: (image.shape, image.dtype), target_transform=lambda label: -label
    )
    assert data[np.int64(2)] == (((28, 28), np.dtype(np.uint8)), -2)


def test_iterating_ends_after_the_last_item(tmp_path: Path) -> None:
    write(tmp_path)
    assert [label for _, label in MNIST(tmp_path, transform=np.sum)] == [0, 1, 2, 3, 4]


def test_an_item_is_a_float_tensor_between_0_and_1(tmp_path: Path) -> None:
    pytest.importorskip("lectorium._core", reason="the compiled core is not built")
    write(tmp_path)
    image, label = MNIST(tmp_path)[3]
    assert tuple(image.shape) == (1, 28, 28)
    assert label == 3
    np.testing.assert_array_equal(image.numpy(), np.full((1, 28, 28), np.float32(7) / np.float32(255)))


@needs_real
def test_the_real_files_are_the_published_ones() -> None:
    train, test = MNIST(REAL, download=False), MNIST(REAL, train=False, download=False)
    assert (train.images.shape, test.images.shape) == ((60000, 28, 28), (10000, 28, 28))
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train.labels).tolist() == counts
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert train.images.mean() / 255 == pytest.approx(0.130660, abs=1e-6)


@needs_real
def test_the_digests_written_down_are_those_of_the_real_files() -> None:
    from lectorium.datasets._download import file_digest

    for name, digest in MNIST.digests.items():
        kind, expected = digest.split(":")
        assert file_digest(REAL / f"{name}.gz", kind) == expected
