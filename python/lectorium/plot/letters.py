"""What a character model sees and says: the lecture's figure of "hello", and units drawn over a text."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .canvas import BLUE, GREY, INK, ORANGE, figure, png

_LEVELS = 10  # of each colour


def letter_scores(word: str, letters: str, hidden: NDArray[Any], scores: NDArray[Any]) -> bytes:
    """Karpathy's figure: a column for each letter read, with its one-hot input, hidden units and scores.

    `hidden` [T, H] and `scores` [T, letters] after reading each of the first T letters of `word`. The score
    of the letter that follows is orange, the highest one is bold. Returns PNG.

    Example:
        >>> lt.plot.letter_scores("hello", "helo", np.zeros((4, 3)), np.eye(4))[1:4]
        b'PNG'
    """
    steps = len(scores)
    drawn = figure(2.0 * steps + 1.2, 5.2)
    ax = drawn.subplots()
    ax.set_axis_off()
    ax.set(xlim=(-1.3, 2 * steps - 0.6), ylim=(-1.2, 9))
    rows = (("input", 0.6, None), ("hidden", 3.4, hidden), ("scores", 6.4, scores))
    for name, bottom, _ in rows:
        ax.text(-1.2, bottom + 0.7, name, va="center", color=INK)
    for t in range(steps):
        at = 2 * t
        target = letters.index(word[t + 1])
        for name, bottom, values in rows:
            column = np.array([float(c == word[t]) for c in letters]) if values is None else values[t]
            for i, value in enumerate(column):
                wanted = name == "scores" and i == target
                best = name == "scores" and i == int(np.argmax(column))
                ax.text(
                    at, bottom + 0.45 * (len(column) - 1 - i), f"{value:.0f}" if values is None else
                    f"{value:.2f}", ha="center", va="center", color=ORANGE if wanted else INK, weight="bold"
                    if best else "normal",
                )  # fmt: skip
            box = (at - 0.55, bottom - 0.3), 1.1, 0.45 * (len(column) - 1) + 0.6
            _box(ax, *box, colour=BLUE if name == "hidden" else GREY)
            if name != "scores":
                _arrow(ax, (at, box[0][1] + box[2] + 0.05), (at, 3.05 if values is None else 6.05))
        if t + 1 < steps:
            _arrow(ax, (at + 0.6, 3.85), (at + 1.4, 3.85))
        ax.text(at, -0.5, f"“{word[t]}”", ha="center", color=INK)
        ax.text(at, 8.5, f"“{word[t + 1]}”", ha="center", color=ORANGE)
    return png(drawn)


def _box(ax: Any, corner: tuple[float, float], width: float, height: float, colour: str) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle(corner, width, height, fill=False, ec=colour, lw=1.2))


def _arrow(ax: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": GREY})


def units_page(text: str, units: Sequence[tuple[str, NDArray[Any]]], title: str, note: str = "") -> bytes:
    """A text once for each unit, each character on the colour of the unit's value after reading it.

    `units`: a heading and values in -1..1, one a character: blue above 0, orange below. Returns a page of
    HTML that needs nothing else. Errors: ValueError for a number of values that is not that of the
    characters.

    Example:
        >>> page = lt.plot.units_page("a<b", [("unit 3", np.array([0.0, 0.5, -1.0]))], "a run")
        >>> b"&lt;" in page, page[:15]
        (True, b'<!DOCTYPE html>')
    """
    blocks: list[str] = []
    for heading, values in units:
        if len(values) != len(text):
            raise ValueError(f"units_page: {heading} has {len(values)} values for {len(text)} characters")
        blocks.append(f"<h2>{html.escape(heading)}</h2>\n<pre>{_coloured(text, values)}</pre>")
    shades = [
        f".{side}{level}{{background:rgba({rgb},{0.85 * level / _LEVELS:.2f})}}"
        for side, rgb in (("p", "37,99,168"), ("n", "217,103,31"))
        for level in range(1, _LEVELS + 1)
    ]
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n<style>\n'
        "body{font-family:sans-serif;margin:2em auto;max-width:60em;color:#222;background:#fff}\n"
        "pre{font:13px/1.5 monospace;white-space:pre-wrap;border:1px solid #ddd;padding:1em}\n"
        + "\n".join(shades)
        + f"\n</style></head><body>\n<h1>{html.escape(title)}</h1>\n<p>{html.escape(note)}</p>\n"
        + "\n".join(blocks)
        + "\n</body></html>\n"
    ).encode()


def _coloured(text: str, values: NDArray[Any]) -> str:
    """The text in runs of one colour each."""
    levels = np.rint(np.clip(values, -1, 1) * _LEVELS).astype(int)
    starts = [0, *(np.flatnonzero(np.diff(levels)) + 1).tolist(), len(text)]
    runs: list[str] = []
    for start, end in itertools.pairwise(starts):
        level = int(levels[start])
        # A newline shows its colour as a sign before it.
        part = html.escape(text[start:end]).replace("\n", "↵\n")
        runs.append(f'<span class="{"p" if level > 0 else "n"}{abs(level)}">{part}</span>' if level else part)
    return "".join(runs)
