"""Loss functions: ``loss(prediction, target)``, logits in, on torch alone."""

from losslab.losses import functional
from losslab.losses.adapters import (
    AsTwoClasses,
    Averaged,
    First,
    OnLogSoftmax,
    OnSigmoid,
    OnSoftmax,
    WithIntegerTargets,
    WithOneHotTargets,
    WithoutChannel,
    WithoutIgnored,
    WithoutTargetChannel,
    WithSignedTargets,
    WithTargetChannel,
)
from losslab.losses.adversarial import AdversarialLoss
from losslab.losses.adversarial_reconstruction import AdversarialReconstructionLoss
from losslab.losses.base import Loss, Reduction, TargetFormat
from losslab.losses.boxes import CIoULoss, DIoULoss, GIoULoss, IoULoss
from losslab.losses.class_vectors import ArcFaceLoss, CenterLoss, CosFaceLoss, ProxyAnchorLoss
from losslab.losses.classification import (
    BCELoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    FocalLoss,
    HingeLoss,
    LogitAdjustedLoss,
)
from losslab.losses.compound import SumLoss, UncertaintySumLoss
from losslab.losses.detection import DetectionLoss
from losslab.losses.functional.information import (
    cross_entropy,
    entropy,
    kl_divergence,
    self_information,
)
from losslab.losses.links import ClippedLink, FocalLink, InverseLink, Link, SmoothedLink
from losslab.losses.metric import AngularLoss, ContrastiveLoss, TripletLoss
from losslab.losses.paired import InfoNCELoss, SigLIPLoss
from losslab.losses.points import ChamferLoss, EMDLoss, PaddedPoints
from losslab.losses.ranking import BPRLoss, MarginRankingLoss, RelevanceTarget
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
from losslab.losses.schedule import WeightSchedule
from losslab.losses.segmentation import BCEDiceLoss, DiceLoss, FocalTverskyLoss, TverskyLoss
from losslab.losses.sequence import CTCLoss, FramewiseCrossEntropyLoss, SequenceTarget

__all__ = [
    "AdversarialLoss",
    "AdversarialReconstructionLoss",
    "AngularLoss",
    "ArcFaceLoss",
    "AsTwoClasses",
    "Averaged",
    "BCEDiceLoss",
    "BCELoss",
    "BPRLoss",
    "CIoULoss",
    "CTCLoss",
    "CategoricalCrossEntropyLoss",
    "CenterLoss",
    "ChamferLoss",
    "ClippedLink",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CrossEntropyLoss",
    "DIoULoss",
    "DetectionLoss",
    "DiceLoss",
    "EMDLoss",
    "ElasticNetRegularizer",
    "First",
    "FocalLink",
    "FocalLoss",
    "FocalTverskyLoss",
    "FramewiseCrossEntropyLoss",
    "GIoULoss",
    "HingeLoss",
    "HuberLoss",
    "InfoNCELoss",
    "InverseLink",
    "IoULoss",
    "L1Regularizer",
    "L2Regularizer",
    "Link",
    "LogitAdjustedLoss",
    "Loss",
    "MAELoss",
    "MSELoss",
    "MarginRankingLoss",
    "OnLogSoftmax",
    "OnSigmoid",
    "OnSoftmax",
    "PaddedPoints",
    "PolicyGradientLoss",
    "PolicyPrediction",
    "PolicyTarget",
    "ProxyAnchorLoss",
    "QLearningLoss",
    "RMSELoss",
    "ReconstructionLoss",
    "Reduction",
    "Regularizer",
    "RelevanceTarget",
    "SSELoss",
    "SequenceTarget",
    "SigLIPLoss",
    "SmoothL1Loss",
    "SmoothedLink",
    "SumLoss",
    "TargetFormat",
    "TransitionTarget",
    "TripletLoss",
    "TverskyLoss",
    "UncertaintySumLoss",
    "WeightSchedule",
    "WithIntegerTargets",
    "WithOneHotTargets",
    "WithSignedTargets",
    "WithTargetChannel",
    "WithoutChannel",
    "WithoutIgnored",
    "WithoutTargetChannel",
    "cross_entropy",
    "entropy",
    "functional",
    "kl_divergence",
    "self_information",
]
