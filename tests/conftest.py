"""What all tests share: made-up runs, the folder of the conformance suite, and options."""

import gc
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent / "losses"), str(Path(__file__).parent)]

pytest_plugins = ["made_up_runs", "made_up_maps"]

# nothing is kept in the user's folder
os.environ["LOSSLAB_CACHE"] = ""
os.environ["LOSSLAB_KERNELS"] = str(Path(tempfile.gettempdir(), f"losslab-tests-{os.getuid()}"))


def pytest_addoption(parser):
    parser.addoption(
        "--loss",
        metavar="NAME",
        help="run the conformance suite for this conf/loss/NAME.yaml alone",
    )
    parser.addoption(
        "--moments",
        metavar="N",
        type=int,
        default=2,
        help="how many jobs of Slurm tests/engines/test_kill_moments.py ends early",
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection(session):
    """Spare the garbage collector ten thousand tests, which it would search again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config, items):
    name = config.getoption("--loss")
    if name is None:
        return
    chosen = [item for item in items if _loss_of(item) == name]
    if not chosen:
        known = ", ".join(sorted({_loss_of(item) for item in items} - {None}))
        raise pytest.UsageError(f"--loss must name one of {known or 'tests/losses'}, got {name}")
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _loss_of(item):
    """The loss that a test of the conformance suite is about; None for other tests."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return getattr(parameters.get("case"), "name", None)


SAFE_PATH = os.environ.get("PYTHONSAFEPATH")


@pytest.fixture(scope="session", autouse=True)
def _quick_disk():
    """Do not wait for the disk: what was given to the system outlives the process."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def warm():
    """Start commands in forks of one process that has its imports behind it."""
    from warm import Server

    server = Server()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _own_safe_path():
    """Undo what a command run in this process, also by a shared fixture, sets for its workers."""
    yield
    if SAFE_PATH is None:
        os.environ.pop("PYTHONSAFEPATH", None)
