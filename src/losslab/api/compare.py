"""Comparison of losses on your model and your data, from Python."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from losslab.analysis.load import Run, read_run
from losslab.api.again import give_again
from losslab.api.choices import Losses
from losslab.api.described import (
    completed,
    described,
    margins,
    names,
    new_folder,
    removed_if_refused,
    require_new,
    seed_list,
)
from losslab.api.engine import Engine, run_sweep, unchanged_process
from losslab.api.result import Result, Shown, read_shown
from losslab.api.tuning_result import TuningResult
from losslab.config.command import Command
from losslab.config.errors import UserError
from losslab.config.overrides import quoted
from losslab.runs.folder import PLAN_FILE, SWEEP_FILE


def compare(
    *,
    losses: Losses,
    data: Any,
    target: str | Sequence[str] | None = None,
    model: Any = None,
    seeds: int | Iterable[int] = 8,
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
) -> Result:
    """Train a model with each loss and each seed, and compare the losses.

    Runs of one seed have the same initial weights, splits and batches. They are kept in a folder,
    like those of ``losslab -m``, with the same records and reports. If it is interrupted,
    :func:`load` has the runs that are done, and :meth:`Result.extend` trains the others.

    Args:
        losses: losses by label, or a list of them. Each is a module, a class or a function of
            prediction and target, or a name in conf/, which may have options: ``"mse"``, ``"huber
            loss.delta=2"``, ``("huber", {"delta": 2})``.
        data: ``(X, y)``, a DataFrame with ``target``, a Dataset of ``(input, target)``, a
            DataLoader, whose dataset is taken, a LightningDataModule, or a name in conf/.
        target: column or columns of a DataFrame.
        model: class or function that makes the network, called once per seed, or a name in conf/.
            It is given ``input_shape`` and ``outputs`` if it takes them. Default: a small one.
        seeds: number of seeds, or the seeds.
        baseline: label that the other losses are compared with; by default all pairs are.
        metrics: metrics that decide; by default the first of the task.
        within: differences that do not matter, by metric.
        task: ``"classification"``, ``"regression"`` ...; by default it follows from the targets.
        max_epochs: number of epochs.
        optimizer: name in conf/.
        lr: learning rate.
        options: further options, as on the command line: ``["data.val_fraction=0.1"]``.
        engine: ``"lockstep"`` trains runs together where that gives the same results, ``"one by
            one"`` does not.
        folder: folder of the runs; by default a new one in ``logs/sweeps``.

    Returns:
        The result; losses whose runs failed are in it, too, and the reasons are printed.

    Raises:
        UserError: if something does not fit; the message is one line.

    Example:
        >>> result = losslab.compare(  # doctest: +SKIP
        ...     model=lambda: MyNet(width=32), data=(X, y), losses={"ce": nn.CrossEntropyLoss(),
        ...     "focal": losslab.losses.FocalLoss(gamma=2)}, seeds=8, baseline="ce")
        >>> print(result.answer)  # doctest: +SKIP
    """
    folder = new_folder("sweeps") if folder is None else Path(folder)
    require_new(folder, engine)
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
        command = _command(shared, list(chosen.values()), seed_list(seeds), folder)
        shown.write(folder)
        run_sweep(command, folder, engine)
    return Result(folder, shown, trust=True)


def train(
    *, loss: Any, data: Any, seed: int = 0, folder: str | Path | None = None, **options: Any
) -> Run:
    """Train a model with one loss and one seed.

    Args:
        loss: a loss, as one of the losses of :func:`compare`.
        data: as for :func:`compare`.
        seed: seed of the run.
        folder: folder of the run; by default a new one in ``logs/sweeps``.
        options: further arguments of :func:`compare`, such as ``model``.

    Returns:
        The run, with its ``record``, ``metrics()``, ``curves`` and ``folder``.

    Raises:
        UserError: if something does not fit.
    """
    result = compare(losses=[loss], data=data, seeds=[seed], folder=folder, **options)
    [run] = result.comparison.runs
    return read_run(run.folder)


def load(
    folder: str | Path,
    *,
    model: Any = None,
    losses: Mapping[str, Any] | None = None,
    baseline: str | None = None,
    metrics: str | Sequence[str] = (),
    within: Mapping[str, float] | None = None,
    data: Any = None,
    trust: bool = False,
) -> Result:
    """Read a comparison or a tuning, made in Python or on the command line, from its folder.

    Args:
        folder: folder of the runs.
        model: the model of :func:`compare`, to extend what another process began.
        losses: the losses of :func:`compare` that are not names in conf/, for the same purpose.
        baseline: label that the other losses are compared with, instead of the folder's.
        metrics: metrics that decide, instead of the folder's.
        within: differences that do not matter, by metric, instead of those of the runs.
        data: the Dataset or LightningDataModule of :func:`compare`, if it was read again in each
            epoch.
        trust: whether :meth:`Result.extend` may run other code than losslab's and that of the
            current folder.

    Raises:
        UserError: if the folder has no comparison.
    """
    folder = Path(folder)
    kinds = {PLAN_FILE: TuningResult, SWEEP_FILE: Result}
    kind = next((each for name, each in kinds.items() if (folder / name).is_file()), None)
    if kind is None:
        raise UserError(f"{folder} is not the folder of a comparison")
    if model is not None or losses or data is not None:
        give_again(kind.options_of(folder), model, losses or {}, data)
    shown = read_shown(folder)
    return kind(
        folder,
        replace(
            shown,
            baseline=baseline or shown.baseline,
            metrics=tuple(names(metrics)) or shown.metrics,
            within=margins(within) if within is not None else None,
        ),
        trust=trust,
    )


def _command(
    shared: Sequence[str], losses: Sequence[list[str]], seeds: Sequence[int], folder: Path
) -> Command:
    """Return the command that makes the same runs, each job with its own loss and seed."""
    common, _ = completed(shared, losses[0])
    own = [completed(shared, each)[1] for each in losses]
    jobs = [[*each, f"seed={seed}"] for each in own for seed in seeds]
    placed = [f"hydra.sweep.dir={quoted(folder)}"]
    return Command([], [*common, *placed], True, None, jobs, typed=["-m", *shared])
