"""IDX files, whole and damaged."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from lectorium.datasets import DataError, read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array: np.ndarray) -> bytes:
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (0, 28, 28)])
def test_every_type_and_rank_comes_back_as_written(code: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(code)
    (tmp_path / "a").write_bytes(idx(array))
    back = read_idx(tmp_path / "a")
    assert back.dtype == np.dtype(code)
    np.testing.assert_array_equal(back, array)


def test_gzip_is_known_by_its_content_whatever_the_file_is_called(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for name in ("a.gz", "a"):
        (tmp_path / name).write_bytes(gzip.compress(idx(array)))
        np.testing.assert_array_equal(read_idx(tmp_path / name), array)


def test_the_array_read_may_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(idx(np.arange(3, dtype=np.uint8)))
    array = read_idx(tmp_path / "a")
    array[0] = 9
    assert array.tolist() == [9, 1, 2]


def damaged(content: bytes, tmp_path: Path, name: str = "some-idx3-ubyte") -> str:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_idx(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    return str(error.value)


def test_a_truncated_idx_file_names_the_file_and_the_missing_bytes(tmp_path: Path) -> None:
    content = idx(np.zeros((2, 3), np.uint8))
    assert "needs 6 bytes of data, there are 4 (2 missing)" in damaged(content[:-2], tmp_path)


@pytest.mark.parametrize("length", [0, 3, 4, 9])
def test_a_file_that_ends_in_its_header_is_truncated(length: int, tmp_path: Path) -> None:
    assert "truncated" in damaged(idx(np.zeros((2, 3), np.uint8))[:length], tmp_path)


def test_trailing_bytes_are_an_error(tmp_path: Path) -> None:
    assert "3 bytes too many" in damaged(idx(np.zeros((2, 3), np.uint8)) + b"abc", tmp_path)


@pytest.mark.parametrize("magic", ["01000801", "00000701", "00000800", "3c68746d"])
def test_a_bad_magic_number_is_told_as_it_is(magic: str, tmp_path: Path) -> None:
    assert f"magic number is 0x{magic}" in damaged(bytes.fromhex(magic) + bytes(20), tmp_path)


def test_sizes_whose_product_overflows_64_bits_are_a_truncated_file(tmp_path: Path) -> None:
    content = struct.pack(">HBB4I", 0, 8, 4, *(0xFFFFFFFF,) * 4)
    assert "truncated" in damaged(content, tmp_path)


def test_a_truncated_gzip_says_so(tmp_path: Path) -> None:
    content = gzip.compress(idx(np.arange(5000, dtype=np.int32)))
    assert "truncated gzip" in damaged(content[:-100], tmp_path, "a.gz")


def test_a_corrupt_gzip_says_so(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(idx(np.arange(5000, dtype=np.int32))))
    content[len(content) // 2] ^= 0xFF
    assert "corrupt gzip" in damaged(bytes(content), tmp_path, "a.gz")


def test_a_page_saved_under_a_gz_name_is_no_gzip(tmp_path: Path) -> None:
    assert "not a gzip file" in damaged(b"<html>404</html>", tmp_path, "a.gz")
