"""WAV files, FSDD, strings of spoken digits and log-mel features."""

import io
import os
import struct
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from lectorium.datasets import FSDD, DataError, PartialDataWarning, SpokenDigits, features, fsdd, log_mel
from lectorium.datasets.wav import parse_wav, read_wav, wav_bytes

REAL = Path(os.environ.get("LECTORIUM_DATA") or "/nonexistent")
needs_real = pytest.mark.skipif(not (REAL / "fsdd").is_dir(), reason="LECTORIUM_DATA/fsdd is not there")
SOUND = np.array([0, 5, -5, 32767, -32768], np.int16)


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LECTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LECTORIUM_DATA", raising=False)


def recordings() -> dict[str, bytes]:
    """All 600 by their names, each with its digit and its number as samples."""
    names = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    return {
        f"{digit}_{name}_{i}.wav": wav_bytes(np.full(400 + 10 * digit, 100 * digit + i, np.int16), 8000)
        for digit in range(10)
        for name in names
        for i in range(10)
    }


def write(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in recordings().items():
        (folder / name).write_bytes(content)


# WAV.


def test_a_wav_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_bytes(SOUND, 16000))
    samples, rate = read_wav(tmp_path / "a.wav")
    assert (samples.tolist(), samples.dtype, rate) == (SOUND.tolist(), np.int16, 16000)


def test_chunks_that_are_not_known_are_passed_over_and_padding_too() -> None:
    whole = wav_bytes(SOUND, 8000)
    odd = struct.pack("<4sI", b"LIST", 3) + b"abc\0"
    assert parse_wav(whole[:36] + odd + whole[36:], "a.wav")[0].tolist() == SOUND.tolist()


def changed(at: int, form: str, value: int) -> bytes:
    whole = bytearray(wav_bytes(SOUND, 8000))
    struct.pack_into(form, whole, at, value)
    return bytes(whole)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.wav: not a WAV file \(it begins with b''\)"),
        (b"\x89PNG\r\n\x1a\n0000", "not a WAV file"),
        (wav_bytes(SOUND, 8000)[:-1], "truncated: 10 bytes of 'data' promised, 9 there"),
        (wav_bytes(SOUND, 8000)[:30], "truncated: 16 bytes of 'fmt' promised, 10 there"),
        (wav_bytes(SOUND, 8000)[:36], "no samples in it; truncated"),
        (wav_bytes(SOUND, 8000)[:12] + wav_bytes(SOUND, 8000)[36:], "the samples come before their format"),
        (changed(20, "<H", 3), "found of format 3 ones of 16 bits in 1;"),
        (changed(22, "<H", 2), "found uncompressed ones of 16 bits in 2; convert it first"),
        (changed(34, "<H", 24), "found uncompressed ones of 24 bits in 1;"),
        (changed(24, "<I", 0), "0 samples a second"),
        (changed(40, "<I", 9), "9 bytes are no whole number of 16-bit samples"),
        (changed(16, "<I", 4), "a format of 4 bytes"),
    ],
)
def test_what_is_no_sound_of_16_bits_is_an_error_that_says_why(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_wav(content, "a.wav")


def test_any_byte_lost_or_changed_gives_an_error_or_samples_and_nothing_else() -> None:
    whole = wav_bytes(SOUND, 8000)
    draw = np.random.default_rng(0)
    for _ in range(2000):
        damaged = bytearray(whole[: draw.integers(len(whole) + 1)])
        if damaged:
            damaged[draw.integers(len(damaged))] = draw.integers(256)
        try:
            parse_wav(bytes(damaged), "a.wav")
        except DataError:
            continue


# FSDD.


@pytest.mark.parametrize(
    "inner", ["recordings", "fsdd/recordings", "free-spoken-digit-dataset/recordings", "wav"]
)
def test_the_recordings_0_to_4_are_the_test_part_wherever_they_lie(inner: str, tmp_path: Path) -> None:
    write(tmp_path / inner)
    root = tmp_path / "wav" if inner == "wav" else tmp_path
    train, test = FSDD(root, download=False), FSDD(root, train=False, download=False)
    assert (len(train), len(test), len(set(test.speakers))) == (300, 300, 6)
    assert {int(wave[0]) % 100 for wave in train.waveforms} == set(range(5, 10))
    assert {int(wave[0]) % 100 for wave in test.waveforms} == set(range(5))
    assert [int(wave[0]) // 100 for wave in test.waveforms] == test.labels.tolist()
    wave, label = train[-1 + len(train)]
    assert (wave.shape, label) == ((490,), 9)
    assert abs(wave[0].item() - 909 / 32768) < 1e-7


def archive(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as out:
        for name, content in files.items():
            info = tarfile.TarInfo(f"free-spoken-digit-dataset/recordings/{name}")
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))


def test_the_archive_is_read_as_it_is(tmp_path: Path) -> None:
    archive(tmp_path / fsdd._ARCHIVE, recordings())
    data = FSDD(tmp_path, train=False, download=False)
    assert len(data) == 300
    assert data.waveforms[0].tolist() == [0] * 400


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    archive(tmp_path / fsdd._ARCHIVE, recordings())
    whole = (tmp_path / fsdd._ARCHIVE).read_bytes()
    (tmp_path / fsdd._ARCHIVE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"corrupt archive .* Delete it and get it again"):
        FSDD(tmp_path, download=False)


def test_a_copy_in_which_some_are_missing_is_used_with_a_warning(tmp_path: Path) -> None:
    write(tmp_path / "recordings")
    (tmp_path / "recordings" / "3_theo_7.wav").unlink()
    with pytest.warns(PartialDataWarning, match="has 299 of 300 train recordings"):
        assert len(FSDD(tmp_path, download=False)) == 299


def test_a_broken_recording_is_named(tmp_path: Path) -> None:
    write(tmp_path / "recordings")
    (tmp_path / "recordings" / "3_theo_7.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"3_theo_7\.wav: not a WAV file"):
        FSDD(tmp_path, download=False)
    (tmp_path / "recordings" / "3_theo_7.wav").write_bytes(wav_bytes(SOUND, 16000))
    with pytest.raises(
        DataError, match="expected a recording of 8000 samples a second, found 5 samples at 16000"
    ):
        FSDD(tmp_path, download=False)


def test_without_files_and_without_download_it_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"FSDD: recordings/\*.wav or .* not found. Looked in:"):
        FSDD(tmp_path, download=False)


@needs_real
def test_the_real_recordings_have_the_digest_that_a_download_is_checked_by(tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in (REAL / "fsdd" / "recordings").glob("*.wav")}
    archive(tmp_path / fsdd._ARCHIVE, files)
    from lectorium.datasets._download import Remote, fetch

    remote = Remote(fsdd._ARCHIVE, (), FSDD.digest, fsdd._content)
    assert fetch(remote, tmp_path) == tmp_path / fsdd._ARCHIVE


# Strings of digits.


def test_sequences_depend_on_the_seed_alone_and_have_one_speaker(tmp_path: Path) -> None:
    write(tmp_path / "recordings")
    one, two = (SpokenDigits(tmp_path, n=40, seed=3, download=False) for _ in range(2))
    other = SpokenDigits(tmp_path, n=40, seed=4, download=False)
    assert all((a == b).all() for a, b in zip(one.digits, two.digits, strict=True))
    assert (one.waveform(7) == two.waveform(7)).all()
    assert [d.tolist() for d in one.digits] != [d.tolist() for d in other.digits]
    assert {len(digits) for digits in one.digits} == {3, 4, 5}
    for digits, parts in zip(one.digits, one.recordings, strict=True):
        assert [int(part[0]) // 100 for part in parts] == digits.tolist()
    wave, digits = one[0]
    assert (wave.shape, digits.tolist()) == (one.waveform(0).shape, one.digits[0].tolist())
    # A longer list begins with the same sequences.
    more = SpokenDigits(tmp_path, n=50, seed=3, download=False)
    assert (more.waveform(39) == one.waveform(39)).all()


def test_sequences_may_be_shorter_or_longer(tmp_path: Path) -> None:
    write(tmp_path / "recordings")
    data = SpokenDigits(tmp_path, n=40, download=False, least=1, most=2)
    assert {len(digits) for digits in data.digits} == {1, 2}


def test_numbers_that_make_no_sense_are_errors() -> None:
    with pytest.raises(ValueError, match="n must be 0 or more, got -1"):
        SpokenDigits(n=-1)
    with pytest.raises(ValueError, match="expected 1 <= least <= most, got 3 and 2"):
        SpokenDigits(most=2)


@needs_real
def test_the_real_test_sequences_stay_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LECTORIUM_DATA", str(REAL))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = SpokenDigits(train=False, n=300, seed=0)
    assert [digits.tolist() for digits in data.digits[:3]] == [[0, 0, 8], [2, 3, 2, 3, 0], [9, 1, 7, 1, 2]]
    assert data.speakers[:3] == ["nicolas", "jackson", "theo"]
    assert len(data.waveform(0)) == 14595


# Features.


def test_a_tone_lies_in_the_band_of_its_pitch() -> None:
    time = np.arange(8000) / 8000
    bank = features.mel_filters(40, 256, 8000)
    for pitch in (300, 1000, 3000):
        found = log_mel(np.sin(2 * np.pi * pitch * time))[5:-5].argmax(axis=1)
        assert set(found.tolist()) <= set(np.argsort(-bank[:, round(pitch * 256 / 8000)])[:2].tolist())


def test_features_are_those_of_a_plain_computation() -> None:
    sound = np.random.default_rng(0).normal(size=1000)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(256) / 256)
    frame = sound[128 * 3 : 128 * 3 + 256] * window
    angles = np.exp(-2j * np.pi * np.outer(np.arange(129), np.arange(256)) / 256)
    expected = np.log(features.mel_filters(40, 256, 8000) @ np.abs(angles @ frame) ** 2 + 1e-6)
    found = log_mel(sound)
    assert (found.shape, found.dtype) == ((7, 40), np.float32)
    np.testing.assert_allclose(found[3], expected, rtol=1e-4)


def test_filters_overlap_so_that_each_frequency_counts_once() -> None:
    bank = features.mel_filters(20, 1024, 8000)
    first, last = bank[0].argmax(), bank[-1].argmax() - 1
    np.testing.assert_allclose(bank[:, first : last + 1].sum(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 384, 385])
def test_every_sample_is_in_a_frame(count: int) -> None:
    quiet = log_mel(np.zeros(count))
    click = np.zeros(count)
    click[-1] = 1
    assert len(quiet) == max(1, -(-(count - 256) // 128) + 1)
    # The window is 0 at its first sample alone, which the next frame does not have either at the very end.
    assert (log_mel(click) != quiet).any() or count in (1, 257, 385)


def test_frames_need_a_length() -> None:
    with pytest.raises(ValueError, match="rate, frame and hop must be above 0, got 0, 0.032 and 0.016"):
        log_mel(np.zeros(900), rate=0)
    with pytest.raises(ValueError, match="must be above 0, got 8000, 0.032 and 0"):
        log_mel(np.zeros(900), hop=0)


def test_16_bit_samples_and_floats_mean_the_same() -> None:
    sound = np.random.default_rng(0).integers(-32768, 32768, 2000).astype(np.int16)
    np.testing.assert_array_equal(log_mel(sound), log_mel(sound.astype(np.float32) / 32768))


@pytest.mark.parametrize(
    ("samples", "bands", "message"),
    [
        (np.zeros(0), 40, r"log_mel: expected the samples of one channel, \[N\] with N > 0, got \(0,\)"),
        (np.zeros((2, 9)), 40, r"got \(2, 9\)"),
        (np.zeros(900), 0, "0 bands are too many or too few"),
        (np.zeros(900), 200, "200 bands are too many or too few for a transform of 256 samples"),
    ],
)
def test_features_of_nothing_or_of_too_many_bands_are_errors(
    samples: np.ndarray, bands: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        log_mel(samples, bands=bands)
