"""What the configs of a folder may run: somebody else may have made the run, sweep or tuning.

A config names classes and functions, which are called with its options. Of those that are read from
a folder, only these are called: losslab's components, torch's modules, optimizers and functional
losses, torchvision's models and transforms, loss modules of other libraries, Lightning's Trainer,
callbacks and loggers, and the modules of the current folder and beside the config folders of the
command line. This is an allowlist, since every function of every installed package can be named.
Checkpoints are read with ``weights_only``, arrays without pickle. ``trust=true`` permits the rest.
"""

import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from losslab.config import schema, secrets
from losslab.config.errors import UserError
from losslab.config.extras import is_installed
from losslab.config.instantiate import target_of
from losslab.config.overrides import parsed
from losslab.config.user_code import (
    SAVED_CODE,
    SEARCH_PATH,
    add,
    code_dirs,
    folders_of,
    imported_folders,
    recall,
)
from losslab.given import is_given

PACKAGES = (
    *(f"losslab.{part}" for part in ("losses", "data", "models", "tasks", "modules", "rl")),
    *("losslab.callbacks", "torch.nn", "torch.optim"),
    *("torchvision.models", "torchvision.ops", "torchvision.transforms"),
    *(f"pytorch_lightning.{part}" for part in ("trainer", "callbacks", "loggers")),
    "aim.sdk.adapters.pytorch_lightning",
    *("monai.losses", "segmentation_models_pytorch.losses", "timm.loss", "kornia.losses"),
    *(f"pytorch_metric_learning.{part}" for part in ("losses", "distances", "reducers")),
)
"""Packages that define classes which may be called."""

SHORT = {
    "pytorch_lightning.Trainer": "pytorch_lightning.trainer.Trainer",
    "aim.pytorch_lightning.AimLogger": "aim.sdk.adapters.pytorch_lightning.AimLogger",
}
"""Names outside these packages of classes that they define."""

BASES = frozenset(
    {
        "torch.nn.modules.module.Module",
        "torch.optim.optimizer.Optimizer",
        "torch.optim.lr_scheduler.LRScheduler",
        "pytorch_lightning.core.datamodule.LightningDataModule",
        "pytorch_lightning.trainer.trainer.Trainer",
        "pytorch_lightning.callbacks.callback.Callback",
        "pytorch_lightning.loggers.logger.Logger",
        "losslab.tasks.base.Task",
    }
)
"""Base classes: each of these classes has one of them, or is a transform."""

FUNCTIONS = (
    *("losslab.losses.functional", "losslab.models.adapters"),
    *("losslab.models.torchvision_detectors", "torch.nn.functional"),
    *("torchvision.models", "torchvision.ops"),
)
"""Modules and packages that define functions which may be called."""

EXCEPT = ("monai.losses.perceptual", "torchvision.models.feature_extraction")
"""Modules in these packages that download code, unpickle files or compile text."""

LAUNCHERS = ("basic", "joblib", "lockstep", "slurm", "ray")
HYDRA_KEYS = (
    *("hydra.launcher.max_jobs", "hydra.launcher.workers", "hydra.launcher.capture"),
    *("hydra.launcher.n_jobs", "hydra.sweep.dir", "hydra.run.dir"),
    *("hydra.launcher.partition", "hydra.launcher.account", "hydra.launcher.qos"),
    *("hydra.launcher.time", "hydra.launcher.cpus", "hydra.launcher.gpus", "hydra.launcher.mem"),
    *("hydra.launcher.array_parallelism", "hydra.launcher.max_timeouts"),
    *("hydra.launcher.wait", "hydra.launcher.report"),
    *("hydra.launcher.num_cpus", "hydra.launcher.num_gpus", "hydra.launcher.max_retries"),
)
"""Keys of Hydra that saved commands may set; others could run code or write beside the runs."""


class Source(NamedTuple):
    """Folder of a run, sweep or tuning that is not trusted.

    Args:
        folder: the folder.
        code: folder of each of the user's modules that it names, as it was at that time.
    """

    folder: Path
    code: Mapping[str, str]


def admit(config_dirs: Iterable[str], code: Mapping[str, str], *, trust: bool) -> None:
    """Search the config and code folders that a run or sweep saved, if ours or if it is trusted."""
    known = imported_folders()
    add([each for each in map(Path, config_dirs) if trust or each.resolve().parent in known])
    recall({name: each for name, each in code.items() if trust or Path(each).resolve() in known})
    SAVED_CODE.update({name: Path(each) for name, each in code.items()})


def require_harmless(configs: Iterable[DictConfig], source: Source) -> None:
    """Check that configs run only code that is known not to do harm.

    Args:
        configs: configs of runs that are saved there, or composed of commands saved there.
        source: where they come from.

    Raises:
        UserError: if they would run something else; the message says what.
    """
    named: dict[tuple[str, str], None] = {}
    shown: dict[str, None] = {}
    for config in configs:
        try:
            with secrets.watched():
                plain: Any = OmegaConf.to_container(config, resolve=True)
            shown |= dict.fromkeys(_shown_secrets(config))
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{source.folder}: invalid config: {reason}") from error
        raw: Any = OmegaConf.to_container(config, resolve=False)
        named |= dict.fromkeys([*_code_in(raw), *_code_in(plain)])
    found = [
        f"run {target}{_where(target, source)} ({key})"
        for key, target in named
        if not _may_run(target, source)
    ]
    _refuse([*found, *shown], source)


def require_harmless_jobs(
    jobs: Iterable[Sequence[str]], flags: Sequence[str], source: Source
) -> None:
    """Check what the jobs of a saved command set besides the configs of their runs.

    Raises:
        UserError: if they configure Hydra, or read configs from elsewhere.
    """
    overrides = dict.fromkeys(override for job in jobs for override in job)
    found = [each.input_line for each in parsed(list(overrides)) if not _may_set(each)]
    _refuse([f"use {text}" for text in [*flags, *found]], source)


def _refuse(acts: Sequence[str], source: Source) -> None:
    if acts:
        more = f" and {len(acts) - 3} more" if len(acts) > 3 else ""
        raise UserError(
            f"{source.folder} would {', '.join(acts[:3])}{more}: if you trust those who made it, "
            "add trust=true (losslab evaluate: --trust)"
        )


# --- commands -------------------------------------------------------------------------------------


def _may_set(override: Any) -> bool:
    key = override.key_or_group
    if key == SEARCH_PATH:
        known = imported_folders()
        return all(each.resolve().parent in known for each in folders_of(override.input_line))
    if override.package is not None:
        return False
    if key == "hydra/launcher":
        return override.value() in LAUNCHERS
    if key.startswith("hydra"):
        return key in HYDRA_KEYS and not isinstance(override.value(), dict)
    # a path would reach the configs of another folder
    return ".." not in (override.input_line if key in schema.GROUPS else key)


# --- configs --------------------------------------------------------------------------------------


def _code_in(node: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield where options name code, and its name, at any depth of plain values."""
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for key, value in items:
        path = f"{name}.{key}" if name else str(key)
        if isinstance(value, Mapping | list):
            yield from _code_in(value, path)
        elif key == "_target_":
            yield name, str(value)
        elif key == "env_id" and ":" in str(value):  # gymnasium imports what precedes the colon
            yield path, f"{str(value).partition(':')[0]}.*"


def _shown_secrets(config: Any) -> Iterator[str]:
    """Yield what secrets of the environment a config reads into options that loggers may send."""
    for key, names in secrets.variables(config):
        for name in names:
            if secrets.is_secret(name) and not secrets.is_secret(key) and key[:10] != "overrides.":
                yield f"read the environment variable {name} ({key})"


def _where(target: str, source: Source) -> str:
    folder = source.code.get(target.partition(".")[0])
    return f" in {folder}" if folder else ""


def _may_run(target: str, source: Source) -> bool:
    """Return whether a target may be called, or cannot be found, which its call will report."""
    if is_given(target):  # by the user of this process
        return True
    module = target.partition(".")[0]
    if module in source.code and _is_elsewhere(module, Path(source.code[module])):
        return False
    # whether the module may be imported, to see what the target is
    if not _is_below(SHORT.get(target, target), PACKAGES) and not _is_own(target, source):
        return not _exists(module)
    try:
        found = target_of({"_target_": target}, "")
    except UserError:
        return True
    return _is_harmless(found, source)


def _is_elsewhere(module: str, code: Path) -> bool:
    """Return whether the folder of the module of a saved run has it, and is another than ours."""
    there = (code / f"{module}.py").exists() or (code / module).exists()
    return there and code.resolve() not in imported_folders()


def _exists(module: str) -> bool:
    try:
        return is_installed(module)
    except (ImportError, ValueError):  # such as __main__
        return True


def _is_own(target: str, source: Source) -> bool:
    """Return whether a target is in a module of ours, and not of the folder that is read."""
    places = [Path(each) for each in code_dirs([target]).values()]
    return any(
        each in imported_folders() and not each.is_relative_to(source.folder.resolve())
        for each in places
    )


def _is_harmless(found: Any, source: Source) -> bool:
    """Return whether a class or function may be called: one that is defined in a known place."""
    while isinstance(found, functools.partial):
        found = found.func
    if not inspect.isroutine(found) and not inspect.isclass(found):
        found = type(found)
    name = f"{found.__module__}.{found.__qualname__}"
    if _is_own(name, source):
        return True
    if _is_below(name, EXCEPT):
        return False
    if not inspect.isclass(found):
        return _is_below(name, FUNCTIONS) and not found.__name__.startswith("_")
    bases = {f"{base.__module__}.{base.__qualname__}" for base in found.__mro__}
    return _is_below(name, PACKAGES) and (
        bool(bases & BASES) or _is_below(name, ["torchvision.transforms"])
    )


def _is_below(name: str, packages: Iterable[str]) -> bool:
    return any(name.startswith(f"{package}.") for package in packages)
