"""What commands say when they cannot do what they are asked: one line, exit status 2."""

import sys
from pathlib import Path

import pytest

from losslab import cli
from losslab.config import extras
from losslab.config.errors import UserError
from losslab.config.extras import not_installed
from losslab.gallery.run import make_gallery
from losslab.training import evaluate

DIGITS = ["data=digits", "loss=cross_entropy", "model=mlp", "model.hidden=[8]", "callbacks=quiet"]
DIGITS += ["trainer=cpu", "trainer.max_epochs=1", "threads=1"]


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["losslab", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return (ended.value.code, *capsys.readouterr())


@pytest.mark.parametrize("place", ["clone", "elsewhere", "package"])
def test_an_extra_is_named_as_it_is_installed_here(monkeypatch, tmp_path, place):
    clone = tmp_path / "clone"
    clone.mkdir()
    monkeypatch.setattr(extras, "_CLONE", clone)
    if place != "package":
        (clone / "pyproject.toml").touch()
    if place == "clone":
        monkeypatch.chdir(clone)
    wanted = {"clone": "-e '.[wandb]'", "elsewhere": f"-e '{clone}[wandb]'"}
    expected = wanted.get(place, "'losslab[wandb]'")
    assert not_installed("wandb") == f"wandb is not installed: pip install {expected}"


def test_a_logger_that_is_not_installed_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("losslab.config.extras.is_installed", lambda module: False)
    code, _, err = command(monkeypatch, capsys, *DIGITS, "logger=wandb")
    [line] = err.splitlines()
    assert (code, line) == (2, f"error: logger=wandb: {not_installed('wandb')}")


def test_pages_need_runs(tmp_path):
    with pytest.raises(UserError, match=r"--pages-only: there are no runs in .*logs"):
        make_gallery([], jobs=1, logs=tmp_path / "logs", docs=tmp_path / "docs", pages_only=True)
    assert not (tmp_path / "docs").exists()


def test_an_import_error_is_told_once(monkeypatch, capsys, tmp_path):
    (tmp_path / "lacking_losses.py").write_text("import not_a_package_of_anyone\n")
    monkeypatch.syspath_prepend(tmp_path)
    losses = ["-m", "loss=cross_entropy", "loss._target_=lacking_losses.Mine", "seed=0,1"]
    given = [each for each in DIGITS if not each.startswith("loss=")]
    code, out, err = command(monkeypatch, capsys, *losses, *given)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.count("not_a_package_of_anyone") == 2  # what is missing, and how it is installed


def test_a_run_with_a_profiler_says_where_its_profile_is(monkeypatch, capsys, tmp_path):
    given = [*DIGITS, "debug=profiler", "trainer.max_epochs=1", f"paths.log_dir={tmp_path}"]
    code, out, _ = command(monkeypatch, capsys, *given)
    assert code == 0
    profiles = [line.split()[-1] for line in out.splitlines() if line.startswith("profile ")]
    assert [Path(profile).name for profile in profiles] == ["fit-profile.txt", "test-profile.txt"]
    assert "run_training_epoch" in Path(profiles[0]).read_text()
    run = Path(profiles[0]).parent
    alone, both = (evaluate(run, splits) for splits in (("test",), ("val", "test")))
    assert alone == {"test": both["test"]}  # scaled by the temperature of validation, too
