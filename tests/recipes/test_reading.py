"""Any picture of a digit is made to look like MNIST's before a model reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lectorium import recipes
from lectorium.datasets import Strokes
from lectorium.recipes.reading import centred, grey, read_picture

DIGITS = Strokes(n=30, train=False, seed=3)


def big(index: int, factor: int = 9, margin: int = 60, paper: int = 240, ink: int = 30) -> Any:
    """A digit as a scanner sees it."""
    strength = Image.fromarray(DIGITS.images[index]).resize(
        (28 * factor, 28 * factor), Image.Resampling.BICUBIC
    )
    values = np.pad(np.asarray(strength, np.float32) / 255, ((margin, 2 * margin), (margin // 2, margin)))
    return Image.fromarray((paper + (ink - paper) * values).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lenet5")
    recipes.train("lenet5", out=folder, limit=4000, epochs=2, batch_size=50)
    return folder


def test_most_digits_are_read_right_from_large_pictures(run: Path, tmp_path: Path) -> None:
    right = 0
    for index in range(len(DIGITS)):
        big(index).save(tmp_path / "digit.png")
        classes, chances = read_picture(tmp_path / "digit.png", run)
        right += classes[int(chances.argmax())] == str(DIGITS.labels[index])
        assert chances.sum() == pytest.approx(1)
    assert right >= 24


def likeness(one: Any, other: Any) -> float:
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum()))


def test_digits_at_home_size_stay_nearly_as_they_are() -> None:
    pictures = [image.astype(np.float32) for image in DIGITS.images]
    alike = [likeness(centred(picture), picture) for picture in pictures]
    assert np.mean(alike) > 0.85
    assert min(alike) > 0.7


@pytest.mark.parametrize("index", range(10))
def test_dark_on_light_and_light_on_dark_look_the_same(index: int) -> None:
    dark = centred(grey(big(index, paper=250, ink=10)))
    light = centred(grey(big(index, paper=10, ink=250)))
    assert likeness(dark, light) > 0.98


def test_size_place_and_contrast_make_little_difference() -> None:
    one = centred(grey(big(3, factor=9)))
    for other in (big(3, factor=20), big(3, margin=200), big(3, paper=180, ink=100), big(3, factor=3)):
        two = centred(grey(other))
        assert likeness(one, two) > 0.9


def test_a_hair_line_on_a_large_page_does_not_fade_away() -> None:
    page = np.full((1500, 1000), 255, np.float32)
    page[200:1300, 498:501] = 0
    page[200:203, 300:700] = 0
    small = centred(page)
    assert float(small.max()) > 0.95
    assert 15 < float(small.sum()) < 120


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "I;16", "CMYK", "RGB"])
def test_pictures_of_every_mode_are_read(mode: str, run: Path, tmp_path: Path) -> None:
    picture = big(4)
    if mode in ("RGBA", "LA"):
        ink = 255 - np.asarray(picture)
        picture = Image.merge("LA", (Image.new("L", picture.size, 0), Image.fromarray(ink))).convert(mode)
    elif mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    path = tmp_path / ("digit.tiff" if mode == "CMYK" else "digit.png")
    picture.save(path)
    classes, chances = read_picture(path, run)
    assert classes[int(chances.argmax())] == str(DIGITS.labels[4])


def test_white_ink_on_nothing_is_read_too(run: Path, tmp_path: Path) -> None:
    ink = 255 - np.asarray(big(4))
    Image.merge("LA", (Image.new("L", ink.shape[::-1], 255), Image.fromarray(ink))).save(
        tmp_path / "digit.png"
    )
    classes, chances = read_picture(tmp_path / "digit.png", run)
    assert classes[int(chances.argmax())] == str(DIGITS.labels[4])


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (3, 900)])
def test_a_blank_picture_is_an_error(size: tuple[int, int], run: Path, tmp_path: Path) -> None:
    Image.new("L", size, 255).save(tmp_path / "blank.png")
    with pytest.raises(recipes.RecipeError, match="blank.png: the picture is blank"):
        read_picture(tmp_path / "blank.png", run)


def test_one_dot_is_read_as_something(run: Path, tmp_path: Path) -> None:
    page = np.full((40, 40), 255, np.uint8)
    page[20, 20] = 0
    Image.fromarray(page).save(tmp_path / "dot.png")
    assert read_picture(tmp_path / "dot.png", run)[1].sum() == pytest.approx(1)


def test_a_file_that_is_no_picture_is_an_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(recipes.RecipeError, match=r"text.png is not a picture"):
        read_picture(tmp_path / "text.png", run)
    with pytest.raises(recipes.RecipeError, match="there is no picture"):
        read_picture(tmp_path / "none.png", run)
    with pytest.raises(recipes.RecipeError, match="is a folder"):
        read_picture(tmp_path, run)


def test_a_truncated_picture_is_an_error(run: Path, tmp_path: Path) -> None:
    big(1).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(recipes.RunError, match=r"cannot read the picture .*cut.png"):
        read_picture(tmp_path / "cut.png", run)


def test_a_model_that_reads_no_pictures_is_an_error(tmp_path: Path) -> None:
    recipes.train("xor-mlp", out=tmp_path / "xor")
    big(1).save(tmp_path / "digit.png")
    with pytest.raises(recipes.RecipeError, match="xor-mlp .* does not read pictures"):
        read_picture(tmp_path / "digit.png", tmp_path / "xor")
