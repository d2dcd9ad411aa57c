"""What every LightningModule here does with its metrics."""

from losslab.modules.base import Module


def test_a_metric_reaches_the_record_as_the_float64_that_it_is(monkeypatch):
    handed = {}
    monkeypatch.setattr(Module, "log_dict", lambda self, values: handed.update(values))
    module = Module()
    module.report("val", {"mae": 1 / 3})
    module.report("test", {"mae": 0.1})
    module.report("test", {"rmse": 0.2})
    assert module.metrics == {"val": {"mae": 1 / 3}, "test": {"mae": 0.1, "rmse": 0.2}}
    assert handed == {"val/mae": 1 / 3, "test/mae": 0.1, "test/rmse": 0.2}
