"""Figures without a window or any state kept between them."""

from __future__ import annotations

import io
from typing import Any

INK, BLUE, ORANGE, GREY = "#222222", "#2563a8", "#d9671f", "#8a8a8a"


def figure(width: float, height: float) -> Any:
    """An empty Matplotlib figure, in inches, that only ever becomes a file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(made)
    return made


def png(drawn: Any) -> bytes:
    """The figure as the bytes of a PNG file.

    Example:
        >>> lt.plot.canvas.png(lt.plot.canvas.figure(1, 1))[1:4]
        b'PNG'
    """
    out = io.BytesIO()
    drawn.savefig(out, format="png", metadata={"Software": "Lectorium"})
    return out.getvalue()


def tiles(drawn: Any, rows: int, columns: int) -> list[Any]:
    """Axes for pictures side by side, row by row, with no ticks, and empty until something is shown."""
    axes = [ax for row in drawn.subplots(rows, columns, squeeze=False) for ax in row]
    for ax in axes:
        ax.set_axis_off()
    return axes


def plain(drawn: Any) -> None:
    """Takes away what frames an axes on the right and above."""
    drawn.spines[["right", "top"]].set_visible(False)
    drawn.grid(alpha=0.25)
