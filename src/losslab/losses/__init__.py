"""Loss functions: ``loss(prediction, target)``, logits in, on torch alone."""

from losslab.losses import functional
from losslab.losses.adversarial import AdversarialLoss
from losslab.losses.base import InverseLink, Loss, Reduction, TargetFormat
from losslab.losses.classification import (
    BCELoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    FocalLoss,
    HingeLoss,
)
from losslab.losses.functional.information import (
    cross_entropy,
    entropy,
    kl_divergence,
    self_information,
)
from losslab.losses.metric import AngularLoss, ContrastiveLoss, TripletLoss
from losslab.losses.points import ChamferLoss, EMDLoss, PaddedPoints
from losslab.losses.ranking import MarginRankingLoss, RelevanceTarget
from losslab.losses.reconstruction import ReconstructionLoss
from losslab.losses.regression import (
    HuberLoss,
    MAELoss,
    MSELoss,
    RMSELoss,
    SmoothL1Loss,
    SSELoss,
)
from losslab.losses.regularization import (
    ElasticNetRegularizer,
    L1Regularizer,
    L2Regularizer,
    Regularizer,
)
from losslab.losses.reinforcement import (
    PolicyGradientLoss,
    PolicyPrediction,
    PolicyTarget,
    QLearningLoss,
    TransitionTarget,
)
from losslab.losses.segmentation import BCEDiceLoss, DiceLoss, FocalTverskyLoss, TverskyLoss
from losslab.losses.sequence import CTCLoss, SequenceTarget

__all__ = [
    "AdversarialLoss",
    "AngularLoss",
    "BCEDiceLoss",
    "BCELoss",
    "CTCLoss",
    "CategoricalCrossEntropyLoss",
    "ChamferLoss",
    "ContrastiveLoss",
    "CrossEntropyLoss",
    "DiceLoss",
    "EMDLoss",
    "ElasticNetRegularizer",
    "FocalLoss",
    "FocalTverskyLoss",
    "HingeLoss",
    "HuberLoss",
    "InverseLink",
    "L1Regularizer",
    "L2Regularizer",
    "Loss",
    "MAELoss",
    "MSELoss",
    "MarginRankingLoss",
    "PaddedPoints",
    "PolicyGradientLoss",
    "PolicyPrediction",
    "PolicyTarget",
    "QLearningLoss",
    "RMSELoss",
    "ReconstructionLoss",
    "Reduction",
    "Regularizer",
    "RelevanceTarget",
    "SSELoss",
    "SequenceTarget",
    "SmoothL1Loss",
    "TargetFormat",
    "TransitionTarget",
    "TripletLoss",
    "TverskyLoss",
    "cross_entropy",
    "entropy",
    "functional",
    "kl_divergence",
    "self_information",
]
