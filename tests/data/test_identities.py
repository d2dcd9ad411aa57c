"""Identities whose images are in one split, from files and generated."""

import numpy as np
import pytest
import torch
from PIL import Image

from losslab.data.identities import Identities, SyntheticIdentities
from losslab.metrics.verification import verification


def save(folder, images, suffix="png"):
    """Save images whose brightness says which folder they are in."""
    folder.mkdir(parents=True)
    level = 8 * (sum(map(ord, folder.name)) % 30)
    for number in range(images):
        pixels = np.full((6, 6, 3), level + number, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{folder.name}_{number:04d}.{suffix}")


@pytest.fixture
def faces(tmp_path):
    """Ten persons with two to five images, of two formats, and two with one image."""
    for place in range(10):
        save(tmp_path / f"Person_{place}", 2 + place % 4, "png" if place % 2 else "jpg")
    save(tmp_path / "Ada_Alone", 1)
    save(tmp_path / "Zoe_Alone", 1, "jpg")
    return tmp_path


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def identities_of(data):
    return [set(split.targets.tolist()) for split in (data.train, data.val, data.test)]


def test_a_person_is_in_one_split(faces):
    for seed in range(3):
        data = ready(Identities(str(faces), image_size=6, seed=seed))
        train, val, test = identities_of(data)
        assert not train & val
        assert not (train | val) & test
        assert train | val | test == set(range(10))
        assert min(map(len, (train, val, test))) >= 1
        assert data.sampling == "redrawn"
    other = ready(Identities(str(faces), image_size=6, seed=3))
    assert identities_of(other) != identities_of(data)


def test_images_have_the_labels_of_their_folders(faces):
    data = ready(Identities(str(faces), image_size=6, standardize=False, grayscale=True))
    for split in (data.train, data.val, data.test):
        for image, label in zip(split.inputs, split.targets.tolist(), strict=True):
            level = 8 * (sum(map(ord, data.class_names[label])) % 30)
            assert 255 * image.mean().item() == pytest.approx(level + 2, abs=3)


def test_persons_with_one_image_are_left_out_and_counted(faces):
    data = ready(Identities(str(faces), image_size=6))
    assert sum(data.sizes().values()) == sum(2 + place % 4 for place in range(10))
    assert data.class_names == [f"Person_{place}" for place in range(10)]
    assert "read: identities with one image left out: 2 (first: Ada_Alone)" in data.describe()


def test_test_persons_can_be_fixed(faces):
    both = [
        ready(Identities(str(faces), image_size=6, seed=seed, test_split_seed=7)) for seed in (1, 2)
    ]
    trains, _, tests = zip(*map(identities_of, both), strict=True)
    assert tests[0] == tests[1]
    assert trains[0] != trains[1]
    assert both[0].sampling == "fixed_test"


def test_folders_of_splits(tmp_path):
    for split, names in {"train": "abcdef", "test": "ghi"}.items():
        for name in names:
            save(tmp_path / split / name, 2)
    data = ready(Identities(str(tmp_path), image_size=6))
    train, val, test = identities_of(data)
    assert test == {6, 7, 8}
    assert val
    assert train | val == set(range(6))
    save(tmp_path / "test" / "a", 2)
    with pytest.raises(ValueError, match="got 1 groups in both train and test"):
        ready(Identities(str(tmp_path), image_size=6))


@pytest.mark.parametrize("images", [[2, 2], [1, 1, 1, 2]], ids=str)
def test_too_few_persons(tmp_path, images):
    for place, count in enumerate(images):
        save(tmp_path / f"p{place}", count)
    with pytest.raises(FileNotFoundError, match=r"at least 3 folders.*, one per identity, found"):
        Identities(str(tmp_path)).prepare_data()


def test_they_can_be_streamed(faces):
    options = {"image_size": 6, "num_workers": 0}
    held = ready(Identities(str(faces), **options))
    streamed = ready(Identities(str(faces), in_memory=False, **options))
    assert identities_of(streamed) == identities_of(held)


# --- generated ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patterns():
    return ready(SyntheticIdentities(identities=50, images=6))


def test_generated_identities_are_in_one_split(patterns):
    train, val, test = identities_of(patterns)
    assert (len(train), len(val), len(test)) == (30, 10, 10)
    assert not train & val
    assert not (train | val) & test
    assert patterns.sizes() == {"train": 180, "val": 60, "test": 60}
    assert patterns.input_shape == (1, 20, 20)
    assert patterns.sampling == "fresh"


def test_a_seed_draws_other_identities():
    first, again, other = (
        ready(SyntheticIdentities(identities=10, images=2, seed=seed)) for seed in (1, 1, 2)
    )
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_patterns_are_standardized_and_images_differ_as_the_options_say():
    still = {"rotation": 0.0, "shift": 0.0, "lighting": 0.0}
    plain = SyntheticIdentities(identities=40, images=3, noise=0.0, **still).load().inputs
    assert plain.mean(dim=(1, 2, 3)).numpy() == pytest.approx(np.zeros(120), abs=1e-5)
    assert plain.std(dim=(1, 2, 3)).numpy() == pytest.approx(np.ones(120), rel=1e-5)
    images = plain.unflatten(0, (40, 3))
    torch.testing.assert_close(images[:, 0], images[:, 1])
    noisy = SyntheticIdentities(identities=40, images=3, noise=0.5, **still).load().inputs
    assert (noisy - plain).std().item() == pytest.approx(0.5, rel=0.02)
    lit = {**still, "lighting": 2.0}
    light = SyntheticIdentities(identities=400, images=3, noise=0.0, **lit).load().inputs
    across = (light[:, 0, 0, 0] - light[:, 0, 0, -1]) / 2  # a slope, and little of the pattern
    assert across.var().item() == pytest.approx(2.0**2 + 1, rel=0.3)


def test_the_same_identity_is_more_alike(patterns):
    """Raw pixels verify better than chance, and far from perfectly."""
    values = verification(patterns.test.inputs, patterns.test.targets)
    assert 0.1 < values["eer"] < 0.45


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"identities": 2}, "identities must be a whole number >= 3, got 2"),
        ({"images": 1}, "images must be a whole number >= 2, got 1"),
        ({"image_size": 4}, "image_size must be a whole number >= 5, got 4"),
        ({"shift": 0.6}, "shift must be a number and >= 0 and <= 0.5, got 0.6"),
        ({"lighting": -1}, "lighting must be a number and >= 0, got -1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        SyntheticIdentities(**options)


@pytest.mark.parametrize("corruption", [{"label_noise": 0.1}, {"imbalance": 0.5}], ids=str)
def test_labels_of_other_identities_are_not_mixed_in(corruption):
    with pytest.raises(ValueError, match="imbalance and label_noise must be left out"):
        ready(SyntheticIdentities(identities=10, images=4, **corruption))
