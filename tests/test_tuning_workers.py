"""Several processes that search for the best settings together."""

import json
import multiprocessing
import os
import time

import pytest

from losslab import tuning as tunings
from losslab import tuning_plan, tuning_sampler
from losslab.runs.curves import read_curves
from losslab.runs.folder import find_runs
from losslab.runs.record import read_record

BUDGET, STARTUP = 4, 2
LINE = ["loss=mse,huber", "data=regression", "data.n=100", "trainer=cpu", "callbacks=quiet"]
LINE += ["trainer.max_epochs=3", "logger.events=false"]
TUNE = ["protocol=tuned", "sampler=optuna", f"budget={BUDGET}", "tuning_seeds=1000,1001", "seeds=0"]
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def few_points(monkeypatch):
    pytest.importorskip("optuna", reason="pip install 'losslab[optuna]'")
    for module in (tuning_plan, tuning_sampler):
        monkeypatch.setattr(module, "STARTUP", STARTUP)
    monkeypatch.setattr(tunings, "_report", lambda *given: 0)
    monkeypatch.setattr(tunings, "POLL_SECONDS", 0.2)


def begun(tmp_path, monkeypatch):
    """Plan a tuning, and end before it trains anything; return its folder."""
    with monkeypatch.context() as context:
        context.setattr(tunings, "launch", lambda *given: None)
        assert tunings.run_tuning([*LINE, *TUNE, f"paths.log_dir={tmp_path}"]) == 1
    [folder] = (tmp_path / "tuning").iterdir()
    return folder


def worker(folder):
    process = FORK.Process(target=_resume, args=(folder,))
    process.start()
    return process


def _resume(folder):
    os._exit(tunings.run_tuning([f"resume={folder}", "hydra/launcher=basic"]))


def points(folder):
    """Return the number of points per loss."""
    found = json.loads((folder / "tuning.json").read_text())["points"]
    return {loss: len(tried) for loss, tried in found.items()}


def killed(process, folder):
    """Kill a worker while it trains a run that depends on results; return its pid."""
    end = time.monotonic() + 240
    while time.monotonic() < end and process.is_alive():
        records = map(read_record, find_runs(folder / "search"))
        own = [each["status"] for each in records if each["pid"] == process.pid]
        if max(points(folder).values()) > STARTUP and "done" in own and "running" in own:
            process.kill()
            process.join()
            return process.pid
        time.sleep(0.02)
    raise AssertionError("the worker ended before")


@pytest.mark.slow
def test_two_workers_try_equally_many_points_and_each_once(few_points, tmp_path, monkeypatch):
    folder = begun(tmp_path, monkeypatch)
    first, second = worker(folder), worker(folder)
    pid = killed(first, folder)
    second.join(240)
    assert second.exitcode == 0
    assert points(folder) == {"mse": BUDGET, "huber": BUDGET}
    records = {run: read_record(run) for run in find_runs(folder / "search")}
    assert len(records) == 2 * BUDGET * 2
    assert {each["status"] for each in records.values()} == {"done"}
    assert {each["pid"] for each in records.values()} == {pid, second.pid}
    assert sum(bool(each["resumed"]) for each in records.values()) <= 1  # that of the killed one
    assert len({len(read_curves(run)) for run in records}) == 1
    assert told(folder) == {"mse": {"COMPLETE": BUDGET}, "huber": {"COMPLETE": BUDGET}}
    assert [read_record(run)["status"] for run in find_runs(folder / "final")] == ["done"] * 2


def told(folder):
    """Return the number of trials in each study by state, except those that became no point."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    counts = {}
    for study in optuna.get_all_study_summaries(storage):
        trials = optuna.load_study(study_name=study.study_name, storage=storage).get_trials()
        states = [trial.state.name for trial in trials if trial.state.name != "FAIL"]
        counts[study.study_name] = {name: states.count(name) for name in set(states)}
    return counts
