"""Many to one: a GRU reads a sentence of a film review and says whether it is for or against the film."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor
from ..creation import from_numpy, ones
from ..datasets import RTPolarity
from ..datasets.words import WordVocabulary, padded
from ..models import SentimentGRU
from ..optim.lr_scheduler import OneCycleLR
from .errors import RecipeError
from .listener import Listener
from .recipe import Data, Defaults, Examples, Recipe, Settings

DROPPED = 0.1  # of the words, in training: read as unknown, which teaches what to make of those


class SentimentRecipe(Recipe):
    """A bidirectional GRU on RT-polarity, with embeddings learned from scratch; 75 % or better."""

    name = "sentiment"
    title = "Sentiment"
    unit = "sentences"
    datasets: ClassVar[dict[str, Defaults]] = {"rt-polarity": Defaults(epochs=4, batch_size=50, lr=0.002)}
    input_shape = (20,)

    def load(self, data: str, limit: int | None = None) -> Data:
        parts = [RTPolarity(train=train) for train in (True, False)]
        texts = [[sentence.split() for sentence in part.sentences] for part in parts]
        # From all sentences, so that the numbers of words do not depend on the limit.
        words = WordVocabulary.of(texts[0], least=2)
        train, test = (
            Examples(padded([words.encode(sentence) for sentence in sentences]), part.labels)
            .take(_mixed(part.labels))
            .first(limit)
            for sentences, part in zip(texts, parts, strict=True)
        )
        note = (
            f"RT-polarity: {len(train):,} sentences to train on, {len(test):,} to test on; "
            f"{len(words):,} words that occur twice or more"
        )
        return Data(train, test, RTPolarity.names, note, {"words": words.words})

    def model(self) -> nn.Module:
        return SentimentGRU(words=9700)

    def build(self, settings: Settings, facts: Mapping[str, Any]) -> nn.Module:
        return SentimentGRU(len(facts["words"]))

    def example(self) -> tuple[Tensor, ...]:
        return ones(1, 20).long(), from_numpy(np.array([20]))

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> OneCycleLR:
        return OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps)

    def augment(self, inputs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        dropped = (rng.random(inputs.shape) < DROPPED) & (inputs != 0)
        return np.where(dropped, 1, inputs)

    def forward(
        self, model: nn.Module, batch: Examples, state: tuple[Tensor, ...] | None
    ) -> tuple[Any, tuple[Tensor, ...] | None]:
        lengths = (batch.inputs != 0).sum(axis=1)
        words = np.ascontiguousarray(batch.inputs[:, : lengths.max()])
        return model(from_numpy(words), from_numpy(lengths)), None

    def clip(self, model: nn.Module) -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .. import plot
        from .evaluation import confusion_counts

        test, classes = run.data.test, run.data.classes
        counts = confusion_counts(test.targets, run.predictions, len(classes))
        listener.confusion(counts, classes)
        run.folder.write("curves.png", plot.curves(run.history, run.trace, "Sentiment on RT-polarity"))
        run.folder.write("confusion.png", plot.confusion(counts, classes, "Sentiment on RT-polarity"))
        words = WordVocabulary(run.data.facts["words"])
        margin = (run.outputs[:, 1] - run.outputs[:, 0]) * (1 - 2 * test.targets)
        listener.say("  Its surest mistakes:")
        for at in np.argsort(-margin, kind="stable")[:4].tolist():
            said = " ".join(words.decode(test.inputs[at][test.inputs[at] != 0].tolist()))
            listener.say(f"  {classes[run.predictions[at]]:8}  for: {said}")
        return {}


def chances(model: Any, facts: Mapping[str, Any], text: str) -> NDArray[np.float64]:
    """The probability of each class for a sentence. Errors: RecipeError for one without words."""
    words = re.findall(r"\w+(?:['-]\w+)*|[^\w\s]", text.lower())
    if not words:
        raise RecipeError("the text is empty; expected a sentence")
    numbers = WordVocabulary(facts["words"]).encode(words)
    output = model(from_numpy(numbers[None]), from_numpy(np.array([len(numbers)])))
    return output.softmax(dim=1).numpy()[0].astype(np.float64)


def _mixed(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of the examples, the classes in turn, so that a limit leaves as many of each."""
    within = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        within[labels == label] = np.arange((labels == label).sum())
    return np.lexsort((labels, within))


recipe = SentimentRecipe()
