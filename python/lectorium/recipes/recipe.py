"""What a recipe is: data, a model, an optimizer with its schedule, a loss, and the figure it ends with."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn
from .._core import Tensor
from ..creation import from_numpy, zeros
from ..optim import Optimizer
from ..optim.lr_scheduler import LRScheduler
from .data_names import KNOWN
from .errors import RecipeError, unknown
from .listener import Listener
from .options import Option, chosen

MAX_SEED = (1 << 63) - 1


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that the numbers of a run depend on.

    `limit`: use at most so many examples of each part. `options`: the settings that only this recipe has.
    """

    recipe: str
    data: str
    epochs: int
    batch_size: int
    lr: float
    seed: int
    limit: int | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])


@dataclasses.dataclass(frozen=True)
class Defaults:
    """What a recipe uses on one data set when it is not told otherwise."""

    epochs: int
    batch_size: int
    lr: float


@dataclasses.dataclass(frozen=True)
class Examples:
    """N inputs (uint8 pictures [N, C, H, W], float32, or int64 sequences [N, T]) and as many targets."""

    inputs: NDArray[Any]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, limit: int | None) -> Examples:
        """At most `limit` of them."""
        return self.take(slice(limit))

    def take(self, chosen: slice | NDArray[np.int64]) -> Examples:
        """Those at these places."""
        return Examples(self.inputs[chosen], self.targets[chosen])


@dataclasses.dataclass(frozen=True)
class Data:
    """A data set in two parts, the names of its classes, and a line about it for the user.

    `facts`: what the model has to know of it, such as a vocabulary, in values that JSON has; kept in the run.
    """

    train: Examples
    test: Examples
    classes: tuple[str, ...]
    note: str
    facts: dict[str, Any] = dataclasses.field(default_factory=dict[str, Any])


class Recipe:
    """One lecture result. A subclass names its parts; `lectorium.recipes.train` runs it.

    Example:
        >>> recipe = lt.recipes.get("lenet5")
        >>> recipe.settings(epochs=2).epochs, recipe.default_data
        (2, 'strokes')
    """

    name: ClassVar[str]
    title: ClassVar[str]
    #: Data sets it runs on, the default first, each with its settings.
    datasets: ClassVar[dict[str, Defaults]]
    input_shape: ClassVar[tuple[int, ...]]
    #: What examples are called; without a word, images or examples.
    unit: ClassVar[str] = ""
    #: Settings that only this recipe has.
    options: ClassVar[dict[str, Option]] = {}
    #: Whether examples follow one another, `batch_size` streams side by side, and the state that `forward`
    #: returns goes into the next batch (truncated backpropagation).
    carries: ClassVar[bool] = False
    #: Examples, or streams, in a batch of testing.
    test_batch: ClassVar[int] = 500
    #: Whether `finish` gets the outputs for the whole test set; they may be large, or of different sizes.
    keeps_outputs: ClassVar[bool] = True

    @property
    def default_data(self) -> str:
        """The data set used when none is named."""
        return next(iter(self.datasets))

    def settings(
        self,
        data: str | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        seed: int | None = None,
        limit: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Settings:
        """The recipe's settings with some changed. Errors: RecipeError for one that makes no sense."""
        data = self.check_data(self.default_data if data is None else data)
        usual = self.datasets[data]
        lr = usual.lr if lr is None else lr
        if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not (math.isfinite(lr) and lr > 0):
            raise RecipeError(f"lr must be a finite number above 0, got {lr}")
        return Settings(
            recipe=self.name,
            data=data,
            epochs=whole("epochs", usual.epochs if epochs is None else epochs, 1),
            batch_size=whole("batch size", usual.batch_size if batch_size is None else batch_size, 1),
            lr=float(lr),
            seed=whole("seed", 0 if seed is None else seed, 0),
            limit=None if limit is None else whole("limit", limit, 1),
            options=chosen(self.name, self.options, options or {}),
        )

    def check_data(self, data: str) -> str:
        """`data` if the recipe runs on it, otherwise RecipeError with the nearest name."""
        if data in self.datasets:
            return data
        if data in KNOWN:
            raise RecipeError(f"{self.name} does not run on {data} (it runs on: {', '.join(self.datasets)})")
        raise unknown("data set", data, self.datasets)

    # The parts.

    def load(self, data: str, limit: int | None = None) -> Data:
        """The data set named `data`."""
        raise NotImplementedError

    def read(self, settings: Settings) -> Data:
        """The data of a run; a recipe whose data depend on its options has its own."""
        return self.load(settings.data, settings.limit)

    def model(self) -> nn.Module:
        """The model with fresh weights."""
        raise NotImplementedError

    def build(self, settings: Settings, facts: Mapping[str, Any]) -> nn.Module:
        """The model of a run; a recipe whose model depends on options, or on `Data.facts`, has its own."""
        return self.model()

    def example(self) -> tuple[Tensor, ...]:
        """A batch of one to run `model()` on, for the table of its layers."""
        return (zeros(1, *self.input_shape),)

    def optimizer(self, model: nn.Module, settings: Settings) -> Optimizer:
        """What changes the weights."""
        raise NotImplementedError

    def schedule(self, optimizer: Optimizer, settings: Settings, steps: int) -> LRScheduler | None:
        """The learning rate over all `steps` batches of the run, stepped after each; None keeps it."""
        return None

    def prepare(self, inputs: NDArray[Any]) -> Tensor:
        """A batch as the model wants it: pictures as float32 in 0..1."""
        if inputs.dtype == np.uint8:
            return from_numpy(inputs.astype(np.float32) / np.float32(255))
        return from_numpy(np.ascontiguousarray(inputs))

    def augment(self, inputs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """A training batch with random changes; `rng` depends on the seed, the epoch and the batch alone."""
        return inputs

    def forward(
        self, model: nn.Module, batch: Examples, state: tuple[Tensor, ...] | None
    ) -> tuple[Any, tuple[Tensor, ...] | None]:
        """The model's output for a batch and, if the recipe `carries`, the state after it.

        States are tensors [layers, batch, …]; None is the state before the first batch. The targets are there
        for models that read them while they learn (teacher forcing).
        """
        return model(self.prepare(batch.inputs)), None

    def loss(self, output: Any, target: Tensor) -> Tensor:
        """The mean loss of a batch."""
        return nn.functional.cross_entropy(output, target)

    def clip(self, model: nn.Module) -> None:
        """What is done to the gradients before they are used."""

    def predict(self, output: Any) -> NDArray[Any]:
        """The model's answers to a batch, comparable with its targets."""
        return output.detach().argmax(dim=1).numpy()

    def right(self, output: Any, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of the answers to a batch are right; `accuracy` is their share."""
        return self.predict(output) == targets

    def watch(self, model: nn.Module, data: Data) -> dict[str, float]:
        """Further columns of the metrics, computed after each epoch, and keys of the result."""
        return {}

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        """Pictures and tables at the end of a run (a `session.Finished`); returns more for result.json."""
        return {}

    def last_line(self, result: dict[str, Any]) -> str:
        """The one line that names the recipe's figure."""
        return f"test accuracy {100 * result['test_accuracy']:.2f} %"


def whole(what: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`, otherwise RecipeError.

    Example:
        >>> lt.recipes.recipe.whole("epochs", 3, 1)
        3
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise RecipeError(f"{what} must be a whole number, got {value!r}")
    if not least <= value <= MAX_SEED:
        limit = f"{least} or more" if value < least else f"{MAX_SEED} or less"
        raise RecipeError(f"{what} must be {limit}, got {value}")
    return value
