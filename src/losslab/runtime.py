"""Settings of glibc's memory allocator, and the cores of this process."""

import ctypes
import logging
import os
import sys
from typing import Any

log = logging.getLogger(__name__)

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def keep_freed_memory() -> bool:
    """Make the process keep freed memory for the next tensors.

    By default glibc maps each block above 32 MB separately and returns it when freed, which causes
    page faults that take longer than the arithmetic on it. With this setting blocks come from the
    heap, which is trimmed only if more than 2 GB are free at its end, so the process stays at its
    peak memory.

    Returns:
        Whether the C library supports the setting.
    """
    return _set({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1})


def return_freed_memory() -> bool:
    """Make the process return freed blocks above 32 MB, which undoes :func:`keep_freed_memory`.

    Returns:
        Whether the C library supports the setting.
    """
    # glibc's default number of blocks, and the thresholds to which it adapts by itself
    supported = _set({M_MMAP_MAX: 2**16, M_MMAP_THRESHOLD: 2**25, M_TRIM_THRESHOLD: 2**26})
    if supported:
        ctypes.CDLL(None).malloc_trim(0)
    return supported


def _set(options: dict[int, int]) -> bool:
    try:
        mallopt: Any = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        log.info("allocator=keep has no effect: the C library has no mallopt")
        return False
    return all(mallopt(option, value) for option, value in options.items())
