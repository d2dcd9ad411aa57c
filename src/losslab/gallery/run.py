"""The gallery: what is often said of losses, each claim tried by a sweep, with a page on it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from losslab.analysis.groups import Row
from losslab.analysis.load import collect
from losslab.config import groups
from losslab.config.command import parse
from losslab.config.errors import UserError
from losslab.gallery.chart import curves, draw, histograms, side_by_side
from losslab.gallery.claim import Claim, read_chart, read_claim
from losslab.gallery.judgement import Judged, judge, verdict
from losslab.gallery.page import Entry, Shown, seconds, write_index, write_page
from losslab.gallery.rows import has, picked, rows_of, without
from losslab.sweep import checked_jobs, launch, show_unfinished

CLAIMS = groups.CONF / "experiment" / "claims"
ORDER = (
    "outliers",
    "same_minimum",
    "mean_median",
    "calibration",
    "calibration_mnist",
    "imbalance",
    "regularization",
    "foreground",
    "misses",
    "point_clouds",
    "sequences",
    "blur",
    "embeddings",
    "ranking",
    "control",
)
"""Of the index."""


def run(names: Sequence[str], *, jobs: int, logs: Path, docs: Path, pages_only: bool) -> int:
    """Make the runs of the claims that are not there yet, their pages, and the index.

    Args:
        names: of the claims; all by default.
        jobs: worker processes, of one thread each.
        logs: where the runs go, and from where an earlier try is gone on with.
        docs: where the pages go.
        pages_only: make no run.

    Returns:
        1 if runs of a claim are missing or its page could not be made, else 0.

    Raises:
        UserError: for an unknown claim.
    """
    failures = 0
    for name in names or ORDER:
        claim = known_claim(name)
        folder = claim_folder(claim, logs)
        if not pages_only:
            print(f"{name}: {claim.says}", flush=True)
            failures += make_runs(claim, folder, jobs)
        try:
            page, judged = make_page(claim, folder, docs)
        except ValueError as error:
            print(f"no page of {name}: {error}", file=sys.stderr)
            failures += 1
        else:
            print(f"{name}: {verdict(judged)}: {page}", flush=True)
    print(f"index: {write_index(list(entries(logs)), docs)}")
    return int(failures > 0)


def known_claim(name: str) -> Claim:
    """The claim of a name.

    Raises:
        UserError: if there is none.
    """
    if name not in ORDER:
        raise UserError(
            f"unknown claim '{name}'{groups.nearest(name, ORDER)} Known: {', '.join(ORDER)}"
        )
    return read_claim(CLAIMS / f"{name}.yaml")


# --- the runs -------------------------------------------------------------------------------------


def claim_folder(claim: Claim, logs: Path) -> Path:
    """Where the runs of a claim lie: another place for other settings, not for other words."""
    digest = hashlib.blake2b(digest_size=4)
    digest.update(json.dumps([claim.settings, claim.sweep], sort_keys=True).encode())
    return logs / f"{claim.name}-{digest.hexdigest()}"


def make_runs(claim: Claim, folder: Path, jobs: int) -> int:
    """Make the runs in worker processes; returns how many of these failed."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    folder.mkdir(parents=True, exist_ok=True)
    workers = []
    for part in range(jobs):
        share = ["--share", f"{part}/{jobs}", "--logs", str(folder.parent), claim.name]
        with (folder / f"worker{part}.log").open("a") as log:
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "losslab", "gallery", *share],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
    try:
        statuses = [worker.wait() for worker in workers]
    except KeyboardInterrupt:
        for worker in workers:
            worker.wait()  # they have had the interrupt too, and write their records
        raise
    for part, status in enumerate(statuses):
        if status:
            print(f"runs failed: see {folder / f'worker{part}.log'}", file=sys.stderr)
    return sum(map(bool, statuses))


def run_share(name: str, part: int, parts: int, logs: Path) -> int:
    """Make every so-manieth run of a claim in this process."""
    claim = known_claim(name)
    command = parse(["-m", f"experiment=claims/{name}"])
    assert command.jobs is not None
    command.jobs = command.jobs[part::parts]
    folder = claim_folder(claim, logs) / f"{part}-of-{parts}"
    places = launch(command, checked_jobs(command), folder)
    return show_unfinished(places, f"make gallery CLAIM={name}")


# --- the pages ------------------------------------------------------------------------------------


def make_page(claim: Claim, folder: Path, docs: Path) -> tuple[Path, list[Judged]]:
    """The page of a claim from the runs in its folder.

    Raises:
        ValueError: if there are none, or not those that the claim plans with.
    """
    rows = read_rows(claim, folder)
    judged = judge(claim, rows)
    chart = Shown(
        claim.name, draw(claim.chart, rows), "Means over seeds with their 95 % intervals."
    )
    return write_page(claim, rows, judged, [chart, *further(claim, rows)], docs), judged


def read_rows(claim: Claim, folder: Path) -> list[Row]:
    """The rows of a claim's runs.

    Raises:
        ValueError: if there are none.
    """
    runs = collect([folder]).runs if folder.is_dir() else ()
    if not runs:
        raise ValueError(f"no runs below {folder}")
    named = [each.metric for each in claim.planned]
    return rows_of(runs, [*named, *claim.chart.metrics, *claim.shown])


def further(claim: Claim, rows: Sequence[Row]) -> Iterable[Shown]:
    """The pictures besides the chart, as the claim asks for them."""
    for place, asked in enumerate(claim.pictures, 2):
        name = f"{claim.name}_{place}"
        of = [row for row in rows if has(row, asked.get("where", {}))]
        of = [picked(rows, each) for each in asked.get("rows", ())] or of
        if "chart" in asked:
            figure = draw(read_chart(asked["chart"]), rows)
        elif "curve" in asked:
            figure = curves(of, asked["curve"], asked["axis"], asked["per_epoch"])
        elif "weights" in asked:
            figure = histograms({_label(row, asked): first_weights(row) for row in of})
        else:
            figure = side_by_side(
                {_label(row, asked): path for row in of for path in _left(row, asked["file"])},
                asked.get("columns", 3),
            )
        yield Shown(name, figure, asked["caption"])


def _label(row: Row, asked: Mapping[str, Any]) -> str:
    """The row's label without what all that are shown have in common."""
    return without(row, *asked.get("where", {}))


def _left(row: Row, file: str) -> list[Path]:
    """The picture of the first run that left it."""
    places = [run.folder / "figures" / file for run in row.done]
    return [place for place in places if place.is_file()][:1]


def first_weights(row: Row) -> np.ndarray:
    """All weights, but for vectors, that the first run ended with."""
    import torch  # noqa: PLC0415 (a claim on weights alone needs it)

    path = row.done[0].folder / "checkpoints" / "last.ckpt"
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return np.concatenate(
        [value.flatten().numpy() for key, value in state.items() if value.ndim > 1]
    )


def entries(logs: Path) -> Iterable[Entry]:
    """A line of the index for each claim, of those not run yet an empty one."""
    for name in ORDER:
        if not (CLAIMS / f"{name}.yaml").is_file():
            continue
        claim = known_claim(name)
        try:
            rows = read_rows(claim, claim_folder(claim, logs))
            judged = judge(claim, rows)
        except ValueError:
            yield Entry(claim, "", 0, 0, 0.0)
            continue
        held = sum(each.outcome == "held" for each in judged)
        runs = sum(len(row.runs) for row in rows)
        yield Entry(claim, verdict(judged), held, runs, seconds(rows))
