"""Full and read-only disks: one line, a record, and the same results once there is space."""

import json
import subprocess
from pathlib import Path

import pytest
import torch

import kinds_of_run
from losslab.cli import run
from losslab.config.errors import UserError
from losslab.job_checks import require_log_dir
from losslab.lockstep.grouping import Job
from losslab.lockstep.sweep import train_jobs
from losslab.runs.check import needs_running
from losslab.runs.disk import append, overwrite
from losslab.runs.record import new_record, read_record, write_record
from losslab.training import saved_config, train

# an epoch writes 17 kB of curves and as much for TensorBoard
LINE = [*kinds_of_run.LINE, "data.n=1000", "data.batch_size=4", "trainer.log_every_n_steps=1"]
LINE += ["logger.events=true", "trainer.max_epochs=3"]


@pytest.fixture
def disk(tmp_path):
    """Mounts a file system of 1 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("only root can mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    path = disk / "filling"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
        file.truncate(max(0, file.tell() - leave))
    return path


def config_of(*overrides: str):
    return kinds_of_run.config_of(*LINE, *overrides)


def left_by(folder: Path) -> tuple:
    record = read_record(folder)
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    curves = [(row[0], row[1], *row[3:]) for row in rows]
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    weights = {name: value.tolist() for name, value in last.items()}
    return record["best"], record["test"], curves, weights


@pytest.fixture
def whole(tmp_path):
    """Return what a run of three epochs leaves."""
    train(config_of(), tmp_path / "whole")
    return left_by(tmp_path / "whole")


@pytest.fixture
def longer(disk):
    """Train for one epoch on the small disk, and return the config of three."""
    train(config_of("trainer.max_epochs=1"), disk / "run")
    config = saved_config(disk / "run")
    config.trainer.max_epochs = 3
    return config


def test_a_run_on_a_full_disk_cannot_begin_and_stays_done(disk, whole, longer, caplog):
    filling, folder = fill(disk), disk / "run"
    with pytest.raises(UserError, match=r"cannot write to .*run: No space left on device"):
        train(longer, folder, resume=True)
    assert read_record(folder)["status"] == "done"
    assert "Traceback" not in caplog.text
    filling.unlink()
    train(longer, folder, resume=True)
    assert left_by(folder) == whole


@pytest.mark.parametrize(("leave", "epochs"), [(16384, 1), (49152, 2)])
def test_a_run_that_fills_the_disk_fails_and_resumes(disk, whole, longer, caplog, leave, epochs):
    filling, folder = fill(disk, leave), disk / "run"
    record = train(longer, folder, resume=True)
    assert (record["status"], record["error"]["kind"]) == ("failed", "space")
    assert record["epochs"] == epochs
    assert record["error"]["message"].startswith(f"no space: cannot write to {folder}: ")
    assert "Traceback" not in caplog.text
    filling.unlink()
    train(longer, folder, resume=True)
    assert left_by(folder) == whole


def test_a_stack_on_a_full_disk_ends_and_is_trained_later(disk, tmp_path, capsys):
    def jobs(folder):
        configs = [config_of(f"seed={seed}") for seed in range(3)]
        return [Job(config, folder / f"seed{config.seed}") for config in configs]

    train_jobs(jobs(tmp_path), workers=1)
    filling = fill(disk, leave=30000)
    train_jobs(jobs(disk), workers=1)
    assert any(needs_running(job.folder) for job in jobs(disk))
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    filling.unlink()
    train_jobs(jobs(disk), workers=1)
    for there, here in zip(jobs(tmp_path), jobs(disk), strict=True):
        assert left_by(there.folder) == left_by(here.folder)


def test_a_folder_that_cannot_be_written_is_named_with_its_space(disk):
    train(config_of("trainer.max_epochs=1"), disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(UserError, match=r"Read-only file system \(.* MiB free\)"):
        require_log_dir(str(disk))
    with pytest.raises(UserError, match=r"cannot write to .*run: Read-only .* MiB free"):
        run([f"resume={disk / 'run'}", "trainer.max_epochs=2"])
    assert read_record(disk / "run")["status"] == "done"


def test_an_impossible_folder_is_named():
    with pytest.raises(UserError, match=r"/dev/null/x: cannot create folders there: .* free"):
        require_log_dir("/dev/null/x")


def test_what_does_not_fit_is_not_left_in_half(disk):
    path = disk / "rows"
    append(path, b"one\n")
    fill(disk)
    with pytest.raises(OSError, match="No space"):
        append(path, b"x" * 10000)
    assert path.read_bytes() == b"one\n"
    with pytest.raises(OSError, match="No space"):
        overwrite(path, b"y" * 10000)
    assert path.read_bytes() == b"one\n"
    overwrite(path, b"two\n")
    assert path.read_bytes() == b"two\n"


def test_a_record_is_written_on_a_full_disk(disk):
    write_record(disk, new_record())
    fill(disk)
    write_record(disk, new_record() | {"status": "failed"})
    assert json.loads((disk / "record.json").read_text())["status"] == "failed"
    assert sorted(path.name for path in disk.iterdir()) == ["filling", "record.json"]
