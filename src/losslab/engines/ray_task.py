"""A task of Ray: a command of losslab in a process of its own.

Ray sends this function to its workers by value, so that they need neither losslab nor the user's
environment, only the files: the command runs with the Python that launched it.
"""

import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence

CARRIED = ("PYTHON", "LOSSLAB_")
"""Beginnings of the variables that are as where the task was launched, whatever the worker has."""


def run(
    line: Sequence[str], folder: str, given: Mapping[str, str], output: str, grace: float
) -> tuple[int, str]:
    """Run a command, and end it if the task is cancelled.

    Args:
        line: the command.
        folder: its current folder.
        given: environment of the process that launched the task.
        output: file to which its output is appended.
        grace: seconds that it has to end if it is interrupted.

    Returns:
        Its exit status, and the host.

    Raises:
        RuntimeError: if it was killed: Ray runs it again.
    """
    import ray  # noqa: PLC0415 (an extra)

    environment = {
        **given,
        **os.environ,  # with the devices that Ray assigned to the task
        **{name: given[name] for name in given if name.startswith(CARRIED)},
        "LOSSLAB_JOB": f"ray:{ray.get_runtime_context().get_task_id()}",
        "LOSSLAB_PARENT": str(os.getpid()),
    }
    with open(output, "ab") as file:  # noqa: PTH123 (a path of another machine)
        process = subprocess.Popen(line, cwd=folder, env=environment, stdout=file, stderr=file)
    try:
        # Ray interrupts Python, but no call of the system
        while (status := process.poll()) is None:
            time.sleep(0.2)
    except KeyboardInterrupt:  # the task is cancelled
        process.terminate()
        try:
            process.wait(grace)
        finally:
            process.kill()
        raise
    if status < 0:
        raise RuntimeError(f"killed by signal {-status} on {platform.node()}, see {output}")
    return status, platform.node()
