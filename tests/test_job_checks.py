"""Jobs of a sweep are checked before the first one starts."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from losslab import training
from losslab.commands.plan import main
from losslab.config.command import all_jobs, parse
from losslab.config.jobs import compose_jobs
from losslab.job_checks import checked_jobs, placed
from losslab.runs.folder import job_name

GIVEN = ["loss=cross_entropy", "data=digits", "trainer=cpu", "seed=range(3)"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("loss.label_smoothing=0,0.1,0.2,1,0.3", "cross_entropy,loss.label_smoothing=1)"),
        ("loss.label_smoothing=0,0.1,0.2,-1,0.3", "loss.label_smoothing must be"),
        ("loss.weight=null,[1,2],balanced", "(in the job cross_entropy,loss.weight=-1-2-"),
    ],
)
def test_one_bad_option_among_many_is_named_before_anything_is_written(
    options, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_code:
        main([*GIVEN, options])
    assert exit_code.value.code == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_jobs_with_the_same_trainer_are_checked_with_one(monkeypatch):
    made = Mock(wraps=training.bare_trainer)
    monkeypatch.setattr(training, "bare_trainer", made)
    given = ["-m", *GIVEN, "loss.label_smoothing=0.1,0.2"]
    assert len(checked_jobs(parse(given))) == 6
    assert made.call_count == 1
    checked_jobs(parse(["trainer.max_epochs=3,4", *given]))
    assert made.call_count == 3


def test_a_job_stays_in_a_folder_in_which_no_run_has_its_record_yet(tmp_path):
    command = parse(["-m", "loss=mse,mae", "data=regression", "data.n=40", "trainer=cpu"])
    jobs = compose_jobs(all_jobs(command))
    full = job_name(jobs[0].overrides)
    assert full != "mse"
    assert Path(placed(jobs, tmp_path)[0].subdir).parent.name == "mse"
    (tmp_path / full / "seed0").mkdir(parents=True)  # of an earlier version, killed early
    assert Path(placed(jobs, tmp_path)[0].subdir).parent.name == full
