"""A loss of another library takes part by its ``_target_`` alone, as docs/add-your-own.md says."""

import json
import os
import re
from pathlib import Path

import pytest

from losslab.config import user_code
from losslab.config.compose import compose
from losslab.config.jobs import finished_config
from losslab.training import train

PAGE = Path(__file__).parents[1] / "docs" / "add-your-own.md"
SMALL = ["data.n=60", "data.image_size=16", "model.channels=[4,8]"]
# the page's loss: its library, what makes the run small, and a metric that guessing does not reach
PEERS = {
    "multi_margin": ("torch", [], "accuracy", 0.5),
    "monai_dice": ("monai", SMALL, "average_precision", 0.12),  # twice the foreground's share
    "smp_dice": ("segmentation_models_pytorch", SMALL, "average_precision", 0.12),
    "pml_triplet": ("pytorch_metric_learning", ["data.copies=1"], "recall_at_1", 0.35),
}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """Forget the config folders afterwards, which are kept in the environment."""
    for name in (user_code.CONFIG_DIRS, user_code.IMPORTS):
        monkeypatch.setenv(name, os.environ.get(name, ""))


def results(overrides, folder):
    """Return the test metrics after one epoch."""
    config = compose(user_code.use([*overrides, "trainer.max_epochs=1", "callbacks=quiet"]))
    config.paths.log_dir = str(folder)
    train(finished_config(config, config.hydra), folder / "run")
    return json.loads((folder / "run" / "record.json").read_text())["test"]


@pytest.mark.parametrize(
    ("name", "library", "small", "metric", "least"),
    [(name, *peer) for name, peer in PEERS.items()],
    ids=PEERS,
)
def test_the_pages_yaml(tmp_path, name, library, small, metric, least):
    pytest.importorskip(library, reason="pip install losslab[peers]")
    [text] = re.findall(
        rf"```yaml\n# conf/loss/{name}\.yaml\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / f"{name}.yaml").write_text(text)
    test = results([f"loss={name}", f"--config-dir={tmp_path}", *small], tmp_path)
    assert test[metric] > least


def test_the_pages_line_without_a_file(tmp_path):
    pytest.importorskip("monai", reason="pip install losslab[peers]")
    [line] = re.findall(r"losslab (data=segmentation loss\._target_.*)", PAGE.read_text())
    test = results([*line.split(), *SMALL], tmp_path)
    assert test["loss"] == pytest.approx(test["ref/dice"], rel=1e-4)  # the same formula as ours
