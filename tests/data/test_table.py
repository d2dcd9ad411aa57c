"""Tables: missing values, categories, .parquet files, and what reading costs."""

import math
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch

from losslab.config import extras
from losslab.data import csv_file
from losslab.data import table as table_module
from losslab.data.csv_text import CsvText
from losslab.data.files import Changes
from losslab.data.table import Table

ROWS = 60
SPLIT = ["train"] * 40 + ["val"] * 10 + ["test"] * 10


def columns(**changes):
    ages = [float(20 + row) for row in range(ROWS)]
    towns = ["Oslo", "Rome", "Bern"] * (ROWS // 3)
    return {"age": ages, "town": towns, "part": SPLIT, "sick": ["no", "yes"] * 30} | changes


@pytest.fixture
def ready(tmp_path):
    """Return the data of a .csv file with these columns, in their order."""

    def call(content, target="sick", **options):
        path = tmp_path / "x.csv"
        path.write_text(
            content if isinstance(content, str) else pd.DataFrame(content).to_csv(index=False)
        )
        data = Table(str(path), target, **options)
        data.setup()
        return data

    return call


def inputs(data):
    return torch.cat([data.train.inputs, data.val.inputs, data.test.inputs])


def first(data):
    """Return the first three rows of the file, before imputation."""
    return data.load().inputs[:3].tolist()


# --- missing values -----------------------------------------------------------------------------


def test_missing_numbers_get_the_median_of_training_and_a_column(ready):
    ages = [float(row) for row in range(ROWS)]
    ages[3] = ages[45] = ages[55] = math.nan  # one in each split
    data = ready(columns(age=ages), drop=["town"], split="part", standardize=False)
    median = float(np.median([age for age in ages[:40] if not math.isnan(age)]))
    expected = [[median, 1.0] if math.isnan(age) else [age, 0.0] for age in ages]
    assert sorted(inputs(data).tolist()) == sorted(expected)
    for split in (data.train, data.val, data.test):
        assert split.inputs[split.inputs[:, 1] == 1].tolist() == [[median, 1.0]]
    assert data.notes == (
        "missing numbers replaced by the median of training and marked in a column of their own: 3 "
        "(first: column 'age')",
    )


def test_imputed_numbers_are_standardized_and_their_marks_are_not(ready):
    ages = [math.nan if row % 4 == 0 else float(row) for row in range(ROWS)]
    data = ready(columns(age=ages), drop=["town"], split="part")
    age, mark = data.train.inputs.T
    assert age.mean() == pytest.approx(0, abs=1e-6)
    assert age.std(correction=0) == pytest.approx(1, abs=1e-6)
    assert set(mark.tolist()) == {0.0, 1.0}


def test_missing_text_is_a_category_of_its_own(ready):
    towns = ["Oslo", None, "Bern"] * 20
    data = ready(columns(town=towns), drop=["age"], split="part")
    assert first(data) == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert data.notes[0] == "missing text read as a category of its own: 20 (first: column 'town')"


def test_booleans_may_be_missing(ready):
    data = ready(columns(town=[True, None, False] * 20), drop=["age"], split="part")
    assert first(data) == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["1.5", "NA", "-", " unknown "], {}),
        (["1.5", "-999", "", "x"], {"missing": ["-999", "x"]}),
        (['"1,5"', "NA", "", "?"], {}),
        (['"1,5"', "NA", "", "?"], {"decimal": ","}),
        (['"1.001,5"', "NA", "", "?"], {"thousands": "."}),
    ],
    ids=["words", "named", "decimal comma", "told", "thousands"],
)
def test_words_among_numbers_are_gaps(ready, words, options):
    rows = [f"{words[row % 4]},{row % 2}" for row in range(ROWS)]
    data = ready("\n".join(["x,y", *rows]), "y", standardize=False, **options)
    value = 1001.5 if "thousands" in options else 1.5
    assert set(inputs(data)[:, 0].tolist()) == {value}
    assert inputs(data)[:, 1].sum() == 45
    said = any(note.startswith("words among numbers read as missing: ") for note in data.notes)
    assert said == ("NA" in words)


def test_lost_zeros_are_counted_beside_gaps(ready, monkeypatch):
    monkeypatch.setattr(csv_file, "ROWS_AT_ONCE", 7)
    rows = [f"{'' if row == 0 else '007'},{row % 2}" for row in range(ROWS)]
    data = ready("\n".join(["x,y", *rows]), "y")
    assert data.notes[0] == "leading zeros of column 'x' lost: 59 (first: line 3)"


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (
            {"age": [1.0] * 59 + [None]},
            {"impute": "refuse"},
            "no missing values, got 1 in .* line 61",
        ),
        (
            {"sick": [None] + ["a", "b", "c"] * 19 + ["a", "b"]},
            {},
            "no missing .* 'sick', .*line 2:",
        ),
        (
            {"part": [*SPLIT[:-1], None]},
            {"split": "part"},
            "no missing values, got 1 in column 'part'",
        ),
        ({"age": [None] * ROWS}, {}, r"values in column 'age', got none: .*data.drop=\[age\]"),
        (
            {"age": [math.nan] * 40 + [1.0] * 20},
            {"split": "part", "drop": ["town"]},
            "a number in training for each column with missing ones, got none in column 0",
        ),
        ({}, {"impute": "mean"}, "impute must be one of 'median', 'refuse'"),
        ({}, {"categories": "hash"}, "categories must be one of 'one_hot', 'ordinal'"),
    ],
    ids=["refused", "target", "split", "empty", "training", "impute", "categories"],
)
def test_missing_values_that_are_refused(ready, changes, options, message):
    with pytest.raises(ValueError, match=message):
        ready(columns(**changes), **options)


# --- categories ---------------------------------------------------------------------------------


def test_ordinal_categories_are_numbers_in_sorted_order(ready):
    options = {"drop": ["age"], "split": "part", "categories": "ordinal"}
    data = ready(columns(), standardize=False, **options)
    assert first(data) == [[1], [2], [0]]
    assert ready(columns(), **options).train.inputs.std(correction=0) == pytest.approx(1)


def test_columns_with_too_many_entries_are_named_together(ready):
    names = [f"n{row}" for row in range(150)]
    content = {"name": names, "x": 1.5, "ticket": names[::-1], "y": [0, 1, 2] * 50}
    message = (
        r"got 'name' 150, 'ticket' 150: .* data.drop=\[name,ticket\], .*data.categories=ordinal"
    )
    with pytest.raises(ValueError, match=message):
        ready(content, "y")
    assert ready(content, "y", categories="ordinal").input_shape == (3,)


# --- .parquet -----------------------------------------------------------------------------------


@pytest.fixture
def parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="extra: losslab[parquet]")

    def save(content, **options):
        content.to_parquet(tmp_path / "x.parquet", **options)
        return str(tmp_path / "x.parquet")

    return save


def test_parquet_is_read_like_csv(parquet, ready):
    content = pd.DataFrame(columns(town=["Oslo", None, "Bern"] * 20, age=[math.nan, 2, 3.5] * 20))
    data = Table(parquet(content.astype({"sick": "category"})), "sick", split="part")
    data.setup()
    same = ready(content, split="part")
    assert data.fingerprint() == same.fingerprint()
    assert data.class_names == same.class_names == ["no", "yes"]
    assert data.notes == same.notes


def test_parquet_leaves_out_row_labels(parquet):
    content = pd.DataFrame(columns()).sample(frac=1, random_state=0)
    data = Table(parquet(content), "sick", drop=["part", "town"])
    data.setup()
    assert data.input_shape == (1,)
    assert data.notes[0].startswith("row labels of a DataFrame left out")


def test_words_and_text_of_parquet(parquet):
    content = pd.DataFrame(columns(zip=[1067, 80331, 3] * 20, town=["Oslo", "NA", "Bern"] * 20))
    path = parquet(content, index=False)
    data = Table(path, "sick", drop=["age"], split="part", text=["zip"], missing=["NA"])
    data.setup()
    assert first(data)[:2] == [[0, 0, 1, 1, 0, 0], [1, 0, 0, 0, 0, 1]]


def test_numbers_that_mark_missing_values_in_parquet(parquet, ready):
    content = pd.DataFrame(columns(age=[-999, 21, 22] * 20))
    data = Table(parquet(content, index=False), "sick", split="part", missing=["-999", "NA"])
    data.setup()
    same = ready(content, split="part", missing=["-999", "NA"])
    assert data.fingerprint() == same.fingerprint()


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (
            {"age": pd.Timestamp(0)},
            {},
            r"numbers or text in column 'age', got timestamp.*drop=\[age\]",
        ),
        ({"sick": [None] + ["a"] * 59}, {}, "no missing values, got 1 in column 'sick', .* row 1:"),
        ({"age": math.inf}, {}, "finite numbers, got inf in column 'age', row 1"),
        ({}, {"decimal": ","}, "decimal is for .csv files, got ',' with x.parquet"),
        ({}, {"drop": ["old"]}, "must have the column 'old', got age, town"),
    ],
    ids=["date", "target", "infinite", "decimal", "column"],
)
def test_parquet_that_cannot_be_read_right(parquet, changes, options, message):
    path = parquet(pd.DataFrame(columns(**changes)), index=False)
    with pytest.raises(ValueError, match=message) as caught:
        Table(path, "sick", **options).setup()
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="extra: losslab[parquet]")
    (tmp_path / "x.parquet").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"must be a .parquet file, got: .*") as caught:
        Table(str(tmp_path / "x.parquet"), "y").setup()
    assert "\n" not in str(caught.value)


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"x.parquet: pyarrow is not installed: .*\[parquet\]"):
        Table(str(tmp_path / "x.parquet"), "y").setup()


# --- cost ---------------------------------------------------------------------------------------


def test_a_table_is_read_once_until_it_or_an_option_changes(ready, monkeypatch):
    read, real = [], table_module.CsvFile
    monkeypatch.setattr(table_module, "CsvFile", lambda *each: read.append(each) or real(*each))
    once = ready(columns(), drop=["town"])
    again = Table(once.path, "sick", drop=["town"], seed=1)
    again.setup()
    assert len(read) == 1
    assert again.fingerprint() != once.fingerprint()
    Table(once.path, "sick", drop=["age"]).setup()
    assert len(read) == 2
    ready(columns(age=[1.0, 2.0] * 30), drop=["age"])
    assert len(read) == 3


def test_text_is_not_held_as_four_bytes_per_sign(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("x,y\n" + "1.25,2\n" * 400_000)
    tracemalloc.start()
    try:
        opened = CsvText(path, "auto", "auto", Changes())
        assert next(opened.rows()) == (1, ["x", "y"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * path.stat().st_size
