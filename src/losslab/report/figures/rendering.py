"""Write the figures of a report, on several cores if that is safe.

Most of a small report's time is that of rendering its figures.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from losslab.config.interruption import TERMINATING, end_with_parent
from losslab.report.figures.selection import ReportFigure
from losslab.runtime import cores

MOST_PROCESSES = 4

_FIGURES: list[tuple[ReportFigure, Path]] = []
"""What the forked processes render: figures cannot be sent to them."""


def save_figures(figures: Sequence[ReportFigure], folder: Path) -> None:
    """Write figures as PNG and SVG, and render what the page shows of them."""
    processes = min(len(figures), MOST_PROCESSES, cores())
    if processes < 2 or not _can_fork():
        for figure in figures:
            figure.save(folder)
        return
    _FIGURES[:] = [(figure, folder) for figure in figures]
    try:
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(processes, context, _begin, (os.getpid(),)) as pool:
            rendered = list(pool.map(_render, range(len(figures))))
    finally:
        _FIGURES.clear()
    for figure, texts in zip(figures, rendered, strict=True):
        figure.__dict__.update(texts)


def _begin(parent: int) -> None:
    """Leave interruptions to the process that started this one, and end with it."""
    for each in (signal.SIGINT, *TERMINATING):
        signal.signal(each, signal.SIG_IGN)
    end_with_parent(parent)


def _can_fork() -> bool:
    """Return whether a fork is safe: it copies the locks of other threads as they are."""
    torch = sys.modules.get("torch")  # which keeps threads of its own, unless it has only one
    alone = torch is None or (torch.get_num_threads() == 1 and not torch.cuda.is_initialized())
    return sys.platform == "linux" and alone and threading.active_count() == 1


def _render(place: int) -> dict[str, str]:
    """Write a figure; return its cached texts."""
    figure, folder = _FIGURES[place]
    figure.save(folder)
    return {"svg": figure.svg, "phone_svg": figure.phone_svg}
