"""The look of every picture: readable in print, in grey and by a colour-blind reader.

Series differ by colour, line and marker at once. The colours are those of Okabe and Ito ("Color
Universal Design", 2008) without the yellow, which paper swallows.
"""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.figure import Figure

INK, FAINT, RULE, PAPER = "#222222", "#666666", "#dddddd", "#ffffff"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1, 1.5)),
    (0, (6, 2, 1, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")

RC: Any = {  # matplotlib types every key
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-3, 5),
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.7,
    "lines.markersize": 5,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",  # text stays text: searchable, and in the colours of the page
    "svg.hashsalt": "losslab",
    "text.parse_math": False,  # a loss may be called a$b
}


@dataclass(frozen=True)
class Look:
    """How one series is drawn."""

    colour: str
    line: Any
    marker: str

    @property
    def curve(self) -> dict[str, Any]:
        """The arguments of ``axes.plot`` for a curve."""
        return {"color": self.colour, "linestyle": self.line}


P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """A drawing in the common style, whatever style the process has."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(RC)
            return draw(*args, **kwargs)

    return drawn


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each name, the same for the same names in the same order.

    Example:
        >>> looks(["mse", "mae"])["mae"].marker
        's'
    """
    return {
        name: Look(
            COLOURS[index % len(COLOURS)],
            LINES[index % len(LINES)],
            MARKERS[index % len(MARKERS)],
        )
        for index, name in enumerate(dict.fromkeys(names))
    }


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """One legend for all axes, under them, as wide as there is room."""
    width = figure.get_figwidth()
    longest = max(map(len, labels), default=1)
    columns = max(1, min(len(labels), int(width / (0.55 + 0.085 * longest))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


@styled
def svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element that can stand within a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)


@styled
def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` as PNG, 200 dots an inch, and as SVG; returns the two files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{ending}") for ending in ("png", "svg")]
    figure.savefig(files[0], dpi=200)
    figure.savefig(files[1], metadata={"Date": None})
    return files
