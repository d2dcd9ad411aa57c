"""Pictures of predictions, for a person to look at."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from torch import Tensor
from torchmetrics.functional.classification import binary_precision_recall_curve

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"  # apart in grey and for the colour-blind
COLOURS = colormaps["tab10"]


def confusion(guess: Tensor, target: Tensor, names: Sequence[str]) -> Figure:
    """Confusion matrix: a row a true class, a column a predicted one, counts in the cells."""
    classes = len(names)
    counts = np.bincount(
        (target * classes + guess).cpu().numpy(), minlength=classes * classes
    ).reshape(classes, classes)
    figure = Figure(figsize=(5.5, 5), layout="constrained")
    axes = figure.subplots()
    share = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if classes <= 20:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if share[row, column] > 0.5 else "black"
            if count:
                axes.text(column, row, str(count), ha="center", va="center", color=colour)
        axes.set_xticks(range(classes), names, rotation=45 if max(map(len, names)) > 2 else 0)
        axes.set_yticks(range(classes), names)
    axes.set(xlabel="predicted class", ylabel="true class", title="Confusion matrix (counts)")
    return figure


def labelled(inputs: Tensor, guess: Tensor, target: Tensor, names: Sequence[str]) -> Figure:
    """A grid of images, the mistakes first: what was predicted, and what is true."""
    wrong = (guess != target).int()
    order = wrong.argsort(descending=True, stable=True)[:20].cpu()
    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    for axes, index in zip(figure.subplots(4, 5).flat, order.tolist(), strict=False):
        image = inputs[index].float().cpu().numpy()
        axes.imshow(image.transpose(1, 2, 0) if len(image) == 3 else image[0], cmap="gray_r")
        miss = bool(wrong[index])
        true = f" (true {names[int(target[index])]})" if miss else ""
        axes.set_title(
            f"{names[int(guess[index])]}{true}", color=ORANGE if miss else "black", fontsize=9
        )
    for axes in figure.axes:
        axes.axis("off")
    figure.suptitle(f"Predictions, mistakes first ({int(wrong.sum())} of {len(wrong)} are wrong)")
    return figure


def fitted_curve(
    inputs: Tensor, prediction: Tensor, target: Tensor, truth: Mapping[str, float] | None
) -> Figure:
    """The points, the fitted curve and, where it is known, the true line."""
    x = inputs[:, 0].float().cpu().numpy()
    order = np.argsort(x)
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(x, target[:, 0].float().cpu(), ".", color=GREY, markersize=4, label="target")
    axes.plot(
        x[order],
        prediction[:, 0].float().cpu().numpy()[order],
        color=BLUE,
        linewidth=2,
        label="fit",
    )
    if truth is not None:
        line = truth["slope"] * x[order] + truth["intercept"]
        axes.plot(x[order], line, "--", color=ORANGE, label="true line")
    axes.set(xlabel="input", ylabel="target", title="Fitted curve")
    axes.legend()
    return figure


def against_target(prediction: Tensor, target: Tensor) -> Figure:
    """Predictions against targets, with the line of equality."""
    y, t = prediction.flatten().float().cpu().numpy(), target.flatten().float().cpu().numpy()
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(t, y, ".", color=BLUE, markersize=4)
    ends = [min(t.min(), y.min()), max(t.max(), y.max())]
    axes.plot(ends, ends, "--", color=GREY, label="equality")
    axes.set(xlabel="target", ylabel="prediction", title="Predictions against targets")
    axes.legend()
    return figure


def rows(images: Mapping[str, Tensor], title: str, columns: int = 8) -> Figure:
    """Images in named rows, one sample a column, all on one grey scale.

    Args:
        images: name to (N, H, W).
        title: what is shown.
        columns: samples at most.
    """
    shown = min(columns, *(len(row) for row in images.values()))
    figure = Figure(figsize=(1.1 * shown + 0.8, 1.15 * len(images) + 0.4), layout="constrained")
    grid = figure.subplots(len(images), shown, squeeze=False)
    low = min(float(row.min()) for row in images.values())
    high = max(float(row.max()) for row in images.values())
    for line, (name, row) in zip(grid, images.items(), strict=True):
        for axes, image in zip(line, row, strict=False):
            axes.imshow(image.float().cpu(), cmap="gray_r", vmin=low, vmax=high)
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=9)
    figure.suptitle(title)
    return figure


def stretched(images: Tensor) -> Tensor:
    """Images (N, H, W) as grey values from 0 to 1: each from its own darkest to brightest pixel."""
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    return (images - low) / (high - low).clamp(min=1e-12)


def precision_recall(score: Tensor, truth: Tensor, points: int = 500) -> Figure:
    """Precision against recall of all pixels together, and where a score of 0.5 lies.

    Args:
        score: numbers from 0 to 1.
        truth: boolean, the same shape.
        points: of the curve, at most.
    """
    precision, recall, _ = binary_precision_recall_curve(
        score.flatten(), truth.flatten().long(), validate_args=False
    )
    step = max(1, len(recall) // points)
    figure = Figure(figsize=(5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(recall[::step].cpu(), precision[::step].cpu(), color=BLUE, label="all thresholds")
    guess = score > 0.5
    if bool(guess.any()):
        right = (guess & truth).sum()
        axes.plot(
            float(right / truth.sum()), float(right / guess.sum()), "o", color=ORANGE, label="0.5"
        )
    axes.set(
        xlabel="recall",
        ylabel="precision",
        title="Precision and recall of pixels",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
    )
    axes.legend()
    return figure


def read_rows(images: Tensor, read: Sequence[str], true: Sequence[str]) -> Figure:
    """Images of rows of characters, each with what was read and what is true."""
    figure = Figure(figsize=(7, 1.0 * len(images)), layout="constrained")
    grid = figure.subplots(len(images), 1, squeeze=False)[:, 0]
    for axes, image, guess, text in zip(grid, images, read, true, strict=True):
        axes.imshow(image.float().cpu(), cmap="gray_r", aspect="equal")
        axes.set_title(
            f"read {guess}, true {text}", color="black" if guess == text else ORANGE, fontsize=9
        )
        axes.axis("off")
    return figure


def scores_by_grade(scores: Tensor, grades: Tensor) -> Figure:
    """How the scores of each grade are spread; padding is left out."""
    kept = sorted({grade for grade in grades.tolist() if grade >= 0})
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.boxplot(
        [scores[grades == grade].float().cpu().numpy() for grade in kept],
        tick_labels=[str(grade) for grade in kept],
        showfliers=False,
    )
    axes.set(xlabel="grade", ylabel="score", title="Scores by grade (quartiles; whiskers 1.5 IQR)")
    return figure


def clouds(rows: Mapping[str, Tensor], columns: int = 5) -> Figure:
    """Point clouds in named rows, one sample a column, all in the same box.

    Args:
        rows: name to (N, P, 3); of clouds in other spaces the first three axes, or 0 for a third.
        columns: samples at most.
    """
    shown = min(columns, *(len(row) for row in rows.values()))
    figure = Figure(figsize=(2.4 * shown + 0.4, 2.5 * len(rows) + 0.4), layout="constrained")
    grid = figure.subplots(len(rows), shown, squeeze=False, subplot_kw={"projection": "3d"})
    points = {name: _in_space(row[:shown].float().cpu().numpy()) for name, row in rows.items()}
    size = max(float(np.abs(row).max()) for row in points.values())
    for line, (name, row) in zip(grid, points.items(), strict=True):
        for axes, cloud in zip(line, row, strict=True):
            depth = cloud @ [1.0, -1.0, 0.5]  # towards the eye of matplotlib's standard view
            axes.scatter(*cloud.T, c=depth, cmap="viridis", s=6, depthshade=False)
            axes.set(xlim=(-size, size), ylim=(-size, size), zlim=(-size, size))
            axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
            axes.set_box_aspect((1, 1, 1), zoom=1.2)
        line[0].set_title(name, loc="left", fontsize=10)
    figure.suptitle("Point clouds, one sample a column")
    return figure


def _in_space(clouds: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    missing = max(0, 3 - clouds.shape[2])
    return np.pad(clouds, ((0, 0), (0, 0), (0, missing)))[:, :, :3]


def embedding(rows: Tensor, labels: Tensor, names: Sequence[str]) -> Figure:
    """Embeddings of length 1 on their two principal axes, each class in its colour and number."""
    points = rows.float().cpu().numpy()
    points = points / np.linalg.norm(points, axis=1, keepdims=True).clip(min=1e-12)
    pca = PCA(min(2, *points.shape), random_state=0).fit(points)
    flat = np.pad(pca.transform(points), ((0, 0), (0, 2 - pca.n_components_)))
    classes = labels.cpu().numpy()
    figure = Figure(figsize=(6.5, 5.5), layout="constrained")
    axes = figure.subplots()
    for label in np.unique(classes):
        of_class = flat[classes == label]
        colour = COLOURS(label % 10)
        axes.plot(*of_class.T, ".", color=colour, markersize=4, alpha=0.6)
        x, y = np.median(of_class, axis=0)
        axes.text(
            x,
            y,
            names[label],
            fontsize=12,
            weight="bold",
            ha="center",
            bbox={"facecolor": "white", "edgecolor": colour, "boxstyle": "round,pad=0.2"},
        )
    share = pca.explained_variance_ratio_.sum()
    axes.set(
        xlabel="first principal axis",
        ylabel="second principal axis",
        title=f"Embeddings of length 1 ({share:.0%} of their variance shown)",
    )
    return figure


def points(clouds: Mapping[str, Tensor]) -> Figure:
    """Named sets of points in the plane, one above the other."""
    figure = Figure(figsize=(5.5, 5.5), layout="constrained")
    axes = figure.subplots()
    for (name, cloud), colour, marker in zip(
        clouds.items(), (GREY, BLUE, ORANGE), ("o", "x", "+"), strict=False
    ):
        x, y = cloud[:, :2].float().cpu().T
        axes.plot(x, y, marker, color=colour, markersize=3, label=name, linestyle="none")
    axes.set(xlabel="x", ylabel="y", title="Samples", aspect="equal")
    axes.legend(loc="upper right")
    return figure
