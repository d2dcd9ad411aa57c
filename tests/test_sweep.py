"""Where a sweep puts its runs."""

import json
import os
from pathlib import Path

import pytest

from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs
from losslab.job_checks import placed
from losslab.runs.claims import latest_claim
from losslab.runs.folder import job_name
from losslab.runs.writer import RunWriter
from losslab.sweep_output import show_unfinished


def jobs(*overrides: str):
    return compose_jobs(jobs_of(list(overrides)))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["loss=mse,mae", "data=regression", "data.outliers=0.1"], ["mse", "mae"]),
        (["loss=mse", "data=regression", "data.outliers=0.1"], ["mse"]),
        (
            ["loss=mse,mae", "data=regression", "data.outliers=0,0.1"],
            [f"{loss},data.outliers={share}" for loss in ("mse", "mae") for share in ("0", "0.1")],
        ),
        (["loss=focal", "loss._target_=losslab.losses.FocalLoss", "seed=0,1"], ["FocalLoss"] * 2),
        (["loss=mse", "hydra.sweep.subdir=own/place"], ["own"]),
    ],
    ids=["shared options", "one job", "swept options", "a class", "a folder that was given"],
)
def test_a_folder_begins_with_the_loss_and_leaves_out_what_all_jobs_share(
    overrides, expected, tmp_path
):
    once = placed(jobs(*overrides), tmp_path)
    assert [Path(job.subdir).parent.name for job in once] == expected
    assert placed(once, tmp_path) == once


def test_a_resumed_sweep_finds_the_runs_of_earlier_versions(tmp_path):
    composed = jobs("loss=mse,mae", "data=regression", "data.outliers=0.1")
    cell = job_name(composed[0].overrides)
    start(tmp_path / cell / "seed0", cell)
    assert [job.subdir for job in placed(composed, tmp_path)] == [f"{cell}/seed0", "mae/seed0"]


def test_a_sweep_does_not_take_the_runs_of_another_one_in_its_folder(tmp_path):
    [first] = jobs("loss=mse", "data=regression", "data.outliers=0")
    second = jobs("loss=mse", "data=regression", "data.outliers=0.1", "seed=0,1")
    start(tmp_path / "mse" / "seed0", job_name(first.overrides))
    assert placed([first], tmp_path)[0].subdir == "mse/seed0"
    assert placed(second, tmp_path) == second


def test_runs_on_other_machines_are_unfinished_and_told_where_they_run(tmp_path, capsys):
    here, elsewhere = tmp_path / "mse" / "seed0", tmp_path / "mse" / "seed1"
    for folder in (here, elsewhere):
        start(folder, "mse")
    made = latest_claim(elsewhere)
    made.path.write_text(json.dumps({**made.owner, "host": "node3", "pid": 7, "job": "slurm:1_2"}))
    assert show_unfinished([elsewhere], "losslab resume=x") == 1
    assert capsys.readouterr().err == "running: mse/seed1: process 7 on node3 (slurm:1_2)\n"
    assert show_unfinished([elsewhere, tmp_path / "mse" / "seed2"], "losslab resume=x") == 1
    assert capsys.readouterr().err.splitlines()[1:] == [
        "not trained: mse/seed2",
        "to run them again: losslab resume=x",
    ]
    os.utime(made.path, (1, 1))
    assert show_unfinished([elsewhere], "losslab resume=x") == 1
    assert capsys.readouterr().err.startswith("failed: mse/seed1: its process is gone\n")


WRITERS = []  # the claim of a writer that is collected goes stale


def start(folder: Path, cell: str) -> None:
    WRITERS.append(RunWriter(folder, "val/mae", "min", events=False))
    WRITERS[-1].start({"loss": "mse", "cell": cell})
