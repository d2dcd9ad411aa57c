"""Pictures of predictions, for a person to look at."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#888888"  # apart in grey and for the colour-blind


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
        x[order], prediction[:, 0].float().cpu().numpy()[order], color=BLUE, linewidth=2, label="fit"
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
