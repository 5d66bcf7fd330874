"""The paper: pen paths to pictures, by the distance of every pixel to the nearest piece of the path."""

import numpy as np
from numpy.typing import NDArray

from ._pen import Paths

F32 = NDArray[np.float32]
_BATCH = 50  # pictures drawn at once: their distance fields stay in a core's cache
_EDGE = 1.1  # pixels over which ink fades to paper


def place(paths: Paths, size: int) -> tuple[F32, F32]:
    """Return points and radii in pixels of a `size` x `size` picture, placed as MNIST places digits.

    The glyph with its pen width fits a box of 20/28 of the picture, aspect kept, and the centre of
    mass of the pen's line lies at the centre. Points: float32 [N, T, 2]; radii: float32 [N, T].

    >>> from ._pen import write_block
    >>> points, radius = place(write_block(0, 0, 0), 28)
    >>> bool(points.min() > 0), bool(points.max() < 28)
    (True, True)
    """
    low, high = paths.points.min(axis=1), paths.points.max(axis=1)
    extent = (high - low).max(axis=1)
    pen = paths.radius.mean(axis=1)
    scale = np.float32(size * 20 / 28) / (extent + 2 * pen)
    points = (paths.points - (low + high)[:, None] / 2) * scale[:, None, None]
    radius = paths.radius * scale[:, None]
    step = np.linalg.norm(np.diff(points, axis=1), axis=2) * ~paths.lifted[:, :-1]
    middle = (points[:, 1:] + points[:, :-1]) / 2
    mass = (middle * step[..., None]).sum(axis=1) / np.maximum(step.sum(axis=1), 1e-6)[:, None]
    # A pixel's centre is half a pixel from its corner: MNIST centres on pixel 14 of 0..27.
    return points - mass[:, None] + np.float32(size / 2), radius


def draw(points: F32, radius: F32, lifted: NDArray[np.bool_], ink: F32, rough: F32) -> F32:
    """Draw paths: float32 [N, H, W] in 0..1 from points [N, T, 2] (x, y) and radii [N, T] in pixels.

    `rough` [N, H, W] moves the edge of the ink by so many pixels; its shape is the shape of the pictures.

    >>> line = np.array([[[2.0, 4.0], [6.0, 4.0]]], np.float32)
    >>> up = np.array([[False, True]])
    >>> radius, ink, rough = (np.ones(shape, np.float32) for shape in ((1, 2), 1, (1, 8, 8)))
    >>> draw(line, radius, up, ink, 0 * rough)[0, :, 4].round(1).tolist()
    [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    pictures = np.empty(rough.shape, np.float32)
    for start in range(0, len(points), _BATCH):
        part = slice(start, start + _BATCH)
        pictures[part] = _draw_batch(points[part], radius[part], lifted[part], ink[part], rough[part])
    return pictures


def _draw_batch(points: F32, radius: F32, lifted: NDArray[np.bool_], ink: F32, rough: F32) -> F32:
    # Pictures lie in the last axis: every operation below is one long contiguous loop.
    x, y = (np.ascontiguousarray(points[..., axis].T) for axis in (0, 1))  # [T, N]
    thick = np.ascontiguousarray(radius.T)
    down = ~lifted.T
    count, height, width = rough.shape
    column = (np.arange(width, dtype=np.float32) + np.float32(0.5))[:, None]
    row = (np.arange(height, dtype=np.float32) + np.float32(0.5))[:, None]
    nearest = np.full((height, width, count), 1e6, np.float32)
    along, across = np.empty_like(nearest), np.empty_like(nearest)
    for t in range(x.shape[0] - 1):
        # In units of the pen's radius: `along` the piece from its middle, `across` at right angles to it.
        dx, dy = (x[t + 1] - x[t]) * down[t], (y[t + 1] - y[t]) * down[t]
        length = np.sqrt(dx * dx + dy * dy)
        unit = 1 / (np.maximum(length, np.float32(1e-6)) * (thick[t] + thick[t + 1]) / 2)
        ux, uy = dx * unit, dy * unit
        ux[length < 1e-6] = 2 / (thick[t] + thick[t + 1])[length < 1e-6]
        half = length / (thick[t] + thick[t + 1])
        qx, qy = column - (x[t] + dx / 2), row - (y[t] + dy / 2)
        np.add((qx * ux)[None], (qy * uy)[:, None], out=along)
        np.subtract((qx * uy)[None], (qy * ux)[:, None], out=across)
        np.abs(along, out=along)
        np.subtract(along, half, out=along)
        np.maximum(along, np.float32(0), out=along)
        np.multiply(along, along, out=along)
        np.multiply(across, across, out=across)
        np.add(along, across, out=along)
        np.minimum(nearest, along, out=nearest)
    depth = np.moveaxis((1 - np.sqrt(nearest)) * thick.mean(axis=0), 2, 0) + rough
    return np.clip(depth * np.float32(1 / _EDGE) + np.float32(0.5), 0, 1) * ink[:, None, None]
