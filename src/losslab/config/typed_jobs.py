"""Overrides of jobs as they were typed. Nothing imports Hydra, which comparisons do not need."""

import re
import shlex
from collections.abc import Sequence

from losslab.config.schema import meaning


def run_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that configure runs, without those that configure Hydra."""
    keys = [re.split("[=@]", each.lstrip("+~"))[0] for each in overrides]
    return [each for each, key in zip(overrides, keys, strict=True) if not meaning(key).launches]


def command_lines(jobs: Sequence[Sequence[str]]) -> list[str]:
    """Return the commands that make jobs, one for all losses that have the same options.

    Example:
        >>> given = [["loss=mse"], ["loss=mae"], ["loss=huber", "loss.delta=2"]]
        >>> command_lines([[*own, f"seed={seed}"] for own in given for seed in (0, 1)])
        ['losslab -m loss=mse,mae seed=0,1', 'losslab -m loss=huber loss.delta=2 seed=0,1']
    """
    runs = [run_overrides(job) for job in jobs]
    seeds = dict.fromkeys(each[5:] for job in runs for each in job if each.startswith("seed="))
    lines: dict[str, list[str]] = {}
    for job in without_seeds(runs):
        rest = [each for each in job if not each.startswith("loss=")]
        rest += [f"seed={','.join(seeds)}"] if seeds else []
        losses = [each[5:] for each in job if each.startswith("loss=")]
        lines.setdefault(shlex.join(rest), []).extend(losses)
    return [f"losslab -m loss={','.join(losses)} {rest}" for rest, losses in lines.items()]


def without_seeds(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the distinct jobs that are left if their seeds are removed.

    Example:
        >>> without_seeds([["loss=mse", "seed=0"], ["loss=mse", "seed=1"], ["loss=mae", "seed=0"]])
        [['loss=mse'], ['loss=mae']]
    """
    seedless = (tuple(each for each in job if not each.startswith("seed=")) for job in jobs)
    return list(map(list, dict.fromkeys(seedless)))
