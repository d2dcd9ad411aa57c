"""Loggers beside TensorBoard get the run's settings and metrics, and end with the run."""

from pathlib import Path

from pytorch_lightning.loggers import CSVLogger

from losslab.config.compose import compose, finished_config
from losslab.training import train


class OpenLogger(CSVLogger):
    """A logger whose experiment, like that of W&B, stays open until it is finished."""

    finished = 0

    @property
    def experiment(self):
        """The writer, with a way to end it."""
        writer = super().experiment
        writer.finish = self._finish
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
            f"paths.log_dir={tmp_path}",
            f"+logger.extra.open={{_target_: {__name__}.OpenLogger, save_dir: {tmp_path}/extra}}",
        ]
    )
    train(finished_config(config, config.hydra), tmp_path / "run")
    assert OpenLogger.finished == 1
    [settings] = Path(tmp_path, "extra").rglob("hparams.yaml")
    assert {"loss: focal", "loss.gamma: 1", "seed: 0"} <= set(settings.read_text().splitlines())
    [curves] = Path(tmp_path, "extra").rglob("metrics.csv")
    header = curves.read_text().splitlines()[0].split(",")
    assert {"train/loss", "val/accuracy", "test/accuracy"} <= set(header)
