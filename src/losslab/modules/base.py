"""The base class of every LightningModule here."""

from typing import Any

import pytorch_lightning as pl


class Module(pl.LightningModule):
    """Lightning's, whose plain attributes cost nothing to set."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; plain ones skip the search for parameters.

        Lightning notes the name of each hook on the module, some forty times a step, and a module's
        own ``__setattr__`` takes a tenth of a small network's step for it.
        """
        if value is None or type(value) in (str, bool, int):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)
