"""One entry of the dictionary: a loss of another library and the loss of losslab that equals it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Choices = Mapping[Any, Mapping[str, Any]]
"""Options of ours by the value of an option of theirs; other values have no loss of ours."""


class Scaled(NamedTuple):
    """An option of ours that is a multiple of one of theirs."""

    ours: str
    factor: float


NEGLIGIBLE = 1e-4
"""A default ``smooth`` of theirs up to this only prevents 0 / 0, which ours does without."""


@dataclass(frozen=True)
class Row:
    """A loss of another library, and how it is written here."""

    theirs: str
    """Its path, ``"monai.losses.TverskyLoss"``."""
    reads: str
    """What it is called with here: a target format, or ``"masks"`` of one foreground."""
    ours: str
    """The equal loss of losslab; the nearest one if ``why`` says that none is equal."""
    options: Mapping[str, str | Scaled | Choices] = field(default_factory=dict)
    """By option of theirs: the name of the same number of ours, a multiple, or choices."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of those options of theirs; they are translated as if they were typed."""
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Options of ours that never change."""
    example: Mapping[str, Any] = field(default_factory=dict)
    """Options of theirs with which the tests compare both."""
    front: tuple[str, ...] = ()
    """Adapters of losslab in front of theirs, the outermost first."""
    factor: str = "1"
    """What ours is multiplied by to give theirs: a number or ``1/C``, with C classes."""
    note: str = ""
    """What a reader has to know beside the options."""
    why: str = ""
    """Why no options make both equal; empty if some do."""
    edge: str = ""
    """Input at which they differ; the tests know it by this name."""
    theirs_there: str = ""
    """What theirs gives there: ``"NaN"``, ``"infinite"``, ``"NaN gradient"``,
    ``"vanishing gradient"`` or ``"another value"``."""

    @property
    def library(self) -> str:
        """First part of the path."""
        return self.theirs.partition(".")[0]


class NoCounterpart(Exception):  # noqa: N818 (an answer, not an error)
    """These options of theirs have no counterpart here; the arguments say why, one by one."""

    def __str__(self) -> str:
        """Join the reasons."""
        return "; ".join(self.args)


def ours_options(row: Row, given: Mapping[str, Any]) -> dict[str, Any]:
    """Translate options of a loss of another library to those of ours.

    Raises:
        NoCounterpart: if some of them have none.
    """
    found: dict[str, Any] = dict(row.sets)
    origins: dict[str, str] = {}
    reasons: list[str] = []
    for name, value in {**row.defaults, **given}.items():
        try:
            translated = _translated(row, name, value)
        except NoCounterpart as reason:
            reasons.append(str(reason))
            continue
        for own, number in translated.items():
            first = origins.setdefault(own, name)
            if first != name and found[own] != number:
                reasons.append(f"{first} and {name} must be equal: both are {own} of ours")
            found[own] = number
    if reasons:
        raise NoCounterpart(*reasons)
    typed = any(name.startswith("smooth") for name in given)
    for own in [own for own in found if own.rpartition(".")[2] == "smooth"]:
        if not typed and found[own] <= NEGLIGIBLE:
            del found[own]
    return found


def _translated(row: Row, name: str, value: Any) -> Mapping[str, Any]:
    """Translate one option; raise ``NoCounterpart`` if it has none."""
    meaning = row.options.get(name)
    if meaning is None:
        raise NoCounterpart(f"{name} has no counterpart in loss={row.ours}")
    if isinstance(meaning, str):
        return {meaning: value}
    if isinstance(meaning, Scaled):
        if not isinstance(value, int | float):
            raise NoCounterpart(f"{name} must be a number, got {value}")
        return {meaning.ours: meaning.factor * value}
    for choice, options in meaning.items():  # True is not 1, nor False 0
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return options
    choices = " or ".join(f"{name}={choice}" for choice in meaning)
    raise NoCounterpart(f"{name}={value} has no counterpart, only {choices}")
