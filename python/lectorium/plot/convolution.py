"""What a convolutional net has learned to look for, and what it sees in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canvas import INK, figure, png, tiles
from .classifier import frame, show_image


def filters(weight: NDArray[Any], title: str) -> bytes:
    """The filters of a first layer, [filters, channels, height, width]: red adds, blue takes away.

    Filters of three channels are shown in colour. Returns PNG.

    Example:
        >>> lt.plot.filters(np.zeros((20, 1, 5, 5), np.float32), "a run")[1:4]
        b'PNG'
    """
    n = len(weight)
    columns = min(10, n)
    rows = -(-n // columns)
    drawn = figure(max(5, columns), 0.9 + rows * 1.15)
    colour = weight.shape[1] == 3
    note = "each from its least to its greatest weight" if colour else "red adds to the sum, blue takes away"
    drawn.suptitle(f"{title}: the {n} filters of the first layer\n{note}", fontsize=11)
    limit = float(np.abs(weight).max()) or 1.0
    for i, ax in enumerate(tiles(drawn, rows, columns)):
        if i < n:
            if colour:
                low, high = float(weight[i].min()), float(weight[i].max())
                ax.imshow(((weight[i] - low) / ((high - low) or 1.0)).transpose(1, 2, 0))
            else:
                ax.imshow(weight[i].mean(axis=0), cmap="RdBu_r", vmin=-limit, vmax=limit)
            ax.set_title(str(i), fontsize=8, color=INK, pad=2)
    return png(drawn)


def feature_maps(image: NDArray[Any], layers: Sequence[NDArray[Any]], title: str) -> bytes:
    """A picture [C, H, W] and below it the maps [channels, H, W] of each layer; dark is a strong answer.

    Example:
        >>> maps = [np.zeros((20, 28, 28)), np.zeros((50, 14, 14))]
        >>> lt.plot.feature_maps(np.zeros((1, 28, 28), np.uint8), maps, "a run")[1:4]
        b'PNG'
    """
    columns = 10
    rows = [-(-len(maps) // columns) for maps in layers]
    drawn = figure(10, 2.2 + sum(0.35 + count * 1.0 for count in rows))
    drawn.suptitle(title)
    parts = drawn.subfigures(1 + len(layers), 1, height_ratios=[1.6, *(0.35 + count for count in rows)])
    parts[0].suptitle(f"the picture, {'x'.join(str(side) for side in image.shape)}", fontsize=10)
    (ax,) = tiles(parts[0], 1, 1)
    show_image(ax, image)
    for number, (part, maps, count) in enumerate(zip(parts[1:], layers, rows, strict=True), 1):
        channels, height, width = maps.shape
        part.suptitle(f"convolution {number} and ReLU: {channels} maps of {height}x{width}", fontsize=10)
        top = float(maps.max()) or 1.0
        for i, ax in enumerate(tiles(part, count, columns)):
            if i < channels:
                ax.imshow(maps[i], cmap="gray_r", vmin=0, vmax=top)
                frame(ax, height, width)
    return png(drawn)
