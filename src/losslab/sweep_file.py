"""Commands of a sweep: written to its file, read back, and extended by what may grow."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from losslab.config.command import Command, all_jobs, split_flags, without_launcher
from losslab.config.compose import compose
from losslab.config.errors import UserError
from losslab.config.expansion import jobs_of, values_of
from losslab.config.overrides import parsed
from losslab.config.past import translated_override
from losslab.config.schema import meaning
from losslab.config.secrets import MASK, masked_override
from losslab.config.typed_jobs import without_seeds
from losslab.runs.files import FileError, advising
from losslab.runs.folder import SWEEP_FILE, replace_file
from losslab.runs.saved_sweep import VERSION, SavedCommand, read_sweep


def write_commands(
    folder: Path,
    commands: Sequence[Command],
    jobs: Sequence[Sequence[str]],
    code_dirs: Mapping[str, str],
) -> None:
    """Write the commands of a sweep, the overrides of each of its jobs and the user's folders."""
    saved = [
        {
            "typed": _masked(command.typed),
            "arguments": _masked(command.flags + command.overrides),
            "listed": command.jobs and list(map(_masked, command.jobs)),
        }
        for command in commands
    ]
    content = {
        "version": VERSION,
        "commands": saved,
        "jobs": list(map(_masked, jobs)),
        "code_dirs": dict(code_dirs),
    }
    replace_file(folder / SWEEP_FILE, json.dumps(content).encode())


def _masked(arguments: Sequence[str]) -> list[str]:
    return [masked_override(argument) for argument in arguments]


def read_commands(folder: Path) -> list[Command]:
    """Return the commands of a sweep, in order.

    Raises:
        UserError: if the file is damaged, or a later version of losslab wrote it.
    """
    with advising(
        "restore the file, or start the sweep again in a new folder: the runs that this one has "
        "can be compared (losslab compare), but not continued"
    ):
        commands = read_sweep(folder)["commands"]
        if not commands:
            raise FileError(folder / SWEEP_FILE, "has no commands")
    return [_command(saved) for saved in commands]


def read_code_dirs(folder: Path) -> dict[str, str]:
    """Return the folders of the user's modules of a sweep; empty if there is no such sweep."""
    return read_sweep(folder).get("code_dirs", {}) if (folder / SWEEP_FILE).exists() else {}


def _command(saved: SavedCommand) -> Command:
    flags, overrides = split_flags([translated_override(given) for given in saved["arguments"]])
    listed = saved["listed"]
    jobs = listed and [[translated_override(given) for given in job] for job in listed]
    typed = saved.get("typed", saved["arguments"])
    return Command(flags, overrides, multirun=True, resume=None, jobs=jobs, typed=typed)


def extended(command: Command, overrides: Sequence[str]) -> Command:
    """Return a sweep's command with new values of the seed, the loss, or other swept keys.

    A new launcher replaces the earlier one with its options.

    Raises:
        UserError: if an override would make the new jobs differ otherwise from the existing ones.
    """
    chosen = [each for each in parsed(overrides) if each.key_or_group == "hydra/launcher"]
    grown = without_launcher(command) if chosen else command
    grown = replace(grown, overrides=list(grown.overrides))
    for override in parsed(overrides):
        key, given = override.key_or_group, override.input_line
        before = [each for each in parsed(grown.overrides) if each.key_or_group == key]
        if any(each.input_line == given for each in before[-1:]):
            continue
        if any(each.value() == MASK for each in before[-1:]):
            grown.overrides = _replaced(grown.overrides, [before[-1].input_line], given)
            continue
        if grown.jobs is not None and key == "seed":
            grown.jobs = _reseeded(grown.jobs, values_of(override))
        elif not override.is_delete() and _may_grow(key, before, listed=grown.jobs is not None):
            if meaning(key).affects_results or key == "seed":
                given = _with_earlier_values(before, override)
            grown.overrides = _replaced(
                grown.overrides, [each.input_line for each in before], given
            )
        else:
            compose(jobs_of([*all_jobs(grown)[0], given])[0])  # a mistyped key or choice
            has = f"with {before[-1].input_line}" if before else f"without {key}"
            raise UserError(
                f"{given} conflicts with this sweep, which was made {has}: resume= adds values of "
                f"{', '.join(_growing(grown))}; for anything else start a new sweep"
            )
    return grown


def _with_earlier_values(before: Sequence[Any], override: Any) -> str:
    """Return an override whose values include the earlier ones, since resuming only adds jobs."""
    earlier = [value for each in before[-1:] for value in values_of(each)]
    values = values_of(override)
    if set(earlier) <= set(values):
        return str(override.input_line)
    return f"{override.key_or_group}={','.join(dict.fromkeys([*earlier, *values]))}"


def _may_grow(key: str, before: Sequence[Any], *, listed: bool) -> bool:
    row = meaning(key)
    says_how = not row.affects_results and not row.named  # threads, paths, the launcher
    if listed:
        return says_how
    return says_how or key == "loss" or any(each.is_sweep_override() for each in before)


def _growing(command: Command) -> list[str]:
    swept = [each.key_or_group for each in parsed(command.overrides) if each.is_sweep_override()]
    return list(dict.fromkeys(["seed"] if command.jobs else ["seed", "loss", *swept]))


def _replaced(overrides: Sequence[str], before: Sequence[str], given: str) -> list[str]:
    """Replace overrides by a new one, at the position of the last, since names of runs use it."""
    if not before:
        return [*overrides, given]
    kept = [given if each == before[-1] else each for each in overrides]
    return [each for each in kept if each not in before[:-1]]


def _reseeded(jobs: Sequence[Sequence[str]], seeds: Sequence[str]) -> list[list[str]]:
    given = [each for job in jobs for each in job if each.startswith("seed=")]
    seeds = list(dict.fromkeys([*(each.removeprefix("seed=") for each in given), *seeds]))
    return [[*job, f"seed={seed}"] for job in without_seeds(jobs) for seed in seeds]
