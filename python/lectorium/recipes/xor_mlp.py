"""One hidden layer learns XOR, which no perceptron can."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor
from ..models import XorMLP
from .listener import Listener
from .recipe import Data, Defaults, Examples, Recipe, Settings

POINTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR = np.array([[0], [1], [1], [0]], np.float32)
SHOWN = 100  # times that an epoch shows each point


class XorRecipe(Recipe):
    """2-4-1 with tanh on the four points of XOR."""

    name = "xor-mlp"
    title = "One hidden layer"
    datasets: ClassVar[dict[str, Defaults]] = {"xor": Defaults(epochs=10, batch_size=4, lr=0.02)}
    input_shape = (2,)

    def load(self, data: str, limit: int | None = None) -> Data:
        train = Examples(np.tile(POINTS, (SHOWN, 1)), np.tile(XOR, (SHOWN, 1))).first(limit)
        note = f"XOR: its four points, {SHOWN} times each in an epoch; there are no others to test on"
        return Data(train, Examples(POINTS, XOR), ("0", "1"), note)

    def model(self) -> nn.Module:
        return XorMLP()

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(output, target)

    def predict(self, output: Tensor) -> NDArray[Any]:
        return (output.detach().numpy() > 0).astype(np.float32)

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .pictures import gate_pictures

        for point, target, output in zip(POINTS, XOR, run.outputs, strict=True):
            chance = 1 / (1 + np.exp(-float(output[0])))
            listener.say(f"  {point[0]:.0f} XOR {point[1]:.0f} = {target[0]:.0f}: the net says {chance:.3f}")
        gate_pictures(run, ("XOR",))
        return {}


recipe = XorRecipe()
