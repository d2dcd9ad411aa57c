"""Segmentation and reconstruction as whole commands."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

SMALL = ["data=segmentation", "data.n=150", "trainer.max_epochs=6"]


def test_dice_finds_what_is_there(command):
    outcome = command("loss=dice", "data.n=150", "trainer.max_epochs=8")
    assert outcome.code == 0, outcome.err
    record = outcome.record()
    assert (record["task"], record["data"]) == ("segmentation", "segmentation")
    assert record["choices"]["model"] == "unet"
    test = record["test"]
    assert test["dice"] > 0.7
    assert {"iou", "precision", "recall", "average_precision", "dice_best_threshold"} <= set(test)
    assert {"ref/bce", "ref/dice", "ref/tversky", "ref/focal"} <= set(test)
    pictures = {path.name for path in (outcome.run / "figures").iterdir()}
    assert pictures == {
        f"test_{name}.{ending}"
        for name in ("masks", "precision_recall")
        for ending in ("png", "npz")
    }


def test_losses_of_classification_train_on_masks(command):
    sweep = ["-m", "loss=bce,focal,cross_entropy,dice", "data.classes=4", "trainer.max_epochs=1"]
    outcome = command(*SMALL[:2], *sweep, "callbacks=quiet")
    assert outcome.code == 0, outcome.err
    records = outcome.records().values()
    assert {record["status"] for record in records} == {"done"}
    assert len({str(record["hashes"]) for record in records}) == 1
    assert all("average_precision" in record["test"] for record in records)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["loss=dice", "data=digits"],
            "loss=dice accepts binary targets or class masks, but task=classification provides",
        ),
        (
            ["loss=cross_entropy", "data=segmentation"],
            "loss=cross_entropy accepts class indices or embeddings with labels, but ",
        ),
        (["loss=dice", "data.foreground=0.001"], "foreground must be a number and >= 0.005"),
        (["loss=dice", "data=image_masks", "data.path=."], "found no images in"),
        (
            ["loss=reconstruction", "data=segmentation", "task=segmentation"],
            "loss=reconstruction accepts values, but task=segmentation provides",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_does_not_fit_is_refused_in_one_line(command, arguments, message):
    outcome = command(*arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not outcome.records()


def test_ones_own_images_and_masks(command, tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "own" / folder).mkdir(parents=True)
    for index in range(40):
        mask = np.zeros((24, 24), dtype=np.uint8)
        row, column = rng.integers(0, 16, 2)
        mask[row : row + 8, column : column + 8] = 255
        picture = rng.integers(0, 100, (24, 24, 3), dtype=np.uint8)
        picture[mask > 0] += 120
        Image.fromarray(picture).save(tmp_path / "own" / "images" / f"{index}.png")
        Image.fromarray(mask).save(tmp_path / "own" / "masks" / f"{index}.png")
    outcome = command(
        "loss=bce_dice",
        "data=image_masks",
        f"data.path={tmp_path / 'own'}",
        "data.image_size=24",
        "trainer.max_epochs=15",
    )
    assert outcome.code == 0, outcome.err
    assert outcome.record()["test"]["dice"] > 0.9


def test_the_task_of_reconstruction_alone(command):
    outcome = command("task=reconstruction")
    assert outcome.code == 0, outcome.err
    record = outcome.record()
    assert (record["loss"], record["data"]) == ("reconstruction", "digits")
    assert record["test"]["psnr"] >= 20
    assert (outcome.run / "figures" / "test_reconstruction.png").is_file()


def test_any_regression_loss_reconstructs(command):
    outcome = command("loss=mse", "task=reconstruction", "data=digits", "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    assert outcome.record()["task"] == "reconstruction"


def test_the_median_bears_outliers_of_pixels_and_the_mean_does_not(command):
    outcome = command(
        "-m", "loss=reconstruction", "loss.p=1,2", "data.pixel_outliers=0.2", "callbacks=quiet"
    )
    assert outcome.code == 0, outcome.err
    by_p = {
        "L1" if "p=1" in str(folder) else "L2": record["test"]
        for folder, record in outcome.records().items()
    }
    assert by_p["L1"]["psnr"] > by_p["L2"]["psnr"] + 0.3
    assert by_p["L1"]["mae"] < by_p["L2"]["mae"]
