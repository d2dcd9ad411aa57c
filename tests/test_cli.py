"""Hydra's own flags are told from overrides."""

import sys

import pytest

from losslab import cli
from losslab.config import user_code
from losslab.config.command import program, split_flags
from losslab.config.errors import UserError


@pytest.mark.parametrize(
    ("arguments", "flags", "overrides"),
    [
        ("--cfg job loss=dice", "--cfg job", "loss=dice"),
        ("loss=dice -c all -p loss", "-c all -p loss", "loss=dice"),
        ("--cfg=job loss=dice", "--cfg=job", "loss=dice"),
        ("--info loss=dice", "--info", "loss=dice"),
        ("-i defaults loss=dice", "-i defaults", "loss=dice"),
        ("-cn train -cd a=b -cp conf seed=1", "-cn train -cd a=b -cp conf", "seed=1"),
        ("-m ~data seed=1,2", "-m", "~data seed=1,2"),
    ],
)
def test_a_flag_keeps_its_value(arguments, flags, overrides):
    assert split_flags(arguments.split()) == (flags.split(), overrides.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--cfg job loss=dice --package loss", "_target_: losslab.losses.DiceLoss"),
        ("--cfg=job -p loss data=segmentation", "_target_: losslab.losses.DiceLoss"),
        ("--info loss=dice", "Installed Hydra Plugins"),
        ("-i defaults loss=dice", "loss/dice"),
    ],
)
def test_hydras_views_of_a_command(monkeypatch, capsys, arguments, words):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert cli.run(arguments.split()) == cli.DONE
    assert words in capsys.readouterr().out


def test_a_config_dir_without_a_folder():
    with pytest.raises(UserError, match="--config-dir needs a folder"):
        user_code.use(["loss=mse", "--config-dir"])


@pytest.mark.parametrize(
    ("script", "of_runs", "of_tuning"),
    [
        ("train.py", "python train.py", "losslab tune"),
        ("scripts/tune.py", "losslab", "python scripts/tune.py"),
        ("/usr/bin/losslab", "losslab", "losslab tune"),
        ("/src/losslab/__main__.py", "losslab", "losslab tune"),
    ],
)
def test_advice_repeats_the_command_that_was_typed(monkeypatch, script, of_runs, of_tuning):
    monkeypatch.setattr(sys, "argv", [script, "loss=mse"])
    assert (program(), program("tune")) == (of_runs, of_tuning)
