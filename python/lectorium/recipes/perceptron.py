"""Rosenblatt's rule on three gates: AND and OR are learned, XOR never is."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor
from ..models import Perceptron
from .listener import Listener
from .recipe import Data, Defaults, Examples, Recipe, Settings

GATES = ("AND", "OR", "XOR")
POINTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
TRUTH = np.array([[0, 0, 0], [0, 1, 1], [0, 1, 1], [1, 1, 0]], np.float32)


class PerceptronRecipe(Recipe):
    """One perceptron for each gate, taught the four rows of its truth table one by one."""

    name = "perceptron"
    title = "Perceptron"
    datasets: ClassVar[dict[str, Defaults]] = {"gates": Defaults(epochs=50, batch_size=1, lr=1.0)}
    input_shape = (2,)

    def load(self, data: str, limit: int | None = None) -> Data:
        rows = Examples(POINTS, TRUTH)
        note = "gates: the truth tables of AND, OR and XOR, a perceptron for each"
        return Data(rows.first(limit), rows, GATES, note)

    def model(self) -> nn.Module:
        return Perceptron(inputs=2, units=len(GATES))

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.SGD(model.parameters(), lr=settings.lr)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        # The gradient is (answer - target) * input, so a step of gradient descent is Rosenblatt's rule.
        wrong = (output.detach() > 0).to(output.dtype) - target
        return (wrong * output).sum() / len(output)

    def predict(self, output: Tensor) -> NDArray[Any]:
        return (output.detach().numpy() > 0).astype(np.float32)

    def watch(self, model: nn.Module, data: Data) -> dict[str, float]:
        right = self.predict(model(self.prepare(POINTS))) == TRUTH
        return {gate: float(right[:, i].mean()) for i, gate in enumerate(GATES)}

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .pictures import gate_pictures

        learned: dict[str, int | None] = {}
        weights, biases = run.model.sum.weight.tolist(), run.model.sum.bias.tolist()
        for i, gate in enumerate(GATES):
            right = [row[gate] for row in run.history]
            wrong = [row["epoch"] for row in run.history if row[gate] < 1]
            learned[gate] = (wrong[-1] if wrong else 0) + 1 if right[-1] == 1 else None
            line = f"fires when {weights[i][0]:+g} a {weights[i][1]:+g} b {biases[i]:+g} > 0"
            if learned[gate] is not None:
                listener.say(f"  {gate:3}  learned after {learned[gate]} epochs: {line}")
            else:
                listener.say(
                    f"  {gate:3}  not learned: after {len(right)} epochs {4 * right[-1]:.0f} of 4 rows are "
                    f"right; at best {4 * max(right):.0f} were"
                )
        if learned["XOR"] is None:
            listener.say("  No straight line separates the rows of XOR: its weights never stop changing.")
        gate_pictures(run, GATES)
        return {
            "learned_after_epochs": learned,
            "gates_learned": sum(e is not None for e in learned.values()),
        }

    def last_line(self, result: dict[str, Any]) -> str:
        learned: dict[str, Any] | None = result.get("learned_after_epochs")
        if learned is None:  # a run that was stopped
            return super().last_line(result)
        names = ", ".join(gate for gate in GATES if learned[gate] is not None) or "none"
        return f"gates learned {result['gates_learned']} of {len(GATES)} ({names})"


recipe = PerceptronRecipe()
