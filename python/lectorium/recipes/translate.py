"""Translation from French: an encoder and a decoder with attention learn from short sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor
from ..autograd import no_grad
from ..creation import from_numpy, ones
from ..datasets import Tatoeba
from ..datasets.words import BOS, EOS, WordVocabulary, english_words, french_words, join_words, padded
from ..models import Translator
from ..optim.lr_scheduler import OneCycleLR
from .beam_search import Step, beam_search
from .bleu import bleu
from .errors import RecipeError
from .listener import Listener
from .recipe import Data, Defaults, Examples, Recipe, Settings

BEAM, LONGEST = 4, 20
AT_ONCE = 200  # sentences translated together
SHOWN = (5, 150, 300, 450, 600, 750)  # the test sentences whose attention is drawn


@dataclasses.dataclass(frozen=True)
class Pairs(Data):
    """`asked`: each French sentence to test on, once; `references`: its English translations."""

    asked: tuple[str, ...] = ()
    references: tuple[tuple[str, ...], ...] = ()


class TranslateRecipe(Recipe):
    """A bidirectional GRU, additive attention, a GRU that writes; BLEU of beam search on unseen sentences."""

    name = "translate"
    title = "French to English"
    unit = "pairs"
    datasets: ClassVar[dict[str, Defaults]] = {"tatoeba": Defaults(epochs=12, batch_size=64, lr=0.003)}
    input_shape = (7,)
    keeps_outputs = False
    test_batch = 200

    def load(self, data: str, limit: int | None = None) -> Data:
        train, test = (Tatoeba(train=part).pairs for part in (True, False))
        # From all pairs, so that the numbers of words do not depend on the limit. A French word that occurs
        # once is as good as unknown; English ones are kept, to be written.
        french = WordVocabulary.of((french_words(pair[1]) for pair in train), least=2)
        english = WordVocabulary.of((english_words(pair[0]) for pair in train), special=(BOS, EOS))
        train, test = train[:limit], test[:limit]
        known: dict[str, list[str]] = {}
        for pair in test:
            known.setdefault(pair[1], []).append(pair[0])
        note = (
            f"Tatoeba: {len(train):,} pairs to train on, {len(test):,} to test on; "
            f"{len(french):,} French words, {len(english):,} English ones"
        )
        return Pairs(
            train=_examples(train, french, english),
            test=_examples(test, french, english),
            classes=(),
            note=note,
            facts={"french": french.words, "english": english.words},
            asked=tuple(known),
            references=tuple(tuple(texts) for texts in known.values()),
        )

    def model(self) -> nn.Module:
        return Translator(source=3608, target=3819)

    def build(self, settings: Settings, facts: Mapping[str, Any]) -> nn.Module:
        return Translator(len(facts["french"]), len(facts["english"]))

    def example(self) -> tuple[Tensor, ...]:
        return ones(1, 7).long(), from_numpy(np.array([7])), ones(1, 6).long()

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> OneCycleLR:
        return OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps)

    def forward(
        self, model: nn.Module, batch: Examples, state: tuple[Tensor, ...] | None
    ) -> tuple[Any, tuple[Tensor, ...] | None]:
        # The decoder reads the true words up to one, and says the next.
        longest = int((batch.targets != 0).sum(axis=1).max())
        read = batch.targets[:, : longest - 1]
        return model(*_source(batch.inputs), from_numpy(read.copy())), None

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        said = target[:, 1 : 1 + output.shape[1]]
        return nn.functional.cross_entropy(
            output.flatten(0, 1), said.reshape(-1), ignore_index=0, label_smoothing=0.1
        )

    def clip(self, model: nn.Module) -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    def right(self, output: Tensor, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each word is right, the true ones before it given."""
        said = targets[:, 1 : 1 + output.shape[1]]
        return (output.detach().argmax(dim=2).numpy() == said)[said != 0]

    def watch(self, model: nn.Module, data: Data) -> dict[str, float]:
        assert isinstance(data, Pairs)
        return {"bleu": bleu(translations(model, data.facts, data.asked), data.references)}

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .. import plot

        data = run.data
        run.folder.write("curves.png", plot.curves(run.history, run.trace, "French to English"))
        shown = [data.asked[at % len(data.asked)] for at in SHOWN]
        said = translations(run.model, data.facts, shown)
        for source, answer in zip(shown, said, strict=True):
            listener.say(f"  {source}  →  {answer}")
        maps = [
            attention_map(run.model, data.facts, source, answer)
            for source, answer in zip(shown, said, strict=True)
        ]
        title = "French to English: where the decoder looks as it writes each word"
        run.folder.write("attention.png", plot.attention(maps, title))
        return {}

    def last_line(self, result: dict[str, Any]) -> str:
        return f"BLEU {result['bleu']:.2f}"


def translations(
    model: Any, facts: Mapping[str, Any], sentences: Sequence[str], width: int = BEAM
) -> list[str]:
    """What the model makes of French sentences, by beam search. Errors: RecipeError for an empty one."""
    french, english = WordVocabulary(facts["french"]), WordVocabulary(facts["english"])
    model.eval()
    found: list[str] = []
    for start in range(0, len(sentences), AT_ONCE):
        state, *memory = _read(model, french, sentences[start : start + AT_ONCE])
        answers = beam_search(
            _step(model, [part.repeat_interleave(width, dim=0) for part in memory]),
            state, english.numbers[BOS], english.numbers[EOS], width, LONGEST,
        )  # fmt: skip
        found += [join_words(english.decode(answer)) for answer in answers]
    return found


def _step(model: Any, memory: Sequence[Tensor]) -> Step:
    def step(word: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        seen, state, _ = model.decoder.step(word, state, *memory)
        return model.decoder.scores(seen).log_softmax(dim=1), state

    return step


def attention_map(
    model: Any, facts: Mapping[str, Any], sentence: str, answer: str
) -> tuple[NDArray[np.float32], list[str], list[str]]:
    """The weights [words, source words] while an answer is written, the source's words, the answer's."""
    french, english = WordVocabulary(facts["french"]), WordVocabulary(facts["english"])
    words = english_words(answer)
    weights: list[NDArray[np.float32]] = []
    with no_grad():
        state, *memory = _read(model, french, [sentence])
        for word in english.encode([BOS, *words]):
            _, state, looked = model.decoder.step(from_numpy(np.array([word])), state, *memory)
            weights.append(looked.numpy()[0])
    return np.stack(weights), french_words(sentence), [*words, EOS]


def _read(model: Any, french: WordVocabulary, sentences: Sequence[str]) -> tuple[Tensor, ...]:
    """The state to begin with, the memory, its part of the attention's scores, and where it holds a word."""
    words = [french_words(sentence) for sentence in sentences]
    if not all(words):
        raise RecipeError("the text is empty; expected a French sentence")
    x, lengths = _source(padded([french.encode(sentence) for sentence in words]))
    with no_grad():
        memory, state = model.encoder(x, lengths)
        return state, memory, model.decoder.attention.project(memory), x != 0


def _source(numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """The words of sources without what only the longest of all sources needs, and their lengths."""
    lengths = (numbers != 0).sum(axis=1)
    return from_numpy(numbers[:, : lengths.max()].copy()), from_numpy(lengths)


def _examples(pairs: Sequence[tuple[str, str]], french: WordVocabulary, english: WordVocabulary) -> Examples:
    return Examples(
        padded([french.encode(french_words(pair[1])) for pair in pairs]),
        padded([english.encode([BOS, *english_words(pair[0]), EOS]) for pair in pairs]),
    )


recipe = TranslateRecipe()
