import pytest

from losslab.models import CNN


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((64,), r"CNN expects images .* got samples of shape \(64,\): use model=mlp"),
        ((16, 16, 3), r"shape \(16, 16, 3\) .* give images as \(channels, height, width\)"),
    ],
)
def test_what_is_not_an_image_is_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        CNN(shape, 2)
