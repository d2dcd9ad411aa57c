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
    """Check that Ray is installed, and that something listens at the address of a cluster.

    Raises:
        UserError: if not.
    """
    if not is_installed("ray"):
        raise UserError(f"hydra/launcher=ray: {not_installed('ray')}")
    host, colon, port = _address(options).rpartition(":")
    if colon and port.isdecimal():  # Ray itself would try for minutes
        try:
            place = (host.rpartition("/")[2], int(port))
            socket.create_connection(place, CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(options, error) from error


def connect(options: RayOptions) -> None:
    """Connect to the cluster, or start one on this machine.

    Raises:
        UserError: if that fails.
    """
    import ray  # noqa: PLC0415 (an extra)

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    on_sigterm = signal.getsignal(signal.SIGTERM)  # with Ray's, nothing would be recorded
    try:
        ray.init(_address(options) or None, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(options, error) from error
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)


def _address(options: RayOptions) -> str:
    return options.address or os.environ.get("RAY_ADDRESS", "")


def _unreachable(options: RayOptions, error: Exception) -> UserError:
    where = _address(options) or "this machine"
    return UserError(
        f"hydra/launcher=ray: no cluster answers at {where}: {described(error)}; start one with "
        "'ray start --head', or leave hydra.launcher.address out to train on this machine"
    )


def launch(folder: Path, options: RayOptions) -> None:
    """Train the unfinished units of a sweep, and wait for them.

    Args:
        folder: folder of the sweep.
        options: options of the launcher.
    """
    import ray  # noqa: PLC0415 (an extra)

    units = unfinished(folder)
    if not units:
        return
    connect(options)
    Launched("ray", [ray.get_runtime_context().get_job_id()], waits=True).write(folder)
    logs = folder.absolute() / LOGS
    logs.mkdir(exist_ok=True)
    tasks = {}
    for unit in units:
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
