"""Figure of ``benchmark.py losses``: times of the peers relative to ours."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslab.report.figures.style import COLOURS, FAINT, MARKERS, RC, logarithmic

if TYPE_CHECKING:
    from benchmarks.measured import Measured


def draw(found: Sequence["Measured"], path: Path) -> None:
    """Plot the peers' times divided by ours: one panel per dtype, row per loss, dot per size."""
    found = [one for one in found if one.peers]
    names = list(dict.fromkeys(one.name for one in found))
    peers = sorted({peer for one in found for peer in one.peers})
    sizes = sorted({one.nominal_size for one in found})
    dtypes = list(dict.fromkeys(one.dtype for one in found))
    with mpl.rc_context(RC):
        figure = Figure(figsize=(9, 1.6 + 0.34 * len(names)), layout="constrained")
        axes = figure.subplots(1, len(dtypes), sharex=True, sharey=True, squeeze=False)[0]
        for axis, dtype in zip(axes, dtypes, strict=True):
            axis.axvline(1, color=FAINT, linewidth=1)
            for one in found:
                step = sizes.index(one.nominal_size)
                row = names.index(one.name) + 0.2 * (step - (len(sizes) - 1) / 2)
                for peer in one.peers if one.dtype == dtype else ():
                    low, middle, high = one.quartiles(peer)
                    colour = COLOURS[peers.index(peer)]
                    axis.plot([low, high], [row, row], color=colour, linewidth=1)
                    axis.plot(middle, row, MARKERS[step], color=colour)
            axis.set(title=dtype, xlabel="peer's time / ours: median and quartiles")
            logarithmic(axis, "x")
            axis.set_yticks(range(len(names)), names)
        axes[0].invert_yaxis()
        of_peers = [Line2D([], [], color=COLOURS[i], label=name) for i, name in enumerate(peers)]
        of_sizes = [
            Line2D([], [], color=FAINT, marker=MARKERS[step], linestyle="", label=f"{size:,}")
            for step, size in enumerate(sizes)
        ]
        figure.legend(
            handles=[*of_peers, *of_sizes], loc="outside lower center", ncols=4, handlelength=1.2
        )
        figure.suptitle(
            "Ours is faster right of the line; markers: elements per batch", x=0.01, ha="left"
        )
        figure.savefig(path, dpi=120)
