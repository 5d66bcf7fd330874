"""Many to one: a recurrent net that reads a sentence and says whether it is for or against."""

from __future__ import annotations

from .. import cat, nn
from .._core import Tensor


class SentimentGRU(nn.Module):
    """Words [N, T], filled up with 0 after their `lengths` [N], to the logits [N, classes].

    A GRU reads the words' embeddings in both directions; its two last states decide. 1,316,354 parameters
    with 9,700 words. Source: Cho and others (2014), Learning phrase representations using RNN
    encoder-decoder for statistical machine translation, for the GRU.

    Example:
        >>> lt.models.SentimentGRU(words=100)(lt.randint(1, 100, (2, 7)), lt.tensor([7, 4])).shape
        (2, 2)
    """

    def __init__(self, words: int, classes: int = 2, embedding: int = 128, hidden: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=0)
        self.gru = nn.GRU(embedding, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(2 * hidden, classes)
        # Small vectors: most words are rare, and what their first values say is noise.
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        _, last = self.gru(self.dropout(self.embedding(x)), lengths=lengths)
        return self.output(self.dropout(cat([last[0], last[1]], dim=1)))
