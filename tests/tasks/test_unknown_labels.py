"""Labels that are not known count for no loss, no metric and no class weight."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from losslab.config.errors import UserError
from losslab.data.base import InMemoryData, Raw
from losslab.data.raw import IGNORED
from losslab.loss_building import build_loss
from losslab.loss_totals import loss_totals
from losslab.losses import TargetFormat, WithoutIgnored
from losslab.passport import try_format
from losslab.passport.trial import CANNOT_IGNORE
from losslab.tasks import MultiLabelTask


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Data(InMemoryData):
    """Two labels of which a third is not known."""

    def load(self) -> Raw:
        labels = (torch.rand(200, 2, generator=rng()) < 0.3).float()
        labels[torch.rand(200, 2, generator=rng(1)) < 0.33] = IGNORED
        return Raw(torch.randn(200, 3, generator=rng(2)), labels, "multilabel")


@pytest.fixture
def data():
    data = Data()
    data.setup()
    return data


@pytest.fixture
def sample(data):
    """Return the task with predictions, targets and a mask of the known labels."""
    target = data.train.targets
    prediction = torch.randn(target.shape, generator=rng(3)) + 2 * (target == 1)
    return MultiLabelTask(data), prediction, target, target != IGNORED


def test_they_are_counted_as_not_known(data):
    assert data.ignores
    targets = data.train.targets
    assert data.class_counts.tolist() == (targets == 1).sum(dim=0).tolist()
    assert "of the labels are not known and ignored" in data.describe()


def test_metrics_are_those_of_the_known_labels(sample):
    task, prediction, target, known = sample
    metrics = task.metrics(prediction, target, "sigmoid", {})
    columns = [(prediction[:, k][known[:, k]], target[:, k][known[:, k]]) for k in range(2)]
    for name, score in (("f1_macro", f1_score), ("auroc", roc_auc_score)):
        given = [(t, z > 0 if name == "f1_macro" else z) for z, t in columns]
        expected = sum(score(*pair) for pair in given) / 2
        assert metrics[name].item() == pytest.approx(expected), name


def test_scores_are_those_of_the_known_labels(sample):
    task, prediction, target, known = sample
    scores = task.scores(prediction, target, "sigmoid", {})
    for row in (known.sum(dim=1) == 1).nonzero().flatten()[:5]:
        truth, z = target[row][known[row]].numpy(), prediction[row][known[row]]
        p = z.double().sigmoid().numpy()
        assert scores["accuracy"][row] == accuracy_score(truth, p > 0.5)
        assert scores["brier"][row].item() == pytest.approx(
            brier_score_loss(truth, p, labels=[0, 1])
        )
        assert scores["nll"][row].item() == pytest.approx(log_loss(truth, p, labels=[0, 1]))
        rate = task.base_rates[known[row]].numpy()
        saved = log_loss(truth, rate, labels=[0, 1]) - log_loss(truth, p, labels=[0, 1])
        assert scores["bits"][row].item() == pytest.approx(saved / math.log(2))


def test_base_rates_are_those_of_the_known_labels(data):
    targets = data.train.targets
    known = [column[column != IGNORED] for column in targets.unbind(dim=1)]
    assert MultiLabelTask(data).base_rates.tolist() == pytest.approx(
        [column.mean().item() for column in known]
    )


def test_predictions_there_change_nothing(sample):
    task, prediction, target, known = sample
    other = torch.where(known, prediction, 5 - 3 * prediction)
    first, second = (
        task.metrics(each, target, "sigmoid", {})
        | task.scores(each, target, "sigmoid", {})
        | task.tie_break(each, target, "sigmoid")
        for each in (prediction, other)
    )
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", ["BCELoss", "FocalLoss", "HingeLoss"])
def test_losses_leave_them_out(data, name):
    loss = build_loss({"_target_": f"losslab.losses.{name}"}, data)
    target = data.train.targets
    logits = torch.zeros(target.shape, requires_grad=True)
    loss(logits, target).backward()
    assert torch.equal(logits.grad != 0, target != IGNORED)


def test_balanced_weights_count_known_labels(data):
    loss = build_loss({"_target_": "losslab.losses.BCELoss", "pos_weight": "balanced"}, data)
    targets = data.train.targets
    expected = (targets == 0).sum(dim=0) / (targets == 1).sum(dim=0)
    torch.testing.assert_close(loss.pos_weight, expected)


def test_a_loss_of_another_library_is_given_the_known_labels(data):
    target = data.train.targets
    logits = torch.randn(target.shape, generator=rng(3))
    theirs, ours = (
        build_loss({"_target_": name}, data)
        for name in ("torch.nn.BCEWithLogitsLoss", "losslab.losses.BCELoss")
    )
    torch.testing.assert_close(theirs(logits, target), ours(logits, target))


def test_a_loss_that_cannot_ignore_is_refused(data):
    with pytest.raises(UserError, match="has no ignore_index, but some labels are not known"):
        build_loss({"_target_": "losslab.losses.MSELoss"}, data)


def test_sample_weights_do_not_fit_single_labels():
    loss = WithoutIgnored(torch.nn.BCEWithLogitsLoss())
    with pytest.raises(
        UserError, match="loss=x has no value per sample: it is given single labels"
    ):
        loss_totals(loss, None, weighted=True, name="loss=x")


@pytest.mark.parametrize(("weight", "fits"), [(None, True), (torch.tensor([1.0, 5.0]), False)])
def test_weights_of_labels_do_not_fit_single_labels(weight, fits):
    loss = WithoutIgnored(torch.nn.BCEWithLogitsLoss(pos_weight=weight))
    refusal = try_format(loss, TargetFormat.BINARY_TARGETS, (2,)).refusal
    assert refusal == ("" if fits else CANNOT_IGNORE)


def test_label_noise_leaves_them_unknown():
    data = Data(label_noise=0.5)
    data.setup()
    clean = Data()
    clean.setup()
    assert torch.equal(data.train.targets == IGNORED, clean.train.targets == IGNORED)
    assert data.train.targets.unique().tolist() == [IGNORED, 0, 1]


class Uncertain(InMemoryData):
    def load(self) -> Raw:
        return Raw(torch.zeros(9, 1), torch.tensor([[1.0, 0.0, -1.0]] * 9), "multilabel")


def test_other_values_are_no_labels():
    """As -1 for uncertain, which would be read as absent."""
    with pytest.raises(ValueError, match=r"must be 0 or 1, or -100 for a label that is not known"):
        Uncertain().setup()
