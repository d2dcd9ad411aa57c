"""Compile the kernels of ``kernels.cpp`` once per machine, load and call them.

A C++ compiler is looked for when a loss is first computed. It takes a few seconds, and the library
stays in the user's cache. Without a compiler losses use their definitions, whose values differ by
rounding.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

log = logging.getLogger(__name__)

FOLDER = "LOSSLAB_KERNELS"
"""Environment variable of the folder of the compiled kernels; an empty one turns them off."""
SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = (
    *("-std=c++17", "-O3", "-shared", "-fPIC", "-pthread", "-fopenmp-simd"),
    # neither changes a result: errno is not read, and exceptions of arithmetic are not caught
    *("-fno-math-errno", "-fno-trapping-math"),
)
# the instructions that torch uses on this processor, so that a cache may be shared by several
LEVELS = {
    "AVX512": ("-march=x86-64-v4", "-mprefer-vector-width=512"),
    "AVX2": ("-march=x86-64-v3",),
}

LONG, INT, FLOAT, DOUBLE, POINTER = (
    *(ctypes.c_long, ctypes.c_int, ctypes.c_float, ctypes.c_double, ctypes.c_void_p),
)


class Overlap(ctypes.Structure):
    """Options of a region-based loss, as in ``kernels.cpp``."""

    _fields_ = (
        *((name, DOUBLE) for name in ("fp_weight", "fn_weight", "errors_weight", "tp_weight")),
        *((name, DOUBLE) for name in ("smooth", "exponent")),
        *((name, INT) for name in ("count_images", "squared", "per_image", "skip", "mean")),
        ("first_class", INT),
    )


class Pixels(ctypes.Structure):
    """Shape of logits and the steps between them in memory, as in ``kernels.cpp``."""

    _fields_ = (
        *((name, LONG) for name in ("images", "classes", "pixels")),
        *((name, LONG) for name in ("image_step", "class_step", "pixel_step")),
        *(("half", INT), ("threads", LONG)),
    )


_OVERLAP, _PIXELS = ctypes.POINTER(Overlap), ctypes.POINTER(Pixels)
_ELEMENTS = (LONG, LONG, INT, INT, DOUBLE, FLOAT, FLOAT, FLOAT)
ARGUMENTS = {
    "elements": (*_ELEMENTS, *[POINTER] * 4),
    "masks": (_OVERLAP, _PIXELS, *[POINTER] * 7),
    "classes": (_OVERLAP, _PIXELS, *[POINTER] * 7),
    "class_focal": (_PIXELS, FLOAT, ctypes.c_int64, INT, INT, *[POINTER] * 5),
    "sinkhorn": (*[LONG] * 5, INT, LONG, DOUBLE, FLOAT, FLOAT, *[POINTER] * 4),
}


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernels, or ``None`` if they cannot be compiled here."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if os.environ.get(FOLDER) == "":
        return None
    if compiler is None:
        log.info("no C++ compiler: losses are computed by their definitions, which takes longer")
        return None
    try:
        loaded = ctypes.CDLL(str(_library_file(compiler)))
        for name, arguments in ARGUMENTS.items():
            getattr(loaded, name).argtypes = arguments
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        log.warning("compiling the losses failed; using their definitions: %s", _reason(error))
        return None
    return loaded


def version() -> str:
    """Return the name of the compiled kernels of this machine, or ``none``."""
    loaded = library()
    return "none" if loaded is None else Path(loaded._name).stem


@cache
def compiled(name: str) -> Callable[..., int]:
    """Return a kernel of :func:`library`, which there must be."""
    kernel: Callable[..., int] = getattr(library(), name)
    return kernel


def pointers(*tensors: Tensor | None) -> list[int | None]:
    """Return where tensors begin in memory, as a kernel takes them."""
    return [None if each is None else each.data_ptr() for each in tensors]


def _library_file(compiler: str) -> Path:
    """Compile the kernels, unless the cache has them, and return the library's path."""
    flags = *FLAGS, *LEVELS.get(torch.backends.cpu.get_cpu_capability(), ())
    described = "\n".join((compiler, platform.platform(), *flags)).encode()
    key = hashlib.sha256(described + SOURCE.read_bytes()).hexdigest()[:16]
    path = _cache() / f"kernels-{key}.so"
    if not path.exists():
        log.info("compiling the losses, once on this machine")
        if sys.stderr.isatty():  # of a first command somebody may wonder why it waits
            print("compiling the losses, once on this machine ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            new = Path(folder, path.name)
            command = [compiler, *flags, str(SOURCE), "-o", str(new)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            new.replace(path)  # whole or not at all, whoever else compiles it now
    return path


def _cache() -> Path:
    """Return the folder of compiled kernels."""
    common = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "losslab")
    folder = Path(os.environ.get(FOLDER) or common).expanduser()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # libraries from others are not loaded
    return folder


def _reason(error: Exception) -> str:
    return error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
