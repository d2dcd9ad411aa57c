"""How a run uses what is found about its loss."""

import pytest
import torch

from kinds_of_run import config_of
from losslab import target_formats
from losslab.components import build_components


def forbidden(*_):
    pytest.fail("the network was run")


def test_a_declared_format_needs_no_prediction(monkeypatch):
    monkeypatch.setattr(target_formats, "checked_prediction", forbidden)
    for given in (["loss=focal"], ["loss=dice", "data.n=20"], ["loss=triplet", "data.copies=1"]):
        notes = build_components(config_of(*given)).loss_notes
        assert notes["warnings"] == []


def test_predictions_of_a_log_rate_are_evaluated_as_the_rate():
    config = config_of("data=regression", "loss=mse", "loss._target_=torch.nn.PoissonNLLLoss")
    supervision = build_components(config).module.supervision
    assert supervision.inverse_link == "exp"
    logarithm, target = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [1.0]]).exp()
    values = supervision.evaluate(logarithm, target, {})
    assert float(values["mae"]) == pytest.approx((torch.e - 1) / 2, rel=1e-6)
    scores = supervision.scores(logarithm, target, {})
    assert scores["mae"].tolist() == pytest.approx([torch.e - 1, 0], abs=1e-6)
