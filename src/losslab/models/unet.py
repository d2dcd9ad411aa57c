"""A small U-Net for segmentation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from losslab.config.specs import require_samples


class UNet(nn.Module):
    """Encoder and decoder with skip connections.

    Args:
        input_shape: (channels, height, width) of an image.
        outputs: maps of logits per image.
        channels: channels of each level, the full resolution first.

    Shape:
        (N, C, H, W) to (N, outputs, H, W), for any H and W.

    Raises:
        ValueError: if a sample is not an image.

    Source:
        Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", 2015.

    Example:
        >>> UNet((1, 64, 64), 1)(torch.zeros(2, 1, 64, 64)).shape
        torch.Size([2, 1, 64, 64])
    """

    def __init__(
        self, input_shape: Sequence[int], outputs: int, channels: Sequence[int] = (12, 24, 48)
    ) -> None:
        super().__init__()
        require_samples("UNet", input_shape)
        widths = [input_shape[0], *channels]
        self.down = nn.ModuleList(
            _block(before, after) for before, after in zip(widths[:-1], widths[1:], strict=True)
        )
        upward = list(reversed(channels))
        self.up = nn.ModuleList(
            _block(before + after, after)
            for before, after in zip(upward[:-1], upward[1:], strict=True)
        )
        self.head = nn.Conv2d(channels[0], outputs, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logit maps of the images."""
        skips: list[Tensor] = []
        features = images
        for level, block in enumerate(self.down):
            if level:
                features = nn.functional.max_pool2d(features, 2, ceil_mode=True)
            features = block(features)
            skips.append(features)
        for block, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            grown = nn.functional.interpolate(features, size=skip.shape[-2:], mode="nearest")
            features = block(torch.cat([grown, skip], dim=1))
        maps: Tensor = self.head(features)
        return maps


def _block(before: int, after: int) -> nn.Sequential:
    groups = 4 if after % 4 == 0 else 1
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size=3, padding=1),
        nn.GroupNorm(groups, after),
        nn.ReLU(),
        nn.Conv2d(after, after, kernel_size=3, padding=1),
        nn.GroupNorm(groups, after),
        nn.ReLU(),
    )
