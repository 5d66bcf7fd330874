"""ResNet-20, the residual net for CIFAR-10."""

from __future__ import annotations

from .. import nn
from .._core import Tensor
from ..nn import functional as F
from .resnet import conv3x3, init_convolutions


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters (option A of the paper).

    Where the block halves the picture the shortcut takes every other pixel (pooling with 1x1 windows), and
    where it adds channels zeros stand in for them.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(outputs, outputs)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.stride != 1 or self.more:
            shortcut = F.pad(F.avg_pool2d(x, 1, self.stride), (0, 0, 0, 0, 0, self.more))
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x + shortcut)


class ResNet20(nn.Module):
    """Nine residual blocks of 16, 32 and 64 channels: [N, 3, 32, 32] to the logits [N, classes].

    `depth` is 6 n + 2 for n blocks a stage: 20, 32, 44, 56 or 110 in the paper. 269,722 parameters with depth
    20 (the paper says 0.27 M). Source: He, Zhang, Ren and Sun (2016), Deep residual learning for image
    recognition, section 4.2.

    Errors: ValueError for a depth that is not 6 n + 2.

    Example:
        >>> lt.models.ResNet20()(lt.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """

    def __init__(self, classes: int = 10, depth: int = 20) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"ResNet20: depth must be 6 n + 2, such as 20, 32 or 44, got {depth}")
        n = (depth - 2) // 6
        self.conv1 = conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(n)))
        self.layer2 = nn.Sequential(Block(16, 32, stride=2), *(Block(32, 32) for _ in range(n - 1)))
        self.layer3 = nn.Sequential(Block(32, 64, stride=2), *(Block(64, 64) for _ in range(n - 1)))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64, classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))
