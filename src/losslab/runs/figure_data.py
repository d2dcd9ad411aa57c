"""What a run shows of its predictions: a few samples as arrays.

They lie beside the run's pictures, so that a report can draw several runs on one plot or in one
row without torch and without the network.
"""

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

ENDING = ".npz"


@dataclass(frozen=True)
class Line:
    """A curve; those of several runs stand on one plot."""

    title: str
    xlabel: str
    ylabel: str
    x: np.ndarray
    y: np.ndarray
    points: np.ndarray | None = None
    """(N, 2), what every run was to fit."""
    points_name: str = ""
    truth: np.ndarray | None = None
    """(N, 2), a curve that is known to be right."""
    mark: np.ndarray | None = None
    """(2,), one point of the curve."""
    mark_name: str = ""


@dataclass(frozen=True)
class Images:
    """Rows of images, one sample a column: those that every run was given, then the run's own."""

    title: str
    given: np.ndarray
    """(R, N, H, W), all on one grey scale with the run's own."""
    given_names: np.ndarray
    """(R,), a name a row."""
    made: np.ndarray
    """(M, N, H, W); beside other runs the first row stands for the run."""
    made_names: np.ndarray
    """(M,)."""


@dataclass(frozen=True)
class Clouds:
    """Point clouds, one sample a column: the given ones, then the run's own."""

    title: str
    given: np.ndarray
    """(N, P, 3)."""
    made: np.ndarray
    """(N, Q, 3)."""


@dataclass(frozen=True)
class Scatter:
    """Points of several groups in the plane; several runs stand side by side."""

    title: str
    xlabel: str
    ylabel: str
    points: np.ndarray
    """(N, 2)."""
    groups: np.ndarray
    """(N,), the group of each point, counted from 0."""
    names: np.ndarray
    """(G,), a name a group."""
    named_in_place: bool = False
    """Whether the names stand among their points; else in a legend."""


FigureData = Line | Images | Clouds | Scatter
KINDS = {kind.__name__: kind for kind in (Line, Images, Clouds, Scatter)}


def to_bytes(shown: FigureData) -> bytes:
    """The content of a file that :func:`read_shown` reads."""
    content = {field.name: getattr(shown, field.name) for field in fields(shown)}
    content = {name: value for name, value in content.items() if value is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, kind=type(shown).__name__, **content)
    return buffer.getvalue()


def read_shown(path: Path) -> FigureData:
    """What a run has left in a file.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is none of ours.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays: dict[str, Any] = {name: content[name] for name in content.files}
            kind = KINDS[str(arrays.pop("kind"))]
            return kind(
                **{name: array if array.ndim else array.item() for name, array in arrays.items()}
            )
    except (EOFError, KeyError, TypeError, OSError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} shows no predictions: {error}") from error
