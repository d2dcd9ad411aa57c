"""Two processes that train the same runs: the first rank, and one that follows it."""

import json
import multiprocessing
import os
import socket
import sys
from pathlib import Path

import pandas as pd
import torch
from omegaconf import DictConfig

TORCHRUN = {  # the last of two processes on the last of two nodes
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "RANK": "3",
    "LOCAL_RANK": "1",
    "GROUP_RANK": "1",
    "WORLD_SIZE": "4",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
}
ONE_NODE = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}


def train_on_two(folder: Path, configs: dict[str, DictConfig], strategy: str = "ddp") -> None:
    """Train runs one after the other on two ranks, each in a folder of its name."""
    train_in_order(folder, [(name, together(each, strategy)) for name, each in configs.items()])


def train_in_order(folder: Path, runs: list[tuple[str, DictConfig]]) -> None:
    """Train runs one after the other on two ranks; one whose name was there before goes on."""
    context = multiprocessing.get_context("forkserver")  # whose ranks find everything imported
    context.set_forkserver_preload(["losslab.training"])
    rest = _free_port(), folder, runs
    ranks = [context.Process(target=_rank, args=(rank, sys.path, *rest)) for rank in (0, 1)]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join(timeout=300)
        each.kill()
    codes = [each.exitcode for each in ranks]
    assert codes == [0, 0], f"exit status of each rank: {codes}"


def together(config: DictConfig, strategy: str = "ddp") -> DictConfig:
    """Return the config of the same run on two processes."""
    changed = config.copy()
    changed.trainer.update({"accelerator": "cpu", "strategy": strategy, "devices": 2})
    return changed


def _rank(rank, path, port, folder, runs) -> None:
    sys.path[:] = path
    from losslab.ranks.first import ranks_ended
    from losslab.ranks.follower import follow
    from losslab.ranks.place import enter, place_in
    from losslab.training import join, train

    own = {"RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in (ONE_NODE | own).items()}
    place = place_in(os.environ)
    torch.set_num_threads(1)
    if rank:
        sys.exit(follow(place, join))
    enter(place)
    with ranks_ended():
        for name, config in runs:
            train(config, folder / name, resume=(folder / name).exists())
        sys.exit(0)


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def weights_of(run: Path) -> torch.Tensor:
    """Return the weights of a run's last checkpoint, the loss's with them."""
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    floats = [value for value in saved.values() if value.is_floating_point()]
    return torch.cat([value.flatten().double() for value in floats])


def weight_difference(run: Path, other: Path) -> float:
    """Return the relative difference of the weights of two runs."""
    first, second = weights_of(run), weights_of(other)
    return float((first - second).norm() / first.norm())


def metric_differences(run: Path, other: Path) -> dict[str, float]:
    """Return the relative differences of all curves and test metrics of two runs, by name."""
    first, second = numbers_of(run), numbers_of(other)
    assert first.keys() == second.keys()
    return {
        name: abs(second[name] - value) / max(abs(value), 1e-6) for name, value in first.items()
    }


def numbers_of(run: Path) -> dict[str, float]:
    """Return what a run logged and measured, but times."""
    record = json.loads((run / "record.json").read_text())
    assert record["status"] == "done", record["error"]
    curves = pd.read_csv(run / "metrics.csv", float_precision="round_trip")
    logged = {
        f"{name}/{step}": value
        for name, step, value in zip(curves["name"], curves["step"], curves["value"], strict=True)
    }
    return logged | {f"test/{name}": value for name, value in record["test"].items()}
