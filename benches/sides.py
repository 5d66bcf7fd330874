"""The two sides of a comparison: Lectorium, or PyTorch in one of three modes.

``eager`` as people write it, ``channels-last``, and ``compile``. Cases are written once, for a :class:`Side`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

MODES = ("eager", "channels-last", "compile")


class Side:
    """A library, and how it is used; ``mode`` is empty for Lectorium, one of MODES for PyTorch."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.ours = not mode
        self.lib: Any = importlib.import_module("lectorium" if self.ours else "torch")
        # Our rooms load when first used; PyTorch's are there already.
        self.nn: Any = self.lib.nn
        self.optim: Any = self.lib.optim
        self.F: Any = self.nn.functional
        self.grad: Callable[..., Any] = self.lib.autograd.grad

    def draw(self, *shape: int) -> Any:
        """Normal float32 numbers, the same on either side."""
        return self.lib.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))

    def uniform(self, *shape: int) -> Any:
        """Float32 numbers from 0 to 1, the same on either side."""
        return self.lib.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))

    def integers(self, high: int, *shape: int) -> Any:
        """Integers below ``high``, the same on either side."""
        return self.lib.from_numpy(np.random.default_rng(1).integers(0, high, shape))

    def parameter(self, *shape: int) -> Any:
        """Small weights that ask for gradients."""
        return (self.draw(*shape) * 0.05).requires_grad_()

    def module(self, file: str) -> Any:
        """A file of lectorium.models, or the same source run on PyTorch."""
        if self.ours:
            return importlib.import_module(f"lectorium.models.{file}")
        import torch_models

        return torch_models.load(file)

    def place(self, model: Any) -> Any:
        """A model as this mode wants it."""
        if self.mode == "channels-last":
            model = model.to(memory_format=self.lib.channels_last)
        return self.lib.compile(model) if self.mode == "compile" else model

    def data(self, x: Any) -> Any:
        """A batch as this mode wants it."""
        if self.mode == "channels-last" and x.ndim == 4:
            return x.to(memory_format=self.lib.channels_last)
        return x

    def activation(self, n: int, c: int, h: int, w: int) -> Any:
        """Numbers as they come out of a convolution, so in whatever layout this side gives them."""
        with self.lib.no_grad():
            return self.F.conv2d(self.data(self.draw(n, c, h, w)), self.data(self.draw(c, c, 1, 1) / c**0.5))
