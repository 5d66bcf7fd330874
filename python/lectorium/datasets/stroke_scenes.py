"""StrokeScenes: pictures of several drawn digits, for detectors and segmenters."""

from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ._base import I64, U8, Transform, as_tensor, check_index
from ._ink import draw
from ._pen import BLOCK, Paths, write_block
from ._random import Draws
from .strokes import checked_count, roughness

F32 = NDArray[np.float32]
_GLYPHS = 2  # random streams: glyphs of train and test scenes, then their places
_PLACES = 4
_TRIES = 40
_SMALLEST, _LARGEST = 0.26, 0.46  # a digit's longer side, as a part of the scene's
_INK = 0.35  # a pixel with this much ink belongs to the digit


class Masks:
    """The instance masks: item i is bool [k, H, W], one for each of the k digits of scene i.

    >>> Masks(np.array([[[0, 1], [2, 2]]], np.uint8), [2])[0].astype(int).tolist()
    [[[0, 1], [0, 0]], [[0, 0], [1, 1]]]
    """

    def __init__(self, instances: U8, counts: list[int]) -> None:
        self._instances = instances  # 0 is paper, j + 1 the scene's digit j
        self._counts = counts

    def __len__(self) -> int:
        return len(self._counts)

    def __getitem__(self, index: SupportsIndex) -> NDArray[np.bool_]:
        i = check_index(index, len(self), "masks")
        return self._instances[i] == np.arange(1, self._counts[i] + 1, dtype=np.uint8)[:, None, None]


@dataclass(frozen=True)
class _Glyphs:
    ink: F32  # [K, patch, patch]
    boxes: I64  # [K, 4]: x0, y0, x1, y1 of the ink in its patch
    labels: I64


class StrokeScenes:
    """Scenes of several digits, with boxes, labels, instance masks and a semantic mask.

    `n`: how many. `digits`: the least and the greatest number of digits in a scene. `size`: height and
    width. Digits do not overlap where there is room. Scene i depends on seed, size, digits and train
    alone.

    `images`: uint8 [N, size, size]. `boxes`: a list of float32 [k, 4] (x0, y0, x1, y1 in pixels, the
    right and lower ends outside). `labels`: a list of int64 [k]. `masks[i]`: bool [k, size, size].
    `semantic`: uint8 [N, size, size], 0 for paper and digit + 1 for ink. An item is ``(image, target)``
    with the target a dict of boxes, labels, masks and semantic; Tensors without `transform`, else the
    uint8 picture goes through it and the target stays NumPy's. `target_transform` gets the dict.
    Errors: ValueError for n or seed below 0, size below 32, digits out of order or over 200; TypeError.

    >>> scenes = StrokeScenes(n=3, digits=(2, 3))
    >>> scenes.images.shape, scenes.boxes[0].shape[1], scenes.masks[0].shape[1:]
    ((3, 64, 64), 4, (64, 64))
    """

    classes = tuple("0123456789")

    def __init__(
        self,
        n: int = 1000,
        seed: int = 0,
        size: int = 64,
        digits: tuple[int, int] = (1, 4),
        train: bool = True,
        transform: Transform = None,
        target_transform: Transform = None,
    ) -> None:
        count = checked_count(n, "StrokeScenes: n", 0)
        seed = checked_count(seed, "StrokeScenes: seed", 0)
        size = checked_count(size, "StrokeScenes: size", 32)
        least, most = digits
        if not 1 <= least <= most <= 200:
            raise ValueError(
                f"StrokeScenes: digits must be (least, most) with 1 <= least <= most <= 200, got {digits}"
            )
        self.images: U8 = np.zeros((count, size, size), np.uint8)
        self.semantic: U8 = np.zeros((count, size, size), np.uint8)
        self.boxes: list[F32] = []
        self.labels: list[I64] = []
        instances = np.zeros((count, size, size), np.uint8)
        split = 0 if train else 1
        together = max(1, BLOCK // most)  # scenes whose digits come from one block
        for start in range(0, count, together):
            block = start // together
            scenes = range(start, min(count, start + together))
            glyphs = _draw_glyphs(seed, _GLYPHS + split, block, len(scenes) * most, size)
            for i in scenes:
                draws = Draws(_PLACES + split, i, seed)
                mine = range((i - start) * most, (i - start + 1) * most)
                self._compose(i, [*mine], glyphs, draws, least, instances[i])
        self.masks = Masks(instances, [len(labels) for labels in self.labels])
        self.transform = transform
        self.target_transform = target_transform
        self.train = train

    def _compose(
        self, i: int, mine: list[int], glyphs: _Glyphs, draws: Draws, least: int, instances: U8
    ) -> None:
        """Place some of the glyphs `mine` in scene i."""
        size = self.images.shape[1]
        wanted = least + int(draws.uniform(1)[0] * (len(mine) - least + 1))
        canvas = np.zeros((size, size), np.float32)
        taken: list[tuple[int, int, int, int]] = []
        placed: list[int] = []
        for glyph in mine[:wanted]:
            x0, y0, x1, y1 = (int(v) for v in glyphs.boxes[glyph])
            width, height = x1 - x0, y1 - y0
            spots = draws.uniform(_TRIES, 2) * np.array([size - width + 1, size - height + 1], np.float32)
            spot, overlap = _best(spots.astype(np.int64), width, height, taken)
            if overlap > 0 and len(placed) >= least:
                continue  # no room, and enough digits without it
            x, y = spot
            patch = glyphs.ink[glyph, y0:y1, x0:x1]
            window = (slice(y, y + height), slice(x, x + width))
            over = (patch > _INK) & (patch > canvas[window])
            placed.append(glyph)
            instances[window][over] = len(placed)
            self.semantic[i][window][over] = glyphs.labels[glyph] + 1
            np.maximum(canvas[window], patch, out=canvas[window])
            taken.append((x, y, x + width, y + height))
        self.images[i] = (canvas * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        self.boxes.append(np.array(taken, np.float32))
        self.labels.append(glyphs.labels[placed])

    def arrays(self) -> tuple[U8, I64]:
        """Return all pictures, uint8 [N, 1, H, W], and all semantic masks, int64 [N, H, W].

        Example:
            >>> pictures, masks = StrokeScenes(n=2).arrays()
            >>> pictures.shape, masks.shape, bool((masks > 0).any())
            ((2, 1, 64, 64), (2, 64, 64), True)
        """
        return self.images[:, None], self.semantic.astype(np.int64)

    def target(self, index: SupportsIndex) -> dict[str, NDArray[Any]]:
        """Return boxes, labels, masks and semantic mask (int64) of one scene, as NumPy arrays.

        Example:
            >>> target = StrokeScenes(n=1, digits=(2, 2)).target(0)
            >>> sorted(target), target["boxes"].shape
            (['boxes', 'labels', 'masks', 'semantic'], (2, 4))
        """
        i = check_index(index, len(self), "StrokeScenes")
        semantic = self.semantic[i].astype(np.int64)
        return {
            "boxes": self.boxes[i],
            "labels": self.labels[i],
            "masks": self.masks[i],
            "semantic": semantic,
        }

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: SupportsIndex) -> tuple[Any, Any]:
        target: dict[str, Any] = self.target(index)
        picture = self.images[index]
        if self.transform is None:
            image = as_tensor(picture[None].astype(np.float32) / np.float32(255))
            target = {name: as_tensor(array) for name, array in target.items()}
        else:
            image = self.transform(picture)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __repr__(self) -> str:
        size = self.images.shape[1]
        return f"StrokeScenes({len(self)} scenes of {size}x{size}, {sum(map(len, self.labels))} digits)"


def _best(
    spots: I64, width: int, height: int, taken: list[tuple[int, int, int, int]]
) -> tuple[tuple[int, int], int]:
    """Return the first spot that touches nothing, or else the one with the least overlap, and that."""
    overlap = np.zeros(len(spots), np.int64)
    x, y = spots[:, 0], spots[:, 1]
    for x0, y0, x1, y1 in taken:
        wide = np.minimum(x + width, x1) - np.maximum(x, x0)
        high = np.minimum(y + height, y1) - np.maximum(y, y0)
        overlap += np.maximum(wide, 0) * np.maximum(high, 0)
    best = int(np.argmin(overlap))
    return (int(x[best]), int(y[best])), int(overlap[best])


def _draw_glyphs(seed: int, stream: int, block: int, count: int, size: int) -> _Glyphs:
    """Draw the block's first `count` digits, each in a patch of its own and in its own size."""
    paths: Paths = write_block(seed, stream, block).part(count)
    count = len(paths.labels)
    # Sizes are drawn for the whole block: a scene must not depend on how many there are.
    parts = Draws(stream + 32, block, seed).uniform(BLOCK, low=_SMALLEST, high=_LARGEST)
    sides = parts[:count] * np.float32(size)
    low, high = paths.points.min(axis=1), paths.points.max(axis=1)
    pen = paths.radius.mean(axis=1)
    scale = sides / ((high - low).max(axis=1) + 2 * pen)
    margin = 2 + size // 20  # more than the pen's largest radius and the fading edge
    radius = np.clip(paths.radius * scale[:, None], 0.6, margin - 2)
    points = (paths.points - low[:, None]) * scale[:, None, None] + np.float32(margin)
    patch = int(size * _LARGEST) + 2 * margin
    rough = roughness(seed, stream, block, count, patch) * np.float32(0.7)
    ink = draw(points, radius, paths.lifted, paths.ink, rough)
    boxes = np.empty((count, 4), np.int64)
    for k in range(count):
        columns, rows = (np.flatnonzero((ink[k] > _INK).any(axis=axis)) for axis in (0, 1))
        boxes[k] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return _Glyphs(ink, boxes, paths.labels)
