"""Arrays that a run leaves for pictures of several runs."""

import io

import numpy as np
import PIL.Image
import pytest

from losslab.runs.figure_data import (
    Boxes,
    Clouds,
    Images,
    Line,
    Scatter,
    read_figure_data,
    require_figure,
    to_bytes,
)
from losslab.runs.files import FileError

RNG = np.random.default_rng(0)
EXAMPLES = {
    "line": Line("Fit", "input", "target", RNG.random(4), RNG.random(4)),
    "line with all": Line(
        "Fit",
        "x",
        "y",
        *RNG.random((2, 4)),
        RNG.random((9, 2)),
        "samples",
        RNG.random((2, 2)),
        RNG.random(2),
        "at 0.5",
    ),
    "images": Images(
        "Masks",
        RNG.random((2, 3, 4, 4)),
        np.array(["image", "mask"]),
        RNG.random((1, 3, 4, 4)),
        np.array(["made"]),
    ),
    "boxes": Boxes("Boxes", RNG.random((2, 4, 4)), RNG.random((2, 1, 4)), RNG.random((2, 3, 4))),
    "boxes with scores": Boxes("", *RNG.random((3, 2, 3, 4)), RNG.random((2, 3))),
    "boxes with names": Boxes(
        "",
        *RNG.random((3, 2, 3, 4)),
        None,
        np.array([["a", "β", ""]] * 2),
        np.array([["a"] * 3] * 2),
    ),
    "clouds": Clouds("Clouds", RNG.random((2, 5, 3)), RNG.random((2, 6, 3))),
    "scatter": Scatter(
        "Classes", "x", "y", RNG.random((3, 2)), np.array([0, 1, 0]), np.array(["a", "β"]), True
    ),
}


@pytest.mark.parametrize("shown", EXAMPLES.values(), ids=EXAMPLES)
def test_what_is_written_is_read_again(shown, tmp_path):
    path = tmp_path / "test_fit.npz"
    path.write_bytes(to_bytes(shown))
    again = read_figure_data(path)
    assert type(again) is type(shown)
    for name, value in vars(shown).items():
        np.testing.assert_array_equal(getattr(again, name), value)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", to_bytes(EXAMPLES["clouds"])[:200]],
    ids=["empty", "text", "cut short"],
)
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "test_fit.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"test_fit.npz does not contain figure data"):
        read_figure_data(path)


def test_an_archive_of_other_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "test_fit.npz", kind="Line", x=np.zeros(3))
    with pytest.raises(ValueError, match=r"test_fit.npz does not contain figure data"):
        read_figure_data(tmp_path / "test_fit.npz")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_figure_data(tmp_path / "test_fit.npz")


def png() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (3, 2)).save(buffer, format="png")
    return buffer.getvalue()


def test_a_whole_png_is_accepted(tmp_path):
    path = tmp_path / "fit.png"
    path.write_bytes(png())
    require_figure(path)


@pytest.mark.parametrize("content", [b"", png()[:4], png()[:8], png()[:-1], b"GIF" + png()])
def test_another_file_is_not_a_whole_png(content, tmp_path):
    path = tmp_path / "fit.png"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"fit.png is not a whole PNG file"):
        require_figure(path)
