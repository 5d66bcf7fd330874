"""Recipes: a data set, a model, an optimizer and a loop for each result of the lectures.

Example:
    >>> lt.recipes.names()[:3]
    ['lenet5', 'perceptron', 'xor-mlp']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import RecipeError, RunError, unknown

if TYPE_CHECKING:
    from .evaluation import evaluate
    from .recipe import Recipe
    from .reporting import report
    from .sampling import sample
    from .session import train

#: What each recipe trains; its file has the name with "_" for "-".
SUMMARIES = {
    "lenet5": "LeNet-5 on Strokes (drawn digits) or MNIST",
    "perceptron": "one perceptron each for AND, OR and XOR; XOR it never learns",
    "xor-mlp": "one hidden layer, which learns XOR",
    "logistic": "logistic regression on digits",
    "mlp": "a multilayer perceptron on digits",
    "cifarnet": "the small convolutional net for CIFAR-10, as PyTorch's beginners write it",
    "hello": "three hidden units learn to write hello",
    "char-rnn": "a text's next character: Shakespeare, or Python's standard library",
    "addition": "two LSTMs: one reads 123+456, the other writes 579",
    "adding-problem": "a sum over a hundred steps: plain RNN, LSTM, GRU and IRNN",
    "speech-ctc": "a bidirectional LSTM that reads digits from speech, with the CTC loss",
    "sentiment": "a GRU that says whether a film review is for or against the film",
    "translate": "an encoder and a decoder with attention, from French to English",
}


_HOME = {"train": "session", "evaluate": "evaluation", "report": "reporting", "sample": "sampling"}


def names() -> list[str]:
    """The recipes' names.

    Example:
        >>> "mlp" in lt.recipes.names()
        True
    """
    return list(SUMMARIES)


def get(name: str) -> Recipe:
    """The recipe of that name. Errors: RecipeError with the nearest name.

    Example:
        >>> lt.recipes.get("mlp").name
        'mlp'
    """
    if name not in SUMMARIES:
        raise unknown("recipe", name, SUMMARIES)
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}").recipe


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["SUMMARIES", "RecipeError", "RunError", "evaluate", "get", "names", "report", "sample", "train"]
