"""Errors that end the runs of a process."""

import os

import pytest

from losslab.config.errors import UserError
from losslab.recording import recorded
from losslab.runs.record import read_record
from losslab.runs.writer import RunWriter


def test_if_a_run_of_a_stack_is_taken_over_the_others_are_interrupted(tmp_path):
    lost, kept = (RunWriter(tmp_path / name, "val/mae", "min") for name in ("lost", "kept"))
    for writer in (lost, kept):
        writer.start({})
    os.utime(lost._claim.path, (1, 1))
    other = RunWriter(tmp_path / "lost", "val/mae", "min")
    other.start({})
    lost._claim._touched -= 60

    def log():
        with recorded(lost, kept):
            lost.image("val/line", b"", 0)

    with pytest.raises(UserError, match=r"process \d+ on .* took over .*lost"):
        log()
    assert read_record(kept.folder)["status"] == "interrupted"
    assert read_record(lost.folder)["status"] == "running"
