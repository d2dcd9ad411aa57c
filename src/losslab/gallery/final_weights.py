"""Final weights of runs, compared with those of the run with ``loss=cross_entropy``."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from losslab.analysis.load import Run
from losslab.metrics.labels import Metric


def final_weights(run: Run) -> list[np.ndarray]:
    """Return the weights and biases of a run's last epoch, in the order of the layers."""
    import torch  # noqa: PLC0415 (only claims about weights need it)

    path = run.folder / "checkpoints" / "last.ckpt"
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return [value.numpy() for value in state.values()]


def differing(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Compute the share of weights that differ in any bit, but for the sign of zero."""
    return float(np.mean(ours != theirs))


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Compute the largest difference of a weight."""
    return float(np.abs(ours - theirs).max())


def beside_cross_entropy(
    compare: Callable[[np.ndarray, np.ndarray], float], runs: Sequence[Run]
) -> Callable[[Run], float]:
    """Return the measure of a run beside the run of cross_entropy with the same other options."""
    references = {_other_options(run): run for run in runs if run.loss == "cross_entropy"}

    def measure(run: Run) -> float:
        pair = run, references[_other_options(run)]
        return compare(*(np.concatenate([*map(np.ravel, final_weights(each))]) for each in pair))

    return measure


def _other_options(run: Run) -> tuple[str, ...]:
    return tuple(each for each in run.overrides if not each.startswith("loss="))


COMPARISONS: dict[str, tuple[Metric, Callable[[Sequence[Run]], Callable[[Run], float]]]] = {
    "differing_weights": (
        Metric("differing_weights", "weights that differ in a bit", percent=True, low=0, high=1),
        partial(beside_cross_entropy, differing),
    ),
    "weight_distance": (
        Metric("weight_distance", "largest difference of a weight", low=0),
        partial(beside_cross_entropy, largest_difference),
    ),
}
"""Measures that need another run, with functions that return them for the runs of a claim."""
