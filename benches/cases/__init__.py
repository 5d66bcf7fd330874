"""What is compared: each case builds, for one side, the calls to time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sides import Side

Call = Callable[[], Any]
# A case with several parts, such as the passes of a convolution, is timed part by part.
Parts = Call | dict[str, Call]
Build = Callable[[Side], Parts]


@dataclass(frozen=True)
class Case:
    """``layouts``: PyTorch's channels-last setting changes something. ``compiles``: torch.compile does."""

    name: str
    group: str
    build: Build
    layouts: bool = False
    compiles: bool = False

    def runs(self, mode: str) -> bool:
        """Whether PyTorch's ``mode`` says anything about this case."""
        return mode == "eager" or (self.layouts if mode == "channels-last" else self.compiles)


CASES: dict[str, Case] = {}


def add(name: str, group: str, build: Build, *, layouts: bool = False, compiles: bool = False) -> None:
    """Registers a case."""
    assert name not in CASES, name
    CASES[name] = Case(name, group, build, layouts, compiles)


def case(name: str, group: str, *, layouts: bool = False, compiles: bool = False) -> Callable[[Build], Build]:
    """Registers the function below as a case."""

    def register(build: Build) -> Build:
        add(name, group, build, layouts=layouts, compiles=compiles)
        return build

    return register


# Last, as the files register themselves; their order is that of the tables.
from . import training, inference, convolution, products, operations, recurrent, sequence, optimizers  # noqa: E402, F401, I001
