import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from losslab.report.run_table import run_table
from losslab.runs.record import Record, new_record

METRICS = ["accuracy", "f1_macro", "auroc", "ece", "brier", "entropy", "rare_recall"]


def run(cell: str, seed: int, **fields: Any) -> Record:
    record: Any = new_record()
    test = dict.fromkeys(METRICS, 0.9 + 0.01 * seed)
    test |= {"loss": 12.5, "ref/mse": 77.5, "ref/focal": 78.5}
    record.update(status="done", loss=cell.partition(",")[0], cell=cell, seed=seed, data="digits")
    record.update(test=test, best={"epoch": 7, "metrics": test | {"extra": 5.0}}, epochs=20)
    record.update(seconds=61.25)
    record.update(fields)
    return record


def failed(cell: str, seed: int, kind: str = "diverged", message: str = "mse gave nan") -> Record:
    error = {"kind": kind, "message": message, "step": 40}
    return run(cell, seed, status="failed", error=error, test={}, best=None)


def text_of(renderable: Any, width: int = 80, **options: Any) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(renderable, **options)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_a_run(width: int) -> None:
    folder = Path("logs") / ("long" * 40)
    text = text_of(run_table(run("focal", 3), folder, Path("logs")), width, soft_wrap=True)
    lines = [line.split() for line in text.splitlines()]
    lines = [line[:3] if line[1:2] == ["0.9300"] else line for line in lines]
    assert "focal on digits, seed 3" in text
    assert ["accuracy", "0.9300", "0.9300"] in lines
    assert ["extra", "5.000"] in lines
    assert ["run", "folder", str(folder)] in lines
    assert ["curves", "tensorboard", "--logdir", "logs"] in lines
    assert "best epoch  8 of 20\n" in text  # the record counts from 0, people from 1
    assert "61.2 s" in text
    assert "ref/" not in text
    assert "\x1b" not in text


def test_tags_and_services_of_a_run():
    record = run("focal", 3, tags=["draft", "mine"], urls={"wandb": "https://wandb.ai/x"})
    lines = text_of(run_table(record, Path("x"))).splitlines()
    assert {"tags        draft, mine", "wandb       https://wandb.ai/x"} <= set(lines)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("accuracy", "primary metric: accuracy ↑"),
        ("rare_recall", "recall of class 3, the rarest ↑"),
        ("ece", "calibration error (ECE) ↓"),
        ("loss", "the run's own loss"),
    ],
)
def test_a_run_says_what_its_metrics_are(name: str, meaning: str) -> None:
    record = run("focal", 3, primary="accuracy", rarest="3")
    lines = text_of(run_table(record, Path("x"))).splitlines()
    [rest] = [line.split(maxsplit=3)[3:] for line in lines if line.split()[:1] == [name]]
    assert [each.strip() for each in rest] == [meaning]


def test_a_run_shows_the_name_of_a_class_as_it_is() -> None:
    record = run("focal", 3, rarest=r"[/b]\d")
    assert r"recall of class [/b]\d, the rarest" in text_of(run_table(record, Path("x")), 120)


def test_a_run_of_an_earlier_version_does_not_name_the_class() -> None:
    assert "recall of the rarest class ↑" in text_of(run_table(run("focal", 3), Path("x")))


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.04, "0.0 s"), (150.4, "2 min 30 s"), (7265.0, "2 h 1 min")]
)
def test_durations(seconds: float, expected: str) -> None:
    assert f"time        {expected}\n" in text_of(
        run_table(run("mse", 0, seconds=seconds), Path("x"))
    )


def test_a_run_without_an_epoch() -> None:
    text = text_of(run_table(failed("mse", 0), Path("x")))
    assert "best epoch  none" in text
    assert "tensorboard --logdir x" in text
