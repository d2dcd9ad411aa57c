"""Result of a learning-rate range test: suggestions, table, figure and files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from losslab.analysis.rate_curves import RateCurve

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class LearningRates:
    """Result of a learning-rate range test.

    Example:
        >>> curve = RateCurve((0.1, 0.2), (1.0, 2.0), steps=2)
        >>> LearningRates({"mse": curve}, data="digits", seed=0).curves["mse"].lowest
        0.1
    """

    curves: Mapping[str, RateCurve]
    """Curve of each loss, by label."""
    data: str
    seed: int

    @property
    def suggestions(self) -> dict[str, dict[str, float]]:
        """Suggested learning rates by loss: ``valley``, the usual choice, and ``steepest``.

        They are NaN for a loss that hardly fell.
        """
        return {
            loss: {"valley": curve.valley, "steepest": curve.steepest}
            for loss, curve in self.curves.items()
        }

    def table(self) -> "pandas.DataFrame":
        """Return one row per loss: suggestions, the rate with the lowest loss, and the steps."""
        import pandas as pd  # noqa: PLC0415

        suggested = self.suggestions
        rows = [
            {"loss": loss, **suggested[loss], "lowest": curve.lowest, "steps": len(curve.rates)}
            for loss, curve in self.curves.items()
        ]
        return pd.DataFrame(rows)

    def frame(self) -> "pandas.DataFrame":
        """Return the curves, one row per step: ``loss``, ``rate`` and ``value``."""
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame(
            [
                {"loss": loss, "rate": rate, "value": value}
                for loss, curve in self.curves.items()
                for rate, value in zip(curve.rates, curve.losses, strict=True)
            ]
        )

    def lines(self) -> list[list[str]]:
        """Return the table as text, a header first; a suggestion that is missing is a dash."""
        head = ["loss", "valley", "steepest", "lowest loss at"]
        rows = [
            [loss, *(_text(rate) for rate in (curve.valley, curve.steepest, curve.lowest))]
            for loss, curve in self.curves.items()
        ]
        return [head, *rows]

    def __repr__(self) -> str:
        lines = self.lines()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def plot(self) -> "Figure":
        """Plot the curves."""
        from losslab.report.figures.rate_curves import rate_curves  # noqa: PLC0415 (matplotlib)

        return rate_curves(self.curves, self.data, self.seed)

    def save(self, folder: Path) -> list[Path]:
        """Write the figure and the tables to a folder; return the paths."""
        from losslab.report.write import write_csv  # noqa: PLC0415 (matplotlib)

        folder.mkdir(parents=True, exist_ok=True)
        tables = {"suggestions.csv": self.table(), "curves.csv": self.frame()}
        for name, frame in tables.items():
            write_csv(frame, folder / name)
        figure = folder / "lr_find.png"
        self.plot().savefig(figure, dpi=150)
        return [figure, *(folder / name for name in tables)]


def _text(rate: float) -> str:
    return "-" if math.isnan(rate) else f"{rate:.2g}"
