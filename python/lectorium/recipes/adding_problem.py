"""The adding problem: which cells carry a number over a hundred steps, and how their gradients flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor
from ..creation import from_numpy
from ..datasets import AddingProblem
from ..models.adding_nets import CELLS, AddingNets
from ..random import manual_seed
from .listener import Listener
from .options import Option
from .recipe import Data, Defaults, Examples, Recipe, Settings

EXAMPLES = 20_000, 2_000
SAYING_1 = 1 / 6  # the mean squared error of always answering 1
# For the way back a batch of 50 keeps 6.4 kB a sequence and step, which is 3 GB here; the data takes 2 GB.
LONGEST = 10_000
CLOSE = 0.04  # an answer so near counts as right, as in the paper


class AddingRecipe(Recipe):
    """One net for each cell, on the same batches; below 0.01 a net has found the two numbers."""

    name = "adding-problem"
    title = "Adding problem"
    datasets: ClassVar[dict[str, Defaults]] = {"adding": Defaults(epochs=20, batch_size=50, lr=0.001)}
    input_shape = (100, 2)
    unit = "sequences"
    options: ClassVar[dict[str, Option]] = {
        "cell": Option(",".join(CELLS), "The cells to compare.", choices=CELLS, several=True),
        "length": Option(100, "Steps of a sequence.", least=2, most=LONGEST),
        "hidden": Option(100, "Hidden units of each net."),
    }

    def load(self, data: str, limit: int | None = None) -> Data:
        return self.read(self.settings(data=data, limit=limit))

    def read(self, settings: Settings) -> Data:
        length = settings.options["length"]
        # Always the same sequences, whatever the run's seed, so that results of different seeds compare.
        train, test = (
            Examples(
                *AddingProblem(
                    n if settings.limit is None else min(n, settings.limit), train, length
                ).arrays()
            )
            for n, train in zip(EXAMPLES, (True, False), strict=True)
        )
        note = (
            f"adding problem, {length} steps: {len(train):,} sequences to train on, {len(test):,} to test on"
        )
        return Data(train, test, (), note)

    def model(self) -> nn.Module:
        return AddingNets()

    def build(self, settings: Settings, facts: Mapping[str, Any]) -> nn.Module:
        options = settings.options
        return AddingNets(options["cell"].split(","), options["hidden"], options["length"])

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return ((output - target) ** 2).mean()

    def clip(self, model: Any) -> None:
        for net in model.nets.values():
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)

    def predict(self, output: Tensor) -> NDArray[Any]:
        return output.detach().numpy()

    def right(self, output: Tensor, targets: NDArray[Any]) -> NDArray[np.bool_]:
        return np.abs(self.predict(output) - targets) < CLOSE

    def watch(self, model: Any, data: Data) -> dict[str, float]:
        size = self.test_batch
        answers = np.concatenate(
            [
                model(self.prepare(data.test.inputs[i : i + size])).numpy()
                for i in range(0, len(data.test), size)
            ]
        )
        errors = np.square(answers - data.test.targets).mean(axis=0)
        return {f"mse_{cell}": float(error) for cell, error in zip(model.nets, errors, strict=True)}

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .. import plot

        length, cells = run.settings.options["length"], list(run.model.nets)
        title = f"{self.title}, {length} steps"
        errors = {cell: [row[f"mse_{cell}"] for row in run.history] for cell in cells}
        run.folder.write("curves.png", plot.error_curves(errors, SAYING_1, title))
        manual_seed(run.settings.seed)
        fresh = self.build(run.settings, {})
        few = run.data.test.first(50)
        norms: dict[str, dict[str, list[float]]] = {}
        for when, model in (("start", fresh), ("end", run.model)):
            norms[when] = {cell: _norms(net, few) for cell, net in model.nets.items()}
            picture = plot.gradient_flow(norms[when], f"{title}: gradients at the {when} of training")
            run.folder.write(f"gradient_flow_{when}.png", picture)
        listener.say(
            "  cell   squared error   first step's gradient to the last one's: at the start, at the end"
        )
        for cell in cells:
            first, last = (_share(norms[when][cell]) for when in ("start", "end"))
            listener.say(f"  {cell:5}  {errors[cell][-1]:13.5f}   {first:.1e}   {last:.1e}")
        return {"first_to_last_gradient": {cell: _share(norms["end"][cell]) for cell in cells}}

    def last_line(self, result: dict[str, Any]) -> str:
        cells = result["options"]["cell"].split(",") if "options" in result else CELLS
        shown = ", ".join(f"{c} {result[f'mse_{c}']:.4f}" for c in cells if f"mse_{c}" in result)
        length = result["options"]["length"] if "options" in result else 100
        return f"mean squared error at {length} steps: {shown}"


def _norms(net: Any, few: Examples) -> list[float]:
    from .. import plot

    def loss(h: Tensor) -> Tensor:
        return ((net.sum(h[:, -1]) - from_numpy(few.targets)) ** 2).mean()

    return plot.gradient_norms(net.rnn, from_numpy(few.inputs), loss).tolist()


def _share(norms: list[float]) -> float:
    return norms[0] / norms[-1] if norms[-1] > 0 else 0.0


recipe = AddingRecipe()
