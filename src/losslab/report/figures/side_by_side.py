"""Figures that the runs saved, of all losses at one seed, from their arrays or PNG files."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from losslab.analysis.comparison import ComparisonTable
from losslab.analysis.load import Run
from losslab.report.figures.predictions import predictions
from losslab.report.figures.style import NothingToDraw, headline, panels, styled
from losslab.runs.figure_data import ENDING, read_figure_data
from losslab.runs.folder import RunFolder
from losslab.runs.packs import files_in, open_file

MOST_RUNS = 8
"""Maximum number of rows in a figure; the best ones are shown."""


def run_figures(table: ComparisonTable) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield what draws the figures that the runs saved, each for all losses, and its name.

    Names are such as ``fit`` and ``masks``. Files are read once, however often a figure is drawn.
    The seed is the first at which most rows have figures.
    """
    seed, found = _seed_with_figures({row.label: row.by_seed for row in table.rows})
    note = f"{table.title}, seed {seed}"
    for name in dict.fromkeys(name for paths in found.values() for name in paths):
        having = {label: paths[name] for label, paths in found.items() if name in paths}
        shown = dict(list(having.items())[:MOST_RUNS])
        more = f", the best {len(shown)} of {len(having)} rows" if len(shown) < len(having) else ""
        yield name, _together(shown, f"{note}{more}", name)


def _seed_with_figures(
    rows: Mapping[str, Mapping[int, Run]],
) -> tuple[int | None, dict[str, dict[str, Path]]]:
    """Return the first seed at which most rows have figures, and these by row and name."""
    chosen: tuple[int | None, dict[str, dict[str, Path]]] = (None, {})
    for seed in sorted({seed for runs in rows.values() for seed in runs}):
        every = {label: _files(runs[seed]) for label, runs in rows.items() if seed in runs}
        found = {label: files for label, files in every.items() if files}
        if len(found) > len(chosen[1]):
            chosen = seed, found
        if len(found) == len(rows):
            break
    return chosen


def _files(run: Run) -> dict[str, Path]:
    """Return a run's figures of the last split it was evaluated on, preferring arrays to PNG."""
    folder = RunFolder(run.folder).figures
    if run.outcome != "done":
        return {}
    for split in ("test", "val"):
        prefix = f"{split}_"
        png, arrays = (
            {
                path.stem.removeprefix(prefix): path
                for path in files_in(folder, ending)
                if path.name.startswith(prefix)
            }
            for ending in (".png", ENDING)
        )
        if png:
            return dict(sorted((png | arrays).items()))
    return {}


def _together(paths: Mapping[str, Path], note: str, name: str) -> Callable[[], Figure]:
    if all(path.suffix == ENDING for path in paths.values()):
        shown = _readable(read_figure_data, paths)
        if len({type(each) for each in shown.values()}) == 1:
            return partial(predictions, shown, note)
    png = _readable(_image, {label: path.with_suffix(".png") for label, path in paths.items()})
    return partial(montage, png, f"{note}: {name.replace('_', ' ')}")


def _image(path: Path) -> np.ndarray:
    with open_file(path) as file:
        image: np.ndarray = imread(file)
        return image


def _readable(read: Callable[[Path], Any], paths: Mapping[str, Path]) -> dict[str, Any]:
    """Read the files that are whole; the report names the others."""
    found = {}
    for label, path in paths.items():
        with suppress(OSError, ValueError, SyntaxError):  # SyntaxError: of a broken PNG
            found[label] = read(path)
    return found


@styled
def montage(images: Mapping[str, np.ndarray], title: str) -> Figure:
    """Show images side by side: up to three in a row, else in a nearly square grid.

    Raises:
        NothingToDraw: if there are no images.
    """
    if not images:
        raise NothingToDraw("there are no images")
    width = 3.6
    height = width * max(image.shape[0] / image.shape[1] for image in images.values()) + 0.3
    figure, grid = panels(len(images), width, height, columns=_columns(len(images)))
    for axes, (label, image) in zip(grid, images.items(), strict=True):
        axes.imshow(image, interpolation="antialiased")
        axes.set(title=label, xticks=[], yticks=[])
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    headline(figure, title)
    return figure


def _columns(count: int) -> int:
    return 3 if count == 3 else min(4, math.ceil(math.sqrt(count)))
