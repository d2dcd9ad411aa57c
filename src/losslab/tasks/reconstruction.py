"""Reconstruction of images."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure

from losslab.config.specs import TASKS
from losslab.data.streaming import value_range
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.metrics.samples import frechet_distance, sharpness
from losslab.tasks.base import Task, per_sample
from losslab.tasks.generation import trained_feature_extractor
from losslab.tasks.regression import errors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


class ReconstructionTask(Task):
    """Reconstruction of images (N, C, H, W) from a short code.

    Metrics, with the value range of the training split for psnr and ssim:
        psnr: in dB, averaged over images; an image without error counts as 120 dB.
        ssim: Wang et al. 2004, with a Gaussian window of SD 1.5 pixels (0.5 for images under 16
            pixels) and images mirrored at their border.
        mae, rmse: in the unit of the pixels.
        sharpness: relative to that of the images.
        frechet: if asked for.

    Scores of images: psnr, ssim, mae and squared_error.

    Args:
        data: data module with images as inputs.
        frechet: whether to compute the Fréchet distance on the features of a classifier, as
            :class:`~losslab.tasks.generation.GenerationTask` does.

    Raises:
        ValueError: if the inputs are not images of at least 6 x 6 pixels, or ``frechet`` is set and
            the targets are not classes.
    """

    spec = TASKS["ReconstructionTask"]
    provides: tuple[TargetFormat, ...] = (TargetFormat.VALUES, TargetFormat.IMAGES)
    derived = ("rmse",)

    def __init__(self, data: Any, frechet: bool = False) -> None:
        super().__init__(data)
        self.low, self.high = value_range(data.train)
        self.extractor: nn.Module | None = None
        if frechet:
            if data.target_kind != "classes":
                raise ValueError(
                    "task.definition.frechet=true expects class targets, got "
                    f"{data.target_kind}: choose other data or set it to false"
                )
            self.extractor, _ = trained_feature_extractor(data.train, data.outputs)

    def pair(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return the images as inputs and as targets."""
        return batch[0], batch[0]

    def metrics(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the metrics listed above."""
        elements = self._elements(prediction, target)
        values = {
            "psnr": elements["psnr"].mean(),
            "ssim": elements["ssim"].mean(),
            "mae": elements["mae"].mean(),
            "rmse": elements["squared_error"].mean().sqrt(),
            "sharpness": sharpness(prediction.clamp(self.low, self.high)) / sharpness(target),
        }
        if self.extractor is not None:
            with torch.no_grad():
                features = [self.extractor(images.cpu()) for images in (target, prediction)]
            values["frechet"] = torch.tensor(frechet_distance(*features))
        return values

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above."""
        return per_sample(self._elements(prediction, target))

    def _elements(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute what the metrics average, (n,) per image or (n, C, H, W) per value."""
        span = self.high - self.low
        ssim = structural_similarity_index_measure(
            prediction.clamp(self.low, self.high),
            target,
            sigma=1.5 if min(target.shape[-2:]) >= 16 else 0.5,
            reduction="none",
            data_range=span,
        )
        assert isinstance(ssim, Tensor)
        elements = errors(prediction, target)
        mse = elements["squared_error"].mean(dim=(1, 2, 3))
        psnr = 10 * torch.log10(span**2 / mse.clamp(min=1e-12))
        return {"psnr": psnr, "ssim": ssim, **elements}

    def figures(
        self, inputs: Tensor, prediction: Tensor, target: Tensor, network: nn.Module
    ) -> "Mapping[str, Figure | FigureData]":
        """Plot images above their reconstructions."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        clamped = prediction.clamp(self.low, self.high)
        given, made = {"image": inputs.mean(dim=1)}, {"reconstruction": clamped.mean(dim=1)}
        return {"reconstruction": drawing.rows(given, made, "Images and their reconstructions")}
