"""What is averaged is divided once: sample weights and accumulated batches."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from kinds_of_run import RUNS, config_of
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.first_batch import try_batch
from losslab.losses import Loss, MSELoss, TargetFormat
from losslab.runs.record import read_record
from losslab.training import train

SGD = ["optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=0.1", "trainer.precision=64-true"]


@pytest.fixture
def arrays(tmp_path):
    """Writes 70 samples of two classes, or of a number, with weights."""

    def write(targets: str = "classes", weights: str | None = None) -> list[str]:
        rng = np.random.default_rng(0)
        inputs = rng.normal(size=(70, 3))
        number = inputs.sum(axis=1) + rng.normal(size=70)
        columns = {"inputs": inputs, "targets": number}
        if targets == "classes":
            columns["targets"] = (number > 1).astype(int)
        if weights is not None:
            columns["weight"] = {
                "ones": np.ones(70),
                "random": rng.uniform(size=70),
                "mostly zero": (np.arange(70) % 7 == 0).astype(float),
            }[weights]
        path = tmp_path / f"{targets} {weights}.npz"
        np.savez(path, **columns)
        data = ["data=arrays", f"data.path={path}", "model=linear", "data.test_fraction=0.2"]
        return [*data, *SGD] if targets == "classes" else [*data, *SGD, "task=regression"]

    return write


@pytest.fixture
def weights_after(tmp_path):
    """Trains a run, and returns its steps and the network's weights."""

    def run(name: str, *overrides: str) -> tuple[int, dict[str, torch.Tensor]]:
        folder = tmp_path / name
        train(config_of(*overrides, "trainer.max_epochs=2"), folder)
        record = read_record(folder)
        assert record["status"] == "done", record["error"]
        saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        network = {name: value for name, value in saved.items() if name.startswith("network.")}
        return record["steps"], network

    return run


ACCUMULATED = {
    "plain": ("classes", None, ["loss=cross_entropy"]),
    "class weights": ("classes", None, ["loss=cross_entropy", "loss.weight=[1,20]"]),
    "sample weights": ("classes", "random", ["loss=cross_entropy", "loss.weight=[1,20]"]),
    "zeros": ("number", "mostly zero", ["loss=mse"]),
    "sum": ("number", None, ["loss=sse", "optimizer.lr=0.001"]),
    "root": ("number", None, ["loss=rmse"]),
    "weighted root": ("number", "random", ["loss=rmse"]),
    "regularizer": ("classes", None, ["loss=bce", "regularizer=l2", "regularizer.strength=0.1"]),
    "clipping": ("classes", None, ["loss=focal", "trainer.gradient_clip_val=0.01"]),
    "of torch": ("number", None, ["loss=mae", "loss._target_=torch.nn.MSELoss"]),
    "of torch, weighted": ("number", "random", ["loss=mae", "loss._target_=torch.nn.MSELoss"]),
}


@pytest.mark.parametrize(("targets", "weights", "given"), ACCUMULATED.values(), ids=ACCUMULATED)
def test_accumulated_batches_equal_their_union(arrays, weights_after, targets, weights, given):
    options = [*arrays(targets, weights), *given]
    steps, expected = weights_after("union", *options, "data.batch_size=12")
    accumulated = weights_after(
        "windows", *options, "data.batch_size=4", "trainer.accumulate_grad_batches=3"
    )
    assert accumulated[0] == steps  # the last window of an epoch is incomplete
    torch.testing.assert_close(accumulated[1], expected, rtol=0, atol=1e-12)


OURS = ["loss=cross_entropy", "loss.weight=[1,20]"]
OF_TORCH = "_target_:torch.nn.CrossEntropyLoss,weight:{_target_:torch.tensor,data:[1.0,20.0]}"
ITS_PART, OUR_PART = (
    f"torch={{weight:0.75,loss:{{{OF_TORCH}}}}}",
    "cross_entropy={weight:0.25,loss:{weight:[1,20]}}",
)


@pytest.mark.parametrize(
    "given",
    [
        ["loss=cross_entropy", f"++loss={{{OF_TORCH}}}"],
        ["loss=sum", f"++loss.of.{ITS_PART}", f"++loss.of.{OUR_PART}"],
        ["loss=sum", f"++loss.of.{OUR_PART}", f"++loss.of.{ITS_PART}"],
    ],
    ids=["alone", "first of a sum", "last of a sum"],
)
def test_accumulated_batches_of_a_weighted_loss_of_torch_train_as_ours(
    arrays, weights_after, given
):
    options = [*arrays(), "data.batch_size=5", "trainer.accumulate_grad_batches=2"]
    expected = weights_after("ours", *options, *OURS)
    found = weights_after("torch", *options, *given)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


WEIGHTED = {
    "cross-entropy": ("classes", ["loss=cross_entropy", "loss.weight=[1,5]"]),
    "categorical": ("classes", ["loss=categorical_cross_entropy", "loss.weight=[1,5]"]),
    "focal": ("classes", ["loss=focal", "loss.alpha=[1,5]"]),
    "root": ("number", ["loss=rmse"]),
    "sum": ("number", ["loss=sse", "optimizer.lr=0.001"]),
}


@pytest.mark.parametrize(("targets", "given"), WEIGHTED.values(), ids=WEIGHTED)
def test_weights_of_one_train_as_no_weights(arrays, weights_after, targets, given):
    expected = weights_after("without", *arrays(targets), *given)
    found = weights_after("ones", *arrays(targets, "ones"), *given)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_batch_whose_weights_are_all_zero_changes_nothing():
    elements = torch.tensor([0.5, -1.0], requires_grad=True)
    loss = MSELoss()
    mean = loss.from_total(*loss.total(elements, torch.zeros(2), weights=torch.zeros(2)))
    mean.backward()
    assert mean.item() == 0
    assert elements.grad.tolist() == [0, 0]


def test_a_run_with_batches_of_weight_zero_ends(arrays, weights_after):
    steps, _ = weights_after(
        "zeros", *arrays("number", "mostly zero"), "loss=mse", "data.batch_size=4"
    )
    assert steps > 0


class DividesByWeights(Loss):
    """Its mean divides by class weights, of which the base class does not know."""

    accepts = (TargetFormat.CLASS_INDICES,)

    def forward(self, prediction, target):
        weight = torch.tensor([1.0, 5.0]).to(prediction)[target]
        elements = weight * cross_entropy(prediction, target, reduction="none")
        return elements.sum() / weight.sum() if self.reduction == "mean" else self.reduce(elements)


class OfALibrary(nn.Module):
    """The same without the base class."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.loss = DividesByWeights(reduction)

    def forward(self, prediction, target):
        return self.loss(prediction, target)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([f"loss._target_={__name__}.OfALibrary"], "does not support sample weights: it is"),
        ([f"loss._target_={__name__}.DividesByWeights"], "does not support sample weights: it is"),
        (["loss=triplet", "task=metric_learning"], "its terms are triplets of samples"),
    ],
    ids=["of a library", "of a user", "triplets"],
)
def test_a_loss_that_weights_of_one_would_change_is_refused(arrays, given, words):
    config = config_of("loss=cross_entropy", *arrays("classes", "ones"), *given)
    with pytest.raises(UserError, match=words):
        try_batch(config, build_components(config))


@pytest.mark.parametrize(("loss", "warned"), [("triplet", True), ("cross_entropy", False)])
def test_pairs_across_accumulated_batches_are_said_to_be_left_out(arrays, caplog, loss, warned):
    task = ["task=metric_learning"] if loss == "triplet" else []
    given = f"loss={loss}", *task, "trainer.accumulate_grad_batches=2"
    config = config_of(*arrays("classes"), *given)
    try_batch(config, build_components(config))
    assert ("not one large batch" in caplog.text) is warned


def test_a_task_that_steps_by_itself_refuses_accumulation():
    with pytest.raises(UserError, match="task=generation does not support trainer"):
        build_components(config_of(*RUNS["generated"], "trainer.accumulate_grad_batches=2"))


def test_a_mean_that_cannot_be_accumulated_is_refused(arrays):
    given = f"loss._target_={__name__}.DividesByWeights", "trainer.accumulate_grad_batches=2"
    config = config_of("loss=cross_entropy", *arrays("classes"), *given)
    with pytest.raises(UserError, match="does not support several batches"):
        try_batch(config, build_components(config))
