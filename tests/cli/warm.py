"""A process that has imported everything once and forks for each command.

A command as a user runs it spends five seconds on imports. A fork of this process is as much a
process of its own, with its own output, exit code and death, and begins where those imports end.
One request a line on the standard input (JSON: arguments, folder, environment, files for the
output), one exit code a line on the standard output.
"""

import json
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path


def serve() -> None:
    """Fork for each request until the input ends."""
    import losslab.cli
    import losslab.tasks
    import losslab.training  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(**request)
        print(_wait(child, request["timeout"]), file=answers, flush=True)


def _wait(child: int, timeout: float) -> int:
    """The child's exit code; after so many seconds it is killed, which gives -9."""

    def kill(*_):
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.alarm(int(timeout))
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    return os.waitstatus_to_exitcode(status)


def _become(arguments, folder, environment, out, err, timeout) -> None:
    """Be ``python arguments...`` from here on."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).parent)
    code = 0
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
