"""Parsing of the command line: flags, overrides and the jobs of a sweep. Nothing imports torch."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from losslab.config import groups
from losslab.config.compound import without_components
from losslab.config.errors import UserError
from losslab.config.expansion import complete, jobs_of, jobs_of_experiment, values_of
from losslab.config.overrides import parsed, require_distinct
from losslab.config.schema import TOP_LEVEL
from losslab.config.seeds_auto import split_looks
from losslab.config.trust import Source

PASS_ON = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc")
# Hydra's flags with a value; that of --info is optional
WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun"),
}
INFO = ("--info", "-i")
FLAGS = {*PASS_ON, *WITH_VALUE, "--help", "-h", "--multirun", "-m", "--run", "-r", "--resolve"}
"""Options with dashes, all of them Hydra's."""

CFG = ("job", "hydra", "all")
ABOUT = ("", "all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
VALUES_OF = {"--cfg": CFG, "-c": CFG, "--info": ABOUT, "-i": ABOUT}
NEEDS_CFG = ("--package", "-p", "--resolve")
NOT_TAKEN = {
    **dict.fromkeys(
        ("--config-name", "-cn", "--config-path", "-cp"),
        "add your own configs with --config-dir FOLDER",
    ),
    "--experimental-rerun": "resume=FOLDER trains on, the run's config.yaml has its options",
}


LAUNCHER = re.compile(r"[+~]*hydra[/.]launcher[=.@]")
"""Begin of an override that chooses or configures what launches the jobs."""


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
        trust: whether what the folder's configs name may be run, whatever it is.
        source: where the command was read from, if it is not trusted.
    """

    flags: list[str]
    overrides: list[str]
    multirun: bool
    resume: Path | None
    jobs: list[list[str]] | None = None
    typed: list[str] = field(default_factory=list)
    looks: tuple[int, ...] = ()
    trust: bool = False
    source: Source | None = None


def parse(arguments: Sequence[str]) -> Command:
    """Parse the arguments and complete the overrides, except with ``resume=``.

    Raises:
        UserError: if an override is malformed, or chooses something that conf/ does not have.
    """
    flags, given = split_flags(arguments)
    require_flags(flags)
    overrides, folder = [], None
    for argument in given:
        if argument.startswith("resume="):
            folder = Path(argument.removeprefix("resume="))
            if argument == "resume=":
                raise UserError("resume= needs the folder of a run or of a sweep")
        else:
            overrides.append(argument)
    require_distinct(overrides)
    trust, overrides = split_trust(overrides)
    if trust and folder is None:
        raise UserError("trust=true is about the configs of a folder: add resume=FOLDER")
    looks, overrides = split_looks(overrides)
    multirun = any(flag in ("-m", "--multirun") for flag in flags)
    flags = [flag for flag in flags if flag not in ("-m", "--multirun")]
    typed = list(arguments)
    if looks and folder is not None:
        raise UserError("resume=FOLDER continues with the sweep's own looks: remove seeds=auto")
    if looks and not multirun:
        raise UserError("seeds=auto adds seeds to a sweep: add -m")
    if folder is not None:  # the folder decides whether it is a sweep
        return Command(flags, overrides, multirun, folder, typed=typed, trust=trust)
    jobs = jobs_of_experiment(overrides) if multirun else None
    if jobs is None:
        overrides = complete(overrides)
    else:
        _refuse_overridden(overrides, jobs)
    if not multirun:
        _refuse_sweep(overrides)
    return Command(flags, overrides, multirun, None, jobs, typed, looks)


def split_trust(overrides: Sequence[str]) -> tuple[bool, list[str]]:
    """Split ``trust=true`` from the overrides.

    Example:
        >>> split_trust(["seed=0", "trust=true"])
        (True, ['seed=0'])
    """
    given = [each.removeprefix("trust=").lower() for each in overrides if each.startswith("trust=")]
    for value in given:
        if value not in ("true", "false"):
            raise UserError(f"trust must be true or false, got {value}")
    rest = [each for each in overrides if not each.startswith("trust=")]
    return given[-1:] == ["true"], rest


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


def refuse_dashes(arguments: Sequence[str], own: Sequence[str], command: str) -> None:
    """Refuse dashes before the arguments of a subcommand whose arguments are all overrides.

    Args:
        arguments: arguments of the subcommand.
        own: names of those that are not options of runs.
        command: name of the subcommand.
    """
    for argument in arguments:
        name = argument.lstrip("-")
        if argument in ("-m", "--multirun"):
            raise UserError(
                f"{argument} is not needed: losslab {command} always trains several runs"
            )
        if name.partition("=")[0] in own and name != argument:
            raise UserError(f"{argument}: options have no dashes: write {name}")
        if name != argument:
            raise UserError(
                f"unknown option {argument} (losslab {command} --help lists the arguments)"
            )


def split_own(
    arguments: Sequence[str], own: Sequence[str], command: str
) -> tuple[dict[str, str], list[str]]:
    """Return a subcommand's own arguments by name, and the others, which are overrides of runs.

    Args:
        arguments: arguments of the subcommand, which have no dashes.
        own: names of its own ones.
        command: name of the subcommand.

    Raises:
        UserError: if one is given twice, or has dashes.

    Example:
        >>> split_own(["loss=bce", "steps=50"], ("start", "end", "steps"), "lr_find")
        ({'steps': '50'}, ['loss=bce'])
    """
    refuse_dashes(arguments, own, command)
    found: dict[str, str] = {}
    overrides = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or name not in own:
            overrides.append(argument)
        elif name in found:
            raise UserError(f"{name} is given twice: {found[name]} and {value}")
        else:
            found[name] = value
    return found, overrides


def require_flags(flags: Sequence[str]) -> None:
    """Check the arguments that begin with a dash, and their values.

    Raises:
        UserError: if one is unknown or has a value that it does not take.
    """
    for place, flag in enumerate(flags):
        if not flag.startswith("-"):
            continue  # the value of a flag
        name, equals, given = flag.partition("=")
        if name in WITH_VALUE and not equals and place + 1 == len(flags):
            raise UserError(f"{flag} needs a value")
        option = name.lstrip("-")
        if flag.startswith("--") and option.partition(".")[0] in (*TOP_LEVEL, "resume", "trust"):
            typed = f"{option}={given}" if equals else f"{option}=..."
            raise UserError(f"{flag}: options have no dashes: write {typed}")
        if name not in FLAGS:
            known = sorted(each for each in FLAGS if each.startswith("--"))
            raise UserError(f"unknown option {flag}{groups.did_you_mean(flag, known)}")
        if equals and name not in (*WITH_VALUE, *INFO):
            raise UserError(f"{name} takes no value, got {flag}")
        _require_value(name, given if equals else next(iter(flags[place + 1 :]), ""))
        if name in NEEDS_CFG and not {"--cfg", "-c"} & {each.partition("=")[0] for each in flags}:
            raise UserError(f"{name} needs --cfg job")


def _require_value(flag: str, value: str) -> None:
    if flag in NOT_TAKEN:
        raise UserError(f"{flag} is not supported: {NOT_TAKEN[flag]}")
    choices = VALUES_OF.get(flag, ())
    if choices and not value.startswith("-") and value not in choices:
        raise UserError(f"{flag} must be {' or '.join(filter(None, choices))}, got {value}")


def _refuse_overridden(overrides: Sequence[str], jobs: Sequence[Sequence[str]]) -> None:
    """Refuse options that the jobs of an experiment would silently replace."""
    of_jobs = {each.partition("=")[0] for job in jobs for each in job}
    for override in parsed(overrides):
        if override.key_or_group in of_jobs:
            raise UserError(
                f"{override.input_line}: the jobs of the experiment set {override.key_or_group} "
                "themselves: remove it"
            )


def _refuse_sweep(overrides: list[str]) -> None:
    for override in parsed(overrides):
        if override.is_sweep_override():
            values = ",".join(values_of(override))
            typed = override.input_line.lstrip("+")  # losslab may have added it
            key = override.key_or_group
            as_list = f"write {key}=[{values}] for a list, or " if groups.takes_list(key) else ""
            raise UserError(f"{typed} has several values: {as_list}add -m to run one job per value")


def without_launcher(command: Command) -> Command:
    """Return a command without its launcher and the launcher's options, which no run depends on.

    Example:
        >>> given = ["loss=mse", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
        >>> without_launcher(Command([], given, multirun=True, resume=None)).overrides
        ['loss=mse']
    """
    kept = [each for each in command.overrides if not LAUNCHER.match(each)]
    return replace(command, overrides=kept)


def all_jobs(command: Command) -> list[list[str]]:
    """Return the overrides of every job that a command asks for."""
    if command.jobs is None:
        return jobs_of(command.overrides)
    return without_components([[*command.overrides, *job] for job in command.jobs])
