"""What a character model leaves at its end: curves, a sample, and units that follow the text, in colours."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import no_grad
from ..creation import from_numpy
from ..datasets import Vocabulary
from .char_rnn import advance
from .data_names import KNOWN
from .listener import Listener
from .sampling import written

STREAMS, LENGTH = 16, 1500  # the text in which units are looked for; the first stream is shown
SAMPLE, TEMPERATURE = 600, 0.7

F64 = NDArray[np.float64]


def text_pages(run: Any, listener: Listener) -> dict[str, Any]:
    """Writes curves.png, sample.txt and units.html; returns the units found, and the sample."""
    from .. import plot

    title = f"{run.recipe.title} on {KNOWN[run.settings.data]}"
    vocabulary = Vocabulary(run.data.facts["vocabulary"])
    run.folder.write("curves.png", plot.curves(run.history, run.trace, title))
    text = written(run.model, vocabulary, "\n", SAMPLE, TEMPERATURE, run.settings.seed)
    run.folder.write("sample.txt", text.encode())
    listener.say("\n".join(f"  {line}" for line in text.splitlines()[:12]))
    numbers = run.data.test.inputs.ravel()
    length = min(LENGTH, len(numbers) // STREAMS) or len(numbers)
    numbers = numbers[: len(numbers) // length * length][: STREAMS * length].reshape(-1, length)
    texts = [vocabulary.decode(row) for row in numbers.tolist()]
    values = unit_values(run.model, numbers)
    found: dict[str, dict[str, Any]] = {}
    shown: list[tuple[str, F64]] = []
    looked_for = dict(PROPERTIES)
    if run.settings.data != "stdlib":
        # In prose a single one is mostly an apostrophe ('tis).
        looked_for["in quotes"] = functools.partial(in_quotes, marks='"')
    for name, about in looked_for.items():
        wanted = np.stack([about(text) for text in texts])
        best = best_unit(values, wanted)
        if best is None:
            continue
        layer, unit, correlation = best
        found[name] = {"layer": layer + 1, "unit": unit, "correlation": round(correlation, 3)}
        line = f"{name}: unit {unit} of layer {layer + 1}, correlation {correlation:+.2f}"
        listener.say(f"  {line}")
        shown.append((line, values[layer, 0, :, unit]))
    note = "Blue is above 0, orange below: the value of the unit after it has read the character."
    lacking = [name for name in PROPERTIES if name not in found]
    if lacking:
        note += f" This part of the text has nothing to look for in: {', '.join(lacking)}."
    run.folder.write("units.html", plot.units_page(texts[0], shown, title, note))
    return {"units": found, "sample": text}


def unit_values(model: Any, numbers: NDArray[np.int64]) -> F64:
    """The value in -1..1 of every unit after each character of some texts [N, T]: [layers, N, T, units].

    Of an LSTM the tanh of its cell, otherwise the hidden state.
    """
    kept: list[NDArray[Any]] = []
    state = None
    with no_grad():
        for t in range(numbers.shape[1]):
            _, state = advance(model, from_numpy(numbers[:, t : t + 1].copy()), state)
            kept.append((state[1].tanh() if len(state) == 2 else state[0]).numpy().copy())
    return np.stack(kept, axis=2).astype(np.float64)


def best_unit(values: F64, wanted: F64) -> tuple[int, int, float] | None:
    """Layer, unit and correlation of the unit that follows `wanted` [N, T] most; None if that never changes.

    Example:
        >>> values = np.random.default_rng(0).uniform(-1, 1, (2, 3, 50, 4))
        >>> layer, unit, r = lt.recipes.text_pages.best_unit(values, -values[1, :, :, 2])
        >>> layer, unit, round(r, 6)
        (1, 2, -1.0)
    """
    wanted = wanted - wanted.mean()
    if not wanted.any():
        return None
    centred = values - values.mean(axis=(1, 2), keepdims=True)
    products = np.einsum("lntu,nt->lu", centred, wanted)
    lengths = np.sqrt(np.einsum("lntu,lntu->lu", centred, centred) * np.square(wanted).sum())
    correlations = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    layer, unit = np.unravel_index(int(np.abs(correlations).argmax()), correlations.shape)
    return int(layer), int(unit), float(correlations[layer, unit])


def in_quotes(text: str, marks: str = "\"'") -> F64:
    """1 for what stands in quotes, as Python has them; an apostrophe in a word is none.

    Example:
        >>> lt.recipes.text_pages.in_quotes("don't 'a' b").tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    inside = np.zeros(len(text))
    mark, i = "", 0
    while i < len(text):
        if mark:
            if text.startswith(mark, i):
                i, mark = i + len(mark), ""
                continue
            if text[i] == "\\":
                inside[i : i + 2] = 1
                i += 2
                continue
            if text[i] == "\n" and len(mark) == 1:  # never closed
                mark = ""
                i += 1
                continue
            inside[i] = 1
        elif text[i] in marks and not (text[i] == "'" and i and text[i - 1].isalnum()):
            mark = text[i] * 3 if text.startswith(text[i] * 3, i) else text[i]
            inside[i] = 1
            i += len(mark)
            continue
        i += 1
    return inside


def line_position(text: str) -> F64:
    """How many characters of its line stand before each one.

    Example:
        >>> lt.recipes.text_pages.line_position("ab\\nc").tolist()
        [0.0, 1.0, 2.0, 0.0]
    """
    return np.array([column for line in text.splitlines(keepends=True) for column in range(len(line))], float)


def indentation(text: str) -> F64:
    """With how many spaces the line begins in which each character stands; 20 at most.

    Example:
        >>> lt.recipes.text_pages.indentation("a\\n  b").tolist()
        [0.0, 0.0, 2.0, 2.0, 2.0]
    """
    depths: list[int] = []
    for line in text.splitlines(keepends=True):
        depths += [min(20, len(line) - len(line.lstrip(" ")))] * len(line)
    return np.array(depths, float)


#: What units are looked for.
PROPERTIES = {"in quotes": in_quotes, "indentation": indentation, "position in the line": line_position}
