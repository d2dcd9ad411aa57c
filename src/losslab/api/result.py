"""The result of a comparison: its answer, tables and figures."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Self

from losslab.analysis.answer import answers
from losslab.analysis.comparison import Comparison
from losslab.analysis.comparison import compare as compare_runs
from losslab.analysis.load import collect
from losslab.analysis.looks import keep_looks, looks_at
from losslab.analysis.notes import tuning_notes
from losslab.analysis.search import Tuning
from losslab.analysis.standing import standing
from losslab.api.again import require_given, require_typable
from losslab.api.described import seed_list
from losslab.api.engine import Engine, run_sweep, unchanged_process
from losslab.api.moved import find_data
from losslab.api.notebook import Plots, page
from losslab.config.command import Command, all_jobs
from losslab.config.errors import UserError
from losslab.config.typed_jobs import command_lines
from losslab.progress import show
from losslab.report.frames import grid, markdown_table, pairs_frame, runs_frame, table_frame
from losslab.report.latex import SPREADS, Spread
from losslab.report.paper import write_paper
from losslab.report.write import write_report
from losslab.resume import saved_commands
from losslab.runs.folder import COMPARISON_FILE, replace_file
from losslab.sweep_file import extended, read_commands

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Shown:
    """What a comparison shows; all but ``within`` is kept in its folder.

    Attributes:
        baseline: label that the others are compared with.
        metrics: metrics that decide.
        engine: engine of further runs.
        within: margins of equivalence by metric; ``None`` for those of the runs.
    """

    baseline: str | None = None
    metrics: tuple[str, ...] = ()
    engine: Engine = "lockstep"
    within: dict[str, float] | None = None

    def write(self, folder: Path) -> None:
        """Write it into the folder of the comparison."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = asdict(self)
        del kept["within"]  # the options of the runs have it
        replace_file(folder / COMPARISON_FILE, json.dumps(kept).encode())


def read_shown(folder: Path) -> Shown:
    """Read what a comparison shows; the defaults if it was made on the command line."""
    path = folder / COMPARISON_FILE
    if not path.is_file():
        return Shown()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Shown(content["baseline"], tuple(content["metrics"]), content["engine"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: remove it for the defaults") from error


class Result:
    """A comparison of losses.

    In a notebook it shows the answer, the table and the figure of differences.

    Attributes:
        folder: folder of the runs.
    """

    def __init__(self, folder: Path, shown: Shown, *, trust: bool = False) -> None:
        self.folder = folder
        self._shown = shown
        self._trust = trust

    @property
    def _sweep(self) -> Path:
        """Folder of the sweep whose runs are compared."""
        return self.folder

    @property
    def tuning(self) -> Tuning | None:
        """The search that chose the compared settings; ``None`` without one."""
        return None

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison of the runs, from which everything here follows."""
        keep_looks(self._sweep)
        collection = collect([self._sweep])
        if not collection.runs:
            raise UserError(f"{self.folder} has no runs yet: result.extend(seeds=...) trains them")
        try:
            return compare_runs(
                collection,
                baseline=self._shown.baseline,
                primary_metrics=self._shown.metrics,
                within=self._shown.within,
                looks=looks_at(collection),
                in_python=True,
            )
        except ValueError as error:
            raise UserError(str(error)) from error

    @property
    def answer(self) -> str:
        """Which loss to use, how sure that is, and what would make it surer."""
        tuned = self.tuning is not None and self.tuning.protocol == "tuned"
        found = answers(self.comparison, tuned=tuned)
        return "\n\n".join("\n".join(answer.lines) for answer in found)

    @property
    def winner(self) -> str | None:
        """Label of the loss that is better than all others; ``None`` unless that is concluded."""
        [table, *others] = self.comparison.tables
        found = standing(table)
        alone = len(found.leading) == 1 and len(found.beaten) == len(table.rows) - 1 > 0
        compared_with_all = self._shown.baseline is None or len(table.rows) == 2
        return found.leading[0] if alone and compared_with_all and not others else None

    def table(self) -> "pandas.DataFrame":
        """Return one row per loss and metric: mean, interval, number of seeds."""
        return table_frame(self.comparison)

    def pairs(self) -> "pandas.DataFrame":
        """Return one row per pair of losses and metric that decides: difference and p-values."""
        return pairs_frame(self.comparison)

    def runs(self) -> "pandas.DataFrame":
        """Return one row per run: outcome, metrics and settings."""
        return runs_frame(self.comparison)

    def curves(self) -> "pandas.DataFrame":
        """Return the curves of all runs, one row per value: loss, seed, epoch, step, name."""
        import pandas as pd  # noqa: PLC0415

        return pd.concat(
            [
                run.curves.assign(loss=row.label, seed=run.seed)
                for table in self.comparison.tables
                for row in table.rows
                for run in row.runs
            ],
            ignore_index=True,
        )

    @property
    def plot(self) -> Plots:
        """Figures: ``differences()``, ``metrics()``, ``curves()`` and ``learning_rates()``."""
        return Plots(self.comparison, self.tuning)

    def extend(self, seeds: int | Iterable[int]) -> Self:
        """Train further seeds, and those that were interrupted; p-values cover all looks.

        The result is returned with them, and changed itself.

        Args:
            seeds: number of further seeds, or all seeds to have.

        Raises:
            UserError: if a job cannot run, e.g. since a model was given to another process, or
                ``seeds`` are not numbers.
        """
        with unchanged_process():
            find_data(self.folder)
            commands = saved_commands(self._sweep, trust=self._trust)
            options = _options(commands[-1])
            require_given(options)
            planned = [int(each[5:]) for each in options if each.startswith("seed=")]
            listed = ",".join(map(str, self._all_seeds(seeds, planned)))
            command = extended(commands[-1], [f"seed={listed}"])
            run_sweep(command, self._sweep, self._shown.engine, commands, whole=self.folder)
        self._forget()
        return type(self)(self.folder, self._shown, trust=self._trust)

    def _forget(self) -> None:
        """Read the runs again when they are next asked for: there are more of them."""
        for name in ("comparison", "tuning"):
            self.__dict__.pop(name, None)

    def _all_seeds(self, seeds: int | Iterable[int], planned: Iterable[int]) -> list[int]:
        """Return the seeds that there are or are planned, and a number of others or those given."""
        known = sorted({run.seed for run in collect([self._sweep]).runs} | set(planned))
        first = max(known, default=-1) + 1
        is_none = isinstance(seeds, Integral) and seeds == 0
        more = [] if is_none else seed_list(seeds, first=first)
        return list(dict.fromkeys([*known, *more]))

    def save(self, folder: str | Path) -> Self:
        """Copy the runs to another folder, which must be new, and return the result there.

        Raises:
            UserError: if there is such a folder.
        """
        place = Path(folder)
        if place.exists():
            raise UserError(f"{place} exists: save to a new folder")
        shutil.copytree(self.folder, place)
        find_data(place)
        return type(self)(place, self._shown, trust=self._trust)

    def report(self, path: str | Path) -> Path:
        """Write the report as one HTML page."""
        written = write_report(self.comparison, self.folder / "report", self.tuning)
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(written, place)
        return place

    def paper(self, folder: str | Path, spread: Spread = "sd") -> Path:
        """Write what a paper needs: tables, figures, a paragraph on the methods, references.

        Args:
            folder: folder of the files; ``paper.tex`` in it shows all of them.
            spread: what stands beside a mean in the LaTeX tables: ``"sd"``, the standard deviation
                over seeds, ``"interval"``, its 95 % interval, or ``"none"``.

        Raises:
            UserError: if the spread is another, or the folder is a file.
        """
        if spread not in SPREADS:
            raise UserError(f"spread must be {' or '.join(map(repr, SPREADS))}, got {spread!r}")
        place = Path(folder)
        if place.exists() and not place.is_dir():
            raise UserError(f"paper needs a folder, got the file {place}")
        for line in write_paper(self.comparison, place, self.tuning, spread):
            show(line)
        return place

    def command(self) -> str:
        """Return the command that repeats these runs in a shell, one line per loss with options.

        Raises:
            UserError: if a model or a loss has no name that a shell could give.
        """
        command = read_commands(self.folder)[-1]
        require_typable(_options(command))
        return "\n".join(command_lines(all_jobs(command)))

    def __repr__(self) -> str:
        tables = ["\n".join(markdown_table(grid(table))) for table in self.comparison.tables]
        return "\n\n".join([self.answer, *self._search_lines(), *tables])

    def _repr_html_(self) -> str:
        return page(self.comparison, self.answer, self._search_lines())

    def _search_lines(self) -> list[str]:
        return [] if self.tuning is None else [*self.tuning.lines(), *tuning_notes(self.tuning)]

    @staticmethod
    def options_of(folder: Path) -> list[str]:
        """Return the options of all jobs of a comparison.

        Raises:
            UserError: if its file is damaged.
        """
        return _options(read_commands(folder)[-1])


def _options(command: Command) -> list[str]:
    """Return the distinct options of all jobs of a command."""
    return list(dict.fromkeys(option for job in all_jobs(command) for option in job))
