"""Figure data of a run: a few samples and their predictions, as arrays.

They are saved beside the run's figures, so that a report can draw several runs in one figure
without torch and without the network.
"""

import io
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from losslab.runs.files import PNG, FileError, require_zip
from losslab.runs.packs import open_file

ENDING = ".npz"


@dataclass(frozen=True)
class Line:
    """Curve, drawn on one plot with those of other runs."""

    title: str
    xlabel: str
    ylabel: str
    x: np.ndarray
    y: np.ndarray
    points: np.ndarray | None = None
    """(N, 2), points that all runs fit."""
    points_name: str = ""
    truth: np.ndarray | None = None
    """(N, 2), the true curve."""
    mark: np.ndarray | None = None
    """(2,), marked point of the curve."""
    mark_name: str = ""


@dataclass(frozen=True)
class Images:
    """Rows of images, one sample per column: the given images, then the run's own."""

    title: str
    given: np.ndarray
    """(R, N, H, W), on the same grey scale as the run's own."""
    given_names: np.ndarray
    """(R,), one name per row."""
    made: np.ndarray
    """(M, N, H, W); only the first row is shown beside other runs."""
    made_names: np.ndarray
    """(M,)."""


@dataclass(frozen=True)
class Boxes:
    """Boxes on images, one sample per column: the given boxes, and the run's own."""

    title: str
    images: np.ndarray
    """(N, H, W), grey from 0 to 1, or (N, H, W, 3)."""
    given: np.ndarray
    """(N, M, 4), corners x1, y1, x2, y2 in pixels; NaN for images with fewer boxes."""
    made: np.ndarray
    """(N, P, 4)."""
    scores: np.ndarray | None = None
    """(N, P), confidence of the run's own boxes."""
    given_names: np.ndarray | None = None
    """(N, M), what is in the given boxes, if there are several kinds."""
    made_names: np.ndarray | None = None
    """(N, P)."""


@dataclass(frozen=True)
class Clouds:
    """Point clouds, one sample per column: the given clouds, then the run's own."""

    title: str
    given: np.ndarray
    """(N, P, 3)."""
    made: np.ndarray
    """(N, Q, 3)."""


@dataclass(frozen=True)
class Scatter:
    """Points of several groups in the plane; several runs are shown side by side."""

    title: str
    xlabel: str
    ylabel: str
    points: np.ndarray
    """(N, 2)."""
    groups: np.ndarray
    """(N,), group index of each point."""
    names: np.ndarray
    """(G,), one name per group."""
    named_in_place: bool = False
    """Whether names are placed among their points instead of in a legend."""


FigureData = Line | Images | Boxes | Clouds | Scatter
KINDS = {kind.__name__: kind for kind in (Line, Images, Boxes, Clouds, Scatter)}


def to_bytes(data: FigureData) -> bytes:
    """Serialize figure data to the content of a file; see :func:`read_figure_data`."""
    content = {field.name: getattr(data, field.name) for field in fields(data)}
    content = {name: value for name, value in content.items() if value is not None}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, kind=type(data).__name__, **content)
    return buffer.getvalue()


def read_figure_data(path: Path) -> FigureData:
    """Read the figure data that a run saved.

    Raises:
        FileNotFoundError: if the file does not exist.
        FileError: if the file does not have the expected format.
    """
    try:
        with open_file(path) as file, np.load(file, allow_pickle=False) as content:
            arrays: dict[str, Any] = {name: content[name] for name in content.files}
            kind = KINDS[str(arrays.pop("kind"))]
            return kind(
                **{name: array if array.ndim else array.item() for name, array in arrays.items()}
            )
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        raise FileError(path, f"does not contain figure data: {error}") from error


def require_figure(path: Path) -> None:
    """Check that a saved figure or its data have their end.

    Raises:
        FileError: if the file is truncated or something else.
    """
    if path.suffix == ENDING:
        require_zip(path)
    elif path.suffix == ".png" and not (path.is_file() and _is_png(path)):
        raise FileError(path, "is not a whole PNG file")


def _is_png(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(len(PNG)) != PNG:
            return False
        file.seek(-8, os.SEEK_END)  # name and checksum of the last chunk
        return file.read(4) == b"IEND"
