"""DCGAN: a generator that draws pictures and a discriminator that tells them from real ones."""

from __future__ import annotations

from .. import nn
from .._core import Tensor


def _steps(size: int) -> int:
    """How often 4x4 is doubled."""
    if size not in (32, 64):
        raise ValueError(f"DCGAN: size must be 32 or 64, got {size}")
    return 3 if size == 32 else 4


def _init(model: nn.Module) -> None:
    """Weights from N(0, 0.02²), scales of batch norm from N(1, 0.02²)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d) and module.weight is not None:
            nn.init.normal_(module.weight, 1.0, 0.02)


class Generator(nn.Module):
    """Transposed convolutions from noise [N, latent] to pictures [N, channels, size, size] of -1 to 1.

    `width`: the channels before the last layer. Noise of shape [N, latent, 1, 1] will do too.

    Example:
        >>> lt.models.dcgan.Generator(size=32, width=8)(lt.randn(2, 100)).shape
        (2, 3, 32, 32)
    """

    def __init__(self, size: int = 64, latent: int = 100, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        wide = width * 2 ** (_steps(size) - 1)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent, wide, kernel_size=4, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        while wide > width:
            layers += [
                nn.ConvTranspose2d(wide, wide // 2, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wide // 2),
                nn.ReLU(),
            ]
            wide //= 2
        layers += [
            nn.ConvTranspose2d(width, channels, kernel_size=4, stride=2, padding=1, bias=False),
            nn.Tanh(),
        ]
        self.main = nn.Sequential(*layers)
        _init(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.main(z.flatten(1)[:, :, None, None])


class Discriminator(nn.Module):
    """Strided convolutions from pictures [N, channels, size, size] to [N], the logit of "this one is real".

    `width`: the channels after the first layer. The paper's sigmoid is in the loss, BCEWithLogitsLoss.

    Errors: ValueError for pictures of another size.

    Example:
        >>> lt.models.dcgan.Discriminator(size=32, width=8)(lt.zeros(2, 3, 32, 32)).shape
        (2,)
    """

    def __init__(self, size: int = 64, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, kernel_size=4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2),
        ]
        for _ in range(_steps(size) - 1):
            layers += [
                nn.Conv2d(width, 2 * width, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(2 * width),
                nn.LeakyReLU(0.2),
            ]
            width *= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, kernel_size=4, bias=False))
        _init(self)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (self.size, self.size):
            raise ValueError(
                f"Discriminator: expected pictures of {self.size}x{self.size}, got shape {tuple(x.shape)}; "
                "resize them, or make the model for another size"
            )
        return self.main(x).flatten()


class DCGAN(nn.Module):
    """A `generator` and a `discriminator` for pictures of 64x64 or 32x32; calling it generates.

    Noise [N, latent] to pictures [N, channels, size, size]. For 64x64 3,576,704 and 2,765,568 parameters, the
    names and shapes of PyTorch's DCGAN tutorial; for 32x32 1,068,928 and 663,296. Source: Radford, Metz and
    Chintala (2016), Unsupervised representation learning with deep convolutional generative adversarial
    networks; with half as many channels as there.

    Errors: ValueError for another size.

    Example:
        >>> gan = lt.models.DCGAN(size=32, width=8)
        >>> pictures = gan(lt.randn(2, 100))
        >>> pictures.shape, gan.discriminator(pictures).shape
        ((2, 3, 32, 32), (2,))
    """

    def __init__(self, size: int = 64, latent: int = 100, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.generator = Generator(size, latent, width, channels)
        self.discriminator = Discriminator(size, width, channels)

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)
