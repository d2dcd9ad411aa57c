"""What is found out about a loss by trying it, against what is known about it."""

import copy

import pytest
import torch
from conformance import cases
from torch import nn

from losslab.commands.probe import passport_of
from losslab.config.errors import UserError
from losslab.losses import (
    AsTwoClasses,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    HingeLoss,
    Loss,
    MAELoss,
    OnLogSoftmax,
    OnSigmoid,
    SumLoss,
    TargetFormat,
    UncertaintySumLoss,
    WithOneHotTargets,
    WithSignedTargets,
)
from losslab.losses.function import FunctionLoss
from losslab.losses.links import FocalLink, SmoothedLink
from losslab.passport import NumericLink, find_adapters, overrides, probe, try_format
from losslab.passport.fitting import LEARNING_RATE, LOOK, STEPS, fitted
from losslab.passport.passport import warnings_of
from losslab.passport.problems import PROBED, example
from losslab.passport.trial import LOGITS

INDICES, HOT = TargetFormat.CLASS_INDICES, TargetFormat.CLASS_PROBABILITIES
BINARY, VALUES = TargetFormat.BINARY_TARGETS, TargetFormat.VALUES


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


# an ignored class is one that nothing can be learned about
OURS = [case for case in cases() if case.form in PROBED and "ignore_index" not in case.changed]
REGION_BASED = ("dice", "bce_dice", "tversky", "focal_tversky")


@pytest.mark.parametrize("case", OURS, ids=str)
def test_what_our_losses_declare_is_found(case):
    loss, target_format = case.build(), case.form
    shape = (3,) if target_format is TargetFormat.LABELLED_EMBEDDINGS else None
    trial = try_format(loss, target_format, shape)
    assert trial.refusal == ""
    assert not trial.edges
    declared = loss.link_for(target_format)
    if trial.estimate is None:
        assert target_format not in LOGITS or (case.name in REGION_BASED and not trial.separable)
        return
    assert case.name not in REGION_BASED
    if target_format is VALUES:
        return
    found = trial.estimate.link
    if case.changed.get("squared") or isinstance(loss, SumLoss):
        assert found is None or isinstance(found, NumericLink)  # it is not declared
    elif isinstance(declared, str) or declared is None:
        assert found == declared
    else:
        logits = 0.2 * normal(50, 3)
        expected = declared.log_probability(logits).exp()
        torch.testing.assert_close(found.probability(logits), expected, rtol=0, atol=1e-8)


def mean_square(prediction, target):
    return (prediction - target).square().mean()


def pinball(prediction, target):
    over = target - prediction
    return torch.maximum(0.8 * over, -0.2 * over).mean()


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


ESTIMATES = {
    "cross_entropy": (nn.CrossEntropyLoss(), INDICES, "class probabilities, by the softmax"),
    "weighted": (
        nn.CrossEntropyLoss(torch.tensor([1.0, 5.0, 2.0])),
        INDICES,
        "class probabilities, by the softmax",
    ),
    "logistic": (nn.BCEWithLogitsLoss(), BINARY, "class probabilities, by the sigmoid"),
    "one_vs_rest": (nn.BCEWithLogitsLoss(), HOT, "class probabilities, by the sigmoid"),
    "brier": (nn.MSELoss(), HOT, "class probabilities, which the scores are themselves"),
    "margin": (nn.MultiMarginLoss(), INDICES, "the most likely class"),
    "hinge": (HingeLoss(), BINARY, "the most likely class"),
    "mean": (Function(mean_square), VALUES, "the mean"),
    "median": (MAELoss(), VALUES, "the median"),
    "quantile": (Function(pinball), VALUES, "the 0.80 quantile"),
    "huber": (nn.HuberLoss(), VALUES, "a location between median and mean"),
    "log_rate": (nn.PoissonNLLLoss(), VALUES, "the logarithm of the mean"),
}


@pytest.mark.parametrize(("loss", "target_format", "words"), ESTIMATES.values(), ids=ESTIMATES)
def test_estimates(loss, target_format, words):
    assert try_format(loss, target_format).estimate.of == words


REFUSED = {
    "log_probabilities": (nn.NLLLoss(), INDICES, "is unbounded below on logits", OnLogSoftmax),
    "divergence": (nn.KLDivLoss(), HOT, "is unbounded below on logits", OnLogSoftmax),
    "probabilities": (nn.BCELoss(), BINARY, "between 0 and 1", OnSigmoid),
    "signs": (nn.SoftMarginLoss(), BINARY, "no gradient where the target is 0", WithSignedTargets),
    "one_logit": (nn.CrossEntropyLoss(), BINARY, "no gradient", AsTwoClasses),
}


@pytest.mark.parametrize(
    ("loss", "target_format", "words", "adapter"), REFUSED.values(), ids=REFUSED
)
def test_a_loss_that_reads_something_else_is_refused_and_adapted(
    loss, target_format, words, adapter
):
    assert words in try_format(loss, target_format).refusal
    chain = find_adapters(loss, [target_format])
    assert chain == (adapter,)


def test_what_to_type_for_an_adapter_builds_it():
    typed = overrides((OnSigmoid,), "torch.nn.BCELoss").split()
    assert typed == [
        "loss._target_=losslab.losses.OnSigmoid",
        "loss.loss._target_=torch.nn.BCELoss",
    ]


def test_the_numeric_link_of_cross_entropy_is_the_softmax():
    logits = 3 * normal(200, 5)
    found = NumericLink(nn.CrossEntropyLoss()).probability(logits)
    torch.testing.assert_close(found, logits.softmax(dim=1), rtol=0, atol=1e-9)


def test_a_numeric_link_is_found_in_inference_mode():
    with torch.inference_mode():
        logits = 3 * normal(20, 5)
        found = NumericLink(nn.CrossEntropyLoss()).probability(logits)
    torch.testing.assert_close(found, logits.softmax(dim=1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("binary", [False, True])
def test_the_link_of_focal_loss_is_the_numeric_one(gamma, binary):
    logits = 2 * normal(100, 4)
    found = NumericLink(FocalLoss(gamma=gamma), binary=binary).probability(logits)
    closed = FocalLink(gamma, binary).log_probability(logits).exp()
    torch.testing.assert_close(closed, found, rtol=0, atol=1e-9)


def test_the_link_of_focal_loss_keeps_confident_logits_apart():
    log = FocalLink(2.0).log_probability(torch.tensor([[1e4, 0.0, -1e4], [40.0, 41.0, 0.0]]))
    assert log.isfinite().all()
    assert log[0, 1] > log[0, 2]


def test_the_link_of_label_smoothing_undoes_it():
    loss = CrossEntropyLoss(label_smoothing=0.1)
    assert loss.link_for(INDICES) == SmoothedLink(0.1)
    p = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    logits = (0.9 * p + 0.1 / 3).log()[None]
    torch.testing.assert_close(SmoothedLink(0.1).log_probability(logits).exp()[0], p)


def test_a_batch_that_belongs_together_has_no_estimate():
    trial = try_format(nn.TripletMarginLoss(), TargetFormat.LABELLED_EMBEDDINGS)
    assert trial.refusal  # three inputs
    own = probe(DiceLoss())
    assert not own.trial(BINARY).separable
    assert own.trial(BINARY).estimate is None


def test_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    probe(nn.CrossEntropyLoss())
    assert torch.equal(state, torch.random.get_rng_state())


class Explodes(Loss):
    accepts = (BINARY,)

    def forward(self, prediction, target):
        return ((1 - 2 * target) * prediction).exp().mean()


def test_inputs_at_the_edge_are_warned_of():
    trial = try_format(Explodes(), BINARY)
    assert trial.refusal == ""
    [warning] = warnings_of(trial)
    assert warning == "the loss is inf for wrong logits of 10,000"


def test_the_card():
    lines = str(probe(nn.MultiMarginLoss(), target_formats=[INDICES])).splitlines()
    assert any(line.split(maxsplit=1) == ["estimates", "the most likely class"] for line in lines)


def test_a_function_is_probed():
    card = str(probe(nn.functional.cross_entropy, target_formats=[INDICES]))
    assert "FunctionLoss(cross_entropy, reduction=mean)" in card
    assert "class probabilities, by the softmax" in card


@pytest.mark.parametrize("loss", [3, "focal", nn.CrossEntropyLoss])
def test_what_is_no_loss_is_not_probed(loss):
    with pytest.raises(UserError, match="loss must be a module, or a function of prediction and t"):
        probe(loss)


@pytest.mark.parametrize("name", ["arcface", "center"])
def test_losses_of_embeddings_are_probed_with_vectors_that_fit(name):
    card = passport_of([f"loss={name}"])
    assert "predictions (N, 8)" in card
    assert "vectors" in card


def test_a_loss_that_may_have_vectors_is_probed_without_them():
    assert "not class indices" not in passport_of(["loss=cross_entropy"])


def test_a_loss_and_its_parameters_are_fitted_as_by_adam_of_torch():
    loss = UncertaintySumLoss(
        {"one": nn.CrossEntropyLoss(), "other": nn.MultiMarginLoss()}
    ).double()
    problem, theirs = example(INDICES), copy.deepcopy(loss)
    expected = problem.start.clone().requires_grad_()
    adam = torch.optim.Adam([expected, *theirs.parameters()], lr=LEARNING_RATE)
    for _ in range(STEPS):
        adam.zero_grad()
        theirs(expected, problem.target).backward()
        adam.step()
    assert torch.equal(fitted(loss, problem), expected)
    assert all(map(torch.equal, loss.parameters(), theirs.parameters()))


def test_a_fit_of_logits_stops_once_they_are_right_at_two_looks():
    calls = 0

    class Counted(nn.CrossEntropyLoss):
        def forward(self, prediction, target):
            nonlocal calls
            calls += 1
            return super().forward(prediction, target)

    problem = example(INDICES)
    right = fitted(Counted(), problem, stop_when_right=True)
    assert problem.agreement(right) == 1
    assert calls == 2 * LOOK < STEPS


def test_a_sum_is_probed_as_one_loss():
    card = passport_of(["loss=sum", "loss.of.cross_entropy=1", "loss.of.focal=0.5"])
    assert "SumLoss(cross_entropy=1.0, focal=0.5)" in card
    assert "class probabilities, by a map of its own" in card
    assert "class masks" in passport_of(["loss=sum", "loss.of.dice=1", "loss.of.bce=1"])


class Remembers(nn.Module):
    """Contrast with class vectors of two classes, and count the calls."""

    def __init__(self):
        super().__init__()
        self.vectors = nn.Parameter(torch.eye(2, 8))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, prediction, target):
        self.calls += 1
        return nn.functional.cross_entropy(prediction @ self.vectors.T, target)


def test_a_loss_of_two_classes_is_tried_with_two_and_stays_as_it_is():
    loss = Remembers()
    trial = try_format(loss, TargetFormat.LABELLED_EMBEDDINGS)
    assert trial.refusal == ""
    assert trial.changed == ["calls"]
    assert loss.calls == 0


class Reduces(nn.Module):
    """Cross-entropy that stores a reduction, and does what a function of its terms says."""

    def __init__(self, reduce):
        super().__init__()
        self.reduction = "mean"
        self.reduce = reduce
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, prediction, target):
        terms = nn.functional.cross_entropy(prediction, target, reduction="none")
        return self.reduce(self, terms)


def running_mean(loss, terms):
    loss.calls += 1
    return terms.sum() / (len(terms) if loss.reduction == "mean" else 1)


ADDING_UP = {
    "of torch": (nn.CrossEntropyLoss(), True),
    "in adapters": (WithOneHotTargets(WithSignedTargets(nn.SoftMarginLoss())), True),
    "of functions": (FunctionLoss(nn.functional.cross_entropy), True),
    "no reduction": (FunctionLoss(lambda x, y: 2 * nn.functional.cross_entropy(x, y)), False),
    "one that is not used": (Reduces(lambda _, terms: terms.mean()), False),
    "none instead of sum": (
        Reduces(lambda loss, terms: terms.mean() if loss.reduction == "mean" else terms),
        False,
    ),
    "one that changes buffers": (Reduces(running_mean), False),
    "of no sum": (Reduces(lambda loss, terms: getattr(terms.exp(), loss.reduction)().log()), False),
}


@pytest.mark.parametrize(("loss", "expected"), ADDING_UP.values(), ids=ADDING_UP)
def test_whether_batches_add_up(loss, expected):
    trial = try_format(loss, INDICES)
    assert trial.refusal == ""
    assert trial.adds_up is expected


MANY_CLASSES = {
    "sigmoid": (nn.BCEWithLogitsLoss(), HOT, 100, "sigmoid"),
    "softmax": (nn.CrossEntropyLoss(), INDICES, 400, "softmax"),
    "neither": (FocalLoss(), INDICES, 400, None),
}


@pytest.mark.parametrize(
    ("loss", "target_format", "classes", "link"), MANY_CLASSES.values(), ids=MANY_CLASSES
)
def test_links_of_many_classes_are_told_apart(loss, target_format, classes, link):
    estimate = try_format(loss, target_format, (classes,)).estimate
    assert estimate.link == link
    assert estimate.consistent
