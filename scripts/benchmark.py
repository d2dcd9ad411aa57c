"""Measure losslab against peers in one run: python scripts/benchmark.py losses, or another."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from loss_peers import SIZES, of_batches, pairs
from losslab import cli
from losslab.allocator import keep_freed_memory
from losslab.assembly import assemble
from losslab.lockstep.grouping import Cell
from losslab.lockstep.sweep import train_cells
from losslab.training import make_keeper, make_trainer, open_record, settle, train

Step = Callable[[Tensor, Tensor], None]


def main() -> int:
    """Choose the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["training", "losses", "batches", "sweep"])
    parser.add_argument("--data-dir", default="data", help="where MNIST lies")
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each, in turn")
    parser.add_argument("--keep", action="store_true", help="freed memory kept: allocator=keep")
    parser.add_argument("--model", default="mlp", help="of the sweep: mlp (64-64-10) or cnn")
    parser.add_argument("--seeds", type=int, default=10, help="of the sweep, a loss")
    arguments = parser.parse_args()
    if arguments.what == "training":
        training(arguments.data_dir, arguments.rounds)
    elif arguments.what == "losses":
        losses(arguments.rounds, keep=arguments.keep)
    elif arguments.what == "batches":
        batches(arguments.rounds, keep=arguments.keep)
    else:
        sweep(arguments.rounds, arguments.model, arguments.seeds)
    return 0


def losses(rounds: int, keep: bool) -> None:
    """Value and gradient of each loss and its peers in turn, in ns an element of CPU time.

    The floor is what it takes to read logits and target and to write a gradient.
    """
    torch.set_num_threads(1)
    if keep:
        keep_freed_memory()
    print("| loss | elements | dtype | floor | ours | peer | peer / ours (quartiles) |")
    print("|---|---|---|---|---|---|---|")
    for size in SIZES:
        for dtype in (torch.float32, torch.bfloat16):
            for name, batch, ours, peers in pairs():
                prediction, target = batch(size, dtype)
                calls = {"ours": ours, **peers, "floor": floor}
                times = in_turn(calls, prediction, target, rounds)
                for peer in peers or ["-"]:
                    print(row(name, size, dtype, times, peer), flush=True)


def floor(prediction: Tensor, target: Tensor) -> Tensor:
    """The least a loss can do: one pass over its inputs that writes one output."""
    return torch.add(prediction.flatten()[: target.numel()], target.flatten())


def in_turn(
    calls: dict[str, Any], prediction: Tensor, target: Tensor, rounds: int
) -> dict[str, list[float]]:
    """Seconds of CPU time of each call with its gradient, round by round; the first warms up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            given = prediction.detach().requires_grad_(name != "floor")
            start = time.thread_time()
            result = call(given, target)
            if result.requires_grad:
                result.backward()
            if turn:
                times[name].append(time.thread_time() - start)
    return times


def row(name: str, size: int, dtype: torch.dtype, times: dict[str, list[float]], peer: str) -> str:
    """A row of the table."""
    kind = str(dtype).removeprefix("torch.")
    middle = {key: f"{statistics.median(spent) / size * 1e9:.2f}" for key, spent in times.items()}
    cells = f"| {name} | {size} | {kind} | {middle['floor']} | {middle['ours']} |"
    if peer == "-":
        return f"{cells} - | - |"
    return f"{cells} {peer} {middle[peer]} | {ratio(times['ours'], times[peer])} |"


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Their time by ours, round by round: median and quartiles."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4)
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def batches(rounds: int, keep: bool) -> None:
    """Value and gradient of losses that compare all with all, and of peers, in ms of CPU time."""
    torch.set_num_threads(1)
    if keep:
        keep_freed_memory()
    print("| loss | batch | ours | peer | peer / ours (quartiles) |")
    print("|---|---|---|---|---|")
    for name, batch, pair, ours, peers in of_batches():
        times = in_turn({"ours": ours, **peers}, *pair, rounds)
        middle = {key: f"{statistics.median(spent) * 1e3:.1f}" for key, spent in times.items()}
        for peer in peers:
            against = ratio(times["ours"], times[peer])
            cells = f"| {name} | {batch} | {middle['ours']} | {peer} {middle[peer]} | {against} |"
            print(cells, flush=True)


def training(data_dir: str, rounds: int) -> None:
    """One training step, MLP 784-128-10, batch 64: bare loop, losslab, DataLoader with ToTensor.

    The three take turns epoch by epoch, so that a change of the machine's speed meets them all.
    """
    composed = cli.compose(
        [
            "loss=cross_entropy",
            "data=mnist",
            "model=mlp",
            "model.hidden=[128]",
            "data.batch_size=64",
            f"paths.data_dir={data_dir}",
            f"trainer.max_epochs={rounds + 1}",
            "trainer=cpu",
        ]
    )
    config = cli.finished_config(composed, composed.hydra)
    settle(config)
    parts = assemble(config)
    with tempfile.TemporaryDirectory() as folder:
        keeper = make_keeper(config, Path(folder))
        open_record(keeper, config, parts, last=None)
        trainer = make_trainer(config, keeper)
        turns = Turns(parts.data, data_dir)
        trainer.callbacks.append(turns)
        trainer.fit(parts.module, parts.data)
    turns.report()


def sweep(rounds: int, model: str, seeds: int) -> None:
    """Seconds a cell on digits, 4 losses and some seeds: lockstep in one and two processes, alone.

    Each round trains all cells in lockstep each way and one cell of each loss alone.
    """
    overrides = [
        "loss=cross_entropy,focal,hinge,bce",
        f"seed=range({seeds})",
        "data=digits",
        f"model={model}",
        "trainer=cpu",
        "callbacks=quiet",
    ] + (["model.hidden=[64]"] if model == "mlp" else [])
    cells = [cli.compose(cell) for cell in cli.cells_of(overrides)]
    configs = [cli.finished_config(cell, cell.hydra) for cell in cells]
    times: dict[str, list[float]] = {"alone": [], "one process": [], "two processes": []}
    for _ in range(rounds + 1):  # the first round warms up
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            for place, config in enumerate(configs[::seeds]):
                train(config, Path(folder) / str(place))
            times["alone"].append((time.perf_counter() - start) / len(configs[::seeds]))
        for workers, name in ((1, "one process"), (2, "two processes")):
            with tempfile.TemporaryDirectory() as folder:
                own = [Cell(c, Path(folder) / str(place)) for place, c in enumerate(configs)]
                start = time.perf_counter()
                assert not train_cells(own, workers=workers)
                times[name].append((time.perf_counter() - start) / len(own))
    print(f"{len(configs)} cells on digits, {model}, seconds a cell: median (min to max)")
    for name, values in times.items():
        low, middle, high = min(values[1:]), statistics.median(values[1:]), max(values[1:])
        ratio = statistics.median(
            a / b for a, b in zip(times["alone"][1:], values[1:], strict=True)
        )
        print(f"  {name:<14}{middle:8.3f}  ({low:.3f} to {high:.3f})  {ratio:.1f} times as fast")


class Turns(pl.Callback):
    """Times losslab's epochs and, between them, an epoch of each plain way."""

    def __init__(self, data: Any, data_dir: str) -> None:
        self.data = data
        self.loader = DataLoader(
            MNIST(data_dir, train=True, transform=ToTensor()), batch_size=64, shuffle=True
        )
        self.bare_step, self.loader_step = bare_step(), bare_step()
        self.times: dict[str, list[float]] = {"bare loop": [], "losslab": [], "DataLoader": []}
        self.start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The plain ways' turns; then the clock for losslab's begins."""
        inputs, targets = self.data.train.inputs, self.data.train.targets
        order = torch.randperm(len(inputs))

        def gathered() -> Iterable[tuple[Tensor, Tensor]]:
            for index in order.split(64):
                yield inputs[index], targets[index]

        self.times["bare loop"].append(timed(self.bare_step, gathered()))
        self.times["DataLoader"].append(timed(self.loader_step, self.loader))
        self.start = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The epoch's last step is done."""
        steps = int(trainer.num_training_batches)
        self.times["losslab"].append((time.perf_counter() - self.start) / steps)

    def report(self) -> None:
        """Medians, and the ratios epoch by epoch; the first epoch warms up."""
        times = {name: values[1:] for name, values in self.times.items()}
        print("a training step, MLP 784-128-10, batch 64, in ms: median (min to max)")
        for name, values in times.items():
            low, middle, high = min(values), statistics.median(values), max(values)
            print(f"  {name:<12}{middle * 1e3:8.3f}  ({low * 1e3:.3f} to {high * 1e3:.3f})")
        for above, below in (("losslab", "bare loop"), ("DataLoader", "losslab")):
            ratios = [a / b for a, b in zip(times[above], times[below], strict=True)]
            low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
            print(f"  {above} / {below}: {middle:.2f}  ({low:.2f} to {high:.2f})")


def bare_step() -> Step:
    """One plain step of the same network, with the same fused Adam."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, fused=True)
    loss = nn.CrossEntropyLoss()

    def step(inputs: Tensor, targets: Tensor) -> None:
        optimizer.zero_grad()
        loss(network(inputs), targets).backward()
        optimizer.step()

    return step


def timed(step: Step, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Seconds a step."""
    start, count = time.perf_counter(), 0
    for inputs, targets in batches:
        step(inputs, targets)
        count += 1
    return (time.perf_counter() - start) / count


if __name__ == "__main__":
    sys.exit(main())
