import pytest

from losslab.analysis.comparison import compare
from losslab.analysis.cost import cost
from losslab.analysis.load import Collection


def costs(runs):
    [table] = compare(Collection(tuple(runs))).tables
    return [cost(row) for row in table.rows]


def costing(loss_ms, run_mb=None):
    return {"loss_ms": loss_ms, "loss_mb": 1.31, "step_ms": 2.44, "run_mb": run_mb}


def test_the_cost_of_a_row_is_the_median_over_its_runs(made_up):
    runs = [made_up("mse", seed, 1.0, cost=costing(ms)) for seed, ms in enumerate((0.1, 0.214, 9))]
    [found] = costs(runs)
    assert (found.loss_ms, found.run_mb) == (0.214, None)
    assert str(found) == "0.21 ms, 1.3 MB of 2.4 ms per step"


def test_the_memory_of_the_run(made_up):
    [found] = costs([made_up("mse", 0, 1.0, cost=costing(0.2, 512.4))])
    assert str(found) == "0.2 ms, 1.3 MB of 2.4 ms per step, run 512 MB"


def test_what_is_too_small_to_matter(made_up):
    [found] = costs([made_up("mse", 0, 1.0, cost=costing(0.024) | {"loss_mb": 3.8e-6})])
    assert found.of_loss == "0.024 ms, below 0.01 MB"


@pytest.mark.parametrize("record", [{}, {"cost": {}}, {"cost": None}], ids=str)
def test_runs_without_their_cost(made_up, record):
    assert costs([made_up("mse", 0, 1.0, **record)]) == [None]
