"""What Slurm knows of its jobs."""

import re
import subprocess
from collections.abc import Collection
from dataclasses import dataclass

ASK_SECONDS = 60.0
"""Time in which Slurm has to answer."""

WORKING = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT")
"""States of a job whose processes may exist."""
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD")
"""States of a job that will run, for the first time or again."""


@dataclass(frozen=True)
class State:
    """State of a job.

    Attributes:
        name: in Slurm's words.
        restarts: how often the job was queued again.
        nodes: where it runs or ran; empty if it never did.
    """

    name: str
    restarts: int
    nodes: str

    @property
    def has_ended(self) -> bool:
        """Whether the job will do nothing any more."""
        return self.name not in (*WORKING, *WAITING)


def ask(*command: str) -> subprocess.CompletedProcess[str] | None:
    """Run a command of Slurm; return ``None`` if that is not possible, or there is no answer."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def reason(printed: str) -> str:
    r"""Return the errors that a command of Slurm printed, in one line.

    Example:
        >>> reason("sbatch: error: invalid partition: foo\nallocation failure: Invalid name\n")
        'invalid partition: foo; Invalid name'
    """
    words = r"^(\w+: )?(error|allocation failure|Batch job submission failed): "
    lines = (re.sub(words, "", line).strip() for line in printed.splitlines())
    return "; ".join(dict.fromkeys(filter(None, lines)))


def states(jobs: Collection[str]) -> dict[str, State] | None:
    """Return the state of each job that Slurm still knows, those of an array by ``ARRAY_TASK``.

    Returns:
        ``None`` if Slurm does not answer. It forgets a job some minutes after its end.
    """
    if not jobs:
        return {}
    columns = "JobArrayID:60,State:40,RestartCnt:20,NodeList:400"
    answer = ask(
        *("squeue", "--noheader", "--array", "--states=all"),
        *(f"--jobs={','.join(jobs)}", f"--Format={columns}"),
    )
    if answer is None or (answer.returncode and "Invalid job id" not in answer.stderr):
        return None
    lines = [line.split() for line in answer.stdout.splitlines()]
    return {job: State(name, int(n), "".join(nodes)) for job, name, n, *nodes in lines}


def is_gone(job: str) -> bool | None:
    """Return whether the process of a job has ended.

    Args:
        job: its id, the number of its restart and its cluster: ``17_3@north``, or ``17_3+1@north``
            for a process that started after the job was queued again.

    Returns:
        ``None`` if Slurm does not answer, or only that of another cluster does.
    """
    name, _, cluster = job.partition("@")
    name, _, restarts = name.partition("+")
    known = states([name]) if cluster == _cluster() else None
    if known is None:
        return None
    state = known.get(name)
    return state is None or state.name not in WORKING or state.restarts > int(restarts or 0)


def _cluster() -> str | None:
    """Return the name of the cluster of this machine."""
    answer = ask("scontrol", "show", "config")
    found = answer and re.search(r"^ClusterName\s*=\s*(\S+)", answer.stdout, re.MULTILINE)
    return found[1] if found else None
