"""losslab: which loss function should I use here, and how sure am I?

Importing it imports nothing else; its parts are loaded when they are first asked for.
"""

import importlib
from importlib import metadata
from typing import Any

_PARTS = ("analysis", "losses", "metrics", "report", "runs", "tasks")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("losslab")
    if name in _PARTS:
        return importlib.import_module(f"losslab.{name}")
    raise AttributeError(f"module 'losslab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "__version__", *_PARTS])
