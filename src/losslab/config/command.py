"""Parsing of the command line: flags, overrides and the jobs of a sweep. Nothing imports torch."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from losslab.config import groups
from losslab.config.compose import complete, jobs_of, jobs_of_experiment, values_of
from losslab.config.errors import UserError
from losslab.config.overrides import parsed
from losslab.config.schema import TOP_LEVEL, meaning
from losslab.config.seeds_auto import split_looks

PASS_ON = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc")
# Hydra's flags with a value; that of --info is optional
WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun"),
}
INFO = ("--info", "-i")
FLAGS = {*PASS_ON, *WITH_VALUE, "--help", "-h", "--multirun", "-m", "--run", "-r", "--resolve"}
"""Options with dashes, all of them Hydra's."""


def program(subcommand: str = "") -> str:
    """Return what the user typed before the arguments, for advice on the next command.

    Args:
        subcommand: subcommand that the advice is about; ``scripts/`` has one file per subcommand.
    """
    script = Path(sys.argv[0])
    if script.name == f"{subcommand or 'train'}.py":
        return f"python {sys.argv[0]}"
    return f"losslab {subcommand}".rstrip()


@dataclass
class Command:
    """A parsed command line.

    Attributes:
        flags: arguments that begin with a dash, and their values, without ``-m``.
        overrides: Hydra overrides, including the task's default loss and data.
        multirun: whether ``-m`` was given.
        resume: folder to resume.
        jobs: additional overrides of each job of a sweep; ``None``: the product of the overrides
            with several values.
        typed: arguments as typed.
        looks: numbers of seeds at which ``seeds=auto`` compares; empty without it.
    """

    flags: list[str]
    overrides: list[str]
    multirun: bool
    resume: Path | None
    jobs: list[list[str]] | None = None
    typed: list[str] = field(default_factory=list)
    looks: tuple[int, ...] = ()


def parse(arguments: Sequence[str]) -> Command:
    """Parse the arguments and complete the overrides, except with ``resume=``.

    Raises:
        UserError: if an override is malformed, or chooses something that conf/ does not have.
    """
    flags, given = split_flags(arguments)
    _refuse_dashes(flags)
    overrides, folder = [], None
    for argument in given:
        if argument.startswith("resume="):
            folder = Path(argument.removeprefix("resume="))
            if argument == "resume=":
                raise UserError("resume= needs the folder of a run or of a sweep")
        else:
            overrides.append(argument)
    looks, overrides = split_looks(overrides)
    multirun = any(flag in ("-m", "--multirun") for flag in flags)
    flags = [flag for flag in flags if flag not in ("-m", "--multirun")]
    typed = list(arguments)
    if looks and folder is not None:
        raise UserError("resume=FOLDER continues with the sweep's own looks: remove seeds=auto")
    if looks and not multirun:
        raise UserError("seeds=auto adds seeds to a sweep: add -m")
    if folder is not None:  # the folder decides whether it is a sweep
        return Command(flags, overrides, multirun, folder, typed=typed)
    jobs = jobs_of_experiment(overrides) if multirun else None
    if jobs is None:
        overrides = complete(overrides)
    if not multirun:
        _refuse_sweep(overrides)
    return Command(flags, overrides, multirun, None, jobs, typed, looks)


def split_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split arguments into flags, each followed by its value, and overrides.

    Example:
        >>> split_flags(["--cfg", "job", "loss=dice", "-m"])
        (['--cfg', 'job', '-m'], ['loss=dice'])
    """
    flags: list[str] = []
    overrides: list[str] = []
    before = ""
    for argument in arguments:
        is_value = before in WITH_VALUE or (before in INFO and "=" not in argument)
        (flags if is_value or argument.startswith("-") else overrides).append(argument)
        before = "" if is_value else argument
    return flags, overrides


def _refuse_dashes(flags: Sequence[str]) -> None:
    for place, flag in enumerate(flags):
        if not flag.startswith("-"):
            continue  # the value of a flag
        name = flag.lstrip("-")
        if flag in WITH_VALUE and place + 1 == len(flags):
            raise UserError(f"{flag} needs a value")
        if flag.startswith("--") and re.split("[.=]", name)[0] in (*TOP_LEVEL, "resume"):
            given = name if "=" in name else f"{name}=..."
            raise UserError(f"{flag}: options have no dashes: write {given}")
        if flag.partition("=")[0] not in FLAGS:
            known = sorted(each for each in FLAGS if each.startswith("--"))
            raise UserError(f"unknown option {flag}{groups.did_you_mean(flag, known)}")


def _refuse_sweep(overrides: list[str]) -> None:
    for override in parsed(overrides):
        if override.is_sweep_override():
            values = ",".join(values_of(override))
            key = override.key_or_group
            as_list = f"write {key}=[{values}] for a list, or " if _is_list(key) else ""
            raise UserError(
                f"{override.input_line} has several values: {as_list}add -m to run one job per "
                "value"
            )


def _is_list(key: str) -> bool:
    """Return whether a key takes a list, according to the schema or conf/."""
    return meaning(key).kind == "list" or groups.takes_list(key)


def run_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that configure runs, without those that configure Hydra."""
    keys = [re.split("[=@]", each.lstrip("+~"))[0] for each in overrides]
    return [each for each, key in zip(overrides, keys, strict=True) if not meaning(key).launches]


def all_jobs(command: Command) -> list[list[str]]:
    """Return the overrides of every job that a command asks for."""
    if command.jobs is None:
        return jobs_of(command.overrides)
    return [[*command.overrides, *job] for job in command.jobs]


def without_seeds(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the distinct jobs that are left if their seeds are removed.

    Example:
        >>> without_seeds([["loss=mse", "seed=0"], ["loss=mse", "seed=1"], ["loss=mae", "seed=0"]])
        [['loss=mse'], ['loss=mae']]
    """
    seedless = (tuple(each for each in job if not each.startswith("seed=")) for job in jobs)
    return list(map(list, dict.fromkeys(seedless)))
