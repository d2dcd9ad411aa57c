"""No sample that a final run is tested on is seen by the search; nothing is trained here."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from losslab.components import ready_data
from losslab.config.errors import UserError
from losslab.config.jobs import compose_jobs
from losslab.tuning_plan import parse_plan
from losslab.tuning_split import with_unseen_test


def planned(*arguments):
    return with_unseen_test(parse_plan([*arguments, "budget=1"]))


def data_of(plan, seed):
    [job] = compose_jobs([[*plan.overrides, f"loss={plan.losses[0]}", f"seed={seed}"]])
    return ready_data(job.config)


def test_the_search_sees_no_sample_of_a_final_test_split():
    plan = planned("loss=cross_entropy,focal", "seeds=range(4)")
    assert plan.overrides == ["data.test_split_seed=0"]
    assert (plan.test_split_seed, plan.test_samples, plan.overlap) == (0, 359, 0)
    # from the images themselves
    searched = {
        image.numpy().tobytes()
        for seed in plan.tuning_seeds
        for split in (data_of(plan, seed).train, data_of(plan, seed).val)
        for image in split.inputs
    }
    tested = {
        image.numpy().tobytes() for seed in plan.seeds for image in data_of(plan, seed).test.inputs
    }
    assert len(tested) == 359
    assert tested.isdisjoint(searched)


def test_without_it_the_search_sees_nearly_all():
    plan = planned("loss=cross_entropy", "seeds=range(4)", "data.test_split_seed=null")
    assert plan.overrides == ["data.test_split_seed=null"]
    assert plan.test_split_seed is None
    assert plan.overlap / plan.test_samples > 0.95


def test_a_seed_that_is_given_stays():
    plan = planned("loss=cross_entropy", "data.test_split_seed=7")
    assert plan.overrides == ["data.test_split_seed=7"]
    assert (plan.test_samples, plan.overlap) == (359, 0)


@pytest.mark.parametrize(
    ("arguments", "checked"),
    [
        (["loss=mse"], (None, None)),
        (["loss=policy_gradient"], (None, None)),
        (["loss=mse", "data.split_seed=3"], (200, 0)),
        (["loss=cross_entropy", "data.split_seed=3"], (359, 0)),
    ],
    ids=["generated", "environment", "generated once", "one split"],
)
def test_data_that_need_no_seed(arguments, checked):
    plan = planned(*arguments)
    assert not any("test_split_seed" in each for each in plan.overrides)
    assert (plan.test_samples, plan.overlap) == checked


@pytest.fixture
def table(tmp_path):
    def write(**more):
        file = tmp_path / "own.npz"
        np.savez(file, inputs=np.arange(100.0), targets=np.arange(100) % 2, **more)
        return ["loss=cross_entropy", "data=arrays", f"data.path={file}"]

    return write


def test_files(table):
    assert planned(*table()).overrides[-1] == "data.test_split_seed=0"
    own = planned(*table(split=np.array([0, 0, 0, 1, 2] * 20)))
    assert not any("test_split_seed" in each for each in own.overrides)
    assert (own.test_samples, own.overlap) == (20, 0)
    with pytest.raises(UserError, match="data=arrays: path must be"):
        planned("loss=cross_entropy", "data=arrays", "data.path=nowhere.npz")


OWN = """
import torch
from losslab.data.base import InMemoryData, Raw

class Numbers(InMemoryData):
    def __init__(self, *, seed=0, batch_size=8{more}):
        super().__init__(seed=seed, batch_size=batch_size{given})

    def load(self):
        return Raw(torch.arange(50.0).unsqueeze(1), torch.arange(50) % 2)
"""


@pytest.mark.parametrize("takes", [True, False])
def test_a_data_set_of_your_own(tmp_path, monkeypatch, takes):
    name = f"own_numbers_{takes}"
    more, given = (", **options", ", **options") if takes else ("", "")
    (tmp_path / f"{name}.py").write_text(OWN.format(more=more, given=given))
    monkeypatch.syspath_prepend(str(tmp_path))
    plan = planned("loss=cross_entropy", f"data._target_={name}.Numbers")
    assert any("test_split_seed" in each for each in plan.overrides) is takes
    assert (plan.overlap == 0) is takes


def test_the_check_is_in_the_plan():
    saved = json.loads(json.dumps(asdict(planned("loss=hinge,focal"))))
    assert (saved["test_split_seed"], saved["test_samples"], saved["overlap"]) == (0, 359, 0)
    assert saved["defaults"]["focal"] == {"loss.gamma": 2.0}


def test_losses_of_different_data_are_refused_first():
    with pytest.raises(UserError, match="cross_entropy defaults to data=digits and loss=mse to"):
        planned("loss=cross_entropy,mse")
