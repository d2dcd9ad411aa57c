"""Your own data as NumPy arrays in an .npz file."""

import zipfile
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.data import checks, targets
from losslab.data.base import InMemoryData, Options, Raw
from losslab.data.files import Changes
from losslab.data.memory import machine_bytes
from losslab.data.raw import StandardizeTargets

REQUIRED = ("inputs", "targets")
OPTIONAL = ("split", "group", "weight")


class Arrays(InMemoryData):
    """An ``.npz`` file with ``inputs``, ``targets`` and optional arrays.

    ========  ====================================================================
    inputs    numbers ``(n, *)``; ``(n,)`` is one feature
    targets   class integers or strings ``(n,)``, values ``(n,)`` or ``(n, K)``, labels
              of 0 and 1 ``(n, K)``
    split     ``train``, ``val``, ``test`` or 0, 1, 2 ``(n,)``; a missing split is drawn
              from train
    group     ``(n,)``; samples of one group stay in the same split
    weight    ``(n,)``; the weight of each sample in the loss
    ========  ====================================================================

    Args:
        path: path of the file.
        target_kind: ``"classes"``, ``"values"``, ``"multilabel"``, or ``"auto"``, see
            :func:`~losslab.data.targets.read_targets`.
        standardize: whether to standardize the inputs with the training split's means and standard
            deviations: per column of ``(n, F)``, per channel of ``(n, C, H, W)``, else overall.
        standardize_targets: whether to train on standardized values, too; metrics stay in the unit
            of the target.
        options: options of :class:`~losslab.data.base.InMemoryData`.

    Raises:
        ValueError: if an option is out of range or, in ``setup``, if the file is invalid.
        FileNotFoundError: in ``prepare_data``, if the file does not exist.
    """

    def __init__(
        self,
        path: str,
        *,
        target_kind: str = "auto",
        standardize: bool = True,
        standardize_targets: StandardizeTargets = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        checks.require_choice("target_kind", target_kind, targets.ASKED)
        self.path = path
        self.asked_kind = target_kind
        self.standardize = standardize
        self.standardize_targets = standardize_targets

    def prepare_data(self) -> None:
        """Raise ``FileNotFoundError`` if the file does not exist."""
        checks.require_file(self.path, "an .npz file")

    def load(self) -> Raw:
        """Read the arrays of the file."""
        arrays = read_npz(checks.require_file(self.path, "an .npz file"))
        inputs = arrays["inputs"]
        if inputs.dtype.kind not in "biuf" or inputs.ndim == 0:
            raise ValueError(
                f"inputs in {self.path} must be numbers of shape (n, *), "
                f"got {inputs.dtype} of shape {inputs.shape}"
            )
        inputs = inputs.reshape(len(inputs), 1) if inputs.ndim == 1 else inputs
        for place, column in enumerate(inputs.T if inputs.ndim == 2 else ()):
            checks.require_single_precision(f"inputs in {self.path}, column {place},", column)
        changes = Changes()
        target = targets.read_targets(
            f"targets in {self.path}", arrays["targets"], self.asked_kind, changes=changes
        )
        readers = {
            "split": targets.read_fixed,
            "group": targets.read_groups,
            "weight": targets.read_weights,
        }
        more = {name: read(name, arrays[name]) for name, read in readers.items() if name in arrays}
        return Raw(
            torch.from_numpy(inputs.astype(np.float32)),
            target.targets,
            target.kind,
            target.names,
            more.get("split"),
            more.get("group"),
            more.get("weight"),
            self.standardize,
            self.standardize_targets,
            notes=changes.notes(),
        )


def read_npz(file: Path) -> dict[str, NDArray[np.generic]]:
    """Read the arrays of a file, each with one entry per sample.

    Raises:
        ValueError: if the file is invalid, an array is missing or unknown, or lengths differ.
    """
    if file.suffix.lower() in (".csv", ".tsv"):
        raise ValueError(
            f"{file} is a table, but data=arrays reads .npz files: use data=table "
            f"data.path={file} data.target=COLUMN"
        )
    try:
        _require_memory(file)
        with np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
    except MemoryError as error:
        raise ValueError(f"{file} does not fit into memory: {error}") from error
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        got = _found(file, error)
        raise ValueError(
            f"{file} must be an .npz file of plain arrays, got {got}: save it with "
            "numpy.savez(FILE, inputs=..., targets=...)"
        ) from error
    missing = [name for name in REQUIRED if name not in arrays]
    unknown = [name for name in arrays if name not in (*REQUIRED, *OPTIONAL)]
    if missing or unknown:
        raise ValueError(
            f"{file} must hold {', '.join(REQUIRED)} and may hold {', '.join(OPTIONAL)}, "
            f"got {', '.join(sorted(arrays)) or 'nothing'}"
        )
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ValueError(f"{file} must hold arrays of equal length, got {got}")
    return arrays


def _require_memory(file: Path) -> None:
    """Check that the arrays of an archive, which may be compressed, can be in memory.

    Raises:
        MemoryError: if they cannot.
    """
    if not zipfile.is_zipfile(file):
        return
    memory = machine_bytes()
    with zipfile.ZipFile(file) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > memory:
        raise MemoryError(f"its arrays take {size / 2**30:.3g} GiB, of {memory / 2**30:.3g} GiB")


def _found(file: Path, error: Exception) -> str:
    """Return what a file holds that is not an .npz file of plain arrays."""
    if "Object arrays" in str(error):
        return "an array of Python objects"
    with file.open("rb") as opened:
        start = opened.read(6)
    if start == b"\x93NUMPY":
        return "a single array"
    return str(error) if start.startswith(b"PK") else "another kind of file"
