"""A small run of each kind, and its config."""

from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs

SMALL = ["trainer=cpu", "trainer.max_epochs=1", "callbacks=quiet", "logger=none"]
DIGITS = ["data=digits", "model=mlp", "model.hidden=[16]", "loss=cross_entropy"]
LINE = ["data=regression", "data.n=200", "loss=mse"]
EPISODES = ["loss=policy_gradient", "model.hidden=[16]", "data.steps_per_epoch=300"]
EPISODES = [*EPISODES, "data.steps_per_batch=100", "data.test_episodes=7", "data.num_envs=3"]

RUNS = {
    "classes": DIGITS,
    "line": LINE,
    "masks": ["data=segmentation", "data.n=40", "model.channels=[4,8]", "loss=dice"],
    "boxes": ["data.n=60", "data.image_size=16", "data.sizes=[0.3,0.6]", "loss=giou"],
    "clouds": ["data.n=60", "data.points=32", "loss=chamfer", "task.definition.emd_clouds=5"],
    "queries": ["data.queries=100", "loss=margin_ranking"],
    "embeddings": ["data.copies=1", "loss=triplet", "data.held_out_classes=[8,9]"],
    "images": ["loss=reconstruction", "task=reconstruction"],
    "sequences": ["loss=ctc", "data.rows=60"],
    "generated": ["loss=adversarial", "data=ring", "data.n=400"],
    "episodes": EPISODES,
    "one metric": [*DIGITS, "task.metrics=[auroc]"],
}


def config_of(*overrides: str):
    [job] = compose_jobs(jobs_of([*SMALL, *overrides]))
    return job.config
