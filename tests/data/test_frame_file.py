"""A DataFrame keeps its types and all digits on the way to the samples."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from losslab.data.csv_file import CsvOptions
from losslab.data.files import Changes
from losslab.data.frame_file import FrameFile, plain_frame, write_frame
from losslab.data.table import Table

GAP = np.nan
COLUMNS = {
    "floats": ([0.1 + 0.2, 1e-300, 1.0], [0.30000000000000004, 1e-300, 1.0]),
    "gaps": ([1.5, None, 2.0], [1.5, GAP, 2.0]),
    "integers": ([2**53 + 1, 0, -1], [2**53 + 1, 0, -1]),
    "nullable": (pd.array([1, None, 3], dtype="Int64"), [1.0, GAP, 3.0]),
    "nullable, no gap": (pd.array([2**53 + 1, 2, 3], dtype="Int64"), [2**53 + 1, 2, 3]),
    "decimals": ([Decimal("0.5"), Decimal(1), None], [0.5, 1.0, GAP]),
    "booleans": ([True, False, True], [True, False, True]),
    "booleans with a gap": ([True, None, False], ["True", GAP, "False"]),
    "codes": (["01", "1", "1 "], ["01", "1", "1 "]),
    "words": (["NA", "", None], ["NA", "", GAP]),
    "categories": (pd.Categorical(["b", "a", None]), ["b", "a", GAP]),
    "numbered categories": (pd.Categorical([2, 1, None]), [2.0, 1.0, GAP]),
    "days": (pd.to_datetime(["2026-01-02"] * 3), ["2026-01-02 00:00:00"] * 3),
    "both": (["a", 1, "b"], ["a", "1", "b"]),
}


def read(frame, tmp_path, *, drop=(), gaps=("x", "y"), **options):
    write_frame(tmp_path / "data.npz", plain_frame(frame))
    opened = FrameFile(tmp_path / "data.npz", CsvOptions(**options), Changes())
    return opened.frame(drop=drop, gaps=gaps)


@pytest.mark.parametrize(("given", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_values_stay_as_they_are(given, expected, tmp_path):
    found = read(pd.DataFrame({"x": given}, index=[7, 7, 8]), tmp_path)["x"].tolist()
    assert list(map(repr, found)) == list(map(repr, expected))


def test_options_of_columns_with_types_apply(tmp_path):
    frame = pd.DataFrame({"x": [1, 2, -9], "y": ["a", "?", "b"]})
    assert read(frame, tmp_path, missing=("?", "-9")).isna().sum().tolist() == [1, 1]
    assert read(frame, tmp_path, text=("x",))["x"].tolist() == ["1", "2", "-9"]
    assert list(read(frame, tmp_path, drop=["x"])) == ["y"]
    with pytest.raises(ValueError, match=r"decimal is for \.csv files, got ',' with data\.npz"):
        read(frame, tmp_path, decimal=",")


WRONG = {
    "words among numbers": (
        {"x": ["1", "2.5", "?", "3"]},
        "numbers or text in column 'x', got numbers as text, and '?' in row 2: convert it by pand",
    ),
    "a gap": ({"z": [1.0, None]}, "the DataFrame must have no missing values, got 1 in column 'z'"),
    "infinity": ({"x": [1.0, np.inf]}, "finite numbers, got inf in column 'x', row 1"),
    "no value": ({"x": [None, None]}, "must have values in column 'x', got none"),
    "no row": ({"x": []}, "the DataFrame must have rows"),
}


@pytest.mark.parametrize(("content", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong(content, words, tmp_path):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        read(pd.DataFrame(content), tmp_path)


def test_columns_must_differ():
    frame = pd.DataFrame([[1, 2]], columns=["1", 1])
    with pytest.raises(ValueError, match="must have distinct column names, got '1' twice"):
        plain_frame(frame)


@pytest.mark.parametrize("name", ["other.npz", "other.npy", "none.npz"])
def test_other_arrays_are_not_a_table(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"no archive")
    if name == "other.npz":
        np.savez(path, inputs=[1.0], targets=[0])
    elif name == "other.npy":
        np.save(path, [1.0])
    with pytest.raises(ValueError, match="holds arrays, but data=table reads"):
        Table(str(path), "y").load()
