"""Strokes: handwritten-looking digits drawn from pen strokes, with no file and no network."""

import operator
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ._base import ImageDataset, Transform, check_index
from ._ink import draw, place
from ._pen import BLOCK, POINTS, write_block
from ._random import Draws

F32 = NDArray[np.float32]
TRAIN, TEST = 0, 1  # random streams; part of what a seed means
_ROUGH = 16  # added to a stream's number for the roughness of its ink
_ROUGHEST = 0.6  # pixels of a 28x28 picture by which the edge of the ink may be off


def checked_count(value: SupportsIndex, name: str, least: int) -> int:
    """Return `value` as an int of at least `least`; otherwise TypeError or ValueError naming it.

    >>> checked_count(3, "Strokes: n", 0)
    3
    """
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if count < least:
        raise ValueError(f"{name} must be {least} or more, got {count}")
    return count


class PenSequences:
    """The pen's movements: item i is float32 [40, 3] of (dx, dy, pen lifted), in pixels of picture i.

    The first row starts from the upper left corner of the picture, so the running sum of dx and dy is
    where the pen is. "Pen lifted" is 1 at the last point of each stroke (the stroke-3 form of Ha and
    Eck (2017), arXiv:1704.03477). Errors: IndexError.

    >>> points = np.array([[[1, 1], [1, 3]]], np.float32)
    >>> PenSequences(points, np.array([[False, True]]))[0].tolist()
    [[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]]
    """

    def __init__(self, points: F32, lifted: NDArray[np.bool_]) -> None:
        self._points = points
        self._lifted = lifted

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: SupportsIndex) -> F32:
        i = check_index(index, len(self), "pen")
        steps = np.diff(self._points[i], axis=0, prepend=np.zeros((1, 2), np.float32))
        return np.concatenate([steps, self._lifted[i, :, None].astype(np.float32)], axis=1)


class Strokes(ImageDataset):
    """Digits drawn from hand-designed pen strokes, in several styles, every one different.

    `n`: how many (20,000 to train on and 4,000 to test on by default). `train`: the two splits come
    from different random streams. `seed`: the same seed gives the same pictures, and picture i does not
    depend on n. `size`: height and width; the digit is placed as MNIST does it, in a box of 20/28 of
    them and centred by its mass. Digits are balanced: each of the ten once in every ten pictures.

    `images`: uint8 [N, size, size]. `labels`: int64 [N]. `pen`: see `PenSequences`. Items: see
    `ImageDataset`. Errors: ValueError for a negative n or seed or a size under 8, TypeError.

    >>> data = Strokes(n=20, seed=1)
    >>> data.images.shape, data.pen[0].shape, bool((data.images[3] == Strokes(n=4, seed=1).images[3]).all())
    ((20, 28, 28), (40, 3), True)
    """

    def __init__(
        self,
        n: int | None = None,
        train: bool = True,
        seed: int = 0,
        size: int = 28,
        transform: Transform = None,
        target_transform: Transform = None,
    ) -> None:
        count = checked_count((20_000 if train else 4_000) if n is None else n, "Strokes: n", 0)
        seed = checked_count(seed, "Strokes: seed", 0)
        size = checked_count(size, "Strokes: size", 8)
        stream = TRAIN if train else TEST
        pixels = np.empty((count, 1, size, size), np.uint8)
        labels = np.empty(count, np.int64)
        points = np.empty((count, POINTS, 2), np.float32)
        lifted = np.empty((count, POINTS), np.bool_)
        for block in range(-(-count // BLOCK)):
            part = slice(block * BLOCK, min(count, (block + 1) * BLOCK))
            here = part.stop - part.start
            paths = write_block(seed, stream, block).part(here)
            points[part], radius = place(paths, size)
            rough = roughness(seed, stream, block, here, size) * np.float32(size / 28)
            ink = draw(points[part], radius, paths.lifted, paths.ink, rough)
            pixels[part, 0] = (ink * np.float32(255) + np.float32(0.5)).astype(np.uint8)
            labels[part], lifted[part] = paths.labels, paths.lifted
        super().__init__(pixels, labels, tuple("0123456789"), transform, target_transform)
        self.pen = PenSequences(points, lifted)
        self.train = train
        self.seed = seed


def roughness(seed: int, stream: int, block: int, count: int, size: int) -> F32:
    """Return how rough the edge of each picture's ink is: float32 [count, size, size], in MNIST's pixels.

    >>> roughness(0, 0, 0, 2, 8).shape
    (2, 8, 8)
    """
    draws = Draws(stream + _ROUGH, block, seed)
    # The amplitudes of the whole block first: they must not depend on `count`.
    amount = draws.uniform(BLOCK, 1, 1, high=_ROUGHEST)[:count]
    return draws.grain(count, size, size) * amount
