"""Whether a process of this host still runs; pids are reused, so its start counts too."""

import os
from pathlib import Path


def process_start(pid: int) -> str | None:
    """Return the start of a process as an opaque text; ``None`` if the system does not tell."""
    fields = _fields(pid)
    if fields is None:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip() if boot.is_file() else ''}/{fields[19]}"


def pid_namespace() -> str | None:
    """Return the namespace of pids of this process; ``None`` if the system does not tell."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def is_running(pid: int, start: str | None) -> bool:
    """Return whether a process of this host runs.

    Args:
        pid: its pid.
        start: what :func:`process_start` returned for it.
    """
    if start is not None and Path("/proc/self/stat").is_file():
        fields = _fields(pid)
        is_zombie = fields is not None and fields[0] in "ZX"
        return not is_zombie and process_start(pid) == start
    if os.name == "nt":  # signal 0 is Ctrl-C there: only the heartbeat can tell
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists and belongs to another user
        return True
    return True


def _fields(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/<pid>/stat`` after the command's name, from the state on."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:  # no such process, or no /proc on this system
        return None
    return text.rpartition(")")[2].split()
