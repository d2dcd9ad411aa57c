"""Stacks of a packed sweep, which are a few files while they are trained."""

import os
import shutil
import signal
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from losslab import cli
from losslab.lockstep import rows
from losslab.lockstep.loop import RunBatch
from losslab.runs import packs
from losslab.runs.curves import read_curves
from losslab.runs.folder import find_runs
from losslab.runs.open_packs import OpenPack
from losslab.runs.record import read_record
from losslab.units import Unit, read_units, unfinished, write_units

EPOCHS = 6
SWEEP = [
    *("loss=cross_entropy,focal", "seed=0,1,2", "data=digits", "model=mlp", "model.hidden=[16]"),
    *("data.val_fraction=0.1", "data.test_fraction=0.7", "model.dropout=0.3", "trainer=cpu"),
    *("callbacks=quiet", "hydra.launcher.max_jobs=3", f"trainer.max_epochs={EPOCHS}", "pack=true"),
]
# what tells when and how a run ran
APART = {"pid", "process_start", "heartbeat", "seconds", "peak_memory_mb", "cost", "command"}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planned") / "sweep"
    assert cli.run(["plan", *SWEEP, f"hydra.sweep.dir={folder}"]) == 0
    return folder


@pytest.fixture
def sweep(planned, tmp_path):
    """A packed sweep of two stacks of three runs."""
    return Path(shutil.copytree(planned, tmp_path / "sweep"))


@pytest.fixture(scope="module")
def whole(planned, tmp_path_factory):
    """What its runs find if they are trained in their folders, without a break."""
    sweep = Path(shutil.copytree(planned, tmp_path_factory.mktemp("whole") / "sweep"))
    write_units(sweep, read_units(sweep), pack=False)
    assert work(sweep, "--all") == 0
    return results(sweep)


def work(sweep, *arguments):
    return cli.run(["work", str(sweep), *map(str, arguments)])


def results(sweep):
    """Everything that the runs of a sweep found, by run."""
    found = {}
    for run in find_runs(sweep):
        record = {k: v for k, v in read_record(run).items() if k not in {*APART, "resumed"}}
        files = [run / "checkpoints" / f"{which}.ckpt" for which in ("best", "last")]
        saved = [torch.load(packs.open_file(path), weights_only=True) for path in files]
        weights = [{n: v.tolist() for n, v in each["state_dict"].items()} for each in saved]
        states = repr([(each["optimizer_states"], each["lr_schedulers"]) for each in saved])
        curves = read_curves(run).drop(columns="seconds").to_csv()
        scores = packs.open_file(run / "scores.npz").read()
        found[run.relative_to(sweep).as_posix()] = (record, weights, states, curves, scores)
    return found


def of_first_unit(found):
    return {run: own for run, own in found.items() if run.startswith("cross_entropy")}


def files(sweep):
    return {str(path.relative_to(sweep)) for path in sweep.rglob("*") if path.is_file()}


def statuses(sweep):
    return [read_record(run)["status"] for run in find_runs(sweep)]


def after_each_publication(monkeypatch, see):
    """Save stacks after each epoch, and call a function once they are published."""
    monkeypatch.setattr(rows, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(rows, "SAVE_SHARE", 1e9)
    publish = OpenPack.publish

    def publish_and_see(self):
        publish(self)
        see()

    monkeypatch.setattr(OpenPack, "publish", publish_and_see)


def test_a_stack_is_a_few_files_from_the_beginning(sweep, monkeypatch, whole):
    before, seen = files(sweep), []

    def see():
        epochs = [read_record(run)["epochs"] for run in find_runs(sweep)]
        seen.append((files(sweep) - before, epochs))

    after_each_publication(monkeypatch, see)
    assert work(sweep, "--unit", 1) == 0
    opened = ({"units/1/claim.1", "units/open/1.sqlar"}, pytest.approx([EPOCHS] * 3, abs=EPOCHS))
    assert seen == [opened] * len(seen)
    assert [epochs[0] for _, epochs in seen] == [*range(EPOCHS + 1), EPOCHS]
    assert files(sweep) - before == {"units/1/claim.1", "units/1.sqlar"}
    assert results(sweep) == of_first_unit(whole)


def kill(sweep, at):
    """Work on a sweep in a process that dies in the middle of its n-th publication."""
    # not forked from this one, which other tests may have left unable to train in a fork
    context = get_context("forkserver")
    context.set_forkserver_preload(["losslab.lockstep.sweep", "losslab.training"])
    process = context.Process(target=die, args=(sweep, at))
    process.start()
    process.join()
    assert process.exitcode == -9


def die(sweep, at):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(rows, "SAVE_EVERY", 0.0)
        monkeypatch.setattr(rows, "SAVE_SHARE", 1e9)
        left = [at]

        def copy(source, target):
            if target.suffix == ".tmp":
                left[0] -= 1
                if not left[0]:
                    target.write_bytes(source.read_bytes()[:5000])
                    os.kill(os.getpid(), signal.SIGKILL)
            return shutil_copyfile(source, target)

        shutil_copyfile = shutil.copyfile
        monkeypatch.setattr("losslab.runs.open_packs.shutil.copyfile", copy)
        work(sweep, "--all")


@pytest.fixture
def trained(monkeypatch):
    """Return the epochs that stacks train, and the number of their runs."""
    seen = []
    train_epoch = RunBatch._train_epoch

    def noted(self, epoch):
        seen.append((epoch, len(self.members)))
        train_epoch(self, epoch)

    monkeypatch.setattr(RunBatch, "_train_epoch", noted)
    return seen


@pytest.mark.parametrize(
    "at",
    [pytest.param(1, marks=pytest.mark.slow), 4],
    ids=["before its first save", "in a later save"],
)
def test_a_killed_unit_goes_on_where_it_was_published(sweep, whole, trained, at):
    kill(sweep, at)
    assert statuses(sweep) == ["running"] * (3 if at > 1 else 0)
    assert [unit.number for unit in unfinished(sweep)] == [1, 2]
    assert work(sweep, "--unit", 1) == 0
    first = max(at - 2, 0)  # the first publication is that of runs that have begun
    assert trained == [(epoch, 3) for epoch in range(first, EPOCHS)]
    assert results(sweep) == of_first_unit(whole)
    assert not [name for name in files(sweep) if name.endswith(".tmp") or "open" in name]


@pytest.fixture(scope="module")
def stopped(planned, tmp_path_factory):
    """The sweep, whose worker was interrupted in the middle of an epoch of the first unit."""
    sweep = Path(shutil.copytree(planned, tmp_path_factory.mktemp("stopped") / "sweep"))
    train_epoch = RunBatch._train_epoch

    def interrupt(self, epoch):
        train_epoch(self, epoch)
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as during:
        during.setattr(RunBatch, "_train_epoch", interrupt)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            work(sweep, "--all")
    assert statuses(sweep) == ["interrupted"] * 3
    return sweep


@pytest.fixture
def interrupted(stopped, tmp_path):
    return Path(shutil.copytree(stopped, tmp_path / "sweep"))


def test_an_interrupted_unit_goes_on_at_its_last_epoch(interrupted, whole, trained):
    assert work(interrupted, "--unit", 1) == 0
    assert trained == [(epoch, 3) for epoch in range(3, EPOCHS)]
    assert results(interrupted) == of_first_unit(whole)


def test_other_launchers_go_on_with_it_in_its_folders(interrupted, whole, trained):
    assert cli.run([f"resume={interrupted}", "hydra.launcher.workers=1"]) == 0
    assert trained == [(epoch, 3) for epoch in [*range(3, EPOCHS), *range(EPOCHS)]]
    assert results(interrupted) == whole
    assert {"units/1.sqlar", "units/2.sqlar"} < files(interrupted)
    assert not any((interrupted / "units" / "open").iterdir())


def test_a_unit_that_is_no_longer_packed_goes_on_in_its_folders(interrupted, whole, trained):
    write_units(interrupted, read_units(interrupted), pack=False)
    assert work(interrupted, "--unit", 1) == 0
    assert trained == [(epoch, 3) for epoch in range(3, EPOCHS)]
    assert results(interrupted) == of_first_unit(whole)
    assert not [name for name in files(interrupted) if name.endswith(".sqlar")]


def test_a_run_of_it_is_exported_and_goes_on_in_its_folder(interrupted, whole):
    run = interrupted / "cross_entropy" / "seed1"
    assert cli.run(["export", str(run)]) == 0
    assert (run / "checkpoints" / "last.ckpt").exists()
    assert work(interrupted, "--unit", 1) == 0
    assert not run.exists()
    assert results(interrupted) == of_first_unit(whole)


def test_runs_that_cannot_be_stacked_are_trained_in_their_folders(sweep):
    unit = read_units(sweep)[0]
    alone = {**unit.runs[2], "overrides": [*unit.runs[2]["overrides"], "model.hidden=[8]"]}
    write_units(sweep, [Unit(1, [*unit.runs[:2], alone], stacked=True)], pack=True)
    assert work(sweep, "--all") == 0
    assert statuses(sweep) == ["done"] * 3
    assert "units/1.sqlar" in files(sweep)
    assert not list(sweep.glob("*/seed*"))


def test_a_run_that_fails_leaves_its_unit_open(sweep, capsys):
    unit = read_units(sweep)[0]
    failing = {**unit.runs[1], "overrides": [*unit.runs[1]["overrides"], "optimizer.lr=1e30"]}
    runs = [unit.runs[0], failing, unit.runs[2]]
    write_units(sweep, [Unit(1, runs, stacked=True)], pack=True)
    assert work(sweep, "--next") == 1
    assert "failed: cross_entropy/seed1: diverged" in capsys.readouterr().err
    assert statuses(sweep) == ["done", "failed", "done"]
    assert packs.open_pack_file(sweep, 1).exists()
    assert cli.run(["report", str(sweep)]) == 1
    assert "failed: cross_entropy/seed1: diverged" in capsys.readouterr().err
    assert work(sweep, "--next") == 1
    write_units(sweep, [unit], pack=True)
    assert work(sweep, "--unit", 1) == 0
    assert statuses(sweep) == ["done"] * 3
    assert "units/1.sqlar" in files(sweep)
