"""Resume a run from its last checkpoint, or a sweep with its missing and failed jobs."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from losslab.config import groups, schema
from losslab.config.command import Command, all_jobs, program, without_launcher
from losslab.config.errors import UserError, resumable
from losslab.config.jobs import compose_jobs
from losslab.config.overrides import parsed
from losslab.config.past import translated_override
from losslab.config.secrets import MASK
from losslab.config.trust import Source, admit, require_harmless, require_harmless_jobs
from losslab.config.user_code import code_dirs, search_path, use, without_search_path
from losslab.config.validation import require_supported
from losslab.config.values import refusal
from losslab.runs.check import never_recorded
from losslab.runs.files import advising
from losslab.runs.folder import PLAN_FILE, SWEEP_FILE, RunFolder, is_run
from losslab.runs.record import read_record
from losslab.saved_config import saved_config
from losslab.sequential_sweep import planned_looks, sequential_sweep
from losslab.sweep import sweep
from losslab.sweep_file import extended, read_code_dirs, read_commands
from losslab.sweep_output import show_run
from losslab.torch_import import import_torch

_ABSENT = object()


def resume(command: Command) -> int:
    """Resume the run or sweep in the command's folder; return the exit code."""
    folder = command.resume
    assert folder is not None
    if (folder / SWEEP_FILE).exists():
        grown, earlier = continued(command)
        if grown.looks:
            return sequential_sweep(grown, folder)
        return sweep(grown, folder, earlier)
    _refuse_flags(command.flags, folder)
    if not (is_run(folder) or never_recorded(folder)):
        if (folder / PLAN_FILE).exists():
            raise UserError(f"{folder} is a tuning: losslab tune resume={folder}")
        raise UserError(f"resume={folder}: expected the folder of a run or of a sweep")
    with advising("this run cannot be resumed: restore the file, or train it again"):
        return _resume_run(folder, without_search_path(command.overrides), trust=command.trust)


def continued(command: Command) -> tuple[Command, list[Command]]:
    """Return the command of a sweep with what the current one adds, and the earlier commands.

    Raises:
        UserError: if they are damaged, or what is added does not fit them.
    """
    folder = command.resume
    assert folder is not None
    _refuse_flags(command.flags, folder)
    # config folders of this command line replace the saved ones; cli.run has made them known
    given = without_search_path(command.overrides)
    moved = len(given) < len(command.overrides)
    same_launcher = not any(each.startswith("hydra/launcher=") for each in given)
    earlier = saved_commands(folder, trust=command.trust, moved=moved, launches=same_launcher)
    looks = planned_looks(folder)
    if looks:
        _refuse_seeds(given)
    # the first command makes all blocks of seeds
    typed = earlier[-1].typed if looks else command.typed
    return replace(extended(earlier[-1], given), typed=typed, looks=looks), earlier


def saved_commands(
    folder: Path, *, trust: bool, moved: bool = False, launches: bool = True
) -> list[Command]:
    """Read the commands of a sweep, and search its folders of configs and code, if they are ours.

    Args:
        folder: the sweep.
        trust: whether all code that it names may run.
        moved: whether this command line has config folders instead of the saved ones.
        launches: whether the launchers of the commands count; another one has its own options.

    Raises:
        UserError: if the commands would run other code.
    """
    commands = [_elsewhere(each) if moved else each for each in read_commands(folder)]
    if not launches:
        commands = [without_launcher(each) for each in commands]
    code = read_code_dirs(folder)
    source = None if trust else Source(folder, code)
    if source is not None:
        for each in commands:
            require_harmless_jobs(all_jobs(each), each.flags, source)
    use([*commands[-1].flags, *commands[-1].overrides])
    admit([], code, trust=trust)
    return [replace(each, source=source) for each in commands]


def _refuse_flags(flags: Sequence[str], folder: Path) -> None:
    for flag in flags[:1]:
        files = [folder / name for name in ("config.yaml", SWEEP_FILE) if (folder / name).is_file()]
        if flag.partition("=")[0] in ("--cfg", "-c") and files:
            raise UserError(
                f"{flag} shows the config of a new run; what resume= runs is in {files[0]}"
            )
        raise UserError(f"{flag} cannot be combined with resume=: remove it")


def _refuse_seeds(overrides: Sequence[str]) -> None:
    for override in parsed(overrides):
        if override.key_or_group == "seed":
            raise UserError(
                f"{override.input_line}: this sweep adds its seeds by itself (seeds=auto); remove "
                "the argument"
            )


def _elsewhere(command: Command) -> Command:
    """Return a saved command with the config folders of the current one."""
    return replace(command, overrides=[*without_search_path(command.overrides), *search_path()])


def _resume_run(folder: Path, overrides: Sequence[str], *, trust: bool) -> int:
    config = changed_config(saved_config(folder, trust=trust), overrides)
    if not trust:  # options that depend on the changed ones come from the saved command
        require_harmless([config], Source(folder, config.get("code_dirs", {})))
    trained = read_record(folder)["epochs"] if RunFolder(folder).last.exists() else 0
    epochs = config.trainer.max_epochs
    if -1 < epochs < trained:
        raise UserError(
            f"trainer.max_epochs={epochs} is below the {trained} epochs that this run has trained"
        )
    every = config.trainer.get("check_val_every_n_epoch") or 1
    if epochs != trained and trained % every:
        raise UserError(
            f"trainer.max_epochs={epochs}: this run validated its last epoch, {trained}, which a "
            f"longer one with trainer.check_val_every_n_epoch={every} does not: start a new run"
        )
    require_supported(config)
    if "code_dirs" in config:  # where the user's modules are now
        config.code_dirs = code_dirs(schema.targets(OmegaConf.to_container(config)))
    import_torch()  # only once the changes are checked
    from losslab.training import train  # noqa: PLC0415

    with resumable(f"{program()} resume={folder}"):
        train(config, folder, resume=True)
    return show_run(folder, Path(config.paths.log_dir))


def changed_config(saved: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return a saved config with some options changed, and the options that depend on them.

    A saved config is resolved. Dependent options, such as ``data.data_dir`` on ``paths.data_dir``,
    are found by composing the run's command with and without the change.

    Raises:
        UserError: if an option cannot change, or an option that affects results depends on it. The
            epochs that are trained would differ, too, with the other ``scheduler.T_max``.
    """
    config = saved.copy()
    known = parsed(overrides)
    for override in known:
        _require_resumable(saved, override)
        with open_dict(config):
            OmegaConf.update(config, override.key_or_group, override.value())
    # the run's command has its secrets already, masked
    known = [each for each in known if OmegaConf.select(saved, each.key_or_group) != MASK]
    changed = [each.key_or_group for each in known]
    for key, value in _derived(saved, config, changed).items():
        if schema.meaning(key).affects_results:
            causes = [each for each in changed if schema.meaning(each).affects_results] or changed
            given = ", ".join(f"{name}={OmegaConf.select(config, name)}" for name in causes)
            raise UserError(
                f"{key} depends on {', '.join(causes)} and cannot be changed when resuming a run: "
                f"start one with {given}"
            )
        OmegaConf.update(config, key, value)
    kept = [given for given in _command(saved) if given.partition("=")[0] not in changed]
    typed = [each.input_line for each in known]
    config.overrides = [*kept, *(each for each in typed if not each.startswith("paths."))]
    return config


def _require_resumable(config: DictConfig, override: Any) -> None:
    key = override.key_or_group
    if override.is_add() or override.is_delete():
        raise UserError(f"{override.input_line}: write {key}=... when resuming a run")
    if override.is_sweep_override():
        raise UserError(f"{override.input_line}: resuming a run takes one value per option")
    before = OmegaConf.select(config, key, default=_ABSENT)
    if before is _ABSENT:
        close = groups.nearest_keys(key, _typeable(config))
        advice = f": did you mean {' or '.join(close)}?" if close else ""
        raise UserError(f"{key} is not an option of this run{advice}")
    if before == MASK:
        return
    if not schema.meaning(key).resumes or OmegaConf.is_dict(before):
        may = [name for name in _typeable(config) if schema.meaning(name).resumes]
        raise UserError(f"{key} cannot be changed when resuming a run; these can: {', '.join(may)}")
    if reason := refusal(key, override.value(), before):
        raise UserError(reason)


def _typeable(config: DictConfig) -> list[str]:
    """Return the groups and the keys of a config that can be typed."""
    keys = [name for name, _ in _flat(config) if name.partition(".")[0] in schema.TOP_LEVEL]
    return list(dict.fromkeys([*schema.GROUPS, *keys]))


def _command(config: DictConfig) -> list[str]:
    """Return the overrides of a run as typed, with their interpolations."""
    typed: Any = OmegaConf.to_container(config.overrides, resolve=False)
    return [translated_override(given) for given in typed]


def _flat(config: DictConfig) -> list[tuple[str, Any]]:
    return list(schema.flat(OmegaConf.to_container(config)))


def _derived(before: DictConfig, after: DictConfig, changed: Sequence[str]) -> dict[str, Any]:
    """Return the new values of options that depend on the changed ones.

    Raises:
        UserError: if conf/ no longer gives the run's values.
    """
    if not changed:
        return {}
    old, new = (_composed(before, config, changed) for config in (before, after))
    derived = {}
    for key, value in new.items():
        if key in changed or old.get(key, _ABSENT) == value:
            continue
        saved = OmegaConf.select(before, key, default=_ABSENT)
        if saved != old.get(key, _ABSENT):
            raise UserError(
                f"{key} depends on {', '.join(changed)} and cannot be recomputed: conf/ gives "
                f"{old.get(key)} for this run, but its config.yaml has {saved}"
            )
        derived[key] = value
    return derived


def _composed(saved: DictConfig, config: DictConfig, changed: Sequence[str]) -> dict[str, Any]:
    """Compose a run's command with the values of the changed options in a config."""
    kept = [given for given in _command(saved) if given.partition("=")[0] not in changed]
    values = [f"{key}={json.dumps(OmegaConf.select(config, key))}" for key in changed]
    try:
        [job] = compose_jobs([[*kept, *values]])
    except UserError as error:
        raise UserError(
            f"options that depend on {', '.join(changed)} cannot be recomputed, since the run's "
            f"command is no longer valid: {error}"
        ) from error
    return {key: value for key, value in _flat(job.config) if not key.startswith("overrides")}
