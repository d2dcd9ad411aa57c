"""Imputation and standardization of all splits with the statistics of the training split."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from losslab.data.batches import Split
from losslab.data.streaming import StreamedInputs, whole_inputs


def imputed_inputs(splits: Sequence[Split]) -> list[Split]:
    """Replace NaN by the median of the column in the training split.

    Args:
        splits: training split, then the others, with inputs ``(n, F)``.

    Raises:
        ValueError: if a column has no number in the training split.

    Example:
        >>> training = Split(torch.tensor([[1.0], [3.0], [float("nan")]]), torch.zeros(3))
        >>> imputed_inputs([training])[0].inputs.flatten()
        tensor([1., 3., 2.])
    """
    training = splits[0].inputs
    medians = torch.zeros(training.shape[1])
    gaps = torch.stack([split.inputs.isnan().any(0) for split in splits]).any(0)
    for column in gaps.nonzero().flatten().tolist():
        known = training[~training[:, column].isnan(), column]
        if not len(known):
            raise ValueError(
                "inputs must have a number in training for each column with missing ones, got "
                f"none in column {column}"
            )
        medians[column] = float(np.median(known))
    return [
        split._replace(inputs=torch.where(split.inputs.isnan(), medians, split.inputs))
        for split in splits
    ]


def standardized_inputs(splits: Sequence[Split], columns: bool | Tensor = True) -> list[Split]:
    """Standardize inputs per column, per channel of ``(n, C, H, W)``, or else overall.

    Args:
        splits: training split, then the others.
        columns: mask ``(F,)`` of the columns to standardize, or ``True`` for all.

    Example:
        >>> training = Split(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 1]))
        >>> standardized_inputs([training])[0].inputs.flatten()
        tensor([-1.,  1.])
    """
    mean, scale = _moments(splits[0])
    if isinstance(columns, Tensor):
        mean, scale = torch.where(columns, mean, 0), torch.where(columns, scale, 1)
    return [split._replace(inputs=_scaled(split.inputs, mean, scale)) for split in splits]


def _moments(split: Split) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations, which broadcast to the inputs."""
    if isinstance(split.inputs, StreamedInputs) and split.inputs.content is not None:
        return split.inputs.moments()
    inputs = whole_inputs(split)
    dims = {2: (0,), 4: (0, 2, 3)}.get(inputs.ndim, tuple(range(inputs.ndim)))
    return _scale(inputs, dims)


def _scaled(inputs: Any, mean: Tensor, scale: Tensor) -> Any:
    if isinstance(inputs, StreamedInputs):
        return inputs.using(scaling=(mean, scale))  # once they are read and augmented
    return (inputs - mean) / scale


class TargetScaling(NamedTuple):
    """Mean and standard deviation of each column of the targets, ``(1, K)``.

    Example:
        >>> scaling = TargetScaling.of(torch.tensor([[100.0], [300.0]]))
        >>> scaling.mean, scaling.scale
        (tensor([[200.]]), tensor([[100.]]))
    """

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, targets: Tensor) -> "TargetScaling":
        """Return the scaling of the targets of a training split, ``(n, K)``."""
        return cls(*_scale(targets, (0,)))

    def standardized(self, split: Split) -> Split:
        """Standardize the targets of a split."""
        return split._replace(targets=(split.targets - self.mean) / self.scale)


def _scale(values: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Compute means and standard deviations, with 1 for the deviation of a constant."""
    exact = values.double()  # float32 would turn a constant of 1e6 into noise
    mean, scale = exact.mean(dims, keepdim=True), exact.std(dims, correction=0, keepdim=True)
    return mean.float(), torch.where(scale > 0, scale, 1).float()
