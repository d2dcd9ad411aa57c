"""resume= of a run that was killed before its first epoch ended, or that another process has."""

import os
import signal
from pathlib import Path

import pytest

import kinds_of_run
from losslab.cli import run
from losslab.config.errors import UserError
from losslab.runs.record import new_record, read_record, write_record
from losslab.runs.writer import RunWriter
from losslab.training import train

LINE = [*kinds_of_run.LINE, "trainer.max_epochs=2"]


def begun(folder: Path, monkeypatch) -> None:
    """Leave what a run leaves that is killed before its first epoch ended."""
    monkeypatch.setattr(RunWriter, "end_epoch", lambda *given: os.kill(os.getpid(), signal.SIGKILL))
    child = os.fork()
    if child == 0:
        train(kinds_of_run.config_of(*LINE), folder)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    monkeypatch.undo()


@pytest.mark.parametrize("record", [True, False], ids=["with record", "without record"])
def test_a_run_begins_again_from_its_saved_config(tmp_path, monkeypatch, record):
    folder = tmp_path / "run"
    begun(folder, monkeypatch)
    command = read_record(folder)["command"]
    assert not list(folder.rglob("*.ckpt"))
    if not record:
        (folder / "record.json").unlink()
    config = (folder / "config.yaml").read_text()
    monkeypatch.setattr("sys.argv", ["train.py", f"resume={folder}"])
    assert run([f"resume={folder}"]) == 0
    assert (folder / "config.yaml").read_text() == config
    after = read_record(folder)
    assert (after["status"], after["epochs"]) == ("done", 2)
    if record:
        assert (after["command"], after["resumed"]) == (
            command,
            [f"python train.py resume={folder}"],
        )


@pytest.mark.parametrize("trained", [True, False], ids=["with checkpoint", "without"])
def test_the_second_resume_is_told_who_has_the_run(tmp_path, trained):
    train(kinds_of_run.config_of(*LINE), tmp_path)
    if not trained:
        (tmp_path / "checkpoints" / "last.ckpt").unlink()
    record = new_record() | {"host": "elsewhere", "pid": 4711}
    write_record(tmp_path, record)
    with pytest.raises(UserError, match=r"process 4711 on elsewhere is working on .* wait for"):
        run([f"resume={tmp_path}", "trainer.max_epochs=3"])
    assert read_record(tmp_path) == record
