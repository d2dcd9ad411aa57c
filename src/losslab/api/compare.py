"""Comparison of losses on your model and your data, from Python."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from numbers import Integral
from pathlib import Path
from typing import Any, get_args

from losslab.analysis.load import Run, read_run
from losslab.api.again import give_again
from losslab.api.choices import Losses, loss_options, model_options
from losslab.api.engine import Engine, run_sweep, unchanged_process
from losslab.api.result import Result, Shown, options_of, read_shown
from losslab.api.samples import data_options
from losslab.config import groups
from losslab.config.command import Command
from losslab.config.compose import complete
from losslab.config.errors import UserError
from losslab.config.overrides import quoted
from losslab.runs.folder import SWEEP_FILE


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
    options: Sequence[str] = (),
    engine: Engine = "lockstep",
    folder: str | Path | None = None,
) -> Result:
    """Train a model with each loss and each seed, and compare the losses.

    Runs of one seed have the same initial weights, splits and batches. They are kept in a folder,
    like those of ``losslab -m``, with the same records and reports. If it is interrupted,
    :func:`load` has the runs that are done, and :meth:`Result.extend` trains the others.

    Args:
        losses: losses by label, each a module, a class or a function of prediction and target; or a
            list of names in conf/, which may have options: ``["mse", "huber loss.delta=2"]``.
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
    folder = _new_folder() if folder is None else Path(folder)
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    _require_settings(folder, engine, task, optimizer)
    asked = {"trainer.max_epochs": max_epochs, "optimizer": optimizer, "optimizer.lr": lr}
    asked |= {f"within.{name}": margin for name, margin in (within or {}).items()}
    with unchanged_process():
        shared = [
            *data_options(data, target, task, folder),
            *model_options(model),
            *(f"{key}={value}" for key, value in asked.items() if value is not None),
            *options,
        ]
        task_node = groups.node("task", task_of(shared))
        _require_known("metric", metrics, task_node.metrics)
        chosen = loss_options(losses, str(task_node.standard_loss))
        _require_known("baseline", [baseline] if baseline else [], list(chosen))
        jobs = [[*own, f"seed={seed}"] for own in chosen.values() for seed in _seed_list(seeds)]
        command = _command(shared, jobs, folder)
        shown = Shown(baseline, tuple(metrics), engine)
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
    trust: bool = False,
) -> Result:
    """Read a comparison, made in Python or by ``losslab -m``, from its folder.

    Args:
        folder: folder of the runs.
        model: the model of :func:`compare`, to extend what another process began.
        losses: the losses of :func:`compare` that are not names in conf/, for the same purpose.
        trust: whether :meth:`Result.extend` may run other code than losslab's and that of the
            current folder.

    Raises:
        UserError: if the folder has no comparison.
    """
    folder = Path(folder)
    if not (folder / SWEEP_FILE).is_file():
        raise UserError(f"{folder} is not the folder of a comparison")
    if model is not None or losses:
        give_again(options_of(folder), model, losses or {})
    return Result(folder, read_shown(folder), trust=trust)


def _new_folder() -> Path:
    return Path("logs", "sweeps", f"{datetime.now():%Y-%m-%d_%H-%M-%S-%f}")


def _seed_list(seeds: int | Iterable[int]) -> list[int]:
    found = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not found or not all(isinstance(seed, Integral) for seed in found):
        raise UserError(f"seeds must be a number of seeds or a list of them, got {seeds!r}")
    return [int(seed) for seed in found]


def _require_settings(folder: Path, engine: str, task: str | None, optimizer: str | None) -> None:
    if (folder / SWEEP_FILE).exists():
        raise UserError(f'{folder} has a comparison: losslab.load("{folder}").extend(seeds=...)')
    if folder.exists() and not folder.is_dir():
        raise UserError(f"folder must be a folder, got the file {folder}")
    if engine not in get_args(Engine):
        raise UserError(
            f"engine must be {' or '.join(map(repr, get_args(Engine)))}, got {engine!r}"
        )
    for group, name in (("task", task), ("optimizer", optimizer)):
        if name is not None and not isinstance(name, str):
            raise UserError(f"{group} must be a name in conf/, got {name!r:.60}")
        if name is not None:
            groups.require_known(group, name)


def task_of(options: Sequence[str]) -> str:
    """Return the task that options choose, or that of their data."""
    chosen = {key: value for key, _, value in (each.partition("=") for each in options)}
    return chosen.get("task") or str(groups.default_choice("data", chosen["data"], "task"))


def _require_known(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(groups.unknown(kind, name, known))


def _command(shared: Sequence[str], jobs: list[list[str]], folder: Path) -> Command:
    """Return the command that makes the same runs, each job with its own loss and seed."""
    placed = [f"hydra.sweep.dir={quoted(folder)}"]
    # complete() lets options of a replaced _target_ be typed without +
    [first, *_] = jobs
    completed = complete([*shared, *first])[: len(shared)]
    jobs = [complete([*shared, *job])[len(shared) :] for job in jobs]
    return Command([], [*completed, *placed], True, None, jobs, typed=["-m", *shared])
