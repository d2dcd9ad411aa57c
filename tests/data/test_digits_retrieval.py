import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.datasets import load_digits

from losslab.data.digits_retrieval import DigitsRetrieval, MNISTRetrieval, rotate_and_shift

CLEAN = {"rotation": 0.0, "shift": 0.0, "noise": 0.0, "copies": 1}


def ready(**options):
    data = DigitsRetrieval(**options)
    data.setup()
    return data


def test_without_distortion_they_are_the_digits():
    data = ready(**CLEAN)
    images = torch.cat([split.inputs for split in (data.train, data.val, data.test)])
    expected = load_digits().images
    assert images.shape == (1797, 1, 8, 8)
    assert images.sum().item() * 16 == pytest.approx(expected.sum(), rel=1e-5)


class Fixed:
    """Stands in for torch.rand: every angle and shift the largest."""

    def __init__(self, *values):
        self.values = list(values)

    def __call__(self, *shape, generator=None):
        return torch.full(shape, self.values.pop(0))


@pytest.fixture
def blob():
    y, x = np.mgrid[:16, :16]
    return np.exp(-((x - 9) ** 2 + (y - 5) ** 2) / 6) + np.exp(-((x - 5) ** 2 + (y - 6) ** 2) / 3)


@pytest.mark.parametrize(("share", "pixels"), [(1.0, 2), (0.0, -2)])
def test_a_shift_of_whole_pixels_moves_the_image(monkeypatch, blob, share, pixels):
    monkeypatch.setattr(torch, "rand", Fixed(0.5, share))
    image = torch.from_numpy(blob).float()[None, None]
    moved = rotate_and_shift(image, 0.0, 2 / 16, torch.Generator())
    assert moved.shape == (1, 1, 20, 20)
    expected = np.roll(np.pad(blob, 2), (pixels, pixels), axis=(0, 1))
    assert np.abs(moved[0, 0].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("degrees", [90.0, 30.0])
def test_a_turn_is_that_of_scipy(monkeypatch, blob, degrees):
    monkeypatch.setattr(torch, "rand", Fixed(1.0, 0.5))
    image = torch.from_numpy(blob).float()[None, None]
    turned = rotate_and_shift(image, degrees, 0.0, torch.Generator())[0, 0].numpy()
    expected = ndimage.rotate(blob, degrees, reshape=False, order=1)
    y, x = np.mgrid[:16, :16] - 7.5
    assert np.abs(turned - expected)[np.hypot(x, y) < 7].max() < 1e-5  # corners leave the image


def test_the_noise_has_its_deviation():
    still = {"rotation": 0.0, "shift": 0.0, "copies": 2}
    clean, noisy = ready(**still, noise=0.0), ready(**still, noise=0.3)
    for part in ("train", "val", "test"):
        difference = getattr(noisy, part).inputs - getattr(clean, part).inputs
        assert difference.std().item() == pytest.approx(0.3, rel=0.03)


def test_only_training_images_are_there_several_times():
    data, single = ready(copies=3), ready(copies=1)
    assert data.train.size == 3 * single.train.size
    assert torch.equal(data.test.inputs, single.test.inputs)
    assert torch.equal(data.class_counts, 3 * single.class_counts)
    first, second, _ = data.train.inputs.chunk(3)
    assert not torch.equal(first, second)


def test_the_description_counts_the_copies():
    data = ready(copies=3)
    listed = ", ".join(f"{name} {count}" for name, count in enumerate(data.class_counts.tolist()))
    assert data.describe().splitlines()[1] == f"classes in training: {listed}"
    assert data.class_counts.sum() == data.train.size


def test_held_out_classes_are_in_validation_and_test_alone():
    data = ready(held_out_classes=[8, 9], copies=1)
    assert data.train.targets.unique().tolist() == list(range(8))
    whole = np.bincount(load_digits().target)
    for label in (8, 9):
        counts = [(split.targets == label).sum().item() for split in (data.val, data.test)]
        assert sum(counts) == whole[label]
        assert abs(counts[0] - counts[1]) <= 1
    plain = ready(copies=1)
    for label in range(8):
        assert (data.test.targets == label).sum() == (plain.test.targets == label).sum()


def test_the_seed_decides():
    assert ready(seed=2).fingerprint() == ready(seed=2).fingerprint() != ready().fingerprint()
    assert ready(seed=2, split_seed=0).fingerprint() == ready().fingerprint()


def test_a_second_setup_changes_nothing():
    data = ready()
    before = data.fingerprint()
    data.setup()
    assert data.fingerprint() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": 200.0}, "rotation must be a number and >= 0 and <= 180, got 200.0"),
        ({"shift": 0.6}, "shift must be a number and >= 0 and <= 0.5, got 0.6"),
        ({"noise": -1.0}, "noise must be a number and >= 0, got -1.0"),
        ({"copies": 0}, "copies must be a whole number >= 1, got 0"),
        ({"held_out_classes": [10]}, r"held_out_classes must be digits, .* got \[10\]"),
        ({"held_out_classes": list(range(9))}, "leave at least 2 for training"),
        ({"held_out_classes": [1], "label_noise": 0.1}, "must be empty with imbalance or label"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        DigitsRetrieval(**options)


def test_mnist_with_held_out_classes(real_mnist):
    data = MNISTRetrieval(data_dir=str(real_mnist), held_out_classes=[4])
    data.prepare_data()
    data.setup()
    assert data.input_shape == (1, 36, 36)  # 28 and a margin of 4 on each side
    counts = [(split.targets == 4).sum().item() for split in (data.train, data.val, data.test)]
    assert counts[0] == 0
    assert min(counts[1:]) > 0
    paper = data.test.inputs[:, :, :4].mean().item()
    assert paper == pytest.approx(0, abs=0.01)
    assert data.test.inputs.max() > 0.9
