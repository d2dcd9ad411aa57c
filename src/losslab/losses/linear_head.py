"""The linear map with which a loss of logits takes embeddings."""

from torch import Tensor, nn

from losslab.losses.functional import class_vectors


class LinearHead(nn.Linear):
    """Linear map from embeddings to the logits of classes, computed in full precision.

    Args:
        embedding_size: dimensions of an embedding.
        num_classes: number of classes.
    """

    def __init__(self, embedding_size: int, num_classes: int) -> None:
        super().__init__(embedding_size, num_classes)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Compute logits (N, C)."""
        return class_vectors.linear(embeddings, self.weight, self.bias)
