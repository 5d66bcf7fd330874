"""A run from its settings to its last line: a folder, checkpoints, stopping, resuming, the result."""

from __future__ import annotations

import dataclasses
import os
import shlex
import time
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from .._core import __version__, get_num_threads, set_num_threads
from ..autograd import no_grad
from . import get
from .data_names import waiting
from .errors import RecipeError, RunError
from .evaluation import check_weights, predicted, tested
from .listener import Listener, Silent
from .options import flag
from .recipe import Data, Recipe, Settings, whole
from .run_folder import CHECKPOINT, CONFIG, METRICS, RESULT, RunFolder
from .stop import Stopped, StopSignals
from .training import Batch, EpochEnd, Training

EVERY = 3.0  # seconds between checkpoints within an epoch; at most 5 with the batch under way


@dataclasses.dataclass(frozen=True)
class Finished:
    """What a recipe's `finish` gets: the trained model and its outputs for the test set."""

    settings: Settings
    recipe: Recipe
    model: Any
    data: Data
    outputs: NDArray[Any]
    predictions: NDArray[Any]
    history: list[dict[str, float]]
    trace: list[list[float]]
    folder: RunFolder


def train(
    recipe: str,
    *,
    data: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    seed: int | None = None,
    limit: int | None = None,
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    listener: Listener | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Trains a recipe in the run folder `out` (``runs/<recipe>``) and returns what result.json holds.

    `resume`: goes on from the folder's last checkpoint, as if never stopped; a complete run is left as it is.
    `limit`: at most so many examples to train on and to test on. `options`: those that only this recipe has,
    such as ``cell="gru"``. What is None has the recipe's own value, or, with `resume`, the run's. Errors:
    RecipeError, RunError, OSError for a full disk (the last checkpoint stays), KeyboardInterrupt after Ctrl-C
    (with a checkpoint).

    Example:
        >>> result = lt.recipes.train("xor-mlp", out="runs/xor", seed=1)
        >>> result["test_accuracy"], result["epochs"]
        (1.0, 10)
    """
    if threads is not None:
        set_num_threads(whole("threads", threads, 1))
    given: dict[str, Any] = {
        "data": data,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "seed": seed,
        "limit": limit,
        "options": options,
    }
    session = _Session(get(recipe), out, listener or Silent())
    checked = session.recipe.settings(**given)  # wrong values are an error before anything is touched
    given["options"] = {name: checked.options[name] for name, value in options.items() if value is not None}
    with StopSignals() as signals, session.folder:
        return session.run(given, resume, signals)


class _Session:
    def __init__(self, recipe: Recipe, out: str | os.PathLike[str] | None, listener: Listener) -> None:
        self.recipe = recipe
        default = os.path.join("runs", recipe.name)
        self.folder = RunFolder(default if out is None else out)
        self.listener = listener
        place = (
            "" if os.fspath(self.folder.path) == default else f" --out {shlex.quote(str(self.folder.path))}"
        )
        self.again = f"lectorium train {recipe.name}{place} --resume"
        self._saved = 0.0
        self._checkpoints = False  # whether there is one to go on from

    def run(self, given: dict[str, Any], resume: bool, signals: StopSignals) -> dict[str, Any]:
        state: dict[str, Any] | None = None
        if resume:
            state, given, result = self._old_run(given)
            if result is not None:
                self.listener.say(
                    f"the run in {self.folder.path} is complete ({given['epochs']} epochs); nothing to do"
                )
                return result
        elif self.folder.erase():
            self.listener.say(
                f"{self.folder.path} held an older run, which this one replaces (--resume goes on with one)"
            )
        settings = self.recipe.settings(**given)
        config: dict[str, Any] = {
            **dataclasses.asdict(settings), "threads": get_num_threads(), "version": __version__
        }  # fmt: skip
        self.folder.write_json(CONFIG, config)
        self.listener.busy(waiting(settings.data))
        try:
            loaded = self.recipe.read(settings)
        except Stopped as stop:
            raise Stopped(
                "stopped before the first batch; there is nothing to save yet", stop.number
            ) from None
        if loaded.facts:
            self.folder.write_json(CONFIG, {**config, "facts": loaded.facts})
        self.listener.say(loaded.note)
        training = Training(self.recipe, settings, loaded)
        if state is not None:
            self._restore(training, state)
            self._checkpoints = True
        usual = "images" if len(self.recipe.input_shape) == 3 else "examples"
        self.listener.begin(settings.epochs, self.recipe.unit or usual)
        try:
            self._loop(training, signals)
            self.listener.busy("drawing the pictures of the run")
            return self._finish(training)
        except Stopped as stop:
            if training.complete:
                raise Stopped(
                    f"stopped after the last epoch; for the pictures and the result: {self.again}",
                    stop.number,
                ) from None
            raise

    # Resuming.

    def _old_run(
        self, given: dict[str, Any]
    ) -> tuple[dict[str, Any] | None, dict[str, Any], dict[str, Any] | None]:
        """The checkpoint, the settings to go on with, and the result of a run that is complete."""
        result, state = self.folder.read_json(RESULT), self.folder.load_checkpoint()
        if result is not None and "figure" not in result:
            result = None
        old = state["settings"] if state is not None else self.folder.read_json(CONFIG)
        path = self.folder.path
        if old is None:
            self.listener.say(f"no run in {path} yet: starting from the beginning")
            return None, given, None
        if old.get("recipe") != self.recipe.name:
            raise RecipeError(
                f"{path} holds a run of {old.get('recipe')}, not of {self.recipe.name}; choose another --out"
            )
        if state is None and result is None:
            self.listener.say(f"no checkpoint in {path} yet: starting from the beginning")
            return None, _merged(old, given), None
        before, now = _flat(old), _flat(given)
        for name, value in now.items():
            if value is not None and value != before.get(name):
                raise RecipeError(
                    f"the run in {path} has {flag(name)} {before.get(name)}, not {value}; a run is resumed "
                    f"with its own settings: leave {flag(name)} out, or start another run without --resume"
                )
        return state, _merged(old, dict.fromkeys(given)), result

    def _restore(self, training: Training, state: dict[str, Any]) -> None:
        check_weights(training.model, state["model"], self.folder.path / CHECKPOINT, self.recipe)
        try:
            training.load_state(state)
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise RunError(
                f"the checkpoint in {self.folder.path} does not fit this version of {self.recipe.name} "
                f"({reason}); train again without --resume"
            ) from None
        if training.complete:
            self.listener.say(f"resuming {self.folder.path}: all {training.epoch} epochs are trained")
        else:
            self.listener.say(f"resuming {self.folder.path} from {_where(training)}")

    # Training.

    def _loop(self, training: Training, signals: StopSignals) -> None:
        self._saved = time.monotonic()
        signals.patient = True
        for event in training.run():
            stop = signals.received
            if isinstance(event, Batch):
                self.listener.batch(event)
            ended = isinstance(event, EpochEnd)
            if ended or stop is not None or time.monotonic() - self._saved >= EVERY:
                self._save(training)
            if isinstance(event, EpochEnd):
                self.folder.write_csv(METRICS, training.history)
                self.listener.epoch(event.row)
            if stop is not None:
                raise self._stopped(training, stop)
        signals.patient = False
        if signals.received is not None:
            raise Stopped("stopped", signals.received)

    def _save(self, training: Training) -> None:
        try:
            self.folder.save_checkpoint(training.state())
        except OSError as error:
            last = f"; the last one stays, to go on from it: {self.again}" if self._checkpoints else ""
            raise RunError(f"cannot save a checkpoint: {error.filename}: {error.strerror}{last}") from None
        self._checkpoints = True
        self._saved = time.monotonic()

    def _stopped(self, training: Training, number: int) -> Stopped:
        where = _where(training)
        return Stopped(
            f"stopped in {where}; checkpoint in {self.folder.path}; to go on: {self.again}", number
        )

    def _finish(self, training: Training) -> dict[str, Any]:
        settings, test = training.settings, training.data.test
        outputs, sums = tested(self.recipe, training.model, training.data)
        loss, accuracy = sums.means()
        predictions = predicted(self.recipe, outputs)
        run = Finished(
            settings, self.recipe, training.model, training.data, outputs, predictions,
            training.history, training.trace, self.folder,
        )  # fmt: skip
        self.folder.write_csv(METRICS, training.history)
        with no_grad():
            watched = self.recipe.watch(training.model, training.data)
        more = self.recipe.finish(run, self.listener)
        result: dict[str, Any] = {
            **dataclasses.asdict(settings),
            "test_accuracy": accuracy,
            "test_loss": loss,
            **watched,
            **more,
            "train_examples": len(training.data.train),
            "test_examples": len(test),
            "parameters": sum(p.numel() for p in training.model.parameters()),
            "training_seconds": round(training.seconds, 3),
            "version": __version__,
        }
        result["figure"] = self.recipe.last_line(result)
        self.folder.write_json(RESULT, result)  # last: it is what makes the run complete
        return result


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the recipe's own options beside the others."""
    return {**settings, **(settings.get("options") or {}), "options": None}


def _merged(old: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, and for the rest what an older run had."""
    merged = {name: old.get(name) if value is None else value for name, value in given.items()}
    return {**merged, "options": {**(old.get("options") or {}), **(given["options"] or {})}}


def _where(training: Training) -> str:
    epochs = training.settings.epochs
    return f"epoch {training.epoch + 1} of {epochs}, after batch {training.step} of {training.steps}"
