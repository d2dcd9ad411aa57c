"""From a loss of another library to the line of the command line that equals it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from losslab.config.kinds import text
from losslab.dictionary.row import NoCounterpart, Row, ours_options
from losslab.dictionary.rows import ROWS


class Conversion(NamedTuple):
    """A loss of losslab as its command line writes it, and what to know about it."""

    line: str
    notes: tuple[str, ...]


def convert(theirs: str, given: Mapping[str, Any]) -> Conversion:
    """Return the loss of losslab that equals a loss of another library with these options.

    Args:
        theirs: path of its class or function, one of the table's.
        given: its options; others have their defaults.

    Raises:
        NoCounterpart: if there is none.

    Example:
        >>> convert("torch.nn.MultiMarginLoss", {"margin": 0.5}).line
        'loss=hinge loss.multiclass=weston_watkins loss.margin=0.5'
    """
    found: list[tuple[Row, str]] = []
    refusals: list[tuple[Row, NoCounterpart]] = []
    for row in (row for row in ROWS if row.theirs == theirs):
        try:
            line = line_of(row, given)
        except NoCounterpart as refusal:
            refusals.append((row, refusal))
        else:
            found.append((row, line))
    if not found:
        raise _best(refusals)
    row, line = found[0]
    others = [
        f"for {other.reads}: {another}"
        for other, another in found
        if other.reads != row.reads and another != line
    ]
    return Conversion(line, (*_notes(row, given), *dict.fromkeys(others)))


def _best(refusals: list[tuple[Row, NoCounterpart]]) -> NoCounterpart:
    """Return the refusal of the row that fits best; special cases come last in the table."""
    row, best = min(reversed(refusals), key=lambda pair: len(pair[1].args))
    return NoCounterpart(f"{best} ({row.note})" if row.note else str(best))


def line_of(row: Row, given: Mapping[str, Any]) -> str:
    """Return the arguments of the command line for a loss of another library.

    Raises:
        NoCounterpart: if there are none.
    """
    if row.why:
        _require_choices(row, given)
        raise NoCounterpart(f"{row.why} (nearest: loss={row.ours})")
    options = ours_options(row, given)
    words = (f"{_key(name)}={text(value)}" for name, value in options.items())
    return " ".join([f"loss={row.ours}", *words])


def _require_choices(row: Row, given: Mapping[str, Any]) -> None:
    """Raise ``NoCounterpart`` if what the row says concerns other options than these."""
    try:
        ours_options(row, {name: value for name, value in given.items() if name in row.options})
    except NoCounterpart as reason:
        raise NoCounterpart(*reason.args, row.why) from reason


def _key(name: str) -> str:
    """Return the key of an option; conf/loss has no reduction, so it is added."""
    return "+loss.reduction" if name == "reduction" else f"loss.{name}"


def _notes(row: Row, given: Mapping[str, Any]) -> list[str]:
    notes = [row.note] if row.note else []
    if row.factor != "1":
        notes.append(f"theirs is {row.factor} times ours" + " (C classes)" * ("C" in row.factor))
    for adapter, words in PREDICTIONS.items():
        if adapter in row.front:
            notes.append(f"theirs reads {words}, ours logits")
    if given.get("reduction") == "none":
        notes.append("reduction=none: ours is the mean")
    return notes


PREDICTIONS = {
    "OnSoftmax": "probabilities",
    "OnSigmoid": "probabilities",
    "OnLogSoftmax": "log-probabilities",
}
"""What theirs reads behind an adapter."""
