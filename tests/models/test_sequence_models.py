"""The recurrent models of the recipes against their twins: the same source on PyTorch, with copied weights."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from helpers import require_torch
from lectorium import models

torch = require_torch()
import torch_models  # noqa: E402

DRAW = np.random.default_rng(0)
LENGTHS = np.array([9, 4, 1])
MASK = np.arange(9) < LENGTHS[:, None]

CASES: dict[str, tuple[str, str, tuple[Any, ...], list[np.ndarray]]] = {
    "SpeechCTC": ("speech_ctc", "SpeechCTC", (8, 4, 6), [DRAW.normal(size=(9, 3, 8)), LENGTHS]),
    "SentimentGRU": (
        "sentiment_gru",
        "SentimentGRU",
        (30, 3, 7, 5),
        [DRAW.integers(1, 30, (3, 9)) * MASK, LENGTHS],
    ),
    "Translator": (
        "translator",
        "Translator",
        (30, 20, 7, 6),
        [DRAW.integers(1, 30, (3, 9)) * MASK, LENGTHS, DRAW.integers(1, 20, (3, 5))],
    ),
}


def twins(name: str) -> tuple[Any, Any]:
    file, title, arguments, _ = CASES[name]
    ours = getattr(importlib.import_module(f"lectorium.models.{file}"), title)(*arguments).double()
    theirs = getattr(torch_models.load(file), title)(*arguments).double()
    for model in (ours, theirs):
        model.train()
        for module in model.modules():
            if type(module).__name__ == "Dropout":
                module.p = 0.0
            if type(module).__name__ == "LSTM":
                module.dropout = 0.0
    weights = {key: torch.from_numpy(value.numpy().copy()) for key, value in ours.state_dict().items()}
    assert list(weights) == list(theirs.state_dict())
    theirs.load_state_dict(weights)
    return ours, theirs


@pytest.mark.parametrize("name", CASES)
def test_in_float64_outputs_and_gradients_are_pytorchs(name: str) -> None:
    ours, theirs = twins(name)
    inputs = CASES[name][3]
    mine, other = ours(*map(lt.from_numpy, inputs)), theirs(*map(torch.from_numpy, inputs))
    np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-9, atol=1e-12)
    weight = np.random.default_rng(1).normal(size=tuple(mine.shape))
    (mine * lt.from_numpy(weight)).sum().backward()
    (other * torch.from_numpy(weight)).sum().backward()
    for (key, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-8, atol=1e-10, err_msg=key)


@pytest.mark.parametrize("name", CASES)
def test_what_fills_up_a_batch_changes_nothing(name: str) -> None:
    ours, _ = twins(name)
    inputs = CASES[name][3]
    time = 0 if name == "SpeechCTC" else 1
    together = ours(*map(lt.from_numpy, inputs)).detach().numpy()
    for row, length in enumerate(LENGTHS):
        alone = [part[row : row + 1] if time or part.ndim == 1 else part[:, row : row + 1] for part in inputs]
        alone[0] = np.take(alone[0], range(length), axis=time)
        found = ours(*(lt.from_numpy(part.copy()) for part in alone)).detach().numpy()
        if name == "SpeechCTC":
            np.testing.assert_allclose(found[:, 0], together[:length, row], rtol=1e-9)
        else:
            np.testing.assert_allclose(found[0], together[row], rtol=1e-9)


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (lambda: models.SpeechCTC(), 361_547),
        (lambda: models.SentimentGRU(9699), 1_316_226),
        (lambda: models.Translator(3608, 3819), 1_970_411),
    ],
)
def test_parameter_counts(make: Any, parameters: int) -> None:
    assert sum(p.numel() for p in make().parameters()) == parameters
