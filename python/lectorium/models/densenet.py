"""DenseNet: each layer sees the outputs of all layers before it."""

from __future__ import annotations

from collections.abc import Sequence

from .. import cat, nn
from .._core import Tensor


class DenseLayer(nn.Sequential):
    """Batch norm, ReLU and a 1x1 convolution, then the same with a 3x3 one: `growth` new channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(inputs, 4 * growth, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, kernel_size=3, padding=1, bias=False)


class DenseBlock(nn.Module):
    """Layers that each add their channels to what they read."""

    def __init__(self, inputs: int, growth: int, depth: int) -> None:
        super().__init__()
        for i in range(depth):
            self.add_module(f"denselayer{i + 1}", DenseLayer(inputs + i * growth, growth))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = cat([x, layer(x)], 1)
        return x


class Transition(nn.Sequential):
    """Between two blocks: half the channels, half the height and width."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.add_module("norm", nn.BatchNorm2d(inputs))
        self.add_module("relu", nn.ReLU())
        self.add_module("conv", nn.Conv2d(inputs, inputs // 2, kernel_size=1, bias=False))
        self.add_module("pool", nn.AvgPool2d(2))


class DenseNet(nn.Module):
    """DenseNet-BC for small pictures, k = 12 and L = 40: [N, 3, 32, 32] to the logits [N, classes].

    `growth`: k, the channels that each layer adds. `depths`: the layers in each dense block. `small`: a 3x3
    convolution at the start; otherwise 7x7 with stride 2 and a pooling, as for ImageNet. Pictures of 4x4 and
    more (not `small`: 13x13, with four blocks 29x29). 176,122 parameters as it stands; names and shapes are
    torchvision's. Source: Huang, Liu, van der Maaten and Weinberger (2017), Densely connected convolutional
    networks.

    Example:
        >>> lt.models.DenseNet()(lt.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """

    def __init__(
        self, classes: int = 10, growth: int = 12, depths: Sequence[int] = (6, 6, 6), *, small: bool = True
    ) -> None:
        super().__init__()
        channels = 2 * growth
        self.features = nn.Sequential()
        if small:
            self.features.add_module("conv0", nn.Conv2d(3, channels, 3, padding=1, bias=False))
        else:
            self.features.add_module("conv0", nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False))
            self.features.add_module("norm0", nn.BatchNorm2d(channels))
            self.features.add_module("relu0", nn.ReLU())
            self.features.add_module("pool0", nn.MaxPool2d(3, stride=2, padding=1))
        for i, depth in enumerate(depths, 1):
            self.features.add_module(f"denseblock{i}", DenseBlock(channels, growth, depth))
            channels += depth * growth
            if i < len(depths):
                self.features.add_module(f"transition{i}", Transition(channels))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        assert self.classifier.bias is not None
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.relu(self.features(x)))
        return self.classifier(x.flatten(1))


class DenseNet121(DenseNet):
    """DenseNet-121: [N, 3, 224, 224] to the logits [N, classes]; 7,978,856 parameters.

    Example:
        >>> sum(p.numel() for p in lt.models.DenseNet121().parameters())
        7978856
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(classes, 32, (6, 12, 24, 16), small=False)
