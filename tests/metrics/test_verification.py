"""Verification by hand; ``test_all_metrics.py`` has it against scikit-learn's ROC curve."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from losslab.metrics.verification import verification


def on_circle(*degrees):
    angles = torch.tensor(degrees).double().deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def random_identities(identities, images, spread, seed=0):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(identities).repeat_interleave(images)
    centres = torch.randn(identities, 8, generator=rng)
    return centres[labels] + spread * torch.randn(len(labels), 8, generator=rng), labels


def test_by_hand():
    """Pairs of one identity are 10 and 50 degrees apart, pairs of two 30, 40, 80 and 90."""
    values = verification(on_circle(0, 10, 40, 90), torch.tensor([0, 0, 1, 1]))
    # thresholds accept (of one, of two): (0, 0), (1/2, 0), (1/2, 1/4), (1/2, 1/2): FAR = 1 - TAR
    assert values["eer"].item() == pytest.approx(0.5)
    assert values["tar_at_far_1e-2"].isnan()  # of 4 pairs, none is a hundredth


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_tar_is_that_of_scikit_learns_curve(spread):
    embeddings, labels = random_identities(30, 6, spread)
    first, second = np.triu_indices(len(labels), 1)
    cosines = sk.pairwise.cosine_similarity(embeddings.double().numpy())[first, second]
    far, tar, _ = sk.roc_curve(
        (labels[first] == labels[second]).numpy(), cosines, drop_intermediate=False
    )
    values = verification(embeddings, labels)
    for name, rate in (("tar_at_far_1e-2", 0.01), ("tar_at_far_1e-3", 0.001)):
        assert values[name].item() == tar[far <= rate].max()
    assert 1 - np.interp(values["eer"], far, tar) == pytest.approx(values["eer"].item(), abs=1e-3)
    assert values["tar_at_far_1e-3"] < values["tar_at_far_1e-2"] < 1 - values["eer"] + 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_equal_embeddings_decide_by_chance(dtype):
    labels = torch.arange(60) % 20
    embeddings = torch.randn(1, 32, generator=torch.Generator().manual_seed(1)).expand(60, 32)
    values = verification(embeddings.to(dtype), labels)
    assert values["eer"] == 0.5
    assert values["tar_at_far_1e-2"] == 0  # accepting one pair accepts all


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0]], ids=str)
def test_without_pairs_of_both_kinds_nothing_is_known(labels):
    embeddings = torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(0))
    values = verification(embeddings, torch.tensor(labels))
    assert all(value.isnan() for value in values.values())


def test_lengths_do_not_count():
    embeddings, labels = random_identities(10, 4, 1.0)
    scaled = embeddings * torch.arange(1, 41).unsqueeze(1)
    torch.testing.assert_close(
        verification(scaled, labels), verification(embeddings, labels), equal_nan=True
    )


def test_few_pairs_of_one_identity():
    """With one such pair, TAR is 0 or 1."""
    embeddings = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    embeddings[1] = embeddings[0]
    labels = torch.tensor([0, 0, *range(1, 59)])
    values = verification(embeddings, labels)
    assert {name: value.item() for name, value in values.items()} == pytest.approx(
        {"eer": 0, "tar_at_far_1e-2": 1, "tar_at_far_1e-3": 1}
    )
