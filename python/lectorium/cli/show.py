"""What the commands print: progress, tables, bars."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn
from rich.status import Status
from rich.table import Table
from rich.text import Text

from ..recipes import SUMMARIES
from ..recipes.layers import Layer
from ..recipes.options import Option, flag
from ..recipes.training import Batch

PLAIN_EVERY = 5.0  # seconds between lines where nothing can move
MOST_EPOCHS = 20  # lines of epochs; of more, every so manieth


def clock(seconds: float) -> str:
    """Seconds as 0:07, 2:05 or 1:02:05.

    Example:
        >>> lt.cli.show.clock(125)
        '2:05'
    """
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class _Field(ProgressColumn):
    """A value that the view keeps in the task."""

    def __init__(self, name: str, style: str = "") -> None:
        super().__init__()
        self._name, self._style = name, style

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get(self._name, "")), style=self._style)


class TrainingView:
    """A live bar on a terminal, and lines of text everywhere else."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.epochs: int = 1
        self._unit = "images"
        self._progress: Progress | None = None
        self._status: Status | None = None
        self._task: Any = None
        self._said = time.monotonic()
        self._last: Batch | None = None

    def __enter__(self) -> TrainingView:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._idle()
        self.console.print(text, markup=False)

    def busy(self, text: str) -> None:
        """A spinner on a terminal, until there is something else to show."""
        self._idle()
        if self.console.is_terminal:
            self._status = self.console.status(f"{text} …")
            self._status.start()

    def _idle(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def begin(self, epochs: int, unit: str) -> None:
        """Says how many epochs there will be, and what is counted."""
        self.epochs, self._unit = epochs, unit

    def batch(self, done: Batch) -> None:
        """Moves the bar."""
        self._last = done
        if self.console.is_terminal:
            self._move(done)
        elif time.monotonic() - self._said >= PLAIN_EVERY:
            self.say(
                f"epoch {done.epoch + 1}/{self.epochs}  batch {done.step}/{done.steps}  "
                f"loss {done.loss:.4f}  accuracy {100 * done.accuracy:.2f} %  "
                f"{self._rate(done)}  {self._left(done)} left"
            )
            self._said = time.monotonic()

    def epoch(self, row: dict[str, float]) -> None:
        """A line for each epoch."""
        epochs = self.epochs
        number = int(row["epoch"])
        rate = f"  {self._rate(self._last)}" if self._last is not None else ""
        if epochs <= MOST_EPOCHS or number % -(-epochs // MOST_EPOCHS) == 0 or number in (1, epochs):
            self.say(
                f"epoch {number:{len(str(epochs))}}/{epochs}  loss {row['train_loss']:.4f}  "
                f"accuracy {100 * row['train_accuracy']:6.2f} %  |  test loss {row['test_loss']:.4f}  "
                f"accuracy {100 * row['test_accuracy']:6.2f} %{rate}"
            )
        self._said = time.monotonic()
        if number == epochs:
            self._stop()

    def confusion(self, counts: NDArray[np.int64], classes: tuple[str, ...]) -> None:
        """The confusion matrix as a table."""
        self._stop()
        table = Table(title="read as", title_style="dim", box=SIMPLE_HEAD, padding=0, pad_edge=False)
        table.add_column("true", style="bold", no_wrap=True)
        for name in classes:
            table.add_column(
                name if len(name) <= 5 else name[:4] + ".", justify="right", no_wrap=True, min_width=4
            )
        table.add_column("right", justify="right", style="dim", no_wrap=True, min_width=8)
        for i, name in enumerate(classes):
            total = int(counts[i].sum())
            cells = [
                Text(str(n) if n else "·", style="green" if i == j else "red" if n else "dim")
                for j, n in enumerate(counts[i].tolist())
            ]
            table.add_row(name, *cells, f"{100 * counts[i, i] / total:.1f} %" if total else "")
        self.console.print(table)

    # The bar.

    def _move(self, done: Batch) -> None:
        fields: dict[str, Any] = {
            "epoch": f"{done.epoch + 1}/{self.epochs}",
            "loss": f"loss {done.loss:.4f}",
            "accuracy": f"accuracy {100 * done.accuracy:.2f} %",
            "rate": self._rate(done),
            "left": f"{self._left(done)} left",
        }
        completed = done.epoch * done.steps + done.step
        if self._progress is None:
            self._idle()
            self._progress = Progress(
                TextColumn("epoch {task.fields[epoch]}"), BarColumn(bar_width=None), TaskProgressColumn(),
                _Field("loss"), _Field("accuracy", "green"), _Field("rate", "cyan"), _Field("left", "dim"),
                console=self.console, transient=True,
            )  # fmt: skip
            self._task = self._progress.add_task("", total=done.steps * self.epochs, **fields)
            self._progress.start()
        self._progress.update(self._task, completed=completed, **fields)

    def _stop(self) -> None:
        self._idle()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _rate(self, done: Batch) -> str:
        return f"{done.examples / max(done.seconds, 1e-9):,.0f} {self._unit}/s"

    def _left(self, done: Batch) -> str:
        batches = (self.epochs - done.epoch) * done.steps - done.step
        return clock(batches * done.seconds / max(1, done.batches))


def show_recipes() -> None:
    """The recipes with what they train."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in ("recipe", "what it trains", "data"):
        table.add_column(head)
    from .. import recipes

    for name, summary in SUMMARIES.items():
        table.add_row(name, summary, ", ".join(recipes.get(name).datasets))
    Console(highlight=False).print(table)
    print("\nlectorium train NAME trains one, lectorium info NAME shows its layers.")
    from .networks import NETWORKS

    print(f"Models whose layers it shows too: {', '.join(NETWORKS)}.")


def show_layers(title: str, rows: Sequence[Layer]) -> None:
    """The table of a model's layers."""
    table = Table(title=title, header_style="bold", show_footer=True)
    parameters, adds = sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)
    table.add_column("layer", footer="total")
    table.add_column("output", justify="right", no_wrap=True)
    table.add_column("parameters", justify="right", footer=f"{parameters:,}", no_wrap=True)
    table.add_column("multiply-adds", justify="right", footer=f"{adds:,}", no_wrap=True)
    for row in rows:
        counts = (f"{count:,}" if count else "" for count in (row.parameters, row.multiply_adds))
        name = row.name if row.times == 1 else f"{row.name}  x{row.times}"
        table.add_row(name, "x".join(str(side) for side in row.output), *counts)
    Console(highlight=False).print(table)


def show_options(options: Mapping[str, Option]) -> None:
    """The options that a recipe alone has."""
    for name, option in options.items():
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        print(f"  {flag(name)}  {option.help}{choices} [default: {option.default}]")


def show_reading(classes: Sequence[str], chances: NDArray[np.float64]) -> None:
    """What a picture was read as, with a bar for each class."""
    best = int(chances.argmax())
    console = Console(highlight=False)
    wide = max(len(name) for name in classes)
    for i, (name, chance) in enumerate(zip(classes, chances.tolist(), strict=True)):
        bar = "█" * round(40 * chance)
        console.print(
            Text(f"  {name:>{wide}}  {100 * chance:6.2f} %  {bar}", style="bold green" if i == best else "")
        )
    kind = "digit" if all(name.isdigit() for name in classes) else "class"
    print(f"{kind} {classes[best]} ({100 * chances[best]:.2f} %)")
