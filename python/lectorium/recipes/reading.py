"""Reading a digit from any picture: made to look like MNIST's, then shown to a trained model."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import no_grad
from .errors import RecipeError, RunError
from .evaluation import load_run

SIDE, BOX = 28, 20  # of MNIST's pictures, and of the box that its digits fill
_FINE = 4  # the digit is first brought to 4 times its final size, where its lines can be thickened
_FAINT = 24  # of 255: a picture with less contrast is blank
_THIN = 1.3  # pixels of the final picture: thinner lines are thickened

F32 = NDArray[np.float32]


def read_picture(
    path: str | os.PathLike[str], run: str | os.PathLike[str]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The classes and the probability of each, from the model in the run folder.

    Errors: RunError for a folder without a checkpoint, RecipeError for a file that is no picture or blank.
    """
    recipe, settings, model, _ = load_run(run)
    if recipe.input_shape not in ((1, SIDE, SIDE), (3, 32, 32)):
        raise RecipeError(f"{recipe.name} in {os.fspath(run)} does not read pictures; train lenet5 or mlp")
    image = _open(path)
    if recipe.input_shape[0] == 3:
        pixels = np.asarray(image.convert("RGB").resize((32, 32)), np.uint8).transpose(2, 0, 1)[None]
    else:
        pixels = (255 * centred(grey(image), os.fspath(path)) + 0.5).astype(np.uint8)[None, None]
    with no_grad():
        logits = model(recipe.prepare(pixels)).numpy()[0].astype(np.float64)
    chances = np.exp(logits - logits.max())
    return class_names(settings.data), chances / chances.sum()


def class_names(data: str) -> tuple[str, ...]:
    """The names of a data set's classes, without loading it.

    Example:
        >>> lt.recipes.reading.class_names("strokes")[:3]
        ('0', '1', '2')
    """
    from ..datasets import FashionMNIST
    from ..datasets.cifar10 import CIFAR10

    if data == "fashion-mnist":
        return FashionMNIST.names
    return CIFAR10.names if data == "cifar10" else tuple("0123456789")


def _open(path: str | os.PathLike[str]) -> Any:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            file.load()
            return ImageOps.exif_transpose(file)
    except FileNotFoundError:
        raise RecipeError(f"there is no picture {os.fspath(path)}") from None
    except IsADirectoryError:
        raise RecipeError(f"{os.fspath(path)} is a folder, not a picture") from None
    except UnidentifiedImageError:
        raise RecipeError(
            f"{os.fspath(path)} is not a picture that can be read (PNG, JPEG, BMP, GIF …)"
        ) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RunError(f"cannot read the picture {os.fspath(path)}: {error}") from None


def grey(image: Any) -> F32:
    """A picture of any mode as float32 [H, W] in 0..255; what is transparent becomes paper."""
    from PIL import Image

    if image.mode in ("I", "I;16", "F"):  # 16 or 32 bits
        values = np.asarray(image, np.float32)
        low, high = float(values.min()), float(values.max())
        return (values - low) * np.float32(255 / ((high - low) or 1))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        values = np.asarray(image, np.float32)
        alpha = values[..., 3:] / 255
        seen = float(
            (np.asarray(image.convert("L"), np.float32) * alpha[..., 0]).sum() / max(1.0, float(alpha.sum()))
        )
        # Light ink on nothing needs dark paper.
        paper = Image.new(
            "RGBA", image.size, (0, 0, 0, 255) if seen > 127 and alpha.min() < 1 else (255, 255, 255, 255)
        )
        image = Image.alpha_composite(paper, image)
    return np.asarray(image.convert("L"), np.float32)


def centred(values: F32, name: str = "picture") -> F32:
    """A digit as MNIST has it: light on black in 0..1, in a box of 20, centred by its mass in 28x28.

    `values` [H, W] in 0..255, dark on light or light on dark. Errors: RecipeError for a blank picture.

    Example:
        >>> page = np.full((90, 60), 250, np.float32)
        >>> page[10:80, 25:33] = 20
        >>> one = lt.recipes.reading.centred(page)
        >>> one.shape, round(float(one.max()), 1), float(one[0, 0])
        ((28, 28), 1.0, 0.0)
    """
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    # Paper is what the edge is made of; ink is whatever differs from it, on the side on which more differs.
    paper = float(np.median(edge))
    dark, light = paper - values, values - paper
    ink = dark if float(np.square(dark.clip(0)).sum()) >= float(np.square(light.clip(0)).sum()) else light
    top = float(np.percentile(ink, 99.9)) if ink.size > 5000 else float(ink.max())
    if top < _FAINT:
        raise RecipeError(f"{name}: the picture is blank: nothing stands out from its background")
    ink = _without_specks(((ink / top - 0.15) / 0.7).clip(0, 1).astype(np.float32))
    rows, columns = np.flatnonzero((ink > 0.3).any(axis=1)), np.flatnonzero((ink > 0.3).any(axis=0))
    digit = _sized(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    return _placed(digit)


def _without_specks(ink: F32) -> F32:
    """The ink of a large picture without single dots, unless that takes its lines too."""
    from PIL import Image, ImageFilter

    if min(ink.shape) < 4 * BOX:
        return ink
    clean = Image.fromarray((255 * ink).astype(np.uint8)).filter(ImageFilter.MedianFilter(3))
    cleaned = np.asarray(clean, np.float32) / np.float32(255)
    return cleaned if float(cleaned.sum()) > 0.5 * float(ink.sum()) and float(cleaned.max()) > 0.3 else ink


def _sized(ink: F32) -> F32:
    """The cropped ink with its longer side BOX pixels and lines that are not too thin."""
    from PIL import Image, ImageFilter

    height, width = ink.shape
    scale = BOX / max(height, width)
    fine = Image.fromarray((255 * ink).astype(np.uint8))
    # Thin lines would fade away when a big picture shrinks: thicken them while they are still there.
    while _line_width(np.asarray(fine, np.uint8)) * scale < _THIN and max(fine.size) < 8 * max(height, width):
        if scale * _FINE < 1:
            ratio = max(scale * _FINE * 4, 0.5)
            grown = fine.filter(ImageFilter.MaxFilter(3))
            if ratio < 1 and min(grown.size) * ratio >= 8:
                grown = grown.resize(
                    (max(1, round(grown.width * ratio)), max(1, round(grown.height * ratio))),
                    Image.Resampling.BOX,
                )
                scale /= ratio
            fine = grown
        else:
            fine = fine.resize((fine.width * 2, fine.height * 2), Image.Resampling.BILINEAR).filter(
                ImageFilter.MaxFilter(3)
            )
            scale /= 2
    size = max(1, round(fine.width * scale)), max(1, round(fine.height * scale))
    small = np.asarray(
        fine.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC), np.float32
    )
    return small / max(1.0, float(small.max()))


def _line_width(ink: NDArray[np.uint8]) -> float:
    """About how thick the lines are, in pixels: their area over half the length of their edges."""
    solid = np.pad(ink > 127, 1)
    edges = int((solid[1:] != solid[:-1]).sum()) + int((solid[:, 1:] != solid[:, :-1]).sum())
    return 2 * int(solid.sum()) / max(1, edges)


def _placed(digit: F32) -> F32:
    """The digit on 28x28 with its centre of mass in the middle, as far as it fits."""
    height, width = digit.shape
    y, x = np.indices(digit.shape)
    middle = np.average(y, weights=digit), np.average(x, weights=digit)
    top, left = (
        min(max(round((SIDE - 1) / 2 - float(centre)), 0), SIDE - length)
        for centre, length in zip(middle, (height, width), strict=True)
    )
    page = np.zeros((SIDE, SIDE), np.float32)
    page[top : top + height, left : left + width] = digit
    return page
