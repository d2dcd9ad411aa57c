"""Objects that were given in Python, under the names by which configs refer to them.

``losslab.compare(model=lambda: MyNet(32))`` keeps the function here as ``model``, and its runs have
the config ``model._target_: losslab.given.model``. Another process does not have it.
"""

from typing import Any

_OBJECTS: dict[str, Any] = {}


def keep(name: str, value: Any) -> str:
    """Keep a class or a function under a name, and return its ``_target_``."""
    _OBJECTS[name] = value
    return f"{__name__}.{name}"


def __getattr__(name: str) -> Any:
    if name in _OBJECTS:
        return _OBJECTS[name]
    raise AttributeError(
        f"{__name__} has no {name!r}: it was given in Python, by a process that has ended"
    )
