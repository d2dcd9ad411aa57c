"""Kill commands at random moments, resume them and compare: python scripts/kill_runs.py --folder F.

Each command is run once whole. Then it is killed (SIGKILL, SIGTERM, SIGUSR1 or SIGINT to its main
process alone) at a random moment of its training, and resumed. Results must be equal to the bit, no
process may live 10 s longer than the main one, and no traceback may be shown. A case of "work" is a
sweep that losslab plan divides into units, and that losslab work trains.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import torch

from losslab.runs.curves import read_curves
from losslab.runs.folder import PLAN_FILE, SWEEP_FILE, RunFolder, find_runs
from losslab.runs.packs import open_file
from losslab.runs.record import read_record

ROOT = Path(__file__).parents[1]
QUICK = ["callbacks=quiet", "trainer=cpu", "trainer.max_epochs=12"]
SWEEP = ["-m", "loss=mse,mae,huber", "seed=range(3)", *QUICK[:2], "trainer.max_epochs=30"]
LOCKSTEP = [*SWEEP[:-1], "trainer.max_epochs=300", "hydra/launcher=lockstep"]
TUNING = ["loss=mse,huber", "protocol=tuned", "budget=2", "tuning_seeds=1000", "seeds=1,2"]
SIGNALS = [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT]
CASES: dict[str, list[str]] = {
    "classification": ["loss=focal", "model=mlp", "model.dropout=0.3", *QUICK],
    "regression": ["loss=huber", "scheduler=cosine", *QUICK],
    "segmentation": ["loss=dice", "data.n=40", "model.channels=[4,8]", *QUICK],
    "ranking": ["loss=margin_ranking", "data.queries=100", *QUICK],
    "metric learning": ["loss=triplet", "data.copies=1", *QUICK],
    "reinforcement": ["loss=policy_gradient", "data.steps_per_epoch=300", *QUICK],
    "basic sweep": [*SWEEP, "hydra/launcher=basic"],
    "joblib sweep": [*SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "stack": [*LOCKSTEP, "hydra.launcher.workers=1"],
    "lockstep sweep": [*LOCKSTEP, "hydra.launcher.workers=2"],
    "work on stacks": ["work", *LOCKSTEP, "hydra.launcher.max_jobs=5"],
    "work on packed stacks": ["work", *LOCKSTEP, "hydra.launcher.max_jobs=5", "pack=true"],
    "work on runs": ["work", *SWEEP, "hydra/launcher=basic"],
    "tuning": ["tune", *TUNING, *QUICK],
}


def main() -> int:
    """Kill at the given number of moments; return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--signals", nargs="*", default=SIGNALS, type=signal_of)
    parser.add_argument("--folder", type=Path, required=True, help="folder of the runs, empty")
    given = parser.parse_args()
    folder = given.folder.resolve()
    wholes: dict[str, float] = {}
    found = 0
    for moment in range(given.moments):
        case = given.cases[moment % len(given.cases)]
        whole = folder / "whole" / case
        if case not in wholes:
            wholes[case] = seconds_of_training(CASES[case], whole)
        draw = random.Random(f"{given.seed} {moment}")
        number = draw.choice(given.signals)
        delay = draw.uniform(0, wholes[case])
        stood, problems = kill(case, folder / str(moment), whole, number, delay)
        found += bool(problems)
        outcome = "; ".join(problems) or "equal to the bit"
        print(
            f"{moment} {case}: {number.name} after {delay:.1f} of {wholes[case]:.1f} s of training "
            f"({stood}): {outcome}",
            flush=True,
        )
    return int(found > 0)


def signal_of(name: str) -> signal.Signals:
    """Return the signal with a name such as ``SIGTERM``."""
    return signal.Signals[name]


def start(arguments: list[str], logs: Path) -> subprocess.Popen[str]:
    """Start a command, with its output in its log folder; work on units is planned first."""
    logs.mkdir(parents=True, exist_ok=True)
    own = [] if any(each.startswith("resume=") for each in arguments) else [f"paths.log_dir={logs}"]
    if arguments[0] == "work":
        if not list(logs.rglob(SWEEP_FILE)):
            planning = [sys.executable, "-m", "losslab", "plan", *arguments[2:], *own]
            subprocess.run(planning, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        [file] = logs.rglob(SWEEP_FILE)
        arguments, own = ["work", str(file.parent), "--all"], []
    line = [sys.executable, "-m", "losslab", *arguments, *own]
    with (logs / "err.txt").open("a") as errors:
        return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors, text=True)


def seconds_of_training(arguments: list[str], logs: Path) -> float:
    """Run a command as a whole; return the time from its first record to the end of its runs."""
    process = start(arguments, logs)
    wait_for_training(process, logs)
    begun = time.time()
    finish(process)
    return max(read_record(run)["heartbeat"] for run in find_runs(logs)) - begun


def wait_for_training(process: subprocess.Popen[str], logs: Path) -> None:
    """Wait until a run has its record, or the process has ended."""
    while process.poll() is None and not find_runs(logs):
        time.sleep(0.01)


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for a command, which must end well."""
    if process.wait(1200) != 0:
        raise RuntimeError(f"exit status {process.returncode}: {process.args}")


def kill(
    case: str, logs: Path, whole: Path, number: signal.Signals, delay: float
) -> tuple[str, list[str]]:
    """Kill a command after a delay and resume it.

    Returns:
        How many runs stood how when it was killed and how soon it ended, and what is wrong.
    """
    process = start(CASES[case], logs)
    wait_for_training(process, logs)
    time.sleep(delay)
    alive = process.poll() is None
    children = psutil.Process(process.pid).children(recursive=True) if alive else []
    stood = statuses(logs)
    if alive:
        os.kill(process.pid, number)
    sent, problems = time.monotonic(), []
    process.wait(60)
    ended = time.monotonic() - sent
    if psutil.wait_procs(children, timeout=10)[1]:
        problems.append("a process outlived the main one by 10 s")
    if number != signal.SIGKILL and statuses(logs)["running"]:
        problems.append("a record still says running")
    finish(start(resuming(CASES[case], logs), logs))
    if "Traceback" in (logs / "err.txt").read_text():
        problems.append("a traceback")
    expected, got = results(whole), results(logs)
    jobs = expected.keys() | got.keys()
    differing = [job for job in jobs if expected.get(job) != got.get(job)]
    problems += [f"{job} differs" for job in sorted(differing)]
    counts = ", ".join(f"{count} {status}" for status, count in stood.items())
    return f"{counts}; ended after {ended:.1f} s", problems


def statuses(logs: Path) -> Counter[str]:
    """Return how many runs below a folder have which status."""
    return Counter(read_record(run)["status"] for run in find_runs(logs))


def resuming(arguments: list[str], logs: Path) -> list[str]:
    """Return the arguments that resume a command, or the same ones if it saved nothing yet."""
    if arguments[0] == "work":
        return arguments
    tunes = arguments[0] == "tune"
    for mark in [PLAN_FILE] if tunes else [SWEEP_FILE, "config.yaml"]:
        for path in logs.rglob(mark):
            return [*(["tune"] if tunes else []), f"resume={path.parent}"]
    return arguments


def results(logs: Path) -> dict[str, str]:
    """Return what the runs below a folder found, by job."""
    found = {}
    for folder in find_runs(logs):
        record = read_record(folder)
        curves = read_curves(folder).drop(columns="seconds").to_csv()
        checkpoints = (RunFolder(folder).best, RunFolder(folder).last)
        saved = [torch.load(open_file(path), weights_only=True) for path in checkpoints]
        weights = [each["state_dict"] for each in saved]
        values = [{name: value.tolist() for name, value in own.items()} for own in weights]
        job = f"{record['cell']} seed {record['seed']}"
        found[job] = repr((record["status"], record["best"], record["test"], curves, values))
    return found


if __name__ == "__main__":
    sys.exit(main())
