"""An encoder and a decoder with attention, which translates."""

from __future__ import annotations

from .. import cat, nn, stack
from .._core import Tensor


class Encoder(nn.Module):
    """A GRU reads the sentence in both directions: each word in its context, and where to start writing."""

    def __init__(self, words: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(embedding, hidden, batch_first=True, bidirectional=True)
        self.first = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        memory, last = self.gru(self.dropout(self.embedding(x)), lengths=lengths)
        # The backward state has read the whole sentence, and ends at its first word.
        return memory, self.first(last[1]).tanh()


class Decoder(nn.Module):
    """A GRU writes the translation word by word; before each it looks at the words of the source."""

    def __init__(self, words: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.AdditiveAttention(hidden, 2 * hidden, hidden)
        self.cell = nn.GRUCell(embedding + 2 * hidden, hidden)
        self.readout = nn.Linear(embedding + 3 * hidden, embedding)
        self.output = nn.Linear(embedding, words)

    def step(
        self, word: Tensor, state: Tensor, memory: Tensor, projected: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The last word [N] and state [N, H] to what decides the next, the new state, the weights [N, S].

        `projected`: ``attention.project(memory)``, made once for all words.
        """
        context, weights = self.attention(state, memory, mask=mask, projected=projected)
        last = self.dropout(self.embedding(word))
        state = self.cell(cat([last, context], dim=1), state)
        return cat([last, context, state], dim=1), state, weights

    def scores(self, seen: Tensor) -> Tensor:
        """The logits of each word, from what `step` gave first."""
        return self.output(self.dropout(self.readout(seen).tanh()))


class Translator(nn.Module):
    """Words of one language [N, S] and of the other, each one late, [N, T], to the logits [N, T, words].

    `lengths`: of the sources, [N]. While it learns, the decoder reads the true words (teacher forcing).
    Source: Bahdanau, Cho and Bengio (2015), Neural machine translation by jointly learning to align and
    translate; one layer with tanh in place of their maxout.

    Example:
        >>> net = lt.models.Translator(source=50, target=60)
        >>> net(lt.randint(2, 50, (2, 7)), lt.tensor([7, 4]), lt.randint(2, 60, (2, 5))).shape
        (2, 5, 60)
    """

    def __init__(
        self, source: int, target: int, embedding: int = 128, hidden: int = 128, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.encoder = Encoder(source, embedding, hidden, dropout)
        self.decoder = Decoder(target, embedding, hidden, dropout)

    def forward(self, x: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        memory, state = self.encoder(x, lengths)
        projected, mask = self.decoder.attention.project(memory), x != 0
        seen: list[Tensor] = []
        for word in target.unbind(dim=1):
            step, state, _ = self.decoder.step(word, state, memory, projected, mask)
            seen.append(step)
        return self.decoder.scores(stack(seen, dim=1))
