"""An autoencoder for point clouds."""

from collections.abc import Sequence

from torch import Tensor, nn

from losslab.config.specs import require_samples


class PointAutoencoder(nn.Module):
    """Autoencoder for point clouds with a PointNet encoder and a fully connected decoder.

    Args:
        input_shape: (points, dimensions) of a cloud.
        points: points of the output cloud; ``None``: as many as the input has.
        code: length of the code.

    Shape:
        (N, P, D) to (N, points, D).

    Raises:
        ValueError: if a sample is not a point cloud.

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
        require_samples("PointAutoencoder", input_shape)
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
        """Compute one code per cloud, which does not depend on the order of its points."""
        code: Tensor = self.code(self.each(clouds).amax(dim=1))
        return code

    def forward(self, clouds: Tensor) -> Tensor:
        """Return the reconstructed clouds."""
        reconstructed: Tensor = self.decoder(self.encode(clouds))
        return reconstructed
