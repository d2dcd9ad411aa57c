"""Objects that were given in Python, under the names by which configs refer to them.

``losslab.compare(model=lambda: MyNet(32))`` keeps the function here, and its runs have the config
``model._target_: losslab.given.x1f3a52bc.model``. No two objects share such a path, so that a run
is never continued with another object of the same name. Another process does not have it.
"""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

_OBJECTS: dict[str, SimpleNamespace] = {}


def keep(name: str, value: Any) -> str:
    """Keep a class or a function under a name, and return its ``_target_``, always the same."""
    for token, kept in _OBJECTS.items():
        if getattr(kept, name, None) is value:
            return f"{__name__}.{token}.{name}"
    path = f"{__name__}.x{uuid4().hex[:8]}.{name}"
    put(path, value)
    return path


def is_given(path: str) -> bool:
    """Return whether a ``_target_`` is that of an object that was given in Python."""
    return path.startswith(f"{__name__}.")


def has(path: str) -> bool:
    """Return whether an object is kept under a ``_target_``."""
    _, token, name = path.rsplit(".", 2)
    return hasattr(_OBJECTS.get(token), name)


def put(path: str, value: Any) -> None:
    """Keep a class or a function under a ``_target_`` of an earlier process."""
    _, token, name = path.rsplit(".", 2)
    _OBJECTS[token] = SimpleNamespace(**{name: value})


def paths_in(options: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return the ``_target_`` of each object that options name, by group and label.

    Example:
        >>> paths_in(["model=mlp", "loss._target_=losslab.given.x1f3a52bc.mine"])
        {('loss', 'mine'): 'losslab.given.x1f3a52bc.mine'}
    """
    found = {}
    for option in options:
        key, _, path = option.lstrip("+").partition("=")
        if path.startswith(f"{__name__}."):
            found[key.partition(".")[0], path.rpartition(".")[2]] = path
    return found


def __getattr__(name: str) -> Any:
    if name in _OBJECTS:
        return _OBJECTS[name]
    raise AttributeError(
        f"{__name__} has no {name!r}: it was given in Python, by a process that has ended"
    )
