"""An autoencoder for images."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from losslab.config.specs import require_samples


class ConvAutoencoder(nn.Module):
    """Convolutional autoencoder for images.

    Args:
        input_shape: (channels, height, width) of an image.
        code: length of the code.
        channels: output channels of the convolutions, each of which halves height and width.

    Shape:
        (N, C, H, W) to (N, C, H, W).

    Raises:
        ValueError: if a sample is not an image.

    Example:
        >>> import torch
        >>> ConvAutoencoder((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self, input_shape: Sequence[int], code: int = 24, channels: Sequence[int] = (16, 32)
    ) -> None:
        super().__init__()
        require_samples("ConvAutoencoder", input_shape)
        depth, *self.size = input_shape
        small = [math.ceil(side / 2 ** len(channels)) for side in self.size]
        widths = [depth, *channels]
        encoder: list[nn.Module] = []
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        flat = channels[-1] * small[0] * small[1]
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(flat, code))
        decoder: list[nn.Module] = [
            nn.Linear(code, flat),
            nn.ReLU(),
            nn.Unflatten(1, (channels[-1], *small)),
        ]
        for after, before in zip(reversed(widths[1:-1]), reversed(channels[1:]), strict=True):
            decoder += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        self.decoder = nn.Sequential(
            *decoder, nn.ConvTranspose2d(channels[0], depth, 4, stride=2, padding=1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the reconstructed images."""
        height, width = self.size
        reconstructed: Tensor = self.decoder(self.encoder(images))
        return reconstructed[..., :height, :width]
