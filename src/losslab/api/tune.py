"""Equal tuning of losses on your model and your data, from Python."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from losslab.analysis.power import needed_seeds
from losslab.api.choices import Losses
from losslab.api.described import (
    completed,
    described,
    names,
    new_folder,
    removed_if_refused,
    require_new,
    seed_list,
)
from losslab.api.engine import Engine, unchanged_process
from losslab.api.result import Shown
from losslab.api.tuning_result import TuningResult, train_stages
from losslab.config.errors import UserError
from losslab.runs.folder import label_of
from losslab.tuning_plan import TUNING_SEEDS, Plan, planned, require_apart, require_search
from losslab.tuning_split import with_unseen_test

Ranges = Mapping[str, Mapping[str, Any]]


def tune(
    *,
    losses: Losses,
    data: Any,
    target: str | Sequence[str] | None = None,
    model: Any = None,
    trials: int = 20,
    seeds: int | Iterable[int] | None = None,
    tuning_seeds: int | Iterable[int] = len(TUNING_SEEDS),
    protocol: str = "tuned",
    sampler: str = "sobol",
    ranges: Ranges | None = None,
    baseline: str | None = None,
    metrics: str | Sequence[str] = (),
    within: Mapping[str, float] | None = None,
    task: str | None = None,
    max_epochs: int | None = None,
    optimizer: str | None = None,
    lr: float | None = None,
    options: str | Sequence[str] = (),
    engine: Engine = "lockstep",
    folder: str | Path | None = None,
) -> TuningResult:
    """Tune each loss with the same number of trials, then compare their best settings.

    Each loss is tried with its default setting and with further points of one sequence, each on
    all tuning seeds, and its best setting is chosen by validation. These settings are compared on
    other seeds, with test samples that the search did not see. An interrupted tuning is
    resumed by ``losslab.load(folder).extend(seeds=0)``.

    Args:
        losses: as for :func:`losslab.compare`. Losses of conf/ declare ranges of their options.
        data: as for :func:`losslab.compare`.
        target: column or columns of a DataFrame.
        model: as for :func:`losslab.compare`.
        trials: number of settings per loss, the first of them the default one.
        seeds: number of final seeds, or these seeds; by default as many as the tests need.
        tuning_seeds: number of seeds of the search, from 1000 on, or these seeds, none of them a
            final one.
        protocol: ``"tuned"`` tries learning rates and options of the losses, ``"controlled"``
            options only.
        sampler: ``"sobol"`` tries points of one sequence, ``"optuna"`` chooses by the results
            after the first ten.
        ranges: ranges of options, by label and option: ``{"mine": {"scale": {"low": 0.1, "high":
            10, "log": True}}}``, or a list of values. Your own loss must be a class or a function,
            and the option an argument with a default.
        baseline: as for :func:`losslab.compare`; so are all others.
        metrics: metrics that decide the final comparison; the search uses the task's first.
        within: differences that do not matter, by metric.
        task: name of the task.
        max_epochs: number of epochs.
        optimizer: name in conf/, which declares the range of learning rates.
        lr: learning rate of all runs, which is then not tuned.
        options: further options, as on the command line.
        engine: ``"lockstep"`` or ``"one by one"``.
        folder: folder of the tuning; by default a new one in ``logs/tuning``.

    Returns:
        The final comparison, with the search in ``result.search()`` and ``result.best``.

    Raises:
        UserError: if something does not fit; the message is one line.
    """
    folder = new_folder("tuning") if folder is None else Path(folder)
    require_new(folder, engine)
    require_search(protocol, sampler, trials, "trials")
    shown = Shown(baseline, tuple(names(metrics)), engine)
    with unchanged_process(), removed_if_refused(folder):
        shared, chosen = described(
            folder,
            losses=losses,
            data=data,
            target=target,
            model=model,
            baseline=baseline,
            metrics=shown.metrics,
            within=within,
            task=task,
            max_epochs=max_epochs,
            optimizer=optimizer,
            lr=lr,
            options=options,
        )
        final = _final_seeds(seeds, len(chosen))
        plan = Plan(
            protocol=protocol,
            budget=trials,
            losses=list(chosen),
            tuning_seeds=seed_list(tuning_seeds, "tuning_seeds", TUNING_SEEDS[0]),
            seeds=final,
            overrides=completed(shared, next(iter(chosen.values())))[0],
            ranges=_ranges(ranges or {}, chosen, losses),
            own_ranges=list(ranges or {}),
            points={},
            sampler=sampler,
            chosen=_labelled(shared, chosen),
        )
        require_apart(plan.tuning_seeds, plan.seeds)
        plan = with_unseen_test(planned(plan))
        shown.write(folder)
        train_stages(plan, folder, engine)
    return TuningResult(folder, shown, trust=True)


def _final_seeds(seeds: int | Iterable[int] | None, losses: int) -> list[int]:
    pairs = max(1, losses * (losses - 1) // 2)
    return seed_list(needed_seeds(pairs) if seeds is None else seeds)


def _ranges(ranges: Ranges, chosen: Mapping[str, Any], losses: Losses) -> dict[str, dict[str, Any]]:
    for label, own in ranges.items():
        if label not in chosen:
            raise UserError(f"ranges has {label}, but the losses are {', '.join(chosen)}")
        if not isinstance(own, Mapping):
            raise UserError(f"ranges of {label} must be by option, got {own!r:.60}")
        given = losses.get(label) if isinstance(losses, Mapping) else None
        if isinstance(given, nn.Module):
            raise UserError(
                f"ranges of {label} need the class, or a function that makes the loss, got a ready "
                f"{type(given).__name__}"
            )
    return {label: dict(own) for label, own in ranges.items()}


def _labelled(shared: Sequence[str], chosen: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the options of the losses that are more than a name, with their labels."""
    return {
        label: [*completed(shared, own)[1], *([] if label_of(own) else [f"label={label}"])]
        for label, own in chosen.items()
        if list(own) != [f"loss={label}"]
    }
