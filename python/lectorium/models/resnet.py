"""Residual nets for ImageNet: ResNet-18, -34 and -50."""

from __future__ import annotations

from collections.abc import Sequence

from .. import nn
from .._core import Tensor


def conv3x3(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size, but for its stride; the batch norm after it has the bias."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=groups, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 1x1 convolution: a linear layer at each pixel."""
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The shortcut of a block that changes size or channels (option B of the paper); None: the identity."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `width` is the number of channels."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = projection(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; 4 `width` channels come out.

    The stride is in the 3x3 convolution, as in torchvision; the paper has it in the first 1x1. `groups` and
    `group_width`: the 3x3 convolution of a ResNeXt has that many groups, each of `group_width` channels
    where `width` is 64.
    """

    expansion = 4

    def __init__(
        self, inputs: int, width: int, stride: int = 1, groups: int = 1, group_width: int = 64
    ) -> None:
        super().__init__()
        inner, outputs = width * group_width // 64 * groups, width * self.expansion
        self.conv1 = conv1x1(inputs, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv3x3(inner, inner, stride, groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, outputs)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.downsample = projection(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return self.relu(x + shortcut)


def init_convolutions(model: nn.Module) -> None:
    """He initialisation of all convolutions: normal, by the number of outputs."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class ResNet(nn.Module):
    """A stem, four stages of residual blocks and a linear layer: [N, 3, H, W] to the logits [N, classes].

    `block`: BasicBlock or Bottleneck. `depths`: the blocks in each stage; the first of stages 2, 3 and 4
    halves height and width.

    Example:
        >>> from lectorium.models.resnet import BasicBlock, ResNet
        >>> ResNet(BasicBlock, (1, 1, 1, 1), classes=10)(lt.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """

    def __init__(
        self, block: type[BasicBlock] | type[Bottleneck], depths: Sequence[int], classes: int = 1000
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64

        def stage(width: int, depth: int, stride: int) -> nn.Sequential:
            nonlocal channels
            blocks: list[nn.Module] = []
            for i in range(depth):
                blocks.append(block(channels, width, stride if i == 0 else 1))
                channels = width * block.expansion
            return nn.Sequential(*blocks)

        self.layer1 = stage(64, depths[0], stride=1)
        self.layer2 = stage(128, depths[1], stride=2)
        self.layer3 = stage(256, depths[2], stride=2)
        self.layer4 = stage(512, depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class ResNet18(ResNet):
    """ResNet-18: [N, 3, 224, 224] to the logits [N, classes].

    Pictures of any size from 1x1 (in training from 33x33, or several of them). 11,689,512 parameters; names
    and shapes are torchvision's. Source: He, Zhang, Ren and Sun (2016), Deep residual learning for image
    recognition.

    Example:
        >>> lt.models.ResNet18(classes=10)(lt.zeros(2, 3, 64, 64)).shape
        (2, 10)
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(BasicBlock, (2, 2, 2, 2), classes)


class ResNet34(ResNet):
    """ResNet-34: [N, 3, 224, 224] to the logits [N, classes]; 21,797,672 parameters, otherwise as ResNet18.

    Example:
        >>> sum(p.numel() for p in lt.models.ResNet34().parameters())
        21797672
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(BasicBlock, (3, 4, 6, 3), classes)


class ResNet50(ResNet):
    """ResNet-50, of bottleneck blocks: [N, 3, 224, 224] to the logits [N, classes].

    25,557,032 parameters, otherwise as ResNet18.

    Example:
        >>> sum(p.numel() for p in lt.models.ResNet50().parameters())
        25557032
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3), classes)
