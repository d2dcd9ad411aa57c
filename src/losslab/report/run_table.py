"""Table that is printed at the end of a run."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from losslab.metrics.labels import metric, name_rarest, number
from losslab.runs.folder import RunFolder
from losslab.runs.record import Record


def run_table(record: Record, folder: Path, log_dir: Path | None = None) -> RenderableType:
    """Return the summary of a run: its metrics, time, folder, and how to view the curves.

    Reference losses are left out; they are in the record. Print the result with
    ``soft_wrap=True`` to keep a long path on one line.

    Args:
        record: the run's record.
        folder: the run's folder.
        log_dir: folder that TensorBoard should show; ``None`` for the run alone.
    """
    best = record["best"]
    validation = best["metrics"] if best else {}
    splits = {"validation": validation} | ({"test": record["test"]} if record["test"] else {})
    table = metrics_table(record, title(record), splits, [*record["test"], *validation])
    lines = [
        f"best epoch  {best['epoch'] + 1 if best else 'none'} of {record['epochs']}",
        f"time        {duration(record['seconds'])}",
        f"run folder  {folder}",
        f"curves      tensorboard --logdir {log_dir or folder}",
        *(f"{name:<12}{url}" for name, url in record["urls"].items()),
        *([f"tags        {', '.join(record['tags'])}"] if record["tags"] else []),
        *(f"profile     {path}" for path in RunFolder(folder).profiles),
    ]
    return Group(table, *(Text(line) for line in lines))


def title(record: Record) -> str:
    """Return the title of a run's tables."""
    return f"{record['loss']} on {record['data']}, seed {record['seed']}"


def metrics_table(
    record: Record, title: str, splits: Mapping[str, Mapping[str, float]], names: Iterable[str]
) -> Table:
    """Create a table with one row per metric, one column per split, and what each metric is."""
    table = plain_table(title)
    table.add_column("metric")
    for split in splits:
        table.add_column(split, justify="right")
    table.add_column("")
    for name in _plain_names(names):
        cells = (_cell(metrics, name) for metrics in splits.values())
        # names of metrics and classes may look like rich's markup
        table.add_row(Text(name), *cells, Text(_meaning(name, record)))
    return table


def _meaning(name: str, record: Record) -> str:
    """Return what a metric is and which direction is better."""
    label = metric(name)
    text = "" if label.label == name else label.label
    text = name_rarest(text, [record["rarest"]])
    if name == record["primary"]:
        text = f"primary metric: {label.label}"
    better = {"higher": "↑", "lower": "↓", None: ""}[label.better]
    return f"{text} {better}".strip()


def plain_table(title: str | None) -> Table:
    """Create a table whose only rule is below the header."""
    return Table(
        title=Text(title, style="table.title") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )


def _plain_names(names: Iterable[str]) -> list[str]:
    """Return the distinct names, without prefixed ones such as ``ref/mse``."""
    return [name for name in dict.fromkeys(names) if "/" not in name]


def _cell(metrics: Mapping[str, float], name: str) -> str:
    return number(metrics[name]) if name in metrics else ""


def duration(seconds: float) -> str:
    """Format a time in seconds."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
