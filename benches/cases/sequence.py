"""Training steps of what stands around recurrent networks: CTC, attention, and a translator of both."""

from __future__ import annotations

from typing import Any

from sides import Side

from . import Parts, case

GROUP = "sequences"


@case("CTC b16 T200", GROUP)
def _(side: Side) -> Parts:
    scores = side.draw(200, 16, 30).requires_grad_()
    targets = side.integers(29, 16, 30) + 1
    lengths = side.lib.full((16,), 200), side.lib.full((16,), 30)

    def call() -> None:
        side.grad(side.F.ctc_loss(scores.log_softmax(2), targets, *lengths), [scores])

    return call


def additive(side: Side, size: int) -> Any:
    """Bahdanau's attention: ours, or as people write it in PyTorch; keys are projected once in both."""
    if side.ours:
        return side.nn.AdditiveAttention(size, size, size, bias=False)

    class Attention(side.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query_proj = side.nn.Linear(size, size, bias=False)
            self.key_proj = side.nn.Linear(size, size, bias=False)
            self.score = side.nn.Linear(size, 1, bias=False)

        def project(self, keys: Any) -> Any:
            return self.key_proj(keys)

        def forward(self, query: Any, keys: Any, mask: Any, projected: Any) -> Any:
            scores = self.score((self.query_proj(query).unsqueeze(1) + projected).tanh()).squeeze(-1)
            weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
            return (weights.unsqueeze(1) @ keys).squeeze(1), weights

    return Attention()


def translator(side: Side, words: int, size: int) -> Any:
    """A GRU encoder, and a decoder that looks at its outputs in every step (Bahdanau et al. 2015)."""

    class Translator(side.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source = side.nn.Embedding(words, size)
            self.target = side.nn.Embedding(words, size)
            self.encoder = side.nn.GRU(size, size, batch_first=True)
            self.attention = additive(side, size)
            self.decoder = side.nn.GRUCell(2 * size, size)
            self.output = side.nn.Linear(size, words)

        def forward(self, source: Any, target: Any, mask: Any) -> Any:
            keys, state = self.encoder(self.source(source))
            projected, h = self.attention.project(keys), state[0]
            outs = []
            for word in self.target(target).unbind(1):
                context, _ = self.attention(h, keys, mask=mask, projected=projected)
                h = self.decoder(side.lib.cat([word, context], 1), h)
                outs.append(h)
            return self.output(side.lib.stack(outs, 1))

    return Translator()


@case("GRU encoder, Bahdanau decoder b32 T20", GROUP)
def _(side: Side) -> Parts:
    model = translator(side, 2000, 256)
    source, target = side.integers(2000, 32, 20), side.integers(2000, 32, 21)
    mask = side.lib.arange(20) < side.integers(10, 32, 1) + 11
    update = side.optim.Adam(model.parameters(), lr=1e-3)

    def call() -> None:
        update.zero_grad()
        scores = model(source, target[:, :-1], mask)
        side.F.cross_entropy(scores.flatten(0, 1), target[:, 1:].flatten()).backward()
        update.step()

    return call
