"""A fork of the warm server is what a new interpreter is."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAMS = {
    "end": "print('out')",
    "status": "import sys; print('err', file=sys.stderr); sys.exit(3)",
    "message": "raise SystemExit('said')",
    "exception": "raise ValueError('raised')",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "interruption": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "at exit": "import atexit; atexit.register(print, 'last'); raise SystemExit",
    "thread": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()",
    "surroundings": "import os, sys\n"
    "print(sys.argv, sys.path, sys.stdin.read(), os.getcwd(), sorted(os.environ), __file__)\n"
    "print(__name__, sys.modules['__main__'].__file__, os.getpgid(0) == os.getpid())",
}


def both(warm, folder, *arguments):
    """Return exit status, output and last line of the errors: of a fork, and of an interpreter."""
    cold = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=dict(os.environ),  # without what C libraries have added to it
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=False,
    )
    return [
        (done.returncode, done.stdout, done.stderr.splitlines()[-1:])
        for done in (warm.run(arguments, folder), cold)
    ]


@pytest.mark.slow  # starting the server is
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_it_ends_and_prints_as_a_new_interpreter(warm, tmp_path, program):
    (tmp_path / "program.py").write_text(program)
    fork, cold = both(warm, tmp_path, str(tmp_path / "program.py"), "a b", "-c")
    assert fork == cold


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["-m"], ["-P", "-m"]], ids=" ".join)
def test_it_has_the_modules_of_its_folder_unless_the_path_is_safe(warm, tmp_path, flags):
    (tmp_path / "program.py").write_text(PROGRAMS["surroundings"])
    fork, cold = both(warm, tmp_path, *flags, "program", "argument")
    assert fork[:2] == cold[:2]
    assert fork[0] == (flags[0] == "-P")


@pytest.mark.slow
def test_it_is_killed_after_its_time(warm, tmp_path):
    (tmp_path / "program.py").write_text("import time; time.sleep(60)")
    done = warm.run([tmp_path / "program.py"], tmp_path, timeout=0.1)
    assert done.returncode == -signal.SIGKILL
