"""Figure of the information of known distributions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.information import cross_entropy, entropy, kl_divergence, self_information
from losslab.report.figures.style import COLOURS, FAINT, headline, panels, styled


@styled
def information_figure(p: Sequence[float], q: Sequence[float] | None) -> Figure:
    """Plot the information of outcomes, and binary entropy or the components of cross-entropy.

    Args:
        p: true probabilities.
        q: predicted probabilities, for the second panel to show cross-entropy.
    """
    figure, (left, right) = panels(2, 4.2, 3.4)
    _information(left, p, q)
    if q is None:
        _binary_entropy(right, p)
    else:
        _cross_entropy(right, p, q)
    second = "binary entropy" if q is None else "cross-entropy = entropy + KL divergence"
    headline(figure, "Information", f"of each outcome (dots), and {second}")
    return figure


def _information(axes: Axes, p: Sequence[float], q: Sequence[float] | None) -> None:
    grid = np.linspace(0.001, 1, 1000)
    axes.plot(grid, -np.log2(grid), color=FAINT, label="-log2 of the probability")
    for name, values, marker, colour in (("p", p, "o", COLOURS[0]), ("q", q, "s", COLOURS[1])):
        shown = [value for value in values or () if value > 0]
        if shown:
            heights = [self_information(value) for value in shown]
            axes.plot(shown, heights, marker, color=colour, label=f"outcomes of {name}")
    axes.set(xlabel="probability", ylabel="information [bits]", xlim=(0, 1.02), ylim=(0, None))
    axes.legend()


def _binary_entropy(axes: Axes, p: Sequence[float]) -> None:
    grid = np.linspace(0, 1, 501)
    heights = [entropy([1 - x, x]) for x in grid]
    axes.plot(grid, heights, color=FAINT, label="entropy of x and 1 - x")
    if len(p) == 2:
        axes.plot(p[0], entropy(p), "o", color=COLOURS[0], label=f"p: {entropy(p):.4g} bits")
    else:
        axes.axhline(entropy(p), color=COLOURS[0], label=f"H(p): {entropy(p):.4g} bits")
    axes.set(xlabel="probability x", ylabel="entropy [bits]", xlim=(0, 1), ylim=(0, None))
    axes.legend(loc="lower center")


def _cross_entropy(axes: Axes, p: Sequence[float], q: Sequence[float]) -> None:
    h, kl, cross = entropy(p), kl_divergence(p, q), cross_entropy(p, q)
    axes.bar(0, h, 0.6, color=COLOURS[0], label=f"H(p): {h:.4g} bits")
    axes.bar(0, kl, 0.6, h, color=COLOURS[1], label=f"KL(p||q): {kl:.4g} bits")
    axes.bar(1, cross, 0.6, color=COLOURS[2], label=f"H(p, q): {cross:.4g} bits")
    axes.set_xticks([0, 1], ["H(p) + KL(p||q)", "H(p, q)"])
    axes.set(ylabel="bits", ylim=(0, 1.45 * cross or 1))
    axes.legend(loc="upper center", ncols=1)
