import argparse
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard import context
from tensorboard.backend.event_processing.data_ingester import LocalDataIngester
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins import base_plugin
from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups
from tensorboard.plugins.hparams.backend_context import Context

from losslab.runs.tensorboard import Events, write_layout, write_session, write_sweep_experiment


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in read(folder).Scalars(tag)]


def test_scalars_read_back(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.scalar("train/loss", 0.5, 1)
    events.scalars({"train/loss": 0.25, "val/ref/mse": 1.5}, 2)
    events.flush()
    events.scalar("train/loss", float("nan"), 3)
    events.close()
    assert curve(tmp_path, "train/loss")[:2] == [(1, 0.5), (2, 0.25)]
    assert np.isnan(curve(tmp_path, "train/loss")[2][1])
    assert curve(tmp_path, "val/ref/mse") == [(2, 1.5)]
    assert sorted(read(tmp_path).Tags()["scalars"]) == ["train/loss", "val/ref/mse"]


def picture() -> np.ndarray[Any, Any]:
    return np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, format="png")
    return buffer.getvalue()


def test_events_do_not_wait_for_the_disk(tmp_path: Path, monkeypatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr("os.fsync", waited.append)
    events = Events(tmp_path)
    events.scalar("train/loss", 0.5, 1)
    events.flush()
    assert curve(tmp_path, "train/loss") == [(1, 0.5)]
    assert not waited


@pytest.mark.parametrize("image", [picture(), png()], ids=["array", "png"])
def test_images_read_back(image: Any, tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.image("val/line", image, 7)
    events.flush()
    [seen] = read(tmp_path).Images("val/line")
    assert (seen.step, seen.width, seen.height) == (7, 6, 4)
    pixels = np.asarray(Image.open(io.BytesIO(seen.encoded_image_string)))
    np.testing.assert_array_equal(pixels, picture())


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"GIF89a", "must be the bytes of a PNG file"),
        (np.zeros((4, 6), np.uint8), r"shape \(H, W, 3\) and dtype uint8, got \(4, 6\) uint8"),
        (np.zeros((4, 6, 3)), r"got \(4, 6, 3\) float64"),
    ],
    ids=["gif", "grey", "float"],
)
def test_what_is_no_image_is_refused(image: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        Events(tmp_path).image("x", image, 0)


def test_text_reads_back(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.text("config", "**loss**: ü", 0)
    events.flush()
    accumulator = read(tmp_path)
    [seen] = accumulator.Tensors("config")
    assert seen.tensor_proto.string_val[0].decode() == "**loss**: ü"
    assert accumulator.SummaryMetadata("config").plugin_data.plugin_name == "text"


def test_a_resumed_run_shows_one_curve(tmp_path: Path) -> None:
    first = Events(tmp_path)
    for step in range(1, 9):
        first.scalar("train/loss", step, step)
    first.flush()
    second = Events(tmp_path)  # within the same second, as a test runs
    second.purge(5)
    for step in range(6, 11):
        second.scalar("train/loss", 10 * step, step)
    second.flush()
    expected = [(step, step) for step in range(1, 6)] + [(s, 10 * s) for s in range(6, 11)]
    assert curve(tmp_path, "train/loss") == expected


def test_the_writer_goes_to_another_process_and_back(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.scalar("a", 1.0, 1)
    events.flush()
    child = pickle.loads(pickle.dumps(events))
    child.scalar("a", 2.0, 2)
    child.flush()
    events.scalar("a", 3.0, 3)
    events.flush()
    assert curve(tmp_path, "a") == [(1, 1.0), (2, 2.0), (3, 3.0)]


class Board:
    """TensorBoard's own reading of a log folder, as its server does it."""

    def __init__(self, folder: Path) -> None:
        flags = argparse.Namespace(
            logdir=str(folder),
            logdir_spec="",
            samples_per_plugin={},
            purge_orphaned_data=True,
            max_reload_threads=1,
            reload_multifile=True,
            reload_multifile_inactive_secs=100,
            reload_interval=0,
            reload_task="blocking",
            detect_file_replacement=None,
            generic_data="true",
        )
        ingester = LocalDataIngester(flags)
        ingester.deprecated_multiplexer.AddRunsFromDirectory(str(folder))
        ingester.deprecated_multiplexer.Reload()
        self.tb = base_plugin.TBContext(
            data_provider=ingester.data_provider, flags=flags, plugin_name_to_instance={}
        )
        self.request = context.RequestContext()

    def groups(self, **filters: Any) -> dict[str, Any]:
        request = api_pb2.ListSessionGroupsRequest(
            start_index=0,
            slice_size=100,
            **{"allowed_statuses": [api_pb2.STATUS_SUCCESS]} | filters,
        )
        handler = list_session_groups.Handler(self.request, Context(self.tb), "", request)
        return {group.name: group for group in handler.run().session_groups}

    def experiment(self) -> Any:
        request = api_pb2.GetExperimentRequest()
        return get_experiment.Handler(self.request, Context(self.tb), "", request).run()

    def layout(self) -> Any:
        return json.loads(CustomScalarsPlugin(self.tb).layout_impl(self.request, ""))


def write_sweep(folder: Path) -> None:
    for loss, mae in (("mse", 1.0), ("huber", 11.0)):
        columns = {"loss": loss, "lr": np.float32(0.5), "nesterov": True, "weight": None}
        write_session(folder / "+mean" / loss, columns | {"test/mae": mae}, loss)


def test_a_row_of_hparams_has_settings_and_results(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    domains = {"loss": ["mse", "huber"], "lr": [0.5, 1], "nesterov": [True], "weight": [None, 2]}
    for _ in range(2):  # a second call replaces the first
        write_sweep_experiment(tmp_path, domains, ["test/mae"])
    board = Board(tmp_path)
    experiment = board.experiment()
    names = [info.name for info in experiment.hparam_infos]
    assert sorted(names) == ["loss", "lr", "nesterov", "test/mae", "weight"]
    assert not experiment.metric_infos
    groups = board.groups()
    assert set(groups) == {"mse", "huber"}
    for name, mae in (("mse", 1.0), ("huber", 11.0)):
        [session] = groups[name].sessions
        assert session.status == api_pb2.STATUS_SUCCESS
        assert groups[name].hparams["test/mae"].number_value == mae
        assert groups[name].hparams["loss"].string_value == name
        assert groups[name].hparams["lr"].number_value == 0.5
        assert groups[name].hparams["nesterov"].bool_value is True
        assert groups[name].hparams["weight"].string_value == "None"


@pytest.mark.parametrize(("done", "status"), [(True, "STATUS_SUCCESS"), (False, "STATUS_FAILURE")])
def test_a_row_is_replaced(done: bool, status: str, tmp_path: Path) -> None:
    write_session(tmp_path, {"test/mae": 1.0}, "mse")
    write_session(tmp_path, {"test/mae": 2.0}, "mse", done=done)
    request = {"allowed_statuses": [api_pb2.Status.Value(status)]}
    [group] = Board(tmp_path).groups(**request).values()
    assert group.hparams["test/mae"].number_value == 2.0


def test_the_domain_filters_groups(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    write_sweep_experiment(tmp_path, {"loss": ["mse", "huber"]}, ["test/mae"])
    column = api_pb2.ColParams(hparam="loss")
    column.filter_discrete.append("huber")
    assert set(Board(tmp_path).groups(col_params=[column])) == {"huber"}


def test_the_layout_is_read_by_tensorboard(tmp_path: Path) -> None:
    charts = {"scales": {"accuracy": ["train/accuracy", "val/accuracy"], "a.b": ["val/a.b"]}}
    for place in (tmp_path, tmp_path / "run"):
        write_layout(place, charts)
        write_layout(place, charts)
    layout = Board(tmp_path).layout()
    [category] = layout["category"]
    assert [chart["title"] for chart in category["chart"]] == ["accuracy", "a.b"]
    assert category["chart"][0]["multiline"]["tag"] == ["^train/accuracy$", "^val/accuracy$"]
    assert category["chart"][1]["multiline"]["tag"] == [r"^val/a\.b$"]
