"""The result of a tuning: its search, and the comparison of the best settings."""

from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from losslab.analysis.search import FINAL, Tuning, read_tuning, typed
from losslab.analysis.words import counted_seeds
from losslab.api.again import require_given, require_typable
from losslab.api.engine import Engine, run_sweep, unchanged_process
from losslab.api.moved import find_data
from losslab.api.result import Result
from losslab.config.command import Command
from losslab.config.errors import UserError
from losslab.config.overrides import quoted
from losslab.config.trust import Source
from losslab.metrics.labels import some
from losslab.progress import show
from losslab.runs.folder import SWEEP_FILE
from losslab.tuning import Known, OnceChecked, final_command, read_saved, saved_plan, search
from losslab.tuning_plan import Plan, require_apart

if TYPE_CHECKING:
    import pandas


class TuningResult(Result):
    """A tuning: a :class:`Result` of the best settings of the losses, and how they were found."""

    @property
    def _sweep(self) -> Path:
        return self.folder / FINAL

    @cached_property
    def tuning(self) -> Tuning:
        """The search: what was tried, and what was best."""
        try:
            return read_tuning(self.folder)
        except ValueError as error:
            raise UserError(str(error)) from error

    @property
    def best(self) -> dict[str, dict[str, Any]]:
        """Best setting of each loss, by label: ``{"focal": {"optimizer.lr": 0.004, ...}}``."""
        found = {label: self.tuning.best(label) for label in self.tuning.losses}
        return {label: dict(trial.options) for label, trial in found.items() if trial}

    def search(self) -> "pandas.DataFrame":
        """Return one row per run of the search: loss, point, seed, options and value."""
        return self.tuning.frame()

    def extend(self, seeds: int | Iterable[int]) -> Self:
        """Finish what was interrupted, then train further final seeds; see :meth:`Result.extend`.

        Raises:
            UserError: if a job cannot run, or a seed is one of the search.
        """
        with unchanged_process():
            find_data(self.folder)
            plan, source = saved_plan(self.folder, trust=self._trust)
            require_given(plan_options(plan))
            listed = self._all_seeds(seeds, plan.seeds)
            require_apart(plan.tuning_seeds, listed)
            train_stages(plan, self.folder, self._shown.engine, source)
        return super().extend(listed)

    def command(self) -> str:
        """Return the command that repeats the tuning in a shell.

        Raises:
            UserError: if a loss has a label or options, ranges were given, or the model or data
                have no name.
        """
        plan = read_saved(self.folder)
        ranges = [f"the range of {label}" for label in plan.own_ranges]
        if own := [*plan.chosen, *ranges]:
            raise UserError(
                f"{', '.join(own)} was given in Python, but losslab tune takes names of conf/ with "
                "the ranges that they declare: repeat losslab.tune(...)"
            )
        require_typable(plan.overrides)
        tuning_seeds, seeds = (",".join(map(str, each)) for each in (plan.tuning_seeds, plan.seeds))
        return typed(asdict(plan), f"tuning_seeds={tuning_seeds}", f"seeds={seeds}")

    @staticmethod
    def options_of(folder: Path) -> list[str]:
        """Return the options of all jobs of a tuning."""
        return plan_options(read_saved(folder))


def plan_options(plan: Plan) -> list[str]:
    """Return the options of a plan's jobs, without the tuned ones."""
    return [*plan.overrides, *(each for own in plan.chosen.values() for each in own)]


def train_stages(plan: Plan, folder: Path, engine: Engine, source: Source | None = None) -> None:
    """Train the runs of the search that are not done, then those of the best settings.

    Raises:
        UserError: if a job cannot run, or no run of the search finished.
    """

    def train_points(
        command: Command, place: Path, once_checked: OnceChecked, known: Known
    ) -> None:
        points = some(sum(map(len, plan.points.values())), "settings")
        show(f"search: {points} on {counted_seeds(plan.tuning_seeds)}")
        placed = _placed(command, place)
        run_sweep(placed, place, engine, whole=folder, once_checked=once_checked, known=known)

    final = folder / FINAL
    if not (final / SWEEP_FILE).is_file():
        if left := search(plan, folder, train_points, source):
            raise UserError(
                f"{some(len(left), 'runs')} of the search were not trained, such as {left[0]}: "
                f'losslab.load("{folder}").extend(seeds=0) goes on'
            )
        show(f"best settings on {counted_seeds(plan.seeds)}")
        command = _placed(final_command(plan, read_tuning(folder), source), final)
        run_sweep(command, final, engine, whole=folder)


def _placed(command: Command, folder: Path) -> Command:
    command.overrides.append(f"hydra.sweep.dir={quoted(folder)}")
    return command
