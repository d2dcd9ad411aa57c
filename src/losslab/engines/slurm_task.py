"""A task of Slurm: a command, and whether it is queued again when it is interrupted.

submitit calls it in a process of its own. Slurm sends its signals to all processes of a task. The
command saves its runs and ends, whichever signal it gets; this process waits for that, and then has
submitit queue the task again, if its time is over or if it gave way to another job. Slurm itself
queues a preempted job again, but not one that ends within the grace time of its partition.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from losslab.engines.slurm_queue import ask

OF_SRUN = ("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_PROCID", "SLURM_LOCALID")
"""Variables from which Lightning concludes that srun starts all processes of a run."""


class Task:
    """Command that a task of Slurm runs, in the folder where it was submitted.

    Args:
        arguments: arguments of Python.
    """

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self.folder = Path.cwd()

    def __call__(self) -> None:
        """Run the command, and exit as it does.

        Raises:
            SystemExit: with the exit status of the command.
        """
        environment = {name: each for name, each in os.environ.items() if name not in OF_SRUN}
        line = [sys.executable, *self.arguments]
        command = subprocess.Popen(line, cwd=self.folder, env=environment)
        queue_again: Any = signal.getsignal(signal.SIGUSR2)  # submitit's
        received: list[int] = []

        def pass_on(number: int, frame: Any) -> None:
            received.append(number)
            command.send_signal(number)

        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, pass_on)
        status = command.wait()
        was_interrupted = status not in (0, 1, 2)
        if was_interrupted and (signal.SIGUSR2 in received or _gives_way()):
            queue_again(signal.SIGUSR2, None)
        sys.exit(status if status >= 0 else 128 - status)

    def checkpoint(self) -> Any:
        """Return what submitit runs once the task has its turn again."""
        from submitit.helpers import DelayedSubmission  # noqa: PLC0415 (an extra)

        return DelayedSubmission(self)


def _gives_way() -> bool:
    """Return whether Slurm lets this task end by itself, to run another job."""
    answer = ask("scontrol", "--oneliner", "show", "job", os.environ["SLURM_JOB_ID"])
    shown = "" if answer is None else answer.stdout
    return bool(re.search(r"JobState=RUNNING\b.* PreemptTime=\d", shown))
