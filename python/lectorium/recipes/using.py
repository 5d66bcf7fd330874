"""Asking the models that the recipes translate, speech-ctc and sentiment have trained."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from ..autograd import no_grad
from .errors import RecipeError
from .evaluation import Trained, load_run

Run = str | os.PathLike[str]


def translate(text: str, run: Run = "runs/translate") -> str:
    """A French sentence in English. Errors: RecipeError for an empty one or another recipe, RunError."""
    from .translate import translations

    trained = _load(run, "translate", "translates")
    return translations(trained.model, trained.facts, [text])[0]


def transcribe(path: str | os.PathLike[str], run: Run = "runs/speech-ctc") -> list[int]:
    """The digits said in a WAV file of 8000 samples a second, by beam search over all alignments.

    Errors: RecipeError for another rate, a sound that is too short, or another recipe; DataError for what is
    no WAV file; RunError.
    """
    from ..datasets import FSDD, read_wav
    from .speech_ctc import digits_of

    trained = _load(run, "speech-ctc", "reads speech")
    sound, rate = read_wav(path)
    if rate != FSDD.rate:
        raise RecipeError(
            f"{os.fspath(path)} has {rate} samples a second, the model reads {FSDD.rate}; convert it first, "
            f"for example: ffmpeg -i IN.wav -ar {FSDD.rate} OUT.wav"
        )
    if not len(sound):
        raise RecipeError(f"{os.fspath(path)} holds no sound")
    return digits_of(trained.model, sound)


def judge(text: str, run: Run = "runs/sentiment") -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The classes and the probability of each for a sentence about a film.

    Errors: RecipeError for an empty one or another recipe, RunError.
    """
    from ..datasets import RTPolarity
    from .sentiment import chances

    trained = _load(run, "sentiment", "judges sentences")
    with no_grad():
        return RTPolarity.names, chances(trained.model, trained.facts, text)


def _load(run: Run, recipe: str, does: str) -> Trained:
    trained = load_run(run, recipe)
    if trained.recipe.name != recipe:
        raise RecipeError(f"{trained.recipe.name} in {os.fspath(run)} is not what {does}; train {recipe}")
    return trained
