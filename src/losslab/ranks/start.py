"""Start of a further rank: in a process of its own, or anew in this one."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

SOURCE = str(Path(__file__).resolve().parents[2])
COMMAND = [sys.executable, "-m", "losslab"]


def started(
    environment: Mapping[str, str], changes: Mapping[str, Any]
) -> "subprocess.Popen[bytes]":
    """Start a rank.

    Args:
        environment: environment variables of this process.
        changes: those in which the rank's differ.
    """
    return subprocess.Popen(COMMAND, env=_of_rank(environment, changes), stdin=subprocess.DEVNULL)


def start_anew(environment: Mapping[str, str], changes: Mapping[str, Any]) -> NoReturn:
    """Replace what this process runs by a new rank; what started it does not notice.

    All its connections close, whatever keeps them and whatever its threads wait for.

    Args:
        environment: environment variables with which the process began.
        changes: those in which the new rank's differ.
    """
    import psutil  # noqa: PLC0415 (commands without ranks do not need it)

    for child in psutil.Process().children(recursive=True):  # which read data
        with suppress(psutil.NoSuchProcess):
            child.kill()
    # files of libraries would stay open; closed here, threads that use them would end the process
    for number in (int(each.name) for each in Path("/dev/fd").iterdir()):
        if number > 2:
            with suppress(OSError):  # that of the list
                os.set_inheritable(number, False)
    os.execve(COMMAND[0], COMMAND, _of_rank(environment, changes))


def _of_rank(environment: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, str]:
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    path = [SOURCE, *(each for each in given if each not in ("", SOURCE))]
    changed = {name: str(value) for name, value in changes.items()}
    # modules in the current folder do not hide those of the libraries
    python = {"PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1"}
    return {**environment, **changed, **python}
