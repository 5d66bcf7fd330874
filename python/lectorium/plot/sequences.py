"""What is aligned: labels with the sound they were said in, words with the words they translate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canvas import GREY, figure, plain, png, tiles


def alignment(frames: NDArray[Any], chances: NDArray[Any], said: str, title: str) -> bytes:
    """The features of a sound [frames, bands], and below them the probability of each label over time.

    `chances`: [T, classes + 1], the last class is the blank; the frames fill the T instants. Returns PNG.

    Example:
        >>> lt.plot.alignment(np.zeros((20, 80)), np.full((20, 11), 1 / 11), "42", "digits")[1:4]
        b'PNG'
    """
    drawn = figure(9, 5)
    drawn.suptitle(f"{title}: “{said}”")
    above, below = drawn.subplots(2, 1, sharex=True)
    instants, bands = len(chances), frames.shape[1]
    above.imshow(
        frames.T, aspect="auto", origin="lower", cmap="magma", extent=(-0.5, instants - 0.5, 0, bands)
    )
    above.set(ylabel="log-mel features", yticks=[])
    for label in range(chances.shape[1] - 1):
        curve = chances[:, label]
        (line,) = below.plot(curve, lw=1.4)
        beside = np.pad(curve, 1)
        for at in np.flatnonzero((curve > 0.3) & (curve > beside[:-2]) & (curve >= beside[2:])):
            below.annotate(str(label), (at, curve[at]), ha="center", va="bottom", color=line.get_color())
    below.plot(chances[:, -1], color=GREY, lw=0.8, ls=":", label="blank")
    below.set(xlabel="instant", ylabel="probability", ylim=(0, 1.12))
    below.legend(loc="upper right", frameon=False)
    plain(below)
    return png(drawn)


def attention(
    maps: Sequence[tuple[NDArray[Any], Sequence[str], Sequence[str]]], title: str, columns: int = 3
) -> bytes:
    """For each translation the weights [words, source words] as a picture, with both sentences at its sides.

    `maps`: weights, the source's words, the translation's words. Returns PNG.

    Example:
        >>> lt.plot.attention([(np.eye(2), ["va", "!"], ["Go", "!"])], "French to English")[1:4]
        b'PNG'
    """
    rows = -(-len(maps) // columns)
    drawn = figure(3.6 * columns, 0.6 + 3.2 * rows)
    drawn.suptitle(title)
    for ax, (weights, source, words) in zip(tiles(drawn, rows, columns), maps, strict=False):
        ax.set_axis_on()
        ax.imshow(np.asarray(weights), cmap="Blues", vmin=0, vmax=1)
        ax.set_xticks(range(len(source)), source, rotation=45, ha="left", rotation_mode="anchor")
        ax.set_yticks(range(len(words)), words)
        ax.tick_params(top=True, bottom=False, labeltop=True, labelbottom=False, length=0)
    return png(drawn)
