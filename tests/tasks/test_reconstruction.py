"""The task of reconstruction, its metrics against numpy and scipy, its network, its outliers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from losslab.data.digits import Digits
from losslab.losses import TargetFormat
from losslab.models import ConvAutoencoder
from losslab.tasks import ReconstructionTask


def data(images):
    shape = tuple(images.shape[1:])
    return SimpleNamespace(outputs=10, input_shape=shape, train=SimpleNamespace(inputs=images))


def images(side, n=3):
    return torch.rand(n, 1, side, side, generator=torch.Generator().manual_seed(side))


def noisy(clean):
    generator = torch.Generator().manual_seed(1)
    return (clean + 0.1 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)


def ssim(x, y, span, sigma):
    """Wang et al. 2004 with a Gaussian window of 3.5 SD, mirrored at the border."""
    reach = int(3.5 * sigma + 0.5)
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    window = np.outer(line, line) / line.sum() ** 2

    def mean(image):
        return correlate(image, window, mode="mirror")

    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    values = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return values.mean()


@pytest.mark.parametrize(("side", "sigma"), [(8, 0.5), (28, 1.5)])
def test_metrics(side, sigma):
    clean = images(side)
    drawn = noisy(clean)
    task = ReconstructionTask(data(clean))
    values = task.metrics(drawn, clean, "identity", {})
    x, y = drawn[:, 0].double().numpy(), clean[:, 0].double().numpy()
    span = y.max() - y.min()
    psnr = np.mean(
        [10 * np.log10(span**2 / np.mean((a - b) ** 2)) for a, b in zip(x, y, strict=True)]
    )
    assert values["psnr"].item() == pytest.approx(psnr)
    assert values["mae"].item() == pytest.approx(np.abs(x - y).mean())
    assert values["rmse"].item() == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
    x = x.clip(y.min(), y.max())
    expected = np.mean([ssim(a, b, span, sigma) for a, b in zip(x, y, strict=True)])
    assert values["ssim"].item() == pytest.approx(expected, abs=1e-4)


def test_a_perfect_copy():
    clean = images(8)
    values = ReconstructionTask(data(clean)).metrics(clean, clean, "identity", {})
    assert values["psnr"].item() > 100
    assert values["ssim"].item() == pytest.approx(1)


def test_the_input_is_the_target():
    task = ReconstructionTask(data(images(8)))
    inputs, target = task.pair((images(8), torch.arange(3)))
    assert torch.equal(inputs, target)
    assert task.provides == (TargetFormat.VALUES, TargetFormat.IMAGES)


@pytest.mark.parametrize("shape", [(64,), (1, 4, 8)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match=r"task=reconstruction expects images .* at least 6 x 6"):
        ReconstructionTask(data(torch.zeros(2, *shape)))


def test_pictures():
    clean = images(8, n=20)
    shown = ReconstructionTask(data(clean)).figures(clean, noisy(clean), clean, None)[
        "reconstruction"
    ]
    assert torch.equal(torch.from_numpy(shown.given[0]), clean[:8, 0])
    drawn = noisy(clean).clamp(clean.min(), clean.max())[:8, 0]
    assert torch.allclose(torch.from_numpy(shown.made[0]), drawn)


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (2, 9, 13)])
@pytest.mark.parametrize("channels", [(4,), (4, 8), (4, 8, 16)])
def test_the_autoencoder_gives_the_shape_it_got(shape, channels):
    network = ConvAutoencoder(shape, code=3, channels=channels)
    inputs = torch.randn(2, *shape)
    assert network(inputs).shape == inputs.shape
    assert network.encoder(inputs).shape == (2, 3)


# --- outliers of pixels ---------------------------------------------------------------------------


def test_pixel_outliers_spoil_training_alone():
    clean, spoiled = Digits(), Digits(pixel_outliers=0.2)
    for one in (clean, spoiled):
        one.setup()
    hit = spoiled.train.inputs != clean.train.inputs
    # half of the black and of the white pixels stay what they were
    extreme = (clean.train.inputs == 0) | (clean.train.inputs == 1)
    assert hit[~extreme].double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert hit[extreme].double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert set(spoiled.train.inputs[hit].tolist()) == {0.0, 1.0}
    assert torch.equal(spoiled.val.inputs, clean.val.inputs)
    assert torch.equal(spoiled.test.inputs, clean.test.inputs)
    assert torch.equal(spoiled.train.targets, clean.train.targets)


def test_more_pixel_outliers_spoil_the_same_pixels_and_more():
    few, many = Digits(pixel_outliers=0.1), Digits(pixel_outliers=0.3)
    clean = Digits()
    for one in (few, many, clean):
        one.setup()
    changed = few.train.inputs != clean.train.inputs
    assert torch.equal(many.train.inputs[changed], few.train.inputs[changed])


def test_pixel_outliers_need_pixels():
    with pytest.raises(
        ValueError, match=r"pixel_outliers needs images .* got samples of shape \(64,\)"
    ):
        Digits(flat=True, pixel_outliers=0.1).setup()
    with pytest.raises(
        ValueError, match="pixel_outliers must be a number and >= 0 and <= 1, got 2"
    ):
        Digits(pixel_outliers=2)
