"""Logistic regression reads digits: as far as one linear layer gets."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import nn, optim
from ..models import LogisticRegression
from ..optim.lr_scheduler import CosineAnnealingLR
from .digits import load_pictures
from .listener import Listener
from .recipe import Data, Defaults, Recipe, Settings


class LogisticRecipe(Recipe):
    """Softmax over one linear layer, on Strokes or MNIST; about 92.5 % on MNIST."""

    name = "logistic"
    title = "Logistic regression"
    datasets: ClassVar[dict[str, Defaults]] = {
        "strokes": Defaults(epochs=10, batch_size=128, lr=0.002),
        "mnist": Defaults(epochs=10, batch_size=128, lr=0.002),
        "fashion-mnist": Defaults(epochs=10, batch_size=128, lr=0.002),
    }
    input_shape = (1, 28, 28)

    def load(self, data: str, limit: int | None = None) -> Data:
        return load_pictures(data, limit)

    def model(self) -> nn.Module:
        return LogisticRegression()

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> CosineAnnealingLR:
        return CosineAnnealingLR(optimizer, T_max=steps)

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .pictures import classifier_pictures

        return classifier_pictures(run, listener)


recipe = LogisticRecipe()
