"""What a sweep that adds seeds says after a look, and which losses go on."""

import numpy as np
import pytest

from losslab import sequential_sweep
from losslab.analysis.comparison import compare
from losslab.config.command import Command, parse
from losslab.config.errors import UserError
from losslab.runs.looks import Looks


@pytest.fixture
def comparison(collected):
    """One of three losses is far off; splits are redrawn."""
    mae = np.linspace(1, 2, 8)
    maes = {"mse": list(5 - mae), "mae": list(mae), "huber": list(mae + [0.1, -0.1] * 4)}
    runs = collected(maes, sampling="redrawn", sizes={"train": 60, "val": 20, "test": 20})
    return compare(runs, looks=Looks(planned=(8, 32)))


def test_only_undecided_losses_go_on(comparison):
    assert sorted(sequential_sweep._undecided(comparison)) == ["huber", "mae"]


def test_a_look_is_told(comparison, capsys):
    sequential_sweep._tell(comparison, 8, (8, 32))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("look 1 of 2, 8 seeds: ")
    assert "better than mse" in first
    assert first.endswith("1 of 3 pairs undecided")
    assert second == ("the seeds share their samples: 8 of them hold 80 % of the information of 32")


def test_jobs_without_seeds():
    command = parse(["-m", "loss=mse,mae", "data=regression", "optimizer.lr=0.1", "seeds=auto"])
    shared, points = sequential_sweep._without_seeds(command)
    assert shared.overrides == ["data=regression", "optimizer.lr=0.1"]
    assert points == [["loss=mse"], ["loss=mae"]]
    listed = sequential_sweep._with_seeds(points, 1, 3)
    assert listed[:2] == [["loss=mse", "seed=1"], ["loss=mse", "seed=2"]]
    resumed = Command([], shared.overrides, multirun=True, resume=None, jobs=listed)
    assert sequential_sweep._without_seeds(resumed) == (resumed, points)


def test_one_loss_has_nothing_to_compare():
    with pytest.raises(UserError, match="at least two"):
        sequential_sweep._without_seeds(parse(["-m", "loss=mse", "seeds=auto"]))
