"""Sweeps in this process: each cell alone, and all together."""

from pathlib import Path

import pytest

from losslab.config.compose import cells_of, compose_cells
from losslab.lockstep.grouping import Cell
from losslab.lockstep.sweep import train_cells
from losslab.training import train


@pytest.fixture
def cells(tmp_path):
    """Composes the cells of a sweep, each with a folder below the one named."""

    def compose(name: str, *overrides: str) -> list[Cell]:
        composed = compose_cells(cells_of(["trainer=cpu", "callbacks=quiet", *overrides]))
        return [Cell(cell.config, tmp_path / name / cell.place) for cell in composed]

    return compose


@pytest.fixture
def both(cells):
    """Runs a sweep each way: pairs of folders, alone and together, and what was left."""

    def run(*overrides: str, **options) -> tuple[list[tuple[Path, Path]], list]:
        alone, together = cells("alone", *overrides), cells("together", *overrides)
        left = train_cells(together, workers=1, **options)
        for cell in alone:
            train(cell.config, cell.folder)
        return [(a.folder, b.folder) for a, b in zip(alone, together, strict=True)], left

    return run
