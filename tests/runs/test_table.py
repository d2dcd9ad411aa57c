import io
import statistics
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from losslab.runs.record import Record, new_record
from losslab.runs.table import run_table, sweep_table

METRICS = ["accuracy", "f1_macro", "auroc", "ece", "brier", "entropy", "rare_recall"]
LONG = "focal,data=digits,loss.gamma=2.5,loss.weight=balanced,optimizer.lr=0.001,model=mlp"


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


def by_folder(*records: Record) -> dict[Path, Record]:
    return {Path(str(index)): record for index, record in enumerate(records)}


def text_of(renderable: Any, width: int = 80, **options: Any) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(renderable, **options)
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_sweep_fits_the_width_and_loses_nothing(width: int) -> None:
    cells = ["mse,data=digits", LONG]
    records = by_folder(*(run(cell, seed) for cell in cells for seed in range(3)))
    text = text_of(sweep_table(records), width)
    assert max(map(len, text.splitlines())) <= width
    assert all(text.count(f" {name}") == 1 for name in METRICS)
    assert text.count("0.9100 ± 0.0100") == len(METRICS) * len(cells)
    assert "…" not in text
    assert "\x1b" not in text
    assert "77.5" not in text  # a reference loss
    assert "12.5" not in text  # the loss's own value


def test_mean_and_deviation_are_those_of_the_seeds() -> None:
    values = [0.25, 0.5, 0.375]
    records = by_folder(*(run("mse", s, test={"mae": v}) for s, v in enumerate(values)))
    expected = ["mse", "3", f"{statistics.fmean(values):.4f}", "±"]
    expected += [f"{statistics.stdev(values):.4f}"]
    [row] = [line for line in text_of(sweep_table(records)).splitlines() if line.startswith(" mse")]
    assert row.split() == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.97222, "0.9722"),
        (12.3456, "12.35"),
        (123.456, "123.5"),
        (4567.8, "4568"),
        (0.0, "0"),
        (1.5e-7, "1.500e-07"),
        (3e9, "3.000e+09"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (-0.5, "-0.5000"),
    ],
    ids=str,
)
def test_numbers(value: float, expected: str) -> None:
    text = text_of(sweep_table(by_folder(run("mse", 0, test={"mae": value}))))
    [row] = [line.split() for line in text.splitlines() if line.startswith(" mse")]
    assert row == ["mse", "1", expected]


def test_shared_options_stand_in_the_title() -> None:
    cells = ["mse,data=line,data.outliers=0.1", "huber,data=line,data.outliers=0.1,loss.delta=2"]
    text = text_of(sweep_table(by_folder(*(run(cell, 0) for cell in cells))))
    assert "over seeds (data=line, data.outliers=0.1)" in text
    assert " mse " in text
    assert " huber,loss.delta=2 " in text


def test_failures_are_counted_and_listed() -> None:
    text = text_of(
        sweep_table(
            by_folder(
                run("mse", 0, test={"mae": 1.0}),
                failed("mse", 1),
                failed("mse", 2, kind="memory", message="out of\nmemory"),
                run("mse", 3, status="interrupted", test={}),
                run("mae", 0, test={"mae": 2.0}),
            )
        )
    )
    assert "1 of 4 failed" in text
    assert "2 of 4 missing" in text
    assert "mse seed 1: diverged at step 40: mse gave nan\n" in text
    assert "mse seed 2: memory at step 40: out of memory\n" in text
    assert "mse seed 3: interrupted\n" in text
    assert "mae seed" not in text
    assert "1.000" in text


def test_a_sweep_that_failed_altogether() -> None:
    text = text_of(sweep_table(by_folder(failed("mse", 0), failed("mse", 1))))
    assert "2 of 2 failed" in text
    assert text.count("mse gave nan") == 2


def test_only_metrics_that_all_share_are_compared() -> None:
    records = by_folder(
        run("mse", 0, test={"mae": 1.0, "odd": 2.0}), run("mae", 0, test={"mae": 3.0})
    )
    text = text_of(sweep_table(records))
    assert "mae " in text
    assert "odd" not in text


def test_data_sets_are_not_averaged_together() -> None:
    records = by_folder(
        run("mse", 0, data="line", test={"mae": 1.0}),
        run("mse", 0, data="table", test={"mae": 3.0}),
    )
    rows = [line.split() for line in text_of(sweep_table(records)).splitlines()]
    assert ["line", "mse", "1", "1.000"] in rows
    assert ["table", "mse", "1", "3.000"] in rows


def test_an_ascii_terminal_gets_ascii() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    records = by_folder(run("mse", 0), run("mse", 1))
    Console(file=file, width=80).print(sweep_table(records))
    file.seek(0)
    assert "0.9050 +- 0.0071" in file.read()


@pytest.mark.parametrize("width", [80, 120])
def test_a_run(width: int) -> None:
    folder = Path("logs") / ("long" * 40)
    text = text_of(run_table(run("focal", 3), folder, Path("logs")), width, soft_wrap=True)
    lines = [line.split() for line in text.splitlines()]
    assert "focal on digits, seed 3" in text
    assert ["accuracy", "0.9300", "0.9300"] in lines
    assert ["extra", "5.000"] in lines
    assert ["run", "folder", str(folder)] in lines
    assert ["curves", "tensorboard", "--logdir", "logs"] in lines
    assert "best epoch  8 of 20\n" in text  # the record counts from 0, people from 1
    assert "61.2 s" in text
    assert "ref/" not in text
    assert "\x1b" not in text


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
