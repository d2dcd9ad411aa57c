"""Auto-encoders: of images and of point clouds."""

import math
from collections.abc import Sequence

from torch import Tensor, nn


class ConvAutoencoder(nn.Module):
    """Squeezes an image through a short code and draws it again.

    Args:
        input_shape: (channels, height, width) of one image.
        code: length of the code.
        channels: channels of the convolutions, each halving the image.

    Shape:
        (N, C, H, W) to (N, C, H, W).

    Example:
        >>> import torch
        >>> ConvAutoencoder((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self, input_shape: Sequence[int], code: int = 16, channels: Sequence[int] = (16, 32)
    ) -> None:
        super().__init__()
        if len(input_shape) != 3:
            raise ValueError(f"model=autoencoder expects images, got {tuple(input_shape)}")
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
        """The images, drawn again."""
        height, width = self.size
        drawn: Tensor = self.decoder(self.encoder(images))
        return drawn[..., :height, :width]


class PointAutoencoder(nn.Module):
    """PointNet encoder (a shared layer a point, then the maximum) and a decoder of fixed size.

    Args:
        input_shape: (points, dimensions) of one cloud.
        points: points of the output cloud; ``None``: as many as the input has.
        code: length of the code.

    Shape:
        (N, P, D) to (N, points, D).

    Source:
        Qi et al., "PointNet", 2017; Achlioptas et al., "Learning Representations and Generative
        Models for 3D Point Clouds", 2018.

    Example:
        >>> import torch
        >>> PointAutoencoder((128, 3))(torch.zeros(2, 128, 3)).shape
        torch.Size([2, 128, 3])
    """

    def __init__(
        self, input_shape: Sequence[int], points: int | None = None, code: int = 64
    ) -> None:
        super().__init__()
        if len(input_shape) != 2:
            raise ValueError(f"model=pointnet expects clouds (points, dimensions), got {tuple(input_shape)}")
        count, dimensions = points or input_shape[0], input_shape[1]
        self.each = nn.Sequential(
            nn.Linear(dimensions, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128)
        )
        self.code = nn.Linear(128, code)
        self.decoder = nn.Sequential(
            nn.Linear(code, 128),
            nn.ReLU(),
            nn.Linear(128, 256),
            nn.ReLU(),
            nn.Linear(256, count * dimensions),
            nn.Unflatten(1, (count, dimensions)),
        )

    def encode(self, clouds: Tensor) -> Tensor:
        """One code a cloud, whatever the order of its points."""
        code: Tensor = self.code(self.each(clouds).amax(dim=1))
        return code

    def forward(self, clouds: Tensor) -> Tensor:
        """The clouds, drawn again."""
        drawn: Tensor = self.decoder(self.encode(clouds))
        return drawn
