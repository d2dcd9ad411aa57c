"""A training step beside a bare loop and beside the usual DataLoader."""

import statistics
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

from losslab.assembly import assemble
from losslab.composition import compose_cells
from losslab.training import make_keeper, make_trainer, open_record, settle

Step = Callable[[Tensor, Tensor], None]


def training(data_dir: str, rounds: int) -> None:
    """One training step, MLP 784-128-10, batch 64: bare loop, losslab, DataLoader with ToTensor.

    The three take turns epoch by epoch, so that a change of the machine's speed meets them all.
    """
    given = [
        "loss=cross_entropy",
        "data=mnist",
        "model=mlp",
        "model.hidden=[128]",
        "data.batch_size=64",
        f"paths.data_dir={data_dir}",
        f"trainer.max_epochs={rounds + 1}",
        "trainer=cpu",
    ]
    config = compose_cells([given])[0].config
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
