"""A sweep's commands: read from every version, and extended by what may grow."""

import json
from pathlib import Path

import pytest

from losslab.config.command import all_jobs, parse
from losslab.config.errors import UserError
from losslab.runs.folder import SWEEP_FILE
from losslab.sweep_file import extended, read_commands, write_commands

PAST = Path(__file__).parents[1] / "past" / "v0_1" / "sweep"
SWEEP = ["-m", "loss=mse,huber", "optimizer.lr=0.01,0.1", "seed=range(2)", "trainer.max_epochs=3"]


def test_the_file_of_version_0_1_is_read():
    [command] = read_commands(PAST)
    jobs = json.loads((PAST / SWEEP_FILE).read_text())["cells"]
    kept = [[given for given in job if not given.startswith("hydra")] for job in all_jobs(command)]
    assert kept == jobs


def test_commands_are_read_as_written(tmp_path):
    first = parse(SWEEP)
    listed = parse(["-m", "experiment=claims/outliers", "threads=2"])
    write_commands(tmp_path, [first, listed], [["loss=mse"]], {})
    read = read_commands(tmp_path)
    assert [each.typed for each in read] == [first.typed, listed.typed]
    assert [all_jobs(each) for each in read] == [all_jobs(first), all_jobs(listed)]


def test_a_later_version_is_refused(tmp_path):
    (tmp_path / SWEEP_FILE).write_text('{"version": 3, "commands": [], "jobs": []}')
    with pytest.raises(UserError, match="version 3"):
        read_commands(tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["seed=range(16)"], "loss=mse,huber optimizer.lr=0.01,0.1 seed=range(16)"),
        (["loss=mae"], "loss=mse,huber,mae optimizer.lr=0.01,0.1 seed=range(2)"),
        (["optimizer.lr=1"], "loss=mse,huber optimizer.lr=0.01,0.1,1 seed=range(2)"),
        (["seed=range(1)"], "loss=mse,huber optimizer.lr=0.01,0.1 seed=0,1"),
        (["loss=mse,huber"], "loss=mse,huber optimizer.lr=0.01,0.1 seed=range(2)"),
        (["trainer.max_epochs=3"], "loss=mse,huber optimizer.lr=0.01,0.1 seed=range(2)"),
    ],
)
def test_what_may_grow(given, expected):
    grown = extended(parse(SWEEP), given)
    assert grown.overrides == [*expected.split(), "trainer.max_epochs=3"]


def test_what_does_not_tell_jobs_apart_may_change():
    grown = extended(parse(SWEEP), ["threads=2", "hydra/launcher=lockstep", "paths.log_dir=x"])
    assert grown.overrides[-3:] == ["threads=2", "hydra/launcher=lockstep", "paths.log_dir=x"]


def test_another_launcher_does_not_get_the_options_of_the_earlier_one():
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    grown = extended(parse([*SWEEP, *joblib]), ["hydra/launcher=lockstep"])
    assert grown.overrides == [*parse(SWEEP).overrides, "hydra/launcher=lockstep"]
    more = extended(parse([*SWEEP, *joblib]), ["hydra.launcher.n_jobs=3"])
    assert more.overrides[-2:] == ["hydra/launcher=joblib", "hydra.launcher.n_jobs=3"]


@pytest.mark.parametrize(
    "given",
    [
        *("trainer.max_epochs=4", "data.n=5", "model=mlp", "label=x"),
        *("callbacks=quiet", "~callbacks.figures"),
    ],
)
def test_a_conflict_is_refused(given):
    with pytest.raises(UserError, match=r"conflicts .* seed, loss, optimizer\.lr"):
        extended(parse(SWEEP), [given])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("los=mse", "unknown key los: did you mean loss"),
        ("los=mse,mae", "unknown key los: did you mean loss"),
        ("trainer.max_epoch=4", "did you mean trainer.max_epochs"),
        ("callbacks=quit", "unknown callbacks 'quit': did you mean quiet"),
        ("+colour=red", "unknown key colour"),
    ],
)
@pytest.mark.parametrize("sweep", [SWEEP, ["-m", "experiment=claims/outliers"]])
def test_a_mistyped_key_gets_the_nearest(sweep, given, words):
    with pytest.raises(UserError) as refused:
        extended(parse(sweep), [given])
    assert words in str(refused.value)


def test_a_listed_sweep_grows_by_seeds_alone():
    command = parse(["-m", "experiment=claims/outliers"])
    grown = extended(command, ["seed=range(8,25)"])
    assert len(all_jobs(command)) == 2 * 3 * 5 * 16
    assert len(all_jobs(grown)) == 2 * 3 * 5 * 17
    with pytest.raises(UserError, match="adds values of seed;"):
        extended(command, ["loss=rmse"])
