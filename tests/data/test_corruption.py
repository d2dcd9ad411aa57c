import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.data import corruption


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@given(n=st.integers(1, 200), share=st.floats(0, 1), classes=st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_label_noise_changes_exactly_its_share(n, share, classes):
    targets = torch.arange(n) % classes
    noisy = corruption.label_noise(targets, share, classes, rng())
    assert int((noisy != targets).sum()) == round(share * n)
    assert int(noisy.min()) >= 0
    assert int(noisy.max()) < classes


def test_label_noise_takes_each_other_class_as_often():
    noisy = corruption.label_noise(torch.full((30_000,), 2), 1.0, 4, rng())
    counts = torch.bincount(noisy, minlength=4)
    assert counts[2] == 0
    assert ((counts[[0, 1, 3]] - 10_000).abs() < 400).all()  # 5 standard deviations


def test_label_noise_among_some():
    targets, among = torch.zeros(100).long(), torch.arange(0, 100, 2)
    noisy = corruption.label_noise(targets, 0.3, 3, rng(), among=among)
    assert int((noisy[among] != 0).sum()) == 15
    assert not noisy[1::2].any()
    everywhere = corruption.label_noise(targets, 1.0, 3, rng())
    changed = noisy != 0
    assert torch.equal(noisy[changed], everywhere[changed])  # the rest does not shift what it gets


def test_flipped_labels():
    targets = (torch.arange(60).reshape(20, 3) % 2).float()
    flipped = corruption.flipped_labels(targets, 0.1, rng())
    assert int((flipped != targets).sum()) == 6
    assert set(flipped.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("counts", "rare"),
    [
        ([50, 50], [1]),
        ([10, 50], [0]),
        ([5, 5, 5, 5], [2, 3]),
        ([9, 3, 8, 4, 7], [1, 3]),
    ],
    ids=["even pair", "first is rarer", "even four", "five"],
)
def test_rarest_half(counts, rare):
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    assert corruption.rarest_half(targets, len(counts)).tolist() == rare


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 1.0])
def test_imbalance_keeps_exactly_its_share_of_rare_classes(share):
    targets = torch.arange(400) % 4
    kept = corruption.imbalance(targets, share, torch.tensor([1, 3]), rng())
    few = round(100 * share)
    assert torch.bincount(targets[kept]).tolist() == [100, few, 100, few]
    assert kept.tolist() == sorted(set(kept.tolist()))


@pytest.mark.parametrize("share", [0.0, 0.04, 0.044])
def test_imbalance_leaves_five(share):
    targets = torch.arange(200) % 2
    message = f"imbalance must leave >= 5 samples of each class, got {share:g}.*of class 'b'"
    with pytest.raises(ValueError, match=message):
        corruption.imbalance(targets, share, torch.tensor([1]), rng(), names=["a", "b"])


def test_vertical_outliers_are_one_sided_and_exact():
    inputs, targets = torch.randn(200, 1, generator=rng(1)), torch.zeros(200, 1)
    same, spoiled = corruption.outliers(inputs, targets, 0.15, 30.0, rng())
    assert torch.equal(same, inputs)
    assert torch.bincount((spoiled[:, 0] == 30).long()).tolist() == [170, 30]
    assert not targets.any()  # the caller's tensor is as it was


@pytest.mark.parametrize("sign", [1, -1], ids=["rising", "falling"])
def test_leverage_outliers_go_against_the_trend(sign):
    x = torch.rand(1000, 1, generator=rng(1)) * 10 - 5
    idle = torch.randn(1000, 1, generator=rng(2))
    inputs, targets = torch.cat([idle, x], dim=1), sign * 3.3 * x
    moved, spoiled = corruption.outliers(inputs, targets, 0.1, 30.0, rng(), kind="leverage")
    chosen = (moved != inputs).any(1)
    assert int(chosen.sum()) == 100
    assert torch.equal(moved[:, 0], inputs[:, 0])
    assert torch.allclose(moved[chosen, 1], inputs[chosen, 1] + (x.max() - x.min()))
    assert torch.allclose(spoiled[chosen], targets[chosen] - sign * 30)
    assert torch.equal(spoiled[~chosen], targets[~chosen])


def test_leverage_breaks_the_least_squares_slope():
    x = torch.rand(1000, 1, generator=rng(1)).double() * 10 - 5
    moved, spoiled = corruption.outliers(x, 3.3 * x + 5.3, 0.1, 30.0, rng(), kind="leverage")
    design = torch.cat([moved, torch.ones_like(moved)], dim=1)
    slope = torch.linalg.lstsq(design, spoiled).solution[0].item()
    # by hand: outliers at mean 10 lie 63 below the line; the slope is off by
    # 0.9 * 0.1 * 10 * -63 / (25/3 + 0.9 * 0.1 * 10**2) = -3.27
    assert slope - 3.3 == pytest.approx(-3.27, abs=0.3)


def test_constant_features_have_no_trend():
    inputs, targets = torch.ones(50, 2), torch.arange(50.0).unsqueeze(1)
    inputs, targets = corruption.outliers(inputs, targets, 0.2, 1.0, rng(), kind="leverage")
    assert torch.isfinite(inputs).all()
    assert torch.isfinite(targets).all()


@pytest.mark.parametrize("name", ["label_noise", "flipped", "imbalance", "vertical", "leverage"])
def test_a_larger_share_spoils_the_same_samples_and_more(name):
    targets = torch.arange(300) % 3
    x, y = torch.randn(300, 1, generator=rng(1)), torch.randn(300, 1, generator=rng(2))
    spoil = {
        "label_noise": lambda s: corruption.label_noise(targets, s, 3, rng()) != targets,
        "flipped": lambda s: corruption.flipped_labels(torch.zeros(300, 1), s, rng())[:, 0] > 0,
        "imbalance": lambda s: (
            ~torch.isin(
                torch.arange(300), corruption.imbalance(targets, 1 - s, torch.tensor([2]), rng())
            )
        ),
        "vertical": lambda s: (corruption.outliers(x, y, s, 5.0, rng())[1] != y)[:, 0],
        "leverage": lambda s: (corruption.outliers(x, y, s, 5.0, rng(), kind="leverage")[1] != y)[
            :, 0
        ],
    }[name]
    few, many = spoil(0.1), spoil(0.2)
    assert int(few.sum()) < int(many.sum())
    assert many[few].all()
