"""Tables as people have them: words, separators, decimal marks, encodings, and what is refused."""

import gzip

import numpy as np
import pytest

from losslab.data.arrays import Arrays
from losslab.data.csv_file import CsvFile, CsvOptions
from losslab.data.files import Changes
from losslab.data.table import Table


@pytest.fixture
def read(tmp_path):
    """Return the columns of a file with this content, and what was said about it."""

    def call(content, **options):
        path = tmp_path / "x.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        changes = Changes()
        table = CsvFile(path, CsvOptions(**options).check(), changes).frame()
        return table.to_dict("list"), [note.split(": ")[0] for note in changes.notes()]

    return call


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "N/A"])
def test_words_are_text_in_a_column_of_text(read, word):
    table, notes = read(f"x,region\n1,EU\n2,{word}\n3,AS\n4,{word}\n")
    assert table == {"x": [1, 2, 3, 4], "region": ["EU", word, "AS", word]}
    assert notes == [f"{word!r} in column 'region' read as text"]


@pytest.mark.parametrize("word", ["NA", "None", "?", "-"])
def test_words_are_gaps_among_numbers(read, word):
    with pytest.raises(ValueError, match=r"numbers without gaps in column 'x', got '.*' in line 3"):
        read(f"x,y\n1,a\n{word},b\n3,a\n")


def test_words_among_numbers_are_text_if_asked_for(read):
    table, _ = read("garage,y\n1,a\nNone,b\n3,a\n", text=["garage"])
    assert table["garage"] == ["1", "None", "3"]


def test_text_keeps_leading_zeros(read):
    content = "zip,y\n01067,1\n80331,2\n"
    assert read(content, text=["zip"]) == ({"zip": ["01067", "80331"], "y": [1, 2]}, [])
    assert read(content) == (
        {"zip": [1067, 80331], "y": [1, 2]},
        ["leading zeros of column 'zip' lost"],
    )


def test_named_words_are_gaps_everywhere(read):
    for content in ("x,y\n1,EU\n2,NA\n", "x,y\n1,EU\n-999,US\n"):
        with pytest.raises(ValueError, match=r"no missing values, got 1 in column .* in line 3"):
            read(content, missing=["NA", "-999"])


def test_spaces_around_text_make_no_class_of_their_own(read):
    table, notes = read("x, y\n1, yes\n2,yes \n3,no\n")
    assert table == {"x": [1, 2, 3], "y": ["yes", "yes", "no"]}
    assert notes == ["spaces around text removed"]


# --- dialects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_found(read, separator):
    rows = [["x", "name", "y"], ["1.5", '"a, b; c"', "2"], ["2.5", "d", "3"]]
    table, notes = read("\n".join(separator.join(row) for row in rows))
    assert table == {"x": [1.5, 2.5], "name": ["a, b; c", "d"], "y": [2, 3]}
    assert notes == ([] if separator == "," else [f"fields separated by {separator!r}"])


def test_a_separator_that_is_named(read):
    assert read("a:b\n1:2\n", separator=":")[0] == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("x;y\n1,5;2\n-2,25;3\n", {}, [1.5, -2.25]),
        ('x,y\n"1,5",2\n"2",3\n', {}, [1.5, 2]),
        ("x;y\n1,234;2\n5,678;3\n", {"decimal": ","}, [1.234, 5.678]),
        ("x;y\n1,234;2\n5,678;3\n", {"thousands": ","}, [1234, 5678]),
        ("x;y\n1.234,5;2\n6,5;3\n", {"thousands": "."}, [1234.5, 6.5]),
    ],
    ids=["commas", "quoted", "told", "thousands", "both"],
)
def test_decimal_marks(read, content, options, expected):
    table, notes = read(content, **options)
    assert table["x"] == expected
    assert ("decimal commas" in notes) == (options.get("thousands") != ",")


@pytest.mark.parametrize(
    ("content", "options", "note"),
    [
        ("größe,y\n1,ä\n".encode("utf-8-sig"), {}, None),
        ("größe,y\n1,ä\n".encode("utf-16"), {}, "text decoded from utf-16"),
        (
            "\ufeffgröße,y\n1,ä\n".encode("utf-16-be"),
            {},
            "text decoded from utf-16",
        ),
        ("größe,y\n1,ä\n".encode("cp1252"), {"encoding": "cp1252"}, "text decoded from cp1252"),
    ],
    ids=["UTF-8", "UTF-16", "big endian", "named"],
)
def test_encodings(read, content, options, note):
    table, notes = read(content, **options)
    assert table == {"größe": [1], "y": ["ä"]}
    assert notes == ([] if note is None else [note])


def test_compressed_tables(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"x,y\n1,2\n"))
    table = CsvFile(tmp_path / "x.csv.gz", CsvOptions(), Changes()).frame()
    assert table.to_dict("list") == {"x": [1], "y": [2]}


# --- columns without a name ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (",x,y\n0,5,1\n1,6,2\n2,7,3\n", "unnamed row numbers left out"),
        ("x,y,\n5,1,\n6,2,\n7,3,\n", "unnamed empty columns left out"),
    ],
    ids=["index", "empty"],
)
def test_unnamed_columns_are_no_features(read, content, note):
    assert read(content) == ({"x": [5, 6, 7], "y": [1, 2, 3]}, [note])


# --- what cannot be read right ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y\n1,a\n\n2,b\nabc,a\n", "numbers only in column 'x', got 'abc' in line 5"),
        ('x,y\n"a\nb",1\nc,\n', "got 1 in column 'y', the first in line 4"),
        ("x,y\n1,2\ninf,3\n", "finite numbers, got inf in column 'x', line 3"),
        ("x;y\n1,234;2\n5,678;3\n", r"numbers in column 'x', got '1,234' in line 2: set data.dec"),
        ("x;y\n1.234,5;2\n1,5;3\n", "column 'x', got '1.234,5' in line 2: set data.decimal"),
        ("x,y\n50%,2\n20%,3\n", "numbers in column 'x', got '50%' in line 2"),
        (f"x,y\n{10**20},2\n3,3\n", "integers of at most 18 digits in column 'x'"),
        ("x,x,y\n1,2,3\n", "distinct column names, got 'x' twice"),
        ("x,y\n1,2,3\n4,5,6\n", "as many names in its header as fields .* 2 names and 3 fields"),
        ("x,y\n1,2\n4,5,6\n", "got Error tokenizing data.* line 3"),
        (",x,y\n5,5,1\n5,6,2\n", "must have a name for column 1"),
        (b"x,y\n1,a\n2,\xe4\n", "must be utf-8 text, got the byte 0xe4 in line 3: set data.enc"),
        (b"x,y\n1,\x00\n", "must be text, got binary data"),
        (b"PK\x03\x04\x14\x00\xff\xff", "must be text, got binary data: save a spreadsheet as"),
        ("x,y\n1,2\n3\n", "got 1 in column 'y', the first in line 3"),
    ],
)
def test_tables_that_cannot_be_read_right(read, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(content)
    assert "x.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decimal": "'"}, "decimal must be one of 'auto'"),
        ({"separator": "::"}, "separator must be 'auto' or one sign"),
        ({"encoding": "klingon"}, "encoding must be one of Python's: .*klingon"),
        ({"decimal": ",", "thousands": ","}, "thousands must be another sign than decimal"),
    ],
)
def test_options_are_checked_before_the_file_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        Table("nowhere.csv", "y", **options)


# --- what becomes of the columns ----------------------------------------------------------------


def times(start):
    rows = [f"{start + index},{'ab'[index % 2]},{20 + index % 7}" for index in range(60)]
    return "\n".join(["time,colour,age", *rows])


def test_the_data_line_says_what_was_converted(tmp_path):
    (tmp_path / "x.csv").write_text(times(0))
    data = Table(str(tmp_path / "x.csv"), "age", target_kind="values")
    data.setup()
    assert data.describe().splitlines()[2:] == [
        "read: columns of text encoded as categories: 1 (first: 'colour', 2 entries)",
        "read: integer targets read as values: 1 (first: target age)",
    ]


@pytest.mark.parametrize("target", ["age", "time"])
def test_numbers_that_float32_would_not_tell_apart(tmp_path, target):
    (tmp_path / "x.csv").write_text(times(1_700_000_000))
    data = Table(str(tmp_path / "x.csv"), target, target_kind="values")
    with pytest.raises(ValueError, match=r"time'?,? must have values that 7 digits tell apart"):
        data.setup()


def test_arrays_that_float32_would_not_tell_apart(tmp_path):
    inputs = 1.7e9 + np.arange(60.0)
    np.savez(tmp_path / "x.npz", inputs=inputs, targets=np.arange(60) % 2)
    with pytest.raises(ValueError, match="column 0, must have values that 7 digits tell apart"):
        Arrays(str(tmp_path / "x.npz")).setup()


def test_integer_arrays_as_values(tmp_path):
    np.savez(tmp_path / "x.npz", inputs=np.arange(60.0), targets=np.arange(60) % 7)
    data = Arrays(str(tmp_path / "x.npz"), target_kind="values")
    data.setup()
    assert data.target_kind == "values"
    assert data.notes == (
        f"integer targets read as values: 1 (first: targets in {tmp_path / 'x.npz'})",
    )
