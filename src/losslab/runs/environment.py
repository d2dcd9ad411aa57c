"""Environment of a run, for its record: versions, commit, command, memory."""

import functools
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from losslab.config.secrets import masked_override

PACKAGES = (
    "losslab",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "hydra-core",
    "torchmetrics",
    "tensorboard",
    "numpy",
    "scipy",
    "scikit-learn",
    "gymnasium",
)


@functools.cache
def _versions() -> dict[str, str]:
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # not installed: a checkout of losslab, or an optional package
    return installed


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    return dict(_versions())


@functools.cache
def _git_state() -> tuple[str, bool] | None:
    def ask(*arguments: str) -> str | None:
        command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:  # no git on this machine
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return None if commit is None else (commit, bool(ask("status", "--porcelain")))


def git_state() -> dict[str, Any] | None:
    """Return commit and uncommitted changes of this code; ``None`` outside a repository."""
    state = _git_state()
    return None if state is None else {"commit": state[0], "dirty": state[1]}


TYPED: list[str] = []
"""What was typed, while :data:`sys.argv` is what Hydra reads."""


def command_line() -> str:
    """Return the command of this process, with its secrets masked."""
    return shlex.join(["python", *map(masked_override, TYPED or sys.argv)])


def peak_memory_mb() -> float | None:
    """Return the peak memory of this process; ``None`` if the system does not tell.

    In a sweep within one process it includes earlier runs.
    """
    if platform.system() == "Windows":
        return None
    import resource  # noqa: PLC0415  (not on Windows)

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if platform.system() == "Darwin" else peak / 2**10
