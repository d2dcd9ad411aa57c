"""Loggers beside TensorBoard get the run's settings and metrics, and end with the run."""

from pathlib import Path

import pytest
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger

from losslab.config.compose import compose
from losslab.config.errors import UserError
from losslab.config.jobs import finished_config
from losslab.loggers import require_loggers, run_urls
from losslab.runs.record import read_record
from losslab.training import train


class OpenLogger(CSVLogger):
    """A logger whose experiment, like that of W&B, stays open until it is finished."""

    finished = 0

    @property
    def experiment(self):
        """The writer, with a way to end it."""
        writer = super().experiment
        writer.finish, writer.url = self._finish, "https://example.org/run"
        return writer

    def _finish(self):
        type(self).finished += 1


def test_an_extra_logger_knows_the_run_and_is_ended(tmp_path):
    config = compose(
        [
            "loss=focal",
            "loss.gamma=1",
            "trainer.max_epochs=1",
            "callbacks=quiet",
            "logger=csv",
            f"paths.log_dir={tmp_path}",
            f"+logger.extra.open={{_target_: {__name__}.OpenLogger, save_dir: {tmp_path}/extra}}",
        ]
    )
    train(finished_config(config, config.hydra), tmp_path / "run")
    assert OpenLogger.finished == 1
    assert read_record(tmp_path / "run")["urls"] == {"open": "https://example.org/run"}
    assert (tmp_path / "run" / "csv" / "metrics.csv").is_file()
    [settings] = Path(tmp_path, "extra").rglob("hparams.yaml")
    assert {"loss: focal", "loss.gamma: 1", "seed: 0"} <= set(settings.read_text().splitlines())
    [curves] = Path(tmp_path, "extra").rglob("metrics.csv")
    header = curves.read_text().splitlines()[0].split(",")
    assert {"train/loss", "val/accuracy", "test/accuracy"} <= set(header)


def test_all_missing_packages_are_named_at_once(monkeypatch):
    monkeypatch.setattr("losslab.config.extras.is_installed", lambda module: module == "mlflow")
    config = compose(["loss=mse", "logger=many", "~logger.extra.aim"])
    with pytest.raises(UserError) as refused:
        require_loggers(finished_config(config, config.hydra))
    message = str(refused.value)
    assert message.startswith("logger=many: wandb and comet_ml are not installed: pip install ")
    assert "[wandb,comet]'" in message
    assert message.endswith(
        "leave out what you do not use: '~logger.extra.wandb' '~logger.extra.comet'"
    )


@pytest.mark.parametrize(
    ("logger", "module", "environment"),
    [
        ("wandb", "wandb", {"WANDB_MODE": "offline"}),
        ("mlflow", "mlflow", {}),
        ("aim", "aim", {}),
        ("comet", "comet_ml", {"COMET_START_ONLINE": "false"}),
    ],
)
def test_a_logger_of_a_service_without_network(logger, module, environment, tmp_path, monkeypatch):
    pytest.importorskip(module, reason=f"pip install 'losslab[{logger}]'")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    log_dir = f"paths.log_dir={tmp_path}"
    config = compose(["loss=mse", "debug=fdr", "callbacks=quiet", f"logger={logger}", log_dir])
    before = set(tmp_path.iterdir())
    train(finished_config(config, config.hydra), tmp_path / "run")
    record = read_record(tmp_path / "run")
    assert (record["status"], record["urls"]) == ("done", {})
    assert len(set(tmp_path.iterdir()) - before) >= 2  # the run, and what the logger wrote


class ServedLogger(MLFlowLogger):
    """An MLflow logger without the package."""

    experiment_id, run_id = "1", "b52b"

    def __init__(self):
        pass


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("http://host:5000", {"mlflow": "http://host:5000/#/experiments/1/runs/b52b"}),
        ("sqlite:///mlflow.db", {}),
    ],
)
def test_the_address_of_a_run_of_mlflow(uri, found):
    config = compose(["loss=mse", "logger=mlflow", f"logger.extra.mlflow.tracking_uri='{uri}'"])
    assert run_urls(config, [ServedLogger()]) == found
