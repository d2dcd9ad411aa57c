"""Final weights of a run beside those of the run with ``loss=cross_entropy``."""

from dataclasses import replace

import pytest
import torch

from gallery.made_claims import run
from losslab.gallery.rows import rows_of

WEIGHTS = {"a.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "a.bias": torch.tensor([0.5])}
OTHER = {"a.weight": torch.tensor([[1.0, 2.0], [3.0, 4.25]]), "a.bias": torch.tensor([0.5])}


@pytest.fixture
def saved(tmp_path):
    def save(loss, outliers, seed, state):
        folder = tmp_path / f"{loss}-{outliers}-{seed}"
        (folder / "checkpoints").mkdir(parents=True)
        torch.save({"state_dict": state}, folder / "checkpoints" / "last.ckpt")
        return replace(run(loss, outliers, seed, 0.0), folder=folder)

    return save


def test_weights_are_compared_at_the_same_options_and_seed(saved):
    runs = [
        saved("cross_entropy", 0.1, 0, WEIGHTS),
        saved("cross_entropy", 0.1, 1, OTHER),
        saved("bce", 0.1, 0, OTHER),
        saved("bce", 0.1, 1, OTHER),
    ]
    bce, cross_entropy = rows_of(runs, ["differing_weights", "weight_distance"])
    found = [each.record["test"] for each in bce.runs]
    assert [each["differing_weights"] for each in found] == [0.2, 0.0]
    assert [each["weight_distance"] for each in found] == [0.25, 0.0]
    assert {each.record["test"]["differing_weights"] for each in cross_entropy.runs} == {0.0}
