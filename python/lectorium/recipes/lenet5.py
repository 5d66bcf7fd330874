"""LeNet-5 reads digits: Adam and one cycle of the learning rate."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import nn, optim
from ..models import LeNet5
from ..optim.lr_scheduler import OneCycleLR
from .digits import load_pictures
from .listener import Listener
from .recipe import Data, Defaults, Recipe, Settings


class LeNet5Recipe(Recipe):
    """LeNet-5 on Strokes or MNIST; 99 % or better on MNIST within five epochs."""

    name = "lenet5"
    title = "LeNet-5"
    datasets: ClassVar[dict[str, Defaults]] = {
        "strokes": Defaults(epochs=3, batch_size=64, lr=0.002),
        "mnist": Defaults(epochs=5, batch_size=128, lr=0.003),
        "fashion-mnist": Defaults(epochs=5, batch_size=128, lr=0.003),
    }
    input_shape = (1, 28, 28)

    def load(self, data: str, limit: int | None = None) -> Data:
        return load_pictures(data, limit)

    def model(self) -> nn.Module:
        return LeNet5()

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> OneCycleLR:
        return OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps)

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .pictures import classifier_pictures

        return classifier_pictures(run, listener, run.model.features[0], run.model.features[3])


recipe = LeNet5Recipe()
