"""Loss and accuracy while training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .canvas import BLUE, ORANGE, figure, plain, png


def curves(history: Sequence[Mapping[str, float]], trace: Sequence[Sequence[float]], title: str) -> bytes:
    """Two panels over the epochs: batches of training as lines, the test after each epoch as points.

    `history`: rows with epoch, test_loss, test_accuracy. `trace`: [epochs done, loss, accuracy]. Returns PNG.

    Example:
        >>> rows = [{"epoch": 1, "test_loss": 0.2, "test_accuracy": 0.9}]
        >>> lt.plot.curves(rows, [[0.5, 1.0, 0.5], [1.0, 0.3, 0.9]], "a run")[1:4]
        b'PNG'
    """
    drawn = figure(10, 4)
    drawn.suptitle(title)
    left, right = drawn.subplots(1, 2)
    done = [point[0] for point in trace]
    epochs = [row["epoch"] for row in history]
    for ax, column, factor, key, label in (
        (left, 1, 1.0, "test_loss", "loss"),
        (right, 2, 100.0, "test_accuracy", "accuracy in %"),
    ):
        ax.plot(
            done, [factor * point[column] for point in trace], color=BLUE, lw=1.2, label="training batches"
        )
        after = [factor * row[key] for row in history]
        ax.plot(
            epochs,
            after,
            color=ORANGE,
            marker="o",
            ms=5,
            lw=1.2,
            clip_on=False,
            zorder=3,
            label="test, after each epoch",
        )
        ax.set(xlabel="epoch", ylabel=label, xlim=(0, max([*epochs, 1])))
        ax.xaxis.get_major_locator().set_params(integer=True)
        plain(ax)
    positive = all(value > 0 for value in [*(p[1] for p in trace), *(r["test_loss"] for r in history)])
    if positive:
        left.set_yscale("log")
    best = max(history, key=lambda row: row["test_accuracy"])
    right.annotate(
        f"{100 * history[-1]['test_accuracy']:.2f} %",
        (epochs[-1], 100 * history[-1]["test_accuracy"]), xytext=(-4, -14), textcoords="offset points",
        ha="right", va="top", color=ORANGE, weight="bold",
    )  # fmt: skip
    lowest = min(100 * row["test_accuracy"] for row in history)
    # The first batches, near chance, would squeeze all the rest to a line.
    right.set_ylim(max(0, min(lowest, 90) - 10), min(100.5, 100 * best["test_accuracy"] + 10))
    right.legend(loc="lower right", frameon=False)
    return png(drawn)
