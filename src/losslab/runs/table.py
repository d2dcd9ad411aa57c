"""The tables a person sees at the end of a run and of a sweep."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from losslab.runs.record import Record

NOT_THE_LOSS = ("memory", "input")
"""Errors that say nothing of the loss: such a run is missing, it has not failed."""


def run_table(record: Record, folder: Path, log_dir: Path | None = None) -> RenderableType:
    """What a run came to: its metrics side by side, time, folder, and how to see the curves.

    Reference losses are left out; they are in the record. Print it with ``soft_wrap=True``, so
    that a long path stays on one line.

    Args:
        record: the run's.
        folder: the run's folder.
        log_dir: what TensorBoard should show; ``None`` shows the run alone.
    """
    best = record["best"]
    validation = best["metrics"] if best else {}
    title = f"{record['loss']} on {record['data']}, seed {record['seed']}"
    table = _plain_table(title)
    table.add_column("metric")
    table.add_column("validation", justify="right")
    table.add_column("test", justify="right")
    for name in _plain_names([*record["test"], *validation]):
        table.add_row(name, _cell(validation, name), _cell(record["test"], name))
    lines = [
        f"best epoch  {best['epoch'] + 1 if best else 'none'} of {record['epochs']}",
        f"time        {_duration(record['seconds'])}",
        f"run folder  {folder}",
        f"curves      tensorboard --logdir {log_dir or folder}",
    ]
    return Group(table, *(Text(line) for line in lines))


def sweep_table(records: Mapping[Path, Record]) -> RenderableType:
    """One row a loss with its options: test metrics, mean ± SD over the seeds that finished.

    Columns are the metrics that all finished runs have, without the reference losses and without
    each loss's own value, which is on its own scale. Metrics that do not fit the width go into
    further tables below; options that all rows share go into the title.

    Args:
        records: by run folder.
    """
    return _SweepTable(_rows(records))


@dataclass
class _Row:
    """The runs of one loss with its options, on one data set."""

    data: str
    cell: str
    runs: list[Record]

    @property
    def done(self) -> list[Record]:
        return [run for run in self.runs if run["status"] == "done"]

    @property
    def failed(self) -> list[Record]:
        return [run for run in self.runs if _has_failed(run)]

    @property
    def seeds(self) -> str:
        missing = len(self.runs) - len(self.done) - len(self.failed)
        parts = [str(len(self.done))]
        parts += [f"{len(self.failed)} of {len(self.runs)} failed"] if self.failed else []
        parts += [f"{missing} of {len(self.runs)} missing"] if missing else []
        return "\n".join(parts)


class _SweepTable:
    """Rich's view of the rows, as wide as there is room."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self.rows = rows
        self.shared = _shared_options([row.cell for row in rows])
        done = [run for row in rows for run in row.done]
        self.metrics = [
            name
            for name in _plain_names(done[0]["test"] if done else ())
            if name != "loss" and all(name in run["test"] for run in done)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sign = "+-" if options.ascii_only else "±"
        title = f"test metrics, mean {sign} SD over seeds{self._sharing()}"
        for number, names in enumerate(self._chunks(console, options, sign)):
            yield self._table(names, sign, options.max_width, title if number == 0 else None)
        yield from self._problems()

    def _chunks(
        self, console: Console, options: ConsoleOptions, sign: str
    ) -> Iterator[Sequence[str]]:
        """The metrics in groups that fit the width; at least one a group."""
        chunk: list[str] = []
        title: str | None = ""
        for name in self.metrics:
            table = self._table([*chunk, name], sign, options.max_width, title)
            wide = console.measure(table, options=options.update(width=10_000)).maximum
            if chunk and wide > options.max_width:
                yield chunk
                chunk, title = [], None
            chunk.append(name)
        yield chunk

    def _table(self, names: Sequence[str], sign: str, width: int, title: str | None) -> Table:
        """One table; the first, which has the title, also counts the seeds."""
        table = _plain_table(title)
        several = len({row.data for row in self.rows}) > 1
        if several:
            table.add_column("data", overflow="fold")
        # a long list of options must not take the room of the numbers
        table.add_column("loss", overflow="fold", max_width=max(width // 3, 20))
        if title is not None:
            table.add_column("seeds")
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for row in self.rows:
            texts = [row.data] if several else []
            texts += [self._name(row)]
            texts += [row.seeds] if title is not None else []
            texts += [_spread([run["test"][name] for run in row.done], sign) for name in names]
            table.add_row(*texts)
        return table

    def _sharing(self) -> str:
        return f" ({', '.join(self.shared)})" if self.shared else ""

    def _name(self, row: _Row) -> str:
        loss, *options = row.cell.split(",")
        return ",".join([loss, *(option for option in options if option not in self.shared)])

    def _problems(self) -> Iterator[Text]:
        for row in self.rows:
            for run in row.runs:
                if run["status"] != "done":
                    yield Text(f"{self._name(row)} seed {run['seed']}: {_problem(run)}")


def _plain_table(title: str | None) -> Table:
    return Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _rows(records: Mapping[Path, Record]) -> list[_Row]:
    """By data set and cell, in the order in which they first stand."""
    rows: dict[tuple[str, str], _Row] = {}
    for record in records.values():
        key = record["data"], record["cell"] or record["loss"]
        rows.setdefault(key, _Row(*key, [])).runs.append(record)
    return list(rows.values())


def _has_failed(record: Record) -> bool:
    error = record["error"]
    return record["status"] == "failed" and (error is None or error["kind"] not in NOT_THE_LOSS)


def _problem(record: Record) -> str:
    error = record["error"]
    if error is None:
        return record["status"]
    where = "" if error["step"] is None else f" at step {error['step']}"
    return f"{error['kind']}{where}: {' '.join(error['message'].split())}"


def _shared_options(cells: Sequence[str]) -> list[str]:
    """The options that all of several cells have, in order."""
    if len(cells) < 2:
        return []
    first, *others = [cell.split(",")[1:] for cell in cells]
    return [option for option in first if all(option in other for other in others)]


def _plain_names(names: Iterable[str]) -> list[str]:
    """Each name once, without those of a family such as ``ref/mse``."""
    return [name for name in dict.fromkeys(names) if "/" not in name]


def _cell(metrics: Mapping[str, float], name: str) -> str:
    return _number(metrics[name]) if name in metrics else ""


def _spread(values: Sequence[float], sign: str) -> str:
    if not values:
        return ""
    if not all(map(math.isfinite, values)):
        return _number(sum(values))
    mean = statistics.fmean(values)
    if len(values) == 1:
        return _number(mean)
    deviation = statistics.stdev(values)
    return f"{_number(mean)} {sign} {_number(deviation, like=mean)}"


def _number(value: float, like: float | None = None) -> str:
    """Four digits that count; a deviation gets the decimals of its mean."""
    reference = abs(value if like is None else like)
    if not math.isfinite(value):
        return str(value)
    if value == 0 and not like:
        return "0"
    if reference and not 1e-3 <= reference < 1e6:
        return f"{value:.1e}" if like is not None else f"{value:.3e}"
    magnitude = math.floor(math.log10(reference)) if reference else 0
    return f"{value:.{min(max(3 - magnitude, 0), 4)}f}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
