"""Style of all figures: readable in print, in greyscale and with colour blindness.

Series differ in colour, line and marker at once. The colours are those of Okabe and Ito ("Color
Universal Design", 2008) without yellow, which is too faint on paper.
"""

import io
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

if TYPE_CHECKING:
    from losslab.analysis.comparison import ComparisonTable

INK, FAINT, RULE, PAPER = "#222222", "#666666", "#dddddd", "#ffffff"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
BETTER, WORSE = COLOURS[0], COLOURS[1]
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
    "pdf.fonttype": 42,  # TrueType, which journals take, instead of Type 3
    "text.parse_math": False,  # a loss may be called a$b
}


N = TypeVar("N", int, float)

NARROW_WIDTH = 3.6
"""Width in inches of figures for phones, shown at their own size on screens of 390 pixels."""

PRINT_WIDTH = 6.3
"""Width in inches of the text of a page, at which a figure's letters are printed in 8 to 9 pt."""

_MEDIUM: ContextVar[Literal["screen", "phone", "print"]] = ContextVar("medium", default="screen")


@contextmanager
def drawing_for(medium: Literal["phone", "print"]) -> Iterator[None]:
    """Draw figures for narrow screens or for print.

    On a phone a wide figure would be scaled until nobody can read it, so a page holds both: a
    narrow one has one panel per row, and fewer letters per line. A printed one is as wide as the
    text, and its caption takes the place of its title.
    """
    token = _MEDIUM.set(medium)
    try:
        yield
    finally:
        _MEDIUM.reset(token)


def is_for_print() -> bool:
    """Return whether figures are drawn for print."""
    return _MEDIUM.get() == "print"


def on_screen(wide: N, phone: N) -> N:
    """Return the number for the screen that is drawn for, such as of letters per line."""
    return phone if _MEDIUM.get() == "phone" else wide


class NothingToDraw(ValueError):  # noqa: N818 (an expected outcome, not a fault)
    """Raised if the runs lack the data that a figure shows."""


@dataclass(frozen=True)
class Look:
    """Colour, line and marker of one series."""

    colour: str
    line: Any
    marker: str

    @property
    def curve(self) -> dict[str, Any]:
        """Arguments of ``axes.plot`` for a curve."""
        return {"color": self.colour, "linestyle": self.line}

    def marked(self, points: int, place: int) -> dict[str, Any]:
        """Return the arguments for a curve with a few markers, offset by the series' place."""
        every = max(1, points // 5)
        return {
            **self.curve,
            "marker": self.marker,
            "markevery": (place * every // 4 % max(1, every), every),
        }


P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Decorate a drawing function to use the common style, whatever style is active."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(RC)
            return draw(*args, **kwargs)

    return drawn


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Return a look for each name, determined by the order of the names.

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


def table_looks(table: "ComparisonTable") -> dict[str, Look]:
    """Return a look for each row, independent of the rows' ranking."""
    return looks(sorted(row.label for row in table.rows))


def thinned(x: np.ndarray, *columns: np.ndarray, points: int = 250) -> list[np.ndarray]:
    """Thin a curve to the number of points that can be seen, keeping the last one."""
    step = max(1, -(-len(x) // points))
    kept = np.arange(len(x) - 1, -1, -step)[::-1]
    return [column[kept] for column in (x, *columns)]


def beside(values: Sequence[float], place: float, step: float, room: float) -> list[float]:
    """Return heights that spread equal values apart.

    Args:
        values: the values.
        place: height of the first of equal values.
        step: distance between equal values; less if the most frequent one needs more than ``room``.
        room: distance from ``place`` that no height exceeds.

    Example:
        >>> beside([5.0, 5.0, 7.0, 5.0], place=1.0, step=0.25, room=0.25)
        [1.0, 1.125, 1.0, 1.25]
    """
    seen: dict[str, int] = {}
    ranks = []
    for value in values:
        same = f"{value:.5g}"  # metrics come in float32
        seen[same] = seen.get(same, -1) + 1
        ranks.append(seen[same])
    step = math.copysign(min(abs(step), room / max([1, *ranks])), step)
    return [place + step * rank for rank in ranks]


def wrapped(text: str, letters: int) -> str:
    """Wrap a text at spaces and after underscores to at most ``letters`` per line if possible."""
    lines = [""]
    for part in re.findall(r"[^ _]*[ _]?", text):
        if lines[-1] and len(lines[-1] + part.rstrip()) > letters:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


class FewTicks(LogLocator):
    """Locator of ticks at 1, 2 and 5 per decade, or at powers of ten only over many decades."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks between two ends."""
        few = vmin > 0 and vmax > 300 * vmin
        self.set_params(subs=(1,) if few else (1, 2, 5), numticks=8)
        return super().tick_values(vmin, vmax)


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic with plain tick labels; values that are not positive are cut."""
    axes.set(**{f"{which}scale": "log"})
    axis: Axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FewTicks())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def spans_decades(values: Iterable[np.ndarray]) -> bool:
    """Return whether the values are positive and span too much for a linear axis."""
    every = np.concatenate([[], *values])
    every = every[np.isfinite(every)]
    return bool(len(every) and every.min() > 0 and every.max() > 50 * every.min())


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def panels(
    count: int, width: float, height: float, columns: int = 3, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Create a figure with a grid of equal axes; ``options`` are passed to ``subplots``."""
    if is_for_print():
        columns = min(columns, 2)
    down = -(-count // on_screen(columns, 1))
    across = -(-count // down)
    total = on_screen(max(5.0, across * width), NARROW_WIDTH)
    total = min(total, PRINT_WIDTH) if is_for_print() else total
    # on a phone, titles and labels take more lines
    figure = new_figure(total, down * height + on_screen(0.0, 0.9))
    grid = figure.subplots(down, across, squeeze=False, **options)
    for axes in grid.flat[count:]:
        axes.remove()
    return figure, list(grid.flat[:count])


def headline(figure: Figure, *lines: str) -> None:
    """Set the title and how to read the figure, wrapped to the figure's width.

    For print it is only the figure's label, of which a caption is made.
    """
    figure.set_label(": ".join(lines))
    if is_for_print():
        return
    width = figure.get_figwidth()
    letters = int(on_screen(width, min(width, NARROW_WIDTH)) * 13.5)
    text = "\n".join(part for line in lines for part in textwrap.wrap(line, letters))
    figure.suptitle(text, x=0.01, ha="left", fontsize=10)


def legend_beside(figure: Figure, axes: Axes) -> None:
    """Add a legend at the right of the axes, or below the figure on a narrow screen."""
    if _MEDIUM.get() == "phone":
        legend_below(figure, *axes.get_legend_handles_labels())
    else:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Add one legend for all axes below them."""
    width = figure.get_figwidth()
    longest = max(map(len, labels), default=1)
    columns = max(1, min(len(labels), int(width / (0.55 + 0.085 * longest))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


@contextmanager
def laid_out(figure: Figure) -> Iterator[None]:
    """Lay out a figure before it is saved; savefig would draw all of it once more for that."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


@styled
def svg(figure: Figure) -> str:
    """Render the figure as an ``<svg>`` element to embed in a page."""
    FigureCanvasSVG(figure)  # the layout measures texts as SVG does
    buffer = io.StringIO()
    with laid_out(figure):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)


@styled
def save(figure: Figure, path: Path) -> list[Path]:
    """Write the figure to ``path`` as PNG (200 dpi) and as SVG; return the two files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{ending}") for ending in ("png", "svg")]
    figure.savefig(files[0], dpi=200)
    figure.savefig(files[1], metadata={"Date": None})
    return files


@styled
def save_for_print(figure: Figure, path: Path) -> list[Path]:
    """Write the figure to ``path`` as PDF, SVG and PNG (300 dpi); return the files.

    The PDF has its fonts in it. The SVG has outlines instead of letters, since it cannot.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{ending}") for ending in ("pdf", "svg", "png")]
    figure.savefig(files[0], metadata={"CreationDate": None})
    with mpl.rc_context({"svg.fonttype": "path"}):
        figure.savefig(files[1], metadata={"Date": None})
    figure.savefig(files[2], dpi=300)
    return files
