"""The pictures and tables at the end of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import no_grad
from ..ops import relu
from .data_names import KNOWN
from .evaluation import confusion_counts
from .listener import Listener
from .session import Finished


def classifier_pictures(run: Finished, listener: Listener, *convolutions: Any) -> dict[str, Any]:
    """Curves, confusion matrix, worst mistakes; of convolutions the first one's filters and all feature maps.

    Writes them into the run folder and returns what result.json should know of them: nothing.
    """
    from .. import plot

    test, classes = run.data.test, run.data.classes
    counts = confusion_counts(test.targets, run.predictions, len(classes))
    listener.confusion(counts, classes)
    write = run.folder.write
    title = f"{run.recipe.title} on {KNOWN[run.settings.data]}"
    write("curves.png", plot.curves(run.history, run.trace, title))
    write("confusion.png", plot.confusion(counts, classes, title))
    write("mistakes.png", plot.mistakes(*_worst(run, 24), classes, title))
    if convolutions:
        write("filters.png", plot.filters(convolutions[0].weight.detach().numpy(), title))
        sample = int(np.argmax(run.predictions == test.targets))  # the first that is read right
        maps = _feature_maps(run, sample, convolutions)
        name = classes[int(test.targets[sample])]
        write(
            "feature_maps.png",
            plot.feature_maps(test.inputs[sample], maps, f"{title}: what it sees in a “{name}”"),
        )
    return {}


def gate_pictures(run: Finished, gates: tuple[str, ...]) -> None:
    """Curves, and where in the plane of the two inputs each unit fires."""
    from .. import plot

    title = f"{run.recipe.title} on {KNOWN[run.settings.data]}"
    if len(gates) > 1:
        run.folder.write("curves.png", plot.gate_curves(run.history, gates, title))
    else:
        run.folder.write("curves.png", plot.curves(run.history, run.trace, title))
    side = np.linspace(-0.5, 1.5, 201, dtype=np.float32)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    with no_grad():
        fires = run.recipe.predict(run.model(run.recipe.prepare(grid))).reshape(len(side), len(side), -1)
    test = run.data.test
    run.folder.write("gates.png", plot.gates(side, fires, test.inputs, test.targets, gates, title))


def _worst(run: Finished, most: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The mistakes of which the model was surest: pictures, truth, answers, the answers' probabilities."""
    shifted = np.exp(run.outputs - run.outputs.max(axis=1, keepdims=True))
    chances = (shifted / shifted.sum(axis=1, keepdims=True)).max(axis=1)
    wrong = np.flatnonzero(run.predictions != run.data.test.targets)
    worst = wrong[np.argsort(-chances[wrong], kind="stable")][:most]
    test = run.data.test
    return test.inputs[worst], test.targets[worst], run.predictions[worst], chances[worst]


def _feature_maps(run: Finished, sample: int, convolutions: tuple[Any, ...]) -> list[NDArray[Any]]:
    """What each convolution makes of one picture, after ReLU: arrays [channels, height, width]."""
    caught: list[NDArray[Any]] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        caught.append(relu(output)[0].numpy())

    handles = [conv.register_forward_hook(keep) for conv in convolutions]
    try:
        with no_grad():
            run.model(run.recipe.prepare(run.data.test.inputs[sample : sample + 1]))
    finally:
        for handle in handles:
            handle.remove()
    return caught
