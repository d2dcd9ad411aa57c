"""Make the gallery: run the sweep of each claim and write its page and the index."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from losslab.analysis.comparison_groups import Row
from losslab.analysis.load import collect
from losslab.config import groups
from losslab.config.command import parse
from losslab.config.errors import UserError
from losslab.gallery.boundaries import draw_boundaries
from losslab.gallery.chart import draw_chart, draw_curves, histograms, show_side_by_side
from losslab.gallery.claim import Claim, read_chart, read_claim
from losslab.gallery.evaluation import ComparisonResult, conclusion, evaluate_claim
from losslab.gallery.index import IndexEntry, read_index, write_index
from losslab.gallery.maps import (
    MAPS,
    PlannedMap,
    make_map,
    map_entry,
    read_planned_map,
    write_map_page,
)
from losslab.gallery.page import PageFigure, seconds, write_page
from losslab.gallery.rows import has, picked, rows_of, without
from losslab.job_checks import checked_jobs
from losslab.runs.folder import find_runs
from losslab.sweep import launch
from losslab.sweep_output import show_unfinished

CLAIMS = groups.CONF / "experiment" / "claims"
ORDER = (
    "outliers",
    "corner",
    "same_minimum",
    "mean_median",
    "units",
    "logistic_regression",
    "sparse_targets",
    "largest_margin",
    "calibration",
    "calibration_mnist",
    "overconfidence",
    "information",
    "imbalance",
    "regularization",
    "foreground",
    "misses",
    "hard_cases",
    "box_outliers",
    "box_overlap",
    "box_background",
    "point_clouds",
    "sequences",
    "alignment",
    "blur",
    "embeddings",
    "verification",
    "captions",
    "ranking",
    "recommendation",
    "control",
)
"""Order of the claims in the index."""

TOGETHER = ("hydra/launcher=lockstep", "hydra.launcher.workers=1")
"""Launcher of each worker process, which trains its runs together."""


def make_gallery(
    names: Sequence[str], *, jobs: int, logs: Path, docs: Path, pages_only: bool
) -> int:
    """Make the missing runs of the claims and maps, their pages and the index.

    Args:
        names: names of claims and maps. Default: all.
        jobs: number of worker processes, of one thread each.
        logs: folder of the runs; existing runs are resumed.
        docs: folder of the pages.
        pages_only: whether to make no runs.

    Returns:
        Exit code: 1 if a run or a page could not be made, else 0.

    Raises:
        UserError: if a claim is unknown, or there are no runs to make pages from.
    """
    chosen = names or (*ORDER, *MAPS)
    maps = [read_planned_map(name) for name in chosen if name in MAPS]
    claims = {name: known_claim(name) for name in chosen if name not in MAPS}
    if pages_only:
        folders = [claim_folder(claim, logs) for claim in claims.values()]
        _require_runs([*folders, *(map_folder(each, logs) for each in maps)], logs)
    failures = 0
    docs.mkdir(parents=True, exist_ok=True)
    for name, claim in claims.items():
        folder = claim_folder(claim, logs)
        if not pages_only:
            print(f"{name}: {claim.says}", flush=True)
            failures += make_runs(claim, folder, jobs)
        try:
            page, results = make_page(claim, folder, docs)
        except ValueError as error:
            print(f"cannot write the page of {name}: {error}", file=sys.stderr)
            failures += 1
        else:
            print(f"{name}: {conclusion(results)}: {page}", flush=True)
    for planned in maps:
        failures += _make_map(planned, logs, docs, jobs=0 if pages_only else jobs)
    index = write_index(list(entries(logs, docs)), docs, list(map_entries(logs, docs)))
    print(f"index: {index}")
    return int(failures > 0)


def _make_map(planned: PlannedMap, logs: Path, docs: Path, jobs: int) -> int:
    """Make the runs of a map, unless ``jobs`` is 0, and its page; return 1 if that failed."""
    folder, code = map_folder(planned, logs), 0
    if jobs:
        print(f"{planned.name}: {planned.says}", flush=True)
        code = make_map(planned, folder, jobs)
    try:
        page, said = write_map_page(planned, folder, docs)
    except ValueError as error:
        print(f"cannot write the page of {planned.name}: {error}", file=sys.stderr)
        return 1
    print(f"{planned.name}: {said} {page}", flush=True)
    return code


def _require_runs(folders: Sequence[Path], logs: Path) -> None:
    if not any(map(find_runs, folders)):
        raise UserError(
            f"--pages-only: there are no runs in {logs} to make pages from: leave it out to make "
            "them, or add --logs FOLDER, the folder that has them"
        )


def known_claim(name: str) -> Claim:
    """Read the claim with this name.

    Raises:
        UserError: if there is no such claim.
    """
    if name not in ORDER:
        known = (*ORDER, *MAPS)
        raise UserError(
            f"unknown claim '{name}'{groups.did_you_mean(name, known)} Known: {', '.join(known)}"
        )
    return read_claim(CLAIMS / f"{name}.yaml")


# --- the runs -------------------------------------------------------------------------------------


def claim_folder(claim: Claim, logs: Path) -> Path:
    """Return the folder of a claim's runs, which depends on its settings but not its wording."""
    return _folder(claim.name, [claim.settings, claim.sweep], logs)


def map_folder(planned: PlannedMap, logs: Path) -> Path:
    """Return the folder of a map's runs, which depends on its settings but not its wording."""
    return _folder(planned.name, planned.settings, logs)


def _folder(name: str, settings: Any, logs: Path) -> Path:
    digest = hashlib.blake2b(digest_size=4)
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return logs / f"{name}-{digest.hexdigest()}"


def make_runs(claim: Claim, folder: Path, jobs: int) -> int:
    """Make the runs in worker processes; return the number of processes that failed."""
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
            worker.wait()  # they were interrupted too, and write their records
        raise
    for part, status in enumerate(statuses):
        if status:
            print(f"runs failed: see {folder / f'worker{part}.log'}", file=sys.stderr)
    return sum(map(bool, statuses))


def run_share(name: str, part: int, parts: int, logs: Path) -> int:
    """Make every ``parts``-th run of a claim, starting at ``part``, in this process."""
    claim = known_claim(name)
    command = parse(["-m", f"experiment=claims/{name}", *TOGETHER])
    assert command.jobs is not None
    command.jobs = command.jobs[part::parts]
    folder = claim_folder(claim, logs) / f"{part}-of-{parts}"
    places = launch(command, checked_jobs(command), folder)
    return show_unfinished(places, f"make gallery CLAIM={name}")


# --- the pages ------------------------------------------------------------------------------------


def make_page(claim: Claim, folder: Path, docs: Path) -> tuple[Path, list[ComparisonResult]]:
    """Write the page of a claim from the runs in its folder.

    Raises:
        ValueError: if runs that the claim compares are missing.
    """
    rows = read_rows(claim, folder)
    results = evaluate_claim(claim, rows)
    chart = PageFigure(
        claim.name, draw_chart(claim.chart, rows), "Means over seeds with their 95 % intervals."
    )
    return write_page(claim, rows, results, [chart, *further_figures(claim, rows)], docs), results


def read_rows(claim: Claim, folder: Path) -> list[Row]:
    """Read the runs of a claim, grouped into rows.

    Raises:
        ValueError: if there are no runs.
    """
    runs = collect([folder]).runs if folder.is_dir() else ()
    if not runs:
        raise ValueError(f"no runs below {folder}")
    named = [each.metric for each in claim.preregistered]
    return rows_of(runs, [*named, *claim.chart.metrics, *claim.columns])


def further_figures(claim: Claim, rows: Sequence[Row]) -> Iterable[PageFigure]:
    """Yield the figures that a claim asks for in addition to its chart."""
    for place, asked in enumerate(claim.figures, 2):
        name = f"{claim.name}_{place}"
        of = [row for row in rows if has(row, asked.get("where", {}))]
        of = [picked(rows, each) for each in asked.get("rows", ())] or of
        if "chart" in asked:
            figure = draw_chart(read_chart(asked["chart"]), rows)
        elif "curve" in asked:
            labels = [_label(row, asked) for row in of]
            along = asked["axis"], asked.get("per_epoch")
            figure = draw_curves(of, labels, asked["curve"], *along, log=asked.get("log", False))
        elif "boundaries" in asked:
            figure = draw_boundaries(of, [_label(row, asked) for row in of])
        elif "weights" in asked:
            figure = histograms({_label(row, asked): first_weights(row) for row in of})
        else:
            figure = show_side_by_side(
                {_label(row, asked): path for row in of for path in _saved(row, asked["file"])},
                asked.get("columns", 3),
            )
        yield PageFigure(name, figure, asked["caption"])


def _label(row: Row, asked: Mapping[str, Any]) -> str:
    """Return the row's label without the settings that the figure's rows have in common.

    The figure may name further settings, ``untold``, that its caption tells.
    """
    return without(row, *asked.get("where", {}), *asked.get("untold", ()))


def _saved(row: Row, file: str) -> list[Path]:
    """Return the figure of the first run that saved it."""
    places = [run.folder / "figures" / file for run in row.done]
    return [place for place in places if place.is_file()][:1]


def first_weights(row: Row) -> np.ndarray:
    """Return all final weights of the first run, except vectors."""
    import torch  # noqa: PLC0415 (only claims about weights need it)

    path = row.done[0].folder / "checkpoints" / "last.ckpt"
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return np.concatenate(
        [value.flatten().numpy() for key, value in state.items() if value.ndim > 1]
    )


def entries(logs: Path, docs: Path) -> Iterable[IndexEntry]:
    """Yield a line of the index per claim: that of the earlier index if its runs are not here."""
    earlier = read_index(docs)
    for name in ORDER:
        if not (CLAIMS / f"{name}.yaml").is_file():
            continue
        claim = known_claim(name)
        try:
            rows = read_rows(claim, claim_folder(claim, logs))
            results = evaluate_claim(claim, rows)
        except ValueError:
            yield earlier.get(name, IndexEntry(name, claim.says))
            continue
        runs = sum(len(row.runs) for row in rows)
        yield IndexEntry(name, claim.says, conclusion(results), runs, seconds(rows))


def map_entries(logs: Path, docs: Path) -> Iterable[IndexEntry]:
    """Yield a line of the index per map: that of the earlier index if its runs are not here."""
    earlier = read_index(docs)
    for planned in map(read_planned_map, MAPS):
        try:
            yield map_entry(planned, map_folder(planned, logs))
        except ValueError:
            yield earlier.get(planned.name, IndexEntry(planned.name, planned.says))
