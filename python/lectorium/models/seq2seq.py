"""Sequence to sequence: an encoder reads, its last state is all that the decoder knows."""

from __future__ import annotations

from .. import cat, full_like, nn
from .._core import Tensor


class Seq2Seq(nn.Module):
    """Two LSTMs: one reads the source [N, S], the other writes the target from the first one's last state.

    Forward with the target [N, T], which begins with BOS, gives the scores [N, T, vocabulary] of what
    follows each of its symbols (teacher forcing). Without one it writes `longest` symbols, each time the
    best after its own last one, beginning after `bos`, and gives their scores. 267,790 parameters as it
    stands. Source: Sutskever, Vinyals and Le (2014), Sequence to sequence learning with neural networks.

    Example:
        >>> model = lt.models.Seq2Seq(vocabulary=14)
        >>> question = lt.randint(0, 14, (2, 7))
        >>> model(question, lt.randint(0, 14, (2, 5))).shape, model(question).shape
        ((2, 5, 14), (2, 5, 14))
    """

    def __init__(self, vocabulary: int, hidden: int = 128, bos: int = 0, longest: int = 5) -> None:
        super().__init__()
        self.bos, self.longest = bos, longest
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.encoder = nn.LSTM(hidden, hidden, batch_first=True)
        self.decoder = nn.LSTM(hidden, hidden, batch_first=True)
        self.scores = nn.Linear(hidden, vocabulary)

    def forward(self, source: Tensor, target: Tensor | None = None) -> Tensor:
        _, state = self.encoder(self.embedding(source))
        if target is not None:
            h, _ = self.decoder(self.embedding(target), state)
            return self.scores(h)
        last = full_like(source[:, :1], self.bos)
        written: list[Tensor] = []
        for _ in range(self.longest):
            h, state = self.decoder(self.embedding(last), state)
            written.append(self.scores(h))
            last = written[-1].argmax(2)
        return cat(written, 1)
