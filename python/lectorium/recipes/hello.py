"""A recurrent net of three hidden units learns to write "hello"."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor
from ..autograd import no_grad
from ..models import HelloRNN
from .listener import Listener
from .recipe import Data, Defaults, Examples, Recipe, Settings

LETTERS, WORD = "helo", "hello"
SHOWN = 20  # times that an epoch shows the word


class HelloRecipe(Recipe):
    """Reads h, e, l, l and learns what follows each: after one l another, after the second an o."""

    name = "hello"
    title = "hello"
    datasets: ClassVar[dict[str, Defaults]] = {"hello": Defaults(epochs=10, batch_size=1, lr=0.05)}
    input_shape = (4, 4)
    unit = "words"

    def load(self, data: str, limit: int | None = None) -> Data:
        numbers = np.array([[LETTERS.index(letter) for letter in WORD]])
        word = Examples(np.eye(len(LETTERS), dtype=np.float32)[numbers[:, :-1]], numbers[:, 1:])
        many = word.take(np.zeros(SHOWN, np.int64)).first(limit)
        note = f'hello: the word "{WORD}", {SHOWN} times in an epoch; which letter follows which'
        return Data(many, word, tuple(LETTERS), note)

    def model(self) -> nn.Module:
        return HelloRNN()

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def forward(
        self, model: nn.Module, batch: Examples, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, None]:
        return model(self.prepare(batch.inputs))[0], None

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten())

    def predict(self, output: Tensor) -> NDArray[Any]:
        return output.detach().argmax(dim=2).numpy()

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .. import plot

        scores: NDArray[Any] = run.outputs[0]
        listener.say("  letter   scores of h, e, l, o as the next one")
        for letter, row, target in zip(WORD, scores, WORD[1:], strict=False):
            shown = " ".join(f"{score:6.2f}" for score in row)
            listener.say(f"       {letter}   {shown}   {LETTERS[row.argmax()]}, should be {target}")
        with no_grad():
            hidden = run.model.rnn(self.prepare(run.data.test.inputs))[0][0].numpy()
        run.folder.write("curves.png", plot.curves(run.history, run.trace, self.title))
        run.folder.write("scores.png", plot.letter_scores(WORD, LETTERS, hidden, scores))
        return {"writes": WORD[0] + "".join(LETTERS[i] for i in scores.argmax(axis=1))}

    def last_line(self, result: dict[str, Any]) -> str:
        right = round(result["test_accuracy"] * (len(WORD) - 1))
        return f'letters of "{WORD}" learned {right} of {len(WORD) - 1}'


recipe = HelloRecipe()
