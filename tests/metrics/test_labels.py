import math

import pytest
from omegaconf import OmegaConf

from losslab.config import groups
from losslab.metrics.labels import METRICS, Metric, metric, metric_of, number

TASKS = {name: groups.node("task", name) for name in groups.names("task")}


@pytest.mark.parametrize("task", TASKS)
def test_the_metrics_of_every_task_are_described(task: str) -> None:
    node = TASKS[task]
    names = list(node.metrics)
    assert len(set(names)) == len(names) > 0
    assert all(metric(name).better is not None for name in names)
    assert metric(node.monitor).better == {"max": "higher", "min": "lower"}[node.mode]


@pytest.mark.parametrize(
    ("name", "label", "better"),
    [
        ("accuracy", "accuracy", "higher"),
        ("ref/focal", "focal loss", "lower"),
        ("ece_temperature_scaled", "calibration error (ECE), one temperature", "lower"),
        ("brier_raw", "Brier score, raw scores", "lower"),
        ("map_at_r_held_out", "MAP@R, held-out classes", "higher"),
        ("return_mean_final", "mean return, final policy", "higher"),
        ("entropy", "predictive entropy", None),
        ("my_metric", "my metric", None),
        ("my_metric_final", "my metric final", None),
    ],
)
def test_what_is_known_of_a_name(name: str, label: str, better: str | None) -> None:
    found = metric(name)
    assert (found.name, found.label, found.better) == (name, label, better)


def test_a_metric_of_ones_own_has_the_direction_of_its_monitor() -> None:
    task = OmegaConf.create({"monitor": "my_metric", "mode": "max"})
    assert metric_of("my_metric", task).better == "higher"
    assert metric_of("another", task).better is None
    assert metric_of("mae", task).better == "lower"


@pytest.mark.parametrize(
    ("value", "like", "text"),
    [
        (0.97222, None, "0.9722"),
        (12.3456, None, "12.35"),
        (4567.8, None, "4568"),
        (0.0, None, "0"),
        (1.5e-7, None, "1.500e-07"),
        (3e9, None, "3.000e+09"),
        (math.nan, None, "nan"),
        (math.inf, None, "inf"),
        (-0.5, None, "-0.5000"),
        (0.034, 12.3456, "0.03"),
        (0.5, math.nan, "0.5000"),
        (0.0, 1.5, "0.000"),
    ],
    ids=str,
)
def test_numbers(value: float, like: float | None, text: str) -> None:
    assert number(value, like) == text


@pytest.mark.parametrize(
    ("name", "value", "text", "difference"),
    [
        ("accuracy", 0.97, "97.00 %", "+97.00 points"),
        ("psnr", 20.5, "20.50 dB", "+20.5 dB"),
        ("mae", 0.0123, "0.0123", "+0.0123"),
        ("mae", -0.5, "-0.5000", "-0.500"),
        ("mae", 0.0, "0", "0"),
    ],
)
def test_values_with_their_units(name: str, value: float, text: str, difference: str) -> None:
    assert metric(name).text(value) == text
    assert metric(name).difference_text(value) == difference


def test_headers_say_unit_and_direction() -> None:
    assert metric("cer").header == "character error rate [%] ↓"
    assert metric("psnr").short_header == "psnr [dB] ↑"
    assert metric("entropy").header == "predictive entropy"


def test_every_known_metric_stands_under_its_name() -> None:
    assert all(isinstance(known, Metric) and known.name == name for name, known in METRICS.items())
