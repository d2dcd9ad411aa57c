"""Layout of run folders and sweep folders on disk."""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from losslab.config.schema import meaning
from losslab.config.secrets import masked_override
from losslab.runs import packs

NAME_LENGTH = 120
"""Maximum length of a name that is made of options; file systems allow 255 bytes."""

PLAN_FILE = "tuning.json"
"""Plan of a tuning, in its folder."""

SWEEP_FILE = "sweep.json"
"""Commands of a sweep, in its folder, see :mod:`losslab.sweep_file`."""

COMPARISON_FILE = "comparison.json"
"""What a comparison that was made in Python shows, in its folder."""

PROFILE = "profile"
"""End of the names of the profiles of a run, after the stage: ``fit-profile.txt``."""

UNSAFE = re.compile(r"[^A-Za-z0-9._=+@-]+")
UNSAFE_IN_LIST = re.compile(r"[^A-Za-z0-9._=+@,-]+")
"""The same for names whose parts may have commas."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files in a run's folder.

    Example:
        >>> RunFolder(Path("logs/run")).best.as_posix()
        'logs/run/checkpoints/best.ckpt'
    """

    path: Path

    @property
    def config(self) -> Path:
        """Resolved config."""
        return self.path / "config.yaml"

    @property
    def record(self) -> Path:
        """Record; a folder is a run if it has one."""
        return self.path / packs.RECORD

    @property
    def metrics(self) -> Path:
        """Curves."""
        return self.path / "metrics.csv"

    @property
    def scores(self) -> Path:
        """Scores of the test samples."""
        return self.path / "scores.npz"

    @property
    def log(self) -> Path:
        """Log of the run."""
        return self.path / "run.log"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Checkpoint of the best epoch on validation."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """Checkpoint from which the run is resumed."""
        return self.checkpoints / "last.ckpt"

    @property
    def unfinished(self) -> Path:
        """Checkpoint being written; incomplete if the run was killed."""
        return self.checkpoints / "unfinished.ckpt"

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.path / "figures"

    @property
    def profiles(self) -> list[Path]:
        """Profiles of a run with a profiler."""
        return sorted(self.path.glob(f"*-{PROFILE}*.txt"))

    @property
    def events(self) -> list[Path]:
        """TensorBoard event files, oldest first."""
        return sorted(self.path.glob("events.out.tfevents.*"))


def named(group: str, chosen: str, overrides: Sequence[str]) -> str:
    """Return what a choice is called: the class of a replaced ``_target_``, or the choice.

    A sum of losses is called after its components and their weights, that of a detector after the
    components that were chosen, a loss with a label by that.

    Example:
        >>> named("loss", "focal", ["loss=focal", "loss._target_=my_losses.MyLoss"])
        'MyLoss'
        >>> named("loss", "sum", ["loss=sum", "loss.of.bce=1", "loss.of.dice=0.5"])
        'bce+0.5dice'
        >>> named("loss", "detection", ["loss=detection", "++loss.of.box=smooth_l1"])
        'detection-smooth_l1'
        >>> named("loss", "huber", ["loss=huber", "loss.delta=2", "label=huber2"])
        'huber2'
    """
    if group == "loss" and (label := label_of(overrides)):
        return label
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if key == f"{group}._target_":
            return value.strip("'\"").rpartition(".")[2]
    if (group, chosen) == ("loss", "sum"):
        parts = [weight + name for name, weight in _weights(overrides).items()]
        return "+".join(parts) or chosen  # loss.of={...}
    if (group, chosen) == ("loss", "detection"):
        names = (_chosen_component(each) for each in _components(overrides))
        return "-".join([chosen, *filter(None, names)])
    return chosen


def _chosen_component(component: re.Match[str]) -> str:
    """Return the loss that an override chooses as a component of another; nothing for options."""
    _, option, value = component.groups()
    if option == "._target_":
        return value.rpartition(".")[2]
    if option in (None, ".loss") and not value.startswith("{"):
        return value
    found = re.search(r"\bloss: *([^{},]+)", value) if value.startswith("{") else None
    return found.group(1) if found else ""


def label_of(overrides: Iterable[str]) -> str | None:
    """Return the label that overrides give the loss."""
    pairs = map(_key_and_value, overrides)
    labels = [value for key, value in pairs if key == "label" and value != "null"]
    return labels[-1] if labels else None


COMPONENT = re.compile(r"\+*loss\.of\.([^.=]+)(\.[^=]+)?=(.*)", re.DOTALL)
"""Override that gives a component of a sum its weight or options."""


def _components(overrides: Iterable[str]) -> list[re.Match[str]]:
    return [found for override in overrides if (found := COMPONENT.fullmatch(override))]


def _weights(overrides: Iterable[str]) -> dict[str, str]:
    """Return the components with their weights as typed; a later override replaces an earlier."""
    weights: dict[str, str] = {}
    for name, option, value in (each.groups() for each in _components(overrides)):
        weights.setdefault(name, "")
        if option in (None, ".weight"):
            weights[name] = _weight(value)
    return weights


def _weight(value: str) -> str:
    """Return the weight in a value; nothing for 1, and for a weight that changes."""
    if value.startswith("{"):
        found = re.search(r"\bweight: *([^{},]+)", value)
        value = found.group(1) if found else "1"
    return "" if value in ("1", "1.0") else value


def job_name(overrides: Sequence[str]) -> str:
    """Return the folder name ``<loss>[,option=value...]`` of a job of a sweep.

    The loss comes first, by its value or by the class of a replaced ``loss._target_``, then the
    other overrides in the order given, except those that do not distinguish jobs (seed, paths,
    hydra, threads, resume), as :func:`file_name` joins them; secrets are masked.

    Args:
        overrides: overrides of one job, in Hydra's syntax.

    Raises:
        ValueError: if no override names the loss.

    Example:
        >>> job_name(["data.outliers=0.1", "loss=mse", "seed=3", "paths.log_dir=/tmp"])
        'mse,data.outliers=0.1'
        >>> job_name(["loss=mse", "label=squares", "data.outliers=0.1"])
        'squares,data.outliers=0.1'
        >>> job_name(["loss=focal", "loss.alpha=[0.25,0.75]"])
        'focal,loss.alpha=-0.25-0.75-~55d80078'
        >>> job_name(["loss=sum", "loss.of.dice=0.7", "loss.of.bce=0.3"])
        '0.7dice+0.3bce'
    """
    pairs = [_key_and_value(masked_override(override)) for override in overrides]
    losses = [value for key, value in pairs if key == "loss"]
    if not losses:
        raise ValueError(f"overrides must name the loss, as in loss=mse, got {list(overrides)}")
    loss = named("loss", losses[-1], overrides)
    in_name = {"loss._target_", "label"}
    tells = {"sum": _gives_weight, "detection": _only_chooses}.get(losses[-1])
    if tells is not None:
        told = filter(tells, _components(overrides))
        in_name |= {f"loss.of.{each.group(1)}{each.group(2) or ''}" for each in told}
    options = [
        _joined(key, value) for key, value in pairs if meaning(key).named and key not in in_name
    ]
    return file_name([loss, *options])


def _gives_weight(component: re.Match[str]) -> bool:
    """Return whether an override gives a component its weight and nothing else."""
    return component.group(2) in (None, ".weight") and not component.group(3).startswith("{")


def _only_chooses(component: re.Match[str]) -> bool:
    """Return whether an override chooses a component and says nothing else."""
    return bool(_chosen_component(component)) and not component.group(3).startswith("{")


def has_default_options(component: str, overrides: Iterable[str]) -> bool:
    """Return whether overrides give a component of a sum a weight, but no options.

    Example:
        >>> given = ["loss.of.bce=1", "loss.of.dice={weight:0.5,power:2}"]
        >>> [has_default_options(each, given) for each in ("bce", "dice", "focal")]
        [True, False, False]
    """
    own = [each for each in _components(overrides) if each.group(1) == component]
    return bool(own) and all(map(_gives_weight, own))


def file_name(parts: Sequence[str], joiner: str = ",", unsafe: re.Pattern[str] = UNSAFE) -> str:
    """Return a name of a file or folder that is made of options.

    Unsafe characters become ``-`` and a name over 120 characters is cut; such a name ends in a
    hash, since two lists of options could otherwise get the same name.

    Example:
        >>> file_name(["report", "baseline=mse"], joiner="-")
        'report-baseline=mse'
        >>> file_name(["noise=" + 200 * "9"])[-12:], len(file_name(["noise=" + 200 * "9"]))
        ('999~c8c142b1', 120)
    """
    exact = joiner.join(parts)
    safe = joiner.join(unsafe.sub("-", part) for part in parts)
    if safe == exact and len(safe) <= NAME_LENGTH and not safe.startswith("."):
        return safe
    digest = "~" + hashlib.blake2b(repr(list(parts)).encode(), digest_size=4).hexdigest()
    return safe.lstrip(".")[: NAME_LENGTH - len(digest)] + digest


def own_names(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return the folder name of each job of a sweep, without the overrides that all jobs share.

    Example:
        >>> outliers = "data.outliers=0.1"
        >>> own_names([["loss=mse", outliers, "seed=0"], ["loss=huber", "loss.delta=2", outliers]])
        ['mse', 'huber,loss.delta=2']
    """
    shared = set(jobs[0]).intersection(*jobs[1:]) if jobs else set()
    naming = re.compile(r"loss(\._target_|\.of\..*)?")
    shared -= {each for each in shared if naming.fullmatch(_key_and_value(each)[0])}
    return [job_name([each for each in job if each not in shared]) for job in jobs]


def short_names(jobs: Sequence[str]) -> list[str]:
    """Strip the options that all jobs share from their names, as for a legend.

    Example:
        >>> short_names(["mse,data.outliers=0.1", "huber,data.outliers=0.1,loss.delta=2"])
        ['mse', 'huber,loss.delta=2']
    """
    if len(jobs) < 2:
        return [job.partition(",")[0] for job in jobs]
    parts = [job.split(",") for job in jobs]
    shared = set(parts[0][1:]).intersection(*(options[1:] for options in parts[1:]))
    return [
        ",".join([loss, *(option for option in options if option not in shared)])
        for loss, *options in parts
    ]


def is_run(folder: Path) -> bool:
    """Return whether the folder is a run folder, that is, has a record, on disk or in a pack."""
    return packs.exists(RunFolder(folder).record)


def is_sweep(folder: Path) -> bool:
    """Return whether the folder has ``<job>/seed<k>`` runs or Hydra's ``multirun.yaml``."""
    if is_run(folder):
        return False
    has_cells = any(folder.glob("*/seed*/record.json"))
    return has_cells or any(packs.packed_runs(folder)) or (folder / "multirun.yaml").is_file()


def in_sweep(run: Path) -> bool:
    """Return whether the folder of a run lies in the folder of a sweep."""
    return (run.parent.parent / SWEEP_FILE).is_file()


def find_runs(folder: Path) -> list[Path]:
    """Return the folders of all runs in and below this one, in natural order of their names.

    Packed runs are among them, with the folders that they would have.
    """
    found = set(packs.runs_within(folder))
    for parent, folders, files in os.walk(folder):
        if packs.UNITS in folders:
            found.update(packs.packed_runs(Path(parent)))
        if packs.RECORD in (*files, *folders):  # a damaged record may be a folder
            found.add(Path(parent))
            folders[:] = [each for each in folders if each not in ("checkpoints", "figures")]
    return sorted(found, key=_natural)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically, by renaming a temporary file."""
    # one name per process: concurrent writers must not share a temporary file
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # the part that was written would take the last space
        remove([temporary])
        raise


def remove(paths: Iterable[Path]) -> None:
    """Remove the files that exist, and folders that stand where a file should be."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _key_and_value(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+").partition("@")[0], value.strip("'\"")


def _joined(key: str, value: str) -> str:
    return f"{key}={value}" if value else key


def _natural(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", path.as_posix())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
