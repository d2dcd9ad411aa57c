"""Detection as whole commands."""

import pytest

pytestmark = pytest.mark.slow

OBJECTS = ["data.n=400", "data.objects=3", "data.empty_images=0.1", "data.clutter=0"]


def test_objects_are_found(command):
    outcome = command("task=detection", *OBJECTS, "trainer.max_epochs=10", "data.batch_size=8")
    assert outcome.code == 0, outcome.err
    record = outcome.record()
    assert (record["task"], record["data"]) == ("detection", "boxes")
    assert record["choices"]["model"] == "detector"
    test = record["test"]
    assert {"map", "map_50", "map_75", "ref/detection"} <= set(test)
    assert test["map_50"] > 0.5
    pictures = {path.name for path in (outcome.run / "figures").iterdir()}
    assert pictures == {"test_boxes.png", "test_boxes.npz"}


def test_a_sweep_over_the_losses_of_a_detector(command):
    outcome = command(
        *("-m", "loss=detection", "loss.classification=focal,bce", "loss.box=giou,smooth_l1"),
        *("data.n=60", "data.objects=2", "trainer.max_epochs=1", "callbacks=quiet"),
    )
    assert outcome.code == 0, outcome.err
    records = outcome.records()
    assert {record["status"] for record in records.values()} == {"done"}
    assert len({str(record["hashes"]) for record in records.values()}) == 1
