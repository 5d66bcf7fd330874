"""The small convolutional net on CIFAR-10, with mirrored pictures as further examples."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor
from ..creation import from_numpy
from ..models import CifarNet
from ..optim.lr_scheduler import OneCycleLR
from .digits import load_pictures
from .listener import Listener
from .recipe import Data, Defaults, Recipe, Settings


class CifarNetRecipe(Recipe):
    """The net that PyTorch's beginners train, on CIFAR-10."""

    name = "cifarnet"
    title = "CifarNet"
    datasets: ClassVar[dict[str, Defaults]] = {"cifar10": Defaults(epochs=10, batch_size=64, lr=0.003)}
    input_shape = (3, 32, 32)

    def load(self, data: str, limit: int | None = None) -> Data:
        return load_pictures(data, limit)

    def model(self) -> nn.Module:
        return CifarNet()

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> OneCycleLR:
        return OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps)

    def prepare(self, inputs: NDArray[Any]) -> Tensor:
        # To -1..1, as the tutorial has it.
        return from_numpy(inputs.astype(np.float32) / np.float32(127.5) - np.float32(1))

    def augment(self, inputs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        mirrored = rng.random(len(inputs)) < 0.5
        return np.where(mirrored[:, None, None, None], inputs[..., ::-1], inputs)

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .pictures import classifier_pictures

        return classifier_pictures(run, listener, run.model.conv1, run.model.conv2)


recipe = CifarNetRecipe()
