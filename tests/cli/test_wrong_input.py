"""Bad input gets one clear line, exit status 2, and leaves nothing behind."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from losslab.cli import single
from losslab.config.command import parse
from losslab.config.errors import UserError
from losslab.fitting import with_losses
from refusals import LIBRARIES, attempt

HERE = Path(__file__).parent
THREE_CHANNELS = [
    *("model._target_=torch.nn.Conv2d", "~model.channels", "~model.hidden", "~model.dropout"),
    *("+model.in_channels=3", "+model.out_channels=10", "+model.kernel_size=8"),
]


def cases(section):
    """Return the command lines of a section of wrong_input.txt, each with the words expected."""
    found, current = [], ""
    for line in (HERE / "wrong_input.txt").read_text().splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif " => " in line and current == section:
            command, words = line.split(" => ")
            found.append((command.strip(), words))
    return found


@pytest.fixture(scope="module")
def without_torch():
    """Return what the commands of the first section do in a process that cannot import torch."""
    lines = [command for command, _ in cases("without torch")]
    done = subprocess.run(
        [sys.executable, str(HERE.parent / "refusals.py")],
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def require_refused(outcome, words):
    assert outcome["code"] == 2
    [line] = outcome["err"].splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert not outcome["new"]


def test_there_are_many_whose_words_say_more_than_the_line():
    every = cases("without torch") + cases("with torch")
    assert len(every) >= 150
    assert [line for line, words in every if words in line] == []


@pytest.mark.parametrize(("line", "words"), cases("without torch"))
def test_refused_without_torch(without_torch, line, words):
    require_refused(without_torch[line], words)


@pytest.mark.parametrize(("line", "words"), cases("with torch"))
def test_refused_before_anything_runs(tmp_path, line, words):
    require_refused(attempt(line, tmp_path), words)


def test_refused_files(tmp_path):
    np.savez(tmp_path / "x.npz", inputs=np.zeros((60, 3)), targets=np.arange(60) % 2)
    (tmp_path / "broken.npz").write_bytes(b"PK no archive")
    no_image = attempt("data=arrays data.path=x.npz model=cnn", tmp_path)
    require_refused(no_image, "model=cnn: CNN expects images (channels, height, width)")
    require_refused(attempt("data=arrays data.path=broken.npz", tmp_path), "broken.npz")


def test_a_network_that_does_not_fit(tmp_path):
    outcome = attempt(shlex.join(["loss=focal", *THREE_CHANNELS]), tmp_path)
    require_refused(outcome, "fails on data=digits, samples of shape (1, 8, 8)")


@pytest.mark.parametrize(
    "line",
    [
        "loss=mse",
        "loss=focal loss.gamma=1 data=digits model=mlp 'model.hidden=[32]' seed=3",
        "loss=focal 'optimizer.lr=${task.learning_rate}'",
        "loss=mse trainer.max_epochs=-1 callbacks=early_stopping task.checkpoint=best",
        "loss=mse trainer.max_epochs=-1 trainer.max_time=00:00:10:00",
        "loss=mse trainer.limit_train_batches=0.5 trainer.gradient_clip_val=1",
        "loss=mse trainer.devices=auto trainer.precision=64",
        "loss=mse loss._target_=torch.nn.HuberLoss loss.delta=inf",
        "loss=mse ~callbacks.figures",
        "loss=focal loss.alpha=balanced",
        "experiment=outliers loss=mse",
        "data=cartpole +data.env_options.sutton_barto_reward=true",
        "loss=adversarial +task.betas=[0.5,0.8]",
        "loss=mse +paths.root=. 'paths.data_dir=${paths.root}/data'",
        "loss=mse +hydra.job.env_set.MY_OPTION=1",
        "task=classification task.monitor=accuracy",
    ],
)
def test_right_input_runs(tmp_path, line):
    assert attempt(line, tmp_path)["code"] == "it runs"


@pytest.mark.parametrize(
    ("given", "losses", "left_out"),
    [
        (["loss=glob(m*)"], "mae,mse", ["margin_ranking"]),
        (["loss=glob(*cross_entropy)"], "categorical_cross_entropy,cross_entropy", []),
        (["loss=glob(*dice)", "data=segmentation"], "bce_dice,dice", []),
        (["loss=glob(c*)", "data=segmentation"], None, []),
        (["loss=glob(re*)", "task=reconstruction"], "reconstruction", []),
        (["loss=mse,mae"], "mse,mae", []),
    ],
)
def test_a_pattern_chooses_the_losses_that_fit(capsys, given, losses, left_out):
    if losses is None:
        with pytest.raises(UserError, match="Losses that fit"):
            with_losses(given)
        return
    assert f"loss={losses}" in with_losses(given)
    assert all(name in capsys.readouterr().out for name in left_out)


@pytest.mark.parametrize(
    ("line", "words"),
    [("loss=focl", "did you mean focal"), ("-m loss=mse,mae seed=range(5,2)", "no values")],
)
def test_a_whole_command_is_refused(command, line, words):
    outcome = command(*line.split(), cold=True)
    assert outcome.code == 2
    [message] = outcome.err.splitlines()
    assert words in message
    assert not outcome.logs.exists()


def test_full_error_gives_the_trace(command):
    outcome = command("loss=focal", "loss.gamma=-1", HYDRA_FULL_ERROR="1")
    assert outcome.code != 0
    assert "Traceback" in outcome.err


def test_help_lists_losses_and_data_by_task_without_torch(command):
    outcome = command("--help", cold=True, PYTHONPROFILEIMPORTTIME="1")
    assert outcome.code == 0
    for words in ("loss=focal", "loss=huber", "classification", "mnist", "digits (default)"):
        assert words in outcome.out
    assert not set(LIBRARIES) & imported(outcome.err)


def imported(times):
    """Return the modules that were imported; Python indents those that another one imports."""
    return {line.rpartition("|")[2].strip() for line in times.splitlines()}


def test_a_run_that_is_refused_late_leaves_the_folders_that_were_there(tmp_path, monkeypatch):
    def refuse(config):
        raise UserError("late")

    monkeypatch.setattr("losslab.cli.check_configs", lambda configs: "")
    monkeypatch.setattr("losslab.cli.train_job", refuse)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="late"):
        single(parse(["loss=mse"]))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "logs").mkdir()
    with pytest.raises(UserError, match="late"):
        single(parse(["loss=mse"]))
    assert [each.name for each in tmp_path.rglob("*")] == ["logs"]
