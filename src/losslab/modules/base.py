"""The base class of every LightningModule here."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl


class Module(pl.LightningModule):
    """LightningModule that keeps its metrics in float64 and sets plain attributes fast."""

    metrics: dict[str, dict[str, float]]
    """By split, what was evaluated last: what a record holds."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = {}

    def report(self, split: str, values: Mapping[str, Any]) -> None:
        """Keep the metrics of a split, and hand them to Lightning for whoever else reads them.

        Lightning's own copy, which schedulers and loggers see, is rounded to float32.

        Args:
            split: ``val`` or ``test``.
            values: numbers by name, without the split; a split reported twice keeps both.
        """
        numbers = {name: float(value) for name, value in values.items()}
        self.metrics[split] = self.metrics.get(split, {}) | numbers
        self.log_dict({f"{split}/{name}": value for name, value in numbers.items()})

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; plain ones skip the search for parameters.

        Lightning notes the name of each hook on the module, some forty times a step, and a module's
        own ``__setattr__`` takes a tenth of a small network's step for it.
        """
        if value is None or type(value) in (str, bool, int):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)
