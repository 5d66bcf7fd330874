"""Digits from speech: a bidirectional LSTM learns with the CTC loss which were said, and finds out when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import nn, optim
from .._core import Tensor
from ..autograd import no_grad
from ..creation import from_numpy
from ..datasets import FSDD, SpokenDigits, log_mel
from ..models import SpeechCTC
from ..optim.lr_scheduler import OneCycleLR
from .edit_distance import edit_distance
from .listener import Listener
from .recipe import Data, Defaults, Examples, Recipe, Settings

BLANK = 10
NONE = -1  # fills up the targets
TRAIN, TEST = 2000, 300
F32 = NDArray[np.float32]


class SpeechCTCRecipe(Recipe):
    """Strings of three to five digits, joined from FSDD's recordings; under 8 % wrong labels."""

    name = "speech-ctc"
    title = "Speech with CTC"
    unit = "sequences"
    datasets: ClassVar[dict[str, Defaults]] = {"spoken-digits": Defaults(epochs=12, batch_size=16, lr=0.004)}
    input_shape = (100, 80)
    keeps_outputs = False
    test_batch = 100

    def load(self, data: str, limit: int | None = None) -> Data:
        # Short sequences too: their few alignments are where learning begins.
        train, test = SpokenDigits(train=True, n=TRAIN, least=1), SpokenDigits(train=False, n=TEST)
        parts = (
            Examples(_objects(train.recordings), _targets(train.digits)),
            # Always the same sounds, and so their features once for all.
            Examples(
                _objects([sound_features(test.waveform(i)) for i in range(TEST)]), _targets(test.digits)
            ),
        )
        first, second = (part.first(limit) for part in parts)
        note = (
            f"spoken digits: {len(first):,} sequences of 1 to 5 digits to train on, joined anew each time, "
            f"{len(second):,} of 3 to 5 to test on, of other recordings"
        )
        return Data(first, second, FSDD.names, note)

    def model(self) -> nn.Module:
        return SpeechCTC()

    def example(self) -> tuple[Tensor, ...]:
        return from_numpy(np.zeros((100, 1, 80), np.float32)), from_numpy(np.array([100]))

    def optimizer(self, model: nn.Module, settings: Settings) -> optim.Optimizer:
        return optim.Adam(model.parameters(), lr=settings.lr)

    def schedule(self, optimizer: optim.Optimizer, settings: Settings, steps: int) -> OneCycleLR:
        return OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps)

    def augment(self, inputs: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        return _objects([_joined(recordings, rng) for recordings in inputs])

    def forward(
        self, model: nn.Module, batch: Examples, state: tuple[Tensor, ...] | None
    ) -> tuple[Any, tuple[Tensor, ...] | None]:
        frames, lengths = _padded(batch.inputs)
        return (model(from_numpy(frames), from_numpy(lengths)), lengths), None

    def loss(self, output: Any, target: Tensor) -> Tensor:
        scores, lengths = output
        return nn.functional.ctc_loss(
            scores, target.clamp(min=0), lengths.tolist(), (target != NONE).sum(dim=1), blank=BLANK
        )

    def clip(self, model: nn.Module) -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)

    def right(self, output: Any, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether all digits of a sequence are right."""
        answers = read(*output)
        return np.array([a == t[t != NONE].tolist() for a, t in zip(answers, targets, strict=True)])

    def watch(self, model: nn.Module, data: Data) -> dict[str, float]:
        model.eval()
        wrong = total = 0
        for start in range(0, len(data.test), self.test_batch):
            part = data.test.take(slice(start, start + self.test_batch))
            output, _ = self.forward(model, part, None)
            for answer, target in zip(read(*output), part.targets, strict=True):
                truth = target[target != NONE].tolist()
                wrong += edit_distance(answer, truth)
                total += len(truth)
        return {"label_errors": wrong / total}

    def finish(self, run: Any, listener: Listener) -> dict[str, Any]:
        from .. import plot

        run.folder.write("curves.png", plot.curves(run.history, run.trace, "Spoken digits"))
        with no_grad():
            (scores, _), _ = self.forward(run.model, run.data.test.first(1), None)
        chances = np.exp(scores.numpy()[:, 0])
        frames = run.data.test.inputs[0].reshape(2 * len(chances), -1)
        said = "".join(str(digit) for digit in run.data.test.targets[0] if digit != NONE)
        run.folder.write("alignment.png", plot.alignment(frames, chances, said, "Spoken digits"))
        return {}

    def last_line(self, result: dict[str, Any]) -> str:
        return f"label errors {100 * result['label_errors']:.2f} %"


def read(scores: Tensor, lengths: NDArray[np.int64]) -> list[list[int]]:
    """The digits in scores [T, N, classes]: the best class at each instant, repeats and blanks left out."""
    return [path.tokens for path in nn.functional.ctc_greedy_decode(scores, lengths.tolist(), BLANK)]


def _joined(recordings: Sequence[NDArray[np.int16]], rng: np.random.Generator) -> F32:
    """A sequence as somebody else might say it: faster or slower, louder or softer, with other gaps.

    Then its features, with two bands of pitches and two stretches of time taken away (Park and others 2019,
    SpecAugment).
    """
    usual = rng.uniform(0.85, 1.18)
    parts: list[NDArray[Any]] = [_silence(rng)]
    for recording in recordings:
        speed = usual * rng.uniform(0.95, 1.05)
        at = np.arange(int(len(recording) / speed)) * speed
        said: NDArray[np.float64] = np.interp(at, np.arange(len(recording)), recording)
        parts += [said * rng.uniform(0.5, 1.5), _silence(rng)]
    sound: NDArray[np.float64] = np.concatenate(parts)
    hiss = 8 * 10 ** rng.random()
    sound = (sound + hiss * rng.standard_normal(len(sound))) / 32768
    frames = sound_features(sound)
    bands = frames.reshape(len(frames), 2, -1)
    for _ in range(2):
        width, most = rng.integers(7), rng.integers(4)
        low, start = rng.integers(bands.shape[2] - width), rng.integers(len(frames))
        bands[:, :, low : low + width] = 0
        frames[start : start + most] = 0
    return frames


def _silence(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.zeros(round(FSDD.rate * rng.uniform(0.05, 0.4)))


def _objects(items: Sequence[Any]) -> NDArray[Any]:
    """An array of things of their own sizes."""
    made = np.empty(len(items), object)
    for i, item in enumerate(items):
        made[i] = item
    return made


def _targets(digits: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    rows = np.full((len(digits), max(map(len, digits))), NONE)
    for row, said in zip(rows, digits, strict=True):
        row[: len(said)] = said
    return rows


def digits_of(model: Any, sound: NDArray[np.int16]) -> list[int]:
    """The digits in a sound: the labels that are likeliest over all of their alignments."""
    with no_grad():
        frames, lengths = _padded([sound_features(sound)])
        scores = model(from_numpy(frames), from_numpy(lengths))
    return nn.functional.ctc_beam_decode(scores, lengths.tolist(), blank=BLANK)[0][0].tokens


def sound_features(sound: NDArray[Any]) -> F32:
    """Log-mel features of a sound, each band at mean 0 and deviation 1, two frames in a row: [T, 80].

    Example:
        >>> lt.recipes.speech_ctc.sound_features(np.ones(8000, np.int16)).shape
        (31, 80)
    """
    frames = log_mel(sound, FSDD.rate)
    frames = (frames - frames.mean(axis=0)) / (frames.std(axis=0) + np.float32(1e-3))
    even = np.concatenate([frames, frames[-1:]])[: len(frames) + len(frames) % 2]
    return even.reshape(-1, 2 * frames.shape[1])


def _padded(sounds: Sequence[F32] | NDArray[Any]) -> tuple[F32, NDArray[np.int64]]:
    """The features of several sounds, time first and filled up with 0, [T, N, 80], and how long each is."""
    lengths = np.array([len(frames) for frames in sounds])
    whole = np.zeros((lengths.max(), len(sounds), sounds[0].shape[1]), np.float32)
    for i, frames in enumerate(sounds):
        whole[: len(frames), i] = frames
    return whole, lengths


recipe = SpeechCTCRecipe()
