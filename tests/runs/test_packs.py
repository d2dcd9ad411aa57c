"""The runs of a finished unit in one file."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from losslab.config.overrides import with_quoted_path
from losslab.runs import packs
from losslab.runs.files import FileError
from losslab.runs.folder import find_runs, is_run, is_sweep
from losslab.runs.packing import unpack, write_pack
from losslab.runs.record import read_record, write_record
from made_up_runs import made_up

RUNS = [("mse", 0), ("mse", 1), ("mse", 10), ("huber,delta=2", 0)]


def write_run(folder, loss, seed):
    run = folder / loss / f"seed{seed}"
    (run / "figures").mkdir(parents=True)
    write_record(run, made_up(loss, seed, 1.0).record)
    (run / "metrics.csv").write_text("epoch,step,seconds,name,value\n" + 50 * "0,1,0.5,val/mae,2\n")
    (run / "figures" / "test_fit.png").write_bytes(bytes(range(256)))
    (run / "claim.1").touch()
    return run


@pytest.fixture
def sweep(tmp_path):
    """A sweep of four runs in two packs and one on disk, and copies of the packed ones."""
    folder = tmp_path / "sweep"
    (folder / packs.UNITS).mkdir(parents=True)
    runs = [write_run(folder, *each) for each in RUNS]
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("claim.*"))
    write_pack(folder, 1, runs[:2])
    write_pack(folder, 2, runs[2:])
    write_run(folder, "mae", 3)
    return folder


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_packed_runs_are_found_where_they_were(sweep, monkeypatch):
    names = ["huber,delta=2/seed0", "mae/seed3", "mse/seed0", "mse/seed1", "mse/seed10"]
    assert find_runs(sweep) == find_runs(sweep.parent / "sweep") == [sweep / each for each in names]
    assert find_runs(sweep / "mse") == [sweep / f"mse/seed{each}" for each in (0, 1, 10)]
    assert find_runs(sweep / "mse" / "seed10") == [sweep / "mse" / "seed10"]
    assert find_runs(sweep / "ms") == []
    assert set(find_runs(sweep.parent)) > set(find_runs(sweep))
    monkeypatch.chdir(sweep)
    assert find_runs(Path("mse/seed1")) == [Path("mse/seed1")]
    assert read_record(Path("mse/seed1"))["seed"] == 1
    assert is_run(sweep / "mse" / "seed1")
    assert not is_run(sweep / "mse" / "seed2")
    assert is_sweep(sweep)
    assert not (sweep / "mse").exists()
    assert len(contents(sweep / packs.UNITS)) == 2


def test_their_files_are_read_as_if_they_were_on_disk(sweep):
    copy = sweep.parent / "copy"
    for run in packs.packed_runs(sweep):
        its_copy = copy / run.relative_to(sweep)
        assert read_record(run) == read_record(its_copy)
        for name, content in contents(its_copy).items():
            assert packs.open_file(run / name).read() == content
            assert packs.exists(run / name)
        assert packs.files_in(run / "figures", ".png") == [run / "figures" / "test_fit.png"]
        assert packs.files_in(run, ".png") == []
    missing = run / "none.json"
    assert not packs.exists(missing)
    with pytest.raises(FileNotFoundError):
        packs.open_file(missing)


def test_they_are_written_back_as_they_were(sweep):
    for run in packs.packed_runs(sweep):
        assert packs.is_packed(run)
        unpack(run)
        assert not packs.is_packed(run)
    shutil.rmtree(sweep / "mae")
    shutil.rmtree(sweep / packs.UNITS)
    assert contents(sweep) == contents(sweep.parent / "copy")


def test_a_file_on_disk_comes_first(sweep):
    run = sweep / "mse" / "seed0"
    unpack(run)
    record = read_record(run)
    record["epochs"] = 77
    write_record(run, record)
    assert read_record(run)["epochs"] == 77
    assert find_runs(sweep).count(run) == 1


@pytest.mark.parametrize("killed_after", ["the pack", "the record"])
def test_a_kill_while_folders_are_removed_loses_nothing(sweep, killed_after):
    copy = sweep.parent / "copy"
    run = sweep / "mse" / "seed1"
    shutil.copytree(copy / "mse" / "seed1", run)  # as if nothing of it had been removed
    if killed_after == "the record":
        (run / packs.RECORD).unlink()
        (run / "metrics.csv").unlink()
        assert packs.is_packed(run)
        unpack(run)
    assert contents(run) == contents(copy / "mse" / "seed1")
    assert read_record(run)["seed"] == 1


def test_a_kill_while_a_pack_is_written_leaves_the_folders(sweep, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *arguments: pytest.fail("killed"))
    run = sweep / "mae" / "seed3"
    with pytest.raises(pytest.fail.Exception):
        write_pack(sweep, 3, [run])
    assert not packs.pack_file(sweep, 3).exists()
    assert not packs.is_packed(run)
    assert is_run(run)


def test_the_path_of_a_packed_run_is_quoted_for_hydra(sweep):
    run = sweep / "huber,delta=2" / "seed0"
    assert with_quoted_path([f"ckpt_path={run}"]) == [f"ckpt_path='{run}'"]


def test_a_new_pack_is_noticed_by_readers(sweep):
    run = sweep / "mae" / "seed3"
    assert not packs.is_packed(run)
    write_pack(sweep, 3, [run])
    assert packs.is_packed(run)
    assert read_record(run)["seed"] == 3


def test_a_damaged_pack_is_named(sweep):
    pack = packs.pack_file(sweep, 1)
    run = sweep / "mse" / "seed1"
    assert is_run(run)
    content = pack.read_bytes()
    pack.write_bytes(content[:100] + bytes(len(content) - 100))
    with pytest.raises(FileError, match=r"1\.sqlar is damaged"):
        read_record(run)


def test_a_pack_is_an_archive_that_other_programs_read(sweep):
    archive = sqlite3.connect(packs.pack_file(sweep, 1))
    query = "SELECT name, sz, length(data) FROM sqlar WHERE name LIKE '%metrics.csv'"
    rows = archive.execute(query).fetchall()
    assert [name for name, _, _ in rows] == ["mse/seed0/metrics.csv", "mse/seed1/metrics.csv"]
    assert all(length < size / 5 for _, size, length in rows)
    archive.close()


def test_processes_and_threads_read_the_same_pack(sweep):
    run = sweep / "mse" / "seed0"
    assert read_record(run)["seed"] == 0
    program = (
        "import sys, os, threading; from pathlib import Path\n"
        "from losslab.runs.record import read_record\n"
        "run = Path(sys.argv[1]); found = [read_record(run)['seed']]\n"
        "thread = threading.Thread(target=lambda: found.append(read_record(run)['seed']))\n"
        "thread.start(); thread.join()\n"
        "if os.fork() == 0: os._exit(read_record(run)['seed'])\n"
        "print(found, os.wait()[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, run], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[0, 0] 0\n"
