"""Run a command and write the CPU seconds of its phases: python -m benchmarks.phases FILE ...

A phase is a set of functions, or the imports of their modules. What a phase calls of another one
counts for the other.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

COMMAND_LINE = "Python, Hydra, command line"
IMPORTS = "import torch, pytorch_lightning"
TRAINING = "training (trainer.fit)"


@dataclass(frozen=True)
class Stage:
    """Phases whose modules a command imports late.

    Attributes:
        after: function after whose first call they are imported; empty for the first stage.
        imports: phase of these imports.
        phases: functions by phase, named as they are called.
    """

    after: str
    imports: str
    phases: Mapping[str, Sequence[str]]


STAGES = (
    Stage(
        "",
        COMMAND_LINE,
        {
            "composition of configs": [
                "losslab.cli.compose",
                "losslab.cli.finished_config",
                "losslab.job_checks.compose_jobs",
            ],
            IMPORTS: ["losslab.job_checks.import_torch"],
            "Hydra's job: folder, logging": ["losslab.cli.run_composed"],
            "Hydra's jobs: composition, logging, progress": ["losslab.sweep.hydra_main"],
            "summary of the sweep for TensorBoard": ["losslab.sweep.write_summary"],
            "table of the run": ["losslab.cli.show_run"],
        },
    ),
    Stage(
        "losslab.job_checks.import_torch",
        "imports of losslab for training",
        {
            "checks of data, loss, network and a batch": ["losslab.training.check"],
            "components, Trainer, record": ["losslab.training.train"],
            TRAINING: ["losslab.training.fit"],
            "test (trainer.test)": ["losslab.training.evaluate_checkpoint"],
            "figures of predictions": ["losslab.callbacks.figures.Figures.draw"],
        },
    ),
    Stage(
        "losslab.sweep.write_summary",
        "imports for comparison and report",
        {
            "comparison": ["losslab.analysis.load.collect", "losslab.analysis.comparison.compare"],
            "report: console, tables, figures, pages": ["losslab.report.console.show"],
        },
    ),
)


class Clock:
    """CPU seconds of the process, all threads together, by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._phase = COMMAND_LINE
        self._since = 0.0  # the process counts from its start

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """Count the block for a phase."""
        before = self._phase
        self.turn(phase)
        try:
            yield
        finally:
            self.turn(before)

    def turn(self, phase: str) -> None:
        """Count the time until now for the current phase, and begin another."""
        now = time.process_time()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now

    def count(self, stage: Stage) -> None:
        """Count the functions of a stage from when their modules are imported."""
        if not stage.after:
            self._begin(stage)
            return

        def then_begun(function: Callable[..., Any]) -> Callable[..., Any]:
            @wraps(function)
            def call(*given: Any, **named: Any) -> Any:
                result = function(*given, **named)
                if stage in waiting:
                    waiting.remove(stage)
                    self._begin(stage)
                return result

            return call

        waiting = [stage]
        _wrap(stage.after, then_begun)

    def _begin(self, stage: Stage) -> None:
        with self.of(stage.imports):
            for phase, names in stage.phases.items():
                for name in names:
                    _wrap(name, self.of(phase))


def _wrap(name: str, wrapper: Callable[[Any], Any]) -> None:
    """Replace a function, named with its module, or with its module and its class."""
    owner_name, _, function = name.rpartition(".")
    try:
        owner: Any = import_module(owner_name)
    except ModuleNotFoundError:
        module, _, holder = owner_name.rpartition(".")
        owner = getattr(import_module(module), holder)
    setattr(owner, function, wrapper(getattr(owner, function)))


def main(file: str) -> None:
    """Run the command line that the arguments after the file are."""
    clock = Clock()
    from losslab import cli  # noqa: PLC0415 (counted)

    for stage in STAGES:
        clock.count(stage)
    try:
        cli.main()
    finally:
        clock.turn("")
        ended = os.times()  # of other processes
        others = ended.children_user + ended.children_system
        Path(file).write_text(json.dumps([clock.seconds, others]))


if __name__ == "__main__":
    main(sys.argv.pop(1))
