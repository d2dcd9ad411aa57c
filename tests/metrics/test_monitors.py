"""The metrics that may be a monitor are those that tasks compute after each epoch."""

import numpy as np
import pytest
from omegaconf import OmegaConf

from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs
from losslab.metrics.monitors import monitors
from losslab.training import train

RUNS = {
    "classification": ["loss=cross_entropy", "data.imbalance=0.3"],
    "multilabel": ["task=multilabel", "loss=bce", "data=arrays", "data.path={path}"],
    "regression": ["loss=mse"],
    "segmentation": ["loss=dice", "data.n=40", "model.channels=[4,8]"],
    "boxes": ["loss=ciou", "data.n=60"],
    "detections": ["loss=detection", "data.n=60", "data.image_size=16", "data.sizes=[0.3,0.6]"],
    "ranking": ["loss=margin_ranking", "data.queries=60"],
    "recommendation": ["loss=bpr", "data.users=40", "data.items=60"],
    "metric learning": ["loss=triplet", "data.copies=1", "data.held_out_classes=[8,9]"],
    "images and texts": ["loss=info_nce", "data.copies=1"],
    "reconstruction": ["loss=reconstruction"],
    "generation": ["loss=adversarial", "data=ring"],
    "clouds": ["loss=chamfer", "data.n=40", "data.points=16"],
    "sequences": ["loss=ctc", "data.rows=60"],
    "policy gradient": ["loss=policy_gradient", "data.steps_per_epoch=300"],
    "q-learning": ["loss=q_learning", "data.steps_per_epoch=300"],
}


@pytest.mark.parametrize("overrides", RUNS.values(), ids=RUNS)
def test_every_validation_metric_may_be_the_monitor(tmp_path, overrides):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "x.npz", inputs=rng.normal(size=(60, 4)), targets=rng.integers(0, 2, (60, 3))
    )
    given = [each.format(path=tmp_path / "x.npz") for each in overrides]
    [job] = compose_jobs(
        jobs_of([*given, "trainer=cpu", "callbacks=quiet", "trainer.max_epochs=1", "test=false"])
    )
    record = train(job.config, tmp_path / "run")
    assert record["status"] == "done"
    # tie-breaks are not measured after every epoch
    found = {name for name in record["final"]["metrics"] if not name.startswith("nll")}
    assert found <= set(monitors(OmegaConf.to_container(job.config.task)))
