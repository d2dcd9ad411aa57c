"""Resume a run from its last checkpoint, or a sweep with its missing and failed jobs."""

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf, open_dict

from losslab.config.command import Command, parse
from losslab.config.compose import parsed
from losslab.config.errors import UserError
from losslab.config.past import translated_override
from losslab.config.user_code import use
from losslab.runs.folder import is_run
from losslab.sweep import SWEEP_FILE, show_run, sweep

_ABSENT = object()
# other keys would contradict the run's record and its pairing with other runs
MAY_CHANGE = ("trainer", "callbacks", "threads", "allocator", "paths", "test")


def resume(command: Command) -> int:
    """Resume the run or sweep in the command's folder; return the exit code."""
    folder = command.resume
    assert folder is not None
    if (folder / SWEEP_FILE).is_file():
        if not command.multirun:
            saved = json.loads((folder / SWEEP_FILE).read_text())
            saved_jobs = saved.get("listed")
            listed = saved_jobs and [[translated_override(g) for g in job] for job in saved_jobs]
            arguments = [translated_override(given) for given in saved["arguments"]]
            command = parse(use(["-m", *arguments, *command.overrides]), listed)
        return sweep(command, folder)
    if command.multirun or not is_run(folder):
        raise UserError(f"resume={folder}: neither a run folder nor a sweep folder")
    return _resume_run(folder, command.overrides)


def _resume_run(folder: Path, overrides: Sequence[str]) -> int:
    from losslab.training import saved_config, train  # noqa: PLC0415

    config = saved_config(folder)
    for override in parsed(overrides):
        key, value = override.key_or_group, override.value()
        before = OmegaConf.select(config, key, default=_ABSENT)
        if before is _ABSENT:
            raise UserError(f"{key} is not an option of {folder / 'config.yaml'}")
        if key.partition(".")[0] not in MAY_CHANGE or OmegaConf.is_dict(before):
            raise UserError(
                f"{key} cannot be changed when resuming a run: resume= takes single options of "
                "trainer and callbacks, such as trainer.max_epochs=20"
            )
        with open_dict(config):
            OmegaConf.update(config, key, value)
    train(config, folder, resume=True)
    return show_run(folder, Path(config.paths.log_dir))
