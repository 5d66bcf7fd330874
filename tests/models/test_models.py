"""The lecture models: shapes, parameter counts, and that each can learn one batch by heart."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import lectorium as lt
from lectorium import models

MODELS: list[tuple[Any, tuple[int, ...], tuple[int, ...], int]] = [
    (models.LeNet5, (1, 28, 28), (10,), 1_256_080),
    (models.CifarNet, (3, 32, 32), (10,), 62_006),
    (models.MLP, (1, 28, 28), (10,), 535_818),
    (models.LogisticRegression, (1, 28, 28), (10,), 7_850),
    (models.XorMLP, (2,), (1,), 17),
    (models.Perceptron, (2,), (1,), 3),
]


@pytest.mark.parametrize(("kind", "shape", "output", "parameters"), MODELS)
def test_a_model_has_the_lectures_shapes_and_parameter_count(
    kind: Any, shape: tuple[int, ...], output: tuple[int, ...], parameters: int
) -> None:
    model = kind()
    assert model(lt.zeros(3, *shape)).shape == (3, *output)
    assert model(lt.zeros(0, *shape)).shape == (0, *output)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_lenet5_is_the_lectures_sequence_of_layers() -> None:
    names = [type(m).__name__ for m in models.LeNet5().modules() if not list(m.children())]
    assert names == [
        *("Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d"),
        *("Flatten", "Linear", "ReLU", "Linear"),
    ]
    shapes = {name: tuple(p.shape) for name, p in models.LeNet5().named_parameters()}
    assert shapes["features.0.weight"] == (20, 1, 5, 5)
    assert shapes["features.3.weight"] == (50, 20, 5, 5)
    assert shapes["classifier.1.weight"] == (500, 2450)
    assert shapes["classifier.3.weight"] == (10, 500)


@pytest.mark.parametrize(("kind", "shape"), [(m[0], m[1]) for m in MODELS[:4]])
def test_a_classifier_learns_one_batch_by_heart(kind: Any, shape: tuple[int, ...]) -> None:
    model = kind()
    inputs, labels = lt.rand(16, *shape), lt.arange(16) % 10
    optimizer = lt.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        lt.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    assert model.eval()(inputs).argmax(dim=1).tolist() == labels.tolist()


def test_lenet5_computes_what_the_same_net_in_pytorch_computes() -> None:
    torch = pytest.importorskip("torch")
    ours = models.LeNet5()
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 20, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(20, 50, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(2450, 500), torch.nn.ReLU(), torch.nn.Linear(500, 10),
    )  # fmt: skip
    weights = [torch.from_numpy(value.numpy()) for value in ours.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights, strict=True)))
    x = lt.rand(5, 1, 28, 28)
    expected = theirs(torch.from_numpy(x.numpy())).detach()
    assert lt.allclose(ours(x).detach(), lt.from_numpy(expected.numpy()), atol=1e-5)


def test_mlp_without_an_output_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least the values in and the classes"):
        models.MLP((784,))


def test_models_need_neither_files_nor_data_sets() -> None:
    code = (
        "import sys, lectorium.models; print([m for m in sys.modules if m.startswith('lectorium.datasets')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
