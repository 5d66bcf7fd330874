"""The variational autoencoder."""

from __future__ import annotations

from .. import nn, randn_like
from .._core import Tensor
from ..nn import functional as F


class VAE(nn.Module):
    """Pictures through a normal distribution over a few latent values and back.

    [N, …] with `inputs` values from 0 to 1 each to three tensors: the reconstruction [N, inputs], and mean
    and log variance of the latent values, [N, latent]. 652,824 parameters with 784, 400 and 20. Source:
    Kingma and Welling (2014), Auto-encoding variational Bayes; with ReLU for tanh.

    Example:
        >>> model, x = lt.models.VAE(), lt.rand(2, 1, 28, 28)
        >>> [t.shape for t in model(x)]
        [(2, 784), (2, 20), (2, 20)]
        >>> lt.models.vae_loss(x, *model(x)).shape
        ()
    """

    def __init__(self, inputs: int = 784, hidden: int = 400, latent: int = 20) -> None:
        super().__init__()
        self.encoder = nn.Linear(inputs, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, inputs), nn.Sigmoid()
        )
        self.relu = nn.ReLU()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent values, [N, latent] each.

        Example:
            >>> mean, log_variance = lt.models.VAE(latent=3).encode(lt.rand(5, 784))
            >>> mean.shape, log_variance.shape
            ((5, 3), (5, 3))
        """
        x = self.relu(self.encoder(x.flatten(1)))
        return self.mean(x), self.log_variance(x)

    def sample(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Latent values drawn so that the draw has derivatives: the reparameterisation trick.

        Example:
            >>> mean, log_variance = lt.tensor([1.0, -1.0]), lt.full((2,), -30.0)
            >>> lt.models.VAE().sample(mean, log_variance).round()
            tensor([ 1., -1.])
        """
        return mean + (0.5 * log_variance).exp() * randn_like(mean)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encode(x)
        return self.decoder(self.sample(mean, log_variance)), mean, log_variance


def vae_loss(x: Tensor, reconstruction: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Minus the lower bound on the log likelihood, a mean over the batch.

    Cross entropy of the pixels, and the divergence of the latent distribution from N(0, 1) (appendix B of the
    paper).

    Example:
        >>> zeros = lt.zeros(1, 20)
        >>> round(lt.models.vae_loss(lt.zeros(1, 4), lt.full((1, 4), 0.5), zeros, zeros).item(), 3)
        2.773
    """
    pixels = F.binary_cross_entropy(reconstruction, x.flatten(1), reduction="sum")
    divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
    return (pixels + divergence) / x.shape[0]
