"""Points of a tuning that depend on the results before them: ``sampler=optuna``.

The points are in the plan of the tuning and the results in the records of its runs. ``study.log``
in its folder has both as optuna's studies, one per loss, which any number of processes ask for
points, one process at a time. Points whose runs have yet to end are running trials. Whichever
process asks next tells optuna how they have ended, whoever trained them: the runs of a killed
process are resumed, and end their trial. The file can be removed: it is made again, with points as
they were tried, which are rounded.

Source:
    Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011 (TPE); Akiba et al.,
    "Optuna: A Next-generation Hyperparameter Optimization Framework", 2019.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from losslab.analysis.ranges import Range
from losslab.analysis.search import STARTUP, Trial, Tuning
from losslab.config.errors import UserError
from losslab.config.extras import is_installed, not_installed

STUDY_FILE = "study.log"
"""Journal of optuna's studies in the folder of a tuning."""


def require_optuna() -> None:
    """Check that optuna is installed.

    Raises:
        UserError: if it is not.
    """
    if not is_installed("optuna"):
        raise UserError(f"sampler=optuna: {not_installed('optuna')}")


def next_point(tuning: Tuning, loss: str) -> dict[str, Any]:
    """Return the next point of a loss, a function of the ones before and their results.

    A point of which a run failed counts as the worst that finished until then. A default setting
    outside of its range is left out, since optuna's model has no place for it.
    """
    with _quiet():
        study = tell(tuning, loss)
        asked = study.ask(_distributions(tuning, loss))
    return _options(asked.params, tuning.ranges[loss])


def tell(tuning: Tuning, loss: str) -> Any:
    """Tell the study of a loss how its points have ended, as far as it does not know; return it.

    Trials that were asked for and became no point, since optuna repeated itself or the process was
    killed, have failed.
    """
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415 (an extra)

    study, ranges = _study(tuning, loss), tuning.ranges[loss]
    known = [trial for trial in study.get_trials() if trial.state != TrialState.FAIL]
    for trial, value in _values(tuning.trials[loss], tuning.metric.sign):
        if not all(_holds(ranges[key], each) for key, each in trial.options.items()):
            continue
        found = next((each for each in known if _is_of(each.params, trial, ranges)), None)
        if found is None:
            added = create_trial(
                params=dict(trial.options),
                distributions=_distributions(tuning, loss),
                value=value,
                state=TrialState.RUNNING if value is None else TrialState.COMPLETE,
            )
            study.add_trial(added)
            continue
        known.remove(found)
        if value is not None and found.state == TrialState.RUNNING:
            study.tell(found.number, value)
    for other in known:
        if other.state == TrialState.RUNNING:
            study.tell(other.number, state=TrialState.FAIL)
    return study


@contextmanager
def _quiet() -> Iterator[None]:
    import optuna  # noqa: PLC0415 (an extra)

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _study(tuning: Tuning, loss: str) -> Any:
    """Return the study of a loss, from the tuning's folder if it has one."""
    import optuna  # noqa: PLC0415 (an extra)
    from optuna.storages.journal import (  # noqa: PLC0415
        JournalFileBackend,
        JournalFileOpenLock,
    )

    storage = None
    if tuning.folder is not None:
        path = str(tuning.folder / STUDY_FILE)
        # a lock that network file systems have
        backend = JournalFileBackend(path, lock_obj=JournalFileOpenLock(path))
        storage = optuna.storages.JournalStorage(backend)
    # running trials count as bad ones, so that no two processes try the same
    sampler = optuna.samplers.TPESampler(
        seed=len(tuning.trials[loss]), n_startup_trials=1, constant_liar=True
    )
    return optuna.create_study(
        study_name=loss,
        storage=storage,
        load_if_exists=True,
        direction="maximize" if tuning.metric.sign > 0 else "minimize",
        sampler=sampler,
    )


def _is_of(params: Mapping[str, Any], trial: Trial, ranges: Mapping[str, Range]) -> bool:
    """Return whether a point was made from the parameters of one of optuna's trials."""
    return params == trial.options or _options(params, ranges) == trial.options


def _options(params: Mapping[str, Any], ranges: Mapping[str, Range]) -> dict[str, Any]:
    return {
        key: value if ranges[key].choices else _rounded(value, ranges[key])
        for key, value in params.items()
    }


def _distributions(tuning: Tuning, loss: str) -> dict[str, Any]:
    return {key: _distribution(each) for key, each in tuning.ranges[loss].items()}


def _distribution(range_: Range) -> Any:
    from optuna.distributions import (  # noqa: PLC0415 (an extra)
        CategoricalDistribution,
        FloatDistribution,
    )

    if range_.choices:
        return CategoricalDistribution(range_.choices)
    return FloatDistribution(range_.low, range_.high, log=range_.log)


def _values(trials: Sequence[Trial], sign: int) -> list[tuple[Trial, float | None]]:
    """Return the trials with their means; those with failed seeds have the worst of all.

    Pending ones have no value; without any value there is nothing to choose by.
    """
    means = [trial.mean for trial in trials if trial.values and not trial.pending]
    worst = min(means, key=lambda mean: sign * mean, default=None)
    if worst is None:
        return []
    values = [worst if trial.failed else trial.mean for trial in trials]
    return [
        (trial, None if trial.pending else value)
        for trial, value in zip(trials, values, strict=True)
    ]


def _holds(range_: Range, value: Any) -> bool:
    """Return whether a range contains a value."""
    if range_.choices:
        return value in range_.choices
    return isinstance(value, int | float) and range_.low <= value <= range_.high


def _rounded(value: float, range_: Range) -> float:
    """Round to three significant digits, as the points of the Sobol sequence are."""
    return min(max(float(f"{value:.3g}"), range_.low), range_.high)


def new_points(
    tuning: Tuning, budget: int, spare: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, dict[str, Any]]:
    """Return the next point of each loss whose budget is not used up.

    Args:
        tuning: the search so far.
        budget: number of points per loss.
        spare: points for the case that optuna repeats itself, as it does with few choices.

    Returns:
        Points by loss, none for a loss whose settings have all been tried, and none as long as the
        points that every search begins with are pending.
    """
    found: dict[str, dict[str, Any]] = {}
    if any(trial.pending for trials in tuning.trials.values() for trial in trials[:STARTUP]):
        return found
    for loss, trials in tuning.trials.items():
        if not tuning.ranges[loss]:
            continue
        if len(trials) >= budget:
            with _quiet():
                tell(tuning, loss)
            continue
        tried = [dict(trial.options) for trial in trials]
        candidates = [next_point(tuning, loss), *map(dict, spare[loss])]
        if fresh := [each for each in candidates if each not in tried]:
            found[loss] = fresh[0]
    return found
