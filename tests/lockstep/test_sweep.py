"""A run trained together with others leaves what it leaves when it is trained alone."""

import gc
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from losslab.components import fingerprint
from losslab.config.overrides import quoted
from losslab.lockstep import sweep
from losslab.lockstep.sweep import train_jobs
from losslab.runs.curves import read_curves
from losslab.runs.record import read_record
from losslab.runs.scores import read_scores
from losslab.tasks import ClassificationTask
from losslab.training import train

# what tells when and where a run ran
UNPAIRED = {"pid", "process_start", "heartbeat", "seconds", "peak_memory_mb", "cost", "command"}


SMALL = ["data.val_fraction=0.1", "data.test_fraction=0.7", "trainer.max_epochs=2"]
DIGITS = ["data=digits", "model=mlp", "model.hidden=[16]", *SMALL]
DOUBLE = "trainer.precision=64-true"

# episodes that end in a few steps, and several epochs and batches in a few updates
PLAYED = [
    "data=cartpole",
    "model.hidden=[16]",
    "data.steps_per_epoch=300",
    "data.steps_per_batch=100",
    "data.choice_episodes=6",
    "data.val_episodes=5",
    "data.test_episodes=7",
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=5",
]
REINFORCE = [*PLAYED, "loss=policy_gradient", "data.num_envs=3"]
DQN = [*PLAYED, "loss=q_learning", "data.num_envs=2", "task.module.warmup=50"]
DQN = [*DQN, "task.module.target_every=20", "task.module.exploration_steps=400"]


class Halved(torch.nn.Sequential):
    """A linear map with a buffer that is in no checkpoint."""

    def __init__(self, input_shape, outputs):
        size = math.prod(input_shape)
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(size, outputs))
        self.register_buffer("factor", torch.tensor(0.5), persistent=False)

    def forward(self, inputs):
        return self.factor * super().forward(inputs)


BATCHES = ["data=digits", *SMALL, "model._target_=small_networks.BatchNet", "data.batch_size=44"]
SWEEPS = {
    "losses and seeds": [*DIGITS, "loss=cross_entropy,focal,hinge", "seed=0,1"],
    "options of one loss": [*DIGITS, "loss=focal", "loss.gamma=0.5,2"],
    "learning rates": [*DIGITS, "loss=hinge,bce", "optimizer.lr=0.01,0.001"],
    "decay": [*DIGITS, "loss=bce", "optimizer=adamw", "optimizer.weight_decay=0.1,0"],
    "sgd with plateau": [*DIGITS, "loss=bce", "optimizer=sgd", "scheduler=plateau", "seed=0,1"],
    "cosine": [*DIGITS, "loss=bce", "scheduler=cosine", "seed=0,1"],
    "regularizer": [*DIGITS, "loss=bce", "regularizer=l1,l2,none"],
    "label noise": [*DIGITS, "loss=bce", "data.label_noise=0,0.3"],
    "weights that change": [
        *DIGITS,
        "loss=sum",
        "loss.of.bce=1",
        "loss.of.focal={weight:{first:0,last:1,epochs:4}}",
        "seed=0,1",
    ],
    "class weights": [*DIGITS, "loss=cross_entropy", "loss.weight=balanced,null"],
    "sizes differ": [*DIGITS, "loss=bce", "data.imbalance=1,0.3", "seed=0,1"],
    "dropout": [*DIGITS, "model.dropout=0.5", "loss=bce,hinge", "seed=0,1"],
    "clipping": [*DIGITS, "loss=bce,hinge", "trainer.gradient_clip_val=0.1"],
    "one data set": [*DIGITS, "loss=bce,hinge", "data.split_seed=3", "seed=0,1"],
    "buffers": [*DIGITS[:1], *SMALL, "loss=bce", f"model._target_={__name__}.Halved", "seed=0,1"],
    "cnn": ["model=cnn", "model.channels=[8]", *SMALL, "loss=bce,focal", "seed=0,1"],
    "batch normalization": [*BATCHES, "loss=bce,focal", "model.dropout=0.3"],
    "frozen": [*BATCHES, "loss=bce", "model.freeze=backbone", "regularizer=l2", "seed=0,1"],
    "masks": [
        "data.n=40",
        "model.channels=[4,8]",
        "data=segmentation",
        "loss=dice,bce",
        "seed=0,1",
        SMALL[-1],
    ],
    "boxes": [
        *("data=boxes", "data.n=60", "data.image_size=16", "data.sizes=[0.3,0.6]"),
        *("model.channels=[4]", "loss=giou,smooth_l1", "data.outliers=0,0.2", SMALL[-1]),
    ],
    "detections": [
        *("task=detection", "data.n=60", "data.image_size=16", "data.sizes=[0.3,0.6]"),
        *("data.objects=2", "data.classes=2", "model.channels=[4,4]", "model.hidden=8"),
        *("loss=detection", "loss.classification=focal,cross_entropy", "loss.box=giou,mae"),
        SMALL[-1],
    ],
    "clouds": ["data.n=60", "data.points=32", "loss=chamfer,emd", SMALL[-1]],
    "ranking": ["data.queries=100", "loss=margin_ranking", "loss.margin=0.1,1", SMALL[-1]],
    "ratings": ["data=ratings", "data.users=60", "loss=bpr,margin_ranking,mse", SMALL[-1]],
    "embeddings": ["data.copies=1", "loss=triplet,contrastive,angular", SMALL[-1]],
    "images and texts": [
        "data=digits_captions",
        "data.copies=1",
        "model.channels=[4]",
        "loss=info_nce,siglip,triplet,contrastive",
        SMALL[-1],
    ],
    "images": ["loss=reconstruction", "task=reconstruction", "seed=0,1", SMALL[-1]],
    "reinforce": [*REINFORCE, "seed=0,1,2"],
    "reinforce, options": [*REINFORCE, "loss.normalize=true,false", "optimizer.lr=0.01,0.001"],
    "reinforce, schedules": [*REINFORCE, "scheduler=cosine,plateau", "regularizer=l2,none"],
    "actor-critic": [
        *REINFORCE,
        "task.module.rollout=20",
        "task.module.gae_lambda=0.9",
        "seed=0,1",
    ],
    "ppo": [
        *REINFORCE,
        "loss.clip=0.2",
        "loss.entropy_bonus=0.01",
        "task.module.rollout=20",
        "task.module.epochs=2",
        "task.module.minibatches=2",
        "seed=0,1",
    ],
    "dqn": [*DQN, "seed=0,1,2"],
    "dqn, options": [*DQN, "loss.double=true,false", "loss.td=huber,mse", "regularizer=l2"],
    "dqn elsewhere": [*DQN, "data.env_id=Acrobot-v1", "data.max_episode_steps=60", "seed=0,1"],
    "channel": ["data=channel", "data.n=400", "loss=cross_entropy,bce", "seed=0,1", SMALL[-1]],
    "line": ["data=regression", "data.outliers=0.1", "loss=mse,huber", "seed=0,1", SMALL[-1]],
}


@pytest.mark.parametrize("overrides", SWEEPS.values(), ids=SWEEPS)
def test_a_run_leaves_what_it_leaves_alone(both, overrides):
    require_same_runs(*both(*overrides, DOUBLE))


def test_sample_weights_alone_as_together(both, tmp_path):
    rng = np.random.default_rng(0)
    inputs, weight = rng.normal(size=(80, 4)), np.arange(80) % 3
    targets = (inputs.sum(axis=1) > 1).astype(int)
    np.savez(tmp_path / "x.npz", inputs=inputs, targets=targets, weight=weight)
    pairs, left = both(
        f"data.path={tmp_path / 'x.npz'}",
        "data=arrays",
        "data.batch_size=2",  # a third of the batches has samples of weight 0, some nothing else
        "model.hidden=[8]",
        "loss=cross_entropy,categorical_cross_entropy",
        "loss.weight=[1,4],null",
        "trainer.max_epochs=2",
        DOUBLE,
    )
    assert not left
    for alone, together in pairs:
        saved = checkpoint_of(alone, "last"), checkpoint_of(together, "last")
        assert not differences(*saved, tolerance=1e-10)


SEPARABLE = ["data=arrays", "model.hidden=[8]", "loss=cross_entropy,hinge,bce", "seed=0,1"]


@pytest.fixture
def separable(tmp_path):
    """Save two classes that every network orders without error, so that all epochs tie."""
    rng = np.random.default_rng(0)
    targets = (np.arange(60) % 5 == 0).astype(int)
    inputs = rng.normal(size=(60, 4)) * 0.1 + 5 * targets[:, None]
    np.savez(tmp_path / "x.npz", inputs=inputs, targets=targets)
    return f"data.path={tmp_path / 'x.npz'}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["optimizer.lr=1e-300"], {3}),
        (["optimizer.lr=1e-300", "task.ties=first"], {0}),
        (["task.monitor=accuracy", "optimizer.lr=1e-300"], {3}),
        # rough steps: the order stays right, the threshold does not, and the likelihood decides
        (["optimizer.lr=0.3", "data.label_noise=0.4", "data.batch_size=8"], {0, 1, 2, 3}),
    ],
    ids=["later", "first", "accuracy", "likelihood"],
)
def test_runs_choose_among_equal_epochs_alone_as_together(both, separable, options, expected):
    pairs, left = both(*SEPARABLE, separable, "trainer.max_epochs=4", DOUBLE, *options)
    assert not left
    epochs = set()
    for alone, together in pairs:
        best = [record_of(folder)["best"] for folder in (alone, together)]
        assert best[0]["epoch"] == best[1]["epoch"]
        assert not differences(*best, tolerance=1e-6)
        epochs.add(best[0]["epoch"])
    assert epochs == expected


def test_tasks_that_differ_in_tensors_only_are_evaluated_together(jobs, monkeypatch):
    """Each seed has other shares of the classes, by which guessing is measured."""
    calls = []
    metrics = ClassificationTask.metrics

    def counted(task, *given):
        calls.append(task)
        return metrics(task, *given)

    monkeypatch.setattr(ClassificationTask, "metrics", counted)
    rare = ["data=channel", "data.n=400", "data.alphabet=2", "data.constant=true"]
    numbers = []
    for seeds in ("0,1", "0,1,2,3"):
        calls.clear()
        stacked = jobs(seeds, *rare, "loss=cross_entropy", f"seed={seeds}", SMALL[-1])
        assert not train_jobs(stacked, workers=1)
        numbers.append(len(calls))
    assert numbers[0] == numbers[1]
    gains = [record_of(job.folder)["test"]["bits"] for job in stacked]
    assert len(set(gains)) == 4


def require_same_runs(pairs: list[tuple[Path, Path]], left: list) -> None:
    assert not left
    for alone, together in pairs:
        require_same_run(alone, together)


def require_same_run(alone: Path, together: Path) -> None:
    assert files_of(alone) == files_of(together)
    assert (alone / "config.yaml").read_text() == (together / "config.yaml").read_text()
    for which in ("best", "last"):
        saved = checkpoint_of(alone, which), checkpoint_of(together, which)
        assert not differences(*saved, tolerance=1e-10)
    # metrics are logged in float32
    assert not differences(record_of(alone), record_of(together), tolerance=1e-6)
    curves = curves_of(alone), curves_of(together)
    assert curves[0].keys() == curves[1].keys()
    assert not differences(*(dict(sorted(own.items())) for own in curves), tolerance=1e-6)
    require_same_scores(alone, together)


def record_of(folder: Path) -> dict:
    record = json.loads((folder / "record.json").read_text())
    return {name: value for name, value in record.items() if name not in UNPAIRED}


def require_same_scores(alone: Path, together: Path) -> None:
    one, other = read_scores(alone), read_scores(together)
    np.testing.assert_array_equal(one.sample, other.sample)
    assert list(one.values) == list(other.values)
    for name, values in one.values.items():
        np.testing.assert_allclose(values, other.values[name], rtol=1e-6, atol=1e-6)
    assert (one.prediction is None) == (other.prediction is None)
    if one.prediction is not None:
        np.testing.assert_allclose(one.prediction, other.prediction, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(one.target, other.target)


def curves_of(folder: Path) -> dict:
    rows = read_curves(folder)
    return {(row.epoch, row.step, row.name): row.value for row in rows.itertuples()}


def files_of(folder: Path) -> list[str]:
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted("events" if "tfevents" in name else name for name in names)


def checkpoint_of(folder: Path, which: str) -> dict:
    saved = torch.load(folder / "checkpoints" / f"{which}.ckpt", weights_only=True)
    saved.pop("record", None)  # that stacks save in addition
    return saved


def differences(alone, together, tolerance: float, where: str = "") -> list[str]:  # noqa: PLR0911
    """Where two nested results differ, numbers by more than the tolerance."""
    if isinstance(alone, torch.Tensor):
        if alone.dtype != together.dtype or alone.shape != together.shape:
            return [f"{where}: {alone.dtype} {alone.shape}, {together.dtype} {together.shape}"]
        largest = float((alone.double() - together.double()).abs().max()) if alone.numel() else 0.0
        return [] if largest <= tolerance else [f"{where}: {largest}"]
    if isinstance(alone, dict):
        if list(alone) != list(together):
            return [f"{where}: {list(alone)}, {list(together)}"]
        pairs = [(alone[name], together[name], name) for name in alone]
    elif isinstance(alone, list | tuple):
        if len(alone) != len(together):
            return [f"{where}: {len(alone)}, {len(together)} entries"]
        pairs = [
            (a, b, str(place)) for place, (a, b) in enumerate(zip(alone, together, strict=True))
        ]
    elif isinstance(alone, float) and isinstance(together, float):
        same = alone == together or (math.isnan(alone) and math.isnan(together))
        close = abs(alone - together) <= tolerance * max(1, abs(alone))
        return [] if same or close else [f"{where}: {alone}, {together}"]
    else:
        return [] if alone == together else [f"{where}: {alone!r}, {together!r}"]
    return [
        line for a, b, name in pairs for line in differences(a, b, tolerance, f"{where}/{name}")
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        ["data=regression", "loss=mse", "optimizer.lr=0.01,1e30", SMALL[-1]],
        [*DQN, "optimizer.lr=0.01,1e300", "seed=0,1"],
        [*REINFORCE, "optimizer.lr=0.01,1e300", "seed=0,1"],
        # a loss that refuses what is no number, and metrics that do
        ["data.n=60", "data.points=32", "loss=chamfer", "optimizer.lr=0.01,1e300", SMALL[-1]],
        ["data.queries=100", "loss=margin_ranking", "optimizer.lr=0.01,1e300", SMALL[-1]],
        [*BATCHES, "loss._target_=small_networks.Strict", "optimizer.lr=0.01,1e300"],
    ],
    ids=[
        *("supervised", "dqn", "reinforce", "refused by the loss", "refused by a metric"),
        "statistics",
    ],
)
def test_a_run_that_diverges_ends_and_the_others_go_on(both, overrides):
    pairs, left = both(*overrides, "optimizer=sgd", DOUBLE)
    assert not left
    for alone, together in pairs:
        assert not differences(record_of(alone), record_of(together), tolerance=1e-6)
        assert not differences(curves_of(alone), curves_of(together), tolerance=1e-6)
    failed = [record_of(folder) for _, folder in pairs if record_of(folder)["status"] == "failed"]
    assert len(failed) == len(pairs) // 2
    assert all(record["error"]["kind"] == "diverged" for record in failed)


def test_scores_are_kept_on_request(both):
    pairs, _ = both(*DIGITS, "loss=bce,hinge", "scores=false")
    assert not any(read_scores(folder) for pair in pairs for folder in pair)
    pairs, _ = both(*DIGITS, "loss=bce,hinge", "test=false")
    assert not any(read_scores(folder) for pair in pairs for folder in pair)


def test_each_run_stops_early_for_itself(both):
    stopping = ["trainer.max_epochs=6", "callbacks.run_writer.patience=1", "optimizer.lr=1e-9,0.01"]
    pairs, _ = both(*DIGITS, "loss=cross_entropy", DOUBLE, *stopping)
    epochs = [record_of(together)["epochs"] for _, together in pairs]
    assert epochs == [record_of(alone)["epochs"] for alone, _ in pairs]
    assert len(set(epochs)) == 2
    for alone, together in pairs:
        saved = checkpoint_of(alone, "best"), checkpoint_of(together, "best")
        assert not differences(*saved, tolerance=1e-10)


@pytest.mark.parametrize("played", [DQN, REINFORCE], ids=["dqn", "reinforce"])
def test_each_run_that_plays_stops_early_for_itself(both, played):
    stopping = ["trainer.max_epochs=5", "callbacks.run_writer.patience=1", "optimizer.lr=0.01"]
    pairs, _ = both(*played, DOUBLE, *stopping, "seed=2,4")
    assert len({record_of(together)["epochs"] for _, together in pairs}) > 1
    for alone, together in pairs:
        assert not differences(record_of(alone), record_of(together), tolerance=1e-6)
        saved = checkpoint_of(alone, "last"), checkpoint_of(together, "last")
        assert not differences(*saved, tolerance=1e-10)


PLATEAU = [*DIGITS, "loss=bce", "scheduler=plateau", "scheduler.patience=0"]


@pytest.mark.parametrize("given", [DQN, REINFORCE, PLATEAU], ids=["dqn", "reinforce", "plateau"])
def test_a_stacked_run_is_resumed_alone(both, jobs, given):
    """For more epochs, from the checkpoint that it left."""
    pairs, _ = both(*given, DOUBLE, "seed=0,1")
    [longer] = jobs("longer", *given, DOUBLE, "seed=1", "trainer.max_epochs=4")
    for folder in pairs[1]:
        train(longer.config, folder, resume=True)
        assert record_of(folder)["epochs"] == 4
    saved = [checkpoint_of(folder, "last") for folder in pairs[1]]
    assert not differences(*saved, tolerance=1e-10)
    assert not differences(*map(record_of, pairs[1]), tolerance=1e-6)


@pytest.mark.parametrize("exempt", [True, False])
def test_imports_stay_exempt_from_garbage_collection_only_if_they_were(jobs, monkeypatch, exempt):
    monkeypatch.setattr(sweep, "train_in_process", lambda *_, **__: [])
    (gc.freeze if exempt else gc.unfreeze)()
    try:
        assert not train_jobs(jobs("one", *DIGITS, "loss=bce", "seed=0,1"), workers=1)
        assert (gc.get_freeze_count() > 0) == exempt
    finally:
        gc.unfreeze()


def test_what_cannot_be_stacked_is_left_with_the_reason(jobs):
    both = [
        *jobs("one", "loss=adversarial", "seed=0,1"),
        *jobs("one", *DIGITS, "loss=bce", "compile=true"),
        *jobs("one", "loss=ctc", "data.rows=60", "seed=0,1"),
    ]
    reasons = [reason for _, reason in train_jobs(both, workers=1)]
    assert reasons[:3] == ["task=generation has its own training step"] * 2 + [
        "compile=true supports only single networks"
    ]
    # torch has no rule for a GRU under vmap
    assert all(reason.startswith("the network cannot be mapped") for reason in reasons[3:])
    assert len(reasons) == 5
    assert not any(job.folder.exists() for job in both)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([*DQN, "model.dropout=0.5"], "the network draws random numbers"),
        (
            [*REINFORCE, "trainer.gradient_clip_val=1"],
            "task=policy_gradient does not support trainer.gradient_clip_val",
        ),
        (
            [*REINFORCE, "loss.clip=0.2", "task.module.minibatches=2"],
            "rollouts of whole episodes can differ in the number of minibatches",
        ),
        ([*REINFORCE, "data.num_envs=2,4", "seed=0"], "no other job has the same data"),
    ],
    ids=["dropout", "clipping", "minibatches", "environments"],
)
def test_what_cannot_play_in_a_stack_is_left_with_the_reason(jobs, overrides, reason):
    seeds = [] if "seed=0" in overrides else ["seed=0,1"]
    both = jobs("one", *overrides, *seeds)
    left = train_jobs(both, workers=1)
    assert [job for job, _ in left] == both
    assert all(why.startswith(reason) for _, why in left)
    assert not any(job.folder.exists() for job in both)


@pytest.mark.parametrize("overrides", [[*DIGITS, "loss=bce"], DQN], ids=["supervised", "dqn"])
def test_a_stack_tells_its_end(jobs, overrides, capsys):
    train_jobs(jobs("one", *overrides, "seed=0,1"), workers=1)
    # an earlier test may have left warnings to be shown
    [line] = [each for each in capsys.readouterr().err.splitlines() if "in lockstep (" in each]
    assert line.startswith("2 jobs in lockstep (")
    assert ": 2 done, " in line


def test_each_run_of_a_stack_starts_from_a_checkpoint(both, jobs):
    [job, _] = jobs("first", "loss=mse", "data=regression", "data.n=200", "seed=7,8")
    train(job.config, job.folder)
    best = torch.load(job.folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    weights = fingerprint(value for name, value in best.items() if name.startswith("network."))
    options = ["data=regression", "data.n=200", "trainer.max_epochs=1", "seed=0"]
    pairs, left = both("loss=mse,mae", f"ckpt_path={quoted(job.folder)}", *options)
    assert left == []
    for alone, together in pairs:
        records = [read_record(folder) for folder in (alone, together)]
        assert {record["hashes"]["weights"] for record in records} == {weights}
        one, other = (record["final"]["metrics"]["mae"] for record in records)
        assert other == pytest.approx(one, rel=1e-5)


def test_runs_with_and_without_augmentation_are_stacked_apart(both):
    turned = "[{_target_:torchvision.transforms.v2.RandomVerticalFlip,p:1}]"
    options = [*DIGITS, "loss=bce", "data.num_workers=0", "optimizer.lr=0.05"]
    pairs, left = both(*options, f"data.augment=null,{turned}")
    assert left == []
    found = [[read_record(each)["final"]["metrics"]["loss"] for each in pair] for pair in pairs]
    for alone, together in found:
        assert together == pytest.approx(alone, rel=1e-4)
    assert found[0][0] != pytest.approx(found[1][0], rel=1e-3)
