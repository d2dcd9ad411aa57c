"""Compute the information, entropy, cross-entropy and KL divergence of known distributions.

losslab information 0.5,0.25,0.25 is about one distribution, p. With a second one, q, the
cross-entropy is the expected loss of a model that predicts q where p is true.
"""

import re
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from losslab.commands.parser import Parser
from losslab.config.errors import UserError, cli_errors
from losslab.information import (
    NATS_PER_BIT,
    cross_entropy,
    entropy,
    independent,
    kl_divergence,
    self_information,
)
from losslab.metrics.labels import number

FORMATS = ("pdf", "png", "svg")
SUM_TOLERANCE = Fraction(1, 10**6)
"""How far rounded probabilities may be from a sum of 1."""


def main(given: Sequence[str] | None = None) -> int:
    """Print the tables, and draw the figure if it is asked for."""
    parser = Parser(prog="losslab information", description=__doc__)
    parser.add_argument("p", help="true probabilities: 0.5,0.25,0.25 or 1/3,2/3")
    parser.add_argument("q", nargs="?", help="predicted probabilities of the same outcomes")
    parser.add_argument(
        "--figure", metavar="FILE", type=Path, help=f"draw a figure: a file ending in {_endings()}"
    )
    arguments = parser.parse_args(_with_negative_numbers(sys.argv[1:] if given is None else given))
    with cli_errors():
        p = distribution("p", arguments.p)
        q = None if arguments.q is None else distribution("q", arguments.q)
        if q is not None:
            require_finite(p, q)
        if arguments.figure is not None:
            _require_format(arguments.figure)
        print(*_outcomes(p, q), *_sums(p, q), _addition(p), sep="\n")
        if arguments.figure is not None:
            _save_figure(p, q, arguments.figure)
    return 0


# --- what was given -------------------------------------------------------------------------------


def _with_negative_numbers(given: Sequence[str]) -> list[str]:
    """Return the arguments so that argparse does not take ``-0.5,1.5`` for an option."""
    return [f" {each}" if re.match(r"-[\d.]", each) else each for each in given]


def distribution(name: str, text: str) -> list[float]:
    """Read probabilities, as decimals or fractions.

    Raises:
        UserError: if they are not probabilities that sum to 1.

    Example:
        >>> distribution("p", "1/4,0.75")
        [0.25, 0.75]
    """
    values = [_probability(name, each.strip()) for each in text.split(",")]
    total = sum(values, Fraction())
    if abs(total - 1) > SUM_TOLERANCE:
        raise UserError(
            f"the probabilities of {name} must sum to 1, got {float(total):g}; write thirds as 1/3"
        )
    return [float(value) for value in values]


def _probability(name: str, text: str) -> Fraction:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise UserError(
            f"{name} must be probabilities such as 0.5,0.25,0.25 or 1/3,2/3, "
            f"got {text or 'nothing'}"
        ) from None
    if not 0 <= value <= 1:
        raise UserError(f"the probabilities of {name} must be in [0, 1], got {text}")
    return value


def require_finite(p: Sequence[float], q: Sequence[float]) -> None:
    """Check that a cross-entropy exists and is finite.

    Raises:
        UserError: if the distributions differ in length, or q excludes an outcome that occurs.
    """
    if len(p) != len(q):
        raise UserError(
            "p and q must have probabilities of the same outcomes, "
            f"got {len(p)} for p and {len(q)} for q"
        )
    for outcome, (a, b) in enumerate(zip(p, q, strict=True), 1):
        if a > 0 and b == 0:
            raise UserError(
                f"the cross-entropy is infinite: q excludes outcome {outcome}, which has a "
                f"probability of {a:g}"
            )


def _require_format(path: Path) -> None:
    if path.suffix.removeprefix(".") not in FORMATS:
        raise UserError(f"--figure must be a file ending in {_endings()}, got {path}")


def _endings() -> str:
    *others, last = (f".{each}" for each in FORMATS)
    return f"{', '.join(others)} or {last}"


# --- what is printed ------------------------------------------------------------------------------


def _outcomes(p: Sequence[float], q: Sequence[float] | None) -> list[str]:
    """Return the lines of the table with one row per outcome."""
    columns = {"p": list(p), "-log2 p [bits]": [self_information(each) for each in p]}
    if q is None:
        columns["-ln p [nats]"] = [NATS_PER_BIT * self_information(each) for each in p]
    else:
        columns |= {"q": list(q), "-log2 q [bits]": [self_information(each) for each in q]}
    rows = zip(*([number(value) for value in column] for column in columns.values()), strict=True)
    heads = ["outcome", *columns]
    lines = [heads, *([str(place), *row] for place, row in enumerate(rows, 1))]
    widths = [max(8, len(head)) for head in heads]
    return [
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    ]


def _sums(p: Sequence[float], q: Sequence[float] | None) -> list[str]:
    """Return the lines about the means over outcomes."""
    h = entropy(p)
    lines = ["", _measure("entropy", "H(p)", h)]
    if q is not None:
        kl, cross = kl_divergence(p, q), cross_entropy(p, q)
        lines += [
            _measure("KL divergence", "KL(p||q)", kl),
            _measure("cross-entropy", "H(p, q)", cross),
            f"H(p, q) = H(p) + KL(p||q): "
            f"{number(cross)} = {number(h, like=cross)} + {number(kl, like=cross)} bits",
        ]
    return lines


def _measure(name: str, symbol: str, bits: float) -> str:
    return f"{name:<14} {symbol:<9} {number(bits):>6} bits  {number(bits * NATS_PER_BIT):>6} nats"


def _addition(p: Sequence[float]) -> str:
    """Return the line about two independent events, of which each is distributed as p."""
    h, both = entropy(p), entropy(independent(p, p))
    return (
        f"two independent events: H(p x p) = {number(both)} = {number(h, like=both)} + "
        f"{number(h, like=both)} bits, information adds"
    )


def _save_figure(p: Sequence[float], q: Sequence[float] | None, path: Path) -> None:
    # matplotlib: only where it is drawn
    from losslab.report.figures.information import information_figure  # noqa: PLC0415
    from losslab.report.figures.style import styled  # noqa: PLC0415
    from losslab.runs.disk import writing_to  # noqa: PLC0415

    figure = information_figure(p, q)
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        styled(figure.savefig)(path, dpi=200)
    print(f"figure: {path}")
