"""Small convolutional networks for images."""

from collections.abc import Sequence

from torch import nn

from losslab.config.specs import require_samples


class CNN(nn.Sequential):
    """Convolutions with group normalisation and pooling, then one hidden layer.

    Args:
        input_shape: (channels, height, width) of an image.
        outputs: outputs per image.
        channels: output channels of the convolutions, each of which halves height and width.
        hidden: units of the hidden layer.
        dropout: probability of dropping a hidden unit in training.

    Shape:
        (N, C, H, W) to (N, outputs).

    Raises:
        ValueError: if a sample is not an image, or is halved below one pixel.

    Example:
        >>> import torch
        >>> CNN((1, 28, 28), 10)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        channels: Sequence[int] = (16, 32),
        hidden: int = 64,
        dropout: float = 0.0,
    ) -> None:
        require_samples("CNN", input_shape)
        depth, height, width = input_shape
        layers: list[nn.Module] = []
        for following in channels:
            groups = 8 if following % 8 == 0 else 1
            layers += [
                nn.Conv2d(depth, following, kernel_size=3, padding=1),
                nn.GroupNorm(groups, following),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            depth, height, width = following, height // 2, width // 2
        if min(height, width) < 1:
            raise ValueError(
                f"model.channels has {len(channels)} convolutions, which halve images of shape "
                f"{tuple(input_shape)} below one pixel: use fewer channels, or give images as "
                "(channels, height, width)"
            )
        layers += [nn.Flatten(), nn.Linear(depth * height * width, hidden), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
        super().__init__(*layers, nn.Linear(hidden, outputs))
