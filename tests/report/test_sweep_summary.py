"""The overview of a sweep, read back as TensorBoard's own accumulator reads it."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data
from tensorboard.util import tensor_util

from losslab.report.sweep_summary import varying_columns, write_sweep_summary
from losslab.runs.tensorboard import write_curves
from losslab.runs.writer import RunWriter

COLUMNS = [{"loss": loss, "lr": 0.1, "seed": seed} for loss in ("mse", "huber") for seed in (0, 1)]


def summarize(sweep: Path) -> None:
    columns = {
        run.parent: {"loss": run.parts[-3].partition(",")[0], "lr": 0.1, "seed": run.parts[-2]}
        for run in sweep.glob("*/seed*/record.json")
    }
    write_sweep_summary(sweep, columns, "mae")


def write_run(folder: Path, loss: str, seed: int, values: list[float], ends: str = "done") -> None:
    cell = f"{loss},data=line"
    writer = RunWriter(folder / cell / f"seed{seed}", "val/mae", "min")
    writer.start({"loss": loss, "seed": seed, "cell": cell})
    for epoch, value in enumerate(values):
        metrics = {"val/mae": value, "val/ref/mse": value**2, "val/loss": 7.0}
        writer.end_epoch(epoch, 10 * (epoch + 1), metrics, lambda path: path.touch())
    if ends == "done":
        writer.finish({"mae": values[-1], "ref/mse": values[-1] ** 2, "loss": 7.0})
    else:
        writer.fail("diverged", "loss became NaN")


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def curve(events: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(point.step, pytest.approx(point.value)) for point in events.Scalars(tag)]


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    write_run(tmp_path, "mse", 0, [4.0, 2.0])
    write_run(tmp_path, "mse", 1, [2.0, 1.0, 9.0])  # longer than its twin
    write_run(tmp_path, "mse", 2, [100.0], ends="failed")
    write_run(tmp_path, "huber", 0, [3.0, 2.5])
    return tmp_path


def test_a_mean_over_the_finished_seeds_is_a_run_on_the_common_tags(sweep: Path) -> None:
    for _ in range(2):  # a second call replaces the first
        summarize(sweep)
    mean = read(sweep / "+mean" / "mse")
    assert curve(mean, "curves/val_mae") == curve(mean, "val/mae")
    # 10 and 20: the steps that both finished seeds have
    assert curve(mean, "val/mae") == [(10, 3.0), (20, 1.5)]
    assert curve(mean, "val_band/mae/mean") == [(10, 3.0), (20, 1.5)]
    # the sample standard deviation of 4 and 2, and of 2 and 1
    assert curve(mean, "val_band/mae/lower") == [(10, 3 - 2**0.5), (20, 1.5 - 0.5**0.5)]
    assert curve(mean, "val_band/mae/upper") == [(10, 3 + 2**0.5), (20, 1.5 + 0.5**0.5)]
    alone = read(sweep / "+mean" / "huber")
    assert curve(alone, "val_band/mae/lower") == curve(alone, "val/mae")


def test_means_begin_before_every_run_so_that_tensorboard_lists_them_first(sweep: Path) -> None:
    summarize(sweep)
    seeds = [read(run).FirstEventTimestamp() for run in sweep.glob("*/seed*")]
    means = [read(run).FirstEventTimestamp() for run in sweep.glob("+mean/*")]
    assert len(seeds) == 4
    assert max(means) < min(seeds)


def test_results_are_means_in_one_table_and_in_a_row_per_loss(sweep: Path) -> None:
    summarize(sweep)
    [table] = read(sweep).Tensors("results")
    assert b"| mae | 2.500 | 5.500 |" in table.tensor_proto.string_val[0]
    content = read(sweep / "+mean" / "mse").SummaryMetadata("_hparams_/session_start_info")
    row = parse_session_start_info_plugin_data(content.plugin_data.content)
    assert row.hparams["loss"].string_value == "mse"
    assert {name: row.hparams[name].number_value for name in ("seeds", "test/mae")} == {
        "seeds": 2,
        "test/mae": 5.5,  # of 2 and 9
    }


def test_the_means_of_an_earlier_version_are_removed(sweep: Path) -> None:
    write_curves(sweep / "mean" / "mse", [(0.0, 0, {})])
    summarize(sweep)
    assert not list((sweep / "mean").rglob("events*"))


def test_the_layout_draws_bands_first_and_every_run_after_them(sweep: Path) -> None:
    summarize(sweep)
    layout = layout_pb2.Layout()
    event = read(sweep).Tensors("custom_scalars__config__")[0]
    layout.ParseFromString(tensor_util.make_ndarray(event.tensor_proto).item())
    charts = [(category.title, category.chart[0]) for category in layout.category]
    assert [title for title, _ in charts] == [
        "Mean over seeds, band of ± 1 standard deviation",
        "Mean over seeds, evaluated by the other losses",
        "Metrics, all runs",
        "Evaluated by the other losses, all runs",
        "Training objective of each run",
    ]
    [series] = charts[0][1].margin.series
    assert (series.value, series.lower) == ("val_band/mae/mean", "val_band/mae/lower")
    assert charts[2][1].multiline.tag == ["^val/mae$"]
    assert charts[3][1].multiline.tag == ["^val/ref/mse$"]


def test_a_sweep_in_which_nothing_finished_has_no_means(tmp_path: Path) -> None:
    write_run(tmp_path, "mse", 0, [1.0], ends="failed")
    summarize(tmp_path)
    assert not (tmp_path / "+mean").exists()


def test_a_run_without_its_curves_is_not_averaged(sweep: Path) -> None:
    (sweep / "mse,data=line" / "seed0" / "metrics.csv").unlink()
    summarize(sweep)
    assert curve(read(sweep / "+mean" / "mse"), "val/mae") == [(10, 2.0), (20, 1.0), (30, 9.0)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (COLUMNS, {"loss": ["mse", "huber"]}),
        ([{"loss": "mse", "lr": 0.1}], {"loss": ["mse"]}),
        (
            [{"loss": "focal", "loss.gamma": gamma, "seed": 0} for gamma in (0, 2)],
            {"loss": ["focal"], "loss.gamma": [0, 2]},
        ),
        ([{"loss": "mse"}, {"loss": "huber", "loss.delta": 1.0}], {"loss": ["mse", "huber"]}),
    ],
    ids=["constants and seeds go", "one run", "a swept option stays", "an option of one loss goes"],
)
def test_hparams_have_the_columns_that_tell_runs_apart(rows, expected) -> None:
    assert varying_columns(rows) == expected
