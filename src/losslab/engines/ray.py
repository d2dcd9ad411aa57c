"""Ray: a remote task per unit of a sweep, on an existing cluster or on this machine."""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from losslab.config.errors import UserError, described
from losslab.config.extras import is_installed, not_installed
from losslab.config.interruption import GRACE_SECONDS
from losslab.engines import ray_task
from losslab.engines.launched import Launched
from losslab.engines.options import RayOptions, work
from losslab.progress import show
from losslab.units import unfinished

LOGS = "ray"
"""Folder in that of a sweep with the output of its tasks."""
CONNECT_SECONDS = 10.0
"""Time in which a cluster has to answer."""


def require_ray(options: RayOptions) -> None:
    """Connect to the cluster, or start one on this machine.

    Raises:
        UserError: if Ray is not installed, or the cluster cannot be reached.
    """
    if not is_installed("ray"):
        raise UserError(f"hydra/launcher=ray: {not_installed('ray')}")
    address = options.address or os.environ.get("RAY_ADDRESS")
    _require_answer(address)
    import ray  # noqa: PLC0415 (an extra)

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    on_sigterm = signal.getsignal(signal.SIGTERM)  # Ray would exit without a word
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address, described(error)) from error
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)


def _require_answer(address: str | None) -> None:
    """Check that somebody listens, which Ray would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.rpartition("/")[2], int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str | None, reason: str) -> UserError:
    return UserError(
        f"hydra.launcher.address={address}: no cluster of Ray answers: {reason}; start one with "
        "'ray start --head', or leave the address out to train on this machine"
    )


def launch(folder: Path, options: RayOptions) -> None:
    """Train the unfinished units of a sweep, and wait for them.

    Args:
        folder: folder of the sweep.
        options: options of the launcher.
    """
    require_ray(options)
    import ray  # noqa: PLC0415 (an extra)

    Launched("ray", [ray.get_runtime_context().get_job_id()], waits=True).write(folder)
    logs = folder.absolute() / LOGS
    logs.mkdir(exist_ok=True)
    tasks = {}
    for unit in unfinished(folder):
        line = [sys.executable, "-m", "losslab", *work(folder, unit.number, options)]
        tasks[start(line, logs / f"unit{unit.number}.log", options)] = unit.number
    try:
        follow(tasks)
    finally:
        ray.shutdown()


def start(line: Sequence[str], output: Path, options: RayOptions) -> Any:
    """Start a command as a task, in the current folder.

    Args:
        line: the command.
        output: file to which its output is appended, for all nodes.
        options: options of the launcher.

    Returns:
        The task.
    """
    import ray  # noqa: PLC0415 (an extra)

    ray.cloudpickle.register_pickle_by_value(ray_task)
    task = ray.remote(ray_task.run).options(
        name=output.stem,
        num_cpus=options.num_cpus,
        num_gpus=options.num_gpus,
        max_retries=options.max_retries,
        retry_exceptions=True,
    )
    return task.remote(list(line), str(Path.cwd()), dict(os.environ), str(output), GRACE_SECONDS)


def follow(tasks: Mapping[Any, int]) -> None:
    """Wait for tasks, and tell of each how it ended; end them if this is interrupted.

    Args:
        tasks: number of the unit of each task.
    """
    import ray  # noqa: PLC0415 (an extra)

    left = list(tasks)
    try:
        while left:
            [task], left = ray.wait(left)
            show(f"unit {tasks[task]} ended {_end(task)}")
    except KeyboardInterrupt:
        for task in left:
            ray.cancel(task)
        ray.wait(left, num_returns=len(left), timeout=2 * GRACE_SECONDS)
        raise


def _end(task: Any) -> str:
    """Return where and how a task ended."""
    import ray  # noqa: PLC0415 (an extra)

    try:
        status, host = ray.get(task)
    except ray.exceptions.RayError as error:
        return f"without a result: {described(error)}"
    return f"on {host}" + (f" with exit status {status}" if status else "")
