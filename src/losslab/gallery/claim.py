"""Read claims from conf/experiment/claims: sweep, preregistered comparisons and chart."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from losslab.analysis.power import needed_seeds

Expected = Literal["lower", "higher", "equal"]
EXPECTED = ("lower", "higher", "equal")
Picked = Mapping[str, Any]
"""Settings that pick one row, such as ``{"loss": "focal", "loss.gamma": 2}``."""


@dataclass(frozen=True)
class PreregisteredComparison:
    """Comparison that was fixed before the runs were made.

    Example:
        >>> PreregisteredComparison("cer", {"loss": "ctc"}, "lower", 0.05).expected
        'lower'
    """

    metric: str
    row: Picked
    expected: Expected
    than: Picked | float
    """Another row, a number, ``{"baseline": name}`` for one of the record's ``baselines``, or
    ``{"metric": name}`` for another metric of the same row.

    ``{"trend": key}`` compares the slope of the metric over the values of this setting with 0;
    ``row`` then picks the rows that have it. ``{"trend": key, "of": settings}`` compares the slope
    with that over other rows. See :func:`losslab.gallery.rows.slopes`."""
    within: float | None = None
    """Equivalence margin, for rows that are expected to be equal."""
    times: float = 1.0
    """Number by which the values of the other row are multiplied, such as a change of the unit."""

    @property
    def trend(self) -> str | None:
        """Setting over which the slope is compared, if it is."""
        return self.than.get("trend") if isinstance(self.than, Mapping) else None


@dataclass(frozen=True)
class Chart:
    """Chart of metrics against a setting, or of the rows side by side."""

    metrics: tuple[str, ...]
    along: str | None = None
    """Setting on the horizontal axis; ``None`` for one line per row."""
    log: bool = False
    """Whether that axis is logarithmic."""
    log_y: tuple[str, ...] = ()
    """Metrics whose axis is logarithmic."""
    baselines: tuple[str, ...] = ()
    """Baselines in the records that are drawn as additional rows."""
    dependent_keys: tuple[str, ...] = ()
    """Settings that labels leave out, such as those that follow from the one on the axis: rows that
    differ in them alone form one line."""
    where: Picked | None = None
    """Settings that the drawn rows have in common."""


@dataclass(frozen=True)
class Claim:
    """Claim of the gallery."""

    name: str
    says: str
    """The claim in one sentence."""
    why: str
    """How the sweep tests the claim, and its caveats."""
    misleads: str
    """What one might conclude wrongly from the results; may be empty."""
    preregistered: tuple[PreregisteredComparison, ...]
    chart: Chart
    columns: tuple[str, ...]
    """Columns of the table."""
    sweep: tuple[str, ...]
    """Overrides of the jobs; each line is a product."""
    settings: Mapping[str, Any]
    """Settings of the experiment, as in its file."""
    figures: tuple[Mapping[str, Any], ...]
    """Figures in addition to the chart; see :func:`losslab.gallery.run.further_figures`."""

    @property
    def needed(self) -> int:
        """Minimum number of seeds with which the comparisons can be significant."""
        return needed_seeds(len(self.preregistered))

    @property
    def command(self) -> str:
        """Command that makes the same runs."""
        return f"python train.py -m experiment=claims/{self.name}"


def read_claim(path: Path) -> Claim:
    """Read a claim from a file in conf/experiment/claims.

    Raises:
        ValueError: if the file does not have the keys of a claim.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        node = content.pop("claim")
        sweep = tuple(content.pop("sweep"))
        return Claim(
            name=path.stem,
            says=node["says"],
            why=" ".join(node.get("why", "").split()),
            misleads=" ".join(node.get("misleads", "").split()),
            preregistered=tuple(_preregistered(entry) for entry in node["planned"]),
            chart=read_chart(node["chart"]),
            columns=tuple(node["shown"]),
            sweep=sweep,
            settings=content,
            figures=tuple(node.get("pictures", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a valid claim: {error}") from error


def read_chart(content: Mapping[str, Any]) -> Chart:
    """Read a chart from its description in a claim's file."""
    options = {_FIELDS.get(key, key): value for key, value in content.items()}
    lists = {key: tuple(options[key]) for key in _LISTS if key in options}
    return Chart(**{**options, **lists})


NOT_A_ROW = {"baseline", "metric", "trend"}
"""Keys of what a row is compared with, if that is not another row."""
_FIELDS = {"untold": "dependent_keys"}
"""Fields whose key in the file has another name."""
_LISTS = ("metrics", "baselines", "log_y", "dependent_keys")


def _preregistered(entry: Mapping[str, Any]) -> PreregisteredComparison:
    """Parse ``{metric: cer, row: {loss: ctc}, lower: 0.05}``, with shared settings in ``where``."""
    [expected] = [key for key in EXPECTED if key in entry]
    where = entry.get("where", {})
    than = entry[expected]
    if isinstance(than, Mapping) and "of" in than:
        than = {**than, "of": {**where, **than["of"]}}
    elif isinstance(than, Mapping) and not NOT_A_ROW & set(than):
        than = {**where, **than}
    within = entry.get("within")
    if (expected == "equal") != (within is not None):
        raise ValueError(f"within must be given for equal, and only for equal: {entry}")
    row = {**where, **entry["row"]}
    times = entry.get("times", 1.0)
    return PreregisteredComparison(entry["metric"], row, expected, than, within, times)  # type: ignore[arg-type]
