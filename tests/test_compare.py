"""The command that compares folders, in process."""

from pathlib import Path

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
        (["--columns", "ref/mse"], "report-columns=ref_mse"),
    ],
    ids=["default", "a default that is given", "several", "a margin", "a slash"],
)
def test_options_have_a_report_of_their_own(sweep, on_disk, capsys, options, folder):
    runs = on_disk(*sweep(MAES))
    assert main([str(runs), *options]) == 0
    assert [path.name for path in runs.glob("report*")] == [folder]
    assert f"report: {runs / folder / 'report.html'}" in capsys.readouterr().out


def test_a_folder_that_is_asked_for(sweep, on_disk, tmp_path):
    runs = on_disk(*sweep(MAES))
    assert main([str(runs), "--baseline", "mse", "--out", str(tmp_path / "mine")]) == 0
    assert (tmp_path / "mine" / "report.html").is_file()
    assert not list(Path(runs).glob("report*"))
