"""Networks of other libraries are fitted to images and outputs, and find their weights."""

import pytest
import torch
from torch import nn
from torchvision import models

from losslab.models import smp_model, timm_model, torchvision_model
from losslab.models.fitting import shrink_stem, weight_for_channels
from losslab.models.notes import notes_of


def test_small_images_are_not_reduced_before_the_first_block():
    small, standard = torchvision_model((1, 32, 32), 5), torchvision_model((1, 64, 64), 5)
    assert (small.conv1.kernel_size, small.conv1.stride) == ((3, 3), (1, 1))
    assert isinstance(small.maxpool, nn.Identity)
    assert (standard.conv1.kernel_size, standard.conv1.stride) == ((7, 7), (2, 2))
    assert isinstance(standard.maxpool, nn.MaxPool2d)
    assert "stem" in notes_of(small)[0]
    assert not notes_of(standard)
    assert torchvision_model((1, 32, 32), 5, stem="standard").conv1.stride == (2, 2)


def test_only_pooling_in_the_stem_is_removed():
    convolution = nn.Conv2d(3, 4, 3, stride=2)
    network = nn.Sequential(convolution, nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.MaxPool2d(2))
    shrink_stem(network)
    assert network[0] is convolution  # 3 x 3 already, so that its weights can be loaded
    assert convolution.stride == (1, 1)
    assert isinstance(network[1], nn.Identity)
    assert isinstance(network[3], nn.MaxPool2d)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 17, 31)])
def test_images_of_any_size(shape):
    assert torchvision_model(shape, 7).eval()(torch.zeros(2, *shape)).shape == (2, 7)


def test_masks_have_the_size_of_the_image():
    network = torchvision_model((1, 24, 40), 2, "fcn_resnet50").eval()
    assert network(torch.zeros(1, 1, 24, 40)).shape == (1, 2, 24, 40)


def test_a_grey_image_is_seen_as_three_equal_channels():
    weight, image = torch.randn(4, 3, 3, 3), torch.randn(2, 1, 8, 8)
    grey = torch.conv2d(image, weight_for_channels(weight, 1))
    torch.testing.assert_close(grey, torch.conv2d(image.expand(-1, 3, -1, -1), weight))
    again = torch.conv2d(image.expand(-1, 5, -1, -1), weight_for_channels(weight[:, :1], 5))
    torch.testing.assert_close(again, torch.conv2d(image, weight[:, :1]))


TINY = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8}


@pytest.fixture
def tiny_transformer(monkeypatch):
    """A vision transformer of one small layer instead of torchvision's, which has 86 million."""

    def get_model(name, weights, num_classes, image_size):
        assert (name, weights) == ("vit_b_16", None)
        return models.VisionTransformer(image_size, 16, num_classes=num_classes, **TINY)

    monkeypatch.setattr(models, "get_model", get_model)


def test_a_vision_transformer_takes_smaller_patches_of_small_images(tiny_transformer):
    network = torchvision_model((1, 28, 28), 3, "vit_b_16")
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 3)
    assert network.encoder.pos_embedding.shape == (1, 1 + 7 * 7, 8)
    assert torchvision_model((3, 64, 64), 3, "vit_b_16").encoder.pos_embedding.shape[1] == 1 + 4 * 4


@pytest.mark.parametrize("shape", [(3, 64, 96), (3, 72, 72)])
def test_a_vision_transformer_refuses_images_that_patches_do_not_fill(shape, tiny_transformer):
    with pytest.raises(ValueError, match=r"squares .* multiple of 16 pixels, got \d+ x \d+: set"):
        torchvision_model(shape, 3, "vit_b_16")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: torchvision_model((64,), 3), r"expects images .* of shape \(64,\)"),
        (
            lambda: torchvision_model((3, 8, 8), 3, "resnet19"),
            "one of .*, got resnet19: did you mean resnet1",
        ),
        (lambda: torchvision_model((3, 8, 8), 3, weights="no.pt"), "no.pt does not exist"),
    ],
)
def test_what_does_not_fit_is_refused(make, error):
    with pytest.raises(ValueError, match=error):
        make()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The cache of torch.hub, which has no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def download(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints" / "resnet18-f37072fd.pth"


def test_weights_of_the_hub_replace_all_but_the_head(hub):
    """From a file in the format of torchvision, for color images and a thousand classes."""
    torch.manual_seed(1)
    original = models.resnet18().state_dict()
    torch.save(original, hub)
    torch.manual_seed(2)
    network = torchvision_model((1, 64, 64), 5, weights="hub")
    own = network.state_dict()
    torch.manual_seed(2)
    fresh = torchvision_model((1, 64, 64), 5).state_dict()
    for name, value in original.items():
        if name.startswith("fc."):
            assert torch.equal(own[name], fresh[name])
        elif name == "conv1.weight":
            torch.testing.assert_close(own[name], value.sum(1, keepdim=True))
        else:
            assert torch.equal(own[name], value), name
    [note] = notes_of(network)
    assert note.startswith("weights: 120 of 122 tensors from resnet18-f37072fd.pth; of another")
    assert "fc.weight (1000, 512)" in note


def test_without_a_network_the_file_is_named(hub):
    with pytest.raises(
        ValueError, match=rf"resnet18-f37072fd.pth \(no network\): save it as {hub}"
    ):
        torchvision_model((1, 64, 64), 5, weights="hub")


def test_networks_of_timm():
    timm = pytest.importorskip("timm", reason="pip install 'losslab[timm]'")
    network = timm_model((1, 32, 32), 5, "test_resnet")
    assert isinstance(network, type(timm.create_model("test_resnet")))
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 5)
    transformer = timm_model((1, 32, 32), 5, "test_vit")
    assert transformer(torch.zeros(2, 1, 32, 32)).shape == (2, 5)
    with pytest.raises(ValueError, match=r"one of timm\.list_models"):
        timm_model((1, 32, 32), 5, "test_resnot")
    with pytest.raises(ValueError, match="checkpoint_path is not an option here: use model"):
        timm_model((1, 32, 32), 5, "test_resnet", checkpoint_path="x.pth")


def test_networks_of_segmentation_models():
    pytest.importorskip("segmentation_models_pytorch", reason="pip install 'losslab[smp]'")
    network = smp_model((1, 40, 40), 2, encoder="resnet18")
    assert network(torch.zeros(2, 1, 40, 40)).shape == (2, 2, 40, 40)


@pytest.mark.parametrize("make", [timm_model, smp_model])
def test_a_library_that_is_missing_is_named(make, monkeypatch):
    name = {"timm_model": "timm", "smp_model": "segmentation_models_pytorch"}[make.__name__]
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ValueError, match=f"{name} is not installed: pip install"):
        make((1, 32, 32), 5)
