"""Parameters of losses are trained in a stack as they are alone."""

import pytest
import torch
from torch import nn

from losslab.lockstep.sweep import train_jobs
from losslab.losses import PolicyGradientLoss
from losslab.training import train

from .test_sweep import (
    DOUBLE,
    REINFORCE,
    differences,
    record_of,
    require_same_run,
    require_same_runs,
)

SPLITS = ["data.val_fraction=0.05", "data.test_fraction=0.05", "trainer.max_epochs=2"]
EMBEDDINGS = ["data=digits_retrieval", "data.copies=1", "model=mlp", "model.hidden=[16]", *SPLITS]
PLATEAU = ["scheduler=plateau", "scheduler.patience=0", "optimizer.loss_lr=0.1"]
FIGURES = ["callbacks=default", "callbacks.figures.every=1"]
MASKS = ["data=segmentation", "data.n=40", "model.channels=[4,8]", "trainer.max_epochs=2"]
COMPONENTS = [*EMBEDDINGS, "loss=sum", "loss.of.center=0.1", "loss.of.cross_entropy=1"]
UNCERTAIN = ["loss=uncertainty_sum", "loss.of.dice=1", "loss.of.bce=0.5"]
LINE = ["data=regression", "data.n=200", "loss=mse", "trainer.max_epochs=2"]


class Likelihood(nn.Module):
    """Negative log-likelihood of normal residuals, whose logarithmic variance is trained too."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.spread = nn.Parameter(torch.randn(1))
        self.register_parameter("never_read", nn.Parameter(torch.randn(2)))
        self.reduction = reduction

    def forward(self, prediction, target):
        terms = (prediction - target).square() * (-self.spread).exp() + self.spread
        return terms if self.reduction == "none" else terms.mean()


class Branching(Likelihood):
    """The same, in Python that ``torch.func.vmap`` cannot map."""

    def forward(self, prediction, target):
        float(self.spread.detach())
        return super().forward(prediction, target)


class Elsewhere(Likelihood):
    """The same, but it reads a list, which torch knows nothing of."""

    def __init__(self, **options):
        super().__init__(**options)
        self.all = [self.spread]

    def forward(self, prediction, target):
        terms = (prediction - target).square() * (-self.all[0]).exp() + self.all[0]
        return terms.mean()


class Normalizing(Likelihood):
    """The same, but it changes its parameter itself, and need not do so each time."""

    def forward(self, prediction, target):
        self.spread.data = self.spread.data.clamp(-0.1, 0.1)
        return super().forward(prediction, target)


class Scaled(PolicyGradientLoss):
    """A policy gradient times a number that is drawn and not trained."""

    def __init__(self, **options):
        super().__init__(**options)
        self.scale = nn.Parameter(torch.rand(()) + 0.5)

    def components(self, prediction, target):
        return {n: self.scale * v for n, v in super().components(prediction, target).items()}


def own(name):
    return f"loss._target_={__name__}.{name}"


IMAGES = ["data=digits", "task=reconstruction", "model.channels=[4,4]", "model.code=4", *SPLITS]

SWEEPS = {
    "a discriminator": [*IMAGES, "loss=adversarial_reconstruction,reconstruction", "loss.p=1,2"],
    "seeds": [*EMBEDDINGS, "loss=arcface", "seed=0,1"],
    "several losses": [*EMBEDDINGS, "loss=cosface,proxy_anchor,triplet,cross_entropy", "seed=0,1"],
    "options": [*EMBEDDINGS, "loss=arcface", "loss.margin=0.1,0.5"],
    "center": [*EMBEDDINGS, "loss=center", "optimizer=sgd", "seed=0,1"],
    "learned weights": [*MASKS, *UNCERTAIN, "seed=0,1"],
    "components": [*COMPONENTS, "seed=0,1"],
    "clipping": [*EMBEDDINGS, "loss=arcface,triplet", "trainer.gradient_clip_val=0.1"],
    "decay": [*EMBEDDINGS, "loss=cosface", "optimizer=adamw", "optimizer.weight_decay=0.1,0"],
    "own rates": [*EMBEDDINGS, "loss=proxy_anchor", "optimizer.loss_lr=null,0.1,0"],
    "fixed": [*EMBEDDINGS, "loss=proxy_anchor", "optimizer.loss_lr=0", "seed=0,1"],
    "cosine": [*EMBEDDINGS, "loss=arcface", "scheduler=cosine", "optimizer.loss_lr=0.1,null"],
    "plateau": [*EMBEDDINGS, "loss=cosface", *PLATEAU, "seed=0,1"],
    "regularizer": [*EMBEDDINGS, "loss=cosface", "regularizer=l2", "seed=0,1"],
    "figures": [*EMBEDDINGS, "loss=arcface", *FIGURES, "seed=0,1"],
    "agents": [*REINFORCE, own("Scaled"), "optimizer.loss_lr=0", "seed=0,1"],
    "yours": [*LINE, own("Likelihood"), "seed=0,1"],
    "yours, not mapped": [*LINE, own("Branching"), "seed=0,1"],
}


@pytest.mark.parametrize("overrides", SWEEPS.values(), ids=SWEEPS)
def test_a_run_leaves_what_it_leaves_alone(both, overrides):
    require_same_runs(*both(*overrides, DOUBLE))


def test_each_run_stops_early_for_itself(both):
    stopping = ["trainer.max_epochs=6", "callbacks.run_writer.patience=1", "optimizer.lr=1e-9,0.01"]
    pairs, left = both(*EMBEDDINGS, "loss=arcface,triplet", DOUBLE, *stopping)
    require_same_runs(pairs, left)
    assert len({record_of(together)["epochs"] for _, together in pairs}) > 1


def test_a_run_that_diverges_ends_and_the_others_go_on(both):
    rates = ["optimizer=sgd", "optimizer.lr=0.01,1e300", "optimizer.loss_lr=0.01"]
    pairs, left = both(*LINE, own("Likelihood"), *rates, "seed=0,1", DOUBLE)
    assert not left
    assert [record_of(together)["status"] for _, together in pairs].count("failed") == 2
    for alone, together in pairs:
        assert not differences(record_of(alone), record_of(together), tolerance=1e-6)


def test_the_last_run_of_a_loss_may_leave(both):
    stopping = ["trainer.max_epochs=6", "callbacks.run_writer.patience=1", "optimizer.lr=0.05"]
    pairs, left = both(*EMBEDDINGS, "loss=arcface,center,proxy_anchor", DOUBLE, *stopping)
    require_same_runs(pairs, left)
    assert len({record_of(together)["epochs"] for _, together in pairs}) > 1


RESUMED = {
    "arcface": [*EMBEDDINGS, "loss=arcface", *PLATEAU],
    "learned weights": [*MASKS, *UNCERTAIN, "scheduler=step", "optimizer=sgd"],
    "fixed": [*EMBEDDINGS, "loss=proxy_anchor", "optimizer.loss_lr=0"],
}


@pytest.mark.parametrize("given", RESUMED.values(), ids=RESUMED)
def test_a_stacked_run_is_resumed_alone(both, jobs, given):
    """For more epochs, from the checkpoint that it left."""
    pairs, left = both(*given, DOUBLE, "seed=0,1")
    assert not left
    [longer] = jobs("longer", *given, DOUBLE, "seed=1", "trainer.max_epochs=4")
    for folder in pairs[1]:
        train(longer.config, folder, resume=True)
        assert record_of(folder)["epochs"] == 4
    require_same_run(*pairs[1])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Elsewhere", "the parameters of the loss are not its attributes"),
        ("Normalizing", "the loss changes its parameters"),
    ],
)
def test_what_cannot_be_stacked_is_left_with_the_reason(jobs, name, reason):
    made = jobs("one", *LINE, own(name), "seed=0,1")
    assert train_jobs(made, workers=1) == [(job, reason) for job in made]


SUM = ["loss=sum", "loss.of.mse=1", f"loss.of.mine._target_={__name__}.Likelihood"]


@pytest.mark.parametrize("given", [["loss=mse", own("Likelihood")], SUM], ids=["one", "sum"])
def test_weighted_samples_train_them_too(both, tmp_path, given):
    table = tmp_path / "table.csv"
    rows = [f"{x / 10},{x / 5},{1 + x % 3}" for x in range(60)]
    table.write_text("\n".join(["x,y,w", *rows]))
    data = ["data=table", f"data.path={table}", "data.target=y", "data.weight=w", "task=regression"]
    pairs, left = both(*data, *given, "model=linear", "trainer.max_epochs=2", "seed=0,1", DOUBLE)
    require_same_runs(pairs, left)


def test_losses_of_another_library(both):
    pytest.importorskip("pytorch_metric_learning")
    target = "loss._target_=pytorch_metric_learning.losses.ArcFaceLoss"
    pairs, left = both(*EMBEDDINGS, "loss=triplet", target, "seed=0,1", DOUBLE)
    require_same_runs(pairs, left)
