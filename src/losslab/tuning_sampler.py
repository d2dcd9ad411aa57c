"""Points of a tuning that depend on the results before them: ``sampler=optuna``.

Source:
    Bergstra et al., "Algorithms for Hyper-Parameter Optimization", 2011 (TPE); Akiba et al.,
    "Optuna: A Next-generation Hyperparameter Optimization Framework", 2019.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from losslab.analysis.ranges import Range
from losslab.analysis.search import Trial, Tuning
from losslab.config.errors import UserError
from losslab.config.extras import is_installed, not_installed


def require_optuna() -> None:
    """Check that optuna is installed.

    Raises:
        UserError: if it is not.
    """
    if not is_installed("optuna"):
        raise UserError(f"sampler=optuna: {not_installed('optuna')}")


def next_point(tuning: Tuning, loss: str) -> dict[str, Any]:
    """Return the next point of a loss, a function of the ones before and their results.

    A point of which a run failed counts as the worst that finished. A default setting outside of
    its range is left out, since optuna's model has no place for it.
    """
    import optuna  # noqa: PLC0415 (an extra)
    from optuna.trial import create_trial  # noqa: PLC0415

    ranges, trials = tuning.ranges[loss], tuning.trials[loss]
    distributions = {key: _distribution(each) for key, each in ranges.items()}
    sampler = optuna.samplers.TPESampler(seed=len(trials), n_startup_trials=1)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        direction = "maximize" if tuning.metric.sign > 0 else "minimize"
        study = optuna.create_study(direction=direction, sampler=sampler)
        for trial, value in _values(trials, tuning.metric.sign):
            if all(_holds(ranges[key], value) for key, value in trial.options.items()):
                known = create_trial(
                    params=dict(trial.options), distributions=distributions, value=value
                )
                study.add_trial(known)
        asked = study.ask(distributions)
    finally:
        optuna.logging.set_verbosity(verbosity)
    return {
        key: value if ranges[key].choices else _rounded(value, ranges[key])
        for key, value in asked.params.items()
    }


def _distribution(range_: Range) -> Any:
    from optuna.distributions import (  # noqa: PLC0415 (an extra)
        CategoricalDistribution,
        FloatDistribution,
    )

    if range_.choices:
        return CategoricalDistribution(range_.choices)
    return FloatDistribution(range_.low, range_.high, log=range_.log)


def _values(trials: Sequence[Trial], sign: int) -> list[tuple[Trial, float]]:
    """Return the trials with their means; those with failed seeds have the worst of all."""
    means = [trial.mean for trial in trials if trial.values]
    worst = min(means, key=lambda mean: sign * mean, default=None)
    if worst is None:
        return []
    return [(trial, worst if trial.failed else trial.mean) for trial in trials]


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
        Points by loss, none for a loss whose settings have all been tried.
    """
    found = {}
    for loss, trials in tuning.trials.items():
        if len(trials) >= budget or not tuning.ranges[loss]:
            continue
        tried = [dict(trial.options) for trial in trials]
        candidates = [next_point(tuning, loss), *map(dict, spare[loss])]
        if fresh := [each for each in candidates if each not in tried]:
            found[loss] = fresh[0]
    return found
