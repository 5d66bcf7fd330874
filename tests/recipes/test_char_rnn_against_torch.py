"""The benchmark's loop in PyTorch is the recipe's: without dropout both end with the same loss."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from helpers import require_torch
from lectorium import models, recipes

require_torch()
import char_rnn as bench  # noqa: E402
import torch_models  # noqa: E402


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_both_end_with_the_same_validation_loss(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = torch_models.load("char_rnn")
    recipe = recipes.get("char-rnn")
    monkeypatch.setattr("lectorium.recipes.char_rnn.CharRNN", functools.partial(models.CharRNN, dropout=0.0))
    monkeypatch.setattr(theirs, "CharRNN", functools.partial(theirs.CharRNN, dropout=0.0))
    given: dict[str, Any] = {"data": "stdlib", "limit": 62, "epochs": 2, "batch_size": 8, "seed": 4}
    options = {"cell": cell, "hidden": 16, "length": 20}
    ours = recipes.train(recipe.name, out=tmp_path, **given, **options)
    result = bench.in_torch({**given, "options": options}, threads=1)
    assert result["test_loss"] == pytest.approx(ours["test_loss"], rel=2e-5)
