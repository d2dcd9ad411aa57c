"""Commands as processes, without the seconds that their imports take.

A server that has imported everything once forks for each command. A fork is a process of its own,
with its own arguments, folder, environment, output, signals and exit status, and it ends as an
interpreter ends. It differs from a new one in what is imported already and in that all forks have
the same hash seed: tests of either start a process of their own.

A request is a line of JSON on the standard input of the server, its answer one on the standard
output: ``start`` gives the process id, ``poll`` the exit status or ``null``.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


class Server:
    """The side of the tests."""

    def __init__(self) -> None:
        # what commands in this process have left there would be part of its import path
        clean = {name: os.environ[name] for name in os.environ if not name.startswith("LOSSLAB_")}
        self._server = subprocess.Popen(
            [sys.executable, "-P", __file__],
            env=clean,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._server.stdout.readline() == "ready\n"

    def ask(self, **request):
        """Return the answer of the server."""
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(self, arguments, folder, environment=None, out=os.devnull, err=os.devnull):
        """Start ``python ARGUMENTS`` in a folder, with its output in files.

        Args:
            arguments: ``FILE ...`` or ``-m MODULE ...``, after ``-P`` if Python gets that.
            folder: current folder of the process, the leader of a process group.
            environment: all of its environment variables; those of this process by default.
            out: file to which its standard output is appended.
            err: file to which its standard error is appended.
        """
        return Process(
            self,
            arguments=list(map(str, arguments)),
            folder=str(folder),
            environment=dict(os.environ if environment is None else environment),
            outputs=[str(out), str(err)],
        )

    def run(self, arguments, folder, environment=None, timeout=300):
        """Run ``python ARGUMENTS`` to its end; return what subprocess.run would return."""
        with tempfile.TemporaryDirectory() as outputs:
            out, err = Path(outputs, "out"), Path(outputs, "err")
            code = self.start(arguments, folder, environment, out, err).wait(timeout)
            return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the server."""
        self._server.stdin.close()
        self._server.wait(timeout=60)


class Process:
    """A process that the server has started, with what tests use of subprocess.Popen."""

    def __init__(self, server: Server, **request) -> None:
        self._ask, self.args, self.returncode = server.ask, request["arguments"], None
        self.pid = self._ask(start=request)

    def poll(self):
        """Return the exit status, as subprocess has it, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float = 300) -> int:
        """Wait for the end; kill the process after so many seconds."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                self.send_signal(signal.SIGKILL)
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)


def serve() -> dict:
    """Answer until the input ends; return the request in the fork that is to fulfil it."""
    answers = os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            ended, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            answer = os.fork()
            if answer == 0:
                return request["start"]
        print(json.dumps(answer), file=answers, flush=True)
    raise SystemExit


def become(arguments, folder, environment, outputs) -> None:
    """Be ``python ARGUMENTS`` from here on."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    safe = arguments[0] == "-P" or "PYTHONSAFEPATH" in environment
    sys.argv = arguments[1:] if arguments[0] == "-P" else arguments
    if sys.argv[0] == "-m":
        del sys.argv[0]
        sys.path[:0] = [] if safe else [folder]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[:0] = [] if safe else [str(Path(sys.argv[0]).parent)]
        runpy.run_path(sys.argv[0], run_name="__main__")


def end(status: int) -> None:
    """End as an interpreter does, but leave the memory to the system: half a second less."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def preload() -> None:
    """Import all of losslab."""
    import losslab

    for module in pkgutil.walk_packages(losslab.__path__, "losslab."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()


if __name__ == "__main__":
    preload()
    request = serve()
    try:
        become(**request)
    except SystemExit as leaving:
        if not isinstance(leaving.code or 0, int):
            raise
        end(leaving.code or 0)
    end(0)
