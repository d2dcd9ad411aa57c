"""Your own Dataset on the command line: the same results whoever reads it, and after resuming."""

import json
from pathlib import Path

import pytest
import torch

from losslab.cli import run

pytestmark = pytest.mark.slow

CODE = """
import torch
from torch.utils.data import Dataset

class Squares(Dataset):
    def __init__(self, n=90, train=True):
        self.n, self.offset = n, 0 if train else 1000

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        image = torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(index + self.offset))
        return image + index % 3 + 0.1 * torch.randn(1, 6, 6), index % 3
"""
COMMAND = (
    *("data=dataset", "data._target_=squares_of_mine.Squares", "data.n=80", "model=mlp"),
    *("data.test_options.train=false", "data.batch_size=16", "trainer=cpu", "callbacks=quiet"),
    "data.augment=[{_target_: torchvision.transforms.v2.RandomHorizontalFlip}]",
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "squares_of_mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def trained(name, *options, epochs=3):
    assert run([*COMMAND, f"trainer.max_epochs={epochs}", f"paths.log_dir={name}", *options]) == 0
    [record] = Path(name).rglob("record.json")
    return record.parent


def weights(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_workers_and_resuming_leave_the_results_as_they_are():
    first = trained("none", "data.num_workers=0")
    record = json.loads((first / "record.json").read_text())
    assert record["data"] == "Squares"
    assert record["sizes"] == {"train": 65, "val": 15, "test": 80}
    others = [trained("two", "data.num_workers=2"), trained("begun", epochs=2)]
    assert run([f"resume={others[1]}", "trainer.max_epochs=3", "data.num_workers=1"]) == 0
    for other in others:
        again = weights(other)
        assert all(torch.equal(value, again[name]) for name, value in weights(first).items())
        assert json.loads((other / "record.json").read_text())["hashes"] == record["hashes"]


def test_losses_are_trained_together_as_they_are_alone():
    alone = trained("alone", "trainer.precision=64-true", "loss=focal", "seed=1", epochs=2)
    sweep = ["-m", *COMMAND, "loss=cross_entropy,focal", "seed=0,1", "paths.log_dir=together"]
    assert run([*sweep, "trainer.precision=64-true", "trainer.max_epochs=2"]) == 0
    [together] = Path("together").rglob("focal/seed1/record.json")
    for name, value in weights(alone).items():
        assert torch.allclose(value, weights(together.parent)[name], rtol=0, atol=1e-10)
