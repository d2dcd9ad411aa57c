"""Point clouds and metric learning, as whole commands."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

QUIET = ["trainer.accelerator=cpu", "threads=1"]


def test_both_distances_are_judged_under_either_loss(command):
    short = ["data.n=300", "data.points=64", "trainer.max_epochs=5"]
    outcome = command("-m", "loss=chamfer,emd", "seed=0,1", *short, *QUIET)
    assert outcome.code == 0, outcome.err
    found = {(r["loss"], r["seed"]): r["test"] for r in outcome.records().values()}
    assert set(found) == {(loss, seed) for loss in ("chamfer", "emd") for seed in (0, 1)}
    for test in found.values():
        assert {"chamfer", "emd", "f_score", "coverage"} <= test.keys()
    drawn = {folder.name for folder in outcome.records() if any(folder.glob("figures/*clouds*"))}
    assert drawn == {"seed0"}


def test_metric_learning_beats_raw_pixels_and_the_untrained_network(command):
    outcome = command("-m", "loss=contrastive,triplet,angular", "trainer.max_epochs=6", *QUIET)
    assert outcome.code == 0, outcome.err
    records = outcome.records().values()
    assert len(records) == 3
    for record in records:
        reached = record["test"]["recall_at_1"]
        for baseline in ("raw_inputs", "untrained"):
            assert reached > record["baselines"][baseline]["recall_at_1"] + 0.03


def test_persons_that_are_not_seen_in_training(command, tmp_path):
    faces = tmp_path / "faces"
    for person in range(15):
        (faces / f"p{person}").mkdir(parents=True)
        for number in range(1 if person == 14 else 3):
            pixels = np.full((8, 8, 3), 16 * person + number, dtype=np.uint8)
            Image.fromarray(pixels).save(faces / f"p{person}" / f"{number}.png")
    short = ["data.image_size=8", "trainer.max_epochs=2"]
    outcome = command("loss=arcface", "data=identities", f"data.path={faces}", *short, *QUIET)
    assert outcome.code == 0, outcome.err
    assert "identities with one image left out: 1 (first: p14)" in outcome.out
    record = outcome.record()
    assert sum(record["sizes"].values()) == 14 * 3
    assert 0 <= record["test"]["eer"] <= 1
    assert record["test"]["tar_at_far_1e-3"] == "NaN"  # it needs 1000 pairs of two persons
    assert record["baselines"]["raw_inputs"]["eer"] <= 0.5


def test_meshes_of_ones_own(command, tmp_path):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    corners = ["0 0 0", "1 0 0", "0 1 0"]
    for number in range(5):
        tip = f"0 0 {number + 1}"
        lines = [*(f"v {corner}" for corner in [*corners, tip]), "f 1 2 3", "f 1 2 4", "f 2 3 4"]
        (meshes / f"{number}.obj").write_text("\n".join(lines))
    short = ["data.points=32", "trainer.max_epochs=2"]
    outcome = command("loss=emd", "data=meshes", f"data.path={meshes}", *short, *QUIET)
    assert outcome.code == 0, outcome.err
    assert outcome.record()["test"]["emd"] > 0


def test_held_out_classes_are_in_the_record(command):
    short = ["data.copies=1", "trainer.max_epochs=1"]
    outcome = command("loss=triplet", "data.held_out_classes=[8,9]", *short, *QUIET)
    assert outcome.code == 0, outcome.err
    record = outcome.record()
    assert 0 < record["test"]["recall_at_1_held_out"] <= 1
    assert 0 < record["baselines"]["raw_inputs"]["map_at_r_held_out"] <= 1
