"""Keep the samples that the final runs of a tuning are tested on out of its search.

If each seed divided a finite data set anew, nearly all samples of the final test splits would be in
training or validation splits of the search, whose best settings would be fitted to them. The test
split is therefore drawn once for all seeds, and the samples of all splits are compared.
"""

import inspect
from collections.abc import Sequence
from dataclasses import replace

from losslab.config.command import Command, all_jobs
from losslab.config.compose import compose
from losslab.config.instantiate import target_of
from losslab.config.jobs import Composed, compose_jobs
from losslab.config.overrides import is_given
from losslab.job_checks import refuse_mixture
from losslab.tuning_plan import Plan

KEY = "data.test_split_seed"
TEST_SPLIT_SEED = 0


def with_unseen_test(plan: Plan) -> Plan:
    """Return the plan with a test split that the search does not see, and the check of it.

    Data of which each seed draws new samples need nothing. A test split that the data have, or that
    the overrides determine, stays; the check then says how much of it the search sees.

    Raises:
        UserError: if the losses have different data by default, or the data cannot be read.
    """
    from losslab.components import ready_data  # noqa: PLC0415 (torch)
    from losslab.data.base import InMemoryData  # noqa: PLC0415

    [first, *_] = _jobs_of_losses(plan)
    data = ready_data(first.config)
    if not isinstance(data, InMemoryData) or data.sampling == "fresh":
        return plan
    if data.sampling == "redrawn" and not is_given(plan.overrides, KEY) and _takes_key(first):
        added = "" if "test_split_seed" in compose(first.overrides).data else "+"
        overrides = [*plan.overrides, f"{added}{KEY}={TEST_SPLIT_SEED}"]
        plan = replace(plan, overrides=overrides, test_split_seed=TEST_SPLIT_SEED)
    seen = {sample for train, val, _ in _splits(plan, plan.tuning_seeds) for sample in train | val}
    tested = {sample for *_, test in _splits(plan, plan.seeds) for sample in test}
    return replace(plan, test_samples=len(tested), overlap=len(tested & seen))


def _jobs_of_losses(plan: Plan) -> list[Composed]:
    """Compose the job of each loss, with its default options."""
    given = list(map(plan.options, plan.losses))
    command = Command([], plan.overrides, multirun=True, resume=None, jobs=given)
    jobs = compose_jobs(all_jobs(command))
    refuse_mixture(command, jobs)
    return jobs


def _takes_key(job: Composed) -> bool:
    """Return whether the data set takes ``test_split_seed``, which your own may not."""
    parameters = inspect.signature(target_of(job.config.data, "data")).parameters
    return "test_split_seed" in parameters or any(
        each.kind is each.VAR_KEYWORD for each in parameters.values()
    )


def _splits(plan: Plan, seeds: Sequence[int]) -> list[list[set[int]]]:
    """Return the samples of training, validation and test, for each seed."""
    from losslab.components import prepared_data  # noqa: PLC0415 (torch)
    from losslab.data_building import data_errors  # noqa: PLC0415

    splits = []
    for job in compose_jobs([[*plan.jobs()[0], f"seed={seed}"] for seed in seeds]):
        data = prepared_data(job.config)
        with data_errors(job.config):
            splits.append([set(part.tolist()) for part in data.split_samples()])
    return splits
