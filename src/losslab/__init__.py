"""losslab: compare loss functions fairly, with statistics.

Subpackages are imported when they are first accessed.
"""

import importlib
import os
import sys
from importlib import metadata
from typing import Any

_PARTS = ("analysis", "data", "losses", "metrics", "models", "passport", "report", "runs", "tasks")
_FUNCTIONS = {
    "probe": "losslab.passport",
    "UserError": "losslab.config.errors",
    **dict.fromkeys(("compare", "train", "tune", "load", "lr_find"), "losslab.api"),
}

IMPORTS = "LOSSLAB_IMPORTS"
"""Environment variable with the folders of the user's code, for the processes of a command."""
IMPORT_PATH = tuple(sys.path)
"""Import path without these folders."""
sys.path += [
    folder
    for folder in os.environ.get(IMPORTS, "").split(os.pathsep)
    if folder and folder not in sys.path
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return metadata.version("losslab")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    if name in _PARTS:
        return importlib.import_module(f"losslab.{name}")
    raise AttributeError(f"module 'losslab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "__version__", *_FUNCTIONS, *_PARTS])
