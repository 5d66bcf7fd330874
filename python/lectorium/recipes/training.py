"""The training loop, as a generator: a run may stop after any batch and go on later, bit for bit."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._core import Tensor
from ..autograd import no_grad
from ..creation import from_numpy
from ..functions.random import randperm
from ..random import Generator as Random, get_rng_state, manual_seed, set_rng_state
from .errors import RunError
from .recipe import Data, Examples, Recipe, Settings

POINTS = 50  # of the curves, for each epoch


@dataclasses.dataclass(frozen=True)
class Batch:
    """How far a run is.

    `loss`, `accuracy`: of the epoch so far. `batches`, `examples`, `seconds`: of this process.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    accuracy: float
    batches: int
    examples: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Testing:
    """A batch of the test set has been looked at; nothing has changed."""


@dataclasses.dataclass(frozen=True)
class EpochEnd:
    """An epoch is over, with its test."""

    row: dict[str, float]


Event = Batch | Testing | EpochEnd


@dataclasses.dataclass
class Sums:
    """Running totals: loss over examples, answers right and given, examples."""

    loss: float = 0.0
    right: int = 0
    answers: int = 0
    examples: int = 0

    def add(self, loss: float, right: int, answers: int, examples: int) -> None:
        """One more batch with this mean loss."""
        self.loss += loss * examples
        self.right += right
        self.answers += answers
        self.examples += examples

    def means(self) -> tuple[float, float]:
        """Mean loss and share of right answers."""
        return self.loss / max(1, self.examples), self.right / max(1, self.answers)


class Training:
    """A run in memory. `run` goes on from wherever `epoch` and `step` say.

    Example:
        >>> recipe = lt.recipes.get("xor-mlp")
        >>> run = lt.recipes.training.Training(recipe, recipe.settings(epochs=1), recipe.load("xor"))
        >>> sum(1 for event in run.run() if isinstance(event, lt.recipes.training.Batch))
        100
    """

    def __init__(self, recipe: Recipe, settings: Settings, data: Data) -> None:
        self.recipe, self.settings, self.data = recipe, settings, data
        manual_seed(settings.seed)
        self.model = recipe.build(settings, data.facts)
        self.optimizer = recipe.optimizer(self.model, settings)
        self.steps = len(self._batches(0))
        self.schedule = recipe.schedule(self.optimizer, settings, self.steps * settings.epochs)
        self.epoch = self.step = 0  # done
        self.carried: tuple[Tensor, ...] | None = None
        self.sums, self.window = Sums(), Sums()
        self.history: list[dict[str, float]] = []
        self.trace: list[list[float]] = []  # [epochs done, loss, accuracy]
        self.seconds = 0.0
        self._session = (0, 0, 0.0)  # batches, examples and seconds of this process

    @property
    def complete(self) -> bool:
        """Whether every epoch has been trained and tested."""
        return self.epoch >= self.settings.epochs

    # State.

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "settings": dataclasses.asdict(self.settings),
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "random": get_rng_state(),
            "epoch": self.epoch,
            "step": self.step,
            "carried": self.carried,
            "facts": self.data.facts,
            "sums": dataclasses.asdict(self.sums),
            "window": dataclasses.asdict(self.window),
            "history": self.history,
            "trace": self.trace,
            "seconds": self.seconds,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        set_rng_state(state["random"])
        if state.get("facts", self.data.facts) != self.data.facts:
            raise ValueError(f"the data set {self.settings.data} is another one than before")
        self.epoch, self.step = state["epoch"], state["step"]
        self.carried = state.get("carried")
        self.sums, self.window = Sums(**state["sums"]), Sums(**state["window"])
        self.history, self.trace = list(state["history"]), list(state["trace"])
        self.seconds = state["seconds"]

    # The loop.

    def run(self) -> Generator[Event]:
        """Trains and tests to the end of the last epoch. At each event the state can be saved."""
        while not self.complete:
            yield from self._train()
            yield from self._test()

    def _train(self) -> Generator[Event]:
        train = self.data.train
        batches = self._batches(self.epoch)
        self.model.train()
        while self.step < self.steps:
            started = time.perf_counter()
            chosen = batches[self.step]
            self._learn(train.take(chosen))
            self.step += 1
            self._trace()
            took = time.perf_counter() - started
            self.seconds += took
            done, examples, seconds = self._session
            self._session = (done + 1, examples + len(chosen), seconds + took)
            yield Batch(self.epoch, self.step, self.steps, *self.sums.means(), *self._session)

    def _batches(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        """Which examples go into each batch of an epoch."""
        count, size = len(self.data.train), self.settings.batch_size
        if self.recipe.carries:
            return streams(count, size)
        # From the seed and the epoch alone, so that a resumed run needs no memory of it.
        source = Random().manual_seed(self.settings.seed * 0x9E3779B97F4A7C15 + epoch + 1)
        order = randperm(count, generator=source).numpy()
        return [order[start : start + size] for start in range(0, count, size)]

    def _learn(self, batch: Examples) -> None:
        key = np.array([self.settings.seed, self.epoch << 32 | self.step], np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        batch = Examples(self.recipe.augment(batch.inputs, rng), batch.targets)
        output, state = self.recipe.forward(self.model, batch, first(self.carried, len(batch)))
        loss = self.recipe.loss(output, from_numpy(batch.targets))
        value = loss.item()
        if not math.isfinite(value):
            raise RunError(
                f"the loss became {value} in epoch {self.epoch + 1}, batch {self.step + 1}: training "
                f"diverged; try a learning rate below {self.settings.lr:g} (--lr)"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.recipe.clip(self.model)
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()
        # Gradients end here: the next batch begins with the values alone.
        self.carried = None if state is None else tuple(part.detach() for part in state)
        right = self.recipe.right(output, batch.targets)
        for sums in (self.sums, self.window):
            sums.add(value, int(right.sum()), right.size, len(batch))

    def _trace(self) -> None:
        if self.step % max(1, self.steps // POINTS) == 0 or self.step == self.steps:
            self.trace.append([self.epoch + self.step / self.steps, *self.window.means()])
            self.window = Sums()

    def _test(self) -> Generator[Event]:
        sums = Sums()
        for _, part in answers(self.recipe, self.model, self.data.test):
            sums.add(*part)
            yield Testing()
        train_loss, train_accuracy = self.sums.means()
        test_loss, test_accuracy = sums.means()
        with no_grad():
            more = self.recipe.watch(self.model, self.data)
        row: dict[str, float] = {
            "epoch": self.epoch + 1,
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "lr": self.optimizer.param_groups[0]["lr"],
            **more,
            "seconds": round(self.seconds, 3),
        }
        self.history.append(row)
        self.epoch, self.step, self.sums, self.carried = self.epoch + 1, 0, Sums(), None
        yield EpochEnd(row)


def answers(
    recipe: Recipe, model: Any, examples: Examples
) -> Generator[tuple[Any, tuple[float, int, int, int]]]:
    """The model's outputs batch by batch, each with its loss, right answers, answers and examples."""
    model.eval()
    count, size = len(examples), recipe.test_batch
    parts: Sequence[slice | NDArray[np.int64]]
    if recipe.carries:
        parts = streams(count, size)
    else:
        parts = [slice(start, start + size) for start in range(0, count, size)]
    state: tuple[Tensor, ...] | None = None
    for chosen in parts:
        part = examples.take(chosen)
        with no_grad():
            output, state = recipe.forward(model, part, first(state, len(part)))
            loss = recipe.loss(output, from_numpy(part.targets)).item()
        right = recipe.right(output, part.targets)
        yield output, (loss, int(right.sum()), right.size, len(part))


def streams(count: int, size: int) -> list[NDArray[np.int64]]:
    """Batches of examples that follow one another: row r of a batch goes on where that of the last one ended.

    The last streams may be shorter, and the last batches then have fewer rows.

    Example:
        >>> [batch.tolist() for batch in lt.recipes.training.streams(8, 3)]
        [[0, 3, 6], [1, 4, 7], [2, 5]]
    """
    length = -(-count // size)
    return [np.arange(step, count, length) for step in range(length)]


def first(state: tuple[Tensor, ...] | None, rows: int) -> tuple[Tensor, ...] | None:
    """The states [layers, batch, …] of the first `rows` streams."""
    return None if state is None else tuple(part[:, :rows] for part in state)
