"""Import of torch and Lightning by the processes of a command."""

import gc
import importlib
import sys


def import_torch() -> None:
    """Import torch and Lightning without searching for garbage, and exempt what there is by now.

    Python would search the growing heap again and again while modules are imported, of which next
    to nothing is garbage, and all of it in each full collection afterwards. A command calls this
    before the imports that need torch; a library may not decide this for a user's process.
    """
    if "pytorch_lightning" in sys.modules:
        return
    enabled = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("pytorch_lightning")
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
