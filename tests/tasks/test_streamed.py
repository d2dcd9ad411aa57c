"""Tasks that look at the training split before training, of data that are read again."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from losslab.data.digits import Digits
from losslab.data.image_folder import ImageFolder
from losslab.data.streaming import batches_at
from losslab.tasks import GenerationTask, MetricLearningTask, ReconstructionTask, generation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number in range(40):
        place = made / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        pixels = rng.integers(20 * (number % 2), 200, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return made


@pytest.fixture
def both(folder, monkeypatch):
    """The same images in memory and read again."""
    monkeypatch.setattr(generation, "EXTRACTOR_STEPS", 3)
    return [ready(folder, in_memory=in_memory) for in_memory in (True, False)]


def ready(folder, **options):
    data = ImageFolder(str(folder), image_size=8, batch_size=8, num_workers=0, **options)
    data.setup()
    return data


@pytest.mark.parametrize(
    "make",
    [ReconstructionTask, lambda data: ReconstructionTask(data, frechet=True), GenerationTask],
    ids=["reconstruction", "with frechet", "generation"],
)
def test_images_that_are_read_again_give_the_same_task(make, both):
    kept, read = map(make, both)
    assert (kept.low, kept.high) == (read.low, read.high)
    if kept.extractor is not None:
        for one, other in zip(
            kept.extractor.parameters(), read.extractor.parameters(), strict=True
        ):
            assert torch.equal(one, other)


def test_the_range_of_pixels_is_known_only_if_they_were_read(folder):
    plain = [ready(folder, in_memory=each, standardize=False) for each in (True, False)]
    assert ReconstructionTask(plain[0]).high == pytest.approx(199 / 255)
    with pytest.raises(
        ValueError, match=r"^the range .* set data\.standardize=true or data\.in_mem"
    ):
        ReconstructionTask(plain[1])


def test_baselines_of_embeddings(both):
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    kept, read = (MetricLearningTask(data).baselines(data, network) for data in both)
    assert list(kept) == ["raw_inputs", "untrained"]
    assert list(read) == ["untrained"]
    assert read["untrained"] == pytest.approx(kept["untrained"], nan_ok=True)


def test_batches_at_positions_are_not_augmented():
    plain, augmented = Digits(), Digits(augment=[v2.RandomRotation(10)])
    for data in (plain, augmented):
        data.setup()
    positions = torch.arange(6).split(3)
    batches = (batches_at(data.train, positions) for data in (plain, augmented))
    for (inputs, targets), other in zip(*batches, strict=True):
        assert torch.equal(inputs, other[0])
        assert torch.equal(targets, other[1])
