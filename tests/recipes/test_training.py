"""Recipes from Python: settings, results, the same numbers for the same seed."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lectorium as lt
from lectorium import recipes
from lectorium.recipes.evaluation import confusion_counts
from lectorium.recipes.layers import layers

SMALL: dict[str, Any] = {"limit": 300, "epochs": 1, "batch_size": 50}


@pytest.mark.parametrize("name", ["lenet5", "mlp", "logistic"])
def test_a_digit_recipe_runs_on_strokes_and_writes_its_folder(name: str, tmp_path: Path) -> None:
    result = recipes.train(name, out=tmp_path, **SMALL)
    assert result["data"] == "strokes"
    assert 0 < result["test_accuracy"] <= 1
    assert result["figure"] == f"test accuracy {100 * result['test_accuracy']:.2f} %"
    for picture in (
        "curves",
        "confusion",
        "mistakes",
        *(["filters", "feature_maps"] if name == "lenet5" else []),
    ):
        assert (tmp_path / f"{picture}.png").read_bytes().startswith(b"\x89PNG"), picture
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1"]
    assert float(rows[0]["test_accuracy"]) == result["test_accuracy"]
    weights = lt.load(tmp_path / "model.safetensors")
    assert list(weights) == list(recipes.get(name).model().state_dict())


def test_the_same_seed_gives_the_same_weights_on_any_number_of_threads(tmp_path: Path) -> None:
    before = lt.get_num_threads()
    saved: list[bytes] = []
    try:
        for threads in (1, 2, 3):
            recipes.train(
                "lenet5", out=tmp_path / str(threads), threads=threads, limit=100, epochs=1, batch_size=50
            )
            saved.append((tmp_path / str(threads) / "model.safetensors").read_bytes())
    finally:
        lt.set_num_threads(before)
    assert saved[0] == saved[1] == saved[2]


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    for seed in (0, 1):
        recipes.train("logistic", out=tmp_path / str(seed), seed=seed, **SMALL)
    one, two = ((tmp_path / str(seed) / "model.safetensors").read_bytes() for seed in (0, 1))
    assert one != two


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be 1 or more, got 0"),
        ({"epochs": 1.5}, "epochs must be a whole number, got 1.5"),
        ({"batch_size": -3}, "batch size must be 1 or more, got -3"),
        ({"lr": -0.1}, "lr must be a finite number above 0, got -0.1"),
        ({"lr": 0.0}, "lr must be a finite number above 0, got 0"),
        ({"lr": float("nan")}, "lr must be a finite number above 0, got nan"),
        ({"lr": float("inf")}, "lr must be a finite number above 0, got inf"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"seed": 1 << 80}, "seed must be .* or less"),
        ({"threads": 0}, "threads must be 1 or more, got 0"),
        ({"limit": 0}, "limit must be 1 or more, got 0"),
        ({"data": "mnits"}, "unknown data set 'mnits'; did you mean 'mnist'"),
        ({"data": "cifar10"}, "lenet5 does not run on cifar10"),
    ],
)
def test_a_setting_that_makes_no_sense_is_an_error_and_leaves_nothing_behind(
    setting: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(recipes.RecipeError, match=message):
        recipes.train("lenet5", out=tmp_path / "run", **setting)
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(recipes.RecipeError, match="unknown recipe 'lenet'; did you mean 'lenet5'"):
        recipes.get("lenet")


def test_a_batch_may_be_larger_than_the_training_set(tmp_path: Path) -> None:
    assert (
        recipes.train("logistic", out=tmp_path, limit=20, epochs=1, batch_size=1000)["train_examples"] == 20
    )


def test_a_diverging_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(recipes.RunError, match="the loss became .* try a learning rate below"):
        recipes.train("lenet5", out=tmp_path, limit=300, epochs=5, batch_size=10, lr=1e18)


def test_evaluating_a_run_gives_what_training_gave(tmp_path: Path) -> None:
    result = recipes.train("logistic", out=tmp_path, **SMALL)
    again = recipes.evaluate(tmp_path)
    assert (again["test_accuracy"], again["figure"]) == (result["test_accuracy"], result["figure"])


def test_the_layers_of_lenet5_are_the_lectures_table() -> None:
    rows = layers(recipes.get("lenet5").model(), (1, 28, 28))
    assert [(row.name, row.output, row.parameters, row.multiply_adds) for row in rows] == [
        ("input", (1, 28, 28), 0, 0),
        ("conv 20, K5 P2", (20, 28, 28), 520, 392_000),
        ("ReLU", (20, 28, 28), 0, 0),
        ("max pool 2", (20, 14, 14), 0, 0),
        ("conv 50, K5 P2", (50, 14, 14), 25_050, 4_900_000),
        ("ReLU", (50, 14, 14), 0, 0),
        ("max pool 2", (50, 7, 7), 0, 0),
        ("flatten", (2450,), 0, 0),
        ("linear 500", (500,), 1_225_500, 1_225_000),
        ("ReLU", (500,), 0, 0),
        ("linear 10", (10,), 5_010, 5_000),
    ]


def test_a_layer_used_twice_is_one_row_with_its_parameters_once() -> None:
    class Twice(lt.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = lt.nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.linear(self.linear(x))

    rows = layers(Twice(), (4,))
    assert [(row.parameters, row.multiply_adds, row.times) for row in rows] == [(0, 0, 1), (20, 32, 2)]


def test_a_layer_used_with_another_shape_is_another_row() -> None:
    class Shared(lt.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = lt.nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.linear(self.linear(x)[:, :2])

    rows = layers(Shared(), (3, 4))
    assert [(row.output, row.parameters, row.multiply_adds) for row in rows[1:]] == [
        ((3, 4), 20, 48),
        ((2, 4), 0, 32),
    ]


def test_a_cell_multiplies_as_its_layer_does_in_one_step() -> None:
    cell = layers(lt.nn.LSTMCell(3, 5), (3,))[1]
    layer = layers(lt.nn.LSTM(3, 5, batch_first=True), (1, 3))[1]
    assert cell.multiply_adds == layer.multiply_adds == 4 * 5 * (3 + 5)


def test_the_confusion_matrix_has_true_classes_as_rows() -> None:
    counts = confusion_counts(np.array([0, 0, 2]), np.array([0, 1, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.skipif("LECTORIUM_DATA" not in os.environ, reason="LECTORIUM_DATA is not set")
@pytest.mark.parametrize(("name", "data"), [("lenet5", "mnist"), ("cifarnet", "cifar10")])
def test_a_recipe_runs_on_the_real_data(name: str, data: str, tmp_path: Path) -> None:
    result = recipes.train(name, data=data, out=tmp_path, limit=1000, epochs=1)
    assert result["data"] == data
    assert result["test_accuracy"] > 0.1
    assert (tmp_path / "filters.png").exists()


@pytest.mark.skipif("LECTORIUM_DATA" not in os.environ, reason="LECTORIUM_DATA is not set")
def test_logistic_regression_reaches_the_lectures_accuracy_on_mnist(tmp_path: Path) -> None:
    assert abs(recipes.train("logistic", data="mnist", out=tmp_path)["test_accuracy"] - 0.925) < 0.003
