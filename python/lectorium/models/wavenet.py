"""WaveNet, which predicts the next sample of a sound from those before it."""

from __future__ import annotations

from .. import nn
from .._core import Tensor
from ..nn import functional as F


class CausalConv1d(nn.Conv1d):
    """A convolution over two samples, the present one and the one `dilation` before; the length stays."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size=2, dilation=dilation)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, (self.dilation[0], 0)))


class GatedLayer(nn.Module):
    """A dilated convolution with gated units: what goes on to the next layer, and what skips to the output.

    `last`: nothing goes on.
    """

    def __init__(self, residual: int, skip: int, dilation: int, *, last: bool = False) -> None:
        super().__init__()
        self.filter = CausalConv1d(residual, residual, dilation)
        self.gate = CausalConv1d(residual, residual, dilation)
        self.skip = nn.Conv1d(residual, skip, kernel_size=1)
        self.residual = None if last else nn.Conv1d(residual, residual, kernel_size=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.filter(x).tanh() * self.gate(x).sigmoid()
        return x if self.residual is None else x + self.residual(z), self.skip(z)


class WaveNet(nn.Module):
    """Gated layers with dilations 1, 2, 4, …: samples [N, T] to logits [N, classes, T] of the next ones.

    A sample is an integer below `classes`, such as mu-law gives; output t depends on sample t and the
    2^layers before it. `residual` and `skip` are the channels of the two paths. 134,272 parameters as it
    stands. Source: van den Oord and others (2016), WaveNet: a generative model for raw audio. The one-hot
    input and its 1x1 convolution are an embedding here.

    Errors: ValueError for no layers.

    Example:
        >>> sound = lt.randint(0, 256, (2, 100))
        >>> logits = lt.models.WaveNet()(sound)
        >>> logits.shape
        (2, 256, 100)
        >>> lt.nn.functional.cross_entropy(logits[:, :, :-1], sound[:, 1:]).shape
        ()
    """

    def __init__(self, classes: int = 256, layers: int = 8, residual: int = 32, skip: int = 128) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"WaveNet: layers must be 1 or more, got {layers}")
        self.embedding = nn.Embedding(classes, residual)
        self.causal = CausalConv1d(residual, residual)
        self.layers = nn.ModuleList(
            GatedLayer(residual, skip, 2**i, last=i == layers - 1) for i in range(layers)
        )
        self.output = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(skip, skip, kernel_size=1),
            nn.ReLU(),
            nn.Conv1d(skip, classes, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.causal(self.embedding(x).transpose(-2, -1))
        skips: list[Tensor] = []
        for layer in self.layers:
            x, skip = layer(x)
            skips.append(skip)
        return self.output(sum(skips[1:], skips[0]))
