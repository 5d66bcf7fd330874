"""The hand: from a style of writing and random numbers to the path of the pen."""

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ._random import Draws
from ._skeletons import STYLES

F32 = NDArray[np.float32]
POINTS = 40  # of each path, whatever the digit: equal lengths let whole batches be drawn at once
BLOCK = 500  # samples that share one random stream; part of what a seed means, so never change it
_WAVES = 6  # cosines in the elastic field


@dataclass(frozen=True)
class _Alphabet:
    basis: F32  # [styles, POINTS, controls]: control points to path, a linear map
    control: F32  # [styles, controls, 2], both coordinates -0.5..0.5
    stroke: NDArray[np.int64]  # [styles, controls]: the stroke that a control point is part of
    lifted: NDArray[np.bool_]  # [styles, POINTS]: the pen leaves the paper after this point
    first: NDArray[np.int64]  # [digits + 1]: where the styles of each digit begin
    share: tuple[F32, ...]  # for each digit the running sum of the weights of its styles


@dataclass(frozen=True)
class Paths:
    """Pen paths of a batch: labels [N], style [N], points [N, POINTS, 2], lifted [N, POINTS], and
    the pen's `radius` [N, POINTS] and `ink` [N], with points and radii in units of the glyph's height."""

    labels: NDArray[np.int64]
    styles: NDArray[np.int64]
    points: F32
    lifted: NDArray[np.bool_]
    radius: F32
    ink: F32

    def part(self, count: int) -> "Paths":
        """Return the first `count` of them."""
        return Paths(*(getattr(self, field.name)[:count] for field in fields(self)))


def _stroke_basis(corner: list[bool], count: int, lengths: list[float]) -> F32:
    """Return the [count, controls] matrix of a Catmull-Rom curve whose tangents break at corners."""
    size = len(corner)
    identity = np.eye(size)
    ends = np.concatenate([[0.0], np.cumsum(lengths)])
    basis = np.zeros((count, size))
    for row in range(count):
        where = float(ends[-1]) * row / (count - 1)
        piece = min(int(np.searchsorted(ends, where, side="right")) - 1, size - 2)
        t = (where - ends[piece]) / lengths[piece]
        here, there = identity[piece], identity[piece + 1]
        chord = there - here
        leave = chord if piece == 0 or corner[piece] else (there - identity[piece - 1]) / 2
        last = piece + 2 == size
        arrive = chord if last or corner[piece + 1] else (identity[piece + 2] - here) / 2
        basis[row] = (
            (2 * t**3 - 3 * t**2 + 1) * here
            + (t**3 - 2 * t**2 + t) * leave
            + (3 * t**2 - 2 * t**3) * there
            + (t**3 - t**2) * arrive
        )
    return basis.astype(np.float32)


def _parse(style: str) -> list[tuple[NDArray[np.float64], list[bool]]]:
    strokes: list[tuple[NDArray[np.float64], list[bool]]] = []
    for stroke in style.split("/"):
        words = stroke.split()
        points = np.array([[float(v) for v in word.rstrip("!").split(",")] for word in words])
        strokes.append((points / 100.0 - 0.5, [word.endswith("!") for word in words]))
    return strokes


@cache
def alphabet() -> _Alphabet:
    """Return the styles as arrays, worked out once.

    >>> alphabet().basis.shape[1] == POINTS
    True
    """
    parsed = [_parse(style) for digit in STYLES for _, style in digit]
    widest = max(sum(len(points) for points, _ in strokes) for strokes in parsed)
    total = len(parsed)
    basis = np.zeros((total, POINTS, widest), np.float32)
    control = np.zeros((total, widest, 2), np.float32)
    stroke_of = np.zeros((total, widest), np.int64)
    lifted = np.zeros((total, POINTS), np.bool_)
    for s, strokes in enumerate(parsed):
        lengths = [np.linalg.norm(np.diff(points, axis=0), axis=1).tolist() for points, _ in strokes]
        sums = np.array([sum(length) for length in lengths])
        counts = np.maximum(5, np.floor(POINTS * sums / sums.sum())).astype(int)
        counts[int(np.argmax(counts))] += POINTS - int(counts.sum())
        row = column = 0
        for index, (points, corner) in enumerate(strokes):
            rows, columns = int(counts[index]), len(points)
            block = _stroke_basis(corner, rows, lengths[index])
            basis[s, row : row + rows, column : column + columns] = block
            control[s, column : column + columns] = points
            stroke_of[s, column : column + columns] = index
            row, column = row + rows, column + columns
            lifted[s, row - 1] = True
    first = np.cumsum([0] + [len(digit) for digit in STYLES])
    weights = [np.array([weight for weight, _ in digit]) for digit in STYLES]
    share = tuple((np.cumsum(w) / w.sum()).astype(np.float32) for w in weights)
    return _Alphabet(basis, control, stroke_of, lifted, first, share)


def _choose(draws: Draws, letters: _Alphabet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # One of each digit in every ten samples, so that a small data set is balanced too.
    labels = np.argsort(draws.uniform(BLOCK // 10, 10), axis=1, kind="stable").reshape(-1).astype(np.int64)
    pick = draws.uniform(BLOCK)
    styles = np.empty(BLOCK, np.int64)
    for digit, share in enumerate(letters.share):
        of_digit = labels == digit
        inside = np.searchsorted(share, pick[of_digit], side="right")
        styles[of_digit] = letters.first[digit] + np.minimum(inside, len(share) - 1)
    return labels, styles


def _elastic(draws: Draws, points: F32, strength: float) -> F32:
    """Return how far a smooth random field moves each point; the field is a sum of slow cosines."""
    waves = draws.normal(BLOCK, 2, _WAVES) * np.float32(3.0)
    phase = draws.uniform(BLOCK, 1, _WAVES, high=2 * np.pi)
    size = draws.normal(BLOCK, _WAVES, 2) * np.float32(strength / np.sqrt(_WAVES))
    return np.matmul(np.cos(np.matmul(points, waves) + phase), size)


def write_block(seed: int, stream: int, block: int) -> Paths:
    """Write BLOCK digits: the paths that belong to this seed, stream and block number.

    >>> paths = write_block(0, 0, 0)
    >>> paths.points.shape, sorted(paths.labels[:10].tolist())
    ((500, 40, 2), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    letters = alphabet()
    draws = Draws(stream, block, seed)
    labels, styles = _choose(draws, letters)
    control = letters.control[styles]
    rows = np.arange(BLOCK)[:, None]
    control = control + draws.normal(*control.shape) * np.float32(0.022)
    # Each stroke is also set down, and made, a little bigger or smaller as a whole.
    control = control + (draws.normal(BLOCK, 4, 2) * np.float32(0.025))[rows, letters.stroke[styles]]
    points = np.matmul(letters.basis[styles], control)
    points = points + _elastic(draws, points, 0.09)
    # Top against bottom: how large a part of the height it takes, and how wide it is.
    stretch, taper = draws.normal(2, BLOCK, 1) * np.array([0.22, 0.28], np.float32)[:, None, None]
    high = points[..., 1]
    points = np.stack(
        [points[..., 0] * (1 + taper * high), high + stretch * (high * high - np.float32(0.25))], axis=2
    )

    width = np.clip(np.float32(0.86) * np.exp(draws.normal(BLOCK) * np.float32(0.24)), 0.56, 1.6)
    slant = np.float32(0.12) + draws.normal(BLOCK) * np.float32(0.26)
    turn = draws.normal(BLOCK) * np.float32(0.13)
    x = points[..., 0] * width[:, None] - points[..., 1] * slant[:, None]
    y = points[..., 1]
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    points = np.stack([x * cos - y * sin, x * sin + y * cos], axis=2, dtype=np.float32)

    pen = np.clip(np.float32(0.072) * np.exp(draws.normal(BLOCK) * np.float32(0.32)), 0.03, 0.16)
    along = np.linspace(0.0, 1.0, POINTS, dtype=np.float32)
    press = draws.uniform(BLOCK, 1, low=2.0, high=9.0) * along + draws.uniform(BLOCK, 1, high=2 * np.pi)
    radius = pen[:, None] * (1 + draws.uniform(BLOCK, 1, high=0.25) * np.sin(press))
    ink = draws.uniform(BLOCK, low=0.96, high=1.0)
    return Paths(labels, styles, points, letters.lifted[styles], radius, ink)
