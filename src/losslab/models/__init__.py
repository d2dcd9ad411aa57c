"""Networks. None keeps running statistics, so that many can be trained at once."""

from losslab.models.autoencoder import ConvAutoencoder
from losslab.models.cnn import CNN
from losslab.models.gan import GAN
from losslab.models.mlp import MLP
from losslab.models.pointnet import PointAutoencoder
from losslab.models.scorer import Scorer
from losslab.models.sequence import CRNN
from losslab.models.unet import UNet

__all__ = [
    "CNN",
    "CRNN",
    "GAN",
    "MLP",
    "ConvAutoencoder",
    "PointAutoencoder",
    "Scorer",
    "UNet",
]
