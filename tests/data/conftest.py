from pathlib import Path

import pytest
import torch

from losslab.data import InMemoryData, Raw


class Blobs(InMemoryData):
    """A user's own data set, as small as it gets: sample ``i`` holds ``i``, its class ``i % 4``."""

    def load(self):
        inputs = torch.arange(400.0).unsqueeze(1)
        return Raw(inputs, torch.arange(400) % 4)


@pytest.fixture
def blobs():
    return Blobs


@pytest.fixture(scope="session")
def real_mnist():
    """The folder that holds real MNIST files."""
    root = Path(__file__).parents[2]
    for folder in (root.parent / "shared" / "data", root / "data"):
        if (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
            return folder
    pytest.skip("no MNIST files in ../shared/data or data")
