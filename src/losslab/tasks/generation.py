"""Generation: samples that resemble the data."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from losslab.config.specs import TASKS
from losslab.data.batches import Split
from losslab.data.streaming import batches_at, value_range, whole_inputs
from losslab.losses.base import TargetFormat
from losslab.losses.links import InverseLink
from losslab.metrics.samples import (
    covered_modes,
    frechet_distance,
    inside_manifold,
    precision_recall,
    sharpness,
)
from losslab.rng import Purpose, derive_seed, generator
from losslab.tasks.base import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from losslab.runs.figure_data import FigureData


COMPARED = 1000
"""Number of samples of each kind for precision and recall, which take quadratic time."""


class GenerationTask(Task):
    """Generation of samples, which are compared with real ones.

    Features are those of a small classifier that is trained on the real training split.

    Metrics:
        frechet: Fréchet distance of the features.
        sample_precision, sample_recall: with k = 3 and at most 1,000 samples of each kind, on the
            features of images or on points in the plane themselves.
        modes: number of classes that the samples cover. A point in the plane belongs to the nearest
            class whose mean is within 4 standard deviations.
        sharpness: sharpness of images relative to the real ones.

    Scores of real samples: sample_recall; NaN for samples beyond the first 1,000.

    Raises:
        ValueError: if the targets are not classes.
    """

    spec = TASKS["GenerationTask"]
    provides: tuple[TargetFormat, ...] = (TargetFormat.DISCRIMINATOR,)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        self.plane = len(data.input_shape) == 1
        self.low, self.high = value_range(data.train)
        if self.plane:
            points, modes = whole_inputs(data.train), data.train.targets
            self.centres = torch.stack(
                [points[modes == mode].mean(dim=0) for mode in range(self.outputs)]
            )
            self.radius = 4 * float((points - self.centres[modes]).std())
        self.extractor, self.head = trained_feature_extractor(data.train, self.outputs)

    def evaluate(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Compute the metrics of generated samples, given real ones."""
        real, fake = real.float().cpu(), fake.float().cpu()
        real_features, fake_features = self.features(real), self.features(fake)
        points = (real, fake) if self.plane else (real_features, fake_features)
        precision, recall = precision_recall(points[0][:COMPARED], points[1][:COMPARED])
        values = {
            "frechet": frechet_distance(real_features, fake_features),
            "modes": float(covered_modes(self.classes(fake), self.outputs)),
            "sample_precision": precision,
            "sample_recall": recall,
        }
        if not self.plane:
            clamped = fake.clamp(self.low, self.high)
            values["sharpness"] = float(sharpness(clamped) / sharpness(real))
        return values

    def scores(
        self,
        prediction: Tensor,
        target: Tensor,
        inverse_link: InverseLink | None,
        chosen: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """Compute the scores listed above; the prediction are generated samples."""
        samples = (target.float().cpu(), prediction.float().cpu())
        real, fake = samples if self.plane else map(self.features, samples)
        found = inside_manifold(real[:COMPARED], fake[:COMPARED]).double()
        rest = found.new_full((len(real) - len(found),), torch.nan)
        return {"sample_recall": torch.cat([found, rest])}

    @torch.no_grad()
    def features(self, samples: Tensor) -> Tensor:
        """Compute the classifier's features of samples, (N, 32)."""
        features: Tensor = self.extractor(samples)
        return features

    @torch.no_grad()
    def classes(self, samples: Tensor) -> Tensor:
        """Return the mode of each sample, or -1 for none."""
        if self.plane:
            distance, nearest = torch.cdist(samples, self.centres).min(dim=1)
            return nearest.where(distance <= self.radius, -1)
        guess: Tensor = self.head(self.extractor(samples)).argmax(dim=1)
        return guess

    def sample_figures(self, real: Tensor, fake: Tensor) -> "Mapping[str, Figure | FigureData]":
        """Plot a grid of samples, or points in the plane."""
        from losslab.tasks import drawing  # noqa: PLC0415 (matplotlib: only where it is drawn)

        if self.plane:
            return {"samples": drawing.points({"real": real, "generated": fake})}
        fake = fake.clamp(self.low, self.high)
        lines = {f"generated {row + 1}": fake[10 * row : 10 * row + 10, 0] for row in range(5)}
        return {"samples": drawing.rows({"real": real[:10, 0]}, lines, "Samples", columns=10)}


EXTRACTOR_STEPS, EXTRACTOR_BATCH = 600, 64


def trained_feature_extractor(split: Split, classes: int) -> tuple[nn.Module, nn.Module]:
    """Train a small classifier of real samples with a fixed seed, so that all runs share it.

    Returns:
        The feature extractor, with features (N, 32), and the head.
    """
    shape = split.inputs.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(0, Purpose.EXTRACTOR_WEIGHTS))
        first = (
            [nn.Conv2d(shape[0], 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1)]
            if len(shape) == 3
            else [nn.Linear(shape[0], 64)]
        )
        extractor = nn.Sequential(*first, nn.ReLU(), nn.Flatten(), nn.LazyLinear(32), nn.ReLU())
        head = nn.Linear(32, classes)
        extractor(torch.zeros(1, *shape))
    both = nn.Sequential(extractor, head)
    optimizer = torch.optim.Adam(both.parameters(), lr=3e-3, fused=True)
    stream = generator(0, Purpose.EXTRACTOR_BATCHES)
    positions = torch.randint(split.size, (EXTRACTOR_STEPS, EXTRACTOR_BATCH), generator=stream)
    for inputs, targets in batches_at(split, positions.unbind()):
        optimizer.zero_grad()
        nn.functional.cross_entropy(both(inputs), targets).backward()
        optimizer.step()
    return extractor.eval(), head.eval()
