"""A generator and a discriminator that judges it."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from losslab.models.mlp import MLP


class GAN(nn.Module):
    """Small generator and discriminator for images or vectors.

    Images are drawn by transposed convolutions from a quarter of their size and judged by strided
    ones; vectors by fully connected layers on either side. No layer mixes the samples of a batch.

    Args:
        input_shape: (channels, height, width) or (features,) of one sample.
        latent: length of the random code.
        width: channels of the widest layer, or width of the hidden layers.

    Shape:
        codes (N, latent) to samples (N, *input_shape); ``judge``: samples to logits (N,).

    Example:
        >>> import torch
        >>> gan = GAN((1, 8, 8))
        >>> samples = gan(torch.zeros(5, gan.latent))
        >>> samples.shape, gan.judge(samples).shape
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
        """Samples, one a code."""
        samples: Tensor = self.generator(codes)
        return samples

    def judge(self, samples: Tensor) -> Tensor:
        """A logit a sample: high for what looks real."""
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
    """The upper left of an image that came out too large."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, images: Tensor) -> Tensor:
        """The images, cut."""
        return images[..., : self.height, : self.width]
