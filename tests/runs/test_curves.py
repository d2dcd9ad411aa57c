import math
import pickle
from pathlib import Path

import pytest

from losslab.runs.curves import CurveWriter, Point, read_curves

VALUES = [0.1, 1 / 3, 1e-320, 1.7976931348623157e308, -0.0, math.nan, math.inf, -math.inf, 3]


def points(first: int, last: int) -> list[Point]:
    return [
        Point(step // 10, step, step / 7, name, math.sin(step))
        for step in range(first, last + 1)
        for name in ("train/loss", "val/mae")
    ]


def test_values_read_back_exactly(tmp_path: Path) -> None:
    curves = CurveWriter(tmp_path / "metrics.csv")
    names = ["a", "b,c", 'd"e', "NA", "nan", "f/g", "h", "i", "j"]
    curves.append(
        Point(0, step, 0.0, name, value)
        for step, (name, value) in enumerate(zip(names, VALUES, strict=True))
    )
    curves.flush()
    table = read_curves(tmp_path)
    assert list(table.columns) == ["epoch", "step", "seconds", "name", "value"]
    assert list(table["name"]) == names
    assert [repr(float(value)) for value in table["value"]] == [repr(float(v)) for v in VALUES]
    assert list(table["step"]) == list(range(9))


def test_rows_wait_for_the_flush_and_come_once(tmp_path: Path) -> None:
    curves = CurveWriter(tmp_path / "metrics.csv")
    curves.append(points(0, 3))
    assert not (tmp_path / "metrics.csv").exists()
    curves.flush()
    curves.flush()
    curves.append(points(4, 5))
    curves.flush()
    assert list(read_curves(tmp_path)["step"]) == [step for step in range(6) for _ in range(2)]


def test_an_empty_file_has_its_header(tmp_path: Path) -> None:
    CurveWriter(tmp_path / "metrics.csv").flush()
    assert (tmp_path / "metrics.csv").read_text() == "epoch,step,seconds,name,value\n"
    assert len(read_curves(tmp_path)) == 0


@pytest.mark.parametrize(
    "tear", [b"", b"2,20,2.8", b"2,20,2.857,train/lo"], ids=["whole", "1", "2"]
)
def test_a_resumed_file_is_that_of_an_unbroken_run(tear: bytes, tmp_path: Path) -> None:
    whole, broken = CurveWriter(tmp_path / "whole.csv"), CurveWriter(tmp_path / "metrics.csv")
    whole.append(points(0, 30))
    whole.flush()
    broken.append(points(0, 19))
    broken.flush()
    with broken.path.open("ab") as file:
        file.write(tear)
    read_curves(tmp_path)  # readable with its last row torn
    resumed = CurveWriter(broken.path)
    resumed.cut(12)
    resumed.append(points(13, 30))
    resumed.flush()
    assert broken.path.read_bytes() == whole.path.read_bytes()


def test_cut_drops_a_prefix_and_what_waits(tmp_path: Path) -> None:
    curves = CurveWriter(tmp_path / "metrics.csv")
    curves.append([Point(0, 5, 0.0, "val/mae", 1.0), Point(0, 5, 0.0, "test/mae", 1.0)])
    curves.flush()
    curves.append(points(1, 2))
    curves.cut(5, drop="test/")
    curves.flush()
    assert list(read_curves(tmp_path)["name"]) == ["val/mae"]


def test_cut_without_a_file_does_nothing(tmp_path: Path) -> None:
    CurveWriter(tmp_path / "metrics.csv").cut(3)
    assert list(tmp_path.iterdir()) == []


def test_another_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"metrics\.csv must begin with epoch,step.*'x,y'"):
        read_curves(tmp_path)


def test_a_broken_row_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,seconds,name,value\n0,1,0.0,a,b\n")
    with pytest.raises(ValueError, match=r"metrics\.csv is not a table of curves"):
        read_curves(tmp_path)


def test_the_writer_goes_to_another_process(tmp_path: Path) -> None:
    curves = pickle.loads(pickle.dumps(CurveWriter(tmp_path / "metrics.csv")))
    curves.append(points(0, 1))
    curves.flush()
    assert len(read_curves(tmp_path)) == 4
