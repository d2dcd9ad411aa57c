"""Two encoders into one space: of images and of their captions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losslab.models.cnn import CNN


class TextEncoder(nn.Module):
    """Average of word vectors, then one hidden layer (a deep averaging network).

    Args:
        vocabulary: number of words; word 0 is padding.
        outputs: dimensions of the embedding.
        hidden: dimensions of the word vectors, and units of the hidden layer.

    Shape:
        words ``(N, L)`` int64 to ``(N, outputs)``.

    Source:
        Iyyer et al., "Deep Unordered Composition Rivals Syntactic Methods for Text Classification",
        2015.

    Example:
        >>> TextEncoder(20, 8)(torch.tensor([[4, 2, 0], [1, 1, 3]])).shape
        torch.Size([2, 8])
    """

    def __init__(self, vocabulary: int, outputs: int, hidden: int = 64) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(vocabulary, hidden))
        self.layers = nn.Sequential(
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, words: Tensor) -> Tensor:
        """Compute the embeddings of texts."""
        counted = (words > 0).to(self.vectors.dtype).unsqueeze(2)
        # a text without words has the average 0
        total = (F.embedding(words, self.vectors) * counted).sum(dim=1)
        embeddings: Tensor = self.layers(total / counted.sum(dim=1).clamp(min=1))
        return embeddings


class DualEncoder(nn.Module):
    """Convolutional network for images and an average of word vectors for their texts.

    Args:
        input_shape: (pixels + words,) of a sample: a square grey image, row by row, and the words.
        outputs: dimensions of an embedding.
        vocabulary: number of words; word 0 is padding.
        words: maximum number of words of a text.
        channels: output channels of the convolutions, see :class:`~losslab.models.CNN`.
        hidden: units of the hidden layer of either encoder.

    Shape:
        ``(N, pixels + words)`` to ``(N, 2, outputs)``: image, then text.

    Raises:
        ValueError: if a sample is not a square image with words.

    Example:
        >>> network = DualEncoder((64 + 5,), outputs=8, vocabulary=20, words=5)
        >>> network(torch.zeros(3, 69)).shape
        torch.Size([3, 2, 8])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        vocabulary: int,
        words: int,
        channels: Sequence[int] = (16, 32),
        hidden: int = 64,
    ) -> None:
        super().__init__()
        pixels = input_shape[0] - words
        side = math.isqrt(max(pixels, 0))
        if len(input_shape) != 1 or side == 0 or side**2 != pixels:
            raise ValueError(
                f"model=dual_encoder expects a square image and {words} words (pixels + words,), "
                f"got samples of shape {tuple(input_shape)}"
            )
        self.image_shape = (1, side, side)
        self.image = CNN(self.image_shape, outputs, channels, hidden)
        self.text = TextEncoder(vocabulary, outputs, hidden)

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the embeddings of images and texts."""
        pixels = math.prod(self.image_shape)
        images, words = inputs[:, :pixels], inputs[:, pixels:]
        return torch.stack(
            [self.image(images.unflatten(1, self.image_shape)), self.text(words.long())], dim=1
        )
