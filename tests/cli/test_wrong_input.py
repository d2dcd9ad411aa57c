"""Bad input gets one clear line, exit status 2, and leaves nothing behind."""

import time

import pytest

SLOW = {"torch", "scipy", "pandas", "matplotlib"}
"""Libraries that a command need not import to be refused."""

WITHOUT_TORCH = {
    "unknown_loss": (["loss=focl"], "did you mean focal"),
    "unknown_data": (["data=digit"], "did you mean digits"),
    "unknown_option": (["loss=focal", "loss.gama=1"], "gama"),
    "unknown_key": (["loss=focal", "optimiser.lr=1"], "optimiser"),
    "malformed": (["loss=focal", "loss.gamma"], "malformed"),
    "sweep_without_m": (["loss=mse,mae"], "add -m"),
    "missing_path": (["data=table"], "data.path"),
    "no_cells": (
        ["-m", "loss=mse,mae", "hydra/launcher=lockstep", "hydra.launcher.max_jobs=0"],
        "hydra.launcher.max_jobs must be >= 1",
    ),
    "no_epochs": (["loss=mse", "trainer.max_epochs=0"], "trainer.max_epochs must be >= 1, got 0"),
    "no_number": (["loss=mse", "trainer.max_epochs=many"], "trainer.max_epochs must be >= 1"),
    "no_threads": (["loss=mse", "threads=-1"], "threads must be >= 1, got -1"),
    "no_end": (["loss=mse", "trainer.max_epochs=-1"], "add callbacks=early_stopping"),
    "flag": (["loss=mse", "--hlp"], "unknown option --hlp: did you mean --help"),
    "capitals": (["loss=MSE"], "did you mean mse"),
    "threads": (["-m", "loss=mse", "threads=1,2"], "same: mse/seed0 (threads does not change"),
    "auto_without_m": (["loss=mse", "seeds=auto"], "seeds=auto adds seeds to a sweep: add -m"),
    "auto_with_one_loss": (["-m", "loss=mse", "seeds=auto"], "give at least two"),
    "auto_with_seeds": (["-m", "loss=mse,mae", "seeds=auto", "seed=1,2"], "remove one of the two"),
    "margin_of_no_metric": (["loss=mse", "within=0.1"], "such as within.METRIC=MARGIN"),
    "twins": (["-m", "loss=mse", "seed=1,1"], "same"),
    "unknown_option_of_a_sweep": (["-m", "loss=mse,mae", "optimizer.lrr=1"], "optimizer.lr"),
}
THREE_CHANNELS = [
    *("model._target_=torch.nn.Conv2d", "~model.channels", "~model.hidden", "~model.dropout"),
    *("+model.in_channels=3", "+model.out_channels=10", "+model.kernel_size=8"),
]
WITH_TORCH = {
    "does_not_fit": (
        ["loss=mse", "data=digits"],
        "loss=mse accepts values, but task=classification provides class indices",
    ),
    "gamma": (["loss=focal", "loss.gamma=-1"], "gamma must be >= 0"),
    "outliers": (["loss=mse", "data.outliers=1.5"], "outliers"),
    "no_units": (["loss=mse", "model.hidden=[0]"], "must have at least one element"),
    "no_mnist": (["data=mnist", "paths.data_dir=nowhere"], "data=digits"),
    "no_file": (["data=table", "data.path=no.csv", "data.target=y"], "no.csv"),
    "no_image": (["data=arrays", "data.path=x.npz", "model=cnn"], "model=cnn expects images"),
    "broken_file": (["data=arrays", "data.path=broken.npz"], "broken.npz"),
    "one_rate_of_a_sweep": (
        ["-m", "loss=mse", "data=regression", "optimizer.lr=0.01,-1"],
        "Invalid learning rate: -1",
    ),
    "one_strength_of_a_sweep": (
        ["-m", "loss=mse", "regularizer=l1", "regularizer.strength=0.001,-1"],
        "strength must be >= 0",
    ),
    "one_precision_of_a_sweep": (
        ["-m", "loss=mse", "trainer.precision=32-true,bogus", "seed=0,1"],
        "Precision 'bogus' is invalid",
    ),
    "alpha": (["loss=focal", "loss.alpha=0.25"], "loss=focal fails on a batch of data=digits"),
    "one_alpha_of_a_sweep": (["-m", "loss=focal", "loss.alpha=null,0.25"], "loss=focal fails"),
    "three_channels": (
        ["loss=focal", *THREE_CHANNELS],
        "fails on data=digits, samples of shape (1, 8, 8)",
    ),
    "no_callback": (["-m", "loss=mse,mae", "+callbacks.x._target_=nowhere.X"], "callbacks.x"),
    "no_logger": (["-m", "loss=mse,mae", "+logger.extra.x._target_=nowhere.X"], "logger.x"),
    "resume_nothing": (["resume=nowhere"], "expected the folder of a run or of a sweep"),
}


@pytest.mark.parametrize(("arguments", "words"), WITHOUT_TORCH.values(), ids=WITHOUT_TORCH.keys())
def test_refused_without_torch(command, arguments, words):
    start = time.perf_counter()
    outcome = command(*arguments, cold=True, PYTHONPROFILEIMPORTTIME="1")
    seconds = time.perf_counter() - start
    lines = [line for line in outcome.err.splitlines() if not line.startswith("import time:")]
    assert outcome.code == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert words in lines[0]
    assert not SLOW & imported(outcome.err)
    assert not outcome.logs.exists()
    assert seconds < 5  # under 1 s on a quiet machine; this machine runs other tests beside it


@pytest.mark.parametrize(("arguments", "words"), WITH_TORCH.values(), ids=WITH_TORCH.keys())
def test_refused_before_anything_runs(command, tmp_path, arguments, words):
    import numpy as np

    np.savez(tmp_path / "x.npz", inputs=np.zeros((60, 3)), targets=np.arange(60) % 2)
    (tmp_path / "broken.npz").write_bytes(b"PK no archive")
    outcome = command(*arguments)
    assert outcome.code == 2, outcome.err
    [line] = outcome.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert not list(outcome.logs.rglob("*.*"))


def test_a_sweep_that_mixes_tasks_is_refused(command):
    outcome = command("-m", "loss=mse,focal")
    assert outcome.code == 2
    assert "loss=mse defaults to data=regression and loss=focal to data=digits" in outcome.err


def test_full_error_gives_the_trace(command):
    outcome = command("loss=focal", "loss.gamma=-1", HYDRA_FULL_ERROR="1")
    assert outcome.code != 0
    assert "Traceback" in outcome.err


def test_help_lists_losses_and_data_by_task_without_torch(command):
    outcome = command("--help", cold=True, PYTHONPROFILEIMPORTTIME="1")
    assert outcome.code == 0
    for words in ("loss=focal", "loss=huber", "classification", "mnist", "digits (default)"):
        assert words in outcome.out
    assert not SLOW & imported(outcome.err)


def imported(times):
    """Return the modules that were imported; Python indents those that another one imports."""
    return {line.rpartition("|")[2].strip() for line in times.splitlines()}
