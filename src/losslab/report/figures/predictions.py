"""Predictions of several runs on the same samples: on one plot, in rows or side by side."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslab.report.figures.style import (
    COLOURS,
    FAINT,
    INK,
    NothingToDraw,
    headline,
    legend_below,
    looks,
    new_figure,
    on_screen,
    panels,
    styled,
    wrapped,
)
from losslab.runs.figure_data import Boxes, Clouds, FigureData, Images, Line, Scatter

COLUMNS = 8
"""Maximum number of samples per row."""
PHONE_COLUMNS = 2
CLOUD_COLUMNS = 5
TARGET: dict[str, Any] = {"color": COLOURS[1]}
PREDICTION: dict[str, Any] = {"color": COLOURS[0], "linestyle": (0, (3, 1.5))}
"""How outlines of boxes are drawn."""


@styled
def predictions(figure_data: Mapping[str, FigureData], note: str = "") -> Figure:
    """Plot the predictions of one or several runs.

    Args:
        figure_data: figure data by the run's name, all of one kind.
        note: data and seed, shown before the title.

    Raises:
        NothingToDraw: if there are no runs, or if their figure data are of different kinds.
    """
    kinds = {type(each) for each in figure_data.values()}
    if len(kinds) != 1:
        raise NothingToDraw(f"expected predictions of one kind, got {len(kinds)}")
    [kind] = kinds
    figure = DRAWN[kind](dict(figure_data))
    title = next(iter(figure_data.values())).title
    headline(figure, f"{note}: {title[:1].lower()}{title[1:]}" if note else title)
    return figure


# --- on one plot ----------------------------------------------------------------------------------


def _lines(figure_data: Mapping[str, Line]) -> Figure:
    figure, [axes] = panels(1, 5.6, on_screen(4.4, 3.6))
    look = looks(sorted(figure_data))
    first = next(iter(figure_data.values()))
    if first.points is not None:
        axes.plot(
            *first.points.T,
            ".",
            color=FAINT,
            alpha=0.5,
            markersize=4,
            markeredgewidth=0,
            label=first.points_name,
        )
    for place, (name, line) in enumerate(figure_data.items()):
        style = look[name]
        axes.plot(line.x, line.y, label=name or "this run", **style.marked(len(line.x), place))
        if line.mark is not None:
            axes.plot(
                *line.mark,
                style.marker,
                markersize=10,
                markerfacecolor="none",
                markeredgecolor=style.colour,
                markeredgewidth=1.5,
                label=line.mark_name if place == 0 else None,
            )
    if first.truth is not None:
        axes.plot(*first.truth.T, color=INK, linewidth=0.9, label="truth")
    axes.set(xlabel=first.xlabel, ylabel=first.ylabel)
    handles, labels = axes.get_legend_handles_labels()
    legend_below(figure, handles, labels)
    return figure


# --- in rows --------------------------------------------------------------------------------------


def _images(figure_data: Mapping[str, Images]) -> Figure:
    first = next(iter(figure_data.values()))
    rows = list(zip(first.given_names.tolist(), first.given, strict=True))
    if len(figure_data) == 1:
        rows += zip(first.made_names.tolist(), first.made, strict=True)
    else:
        rows += [(name, images.made[0]) for name, images in figure_data.items()]
    across = min(on_screen(COLUMNS, PHONE_COLUMNS), *(len(images) for _, images in rows))
    figure = new_figure(1.05 * across + 1.2, 1.05 * len(rows) + 0.4)
    grid = figure.subplots(len(rows), across, squeeze=False)
    low = min(float(np.nanmin(images)) for _, images in rows)
    high = max(float(np.nanmax(images)) for _, images in rows)
    # NaN is what a task leaves out, such as ignored pixels
    greys = colormaps["gray_r"].with_extremes(bad=COLOURS[1])
    for line, (name, images) in zip(grid, rows, strict=True):
        for axes, image in zip(line, images, strict=False):
            axes.imshow(image, cmap=greys, vmin=low, vmax=high, interpolation="nearest")
            _bare(axes)
        line[0].set_ylabel(wrapped(name, 16), rotation=0, ha="right", va="center")
    return figure


def _boxes(figure_data: Mapping[str, Boxes]) -> Figure:
    across = min(
        on_screen(COLUMNS, PHONE_COLUMNS), *(len(boxes.images) for boxes in figure_data.values())
    )
    figure = new_figure(1.05 * across + 1.2, 1.05 * len(figure_data) + 0.8)
    grid = figure.subplots(len(figure_data), across, squeeze=False)
    for line, (name, boxes) in zip(grid, figure_data.items(), strict=True):
        for column, axes in enumerate(line):
            image = boxes.images[column]
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            _outline(axes, boxes.given[column], _captions(column, boxes.given_names), TARGET)
            captions = _captions(column, boxes.made_names, boxes.scores)
            _outline(axes, boxes.made[column], captions, PREDICTION, above=True)
            height, width = image.shape[:2]
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
            _bare(axes)
        line[0].set_ylabel(wrapped(name, 16), rotation=0, ha="right", va="center")
    handles = [Line2D([], [], **look) for look in (TARGET, PREDICTION)]
    legend_below(figure, handles, ["target", "prediction"])
    return figure


def _captions(
    column: int, names: np.ndarray | None, scores: np.ndarray | None = None
) -> list[str] | None:
    """Return names and scores of the boxes of a sample, if they have any."""
    parts = [] if names is None else [list(map(str, names[column]))]
    parts += [] if scores is None else [[f"{score:.2f}" for score in scores[column]]]
    return list(map(" ".join, zip(*parts, strict=True))) if parts else None


def _outline(
    axes: Axes,
    boxes: np.ndarray,
    captions: Sequence[str] | None,
    look: Mapping[str, Any],
    *,
    above: bool = False,
) -> None:
    """Draw the outlines of boxes (M, 4), with their captions above or below them."""
    corners = boxes - 0.5  # the centre of the first pixel is at 0
    for place, (left, top, right, bottom) in enumerate(corners):
        if np.isnan(left):
            continue
        axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top], **look)
        if captions is not None:
            at = (left, top) if above else (left, bottom)
            side = "bottom" if above else "top"
            axes.text(*at, captions[place], size=6, color=look["color"], va=side, clip_on=True)


def _clouds(figure_data: Mapping[str, Clouds]) -> Figure:
    first = next(iter(figure_data.values()))
    rows = {"given": first.given}
    rows |= {name or "reconstruction": clouds.made for name, clouds in figure_data.items()}
    across = min(on_screen(CLOUD_COLUMNS, 1), *map(len, rows.values()))
    figure = new_figure(1.75 * across + 1.2, 1.7 * len(rows) + 0.4)
    options = {"projection": "3d", "proj_type": "ortho"}
    grid = figure.subplots(len(rows), across, squeeze=False, subplot_kw=options)
    size = max(float(np.abs(clouds[:across]).max()) for clouds in rows.values())
    for line, (name, clouds) in zip(grid, rows.items(), strict=True):
        for axes, cloud in zip(line, clouds, strict=False):
            depth = cloud @ [1.0, -1.0, 0.5]  # towards the viewer in matplotlib's default view
            axes.scatter(*cloud.T, c=depth, cmap="viridis_r", s=4, depthshade=False, linewidths=0)
            axes.set(xlim=(-size, size), ylim=(-size, size), zlim=(-size, size))
            axes.set_box_aspect((1, 1, 1), zoom=1.35)
            axes.set_axis_off()
        line[0].text2D(
            -0.1, 0.5, wrapped(name, 16), transform=line[0].transAxes, ha="right", va="center"
        )
    return figure


def _bare(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


# --- side by side ---------------------------------------------------------------------------------


def _scatters(figure_data: Mapping[str, Scatter]) -> Figure:
    size = on_screen(5.2, 3.3) if len(figure_data) == 1 else 3.3
    figure, grid = panels(len(figure_data), size, size)
    for axes, (name, scatter) in zip(grid, figure_data.items(), strict=True):
        _scatter(axes, scatter)
        axes.set(title=name, xlabel=scatter.xlabel, ylabel=scatter.ylabel)
        axes.set_aspect("equal", adjustable="datalim")
    if not scatter.named_in_place:
        handles, labels = grid[0].get_legend_handles_labels()
        legend_below(figure, handles, labels)
    return figure


def _scatter(axes: Axes, scatter: Scatter) -> None:
    colours = COLOURS if scatter.named_in_place else (FAINT, *COLOURS)
    markers = "." if scatter.named_in_place else ".x+1234*"
    for group in np.unique(scatter.groups):
        name, colour = str(scatter.names[group]), colours[group % len(colours)]
        points = scatter.points[scatter.groups == group]
        marker = markers[group % len(markers)]
        axes.plot(*points.T, marker, color=colour, markersize=3.5, alpha=0.6, label=name)
        if scatter.named_in_place:
            x, y = np.median(points, axis=0)
            box = {"facecolor": "#ffffff", "edgecolor": colour, "boxstyle": "round,pad=0.15"}
            axes.text(x, y, name, ha="center", va="center", color="#111111", bbox=box)


DRAWN: dict[type, Callable[[Any], Figure]] = {
    Line: _lines,
    Images: _images,
    Boxes: _boxes,
    Clouds: _clouds,
    Scatter: _scatters,
}
