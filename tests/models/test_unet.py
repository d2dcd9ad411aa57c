import pytest
import torch

from losslab.models import UNet


@pytest.mark.parametrize("shape", [(1, 40, 40), (3, 17, 31)])
@pytest.mark.parametrize("channels", [(4, 8), (4, 8, 16)])
def test_maps_have_the_size_of_the_image(shape, channels):
    network = UNet(shape, 3, channels)
    assert network(torch.randn(2, *shape)).shape == (2, 3, *shape[1:])


def test_a_sample_does_not_depend_on_its_batch():
    network = UNet((1, 16, 16), 1, (4, 8)).eval()
    images = torch.randn(4, 1, 16, 16)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))


def test_a_pixel_reaches_only_its_neighbourhood_at_full_resolution():
    network = UNet((1, 32, 32), 1, (4,))
    images = torch.randn(1, 1, 32, 32, requires_grad=True)
    network.down[0][1] = network.down[0][4] = torch.nn.Identity()  # statistics see all pixels
    network(images)[0, 0, 16, 16].backward()
    seen = images.grad[0, 0] != 0
    assert seen[14:19, 14:19].any()
    assert not seen[:14].any()
    assert not seen[:, 19:].any()


def test_what_is_not_an_image_is_refused():
    with pytest.raises(ValueError, match=r"expects images .* got samples of shape \(64,\)"):
        UNet((64,), 1)
