"""Memory that is freed: measured in a process of its own, since it cannot be set back."""

import ctypes
import platform
import subprocess
import sys

import pytest

from losslab import runtime

# pages that are touched for the first time when 64 MB are filled, after 64 MB were freed
FAULTS = """
import ctypes, resource, sys
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
from losslab.runtime import keep_freed_memory, return_freed_memory
if sys.argv[1] != "system":
    assert keep_freed_memory()
if sys.argv[1] == "return":
    assert return_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(2**26)
    ctypes.memset(block, 1, 2**26)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_kept_memory_needs_no_new_pages():
    faults = {
        which: int(subprocess.check_output([sys.executable, "-c", FAULTS, which]))
        for which in ("system", "keep", "return")
    }
    assert faults["keep"] < 10 < faults["system"]
    assert faults["return"] > 10


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not runtime.keep_freed_memory()
    assert not runtime.return_freed_memory()
