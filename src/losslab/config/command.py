"""What a command line asks for: flags, overrides and the jobs of a sweep. Nothing imports torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from losslab.config.compose import complete, jobs_of, jobs_of_experiment, parsed
from losslab.config.errors import UserError

PASS_ON = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc")
# Hydra's flags that a value follows; that of --info can be left out
WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun"),
}
INFO = ("--info", "-i")


@dataclass
class Command:
    """A parsed command line.

    Attributes:
        flags: arguments that begin with a dash, and their values, but for ``-m``.
        overrides: Hydra's overrides, complete with what the task's standards add.
        multirun: whether ``-m`` was given.
        resume: the folder to go on with.
        jobs: what each job of a sweep has beside the overrides; ``None``: the product of those
            that name several values.
    """

    flags: list[str]
    overrides: list[str]
    multirun: bool
    resume: Path | None
    jobs: list[list[str]] | None = None


def parse(arguments: Sequence[str], jobs: list[list[str]] | None = None) -> Command:
    """Sort the arguments and complete the overrides; listed jobs are complete by themselves.

    Raises:
        UserError: for an override that Hydra's grammar or conf/ does not know.
    """
    flags, given = divided(arguments)
    overrides, folder = [], None
    for argument in given:
        if argument.startswith("resume="):
            folder = Path(argument.removeprefix("resume="))
        else:
            overrides.append(argument)
    multirun = any(flag in ("-m", "--multirun") for flag in flags)
    if folder is not None and not any(each.is_sweep_override() for each in parsed(overrides)):
        multirun = False  # no new jobs: what is in the folder says what it is
    flags = [flag for flag in flags if flag not in ("-m", "--multirun")]
    if multirun and jobs is None and folder is None:
        jobs = jobs_of_experiment(overrides)
    if jobs is None and (folder is None or multirun):
        overrides = complete(overrides)
    if not multirun:
        _refuse_sweep(overrides)
    return Command(flags, overrides, multirun, folder, jobs)


def divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags, each with the value that follows it, and overrides.

    Example:
        >>> divided(["--cfg", "job", "loss=dice", "-m"])
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


def _refuse_sweep(overrides: list[str]) -> None:
    for override in parsed(overrides):
        if override.is_sweep_override():
            raise UserError(
                f"{override.input_line} names several values: add -m to run one job each"
            )


def without_hydra(overrides: Sequence[str]) -> list[str]:
    """The overrides that are the run's own; the others choose the launcher and its options."""
    return [each for each in overrides if not re.match(r"\+*~?hydra[./=]", each)]


def all_jobs(command: Command) -> list[list[str]]:
    """Return the overrides of every job that a command asks for."""
    if command.jobs is None:
        return jobs_of(command.overrides)
    return [[*command.overrides, *job] for job in command.jobs]
