"""The nets from AlexNet to WaveNet: names and counts of parameters, output shapes, that each learns a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

import lectorium as lt
from lectorium import models, nn

F = nn.functional

# Parameters as published, and a digest of torchvision 0.29's state_dict: its names, order and shapes.
TORCHVISION: list[tuple[Callable[[], Any], int, str]] = [
    (models.AlexNet, 61_100_840, "fb0abbb9658286c1"),
    (models.VGG16, 138_357_544, "e6f6dcd7f6088440"),
    (lambda: models.VGG16(batch_norm=True), 138_365_992, "a49a9e064802fa25"),
    (models.GoogLeNet, 6_624_904, "c4e5f8d22277cc5b"),
    (lambda: models.GoogLeNet(aux=True), 13_004_888, "7bb52acb04403da3"),
    (models.ResNet18, 11_689_512, "9682c6fd405d8d70"),
    (models.ResNet34, 21_797_672, "b5362b8c319971db"),
    (models.ResNet50, 25_557_032, "f398fe5f16a958c8"),
    (models.DenseNet121, 7_978_856, "79c2c8a32ac57256"),
]

# Not in torchvision. The papers give ResNet-20 0.27 M and ResNeXt-29 8x64d 34.4 M parameters.
OTHERS: list[tuple[Callable[[], Any], tuple[int, ...], tuple[int, ...], int]] = [
    (models.ResNet20, (3, 32, 32), (10,), 269_722),
    (lambda: models.ResNet20(depth=56), (3, 32, 32), (10,), 853_018),
    (models.ResNeXt29, (3, 8, 8), (10,), 34_426_698),
    (models.DenseNet, (3, 32, 32), (10,), 176_122),
    (lambda: models.VGG16(10, batch_norm=True, small=True), (3, 32, 32), (10,), 14_728_266),
    (models.UNet, (1, 16, 32), (2, 16, 32), 31_030_658),
    (lambda: models.UNet(3, 5, 32), (3, 32, 16), (5, 32, 16), 7_760_229),
    (lambda: models.DCGAN().generator, (100,), (3, 64, 64), 3_576_704),
    (lambda: models.DCGAN().discriminator, (3, 64, 64), (), 2_765_568),
    (lambda: models.DCGAN(32).generator, (100,), (3, 32, 32), 1_068_928),
    (lambda: models.DCGAN(32).discriminator, (3, 32, 32), (), 663_296),
]


def count(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("make", "parameters", "digest"), TORCHVISION)
def test_names_shapes_and_parameter_counts_are_torchvisions(
    make: Callable[[], Any], parameters: int, digest: str
) -> None:
    model = make()
    assert count(model) == parameters
    names = [(key, tuple(value.shape)) for key, value in model.state_dict().items()]
    assert hashlib.sha256(repr(names).encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize(("make", "shape", "output", "parameters"), OTHERS)
def test_shapes_and_parameter_counts_are_the_papers(
    make: Callable[[], Any], shape: tuple[int, ...], output: tuple[int, ...], parameters: int
) -> None:
    model = make().eval()
    assert count(model) == parameters
    with lt.no_grad():
        assert model(lt.zeros(2, *shape)).shape == (2, *output)
        assert model(lt.zeros(0, *shape)).shape == (0, *output)


@pytest.mark.parametrize(
    ("make", "side"),
    [
        (lambda: models.AlexNet(7), 224),
        (lambda: models.VGG16(7, small=True), 64),
        (lambda: models.GoogLeNet(7), 96),
        (lambda: models.ResNet18(7), 75),
        (lambda: models.ResNet34(7), 32),
        (lambda: models.ResNet50(7), 64),
        (lambda: models.DenseNet121(7), 64),
        (lambda: models.ResNet20(7), 33),
        (lambda: models.DenseNet(7), 31),
    ],
)
def test_pictures_of_other_sizes_give_logits_too(make: Callable[[], Any], side: int) -> None:
    with lt.no_grad():
        assert make().eval()(lt.zeros(1, 3, side, side)).shape == (1, 7)


def test_one_picture_without_a_batch_axis_gives_its_logits() -> None:
    x = lt.rand(3, 64, 64)
    for model in (models.AlexNet(7).eval(), models.VGG16(7, small=True).eval()):
        y = model(x)
        assert y.shape == (7,)
        assert lt.allclose(y, model(x[None])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("depths", "side"), [((1, 1, 1), 13), ((1, 1, 1, 1), 29)])
def test_a_densenet_takes_pictures_down_to_what_its_poolings_allow(
    depths: tuple[int, ...], side: int
) -> None:
    model = models.DenseNet(5, 4, depths, small=False).eval()
    assert model(lt.zeros(1, 3, side, side)).shape == (1, 5)
    with pytest.raises(lt.ShapeError, match=r"avg_pool2d \(in features.transition"):
        model(lt.zeros(1, 3, side - 1, side - 1))


def test_dcgan_takes_noise_of_either_shape() -> None:
    gan, noise = models.DCGAN(32, width=4).eval(), lt.randn(2, 100)
    assert lt.equal(gan(noise), gan(noise[:, :, None, None]))


def test_googlenet_returns_its_auxiliary_logits_in_training_only() -> None:
    model = models.GoogLeNet(5, aux=True)
    x = lt.rand(2, 3, 32, 32)
    assert [t.shape for t in model(x)] == [(2, 5)] * 3
    assert model(x)._fields == ("logits", "aux_logits2", "aux_logits1")
    assert model.eval()(x).shape == (2, 5)


def learns(model: Any, loss_of: Callable[[], Any], below: float, steps: int, lr: float) -> None:
    """Adam brings the loss below a bound in that many steps."""
    optimizer = lt.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of()
        if loss.item() < below:
            return
        loss.backward()
        optimizer.step()
    pytest.fail(f"after {steps} steps the loss is {loss.item():.3f}, not below {below}")


@pytest.mark.parametrize(
    ("make", "side", "lr"),
    [
        (lambda: models.AlexNet(4, dropout=0.0), 63, 1e-4),
        (lambda: models.VGG16(4, batch_norm=True, small=True), 32, 1e-3),
        (lambda: models.GoogLeNet(4), 32, 1e-3),
        (lambda: models.ResNet18(4), 32, 1e-3),
        (lambda: models.ResNet50(4), 32, 1e-3),
        (lambda: models.ResNet20(4), 32, 3e-3),
        (lambda: models.ResNeXt29(4, group_width=8), 16, 1e-3),
        (lambda: models.DenseNet(4), 16, 3e-3),
    ],
)
def test_a_classifier_learns_one_batch_by_heart(make: Callable[[], Any], side: int, lr: float) -> None:
    model = make()
    x, labels = lt.rand(8, 3, side, side), lt.arange(8) % 4
    learns(model, lambda: F.cross_entropy(model(x), labels), below=0.1, steps=60, lr=lr)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_unet_learns_which_pixels_are_bright(batch_norm: bool) -> None:
    model = models.UNet(width=4, batch_norm=batch_norm)
    x = lt.rand(2, 1, 32, 32)
    labels = (x[:, 0] > 0.5).long()
    learns(model, lambda: F.cross_entropy(model(x), labels), below=0.2, steps=300, lr=5e-3)


def test_dcgan_learns_to_tell_and_to_deceive() -> None:
    gan = models.DCGAN(32, width=8)
    noise, real = lt.randn(8, 100), 2 * lt.rand(8, 3, 32, 32) - 1
    fake = gan(noise).detach()
    yes, no = lt.ones(8), lt.zeros(8)
    loss = F.binary_cross_entropy_with_logits
    learns(
        gan.discriminator,
        lambda: loss(gan.discriminator(real), yes) + loss(gan.discriminator(fake), no),
        below=0.05,
        steps=150,
        lr=2e-3,
    )
    learns(gan.generator, lambda: loss(gan.discriminator(gan(noise)), yes), below=0.05, steps=150, lr=2e-3)


def test_dcgan_begins_with_the_papers_weights() -> None:
    gan = models.DCGAN()
    assert abs(gan.generator.main[3].weight.std().item() - 0.02) < 1e-3
    assert abs(gan.discriminator.main[5].weight.std().item() - 0.02) < 1e-3
    assert abs(gan.generator.main[1].weight.mean().item() - 1) < 5e-3
    pictures = gan(lt.randn(2, 100))
    assert pictures.min().item() >= -1
    assert pictures.max().item() <= 1


def test_vae_learns_to_reconstruct_a_batch_and_its_draws_differ() -> None:
    model, x = models.VAE(), (lt.rand(8, 1, 28, 28) > 0.5).float()
    start = models.vae_loss(x, *model(x)).item()
    learns(model, lambda: models.vae_loss(x, *model(x)), below=0.6 * start, steps=300, lr=3e-3)
    first, mean, log_variance = model(x)
    again, same, _ = model(x)
    assert first.shape == (8, 784)
    assert mean.shape == log_variance.shape == (8, 20)
    assert lt.equal(mean, same)
    assert not lt.equal(first, again)


def test_wavenet_learns_a_sound_by_heart() -> None:
    model, sound = models.WaveNet(classes=16, layers=5, residual=16, skip=32), lt.randint(0, 16, (2, 80))
    learns(
        model, lambda: F.cross_entropy(model(sound)[:, :, :-1], sound[:, 1:]), below=0.2, steps=300, lr=1e-2
    )


def test_wavenet_hears_the_past_as_far_as_its_layers_reach_and_nothing_later() -> None:
    model = models.WaveNet(layers=4)
    sound = lt.randint(0, 256, (1, 40))
    other = sound.clone()
    other[0, 20] = (other[0, 20] + 128) % 256
    changed = (model(sound) != model(other)).any(dim=1)[0].tolist()
    # Dilations 1, 2, 4, 8 and the first convolution: 16 samples after the one that differs.
    assert [t for t, differs in enumerate(changed) if differs] == list(range(20, 37))
    assert count(models.WaveNet()) == 134_272
    assert models.WaveNet()(sound[0]).shape == (256, 40)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: models.AlexNet(2)(lt.zeros(1, 4, 64, 64)), lt.ShapeError,
         r"conv2d \(in features.0\): input has 4 channels, weight expects 3"),
        (lambda: models.AlexNet(2)(lt.zeros(1, 3, 62, 62)), lt.ShapeError,
         r"max_pool2d \(in features.12\): kernel 3x3 .* does not fit the input 2x2; use a smaller kernel or a larger"),
        (lambda: models.VGG16(2, small=True)(lt.zeros(1, 3, 16, 16)), lt.ShapeError,
         r"max_pool2d \(in features.30\): kernel 2x2 .* does not fit the input 1x1"),
        (lambda: models.GoogLeNet(2).eval()(lt.zeros(1, 3, 14, 14)), lt.ShapeError,
         r"max_pool2d \(in maxpool3\): kernel 3x3 .* does not fit the input 1x1"),
        (lambda: models.GoogLeNet(2)(lt.zeros(1, 1, 64, 64)), lt.ShapeError,
         r"conv2d \(in conv1.conv\): input has 1 channels, weight expects 3"),
        (lambda: models.ResNet18(2)(lt.zeros(1, 3, 32, 32)), ValueError,
         r"batch_norm \(in layer4.0.*\): Expected more than 1 value per channel .* larger batch or .eval\(\)"),
        (lambda: models.ResNet50(2)(lt.zeros(1, 6, 64, 64)), lt.ShapeError,
         r"conv2d \(in conv1\): input has 6 channels, weight expects 3"),
        (lambda: models.ResNet20(2)(lt.zeros(1, 32, 32, 3)), lt.ShapeError,
         r"conv2d \(in conv1\): input has 32 channels, weight expects 3"),
        (lambda: models.ResNet20(depth=21), ValueError, r"depth must be 6 n \+ 2, such as 20, 32 or 44, got 21"),
        (lambda: models.ResNeXt29(2, 4, 4)(lt.zeros(1, 1, 8, 8)), lt.ShapeError, r"\(in conv1\): input has 1 channels"),
        (lambda: models.DenseNet(2)(lt.zeros(2, 3, 3, 3)), lt.ShapeError,
         r"avg_pool2d \(in features.transition2.pool\): kernel 2x2 .* does not fit the input 1x1"),
        (lambda: models.UNet(width=4)(lt.zeros(1, 1, 24, 32)), ValueError,
         r"UNet: expected .* multiples of 16, got shape \(1, 1, 24, 32\); pad or crop"),
        (lambda: models.UNet(width=4)(lt.zeros(1, 3, 32, 32)), lt.ShapeError,
         r"conv2d \(in down.0.0\): input has 3 channels, weight expects 1"),
        (lambda: models.UNet(width=4)(lt.zeros(1, 1, 0, 32)), ValueError, r"UNet: expected .* got shape \(1, 1, 0, 32\)"),
        (lambda: models.VGG16(2, batch_norm=True, small=True)(lt.zeros(3, 32, 32)), lt.ShapeError,
         r"BatchNorm2d \(in features.1\): expected 4D input"),
        (lambda: models.DCGAN(32, width=4)(lt.zeros(100)), IndexError, r"\(in generator\): axis 1 is out of range"),
        (lambda: models.WaveNet(layers=0), ValueError, "WaveNet: layers must be 1 or more, got 0"),
        (lambda: models.DCGAN(48), ValueError, "DCGAN: size must be 32 or 64, got 48"),
        (lambda: models.DCGAN(32, width=4)(lt.zeros(1, 99)), lt.ShapeError,
         r"conv_transpose2d \(in generator.main.0\): input has 99 channels, weight expects 100"),
        (lambda: models.DCGAN(32, width=4).discriminator(lt.zeros(2, 3, 64, 64)), ValueError,
         r"Discriminator: expected pictures of 32x32, got shape \(2, 3, 64, 64\)"),
        (lambda: models.VAE()(lt.zeros(2, 27, 28)), lt.ShapeError, r"linear \(in encoder\): input \[2, 756\]"),
        (lambda: models.WaveNet()(lt.zeros(2, 10)), TypeError, r"embedding \(in embedding\): indices must be int64"),
        (lambda: models.WaveNet()(lt.full((2, 10), 256)), IndexError,
         r"\(in embedding\): index 256 is out of range for axis 0 of size 256"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_named_with_the_layer_that_met_it(
    call: Callable[[], Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        call()
