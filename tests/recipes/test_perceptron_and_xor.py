"""What the lectures say about perceptrons and XOR."""

from __future__ import annotations

from pathlib import Path

import pytest

from lectorium import recipes


@pytest.mark.parametrize("seed", range(3))
def test_a_perceptron_learns_and_and_or_but_never_xor(seed: int, tmp_path: Path) -> None:
    result = recipes.train("perceptron", seed=seed, out=tmp_path)
    learned = result["learned_after_epochs"]
    assert learned["AND"] is not None
    assert learned["OR"] is not None
    assert learned["XOR"] is None
    assert result["figure"] == "gates learned 2 of 3 (AND, OR)"


def test_a_step_of_the_perceptron_recipe_is_rosenblatts_rule() -> None:
    import numpy as np

    import lectorium as lt

    recipe = recipes.get("perceptron")
    model = recipe.model()
    optimizer = recipe.optimizer(model, recipe.settings())
    weights, bias = np.zeros((3, 2), np.float32), np.zeros(3, np.float32)
    data = recipe.load("gates").train
    for _ in range(3):
        for x, t in zip(data.inputs, data.targets, strict=True):
            fired = (weights @ x + bias > 0).astype(np.float32)
            weights += np.outer(t - fired, x)
            bias += t - fired
            optimizer.zero_grad()
            recipe.loss(model(lt.from_numpy(x[None].copy())), lt.from_numpy(t[None].copy())).backward()
            optimizer.step()
    np.testing.assert_array_equal(model.sum.weight.detach().numpy(), weights)
    np.testing.assert_array_equal(model.sum.bias.detach().numpy(), bias)


@pytest.mark.parametrize("seed", range(3))
def test_one_hidden_layer_learns_xor(seed: int, tmp_path: Path) -> None:
    assert recipes.train("xor-mlp", seed=seed, out=tmp_path)["test_accuracy"] == 1.0
