"""What a classifier confuses, and where it was most surely wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canvas import INK, figure, png, tiles


def confusion(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> bytes:
    """The confusion matrix: a row for each true class, shaded by its share of the row. Returns PNG.

    Example:
        >>> lt.plot.confusion(np.eye(3, dtype=int), ("a", "b", "c"), "a run")[1:4]
        b'PNG'
    """
    n = len(classes)
    long = max(len(name) for name in classes) > 3
    drawn = figure(7 + 0.8 * long, 6.6 + 0.6 * long)
    ax = drawn.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    # The square root lets single mistakes show beside thousands of right answers.
    ax.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for row in range(n):
        for column in range(n):
            if counts[row, column]:
                color = "white" if shares[row, column] > 0.3 else INK
                weight = "bold" if row == column else "normal"
                ax.text(
                    column,
                    row,
                    f"{counts[row, column]}",
                    ha="center",
                    va="center",
                    color=color,
                    weight=weight,
                )
    right, total = int(np.trace(counts)), int(counts.sum())
    ax.set(
        xlabel="read as", ylabel="true class", xticks=range(n), yticks=range(n),
        title=f"{title}: {right:,} of {total:,} right ({100 * right / max(1, total):.2f} %)",
    )  # fmt: skip
    ax.set_xticklabels(classes, rotation=45 if long else 0, ha="right" if long else "center")
    ax.set_yticklabels(classes)
    ax.tick_params(length=0)
    ax.set_xticks(np.arange(n - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(n - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", lw=1)
    ax.tick_params(which="minor", length=0)
    return png(drawn)


def mistakes(
    images: NDArray[Any],
    truth: NDArray[Any],
    answers: NDArray[Any],
    chances: NDArray[Any],
    classes: Sequence[str],
    title: str,
) -> bytes:
    """Pictures read wrong, uint8 [N, C, H, W], each with its class and the answer with its probability.

    Example:
        >>> one = np.zeros((1, 1, 28, 28), np.uint8)
        >>> lt.plot.mistakes(one, np.array([0]), np.array([1]), np.array([0.9]), ("a", "b"), "a run")[1:4]
        b'PNG'
    """
    if not len(images):
        drawn = figure(6, 2)
        drawn.text(0.5, 0.5, f"{title}: no mistakes on the test set", ha="center", va="center")
        return png(drawn)
    columns = min(8, len(images))
    rows = -(-len(images) // columns)
    long = max(len(name) for name in classes) > 3
    drawn = figure(max(5, columns * (1.5 if long else 1.25)), 0.8 + rows * (1.75 if long else 1.55))
    drawn.suptitle(f"{title}: the mistakes of which it was surest")
    for i, ax in enumerate(tiles(drawn, rows, columns)):
        if i < len(images):
            show_image(ax, images[i])
            was, said = classes[int(truth[i])], classes[int(answers[i])]
            sure = f"{100 * chances[i]:.0f} %"
            text = f"{was}, read as\n{said} ({sure})" if long else f"{was} read as {said}\n{sure} sure"
            ax.set_title(text, fontsize=8.5, color=INK, pad=3)
    return png(drawn)


def frame(ax: Any, height: int, width: int) -> None:
    """A thin frame around a picture, whose paper is as white as the page."""
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor="#bbbbbb", lw=0.8))


def show_image(ax: Any, image: NDArray[Any]) -> None:
    """One picture [C, H, W] of one channel (dark ink on white) or three."""
    if image.shape[0] == 1:
        ax.imshow(image[0], cmap="gray_r", vmin=0, vmax=255)
        frame(ax, *image.shape[1:])
    else:
        ax.imshow(image.transpose(1, 2, 0))
