"""Which jobs share a stack, and which values of the Trainer's options a stack supports."""

from pathlib import Path

import pytest
from PIL import Image

from losslab.config.expansion import jobs_of
from losslab.config.jobs import compose_jobs
from losslab.lockstep.grouping import Job, group_jobs, reason_against
from losslab.lockstep.sweep import number_of_stacks

MLP = ["data=digits", "model=mlp", "trainer=cpu", "callbacks=quiet"]


def jobs(*overrides):
    given = [*MLP, *overrides]
    given += [] if any(each.startswith("loss=") for each in overrides) else ["loss=cross_entropy"]
    composed = compose_jobs(jobs_of(given))
    return [Job(job.config, Path(job.subdir)) for job in composed]


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=0,1"],
        ["loss=cross_entropy,focal"],
        ["loss=focal", "loss.gamma=1,2"],
        ["optimizer.lr=0.1,0.01"],
        ["optimizer=adamw", "optimizer.weight_decay=0.1,0"],
        ["scheduler=none,cosine"],
        ["regularizer=l1,l2"],
        ["data.label_noise=0,0.3"],
        ["data.split_seed=1,2"],
        ["callbacks.run_writer.patience=1,2"],
        ["paths.log_dir=one,two", "seed=0"],
    ],
    ids=" ".join,
)
def test_jobs_that_differ_in_this_share_a_stack(overrides):
    members = jobs(*overrides)
    assert group_jobs(members) == ([members], [])


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.hidden=[32],[64]"],
        ["model.dropout=0,0.5"],
        ["model=mlp,cnn"],
        ["data.batch_size=32,64"],
        ["data=digits,digits_retrieval", "loss=contrastive", "task=metric_learning"],
        ["optimizer=adam,sgd"],
        ["trainer.max_epochs=2,3"],
        ["trainer.gradient_clip_val=0.1,null"],
        ["trainer.precision=32-true,64-true"],
        ["trainer.log_every_n_steps=1,2"],
        ["task.monitor=accuracy,loss"],
        ["task.checkpoint=best,last"],
        ["threads=1,2"],
        ["test=true,false"],
        ["scores=true,false"],
    ],
    ids=" ".join,
)
def test_jobs_that_differ_in_this_have_a_stack_each(overrides):
    members = jobs(*overrides, "seed=0,1")
    groups, left = group_jobs(members)
    assert not left
    assert groups == [members[:2], members[2:]]


STACKABLE = {
    "trainer.accelerator": (["cpu"], ["tpu"]),
    "trainer.devices": (["1", "'1'"], ["2", "auto", "[0]"]),
    "trainer.strategy": (["auto"], ["ddp", "ddp_spawn"]),
    "trainer.precision": (
        ["32-true", "64-true", "32", "64", "'32'", "'64'"],
        ["16-mixed", "bf16-mixed", "16-true", "bf16-true", "16"],
    ),
    "trainer.accumulate_grad_batches": (["1"], ["2", "4"]),
    "trainer.check_val_every_n_epoch": (["1"], ["2", "null"]),
    # 1 is one batch and 1.0 all of them
    "trainer.limit_train_batches": (["1.0", "null"], ["1", "0.5", "10"]),
    "trainer.limit_val_batches": (["1.0", "null"], ["1", "0.5", "10"]),
    "trainer.limit_test_batches": (["1.0", "null"], ["1", "0.5", "10"]),
    "trainer.overfit_batches": (["0", "0.0"], ["1", "0.5"]),
    "trainer.profiler": (["null"], ["simple"]),
    "trainer.detect_anomaly": (["false"], ["true"]),
    "trainer.gradient_clip_algorithm": (["null", "norm"], ["value"]),
    "trainer.max_epochs": (["1", "20"], []),
    "trainer.max_time": (["null"], ["00:01:00:00"]),
    "trainer.min_epochs": ([], ["2"]),
    "trainer.benchmark": ([], ["true"]),
}


def reason(key, value):
    [job] = jobs(f"++{key}={value}")
    return reason_against(job.config)


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, (can, _) in STACKABLE.items() for value in can]
)
def test_a_stack_supports(key, value):
    assert reason(key, value) is None


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, (_, not_) in STACKABLE.items() for value in not_]
)
def test_a_stack_does_not_support(key, value):
    assert reason(key, value).startswith(f"{key}=")
    assert reason(key, value).endswith("needs a Trainer")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["data=image_folder", "data.in_memory=true"], 2),
        (["data=image_folder", "data.in_memory=false"], 1),
        (["data=image_folder"], 1),  # which do not fit
        (["data=image_masks", "loss=dice"], 1),
        (["data=digits"], 2),
        (["data=image_folder", "data.path=none"], 2),  # reported by the runs
    ],
    ids=str,
)
def test_data_that_are_read_again_are_read_by_one_process(options, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("losslab.data.memory.machine_bytes", lambda: 8)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "1.png")
    path = [] if "data=digits" in options else [f"data.path={tmp_path}"]
    members = jobs(*path, *options, "seed=0,1")
    assert number_of_stacks(members, workers=4, max_jobs=None) == expected
    assert number_of_stacks(members, workers=4, max_jobs=1) == 2
