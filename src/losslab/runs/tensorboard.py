"""TensorBoard events, written with TensorBoard's own protobufs and without torch."""

import io
import math
import os
import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

from losslab.metrics.labels import number
from losslab.runs.disk import append
from losslab.runs.files import PNG
from losslab.runs.folder import replace_file

if TYPE_CHECKING:
    import numpy as np

HParam = bool | int | float | str


@dataclass(frozen=True)
class BandTags:
    """Tags of a chart that draws a curve within a band."""

    value: str
    lower: str
    upper: str


Charts = Mapping[str, Mapping[str, Sequence[str] | BandTags]]
"""Tags by category and chart."""

FIRST = "curves"
"""Group of the charts that TensorBoard shows first, as it sorts groups by name."""

FIGURES = "visuals"
"""Group of the figures, which come after the curves ``train/...`` and ``val/...``."""

RESULTS = "results"
"""Tag of the table with the results of a run or a sweep."""

SESSION = "hparams"
"""Name of the event file with a run's row, or a sweep's columns, in the HPARAMS tab."""

_writers = count()


class Events:
    """Writer of one run's TensorBoard events.

    Events are buffered until :meth:`flush`. No file is open and no thread runs between flushes,
    so many runs can be trained together and the writer can be sent to another process.

    Args:
        folder: the run's folder, which must exist; each writer has its own file in it.
    """

    def __init__(self, folder: Path) -> None:
        # TensorBoard reads the files in the order of their names, and its own names have seconds
        # only: too coarse for a run that is killed and resumed within one second
        moment = f"{time.time():017.6f}.{platform.node()}.{os.getpid()}.{next(_writers)}"
        self.path = folder / f"events.out.tfevents.{moment}"
        self._waiting: list[bytes] = [_first_event()]

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Add one point of a curve."""
        self.scalars({tag: value}, step)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add one point to each of several curves."""
        summary = summary_pb2.Summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
        self._add(step, summary=summary)

    def image(self, tag: str, image: "bytes | np.ndarray[Any, Any]", step: int) -> None:
        """Add an image.

        Args:
            tag: name of the image.
            image: bytes of a PNG file, or an array ``(H, W, 3)`` of ``uint8``.
            step: step that the image shows.

        Raises:
            ValueError: if the image is neither.
        """
        png = image if isinstance(image, bytes) else _png(image)
        width, height = _png_size(png)
        encoded = summary_pb2.Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png
        )
        value = summary_pb2.Summary.Value(tag=tag, image=encoded)
        self._add(step, summary=summary_pb2.Summary(value=[value]))

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Add a text that TensorBoard renders as Markdown."""
        self._add(step, summary=_text(tag, markdown))

    def purge(self, step: int) -> None:
        """Make TensorBoard discard the run's points after a step, for a run that resumes there."""
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(step + 1, session_log=start)

    def flush(self) -> None:
        """Write the buffered events to the file."""
        if not self._waiting:
            return
        append(self.path, _records(self._waiting), durable=False)  # no run resumes from them
        self._waiting.clear()

    def close(self) -> None:
        """Flush the events; there is nothing to close."""
        self.flush()

    def _add(self, step: int, **content: Any) -> None:
        event = event_pb2.Event(wall_time=time.time(), step=step, **content)
        self._waiting.append(event.SerializeToString())


def first_charts(values: Mapping[str, float], charts: Sequence[str]) -> dict[str, float]:
    """Return what TensorBoard shows as curves: all but test values, which are single points.

    Args:
        values: values by tag.
        charts: tags to show a second time, in the first group.

    Example:
        >>> first_charts({"val/mae": 2.0, "val/r2": 0.9, "test/mae": 1.0}, ["val/mae"])
        {'val/mae': 2.0, 'val/r2': 0.9, 'curves/val_mae': 2.0}
    """
    curves = {tag: value for tag, value in values.items() if not tag.startswith("test/")}
    first = {f"{FIRST}/{tag.replace('/', '_')}": curves[tag] for tag in charts if tag in curves}
    return curves | first


def number_table(head: str, columns: Mapping[str, Mapping[str, float]]) -> str:
    """Return a Markdown table of numbers, with a row per name and a column per mapping.

    Example:
        >>> print(number_table("metric", {"validation": {"mae": 2.0}, "test": {"mae": 2.5}}))
        | metric | validation | test |
        |---|---:|---:|
        | mae | 2.000 | 2.500 |
    """
    names = dict.fromkeys(name for column in columns.values() for name in column)
    rows = [[head, *columns]]
    rows += [
        [name, *(number(column[name]) if name in column else "" for column in columns.values())]
        for name in names
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|---|{'---:|' * len(columns)}", *lines[1:]])


def write_session(
    folder: Path, hparams: Mapping[str, object], name: str, *, done: bool = True
) -> None:
    """Write the row of a run in the HPARAMS tab, replacing an earlier one.

    TensorBoard reads the columns of a row once and takes metrics from curves only, so a row is
    written when the run ends, and results are columns like the settings.

    Args:
        folder: the run's folder, created if missing.
        hparams: columns; values other than numbers, booleans and text become text.
        name: name of the row; rows of equal names become one.
        done: whether the run succeeded.
    """
    status = api_pb2.STATUS_SUCCESS if done else api_pb2.STATUS_FAILURE
    ending = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    value = summary_pb2.Summary.Value(
        tag=hparams_metadata.SESSION_END_INFO_TAG,
        metadata=hparams_metadata.create_summary_metadata(
            plugin_data_pb2.HParamsPluginData(session_end_info=ending)
        ),
        tensor=hparams_metadata.NULL_TENSOR,
    )
    plain = {column: _plain(value) for column, value in hparams.items()}
    row = summary_v2.hparams_pb(plain, trial_id=name)
    _write_alone(folder, SESSION, [_now(row), _now(summary_pb2.Summary(value=[value]))])


def write_sweep_experiment(
    sweep_folder: Path, hparam_domains: Mapping[str, Sequence[object]], results: Sequence[str]
) -> None:
    """Write the columns of the HPARAMS tab for a sweep, replacing earlier ones.

    TensorBoard shows the columns of one experiment only: view one sweep at a time.

    Args:
        sweep_folder: folder above the runs.
        hparam_domains: values of each column in the sweep.
        results: columns of numbers, such as ``test/accuracy``.
    """
    columns = [
        summary_v2.HParam(name, _domain([_plain(value) for value in values]))
        for name, values in hparam_domains.items()
    ]
    any_number = summary_v2.RealInterval(-math.inf, math.inf)
    columns += [summary_v2.HParam(name, any_number) for name in results]
    _write_alone(sweep_folder, SESSION, [_now(summary_v2.hparams_config_pb(columns, []))])


def write_layout(folder: Path, charts: Charts) -> None:
    """Write the charts of the CUSTOM SCALARS tab, replacing earlier ones.

    Args:
        folder: folder of a sweep or a run; TensorBoard merges equal charts.
        charts: exact tags by category and chart. A category has either bands or lists of tags.
    """
    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(title=title, chart=_in_order(its_charts))
            for title, its_charts in charts.items()
        ]
    )
    value = summary_pb2.Summary.Value(
        tag=layout_metadata.CONFIG_SUMMARY_TAG,
        metadata=layout_metadata.create_summary_metadata(),
        tensor=make_tensor_proto(layout.SerializeToString()),
    )
    _write_alone(folder, "layout", [_now(summary_pb2.Summary(value=[value]))])


def write_text(folder: Path, markdown: str) -> None:
    """Write the table of results of a sweep, replacing an earlier one."""
    _write_alone(folder, RESULTS, [_now(_text(RESULTS, markdown))])


def write_curves(folder: Path, points: Iterable[tuple[float, int, Mapping[str, float]]]) -> None:
    """Write a run that consists of curves only, replacing an earlier one.

    Args:
        folder: the run's folder, created if missing.
        points: seconds since 1970, step, values by tag; the first point starts the run.
    """
    events = []
    for wall_time, step, values in points:
        summary = summary_pb2.Summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
        events.append(event_pb2.Event(wall_time=wall_time, step=step, summary=summary))
    _write_alone(folder, "curves", events)


def _in_order(charts: Mapping[str, Sequence[str] | BandTags]) -> list[layout_pb2.Chart]:
    """Order the charts of a category so that TensorBoard 2.21 shows them in the given order."""
    written = [_chart(name, tags) for name, tags in charts.items()]
    has_bands = any(isinstance(tags, BandTags) for tags in charts.values())
    return written[::-1] if has_bands else written  # TensorBoard shows bands last to first


def _chart(title: str, tags: Sequence[str] | BandTags) -> layout_pb2.Chart:
    if isinstance(tags, BandTags):
        series = layout_pb2.MarginChartContent.Series(
            value=tags.value, lower=tags.lower, upper=tags.upper
        )
        return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))
    anchored = [f"^{re.escape(tag)}$" for tag in tags]
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=anchored))


def _text(tag: str, markdown: str) -> summary_pb2.Summary:
    metadata = text_metadata.create_summary_metadata(display_name="", description="")
    tensor = make_tensor_proto([markdown.encode()])
    return summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)]
    )


def _now(summary: summary_pb2.Summary) -> event_pb2.Event:
    return event_pb2.Event(wall_time=time.time(), summary=summary)


def _write_alone(folder: Path, name: str, events: Sequence[event_pb2.Event]) -> None:
    """Write events to a separate file, replacing an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    start = events[0].wall_time if events else time.time()
    content = _records([_first_event(start), *(event.SerializeToString() for event in events)])
    replace_file(file_alone(folder, name), content)


def file_alone(folder: Path, name: str) -> Path:
    """Return the path of the event file with this name, which is replaced as a whole."""
    return folder / f"events.out.tfevents.0000000000.{name}"


def _first_event(wall_time: float | None = None) -> bytes:
    # this version makes readers purge what lies after the step of a session log
    moment = time.time() if wall_time is None else wall_time
    event = event_pb2.Event(wall_time=moment, file_version="brain.Event:2")
    content: bytes = event.SerializeToString()
    return content


def _records(events: Sequence[bytes]) -> bytes:
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event)
    return buffer.getvalue()


def _plain(value: object) -> HParam:
    """Convert a value to one that the HPARAMS tab accepts."""
    if hasattr(value, "item"):  # a numpy number
        value = value.item()
    return value if isinstance(value, bool | int | float | str) else str(value)


def _domain(values: Sequence[HParam]) -> Any:
    """Return the values as TensorBoard's check boxes; ``None`` if their types differ."""
    if values and all(type(value) in (int, float) for value in values):
        return summary_v2.Discrete(sorted({float(value) for value in values}))
    kinds = {type(value) for value in values}
    return summary_v2.Discrete(sorted(set(values))) if len(kinds) == 1 else None


def _png(image: "np.ndarray[Any, Any]") -> bytes:
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"image must have shape (H, W, 3) and dtype uint8, got {image.shape} {image.dtype}"
        )
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png")
    return buffer.getvalue()


def _png_size(png: bytes) -> tuple[int, int]:
    """Read width and height from the header."""
    if not png.startswith(PNG) or len(png) < 24:
        raise ValueError(f"image must be the bytes of a PNG file, got {png[:8]!r}")
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
