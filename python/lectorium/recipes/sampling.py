"""Writing with a trained character model."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..creation import from_numpy
from ..datasets import Vocabulary
from ..functions.random import multinomial
from ..random import Generator
from .char_rnn import advance
from .errors import RecipeError
from .evaluation import load_run
from .recipe import whole


def sample(
    run: str | os.PathLike[str],
    *,
    prime: str = "\n",
    length: int = 500,
    temperature: float = 1.0,
    seed: int = 0,
) -> str:
    """`length` characters that the model in a run folder writes after the text `prime`.

    `temperature`: the scores are divided by it; near 0 the likeliest character is taken each time.
    Errors: RecipeError for a run of another recipe, an empty text or one with characters that the vocabulary
    lacks, or a number that makes no sense; RunError for a folder without a model.

    Example:
        >>> _ = lt.recipes.train("char-rnn", out="runs/tiny", limit=2, epochs=1, hidden=8, length=20)
        >>> len(lt.recipes.sample("runs/tiny", prime="def ", length=10))
        10
    """
    whole("length", length, 1)
    whole("seed", seed, 0)
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
        raise RecipeError(f"temperature must be a number, got {temperature!r}")
    if not (math.isfinite(temperature) and temperature > 0):
        raise RecipeError(f"temperature must be a finite number above 0, got {temperature}")
    if not isinstance(prime, str):
        raise RecipeError(f"prime must be a text, got {prime!r}")
    recipe, _, model, facts = load_run(run, "char-rnn")
    if recipe.name != "char-rnn":
        raise RecipeError(f"{recipe.name} in {os.fspath(run)} writes no text; train char-rnn")
    try:
        return written(model, Vocabulary(facts["vocabulary"]), prime, length, temperature, seed)
    except ValueError as error:
        raise RecipeError(str(error)) from None


def written(
    model: Any, vocabulary: Vocabulary, prime: str, length: int, temperature: float, seed: int
) -> str:
    """What a model writes after `prime`. Errors: ValueError for a text that the vocabulary lacks."""
    source = Generator().manual_seed(seed)
    x = vocabulary.encode(prime, "prime text")
    state = None
    numbers: list[int] = []
    with no_grad():
        while True:
            scores, state = advance(model, from_numpy(x[None]), state)
            # From here on in double precision: a temperature near 0 makes large numbers.
            last = scores[0, -1].numpy().astype(np.float64) / temperature
            chances = np.exp(last - last.max())
            numbers.append(int(multinomial(from_numpy(chances), 1, generator=source).item()))
            if len(numbers) == length:
                return vocabulary.decode(numbers)
            x = np.array(numbers[-1:], np.int64)
