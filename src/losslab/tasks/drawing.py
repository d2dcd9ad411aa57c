"""Figures of predictions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchmetrics.functional.classification import binary_precision_recall_curve

from losslab.runs.figure_data import Boxes, Clouds, Images, Line, Scatter

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"  # distinct for the colour-blind
MOST_BOXES = 20
"""Maximum number of grades whose scores are drawn as boxes."""


def confusion(guess: Tensor, target: Tensor, names: Sequence[str]) -> Figure:
    """Plot the confusion matrix: one row per true class, one column per predicted class."""
    classes = len(names)
    counts = np.bincount(
        (target * classes + guess).cpu().numpy(), minlength=classes * classes
    ).reshape(classes, classes)
    long = max(map(len, names)) > 2
    # fitting the margins takes as long as drawing; short names fit the default ones
    figure = Figure(figsize=(5.5, 5), layout="constrained" if long else None)
    axes = figure.subplots()
    share = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if classes <= 20:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if share[row, column] > 0.5 else "black"
            if count:
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
        axes.set_xticks(range(classes), names, rotation=45 if long else 0)
        axes.set_yticks(range(classes), names)
    axes.set(xlabel="predicted class", ylabel="true class", title="Confusion matrix (counts)")
    return figure


def labelled(inputs: Tensor, guess: Tensor, target: Tensor, names: Sequence[str]) -> Figure:
    """Plot a grid of up to 20 images with predicted and true class, mistakes first."""
    wrong = guess != target
    order = wrong.int().argsort(descending=True, stable=True)[:20].cpu()
    labels, colours = [], []
    for index in order.tolist():
        mistake = bool(wrong[index])
        true = f" (true {names[int(target[index])]})" if mistake else ""
        labels.append(f"{names[int(guess[index])]}{true}")
        colours.append(ORANGE if mistake else "black")
    figure = Figure(figsize=(7.5, 6.5))
    figure.suptitle(f"Predictions, mistakes first ({int(wrong.sum())} of {len(wrong)} are wrong)")
    images = inputs[order.to(inputs.device)]
    if images.shape[1] != 3:
        images = 1 - stretched(images[:, 0])[:, None]
    _tile(figure, array(images), labels, colours, columns=5)
    return figure


def _tile(
    figure: Figure,
    images: "np.ndarray[Any, Any]",
    labels: Sequence[str],
    colours: Sequence[str],
    columns: int,
) -> None:
    """Plot images (N, 1 or 3, H, W) with values from 0 to 1 in a grid, each below its label.

    They are tiled into one image on one pair of axes: every run of a sweep plots this figure, and
    each further pair of axes would take up to 10 ms.
    """
    height, width = images.shape[2:]
    across, down = width + math.ceil(0.15 * width), height + math.ceil(0.3 * height)
    rows = -(-len(images) // columns)
    sheet = np.ones((rows * down, columns * across, 3))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.9))
    for index, (image, label, colour) in enumerate(zip(images, labels, colours, strict=True)):
        top, left = (index // columns + 1) * down - height, (index % columns) * across
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0).clip(0, 1)
        axes.text(left + width / 2, top - 0.04 * height, label, color=colour, ha="center", size=9)
    axes.imshow(sheet, extent=(0, columns * across, rows * down, 0), interpolation="nearest")
    axes.axis("off")


def against_target(prediction: Tensor, target: Tensor) -> Figure:
    """Plot predictions against targets, with the line of equality."""
    y, t = prediction.flatten().float().cpu().numpy(), target.flatten().float().cpu().numpy()
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(t, y, ".", color=BLUE, markersize=4)
    ends = [min(t.min(), y.min()), max(t.max(), y.max())]
    axes.plot(ends, ends, "--", color=GREY, label="equality")
    axes.set(xlabel="target", ylabel="prediction", title="Predictions against targets")
    axes.legend()
    return figure


def predicted_texts(images: Tensor, read: Sequence[str], true: Sequence[str]) -> Figure:
    """Plot images of lines of characters, each with the predicted and the true text."""
    figure = Figure(figsize=(7, 1.0 * len(images)), layout="constrained")
    grid = figure.subplots(len(images), 1, squeeze=False)[:, 0]
    for axes, image, guess, text in zip(grid, images, read, true, strict=True):
        axes.imshow(image.float().cpu(), cmap="gray_r", aspect="equal")
        axes.set_title(
            f"predicted {guess}, true {text}",
            color="black" if guess == text else ORANGE,
            fontsize=9,
        )
        axes.axis("off")
    return figure


def scores_by_grade(scores: Tensor, grades: Tensor) -> Figure:
    """Plot the distribution of scores per grade; many grades as points."""
    height, grade = array(scores), array(grades)
    known = np.unique(grade)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    if len(known) > MOST_BOXES:
        axes.plot(grade, height, ".", markersize=2)
        axes.set(xlabel="grade", ylabel="score", title="Scores by grade (one dot per document)")
        return figure
    axes.boxplot(
        [height[grade == each] for each in known],
        tick_labels=[f"{each:g}" for each in known],
        showfliers=False,
    )
    axes.set(xlabel="grade", ylabel="score", title="Scores by grade (quartiles; whiskers 1.5 IQR)")
    return figure


# --- figure data, which a report plots together with those of other runs --------------------------


def fitted_curve(
    inputs: Tensor, prediction: Tensor, target: Tensor, truth: Mapping[str, float] | None
) -> Line:
    """Return the samples, the fitted curve and, if known, the true line."""
    x, y, fit = (array(part[:, 0]) for part in (inputs, target, prediction))
    order = np.argsort(x)
    ends = x[order[[0, -1]]]
    return Line(
        title="Fitted curve on test samples",
        xlabel="input",
        ylabel="target",
        x=x[order],
        y=fit[order],
        points=np.stack([x, y], axis=1),
        points_name="test samples",
        truth=None
        if truth is None
        else np.stack([ends, truth["slope"] * ends + truth["intercept"]], axis=1),
    )


def precision_recall_curve(score: Tensor, truth: Tensor, points: int = 300) -> Line:
    """Return the precision-recall curve of all pixels, with the point at a score of 0.5 marked.

    Args:
        score: scores from 0 to 1.
        truth: true masks, boolean, with the same shape.
        points: maximum number of points of the curve.
    """
    precision, recall, _ = binary_precision_recall_curve(
        score.flatten(), truth.flatten().long(), validate_args=False
    )
    kept = np.linspace(0, len(recall) - 1, min(points, len(recall))).astype(int)
    guess = score > 0.5
    right = (guess & truth).sum()
    half = torch.stack([right / truth.sum(), right / guess.sum()])
    return Line(
        title="Precision and recall of pixels",
        xlabel="recall",
        ylabel="precision",
        x=array(recall)[kept],
        y=array(precision)[kept],
        mark=array(half) if bool(guess.any()) else None,
        mark_name="at 0.5",
    )


def rows(
    given: Mapping[str, Tensor], made: Mapping[str, Tensor], title: str, columns: int = 8
) -> Images:
    """Return named rows of images (N, H, W), one sample per column.

    Args:
        given: rows that are the same for all runs.
        made: rows of this run.
        title: title of the figure.
        columns: number of samples.
    """

    def stacked(images: Mapping[str, Tensor]) -> "np.ndarray[Any, Any]":
        return np.stack([array(row[:columns]) for row in images.values()])

    return Images(title, stacked(given), np.array(list(given)), stacked(made), np.array(list(made)))


def boxes(
    inputs: Tensor,
    given: Tensor,
    made: Tensor,
    title: str,
    scores: Tensor | None = None,
    names: tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]] | None = None,
    columns: int = 8,
) -> Boxes:
    """Return images with given and predicted boxes, one sample per column.

    Args:
        inputs: images (N, 1 or 3, H, W).
        given: corners of the true boxes in pixels, (N, M, 4); those without area are left out.
        made: corners of the predicted boxes, (N, P, 4).
        title: title of the figure.
        scores: confidences of the predicted boxes, (N, P).
        names: what is in the true and in the predicted boxes, (N, M) and (N, P).
        columns: number of samples.
    """
    real = (given[:columns, :, 2:] > given[:columns, :, :2]).all(dim=2, keepdim=True)
    return Boxes(
        title,
        array(stretched(inputs[:columns].mean(dim=1))),
        array(given[:columns].where(real, torch.nan)),
        array(made[:columns]),
        None if scores is None else array(scores[:columns]),
        *([] if names is None else (np.array(each[:columns]) for each in names)),
    )


def stretched(images: Tensor) -> Tensor:
    """Scale each of the images (N, H, W) to the range from 0 to 1."""
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    return (images - low) / (high - low).clamp(min=1e-12)


def clouds(given: Tensor, made: Tensor, columns: int = 5) -> Clouds:
    """Return given and reconstructed point clouds (N, P, D), one sample per column.

    Only the first three coordinates are plotted; missing ones are 0.
    """
    first, second = (_in_three_dimensions(array(row[:columns])) for row in (given, made))
    return Clouds("Point clouds, one sample per column", first, second)


def _in_three_dimensions(clouds: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    missing = max(0, 3 - clouds.shape[2])
    return np.pad(clouds, ((0, 0), (0, 0), (0, missing)))[:, :, :3]


def embedding(rows: Tensor, labels: Tensor, names: Sequence[str]) -> Scatter:
    """Return normalised embeddings on their first two principal axes, coloured by class."""
    from sklearn.decomposition import PCA  # noqa: PLC0415 (half a second, for this figure only)

    points = array(rows)
    points = points / np.linalg.norm(points, axis=1, keepdims=True).clip(min=1e-12)
    pca = PCA(min(2, *points.shape), random_state=0).fit(points)
    share = pca.explained_variance_ratio_.sum()
    return Scatter(
        title="Normalised embeddings",
        xlabel=f"principal axes 1 and 2 ({share:.0%} of the variance)",
        ylabel="",
        points=np.pad(pca.transform(points), ((0, 0), (0, 2 - pca.n_components_))),
        groups=labels.cpu().numpy(),
        names=np.array(names),
        named_in_place=True,
    )


def points(clouds: Mapping[str, Tensor]) -> Scatter:
    """Return named sets of points in the plane, plotted on top of each other."""
    return Scatter(
        title="Samples",
        xlabel="x",
        ylabel="y",
        points=np.concatenate([array(cloud[:, :2]) for cloud in clouds.values()]),
        groups=np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds.values()]),
        names=np.array(list(clouds)),
    )


def array(values: Tensor) -> "np.ndarray[Any, Any]":
    """Convert a tensor to a float32 array."""
    return values.float().cpu().numpy()
