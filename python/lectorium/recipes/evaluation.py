"""Testing the model that a run folder holds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..autograd import no_grad
from ..creation import from_numpy
from . import get
from .data_names import KNOWN, waiting
from .errors import RecipeError, RunError
from .listener import Listener, Silent
from .recipe import Data, Recipe, Settings
from .run_folder import CONFIG, MODEL, RESULT, RunFolder
from .training import Sums, answers


def tested(recipe: Recipe, model: Any, data: Data) -> tuple[NDArray[Any], Sums]:
    """The model's outputs for the whole test set, empty if the recipe keeps none, and the totals."""
    outputs: list[NDArray[Any]] = []
    sums = Sums()
    for output, part in answers(recipe, model, data.test):
        if recipe.keeps_outputs:
            outputs.append(output.numpy())
        sums.add(*part)
    return np.concatenate(outputs) if outputs else np.zeros((0, 0), np.float32), sums


def predicted(recipe: Recipe, outputs: NDArray[Any]) -> NDArray[Any]:
    """The answers in those outputs."""
    return recipe.predict(from_numpy(outputs)) if recipe.keeps_outputs else np.zeros((0, 0), np.int64)


class Trained(NamedTuple):
    """What a run folder holds: `facts` are those of `Data`."""

    recipe: Recipe
    settings: Settings
    model: Any
    facts: dict[str, Any]


def load_run(run: str | os.PathLike[str], usual: str = "lenet5") -> Trained:
    """The recipe, the settings and the trained model of a run folder. Errors: RunError, RecipeError.

    `usual`: the recipe to train where there is no such folder.
    """
    folder = RunFolder(run)
    if not folder.path.is_dir():
        raise RunError(
            f"there is no run folder {folder.path}; train first: lectorium train {usual} --out {folder.path}"
        )
    config = folder.read_json(CONFIG)
    if config is None:
        raise RunError(f"{folder.path} is not a run folder: it holds no {CONFIG}")
    fields = {field.name for field in dataclasses.fields(Settings)}
    if not {"recipe", "data"} <= config.keys():
        raise RunError(f"{folder.path / CONFIG} names no recipe and data; is it the config of a run?")
    recipe = get(str(config["recipe"]))
    settings = recipe.settings(**{k: v for k, v in config.items() if k in fields - {"recipe"}})
    facts: dict[str, Any] = config.get("facts") or {}
    model = recipe.build(settings, facts)
    weights = folder.load_weights()
    check_weights(model, weights, folder.path / MODEL, recipe)
    model.load_state_dict(weights)
    return Trained(recipe, settings, model.eval(), facts)


def check_weights(model: Any, weights: Mapping[str, Any], file: Path, recipe: Recipe) -> None:
    """RunError naming the first few keys in which the weights in a file differ from a model's."""
    own = {name: list(value.shape) for name, value in model.state_dict().items()}
    found = {name: list(getattr(value, "shape", [])) for name, value in weights.items()}
    differing = [
        *(f"{n} is missing" for n in own if n not in found),
        *(f"{n} is unexpected" for n in found if n not in own),
        *(f"{n} is {found[n]}, not {own[n]}" for n in own if n in found and found[n] != own[n]),
    ]
    if differing:
        more = f", and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise RunError(f"{file} is not a checkpoint of {recipe.name}: {'; '.join(differing[:3])}{more}")


def evaluate(
    run: str | os.PathLike[str],
    *,
    data: str | None = None,
    limit: int | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Tests the model in a run folder on the run's own data, or on another set; the keys of result.json.

    Errors: RunError for a folder without a checkpoint of the recipe, RecipeError for unsuitable data.

    Example:
        >>> _ = lt.recipes.train("xor-mlp", out="runs/xor", seed=1)
        >>> lt.recipes.evaluate("runs/xor")["test_accuracy"]
        1.0
    """
    listener = listener or Silent()
    recipe, settings, model, facts = load_run(run)
    name = settings.data if data is None else recipe.check_data(data)
    if limit is None and name == settings.data:
        limit = settings.limit
    listener.busy(waiting(name))
    loaded = recipe.read(dataclasses.replace(settings, data=name, limit=limit))
    if loaded.facts != facts:
        other = ", ".join(key for key, value in loaded.facts.items() if facts.get(key) != value)
        raise RecipeError(f"the model in {os.fspath(run)} does not fit {KNOWN[name]}: another {other}")
    listener.say(loaded.note)
    outputs, sums = tested(recipe, model, loaded)
    loss, accuracy = sums.means()
    predictions = predicted(recipe, outputs)
    if predictions.ndim == 1 and loaded.classes:
        listener.confusion(
            confusion_counts(loaded.test.targets, predictions, len(loaded.classes)), loaded.classes
        )
    result: dict[str, Any] = {
        "recipe": recipe.name,
        "data": name,
        "test_accuracy": accuracy,
        "test_loss": loss,
    }
    with no_grad():
        result.update(recipe.watch(model, loaded))
    result["figure"] = recipe.last_line({**(RunFolder(run).read_json(RESULT) or {}), **result})
    return result


def confusion_counts(truth: NDArray[Any], predicted: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """How often each class (row) was taken for each (column).

    Example:
        >>> lt.recipes.evaluation.confusion_counts(np.array([0, 1, 1]), np.array([0, 1, 0]), 2).tolist()
        [[1, 0], [1, 1]]
    """
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)
