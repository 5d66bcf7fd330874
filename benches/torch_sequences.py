"""What recurrent models use that PyTorch writes in another way: ``lengths=``, and additive attention.

from torch_sequences import nn  # torch.nn with these in it
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class _WithLengths:
    """A recurrent layer that takes padded sequences with their lengths, through packing."""

    batch_first: bool

    def forward(self, x: Any, state: Any = None, *, lengths: Any = None) -> Any:
        run: Any = super().forward  # pyright: ignore[reportAttributeAccessIssue]
        if lengths is None:
            return run(x, state)
        packed = pack_padded_sequence(x, lengths.cpu(), self.batch_first, enforce_sorted=False)
        y, last = run(packed, state)
        longest = x.shape[1 if self.batch_first else 0]
        return pad_packed_sequence(y, self.batch_first, total_length=longest)[0], last


class RNN(_WithLengths, torch.nn.RNN): ...


class LSTM(_WithLengths, torch.nn.LSTM): ...


class GRU(_WithLengths, torch.nn.GRU): ...


class AdditiveAttention(torch.nn.Module):
    """v · tanh(W q + U k), softmax over the keys that the mask leaves: of one query for each row."""

    def __init__(self, query: int, key: int, hidden: int) -> None:
        super().__init__()
        self.query_proj = torch.nn.Linear(query, hidden)
        self.key_proj = torch.nn.Linear(key, hidden, bias=False)
        self.score = torch.nn.Parameter(torch.empty(hidden).uniform_(-(hidden**-0.5), hidden**-0.5))

    def project(self, keys: Any) -> Any:
        return self.key_proj(keys)

    def forward(self, query: Any, keys: Any, *, mask: Any, projected: Any) -> Any:
        scores = (self.query_proj(query).unsqueeze(1) + projected).tanh() @ self.score
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=1)
        return (weights.unsqueeze(1) @ keys).squeeze(1), weights


nn: Any = types.ModuleType("torch_sequences.nn")
nn.__dict__.update(torch.nn.__dict__)
nn.__dict__.update(RNN=RNN, LSTM=LSTM, GRU=GRU, AdditiveAttention=AdditiveAttention)
