"""Time of a training step, compared with a bare loop and with a DataLoader."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

from benchmarks.page import ratio_table, show
from losslab.components import build_components
from losslab.config.jobs import compose_jobs
from losslab.recording import make_run_writer, open_record
from losslab.trainer import make_trainer
from losslab.training import configure_process

Step = Callable[[Tensor, Tensor], None]


def training(data_dir: str, rounds: int, page: Path | None) -> None:
    """Measure a training step: MLP 784-128-10, batch 64, data in memory and from a DataLoader.

    A bare loop and losslab train on the same tensors and on a ``DataLoader`` over torchvision's
    MNIST with ``ToTensor``. The four take turns epoch by epoch, so that changes of the machine's
    speed affect all of them.
    """
    given = [
        "loss=cross_entropy",
        "data=mnist",
        "model=mlp",
        "model.hidden=[128]",
        "data.batch_size=64",
        f"paths.data_dir={data_dir}",
        f"trainer.max_epochs={2 * rounds + 2}",
        "trainer=cpu",
    ]
    config = compose_jobs([given])[0].config
    configure_process(config)
    parts = build_components(config)
    with tempfile.TemporaryDirectory() as folder:
        writer = make_run_writer(config, Path(folder))
        open_record(writer, config, parts, last=None)
        trainer = make_trainer(config, writer)
        turns = Turns(parts.data, data_dir)
        turns.watch(trainer.callbacks[0])
        trainer.fit(parts.module, turns, parts.data.val_dataloader())
    turns.report(page)


class Turns:
    """Data loader that alternates between data in memory and a ``DataLoader``, and times epochs.

    Before each epoch of losslab the bare loop trains one on the same kind of batches.
    """

    def __init__(self, data: Any, data_dir: str) -> None:
        mnist = MNIST(data_dir, train=True, transform=ToTensor())
        subset = Subset(mnist, range(data.train.size))  # equally many steps per epoch
        self.loaders: dict[str, Any] = {
            "": data.train_dataloader(),
            ", DataLoader": DataLoader(subset, batch_size=64, shuffle=True),
        }
        self.turns = itertools.cycle(self.loaders)
        self.kind = next(self.turns)
        self.bare_step = bare_step()
        self.bare = 0.0
        self.times: dict[str, list[float]] = {}
        self.start = 0.0

    def __len__(self) -> int:
        """Return the number of steps per epoch."""
        return len(self.loaders[""])

    def __iter__(self) -> Iterator[Any]:
        """Return the batches of losslab's next epoch."""
        loader = self.loaders[self.kind]
        self.bare = timed(self.bare_step, loader)
        self.start = time.perf_counter()
        return iter(loader)

    def watch(self, callback: pl.Callback) -> None:
        """Stop the clock at the last step of an epoch, by an existing callback.

        An additional callback would cost time.

        Args:
            callback: callback of the trainer.
        """

        def stop(*_: Any) -> None:
            own = (time.perf_counter() - self.start) / len(self)
            for name, seconds in (("bare loop", self.bare), ("losslab", own)):
                self.times.setdefault(f"{name}{self.kind}", []).append(seconds)
            self.kind = next(self.turns)

        callback.on_validation_start = stop  # type: ignore[method-assign]

    def report(self, page: Path | None) -> None:
        """Report times and ratios, without the first epoch as a warm-up."""
        times = {name: [s * 1e3 for s in values[1:]] for name, values in self.times.items()}
        ratios = [
            ("losslab", "bare loop"),
            ("losslab, DataLoader", "losslab"),
            ("bare loop, DataLoader", "losslab"),
        ]
        show(
            page,
            "training",
            ratio_table("training step, 784-128-10, batch 64", "ms", times, ratios),
        )


def bare_step() -> Step:
    """Create a plain training step of the same network with the same fused Adam."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3, fused=True)
    loss = nn.CrossEntropyLoss()

    def step(inputs: Tensor, targets: Tensor) -> None:
        optimizer.zero_grad()
        loss(network(inputs), targets).backward()
        optimizer.step()

    return step


def timed(step: Step, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Measure seconds per step."""
    start, count = time.perf_counter(), 0
    for inputs, targets in batches:
        step(inputs, targets)
        count += 1
    return (time.perf_counter() - start) / count
