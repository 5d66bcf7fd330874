"""The data sets of the recipes by the names that the command line uses."""

from __future__ import annotations

#: Every name that `--data` knows, and the set's name in prose.
KNOWN = {
    "strokes": "Strokes",
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "gates": "gates",
    "xor": "XOR",
    "hello": "hello",
    "stdlib": "Python's standard library",
    "tinyshakespeare": "Tiny Shakespeare",
    "sums": "sums",
    "adding": "adding problem",
    "spoken-digits": "spoken digits",
    "rt-polarity": "RT-polarity",
    "tatoeba": "Tatoeba",
}


def waiting(name: str) -> str:
    """What is going on while a set is loaded.

    Example:
        >>> lt.recipes.data_names.waiting("mnist")
        'loading MNIST'
    """
    return "drawing the digits of Strokes" if name == "strokes" else f"loading {KNOWN[name]}"
