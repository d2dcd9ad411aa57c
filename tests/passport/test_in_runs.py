"""How a run uses what is found about its loss."""

import math

import pytest
import torch
from rich.console import Console

from kinds_of_run import DIGITS, config_of
from losslab import target_formats
from losslab.analysis.comparison import compare
from losslab.analysis.load import collect
from losslab.components import build_components
from losslab.losses.links import FocalLink, SmoothedLink
from losslab.metrics.probability import predictive_entropy
from losslab.report.console import show
from losslab.training import check, train


def forbidden(*_):
    pytest.fail("the network was run")


def test_a_declared_format_needs_no_prediction(monkeypatch):
    monkeypatch.setattr(target_formats, "checked_prediction", forbidden)
    for given in (["loss=focal"], ["loss=dice", "data.n=20"], ["loss=triplet", "data.copies=1"]):
        notes = build_components(config_of(*given)).loss_notes
        assert notes["warnings"] == []


def test_a_check_does_not_ask_what_a_loss_estimates(monkeypatch):
    found = property(lambda estimation: pytest.fail("it asked"))
    monkeypatch.setattr("losslab.passport.trial.Estimation.found", found)
    monkeypatch.setattr("losslab.passport.trial._TRIALS", {})
    check(config_of("data=digits", "loss=focal"))


@pytest.mark.parametrize(
    ("given", "link"),
    [
        (["loss=focal"], FocalLink(2.0)),
        (["loss=cross_entropy", "loss.label_smoothing=0.1"], SmoothedLink(0.1)),
        (["loss=cross_entropy"], "softmax"),
    ],
)
def test_a_run_has_the_link_of_its_loss(given, link):
    supervision = build_components(config_of("data=digits", *given)).module.supervision
    assert supervision.inverse_link == link
    logits, target = torch.eye(10)[:4] * 3, torch.arange(4)
    entropy = supervision.evaluate(logits, target, {})["entropy"]
    assert 0 < entropy <= math.log(10)
    assert entropy == pytest.approx(float(predictive_entropy(logits, link).mean()))


def test_predictions_of_a_log_rate_are_evaluated_as_the_rate():
    config = config_of("data=regression", "loss=mse", "loss._target_=torch.nn.PoissonNLLLoss")
    supervision = build_components(config).module.supervision
    assert supervision.inverse_link == "exp"
    logarithm, target = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [1.0]]).exp()
    values = supervision.evaluate(logarithm, target, {})
    assert float(values["mae"]) == pytest.approx((torch.e - 1) / 2, rel=1e-6)
    scores = supervision.scores(logarithm, target, {})
    assert scores["mae"].tolist() == pytest.approx([torch.e - 1, 0], abs=1e-6)


@pytest.mark.slow
def test_a_comparison_shows_what_is_odd_about_a_loss_once(tmp_path):
    signed = "loss._target_=losslab.losses.WithSignedTargets"
    odd = [*DIGITS, signed, "++loss.loss._target_=torch.nn.SoftMarginLoss"]
    for number, given in enumerate((DIGITS, odd, [*odd, "seed=1"])):
        train(config_of(*given, "model=linear"), tmp_path / "runs" / str(number))
    console = Console(record=True, width=200)
    show(console, compare(collect([tmp_path / "runs"])), tmp_path / "report")
    note = "WithSignedTargets: the loss is inf for wrong logits of 10,000"
    assert console.export_text().splitlines().count(f"note: {note}") == 1
    for name, line in (("report.md", f"- {note}"), ("report.html", f"<li>{note}</li>")):
        assert (tmp_path / "report" / name).read_text().splitlines().count(line) == 1
