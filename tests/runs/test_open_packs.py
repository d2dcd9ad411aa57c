"""The runs of a unit in training in one file."""

import errno
import json
import multiprocessing
import os
import platform
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from losslab.config.errors import UserError
from losslab.runs import open_packs, packs
from losslab.runs.check import needs_running, unit_worker, worker_of
from losslab.runs.claims import Claimed, TakenOver, claim
from losslab.runs.files import FileError
from losslab.runs.folder import find_runs, is_run
from losslab.runs.open_packs import open_pack
from losslab.runs.packing import row, unpack, write_pack
from losslab.runs.process import pid_namespace
from losslab.runs.record import read_record, write_record
from losslab.runs.writer import RunWriter
from made_up_runs import made_up

NAMES = ["mse/seed0", "mse/seed1", "mae/seed0"]


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A planned sweep of one unit, and a disk of this machine that is another one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    folder = tmp_path / "sweep"
    (folder / "units" / "1").mkdir(parents=True)
    (folder / "sweep.json").write_text("{}")
    runs = [{"folder": name, "overrides": []} for name in NAMES]
    units = {"version": 2, "most": 3, "pack": True, "units": [{"stacked": True, "runs": runs}]}
    (folder / "units.json").write_text(json.dumps(units))
    return folder


@contextmanager
def opened(sweep):
    with claim(sweep / "units" / "1") as held, open_pack(sweep, 1, held) as pack:
        yield pack


def trained(place, epochs, status="running"):
    """Write the files of a run that has trained so many epochs."""
    place.mkdir(parents=True, exist_ok=True)
    loss, seed = place.parent.name, int(place.name.removeprefix("seed"))
    write_record(place, made_up(loss, seed, 1.0, status=status, epochs=epochs).record)
    (place / "metrics.csv").write_text("epoch,step,seconds,name,value\n" + epochs * "0,1,0,a,2\n")
    (place / "checkpoints").mkdir(exist_ok=True)
    (place / "checkpoints" / "last.ckpt").write_bytes(bytes(epochs))
    return place


def made_by(folder, number=1, age=0.0, **owner):
    """Write a claim of a process on another host, or of another one on this host."""
    path = folder / f"claim.{number}"
    other = {"host": "elsewhere", "pid": 1, "process_start": None, "namespace": None, "job": None}
    path.write_text(json.dumps(other | owner))
    os.utime(path, (time.time() - age, time.time() - age))


def epochs(sweep):
    return {str(run.relative_to(sweep)): read_record(run)["epochs"] for run in find_runs(sweep)}


def files(folder):
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if "claim." not in name)


def test_readers_see_the_runs_as_they_were_published(sweep):
    with opened(sweep) as pack:
        first, second = (trained(pack.place(sweep / name), 1) for name in NAMES[:2])
        assert epochs(sweep) == {}
        pack.publish()
        assert epochs(sweep) == {"mse/seed0": 1, "mse/seed1": 1}
        trained(first, 2)
        (second / "metrics.csv").unlink()
        assert epochs(sweep) == {"mse/seed0": 1, "mse/seed1": 1}
        assert packs.exists(sweep / "mse/seed1/metrics.csv")
        pack.publish()
        assert epochs(sweep) == {"mse/seed0": 2, "mse/seed1": 1}
        assert not packs.exists(sweep / "mse/seed1/metrics.csv")
        assert packs.packed(sweep / "mse/seed0/checkpoints/last.ckpt") == bytes(2)
        trained(second, 3)
        expected = ["sweep.json", "units.json", "units/open/1.sqlar"]
        assert files(sweep) == expected
    assert epochs(sweep) == {"mse/seed0": 2, "mse/seed1": 3}
    assert files(sweep) == expected
    assert not files(sweep.parent / "own")


def test_a_unit_goes_on_from_what_was_published(sweep):
    with opened(sweep) as pack:
        place = trained(pack.place(sweep / NAMES[0]), 5)
        before = {name: (place / name).read_bytes() for name in files(place)}
    with opened(sweep) as pack:
        again, new = pack.place(sweep / NAMES[0]), pack.place(sweep / NAMES[1])
        assert {name: (again / name).read_bytes() for name in files(again)} == before
        assert not files(new)
        trained(new, 2)
    assert epochs(sweep) == {"mse/seed0": 5, "mse/seed1": 2}


def test_a_save_writes_what_has_changed(sweep, monkeypatch):
    written = []
    monkeypatch.setattr(
        open_packs, "row", lambda path, root: written.append(path) or row(path, root)
    )
    with opened(sweep) as pack:
        _, second = (trained(pack.place(sweep / name), 1) for name in NAMES[:2])
        pack.publish()
        assert len(written) == 6
        written.clear()
        with (second / "metrics.csv").open("a") as file:
            file.write("1,2,0,a,2\n")
        pack.publish()
        assert written == [second / "metrics.csv"]
    written.clear()
    with opened(sweep) as pack:
        pack.place(sweep / NAMES[0])
        write_record(pack.place(sweep / NAMES[1]), read_record(sweep / NAMES[1]))
    assert [path.name for path in written] == ["record.json"]


def test_a_run_that_began_in_its_folder_goes_on_there(sweep):
    on_disk, left = sweep / NAMES[0], sweep / NAMES[2]
    trained(on_disk, 3)
    left.mkdir(parents=True)
    (left / "metrics.csv").write_text("of a process that was killed before it had a record")
    with opened(sweep) as pack:
        assert pack.place(on_disk) == on_disk
        assert pack.place(left) != left
        assert not left.parent.exists()
        for name in NAMES[1:]:
            trained(pack.place(sweep / name), 1, "done")
    trained(on_disk, 4, "done")
    write_pack(sweep, 1, [sweep / name for name in NAMES])
    assert epochs(sweep) == {"mae/seed0": 1, "mse/seed0": 4, "mse/seed1": 1}
    assert files(sweep) == ["sweep.json", "units.json", "units/1.sqlar"]


def test_a_finished_unit_takes_the_open_pack_as_it_is(sweep):
    with opened(sweep) as pack:
        for name in NAMES:
            trained(pack.place(sweep / name), 1, "done")
    opened_pack = packs.open_pack_file(sweep, 1)
    status = opened_pack.stat()
    write_pack(sweep, 1, [sweep / name for name in NAMES])
    assert packs.pack_file(sweep, 1).stat().st_ino == status.st_ino
    assert not opened_pack.exists()
    assert epochs(sweep) == dict.fromkeys(NAMES, 1)


def test_a_worker_that_was_replaced_writes_nothing_more(sweep):
    with opened(sweep) as pack:
        place = trained(pack.place(sweep / NAMES[0]), 1)
        pack.publish()
        before = packs.open_pack_file(sweep, 1).read_bytes()
        trained(place, 2)
        made_by(sweep / "units" / "1", 9)
        pack._held._touched -= 100
        with pytest.raises(TakenOver):
            pack.publish()
    assert packs.open_pack_file(sweep, 1).read_bytes() == before
    assert not files(sweep.parent / "own")


def test_a_full_disk_leaves_the_pack_that_was_published_last(sweep, monkeypatch):
    def full(source, target):
        Path(target).write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    with ExitStack() as stack:
        pack = stack.enter_context(opened(sweep))
        place = trained(pack.place(sweep / NAMES[0]), 1)
        pack.publish()
        trained(place, 2)
        monkeypatch.setattr(open_packs.shutil, "copyfile", full)
        with pytest.raises(OSError, match="No space left"):
            stack.close()
    assert epochs(sweep) == {"mse/seed0": 1}
    assert [path for path in files(sweep) if "open" in path] == ["units/open/1.sqlar"]


def test_what_killed_processes_left_is_removed(sweep):
    own = Path(tempfile.gettempdir())
    for name in ("dead", "live", "new"):
        (own / f"{open_packs.PRIVATE}{name}").mkdir()
    made_by(
        own / f"{open_packs.PRIVATE}dead",
        host=platform.node(),
        namespace=pid_namespace(),
        pid=2**30,
    )
    made_by(own / f"{open_packs.PRIVATE}live")
    part = packs.open_pack_file(sweep, 1).with_name(".1.sqlar.77.tmp")
    other = part.with_name(".2.sqlar.77.tmp")
    part.parent.mkdir()
    for path in (part, other):
        path.touch()
    with opened(sweep):
        assert not part.exists()
        assert other.exists()
    assert sorted(path.name for path in own.iterdir()) == [
        f"{open_packs.PRIVATE}{name}" for name in ("live", "new")
    ]


def test_a_damaged_open_pack_is_named(sweep):
    with opened(sweep) as pack:
        trained(pack.place(sweep / NAMES[0]), 1)
    path = packs.open_pack_file(sweep, 1)
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(len(content) - 100))
    with pytest.raises(FileError, match=r"1\.sqlar is damaged: .*; remove it"), opened(sweep):
        pytest.fail("must not begin anew")
    assert not files(sweep.parent / "own")


def test_who_works_on_a_unit_works_on_its_runs(sweep):
    failed, begun, new = (sweep / name for name in NAMES)
    with opened(sweep) as pack:
        trained(pack.place(failed), 1, "failed")
        trained(pack.place(begun), 1)
        pack.publish()
        assert all(unit_worker(sweep / name) is None for name in NAMES)  # but this process
        assert worker_of(begun, read_record(begun)) is None
    assert all(needs_running(sweep / name) for name in NAMES)
    made_by(sweep / "units" / "1", 9)
    assert not any(needs_running(sweep / name) for name in NAMES)
    assert needs_running(sweep / "mse/seed77")
    assert worker_of(begun, read_record(begun)) == "process 1 on elsewhere"
    with pytest.raises(Claimed, match="process 1 on elsewhere is working on the unit of"):
        RunWriter(new, "val/a", "min", events=False).start({"loss": "mse"})
    with pytest.raises(UserError, match="process 1 on elsewhere is working on"):
        unpack(begun)
    assert not (begun / "record.json").exists()
    made_by(sweep / "units" / "1", 10, age=500)
    assert all(needs_running(sweep / name) for name in NAMES)
    unpack(begun)
    assert read_record(begun)["epochs"] == 1
    assert (begun / "record.json").exists()


def read_on(sweep, ready, found):
    """Read the runs again and again until they are packed; tell how far they were."""
    seen, runs = [], [sweep / name for name in NAMES]
    while True:
        records = [read_record(run) for run in runs]
        lengths = {len(packs.packed(run / "checkpoints" / "last.ckpt")) for run in runs}
        assert all(map(is_run, runs))
        assert len(lengths) <= 2  # of one save, or of two
        seen.append((records[0]["epochs"], records[0]["status"]))
        ready.set()
        if records[0]["status"] == "done" and packs.pack_file(sweep, 1).exists():
            break
    found.put(seen)


def test_a_reader_misses_nothing_while_packs_are_replaced(sweep):
    """A run is there at each moment, whole, and never older than it was."""
    context = multiprocessing.get_context("spawn")
    ready, found = context.Event(), context.Queue()
    reader = context.Process(target=read_on, args=(sweep, ready, found))
    with opened(sweep) as pack:
        places = [pack.place(sweep / name) for name in NAMES]
        for epoch in range(1, 60):
            for place in places:
                trained(place, epoch, "done" if epoch == 59 else "running")
            pack.publish()
            if epoch == 1:
                reader.start()
            ready.clear()
            assert ready.wait(30)  # so that it sees no more than two saves at a time
        write_pack(sweep, 1, [sweep / name for name in NAMES])
        seen = found.get(timeout=30)
        reader.join()
    assert reader.exitcode == 0
    assert seen == sorted(seen, key=lambda each: each[0])
    assert seen[-1] == (59, "done")
    assert len(set(seen)) > 5


def test_a_pack_that_is_closed_while_it_is_opened_is_not_made_anew(sweep, monkeypatch):
    with opened(sweep) as pack:
        trained(pack.place(sweep / NAMES[0]), 1)
    file, connect = packs.open_pack_file(sweep, 1), packs._archive.__wrapped__

    def close_first(*arguments):
        file.unlink(missing_ok=True)
        return connect(*arguments)

    packs._index.cache_clear()
    packs._runs_in.cache_clear()
    monkeypatch.setattr(packs, "_archive", close_first)
    assert packs.find_pack(sweep / NAMES[0]) is None
    assert not file.exists()


def test_a_pack_that_a_network_file_system_lost_is_opened_again(sweep, monkeypatch):
    """A handle of a file that was replaced from another host is stale."""
    with opened(sweep) as pack:
        trained(pack.place(sweep / NAMES[0]), 1)
    assert epochs(sweep) == {"mse/seed0": 1}
    real, stale = packs._select, [OSError(errno.ESTALE, "Stale file handle")]

    def select(*arguments):
        if stale:
            raise stale.pop()
        return real(*arguments)

    monkeypatch.setattr(packs, "_select", select)
    assert read_record(sweep / NAMES[0])["epochs"] == 1
    assert not stale


def test_a_pack_that_is_closed_between_two_looks_is_found(sweep, monkeypatch):
    with opened(sweep) as pack:
        for name in NAMES:
            trained(pack.place(sweep / name), 1, "done")
    looked, index = [], packs._index

    def index_then_close(folder, changed):
        runs = index(folder, changed)
        if not looked:
            write_pack(sweep, 1, [sweep / name for name in NAMES])
        looked.append(folder.name)
        return runs

    index_then_close.__wrapped__ = index_then_close
    monkeypatch.setattr(packs, "_index", index_then_close)
    assert packs.find_pack(sweep / NAMES[0]) == packs.pack_file(sweep, 1)
    assert looked == ["units", "open", "units"]
