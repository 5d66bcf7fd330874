"""The models that `lectorium info` knows beside those that recipes train."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .. import models, nn
from .._core import dtype as DType, float32, int64


@dataclasses.dataclass(frozen=True)
class Network:
    """A model of `lectorium.models` and one example of its input, without the batch."""

    title: str
    make: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    dtype: DType = float32


NETWORKS = {
    "alexnet": Network("AlexNet for ImageNet", models.AlexNet, (3, 224, 224)),
    "vgg16": Network("VGG-16 for ImageNet", models.VGG16, (3, 224, 224)),
    "vgg16-small": Network(
        "VGG-16 with batch norm for CIFAR-10",
        lambda: models.VGG16(10, batch_norm=True, small=True),
        (3, 32, 32),
    ),
    "googlenet": Network("GoogLeNet for ImageNet", models.GoogLeNet, (3, 224, 224)),
    "resnet18": Network("ResNet-18 for ImageNet", models.ResNet18, (3, 224, 224)),
    "resnet34": Network("ResNet-34 for ImageNet", models.ResNet34, (3, 224, 224)),
    "resnet50": Network("ResNet-50 for ImageNet", models.ResNet50, (3, 224, 224)),
    "resnet20": Network("ResNet-20 for CIFAR-10", models.ResNet20, (3, 32, 32)),
    "resnext29": Network("ResNeXt-29, 8x64d, for CIFAR-10", models.ResNeXt29, (3, 32, 32)),
    "densenet": Network("DenseNet-BC (k = 12, L = 40) for CIFAR-10", models.DenseNet, (3, 32, 32)),
    "densenet121": Network("DenseNet-121 for ImageNet", models.DenseNet121, (3, 224, 224)),
    "unet": Network("U-Net on a picture of 256x256", models.UNet, (1, 256, 256)),
    "dcgan-generator": Network("DCGAN, from noise to 64x64", lambda: models.DCGAN().generator, (100,)),
    "dcgan-discriminator": Network(
        "DCGAN, from 64x64 to real or not", lambda: models.DCGAN().discriminator, (3, 64, 64)
    ),
    "vae": Network("variational autoencoder of digits", models.VAE, (1, 28, 28)),
    "wavenet": Network("WaveNet on 1024 samples", models.WaveNet, (1024,), int64),
}
