"""Sequence to sequence: one LSTM reads "123+456", the other writes "579"."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor, int64
from ..autograd import no_grad
from ..creation import from_numpy, zeros
from ..datasets import Sums
from ..datasets.sums import BOS, EOS, SYMBOLS
from ..models import Seq2Seq
from ..optim.lr_scheduler import OneCycleLR
from .listener import Listener
from .recipe import Data, Defaults, Examples, Recipe, Settings

EXAMPLES = 200_000, 5_000


class AdditionRecipe(Recipe):
    """Sums of two numbers below 1000, read and written digit by digit; 99 % of sums never seen are exact."""

    name = "addition"
    title = "Addition"
    datasets: ClassVar[dict[str, Defaults]] = {"sums": Defaults(epochs=10, batch_size=128, lr=0.003)}
    input_shape = (7,)
    unit = "sums"
    keeps_outputs = False

    def load(self, data: str, limit: int | None = None) -> Data:
        # Always the same sums, whatever the run's seed, so that results of different seeds compare.
        train, test = (
            Sums(n if limit is None else min(n, limit), train=train)
            for n, train in zip(EXAMPLES, (True, False), strict=True)
        )
        note = (
            f"sums: {len(train):,} pairs of numbers below 1000 to train on, {len(test):,} others to test on"
        )
        return Data(Examples(*train.arrays()), Examples(*test.arrays()), (), note)

    def model(self) -> nn.Module:
        return Seq2Seq(len(SYMBOLS), bos=BOS, longest=5)

    def example(self) -> tuple[Tensor, ...]:
        return zeros(1, 7, dtype=int64), zeros(1, 5, dtype=int64)

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> OneCycleLR:
        return OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps)

    def forward(
        self, model: nn.Module, batch: Examples, state: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, None]:
        # Teacher forcing. An answer that is right in every place is also what the decoder writes alone.
        told = np.ascontiguousarray(batch.targets[:, :-1])
        return model(_backwards(batch.inputs), from_numpy(told)), None

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(output.flatten(0, 1), target[:, 1:].flatten())

    def clip(self, model: nn.Module) -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    def predict(self, output: Tensor) -> NDArray[Any]:
        return output.detach().argmax(dim=2).numpy()

    def right(self, output: Tensor, targets: NDArray[Any]) -> NDArray[np.bool_]:
        return (self.predict(output) == targets[:, 1:]).all(axis=1)

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .. import plot

        test = run.data.test
        with no_grad():
            written = run.model(_backwards(test.inputs)).argmax(dim=2).numpy()
        asked, told, wrote = (_texts(part) for part in (test.inputs, test.targets[:, 1:], written))
        wrong = [i for i in range(len(asked)) if wrote[i] != told[i]]
        for i in [*range(min(3, len(asked))), *wrong[:5]]:
            remark = "" if wrote[i] == told[i] else f"   wrong, it is {told[i]}"
            listener.say(f"  {asked[i]:>7} = {wrote[i]}{remark}")
        run.folder.write("curves.png", plot.curves(run.history, run.trace, self.title))
        return {"exact": 1 - len(wrong) / len(asked), "wrong": [f"{asked[i]}={wrote[i]}" for i in wrong[:20]]}

    def last_line(self, result: dict[str, Any]) -> str:
        return f"exact sums {100 * result['test_accuracy']:.2f} %"


def _backwards(questions: NDArray[np.int64]) -> Tensor:
    """What the encoder reads: the paper found that it learns more from its source turned round."""
    return from_numpy(np.ascontiguousarray(questions[:, ::-1]))


def _texts(rows: NDArray[np.int64]) -> list[str]:
    """What stands before the end, without padding."""
    end = SYMBOLS[EOS]
    return ["".join(SYMBOLS[i] for i in row).partition(end)[0].strip() for row in rows.tolist()]


recipe = AdditionRecipe()
