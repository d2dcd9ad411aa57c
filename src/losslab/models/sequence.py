"""A network that reads a line of characters."""

from collections.abc import Sequence

from torch import Tensor, nn

from losslab.config.specs import require_samples


class CRNN(nn.Module):
    """Convolutions, then a bidirectional GRU over the columns of the image.

    Args:
        input_shape: (channels, height, width) of an image; the width is time.
        outputs: classes, including the blank.
        channels: output channels of the convolutions; each halves the height, the first also the
            width.
        hidden: units of the GRU per direction.

    Shape:
        (N, C, H, W) to (N, ceil(W / 2), outputs).

    Source:
        Shi et al., "An End-to-End Trainable Neural Network for Image-based Sequence Recognition",
        2015.

    Example:
        >>> import torch
        >>> CRNN((1, 8, 80), 11)(torch.zeros(2, 1, 8, 80)).shape
        torch.Size([2, 40, 11])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        channels: Sequence[int] = (16, 32),
        hidden: int = 64,
    ) -> None:
        super().__init__()
        require_samples("CRNN", input_shape)
        depth, height, _ = input_shape
        layers: list[nn.Module] = []
        for level, after in enumerate(channels):
            layers += [
                nn.Conv2d(depth, after, kernel_size=3, padding=1),
                nn.GroupNorm(4, after),
                nn.ReLU(),
                nn.MaxPool2d((2, 1 if level else 2), ceil_mode=True),
            ]
            depth, height = after, -(-height // 2)
        self.convolutions = nn.Sequential(*layers)
        self.columns = nn.Linear(depth * height, hidden)
        self.recurrent = nn.GRU(hidden, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of each time step."""
        features = self.convolutions(images)
        columns = self.columns(features.flatten(1, 2).transpose(1, 2)).relu()
        states, _ = self.recurrent(columns)
        logits: Tensor = self.head(states)
        return logits
