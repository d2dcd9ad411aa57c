"""Data that are read again in each epoch: equal to those in memory, whoever reads them."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from losslab.data.augmentation import Augmentation
from losslab.data.digits import Digits
from losslab.data.image_folder import ImageFolder
from losslab.data.image_masks import ImageMasks
from losslab.data.memory import Choice, machine_bytes
from losslab.data.streaming import StreamedInputs, batches_of
from losslab.data.workers import Workers, number_of_workers

from .test_dataset import epoch

SIDE = 12
AUGMENT = (v2.RandomHorizontalFlip(), v2.RandomResizedCrop(SIDE), v2.ColorJitter(0.2))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(60):
        place = folder / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(30):
        mask = (rng.random((SIDE, SIDE)) < 0.3).astype(np.uint8)
        mask[0, 0] = 255  # ignored beside 0, 1 and 2
        mask[0, 1] = 2
        image = np.repeat(mask[:, :, None] * 80, 3, axis=2)
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
        Image.fromarray(image).save(folder / "images" / f"{number}.png")
    return folder


def ready(kind, folder, **options):
    data = kind(str(folder), image_size=SIDE, batch_size=8, **options)
    data.setup()
    return data


def equal(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", ["photos", "scans"])
@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_those_in_memory_to_the_bit(kind, workers, request):
    folder, kind = request.getfixturevalue(kind), {"photos": ImageFolder}.get(kind, ImageMasks)
    kept = ready(kind, folder)
    streamed = ready(kind, folder, in_memory=False, num_workers=workers)
    assert isinstance(streamed.train.inputs, StreamedInputs)
    assert equal(epoch(kept, 1), epoch(streamed, 1))
    assert equal(epoch(kept, split="val"), epoch(streamed, split="val"))
    assert kept.order_fingerprint() == streamed.order_fingerprint()
    assert kept.class_counts.tolist() == streamed.class_counts.tolist()
    assert kept.ignores == streamed.ignores
    assert kept._contents == streamed._contents


@pytest.mark.parametrize("kind", ["photos", "scans"])
def test_augmentation_depends_on_seed_epoch_and_sample_alone(kind, request):
    folder, kind = request.getfixturevalue(kind), {"photos": ImageFolder}.get(kind, ImageMasks)
    kept = ready(kind, folder, augment=AUGMENT, num_workers=0)
    expected = epoch(kept, 1)
    assert equal(expected, epoch(kept, 1))
    for options in ({"in_memory": False, "num_workers": 2}, {"num_workers": 3}):
        assert equal(expected, epoch(ready(kind, folder, augment=AUGMENT, **options), 1))
    order = kept.batches(kept.train, shuffle=True).order
    first, second = (epoch(kept, number)[0][order(number).argsort()] for number in (1, 2))
    assert not torch.equal(first, second)
    other = ready(kind, folder, augment=AUGMENT, num_workers=0, seed=1, split_seed=0)
    assert not torch.equal(first, epoch(other, 1)[0][other.train_dataloader().order(1).argsort()])


def test_validation_and_evaluation_of_training_are_not_augmented(photos):
    plain, augmented = ready(ImageFolder, photos), ready(ImageFolder, photos, augment=AUGMENT)
    assert equal(epoch(plain, split="val"), epoch(augmented, split="val"))
    stored = [torch.cat(column) for column in zip(*augmented.batches(augmented.train), strict=True)]
    assert equal(stored, plain.train.tensors())


def test_masks_move_with_their_images(scans):
    data = ready(ImageMasks, scans, augment=[v2.RandomHorizontalFlip(1)], standardize=False)
    images, masks = epoch(data)
    known = masks != -100
    assert torch.equal((images[:, 0] * 255 / 80).round().long()[known], masks[known])
    assert (masks[:, 0, -1] == -100).all()


def test_augmented_samples_in_memory_keep_their_labels_and_corruptions():
    options = {"label_noise": 0.2, "imbalance": 0.5, "batch_size": 64}
    plain, augmented = Digits(**options), Digits(**options, augment=[v2.RandomRotation(10)])
    for data in (plain, augmented):
        data.setup()
    assert torch.equal(epoch(plain)[1], epoch(augmented)[1])
    assert plain.class_counts.tolist() == augmented.class_counts.tolist()
    assert epoch(plain)[0].shape == epoch(augmented)[0].shape


def test_reading_leaves_the_global_generators_as_they_were(photos):
    data = ready(ImageFolder, photos, augment=AUGMENT, in_memory=False, num_workers=0)
    torch.manual_seed(1), np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    epoch(data)
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])


def test_two_ranks_read_what_one_does(photos):
    data = ready(ImageFolder, photos, augment=AUGMENT, in_memory=False, num_workers=0)
    whole = list(batches_of(data.train, 8, seed=0, shuffle=True))
    ranks = [
        list(batches_of(data.train, 8, seed=0, shuffle=True, rank=rank, world_size=2))
        for rank in (0, 1)
    ]
    for batch, first, second in zip(whole, *ranks, strict=True):
        assert torch.equal(batch[0][0::2], first[0])
        assert torch.equal(batch[0][1::2], second[0])


def test_content_decides_the_fingerprint_and_not_the_time_of_a_file(photos, tmp_path):
    one = ready(ImageFolder, photos, in_memory=False)
    for file in photos.glob("a/*.png"):
        os.utime(file, (1, 1))
    assert ready(ImageFolder, photos, in_memory=False).fingerprint() == one.fingerprint()
    changed = next(photos.glob("a/*.png"))
    before = changed.read_bytes()
    try:
        Image.new("RGB", (16, 16)).save(changed)
        assert ready(ImageFolder, photos, in_memory=False).fingerprint() != one.fingerprint()
    finally:
        changed.write_bytes(before)


def test_what_needs_inputs_in_memory_is_refused(photos):
    with pytest.raises(ValueError, match=r"pixel_outliers .* set in_memory=true"):
        ready(ImageFolder, photos, in_memory=False, pixel_outliers=0.1)
    with pytest.raises(ValueError, match=r"pixel_outliers .* leave out augment"):
        ready(ImageFolder, photos, augment=AUGMENT, pixel_outliers=0.1)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_names_the_sample(photos, workers):
    def broken(image):
        raise KeyError("no")

    data = ready(ImageFolder, photos, augment=[broken], in_memory=False, num_workers=workers)
    with pytest.raises(ValueError, match=r"augment fails on .*\.png: KeyError: 'no' \(.*test_stre"):
        epoch(data)
    data = ready(ImageFolder, photos, augment=[v2.CenterCrop(6)], num_workers=workers)
    with pytest.raises(ValueError, match=r"\(3, 6, 6\) after augment, others have \(3, 12, 12\)"):
        epoch(data)


def test_a_damaged_file_is_named_before_training(photos):
    broken = photos / "a" / "broken.png"
    broken.write_bytes(b"no image")
    try:
        with pytest.raises(ValueError, match=r"broken\.png must be a readable image"):
            ready(ImageFolder, photos, in_memory=False, num_workers=2)
    finally:
        broken.unlink()


def test_no_worker_outlives_an_epoch_that_was_left(photos):
    data = ready(ImageFolder, photos, in_memory=False, num_workers=2)
    others = set(psutil.Process().children())  # such as the server of commands
    batches = data.batches(data.train, shuffle=True)
    next(iter(batches))
    assert len(set(psutil.Process().children()) - others) >= 2
    data.close()
    left = set(psutil.Process().children()) - others
    assert not [each for each in left if "resource" not in each.name()]


PROGRAM = """
import time
from losslab.data.workers import Workers
workers = Workers(lambda seconds: time.sleep(seconds) or seconds, 2, keep=True)
for result in workers.map([0.1] * 1000):
    print(result, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda each: each.name)
def test_no_worker_outlives_the_process(number):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    process.stdout.readline()
    workers = psutil.Process(process.pid).children()
    assert len(workers) == 2
    process.send_signal(number)
    process.wait(30)
    _, alive = psutil.wait_procs(workers, timeout=15)
    for each in alive:
        each.kill()
    assert not alive


def test_automatic_choices(monkeypatch):
    monkeypatch.setattr("losslab.data.memory.machine_bytes", lambda: 8 * 4 * 300)
    assert Choice("auto", 100, (3,)).in_memory
    assert not Choice("auto", 101, (3,)).in_memory
    assert not Choice("auto", 1, (3,), "it is random").in_memory
    with pytest.raises(ValueError, match=r"it is random, .*: leave out in_memory=true"):
        Choice(True, 1, (3,), "it is random")
    assert Choice("auto", 1, (3,), "it is random").notes == (
        "read again in each epoch, since it is random",
    )
    assert Choice(False, 1, (3,)).notes == ("read again in each epoch, as asked",)
    assert number_of_workers(5) == 5
    assert 1 <= number_of_workers("auto") <= 8
    assert machine_bytes() > 2**20


def test_workers_keep_the_order_and_can_be_asked_again():
    workers = Workers(lambda wait: time.sleep(wait) or wait, 2, keep=True)
    assert list(workers.map([0.1, 0.0, 0.05])) == [0.1, 0.0, 0.05]
    left = workers.map([0.0] * 20)
    next(left)
    assert list(workers.map([0.01, 0.0])) == [0.01, 0.0]
    workers.close()


def test_a_transform_must_be_callable_and_return_a_tensor():
    with pytest.raises(ValueError, match=r"augment must be transforms, .* got 3"):
        Augmentation([3])
    with pytest.raises(TypeError, match="must return a tensor, got str"):
        Augmentation([lambda image: "x"])(torch.zeros(1, 2, 2))
