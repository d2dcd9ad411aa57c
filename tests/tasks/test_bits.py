"""The bits that predictions save over guessing by the shares of the classes in training."""

import math

import pytest
import torch
from sklearn.metrics import log_loss

from losslab.data.base import InMemoryData, Raw
from losslab.losses.links import FocalLink
from losslab.tasks import ClassificationTask, MultiLabelTask

CLASSES = 3


class Uneven(InMemoryData):
    """Three classes with shares of about 0.6, 0.3 and 0.1; the input says nothing."""

    def load(self) -> Raw:
        rng = torch.Generator().manual_seed(self.data_seed)
        targets = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), 500, True, generator=rng)
        return Raw(torch.zeros(500, 1), targets)


@pytest.fixture
def data():
    data = Uneven()
    data.setup()
    return data


def test_the_base_rates_as_a_prediction_save_nothing(data):
    task = ClassificationTask(data)
    logits = task.base_rates.log().expand(data.test.size, CLASSES)
    values = task.metrics(logits, data.test.targets, "softmax", {})
    assert values["bits"].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("label_noise", [0, 0.4])
def test_the_base_rates_are_those_of_the_training_labels(label_noise):
    data = Uneven(label_noise=label_noise)
    data.setup()
    shares = [(data.train.targets == c).double().mean().item() for c in range(CLASSES)]
    assert ClassificationTask(data).base_rates.tolist() == pytest.approx(shares)


@pytest.mark.parametrize("link", ["softmax", "sigmoid", FocalLink(2.0), FocalLink(2.0, True)])
def test_bits_are_the_difference_of_two_cross_entropies(data, link):
    task, target = ClassificationTask(data), data.test.targets
    logits = 2 * torch.randn(len(target), CLASSES, generator=torch.Generator().manual_seed(1))
    p = {"softmax": logits.double().softmax(dim=1), "sigmoid": logits.double().sigmoid()}
    probability = p[link] if isinstance(link, str) else link.log_probability(logits).exp()
    probability = probability / probability.sum(dim=1, keepdim=True)
    guess = task.base_rates.expand(len(target), CLASSES)
    expected = (log_loss(target, guess) - log_loss(target, probability)) / math.log(2)
    found = task.metrics(logits, target, link, {})["bits"].item()
    assert found == pytest.approx(expected)
    assert found < 0  # random predictions are worse than guessing


@pytest.mark.parametrize("link", ["softmax", "sigmoid"])
def test_certainty_saves_all_bits_of_guessing_for_any_link(data, link):
    """One-vs-rest probabilities of one true class are on the scale of the others."""
    task, target = ClassificationTask(data), data.test.targets
    logits = 200 * torch.nn.functional.one_hot(target, CLASSES).double() - 100
    guess = log_loss(target, task.base_rates.expand(len(target), CLASSES))
    found = task.metrics(logits, target, link, {})["bits"].item()
    assert found == pytest.approx(guess / math.log(2))


def test_a_loss_without_probabilities_has_bits_only_after_one_temperature_was_fitted(data):
    task, target = ClassificationTask(data), data.val.targets
    logits = torch.randn(len(target), CLASSES, generator=torch.Generator().manual_seed(1))
    assert "bits" not in task.metrics(logits, target, None, {})
    chosen = task.choose(logits, target, None)
    tested = task.metrics(logits, target, None, chosen)
    assert "bits" not in tested
    assert tested["bits_raw"] < tested["bits_temperature_scaled"]


def test_samples_of_a_class_that_training_lacks_are_left_out(data):
    task, target = ClassificationTask(data), data.test.targets
    task.base_rates = torch.tensor([0.75, 0.25, 0.0], dtype=torch.float64)
    logits = torch.zeros(len(target), CLASSES)
    scores = task.scores(logits, target, "softmax", {})["bits"]
    assert torch.equal(scores.isnan(), target == 2)
    expected = {0: math.log2(1 / 3 / 0.75), 1: math.log2(1 / 3 / 0.25)}
    for label, bits in expected.items():
        assert scores[target == label].unique().tolist() == pytest.approx([bits])
    assert task.metrics(logits, target, "softmax", {})["bits"] == scores.nanmean()


def test_a_prediction_that_rules_out_what_is_true_loses_everything(data):
    task, target = ClassificationTask(data), data.test.targets
    logits = torch.tensor([[0.0, 0.0, -math.inf]]).expand(len(target), CLASSES)
    assert task.metrics(logits, target, "softmax", {})["bits"].item() == -math.inf


class Labels(InMemoryData):
    def load(self) -> Raw:
        rng = torch.Generator().manual_seed(self.data_seed)
        targets = (torch.rand(400, 2, generator=rng) < torch.tensor([0.5, 0.1])).float()
        return Raw(torch.zeros(400, 1), targets, "multilabel")


def test_bits_of_labels_are_summed():
    data = Labels()
    data.setup()
    task, target = MultiLabelTask(data), data.test.targets
    logits = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    rates = data.train.targets.double().mean(dim=0).expand(target.shape)
    expected = sum(
        log_loss(target[:, k], rates[:, k])
        - log_loss(target[:, k], logits[:, k].double().sigmoid())
        for k in range(2)
    )
    found = task.metrics(logits, target, "sigmoid", {})["bits"].item()
    assert found == pytest.approx(expected / math.log(2))
