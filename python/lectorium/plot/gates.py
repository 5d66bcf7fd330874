"""Where in the plane of two inputs units fire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from .canvas import BLUE, INK, ORANGE, figure, plain, png


def gates(
    side: NDArray[Any],
    fires: NDArray[Any],
    points: NDArray[Any],
    targets: NDArray[Any],
    names: Sequence[str],
    title: str,
) -> bytes:
    """A panel for each unit: its answer `fires` [n, n, units] on the grid of `side` [n], and its truth table.

    `points` [N, 2] with `targets` [N, units]; a cross marks those that the unit gets wrong. Returns PNG.

    Example:
        >>> side = np.linspace(0, 1, 5)
        >>> never = np.zeros((5, 5, 1))
        >>> lt.plot.gates(side, never, np.zeros((1, 2)), np.zeros((1, 1)), ("OR",), "a run")[1:4]
        b'PNG'
    """
    from matplotlib.colors import ListedColormap

    drawn = figure(max(4.2, 3.4 * len(names)), 4.0)
    drawn.suptitle(f"{title}: where each unit fires")
    panels = drawn.subplots(1, len(names), squeeze=False)[0]
    for unit, (ax, name) in enumerate(zip(panels, names, strict=True)):
        shades = ListedColormap(["#dbe7f4", "#f9e0cf"])
        ax.pcolormesh(side, side, fires[:, :, unit], cmap=shades, vmin=0, vmax=1, shading="nearest")
        wrong = 0
        for (a, b), target in zip(points, targets[:, unit], strict=True):
            column, row = abs(side - a).argmin(), abs(side - b).argmin()
            missed = bool(fires[row, column, unit] != target)
            wrong += missed
            ax.plot(a, b, "o", ms=17, color=ORANGE if target else BLUE, mec="white", mew=1.5)
            ax.text(a, b, f"{target:.0f}", color="white", ha="center", va="center_baseline", weight="bold")
            if missed:
                ax.plot(a, b + 0.2, "x", ms=9, mew=2.2, color=INK)
        ax.set(title=f"{name}: {'learned' if not wrong else f'{len(points) - wrong} of {len(points)} right'}")
        ax.set(xlabel="a", ylabel="b", xticks=(0, 1), yticks=(0, 1), aspect="equal")
    return png(drawn)


def gate_curves(history: Sequence[Mapping[str, float]], names: Sequence[str], title: str) -> bytes:
    """How many of its four rows each unit gets right after each epoch, a panel for each. Returns PNG.

    Example:
        >>> lt.plot.gate_curves([{"epoch": 1, "OR": 0.75}, {"epoch": 2, "OR": 1.0}], ("OR",), "a run")[1:4]
        b'PNG'
    """
    drawn = figure(9, 1 + 1.4 * len(names))
    drawn.suptitle(title)
    panels = drawn.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    epochs = [row["epoch"] for row in history]
    for ax, name in zip(panels, names, strict=True):
        right = [4 * row[name] for row in history]
        ax.axhline(4, color=ORANGE, lw=0.8)
        ax.step(epochs, right, where="mid", color=BLUE)
        ax.plot(epochs, right, "o", color=BLUE, ms=3.5)
        ax.set(ylabel=name, ylim=(-0.4, 4.6), yticks=range(5))
        plain(ax)
    panels[0].set_title("rows of the truth table that are right", fontsize=10)
    panels[-1].set_xlabel("epoch")
    return png(drawn)
