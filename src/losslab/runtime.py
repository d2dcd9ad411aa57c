"""What glibc does with memory that is freed."""

import ctypes
import logging

log = logging.getLogger(__name__)

# of glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, for the next tensor of that size.

    glibc maps each block above 32 MB anew and hands it back when freed, and the page faults of
    that take longer than the arithmetic on it. Blocks then come from the heap, which is trimmed
    only where more than 2 GB are free at its end; the process stays at its peak memory.

    Returns:
        Whether the C library is one that can, and did.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        log.info("the C library has no mallopt: freed memory goes back to the system")
        return False
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, 2**31 - 1)])
