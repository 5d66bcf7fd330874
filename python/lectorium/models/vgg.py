"""VGG-16: depth from 3x3 convolutions alone."""

from __future__ import annotations

from .. import nn
from .._core import Tensor

# Configuration D of the paper: channels of each 3x3 convolution, "M" for a max pooling.
LAYERS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions and three linear layers: [N, 3, 224, 224] to the logits [N, classes].

    `batch_norm`: normalises after each convolution (not in the paper). `small`: the head for pictures of
    32x32 as in CIFAR-10, which leave 512 values after the last pooling: one linear layer rather than three.
    Pictures of 32x32 and more. 138,357,544 parameters, 138,365,992 with batch norm, 14,728,266 with both
    options and ten classes; names and shapes are torchvision's but for the small head. Source: Simonyan and
    Zisserman (2015), Very deep convolutional networks for large-scale image recognition; initial values as in
    torchvision.

    Example:
        >>> lt.models.VGG16(classes=10, batch_norm=True, small=True)(lt.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """

    def __init__(
        self, classes: int = 1000, *, batch_norm: bool = False, small: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in LAYERS:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
            layers += [nn.BatchNorm2d(width), nn.ReLU()] if batch_norm else [nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*layers)
        if small:
            self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
            self.classifier = nn.Sequential(nn.Linear(512, classes))
        else:
            self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, 4096),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(4096, classes),
            )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
            else:
                continue
            assert module.bias is not None
            nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.flatten(-3))  # one picture without a batch axis too
