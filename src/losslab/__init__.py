"""losslab: compare loss functions fairly, with statistics.

Subpackages are imported when they are first accessed.
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
