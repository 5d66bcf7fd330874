"""ResNeXt-29, residual blocks of grouped convolutions."""

from __future__ import annotations

from .. import nn
from .._core import Tensor
from .resnet import Bottleneck, conv3x3, init_convolutions


class ResNeXt29(nn.Module):
    """Nine bottleneck blocks with grouped 3x3 convolutions: [N, 3, 32, 32] to the logits [N, classes].

    `groups` and `group_width`: 8 groups of 64 channels in the first stage (8x64d), twice the channels in each
    later one. 34,426,698 parameters with ten classes (the paper says 34.4 M); blocks have torchvision's
    names. Source: Xie, Girshick, Dollár, Tu and He (2017), Aggregated residual transformations for deep
    neural networks, section 5.3.

    Example:
        >>> lt.models.ResNeXt29(groups=4, group_width=8)(lt.zeros(2, 3, 32, 32)).shape
        (2, 10)
    """

    def __init__(self, classes: int = 10, groups: int = 8, group_width: int = 64) -> None:
        super().__init__()

        def stage(inputs: int, width: int, stride: int) -> nn.Sequential:
            first = Bottleneck(inputs, width, stride, groups, group_width)
            return nn.Sequential(
                first, *(Bottleneck(4 * width, width, 1, groups, group_width) for _ in range(2))
            )

        self.conv1 = conv3x3(3, 64)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.layer1 = stage(64, 64, stride=1)
        self.layer2 = stage(256, 128, stride=2)
        self.layer3 = stage(512, 256, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(1024, classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))
