"""Reconstruction: the input is its own target."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from losslab.losses.base import InverseLink, TargetFormat
from losslab.metrics.samples import frechet_distance, sharpness
from losslab.tasks.base import Task
from losslab.tasks.generation import trained_feature_extractor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


SMALLEST_SIDE = 6
"""Pixels of the smallest image; SSIM reads the neighbourhood of a pixel."""


class Reconstruction(Task):
    """Images (N, C, H, W), drawn again through a short code.

    Metrics: psnr in dB (the mean of the images' own, an image without error counted with 120 dB),
    ssim (Wang et al. 2004; Gaussian window of SD 1.5 pixels, 0.5 on images under 16 pixels, images
    mirrored at their border), mae and rmse in the images' own scale, sharpness beside that of the
    images. The range of the images, for psnr and ssim, is that of the training split.

    Args:
        data: with images as inputs.
        frechet: measure the Frechet distance too, on the features of a classifier that is trained
            here, as :class:`~losslab.tasks.generation.Generation` does.

    Raises:
        ValueError: if the data are no images of at least 6 x 6 pixels, or have no classes to train
            a classifier on.
    """

    provides: tuple[TargetFormat, ...] = (TargetFormat.VALUES,)
    standard_inverse_link: ClassVar[InverseLink | None] = "identity"

    def __init__(self, data: Any, frechet: bool = False) -> None:
        super().__init__(data)
        shape = tuple(data.input_shape)
        if len(shape) != 3 or min(shape[1:]) < SMALLEST_SIDE:
            raise ValueError(
                f"task=reconstruction expects images (channels, height, width) of at least "
                f"{SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, got samples of shape {shape}"
            )
        images = data.train.inputs
        self.low, self.high = float(images.min()), float(images.max())
        self.eye: nn.Module | None = None
        if frechet:
            if data.target_kind != "classes":
                raise ValueError(f"frechet needs classes in the data, got {data.target_kind}")
            self.eye, _ = trained_feature_extractor(images, data.train.targets, data.outputs)

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """The images, twice."""
        return batch[0], batch[0]

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """See the class."""
        span = self.high - self.low
        difference = prediction.double() - target.double()
        mse = difference.square().mean(dim=(1, 2, 3))
        ssim = structural_similarity_index_measure(
            prediction.clamp(self.low, self.high),
            target,
            sigma=1.5 if min(target.shape[-2:]) >= 16 else 0.5,
            data_range=span,
        )
        assert isinstance(ssim, Tensor)
        values = {
            "psnr": (10 * torch.log10(span**2 / mse.clamp(min=1e-12))).mean(),
            "ssim": ssim,
            "mae": difference.abs().mean(),
            "rmse": difference.square().mean().sqrt(),
            "sharpness": sharpness(prediction.clamp(self.low, self.high)) / sharpness(target),
        }
        if self.eye is not None:
            with torch.no_grad():
                seen = [self.eye(images.cpu()) for images in (target, prediction)]
            values["frechet"] = torch.tensor(frechet_distance(*seen))
        return values

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Images above their reconstructions."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        drawn = prediction.clamp(self.low, self.high)
        given, made = {"image": inputs.mean(dim=1)}, {"drawn again": drawn.mean(dim=1)}
        return {"reconstruction": drawing.rows(given, made, "Images and their reconstructions")}
