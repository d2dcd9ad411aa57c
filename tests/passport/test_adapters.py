"""What a loss inside an adapter is given by the run, as a loss without one is."""

import pytest
import torch
from torch import nn

from kinds_of_run import SMALL
from losslab.components import build_components
from losslab.config.errors import UserError
from losslab.config.expansion import complete, jobs_of
from losslab.config.jobs import compose_jobs

AVERAGED = "losslab.losses.Averaged"


def built(*overrides):
    [job] = compose_jobs(jobs_of(complete([*SMALL, *overrides])))
    return build_components(job.config).module.loss


class Proxies(nn.Module):
    """Distances to vectors of classes, as a library might have it."""

    def __init__(self, num_classes, embedding_size, weight=None):
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(num_classes, embedding_size))

    def forward(self, embeddings, labels):
        logits = -torch.cdist(embeddings, self.vectors)
        return nn.functional.cross_entropy(logits, labels, reduction="none")


PROXIES = f"{__name__}.Proxies"
IN_A_SUM = "{_target_:%s,loss:{_target_:%s}}"


@pytest.mark.parametrize(
    "given",
    [
        [f"loss._target_={AVERAGED}", f"loss.loss._target_={PROXIES}"],
        ["loss=sum", f"loss.of.mine={IN_A_SUM % (AVERAGED, PROXIES)}"],
    ],
    ids=["alone", "in a sum"],
)
def test_a_loss_in_an_adapter_is_told_its_sizes(given):
    [own] = built("data=digits_retrieval", "data.copies=1", *given).parameters()
    assert own.shape == (10, 32)


def test_a_size_that_is_given_is_kept():
    given = [f"loss._target_={AVERAGED}", f"loss.loss._target_={PROXIES}"]
    [own] = built(
        "data=digits_retrieval", "data.copies=1", *given, "loss.loss.num_classes=12"
    ).parameters()
    assert own.shape == (12, 32)


def cross_entropy_terms(prediction, target, weight=1.0):
    return weight * nn.functional.cross_entropy(prediction, target, reduction="none")


def test_an_adapter_takes_a_function():
    target = f"loss.loss._target_={__name__}.cross_entropy_terms"
    loss = built("data=digits", f"loss._target_={AVERAGED}", target, "loss.loss.weight=2")
    value = loss(torch.zeros(3, 10), torch.tensor([1, 2, 3]))
    assert value.item() == pytest.approx(2 * 2.302585, rel=1e-6)


def test_a_loss_in_an_adapter_has_balanced_weights():
    adapter = "losslab.losses.OnLogSoftmax"
    weight = "loss.loss.weight=balanced"
    given = [f"loss._target_={adapter}", "loss.loss._target_=losslab.losses.CrossEntropyLoss"]
    assert built("data=digits", *given, weight).loss.weight.shape == (10,)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ["loss.loss._target_=torch.nn.NLLLoss", "loss.loss.powr=2"],
            "NLLLoss has no option 'powr'.*in loss.loss",
        ),
        (["loss.loss._target_=torch.nn.NLLLoss", "loss.power=2"], "Averaged has no option 'power'"),
        ([], "Averaged needs the option 'loss'"),
    ],
    ids=["of the loss", "of the adapter", "none"],
)
def test_wrong_options_are_named(given, words):
    with pytest.raises(UserError, match=words):
        built("data=digits", f"loss._target_={AVERAGED}", *given)
