"""Command lines that must be refused, tried in this process."""

import contextlib
import io
import json
import os
import shlex
import sys
import tempfile
from importlib.abc import MetaPathFinder
from pathlib import Path
from unittest import mock

LIBRARIES = ("torch", "numpy", "scipy", "sklearn", "pandas", "matplotlib", "tensorboard")
"""Libraries that take seconds to import."""


class Started(BaseException):
    """The command got as far as running something, or importing one of the libraries."""


class Refuse(MetaPathFinder):
    """Import hook that stops a command before one of the libraries is imported."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname in LIBRARIES:
            raise Started(f"it imports {fullname}")


def attempt(line, folder):
    """Return exit code, standard error and new files of a command in a folder."""
    from losslab import cli

    before = set(folder.rglob("*"))
    path, here, out, err = list(sys.path), Path.cwd(), io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ))
        stack.enter_context(mock.patch("sys.argv", ["train.py", *shlex.split(line)]))
        for start in ("losslab.cli.run_composed", "hydra.main"):  # of a run, and of a sweep
            stack.enter_context(mock.patch(start, side_effect=Started("it runs")))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        os.chdir(folder)
        try:
            cli.main()
        except SystemExit as leaving:
            code = leaving.code
        except Started as started:
            code = str(started)
        finally:
            os.chdir(here)
            sys.path[:] = path
    return {"code": code, "err": err.getvalue(), "new": sorted(map(str, _files(folder) - before))}


def _files(folder):
    return {each for each in folder.rglob("*") if each.name != "__pycache__"}


def main():
    """Try the command lines on standard input, a JSON list, without the libraries."""
    lines = json.load(sys.stdin)
    sys.meta_path.insert(0, Refuse())
    with tempfile.TemporaryDirectory() as folder:
        outcomes = {line: attempt(line, Path(folder)) for line in lines}
    json.dump(outcomes, sys.stdout)


if __name__ == "__main__":
    main()
