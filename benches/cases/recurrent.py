"""Recurrent layers: training steps over whole sequences, loops of cells, and one step at a time."""

from __future__ import annotations

from typing import Any

from sides import Side

from . import Parts, add

GROUP = "recurrent"


def through(side: Side, model: Any, x: Any) -> Parts:
    """A training step without its loss: forward, and back from random gradients."""
    update = side.optim.SGD(model.parameters(), lr=1e-6)
    with side.lib.no_grad():
        seed = side.draw(*model(x)[0].shape)

    def call() -> None:
        update.zero_grad()
        (model(x)[0] * seed).sum().backward()
        update.step()

    return call


def layer(
    name: str,
    kind: str,
    inputs: int,
    hidden: int,
    batch: int,
    steps: int,
    layers: int = 1,
    both: bool = False,
) -> None:
    """A layer of PyTorch's."""

    def build(side: Side) -> Parts:
        model = getattr(side.nn, kind)(inputs, hidden, layers, bidirectional=both)
        return through(side, model, side.draw(steps, batch, inputs))

    add(name, GROUP, build)


def mut1(side: Side, size: int) -> Any:
    """MUT1: ours, or its formula in PyTorch's operations."""
    if side.ours:
        return side.nn.MUT1(size, size)
    lib, nn = side.lib, side.nn

    class MUT1(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.z, self.r = nn.Linear(size, size), nn.Linear(size, size)
            self.hr, self.hh = nn.Linear(size, size, bias=False), nn.Linear(size, size)

        def forward(self, x: Any) -> Any:
            h = x.new_zeros(x.shape[1:])
            # What the input gives is made for all steps at once, here too.
            gates = zip(
                lib.sigmoid(self.z(x)).unbind(), self.r(x).unbind(), lib.tanh(x).unbind(), strict=True
            )
            outs = []
            for z, of_x, bent in gates:
                r = lib.sigmoid(of_x + self.hr(h))
                h = lib.tanh(self.hh(r * h) + bent) * z + h * (1 - z)
                outs.append(h)
            return lib.stack(outs), h

    return MUT1()


class _Loop:
    """A cell step by step, called as a layer."""

    def __init__(self, side: Side, cell: Any) -> None:
        self.side, self.cell = side, cell
        self.parameters = cell.parameters

    def __call__(self, x: Any) -> Any:
        state, outs = None, []
        for one in x:
            state = self.cell(one, state)
            outs.append(state[0] if isinstance(state, tuple) else state)
        return self.side.lib.stack(outs), state


layer("RNN 128 b32 T50", "RNN", 128, 128, 32, 50)
layer("LSTM 128x2 b50 T50", "LSTM", 128, 128, 50, 50, 2)
layer("LSTM 512 b32 T64", "LSTM", 512, 512, 32, 64)
layer("GRU 128x2 b50 T50", "GRU", 128, 128, 50, 50, 2)
layer("GRU 512 b32 T64", "GRU", 512, 512, 32, 64)
layer("bidirectional LSTM 256 b16 T200", "LSTM", 256, 256, 16, 200, both=True)
add("MUT1 128 b32 T50", GROUP, lambda side: through(side, mut1(side, 128), side.draw(50, 32, 128)))
add(
    "LSTMCell 128 b32, 40 steps",
    GROUP,
    lambda side: through(side, _Loop(side, side.nn.LSTMCell(128, 128)), side.draw(40, 32, 128)),
)


def streaming(kind: str) -> None:
    """One step of one sequence, the state carried."""

    def build(side: Side) -> Parts:
        model, x = getattr(side.nn, kind)(128, 128), side.draw(1, 1, 128)
        state: list[Any] = [None]

        def call() -> None:
            with side.lib.no_grad():
                # A hundred steps: one is too short for the clock.
                for _ in range(100):
                    _, state[0] = model(x, state[0])

        return call

    add(f"{kind} 128, 100 steps of one sequence, one by one", GROUP, build)


for one in ("LSTM", "GRU", "RNN"):
    streaming(one)
