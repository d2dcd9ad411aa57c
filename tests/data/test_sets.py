import shutil

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from losslab.data import digits, mnist, small_images
from losslab.data.digits import Digits
from losslab.data.mnist import MNIST
from losslab.data.regression import Regression


def ready(data):
    data.prepare_data()
    data.setup()
    return data


# --- digits -----------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn():
    data = ready(Digits())
    images = torch.cat([split.inputs for split in (data.train, data.val, data.test)])
    labels = torch.cat([split.targets for split in (data.train, data.val, data.test)])
    bunch = load_digits()

    def table(pixels, targets):
        rows = np.concatenate([pixels.reshape(len(pixels), 64), targets[:, None]], axis=1)
        return rows[np.lexsort(rows.T)]

    expected = table(bunch.images, bunch.target)
    assert np.array_equal(table(images.numpy() * 16, labels.numpy()), expected)
    assert (data.input_shape, data.outputs, data.class_names[3]) == ((1, 8, 8), 10, "3")


def test_digits_are_found_if_scikit_learn_has_them_elsewhere(monkeypatch):
    near = digits._digits()
    digits._digits.cache_clear()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    assert all(map(torch.equal, near, digits._digits()))


def test_flat_digits_are_the_same_digits():
    image, flat = ready(Digits()), ready(Digits(flat=True))
    assert flat.input_shape == (64,)
    assert torch.equal(flat.train.inputs, image.train.inputs.flatten(1))


def test_default_digits_take_an_imbalance_of_a_twentieth():
    data = ready(Digits(imbalance=0.05))
    counts = data.class_counts
    assert (counts < 10).nonzero().flatten().tolist() == [0, 2, 7, 8, 9]  # the fewest of 1,797
    assert (counts[counts < 10] == 5).all()


# --- regression -------------------------------------------------------------------------------


def whole(data):
    splits = (data.train, data.val, data.test)
    x, y = (torch.cat([split[i] for split in splits]).double() for i in (0, 1))
    return x, y


def test_the_textbook_line():
    data = ready(Regression())
    x, y = whole(data)
    assert (x.shape, y.shape) == ((1000, 1), (1000, 1))
    assert x.min() >= -5
    assert x.max() <= 5
    slope, intercept = np.polyfit(x[:, 0].numpy(), y[:, 0].numpy(), 1)
    assert slope == pytest.approx(3.3, abs=0.05)  # its standard error is 0.011
    assert intercept == pytest.approx(5.3, abs=0.13)  # 0.032
    assert (y - 3.3 * x - 5.3).std() == pytest.approx(1, abs=0.1)
    assert data.truth == {"slope": 3.3, "intercept": 5.3}
    assert (data.outputs, data.target_kind, data.class_counts) == (1, "values", None)


def test_skewed_noise_has_mean_0_and_median_below():
    x, y = whole(ready(Regression(n=20_000, noise=2.0, noise_kind="skewed")))
    noise = y - 3.3 * x - 5.3
    assert noise.mean() == pytest.approx(0, abs=0.06)
    assert noise.std() == pytest.approx(2, abs=0.1)
    assert noise.median() == pytest.approx(2 * (np.log(2) - 1), abs=0.06)


@pytest.mark.parametrize(
    ("curve", "function"),
    [
        ("sine", np.sin),
        ("quadratic", lambda x: x**2 / 5),
        ("step", np.sign),
        ("line", lambda x: x),
    ],
)
def test_curves(curve, function):
    data = ready(Regression(curve=curve, noise=0.0, slope=2.0, intercept=-1.0, features=3))
    x, y = (tensor.numpy() for tensor in whole(data))
    assert np.allclose(y, 2 * function(x).sum(1, keepdims=True) - 1, atol=1e-5)
    assert (data.truth is None) is (curve != "line")
    assert data.input_shape == (3,)


def test_options_do_not_shift_the_inputs():
    one, other = ready(Regression()), ready(Regression(noise_kind="skewed", slope=1.0))
    assert torch.equal(one.train.inputs, other.train.inputs)


def test_outliers_are_exact_and_one_sided():
    clean, spoiled = ready(Regression()), ready(Regression(outliers=0.1, outlier_size=30.0))
    shift = (spoiled.train.targets - clean.train.targets)[:, 0]
    assert int((shift != 0).sum()) == 60
    assert torch.allclose(shift[shift != 0], torch.tensor(30.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 4}, "n must be a whole number >= 5, got 4"),
        ({"noise": -1.0}, "noise must be a number and >= 0, got -1.0"),
        ({"noise_kind": "odd"}, "noise_kind must be one of 'normal', 'skewed', got 'odd'"),
        ({"features": 0}, "features must be a whole number >= 1, got 0"),
        ({"curve": "circle"}, "curve must be one of 'line', 'sine', 'quadratic', 'step'"),
        ({"slope": "steep"}, "slope must be a number, got 'steep'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_regression_options(options, message):
    with pytest.raises(ValueError, match=message):
        Regression(**options)


# --- MNIST ------------------------------------------------------------------------------------


def test_mnist_keeps_its_own_test_split(real_mnist):
    data = ready(MNIST(data_dir=str(real_mnist), download=False))
    raw = real_mnist / "MNIST" / "raw"
    labels = np.frombuffer((raw / "t10k-labels-idx1-ubyte").read_bytes()[8:], dtype=np.uint8)
    pixels = np.frombuffer((raw / "t10k-images-idx3-ubyte").read_bytes()[16:], dtype=np.uint8)
    assert np.array_equal(np.bincount(data.test.targets.numpy()), np.bincount(labels))
    restored = (data.test.inputs.double() * 0.3081 + 0.1307) * 255
    assert restored.sum().item() == pytest.approx(pixels.sum(dtype=np.int64), rel=1e-5)
    training = np.frombuffer((raw / "train-labels-idx1-ubyte").read_bytes()[8:], dtype=np.uint8)
    assert data.train.size + data.val.size == len(training)
    assert data.val.size == pytest.approx(len(training) / 6, abs=5)
    counts = np.bincount(training)
    share = torch.bincount(data.val.targets).numpy() / counts
    assert np.abs(share - 1 / 6).max() < 0.5 / counts.min()
    assert (data.input_shape, data.outputs) == ((1, 28, 28), 10)
    assert data.train.inputs.std() == pytest.approx(1, abs=0.02)


def test_mnist_takes_any_share_of_its_training_files_for_validation(real_mnist):
    data = ready(MNIST(data_dir=str(real_mnist), val_fraction=0.9))
    labels = (real_mnist / "MNIST" / "raw" / "train-labels-idx1-ubyte").read_bytes()[8:]
    assert data.val.size == pytest.approx(0.9 * len(labels), abs=5)
    assert data.train.size + data.val.size == len(labels)


def test_mnist_is_read_once_a_process_and_not_changed(real_mnist):
    small_images._joined.cache_clear()
    one = ready(MNIST(data_dir=str(real_mnist)))
    again = ready(MNIST(data_dir=str(real_mnist), label_noise=0.2))
    clean = ready(MNIST(data_dir=str(real_mnist)))
    assert small_images._joined.cache_info().misses == 1
    assert one.fingerprint() == clean.fingerprint() != again.fingerprint()


def test_mnist_without_files_and_without_download(tmp_path):
    message = r"the MNIST files are not in .*MNIST.raw, .* use data=digits"
    with pytest.raises(FileNotFoundError, match=message) as caught:
        MNIST(data_dir=str(tmp_path), download=False).prepare_data()
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="MNIST files are not in"):
        MNIST(data_dir=str(tmp_path)).setup()


def test_mnist_without_network(tmp_path, monkeypatch):
    nowhere = ["http://127.0.0.1:9/"]  # the discard port refuses at once
    monkeypatch.setattr(mnist.datasets.MNIST, "mirrors", nowhere)
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded.* data=digits") as caught:
        MNIST(data_dir=str(tmp_path)).prepare_data()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_mnist_with_a_broken_file(tmp_path, real_mnist, damage):
    shutil.copytree(real_mnist / "MNIST", tmp_path / "MNIST")
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:100_000] if damage == "cut" else b"not an image file")
    data = MNIST(data_dir=str(tmp_path))
    data.prepare_data()
    with pytest.raises(ValueError, match="must be MNIST's, unpacked, got invalid ones") as caught:
        data.setup()
    assert "\n" not in str(caught.value)
