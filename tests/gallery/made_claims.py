"""Made runs of a claim, and their evaluation."""

from dataclasses import replace
from pathlib import Path

from losslab.analysis.load import Run
from losslab.gallery.claim import Chart, Claim, PreregisteredComparison
from losslab.gallery.evaluation import evaluate_claim
from losslab.gallery.rows import rows_of
from losslab.runs.record import new_record

SEEDS = 8
MAE, MSE = {"loss": "mae"}, {"loss": "mse"}


def run(loss, outliers, seed, error, status="done", sampling="fresh"):
    record = new_record()
    record.update(
        status=status,
        loss=loss,
        data="regression",
        task="regression",
        seed=seed,
        seconds=2.0,
        sampling=sampling,
        sizes={"train": 600, "val": 200, "test": 200},
        test={"intercept_error": error},
        error={"kind": "diverged", "message": "nan", "step": 3} if status == "failed" else None,
        hashes={"weights": "w", "data": "d", "batches": "b"},
    )
    config = {
        "seed": seed,
        "overrides": [f"loss={loss}", f"data.outliers={outliers}", f"seed={seed}"],
        "choices": {"loss": loss, "data": "regression"},
        "data": {"outliers": outliers},
        "loss": {},
        "task": {"monitor": "mae", "mode": "min"},
    }
    return Run(Path(f"/runs/{loss}-{outliers}-{seed}"), record, config)


def runs(difference=-1.0, seeds=SEEDS):
    """Rows of mse and mae, whose error is smaller by about the difference at an outlier share."""
    return [
        run(loss, outliers, seed, 2 + 0.01 * seed + shift * (1 + 0.1 * seed))
        for loss, shift in (("mse", 0.0), ("mae", difference))
        for outliers in (0.1, 0.05)
        for seed in range(seeds)
    ]


def claim(*planned):
    return Claim(
        name="outliers",
        says="MAE is robust",
        why="A share lies off.",
        misleads="Two shares are not all.",
        preregistered=planned,
        chart=Chart(("intercept_error",), along="data.outliers"),
        columns=("intercept_error",),
        sweep=("loss=mse,mae seed=range(8)",),
        settings={},
        figures=(),
    )


AT = {"data.outliers": 0.1}
LOWER = PreregisteredComparison("intercept_error", MAE | AT, "lower", MSE | AT)
EQUAL = replace(LOWER, expected="equal", within=0.1)


def evaluated(planned, difference=-1.0, seeds=SEEDS):
    return evaluate_claim(claim(*planned), rows_of(runs(difference, seeds), []))


def failing(planned, lost):
    every = [each for each in runs() if not (each.loss == "mse" and each.seed in lost)]
    failed = [run("mse", share, seed, 9.0, "failed") for share in (0.1, 0.05) for seed in lost]
    rows = rows_of([*every, *failed], [])
    return rows, evaluate_claim(claim(planned), rows)
