"""A sweep in TensorBoard's own pages."""

import contextlib
import json
import math
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from losslab.report.sweep_summary import write_sweep_summary
from losslab.runs.writer import RunWriter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOSSES = {"mse": 1.0, "huber": 0.5}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """The address of a TensorBoard that shows two losses of two seeds."""
    folder = tmp_path_factory.mktemp("sweep")
    columns = {}
    for loss, level in LOSSES.items():
        for seed in range(2):
            run = folder / loss / f"seed{seed}"
            writer = RunWriter(run, "val/mae", "min", charts=["train/loss", "val/mae"])
            columns[run] = {"loss": loss, "lr": 0.1, "seed": seed}
            writer.start({"loss": loss, "seed": seed, "cell": f"{loss},data=regression"})
            for epoch in range(5):
                writer.log(epoch, 10 * epoch + 10, {"train/loss": level, "train/lr": 0.1})
                mae = level + 0.1 * seed + math.exp(-epoch)
                metrics = {"val/mae": mae, "val/ref/mse": mae**2}
                writer.end_epoch(epoch, 10 * epoch + 10, metrics, lambda path: path.touch())
            writer.finish({"mae": level + 0.1 * seed})
    write_sweep_summary(folder, columns, "mae")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--port", str(port)]
    address = f"http://localhost:{port}/"
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    yield when_loaded(address, runs=len(columns) + len(LOSSES) + 1)
    server.terminate()
    server.wait()


def when_loaded(address, runs):
    """Wait until TensorBoard has read the runs; a page opened before shows nothing."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}data/runs") as answer:
            if len(json.load(answer)) == runs:
                return address
        time.sleep(0.5)
    raise TimeoutError(f"TensorBoard at {address} does not show {runs} runs")


def test_the_first_screen_shows_training_and_validation_curves_of_the_means_first(page, board):
    page.open(board)
    text = page.wait_for_text("+mean/mse", "+mean/huber", "huber/seed0", "curves 2 cards")
    assert text.index("+mean/mse") < text.index("huber/seed0")
    page.wait_for(f"({SEEN})('curves/train_loss') && ({SEEN})('curves/val_mae')")
    assert "test/" not in text


def test_losses_are_runs_on_common_charts(page, board):
    page.open(f"{board}?runFilter=mean&tagFilter=^val/#timeseries")
    text = page.wait_for_text("+mean/mse", "+mean/huber", "2 cards", "val /mae", "val/ref /mse")
    assert "seed0" not in text  # the filter leaves one line a loss


def test_custom_scalars_show_a_band_a_loss(page, board):
    page.open(f"{board}#custom_scalars")
    text = page.wait_for_text("Mean over seeds, band of ± 1 standard deviation", "Matches (2)")
    assert text.index("+mean/huber") < text.index("seed0")  # the means come first
    page.wait_for(f"({COUNT})('path.area') >= {len(LOSSES)}")  # only what is seen is drawn


def test_hparams_average_the_seeds(page, board):
    page.open(f"{board}#hparams")
    text = page.wait_for_text("test/mae", "huber", "0.55000", "1.0500")
    assert "lr" not in text.split()  # the same in all runs


COUNT = """selector => {
  let count = 0;
  const walk = node => {
    count += node.querySelectorAll(selector).length;
    for (const child of node.querySelectorAll('*')) if (child.shadowRoot) walk(child.shadowRoot);
  };
  walk(document);
  return count;
}"""

SEEN = """title => [...document.querySelectorAll('card-view')].some(card =>
  card.innerText.replace(/\\s/g, '').includes(title)
  && card.getBoundingClientRect().bottom <= window.innerHeight)"""
