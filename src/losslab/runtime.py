"""Settings of glibc's memory allocator."""

import ctypes
import logging

log = logging.getLogger(__name__)

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Make the process keep freed memory for the next tensors.

    By default glibc maps each block above 32 MB separately and returns it when freed, which causes
    page faults that take longer than the arithmetic on it. With this setting blocks come from the
    heap, which is trimmed only if more than 2 GB are free at its end, so the process stays at its
    peak memory.

    Returns:
        Whether the C library supports the setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        log.info("allocator=keep has no effect: the C library has no mallopt")
        return False
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2**31 - 1)])
