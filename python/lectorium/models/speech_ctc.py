"""A bidirectional LSTM that reads digits from speech, trained without knowing when each was said."""

from __future__ import annotations

from .. import nn
from .._core import Tensor


class SpeechCTC(nn.Module):
    """Features of speech to the log-probabilities of each label, or of none (the blank), at every instant.

    [T, N, features] and the sequences' `lengths` [N] to [T, N, classes + 1] for `nn.CTCLoss`; the blank is
    the last class. 361,547 parameters as it stands. Source: Graves, Fernández, Gomez and Schmidhuber (2006),
    Connectionist temporal classification: labelling unsegmented sequence data with recurrent neural networks.

    Example:
        >>> scores = lt.models.SpeechCTC()(lt.randn(50, 2, 80), lt.tensor([50, 30]))
        >>> scores.shape
        (50, 2, 11)
    """

    def __init__(self, features: int = 80, classes: int = 10, hidden: int = 96) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, num_layers=2, dropout=0.3, bidirectional=True)
        self.dropout = nn.Dropout(0.3)
        self.output = nn.Linear(2 * hidden, classes + 1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.lstm(x, lengths=lengths)
        return self.output(self.dropout(states)).log_softmax(dim=-1)
