"""U-Net, which gives each pixel a class."""

from __future__ import annotations

from .. import cat, nn
from .._core import Tensor


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each with ReLU, and with batch norm before it if wanted."""

    def __init__(self, inputs: int, outputs: int, batch_norm: bool) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers.append(nn.Conv2d(channels, outputs, kernel_size=3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(outputs), nn.ReLU()] if batch_norm else [nn.ReLU()]
        super().__init__(*layers)


class UNet(nn.Module):
    """Four steps down, four up, and what each step down saw is handed across.

    [N, channels, H, W] to the logits [N, classes, H, W], height and width multiples of 16. `width`: the
    channels of the first step; each later one has twice as many. `batch_norm`: after each 3x3 convolution.
    31,030,658 parameters as it stands. Source: Ronneberger, Fischer and Brox (2015), U-Net: Convolutional
    networks for biomedical image segmentation. There convolutions are not padded, so that the output is
    smaller than the picture, and what is handed across is cropped; here they are padded and nothing is
    cropped. There is no dropout.

    Errors: ValueError for another number of axes, or a height or width that is not a multiple of 16.

    Example:
        >>> lt.models.UNet(width=8)(lt.zeros(2, 1, 32, 48)).shape
        (2, 2, 32, 48)
    """

    def __init__(
        self, channels: int = 1, classes: int = 2, width: int = 64, *, batch_norm: bool = False
    ) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(5)]
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList()
        for wide in widths:
            self.down.append(DoubleConv(channels, wide, batch_norm))
            channels = wide
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        for wide in reversed(widths[:-1]):
            self.up.append(nn.ConvTranspose2d(2 * wide, wide, kernel_size=2, stride=2))
            self.merge.append(DoubleConv(2 * wide, wide, batch_norm))
        self.out = nn.Conv2d(width, classes, kernel_size=1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or any(size % 16 or not size for size in x.shape[2:]):
            raise ValueError(
                "UNet: expected pictures [N, channels, H, W] with H and W positive multiples of 16, "
                f"got shape {tuple(x.shape)}; pad or crop the pictures"
            )
        across: list[Tensor] = []
        for i, block in enumerate(self.down):
            x = block(self.pool(x) if i else x)
            across.append(x)
        across.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(cat([across.pop(), up(x)], 1))
        return self.out(x)
