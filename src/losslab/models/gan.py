"""A generator and its discriminator."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from losslab.models.mlp import MLP


class GAN(nn.Module):
    """Small generator and discriminator for images or vectors.

    For images, the generator has transposed and the discriminator strided convolutions; for
    vectors, both are fully connected. No layer mixes the samples of a batch.

    Args:
        input_shape: (channels, height, width) or (features,) of a sample.
        latent: length of the random code.
        width: channels of the widest convolution, or half the units of each hidden layer.

    Shape:
        ``forward``: codes (N, latent) to samples (N, *input_shape).
        ``discriminate``: samples (N, *input_shape) to logits (N,).

    Example:
        >>> import torch
        >>> gan = GAN((1, 8, 8))
        >>> samples = gan(torch.zeros(5, gan.latent))
        >>> samples.shape, gan.discriminate(samples).shape
        (torch.Size([5, 1, 8, 8]), torch.Size([5]))
    """

    def __init__(self, input_shape: Sequence[int], latent: int = 32, width: int = 64) -> None:
        super().__init__()
        self.latent = latent
        if len(input_shape) == 3:
            self.generator = _image_generator(input_shape, latent, width)
            self.discriminator = _image_discriminator(input_shape, width)
        else:
            hidden = [2 * width, 2 * width]
            self.generator = MLP((latent,), math.prod(input_shape), hidden)
            self.discriminator = MLP(input_shape, 1, hidden)

    def forward(self, codes: Tensor) -> Tensor:
        """Generate one sample per code."""
        samples: Tensor = self.generator(codes)
        return samples

    def discriminate(self, samples: Tensor) -> Tensor:
        """Compute one logit per sample, high for samples that look real."""
        logits: Tensor = self.discriminator(samples)
        return logits.squeeze(-1)


def _image_generator(shape: Sequence[int], latent: int, width: int) -> nn.Sequential:
    channels, height, size = shape
    small = (math.ceil(height / 4), math.ceil(size / 4))
    return nn.Sequential(
        nn.Linear(latent, width * small[0] * small[1]),
        nn.ReLU(),
        nn.Unflatten(1, (width, *small)),
        nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1),
        nn.GroupNorm(4, width // 2),
        nn.ReLU(),
        nn.ConvTranspose2d(width // 2, channels, 4, stride=2, padding=1),
        Crop(height, size),
    )


def _image_discriminator(shape: Sequence[int], width: int) -> nn.Sequential:
    channels, height, size = shape
    small = math.ceil(height / 4) * math.ceil(size / 4)
    return nn.Sequential(
        nn.Conv2d(channels, width // 2, 3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(width * small, 1),
    )


class Crop(nn.Module):
    """Crop of images to their upper left corner."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, images: Tensor) -> Tensor:
        """Return the cropped images."""
        return images[..., : self.height, : self.width]
