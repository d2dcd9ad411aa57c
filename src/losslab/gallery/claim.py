"""A claim as conf/experiment/claims says it: its sweep, its planned comparisons, its picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from losslab.analysis.statistics import needed_seeds

Expected = Literal["lower", "higher", "equal"]
EXPECTED = ("lower", "higher", "equal")
Picked = Mapping[str, Any]
"""Settings that pick one row: ``{"loss": "focal", "loss.gamma": 2}``."""


@dataclass(frozen=True)
class Planned:
    """One comparison, fixed before the runs are made.

    Example:
        >>> Planned("cer", {"loss": "ctc"}, "lower", 0.05).expected
        'lower'
    """

    metric: str
    row: Picked
    expected: Expected
    than: Picked | float
    """Another row, a number, or ``{"baseline": name}``: what the record's ``baselines`` hold."""
    within: float | None = None
    """How far apart rows that are expected to be equal may be."""


@dataclass(frozen=True)
class Chart:
    """The picture of metrics against a setting, or of one row beside the other."""

    metrics: tuple[str, ...]
    along: str | None = None
    """The setting on the horizontal axis; ``None``: the rows themselves."""
    log: bool = False
    """Whether that axis is logarithmic."""
    log_y: tuple[str, ...] = ()
    """The metrics whose axis is."""
    baselines: tuple[str, ...] = ()
    """Of the record's ``baselines``, those that are drawn as rows besides."""
    untold: tuple[str, ...] = ()
    """Settings that follow from the one along the axis: rows that differ in them are one line."""
    where: Picked | None = None
    """What the rows that are drawn have in common."""


@dataclass(frozen=True)
class Claim:
    """A claim of the gallery."""

    name: str
    says: str
    """The claim, in a sentence."""
    why: str
    """How the sweep shows it, and what is not plain about it."""
    planned: tuple[Planned, ...]
    chart: Chart
    shown: tuple[str, ...]
    """The columns of the table."""
    sweep: tuple[str, ...]
    """The overrides of the cells, a product each line."""
    settings: Mapping[str, Any]
    """The experiment's settings, as its file has them."""
    pictures: tuple[Mapping[str, Any], ...]
    """What is shown besides the chart; see :mod:`losslab.gallery.pictures`."""

    @property
    def needed(self) -> int:
        """The fewest seeds with which all planned comparisons can be told from chance."""
        return needed_seeds(len(self.planned))

    @property
    def command(self) -> str:
        """What a user types for the same runs."""
        return f"python train.py -m experiment=claims/{self.name}"


def read_claim(path: Path) -> Claim:
    """The claim of a file in conf/experiment/claims.

    Raises:
        ValueError: if the file does not say what a claim has to.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        node = content.pop("claim")
        sweep = tuple(content.pop("sweep"))
        return Claim(
            name=path.stem,
            says=node["says"],
            why=" ".join(node.get("why", "").split()),
            planned=tuple(_planned(entry) for entry in node["planned"]),
            chart=read_chart(node["chart"]),
            shown=tuple(node["shown"]),
            sweep=sweep,
            settings=content,
            pictures=tuple(node.get("pictures", ())),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is no claim: {error}") from error


def read_chart(content: Mapping[str, Any]) -> Chart:
    """A chart as a claim's file describes it."""
    lists = {key: tuple(content[key]) for key in _LISTS if key in content}
    return Chart(**{**content, **lists})


_LISTS = ("metrics", "baselines", "log_y", "untold")


def _planned(entry: Mapping[str, Any]) -> Planned:
    """``{metric: cer, row: {loss: ctc}, lower: 0.05}``, shared settings under ``where``."""
    [expected] = [key for key in EXPECTED if key in entry]
    where = entry.get("where", {})
    than = entry[expected]
    if isinstance(than, Mapping) and "baseline" not in than:
        than = {**where, **than}
    within = entry.get("within")
    if (expected == "equal") != (within is not None):
        raise ValueError(f"within belongs to equal, and only there: {entry}")
    row = {**where, **entry["row"]}
    return Planned(entry["metric"], row, expected, than, within)  # type: ignore[arg-type]
