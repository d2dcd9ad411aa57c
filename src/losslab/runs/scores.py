"""Scores of a run's test samples, ``scores.npz``.

They separate the variance of seeds from that of test samples. The file has one array per score,
``score/<name>``, beside ``format``, ``sample`` and, for some runs, ``prediction`` and ``target``.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.runs.files import FileError, require_version
from losslab.runs.folder import RunFolder, replace_file
from losslab.runs.packs import open_file

FORMAT = 1
"""Version of the file's format; increased if an array changes its meaning, not if one is added."""

PREFIX = "score/"


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of a run's test samples, one entry per sample in each array."""

    sample: NDArray[np.int64]
    """(n,), identity of each sample: its index in the data set, or the seed of an episode."""
    values: Mapping[str, NDArray[np.float32]]
    """Scores by name, each (n,), NaN for samples without one. One that has the name of a metric has
    that test metric as the mean of its other values."""
    prediction: NDArray[np.float32] | None = None
    """(n, *), outputs of the network, if the primary metric does not follow from the scores."""
    target: NDArray[Any] | None = None
    """(n, *), targets of the data, with the predictions."""

    def __post_init__(self) -> None:
        for name, array in self._arrays().items():
            if len(array) != len(self.sample):
                raise ValueError(
                    f"{name} must have one entry per sample, got {len(array)} for "
                    f"{len(self.sample)} samples"
                )

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {"sample": self.sample}
        arrays |= {PREFIX + name: array for name, array in self.values.items()}
        if self.prediction is not None and self.target is not None:
            arrays |= {"prediction": self.prediction, "target": self.target}
        return arrays


def write_scores(folder: Path, scores: Scores) -> None:
    """Write the scores atomically, in float32.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_scores(folder, Scores(np.array([7, 3]), {"mae": np.array([0.5, 1.0])}))
        >>> scores = read_scores(folder)
        >>> scores.sample.tolist(), scores.values["mae"].tolist()
        ([7, 3], [0.5, 1.0])
    """
    arrays: dict[str, Any] = {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array
        for name, array in scores._arrays().items()
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, format=np.array(FORMAT), **arrays)
    replace_file(RunFolder(folder).scores, buffer.getvalue())


def read_scores(folder: Path) -> Scores | None:
    """Read the scores of a run; ``None`` if it has none.

    Raises:
        FileError: if the file is damaged, or this version cannot read its format.
    """
    path = RunFolder(folder).scores
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as content:
            arrays: dict[str, Any] = {name: content[name] for name in content.files}
        require_version({"format": int(arrays["format"])}, "format", FORMAT, path)
        values = {
            name.removeprefix(PREFIX): array
            for name, array in arrays.items()
            if name.startswith(PREFIX)
        }
        scores = Scores(arrays["sample"], values, arrays.get("prediction"), arrays.get("target"))
        _require_numbers(scores)
        return scores
    except FileNotFoundError:
        return None
    except FileError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise FileError(path, f"does not contain scores: {error}") from error


def _require_numbers(scores: Scores) -> None:
    if scores.sample.ndim != 1 or scores.sample.dtype.kind not in "iu":
        raise ValueError(f"sample must be whole numbers, got {scores.sample.dtype}")
    for name, array in scores.values.items():
        if array.ndim != 1 or array.dtype.kind != "f":
            raise ValueError(f"{name} must be numbers, got {array.dtype} of shape {array.shape}")
