"""The command that compares folders, in process."""

from pathlib import Path

import pandas as pd
import pytest

from losslab.commands.compare import main

MAES = {"mse": [2.0, 2.5], "mae": [1.0, 1.4]}


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ([], "report"),
        (["--scope", "samples"], "report"),
        (["--baseline", "mse", "--metrics", "mae,rmse"], "report-baseline=mse-metrics=mae,rmse"),
        (["--within", "mae=0.5", "--center", "median"], "report-within=mae=0.5-center=median"),
        (["--columns", "ref/mse"], "report-columns=ref-mse~6a03e750"),
    ],
    ids=["default", "a default that is given", "several", "a margin", "a slash"],
)
def test_options_have_a_report_of_their_own(sweep, on_disk, capsys, options, folder):
    runs = on_disk(*sweep(MAES))
    assert main([str(runs), *options]) == 0
    assert [path.name for path in runs.glob("report*")] == [folder]
    assert f"report: {runs / folder / 'report.html'}" in capsys.readouterr().out


def test_the_report_of_several_folders_is_beside_the_first(sweep, on_disk, tmp_path, capsys):
    runs = [on_disk(*sweep({loss: maes}), below=loss) for loss, maes in MAES.items()]
    assert main([str(place) for place in runs]) == 0
    [report] = (tmp_path / "reports").glob("*/report.html")
    assert capsys.readouterr().out.splitlines()[-1] == f"report: {report}"


def test_runs_are_found_by_their_tags(sweep, on_disk, capsys):
    """Of runs with equal settings, the latest with these tags counts."""
    first = on_disk(*sweep(MAES, tags=["draft", "old"]), below="both/first")
    on_disk(*sweep({"mse": [9.0, 9.5], "mae": [8.0, 8.4]}, tags=["draft"]), below="both/second")
    assert main([str(first.parent), "--tag", "draft,old"]) == 0
    runs = pd.read_csv(first.parent / "report-tag=draft,old" / "runs.csv")
    assert set(runs["tags"]) == {"draft, old"}
    assert sorted(runs["test/mae"]) == [1.0, 1.4, 2.0, 2.5]
    page = (first.parent / "report-tag=draft,old" / "report.html").read_text()
    assert "<dt>Tags</dt><dd>draft, old</dd>" in page
    capsys.readouterr()
    assert main([str(first), "--tag", "final"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line == "error: no run has the tags final; tags of runs: draft, old"


def test_a_report_that_cannot_be_written(sweep, on_disk, tmp_path, capsys):
    runs = on_disk(*sweep(MAES))
    (tmp_path / "file").touch()
    assert main([str(runs), "--out", str(tmp_path / "file")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot write a report in {tmp_path / 'file'}: ")


def test_a_folder_that_is_asked_for(sweep, on_disk, tmp_path):
    runs = on_disk(*sweep(MAES))
    assert main([str(runs), "--baseline", "mse", "--out", str(tmp_path / "mine")]) == 0
    assert (tmp_path / "mine" / "report.html").is_file()
    assert not list(Path(runs).glob("report*"))
