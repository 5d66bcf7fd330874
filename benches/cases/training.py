"""Training steps: forward, loss, backward, update, at the batch and picture sizes of the lectures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sides import Side

from . import Call, Parts, add, case

GROUP = "training steps"
CONVOLUTIONAL = "training steps, convolutional"


def step(side: Side, model: Any, x: Any, loss: Callable[[Any], Any], update: Any) -> Call:
    """One training step, as people write it."""
    model, x = side.place(model), side.data(x)

    def call() -> None:
        update.zero_grad()
        loss(model(x)).backward()
        update.step()

    return call


def classifier(
    name: str,
    file: str,
    model: str,
    shape: tuple[int, ...],
    classes: int,
    optimizer: str = "SGD",
    /,
    **options: Any,
) -> None:
    """A net that classifies, under cross entropy."""

    def build(side: Side) -> Parts:
        net = getattr(side.module(file), model)(**options)
        target = side.integers(classes, shape[0])
        if optimizer == "SGD":
            update = side.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
        else:
            update = side.optim.Adam(net.parameters(), lr=1e-3)
        return step(side, net, side.draw(*shape), lambda y: side.F.cross_entropy(y, target), update)

    pictures = len(shape) == 4
    add(f"train {name}", CONVOLUTIONAL if pictures else GROUP, build, layouts=pictures, compiles=True)


classifier(
    "MLP 784-512-512-10 b128 Adam",
    "mlp",
    "MLP",
    (128, 784),
    10,
    "Adam",
    sizes=(784, 512, 512, 10),
    dropout=0.0,
)
classifier("LeNet-5 b64 Adam", "lenet5", "LeNet5", (64, 1, 28, 28), 10, "Adam")
classifier("CIFAR net b4", "cifarnet", "CifarNet", (4, 3, 32, 32), 10)
classifier("CIFAR net b64", "cifarnet", "CifarNet", (64, 3, 32, 32), 10)
classifier("AlexNet 224 b8", "alexnet", "AlexNet", (8, 3, 224, 224), 1000)
classifier("VGG-16 32x32 b32", "vgg", "VGG16", (32, 3, 32, 32), 10, classes=10, batch_norm=True, small=True)
classifier("VGG-16 224 b2", "vgg", "VGG16", (2, 3, 224, 224), 1000)
classifier("GoogLeNet 96 b8", "googlenet", "GoogLeNet", (8, 3, 96, 96), 1000)
classifier("ResNet-20 32x32 b64", "resnet20", "ResNet20", (64, 3, 32, 32), 10)
classifier("ResNet-18 224 b4", "resnet", "ResNet18", (4, 3, 224, 224), 1000)
classifier("ResNet-50 224 b2", "resnet", "ResNet50", (2, 3, 224, 224), 1000)
classifier("ResNeXt-29 32x32 b8", "resnext29", "ResNeXt29", (8, 3, 32, 32), 10)
classifier("DenseNet-BC 32x32 b32", "densenet", "DenseNet", (32, 3, 32, 32), 10)


@case("train U-Net 128 b2", CONVOLUTIONAL, layouts=True, compiles=True)
def _(side: Side) -> Parts:
    net = side.module("unet").UNet(width=32)
    target = side.integers(2, 2, 128, 128)
    update = side.optim.Adam(net.parameters(), lr=1e-3)
    return step(side, net, side.draw(2, 1, 128, 128), lambda y: side.F.cross_entropy(y, target), update)


def gan(side: Side) -> tuple[Any, Any, Any, Any, Callable[[Any, Any], Any]]:
    """Generator, discriminator, noise, pictures and the loss for answers that should all be 1 or all be 0."""
    net = side.module("dcgan").DCGAN(size=32)
    loss = side.nn.BCEWithLogitsLoss()
    pictures = side.data(side.uniform(32, 3, 32, 32) * 2 - 1)
    return side.place(net.generator), side.place(net.discriminator), side.draw(32, 100), pictures, loss


@case("train DCGAN generator 32x32 b32", CONVOLUTIONAL, layouts=True, compiles=True)
def _(side: Side) -> Parts:
    generator, discriminator, noise, _, loss = gan(side)
    update = side.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    real = side.lib.ones(32)

    def call() -> None:
        update.zero_grad()
        loss(discriminator(generator(noise)), real).backward()
        update.step()

    return call


@case("train DCGAN discriminator 32x32 b32", CONVOLUTIONAL, layouts=True, compiles=True)
def _(side: Side) -> Parts:
    generator, discriminator, noise, pictures, loss = gan(side)
    update = side.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    real, drawn = side.lib.ones(32), side.lib.zeros(32)

    def call() -> None:
        update.zero_grad()
        with side.lib.no_grad():
            fake = generator(noise)
        loss(discriminator(pictures), real).backward()
        loss(discriminator(fake), drawn).backward()
        update.step()

    return call


@case("train VAE 784-400-20 b128 Adam", GROUP, compiles=True)
def _(side: Side) -> Parts:
    file = side.module("vae")
    net, x = file.VAE(), side.uniform(128, 784)
    return step(side, net, x, lambda y: file.vae_loss(x, *y), side.optim.Adam(net.parameters(), lr=1e-3))


@case("train WaveNet 8 layers b4 x 1024 Adam", GROUP, compiles=True)
def _(side: Side) -> Parts:
    net, samples = side.module("wavenet").WaveNet(), side.integers(256, 4, 1025)
    x, target = samples[:, :-1].contiguous(), samples[:, 1:].contiguous()
    update = side.optim.Adam(net.parameters(), lr=1e-3)
    return step(side, net, x, lambda y: side.F.cross_entropy(y, target), update)
