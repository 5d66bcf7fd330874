"""A multilayer perceptron reads digits; dropout keeps it from learning them by heart."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import nn, optim
from ..models import MLP
from ..optim.lr_scheduler import OneCycleLR
from .digits import load_pictures
from .listener import Listener
from .recipe import Data, Defaults, Recipe, Settings


class MLPRecipe(Recipe):
    """784-512-256-10 on Strokes or MNIST; 98.3 % or better on MNIST."""

    name = "mlp"
    title = "Multilayer perceptron"
    datasets: ClassVar[dict[str, Defaults]] = {
        "strokes": Defaults(epochs=10, batch_size=128, lr=0.003),
        "mnist": Defaults(epochs=12, batch_size=128, lr=0.003),
        "fashion-mnist": Defaults(epochs=12, batch_size=128, lr=0.003),
    }
    input_shape = (1, 28, 28)

    def load(self, data: str, limit: int | None = None) -> Data:
        return load_pictures(data, limit)

    def model(self) -> nn.Module:
        return MLP()

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> OneCycleLR:
        return OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps)

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .pictures import classifier_pictures

        return classifier_pictures(run, listener)


recipe = MLPRecipe()
