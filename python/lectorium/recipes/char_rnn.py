"""A recurrent net learns to write, one character at a time: Shakespeare, or Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor, int64
from ..creation import from_numpy, zeros
from ..datasets import StandardLibrary, TinyShakespeare
from ..datasets.source_code import CHARACTERS
from ..models import CharRNN
from ..models.char_rnn import CELLS
from ..optim.lr_scheduler import OneCycleLR
from .data_names import KNOWN
from .errors import RecipeError
from .listener import Listener
from .options import Option
from .recipe import Data, Defaults, Examples, Recipe, Settings


class CharRNNRecipe(Recipe):
    """Two layers of 256 on a text of a million characters; the figure is that of its last tenth.

    The text runs past in `batch_size` streams, `length` characters at a time. States go from one piece to the
    next and gradients do not: truncated backpropagation through time.
    """

    name = "char-rnn"
    title = "Character-level language model"
    datasets: ClassVar[dict[str, Defaults]] = {
        "stdlib": Defaults(epochs=8, batch_size=50, lr=0.004),
        "tinyshakespeare": Defaults(epochs=8, batch_size=50, lr=0.004),
    }
    input_shape = (100,)
    unit = "sequences"
    options: ClassVar[dict[str, Option]] = {
        "cell": Option("lstm", "The recurrent cell.", choices=tuple(CELLS)),
        "hidden": Option(256, "Hidden units of a layer."),
        "layers": Option(2, "Layers."),
        "length": Option(100, "Characters that gradients go back over."),
    }
    carries = True
    test_batch = 10
    keeps_outputs = False
    max_norm: ClassVar[float] = 1.0

    def load(self, data: str, limit: int | None = None) -> Data:
        return self.read(self.settings(data=data, limit=limit))

    def read(self, settings: Settings) -> Data:
        text = TinyShakespeare() if settings.data == "tinyshakespeare" else StandardLibrary()
        length = settings.options["length"]
        parts = text.split()
        most = min(map(len, parts)) - 1
        if length > most:
            raise RecipeError(
                f"--length must be {most:,} or less, got {length}: the last tenth of the text has no more"
            )
        train, test = (pieces(part, length).first(settings.limit) for part in parts)
        note = (
            f"{KNOWN[settings.data]}: {len(text):,} characters, {len(text.vocabulary)} distinct; "
            f"{train.inputs.size:,} to train on, {test.inputs.size:,} of the last tenth to validate on"
        )
        if settings.data == "stdlib":
            note += " (--data tinyshakespeare trains on Shakespeare)"
        return Data(train, test, (), note, {"vocabulary": text.vocabulary.characters})

    def model(self) -> nn.Module:
        return self.build(self.settings(), {"vocabulary": CHARACTERS})

    def build(self, settings: Settings, facts: Mapping[str, Any]) -> nn.Module:
        chosen = settings.options
        return CharRNN(len(facts["vocabulary"]), chosen["hidden"], chosen["layers"], chosen["cell"])

    def example(self) -> tuple[Tensor, ...]:
        return (zeros(1, *self.input_shape, dtype=int64),)

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> OneCycleLR:
        return OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps, pct_start=0.1)

    def forward(
        self, model: nn.Module, batch: Examples, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        return advance(model, from_numpy(batch.inputs), state)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())

    def clip(self, model: nn.Module) -> None:
        nn.utils.clip_grad_norm_(model.parameters(), self.max_norm)

    def predict(self, output: Tensor) -> NDArray[Any]:
        return output.detach().argmax(dim=2).numpy()

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .text_pages import text_pages

        return text_pages(run, listener)

    def last_line(self, result: dict[str, Any]) -> str:
        return f"validation {result['test_loss']:.3f} nats a character"


def advance(
    model: nn.Module, x: Tensor, state: tuple[Tensor, ...] | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The scores for characters [N, T] and the state after them; a state is (h,), or the LSTM's (h, c)."""
    given = None if state is None else state if len(state) == 2 else state[0]
    scores, after = model(x, given)
    return scores, cast("tuple[Tensor, ...]", after if isinstance(after, tuple) else (after,))


def pieces(numbers: NDArray[np.int64], length: int) -> Examples:
    """A text cut into pieces of `length` characters, each with the characters that follow its own.

    Example:
        >>> cut = lt.recipes.char_rnn.pieces(np.arange(8), 3)
        >>> cut.inputs.tolist(), cut.targets.tolist()
        ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    count = max(0, len(numbers) - 1) // length
    ends = count * length
    shape = (count, length)
    return Examples(numbers[:ends].reshape(shape), numbers[1 : ends + 1].reshape(shape))


recipe = CharRNNRecipe()
