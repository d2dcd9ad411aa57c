"""Citations of what a comparison used: its losses, their libraries and the statistics."""

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources

from losslab.analysis.comparison_groups import Row
from losslab.config import groups

WITHOUT_PAPER = {"sum": "a weighted sum, whose components are cited"}
"""Losses of conf/ without an entry, with the reason."""

OURS = ("losses", "libraries", "methods")
"""Fields of the entries that say what they are cited for."""

_ACCENTS = {"'": "\u0301", '"': "\u0308", "`": "\u0300", "c": "\u0327"}


@dataclass(frozen=True)
class Entry:
    """Entry of the bibliography."""

    key: str
    text: str
    """The entry in BibTeX, with our fields."""

    def field(self, name: str) -> str:
        """Return a field as it is written; empty if there is none."""
        found = re.search(rf"^  {name} = \{{(.*)\}},?$", self.text, re.MULTILINE)
        return found.group(1) if found else ""

    @property
    def bibtex(self) -> str:
        """The entry without our fields."""
        return re.sub(rf"^  ({'|'.join(OURS)}) = .*\n", "", self.text, flags=re.MULTILINE)

    @property
    def short(self) -> str:
        """Authors and year in plain text: ``Lin et al., 2017``."""
        names = [each.partition(",")[0].strip("{}") for each in self.field("author").split(" and ")]
        shown = names[0] if len(names) == 1 else " and ".join(names)
        shown = f"{names[0]} et al." if len(names) > 2 else shown
        return f"{_without_braces(shown)}, {self.field('year')}"


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Return all entries, by key."""
    text = (resources.files("losslab.report") / "references.bib").read_text(encoding="utf-8")
    found = re.findall(r"^@\w+\{([^,]+),.*?^\}$", text, re.MULTILINE | re.DOTALL)
    whole = re.findall(r"^@.*?^\}$", text, re.MULTILINE | re.DOTALL)
    return {key: Entry(key, each) for key, each in zip(found, whole, strict=True)}


@functools.cache
def keys_for(kind: str, name: str) -> tuple[str, ...]:
    """Return the keys of the entries for a loss of conf/, a library or a method.

    Example:
        >>> keys_for("losses", "huber"), keys_for("libraries", "torch")
        (('huber1964robust',), ('paszke2019pytorch',))
    """
    every = entries().values()
    return tuple(each.key for each in every if name in each.field(kind).split(", "))


def keys_of_row(row: Row) -> tuple[str, ...]:
    """Return the keys for a row's loss: its paper, that of its components, or its library.

    Nothing is known of a loss of your own.
    """
    run = row.runs[0]
    options = run.config["loss"]
    parts = [each["loss"]["_target_"] for each in (options.get("of") or {}).values()]
    own = [run.record["loss_notes"].get("class"), options.get("_target_", "")]
    found = [key for path in filter(None, [*own, *parts]) for key in _keys_of_class(path)]
    return tuple(dict.fromkeys([*_keys_of_choice(row), *found]))


def _keys_of_choice(row: Row) -> tuple[str, ...]:
    """Return the keys of a choice in conf/ whose ``_target_`` was not replaced."""
    overrides = row.runs[0].overrides
    if any("loss._target_=" in each for each in overrides):
        return ()
    chosen = [each.removeprefix("loss=") for each in overrides if each.startswith("loss=")]
    return keys_for("losses", chosen[-1]) if chosen else ()


def _keys_of_class(path: str) -> tuple[str, ...]:
    library, _, rest = path.partition(".")
    if library != "losslab":
        return keys_for("libraries", library)
    losses = _losses_by_class().get(rest.rpartition(".")[2], ())
    return tuple(key for loss in losses for key in keys_for("losses", loss))


@functools.cache
def _losses_by_class() -> Mapping[str, tuple[str, ...]]:
    """Return the losses of conf/ by their class, if it is of one loss only."""
    found: dict[str, list[str]] = {}
    for loss in groups.names("loss"):
        name = str(groups.node("loss", loss).get("_target_", "")).rpartition(".")[2]
        found.setdefault(name, []).append(loss)
    return {name: tuple(losses) for name, losses in found.items() if len(losses) == 1}


def bibtex(keys: Iterable[str]) -> str:
    """Return the entries of these keys as a BibTeX file."""
    return "\n\n".join(entries()[key].bibtex for key in dict.fromkeys(keys)) + "\n"


def _without_braces(text: str) -> str:
    r"""Replace TeX's accents by letters, and remove braces.

    Example:
        >>> _without_braces(r"Fern{\'a}ndez"), _without_braces(r"Fran{\c{c}}ois")
        ('Fernández', 'François')
    """
    text = re.sub(r"\{\\(['\"`c])\{?(\w)\}?\}", lambda found: found[2] + _ACCENTS[found[1]], text)
    return unicodedata.normalize("NFC", re.sub(r"[{}]", "", text))
