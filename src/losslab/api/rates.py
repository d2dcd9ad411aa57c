"""Learning-rate range test on your model and your data, from Python."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from losslab.api.choices import Losses
from losslab.api.described import described
from losslab.api.engine import unchanged_process
from losslab.config.expansion import complete
from losslab.config.jobs import compose_jobs
from losslab.config.overrides import refuse_rate
from losslab.range_test import Span, find_rates
from losslab.report.learning_rates import LearningRates


def lr_find(
    *,
    losses: Losses,
    data: Any,
    target: str | Sequence[str] | None = None,
    model: Any = None,
    task: str | None = None,
    seed: int = 0,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    options: str | Sequence[str] = (),
) -> LearningRates:
    """Find learning rates for each loss by a short training whose learning rate grows.

    All losses start from the same weights and see the same batches. Nothing trained is kept, and
    validation and test are not read.

    Args:
        losses: as for :func:`losslab.compare`.
        data: as for :func:`losslab.compare`.
        target: column or columns of a DataFrame.
        model: as for :func:`losslab.compare`.
        task: by default it follows from the targets.
        seed: seed of weights, split and batches.
        start: first learning rate.
        end: last learning rate; a test ends before, if the loss has risen far.
        steps: number of steps.
        options: further options, as on the command line: ``["optimizer=sgd"]``.

    Returns:
        The curves, with ``suggestions``, ``table()`` and ``plot()``.

    Raises:
        UserError: if something does not fit; the message is one line.

    Source:
        Smith, "Cyclical Learning Rates for Training Neural Networks", 2017; suggestions of fastai.

    Example:
        >>> found = losslab.lr_find(data="digits", losses=["focal", "hinge"])  # doctest: +SKIP
        >>> found.suggestions["focal"]["valley"]  # doctest: +SKIP
        0.0019
    """
    span = Span(start, end, steps)
    with unchanged_process(), TemporaryDirectory(prefix="losslab") as folder:
        shared, chosen = described(
            Path(folder),
            losses=losses,
            data=data,
            target=target,
            model=model,
            task=task,
            options=options,
        )
        given = [complete([*shared, f"seed={seed}", *own]) for own in chosen.values()]
        refuse_rate([option for job in given for option in job])
        jobs = compose_jobs(given)
        return find_rates(dict(zip(chosen, (job.config for job in jobs), strict=True)), span)
