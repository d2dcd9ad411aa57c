"""Networks: small ones of losslab, and those of other libraries fitted to data and task."""

from losslab.models.adapters import smp_model, timm_model, torchvision_model
from losslab.models.autoencoder import ConvAutoencoder
from losslab.models.cnn import CNN
from losslab.models.detector import Detector
from losslab.models.dual_encoder import DualEncoder
from losslab.models.factorization import Factorization
from losslab.models.gan import GAN
from losslab.models.mlp import MLP
from losslab.models.pointnet import PointAutoencoder
from losslab.models.scorer import Scorer
from losslab.models.sequence import CRNN
from losslab.models.torchvision_detectors import torchvision_detector
from losslab.models.unet import UNet

__all__ = [
    "CNN",
    "CRNN",
    "GAN",
    "MLP",
    "ConvAutoencoder",
    "Detector",
    "DualEncoder",
    "Factorization",
    "PointAutoencoder",
    "Scorer",
    "UNet",
    "smp_model",
    "timm_model",
    "torchvision_detector",
    "torchvision_model",
]
